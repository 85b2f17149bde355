-- Every order with what its lines sum up to.
WITH sums AS (
    SELECT
        l_orderkey,
        SUM(CAST(l_extendedprice AS DECIMAL(38,4)) * CAST(1 - l_discount AS DECIMAL(38,4))) AS revenue,
        CAST(COUNT(*) AS BIGINT) AS lines,
        SUM(l_quantity) AS quantity,
        MAX(l_shipdate) AS last_ship
    FROM clean_lineitem
    GROUP BY l_orderkey
)
SELECT
    o.o_orderkey AS o_orderkey,
    o.o_custkey AS o_custkey,
    o.o_orderstatus AS o_orderstatus,
    o.o_totalprice AS o_totalprice,
    o.o_orderdate AS o_orderdate,
    o.o_orderpriority AS o_orderpriority,
    o.o_clerk AS o_clerk,
    o.o_shippriority AS o_shippriority,
    o.o_comment AS o_comment,
    s.revenue AS revenue,
    s.lines AS lines,
    s.quantity AS quantity,
    s.last_ship AS last_ship,
    {window} AS load_date
FROM clean_orders AS o
JOIN sums AS s ON o.o_orderkey = s.l_orderkey
