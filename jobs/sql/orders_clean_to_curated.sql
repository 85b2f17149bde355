-- Orders with customer, store and what their items cost. FULL JOIN: an item without an order becomes a row that the gate refuses.
WITH item_totals AS (
    SELECT
        i.order_id AS order_id,
        COUNT(*) AS item_count,
        SUM(CASE WHEN p.product_type = 'jaffle' THEN p.price_cents ELSE 0 END) AS jaffle_cents,
        SUM(CASE WHEN p.product_type = 'beverage' THEN p.price_cents ELSE 0 END) AS beverage_cents,
        SUM(p.price_cents) AS items_cents
    FROM clean_items AS i
    LEFT JOIN clean_products AS p ON i.sku = p.sku
    GROUP BY i.order_id
)
SELECT
    COALESCE(o.order_id, t.order_id) AS order_id,
    o.ordered_at AS ordered_at,
    o.store_id AS store_id,
    s.store_name AS store_name,
    o.customer_id AS customer_id,
    c.customer_name AS customer_name,
    CAST(COALESCE(t.item_count, 0) AS INTEGER) AS item_count,
    CAST(COALESCE(t.jaffle_cents, 0) AS BIGINT) AS jaffle_cents,
    CAST(COALESCE(t.beverage_cents, 0) AS BIGINT) AS beverage_cents,
    CAST(COALESCE(t.items_cents, 0) AS BIGINT) AS items_cents,
    o.subtotal_cents AS subtotal_cents,
    o.tax_cents AS tax_cents,
    o.total_cents AS total_cents,
    {window} AS order_date
FROM clean_orders AS o
FULL JOIN item_totals AS t ON o.order_id = t.order_id
LEFT JOIN clean_customers AS c ON o.customer_id = c.customer_id
LEFT JOIN clean_stores AS s ON o.store_id = s.store_id
