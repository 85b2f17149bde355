"""DataFusion: on_datafusion.py WORK THREADS INPUT... OUT, with WORK w1, w2, w2m or w4.

One file in w1: the default of several files at once writes them out of key order."""
import os
import sys

import pyarrow as pa
from datafusion import SessionConfig, SessionContext

import tables

KINDS = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "DECIMAL(15,2)": pa.decimal128(15, 2), "VARCHAR": pa.string(), "DATE": pa.date32()}
SCHEMA = pa.schema([(name, KINDS[kind]) for name, kind in tables.LINEITEM.items()])
KEY = ", ".join(tables.KEYS["lineitem"])
ZSTD = "OPTIONS ('format.compression' 'zstd(1)')"
ONE_FILE = {
    "datafusion.execution.minimum_parallel_output_files": "1",
    "datafusion.execution.soft_max_rows_per_output_file": "1000000000",
}


def register(context, folder):
    """The files of a folder as the table `src`, nothing about them guessed."""
    name = os.listdir(folder)[0]
    if name.endswith(".ndjson"):
        context.register_json("src", folder + "/", schema=SCHEMA, file_extension=".ndjson")
    elif name.endswith(".gz"):
        context.register_csv("src", folder + "/", schema=SCHEMA, has_header=True, file_extension=".csv.gz", file_compression_type="gzip")
    else:
        context.register_csv("src", folder + "/", schema=SCHEMA, has_header=True)


def check(context):
    """Not null in every column, the domains, the key."""
    counts = [f"count(*) - count({name}) AS {name}" for name in tables.LINEITEM]
    for name, values in tables.DOMAINS.items():
        counts.append(f"sum(CASE WHEN {name} NOT IN {tuple(values)} THEN 1 ELSE 0 END) AS {name}_domain")
    bad = context.sql(f"SELECT {', '.join(counts)} FROM t").to_pylist()[0]
    assert not any(bad.values()), bad
    twice = context.sql(f"SELECT count(*) AS n FROM (SELECT 1 FROM t GROUP BY {KEY} HAVING count(*) > 1)").to_pylist()
    assert twice[0]["n"] == 0, twice


def w1(context, raw, out):
    register(context, raw)
    context.register_view("t", context.sql("SELECT * FROM src").cache())
    check(context)
    context.sql(f"COPY (SELECT * FROM t ORDER BY {KEY}) TO '{out}/lineitem/' STORED AS PARQUET {ZSTD}").collect()


def w2(context, lineitem, orders, out):
    join_and_sum(context, lineitem, orders, out)
    context.sql(f"COPY e TO '{out}/order_revenue/' STORED AS PARQUET {ZSTD}").collect()


def w2m(context, lineitem, orders, out):
    join_and_sum(context, lineitem, orders, out)
    by_month = "SELECT *, to_char(o_orderdate, '%Y-%m') AS month FROM e"
    context.sql(f"COPY ({by_month}) TO '{out}/order_revenue/' STORED AS PARQUET PARTITIONED BY (month) {ZSTD}").collect()


def join_and_sum(context, lineitem, orders, out):
    """Every order as the table `e`, and the days."""
    context.register_parquet("l", lineitem)
    context.register_parquet("o", orders)
    joined = context.sql(
        """SELECT o.*, l.revenue, l.lines, l.quantity, l.last_ship FROM o JOIN (
        SELECT l_orderkey, CAST(sum(l_extendedprice * CAST(1 - l_discount AS DECIMAL(3,2))) AS DECIMAL(38,4)) AS revenue,
        count(*) AS lines, CAST(sum(l_quantity) AS DECIMAL(38,2)) AS quantity, max(l_shipdate) AS last_ship FROM l GROUP BY 1) l
        ON o.o_orderkey = l.l_orderkey"""
    )
    context.register_view("e", joined.cache())
    daily = "SELECT o_orderdate, o_orderpriority, sum(revenue) AS revenue, count(*) AS orders FROM e GROUP BY 1, 2"
    context.sql(f"COPY ({daily}) TO '{out}/daily_revenue/' STORED AS PARQUET {ZSTD}").collect()


def w4(context, small, out):
    context.register_parquet("t", small)
    context.sql(f"COPY t TO '{out}/lineitem/' STORED AS PARQUET {ZSTD}").collect()


if __name__ == "__main__":
    work, threads, *paths = sys.argv[1:]
    os.makedirs(paths[-1])
    config = SessionConfig().with_target_partitions(int(threads))
    for key, value in ONE_FILE.items() if work == "w1" else ():
        config = config.set(key, value)
    {"w1": w1, "w2": w2, "w2m": w2m, "w4": w4}[work](SessionContext(config), *paths)
