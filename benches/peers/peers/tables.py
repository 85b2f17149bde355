"""The tables of the works: columns with their exact types, in SQL, and keys. Nothing else about them is written twice."""

LINEITEM = {
    "l_orderkey": "BIGINT",
    "l_partkey": "BIGINT",
    "l_suppkey": "BIGINT",
    "l_linenumber": "INTEGER",
    "l_quantity": "DECIMAL(15,2)",
    "l_extendedprice": "DECIMAL(15,2)",
    "l_discount": "DECIMAL(15,2)",
    "l_tax": "DECIMAL(15,2)",
    "l_returnflag": "VARCHAR",
    "l_linestatus": "VARCHAR",
    "l_shipdate": "DATE",
    "l_commitdate": "DATE",
    "l_receiptdate": "DATE",
    "l_shipinstruct": "VARCHAR",
    "l_shipmode": "VARCHAR",
    "l_comment": "VARCHAR",
}
ORDERS = {
    "o_orderkey": "BIGINT",
    "o_custkey": "BIGINT",
    "o_orderstatus": "VARCHAR",
    "o_totalprice": "DECIMAL(15,2)",
    "o_orderdate": "DATE",
    "o_orderpriority": "VARCHAR",
    "o_clerk": "VARCHAR",
    "o_shippriority": "INTEGER",
    "o_comment": "VARCHAR",
}
ORDER_REVENUE = dict(ORDERS, revenue="DECIMAL(38,4)", lines="BIGINT", quantity="DECIMAL(38,2)", last_ship="DATE")
DAILY_REVENUE = {"o_orderdate": "DATE", "o_orderpriority": "VARCHAR", "revenue": "DECIMAL(38,4)", "orders": "BIGINT"}

COLUMNS = {"lineitem": LINEITEM, "orders": ORDERS, "order_revenue": ORDER_REVENUE, "daily_revenue": DAILY_REVENUE}
KEYS = {
    "lineitem": ["l_orderkey", "l_linenumber"],
    "orders": ["o_orderkey"],
    "order_revenue": ["o_orderkey"],
    "daily_revenue": ["o_orderdate", "o_orderpriority"],
}
DOMAINS = {"l_returnflag": ["A", "N", "R"], "l_linestatus": ["F", "O"]}
