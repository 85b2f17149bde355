-- What the orders of a day and priority sum up to.
SELECT
    o_orderdate,
    o_orderpriority,
    SUM(revenue) AS revenue,
    CAST(COUNT(*) AS BIGINT) AS orders,
    {window} AS load_date
FROM curated_order_revenue
GROUP BY o_orderdate, o_orderpriority
