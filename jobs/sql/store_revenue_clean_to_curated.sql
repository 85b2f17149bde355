-- What every store took in the window, in whole cents. An order of an unlisted store keeps its row, with no store name.
WITH totals AS (
    SELECT
        store_id,
        COUNT(*) AS orders,
        COUNT(*) FILTER (WHERE total_cents = 0) AS free_orders,
        SUM(subtotal_cents) AS subtotal_cents,
        SUM(tax_cents) AS tax_cents,
        SUM(total_cents) AS total_cents
    FROM clean_orders
    GROUP BY store_id
)
SELECT
    t.store_id AS store_id,
    s.store_name AS store_name,
    s.tax_rate AS tax_rate,
    CAST(t.orders AS BIGINT) AS orders,
    CAST(t.free_orders AS BIGINT) AS free_orders,
    CAST(t.subtotal_cents AS BIGINT) AS subtotal_cents,
    CAST(t.tax_cents AS BIGINT) AS tax_cents,
    CAST(t.total_cents AS BIGINT) AS total_cents,
    {window} AS revenue_date
FROM totals AS t
LEFT JOIN clean_stores AS s ON t.store_id = s.store_id
