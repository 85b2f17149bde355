"""DuckDB: on_duckdb.py WORK THREADS INPUT... OUT, with WORK w1, w2, w2m or w4.

One sorted file in w1: with FILE_SIZE_BYTES row groups come out of key order."""
import os
import sys

import duckdb

import tables

PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
KEY = ", ".join(tables.KEYS["lineitem"])


def source(folder):
    """The files of a folder as a table function, nothing about them guessed."""
    columns = dict(tables.LINEITEM)
    if any(name.endswith(".ndjson") for name in os.listdir(folder)):
        return f"read_json('{folder}/*', columns={columns}, format='newline_delimited')"
    dialect = "header=true, auto_detect=false, delim=',', quote='\"', escape='\"', dateformat='%Y-%m-%d'"
    return f"read_csv('{folder}/*', columns={columns}, {dialect})"


def check(connection):
    """Not null in every column, the domains, the key."""
    counts = [f"count(*) - count({name})" for name in tables.LINEITEM]
    for name, values in tables.DOMAINS.items():
        counts.append(f"count(*) FILTER ({name} NOT IN {tuple(values)})")
    bad = connection.execute(f"SELECT {', '.join(counts)} FROM t").fetchall()[0]
    assert not any(bad), bad
    twice = connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM t GROUP BY {KEY} HAVING count(*) > 1)").fetchall()[0][0]
    assert twice == 0, twice


def w1(connection, raw, out):
    connection.execute(f"CREATE TEMP TABLE t AS SELECT * FROM {source(raw)}")
    check(connection)
    os.makedirs(f"{out}/lineitem")
    connection.execute(f"COPY (SELECT * FROM t ORDER BY {KEY}) TO '{out}/lineitem/x.parquet' ({PARQUET})")


def w2(connection, lineitem, orders, out):
    join_and_sum(connection, lineitem, orders, out)
    os.makedirs(f"{out}/order_revenue")
    connection.execute(f"COPY e TO '{out}/order_revenue/x.parquet' ({PARQUET})")


def w2m(connection, lineitem, orders, out):
    join_and_sum(connection, lineitem, orders, out)
    by_month = "SELECT *, strftime(o_orderdate, '%Y-%m') AS month FROM e"
    connection.execute(f"COPY ({by_month}) TO '{out}/order_revenue' ({PARQUET}, PARTITION_BY (month))")


def join_and_sum(connection, lineitem, orders, out):
    """Every order as the table `e`, and the days. The product fits 18 digits, so that it is computed in 64 bits; the sum has 38."""
    os.makedirs(f"{out}/daily_revenue")
    connection.execute(
        f"""CREATE TEMP TABLE e AS SELECT o.*, l.revenue, l.lines, l.quantity, l.last_ship FROM '{orders}/*.parquet' o JOIN (
        SELECT l_orderkey, sum(l_extendedprice * (1 - l_discount)::DECIMAL(3,2))::DECIMAL(38,4) AS revenue, count(*) AS lines,
        sum(l_quantity) AS quantity, max(l_shipdate) AS last_ship FROM '{lineitem}/*.parquet' GROUP BY 1) l
        ON o.o_orderkey = l.l_orderkey"""
    )
    daily = "SELECT o_orderdate, o_orderpriority, sum(revenue) AS revenue, count(*) AS orders FROM e GROUP BY ALL"
    connection.execute(f"COPY ({daily}) TO '{out}/daily_revenue/x.parquet' ({PARQUET})")


def w4(connection, small, out):
    os.makedirs(out)
    options = f"{PARQUET}, FILE_SIZE_BYTES '128MB', PER_THREAD_OUTPUT false"
    connection.execute(f"COPY (SELECT * FROM '{small}/*.parquet') TO '{out}/lineitem' ({options})")


if __name__ == "__main__":
    work, threads, *paths = sys.argv[1:]
    opened = duckdb.connect(":memory:")
    opened.execute(f"SET threads={threads}; SET preserve_insertion_order=false")
    {"w1": w1, "w2": w2, "w2m": w2m, "w4": w4}[work](opened, *paths)
