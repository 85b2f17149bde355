"""polars: on_polars.py WORK THREADS INPUT... OUT, with WORK w1, w2, w2m or w4."""
import os
import sys

os.environ["POLARS_MAX_THREADS"] = sys.argv[2]
import polars as pl  # noqa: E402

import tables  # noqa: E402

KINDS = {"BIGINT": pl.Int64, "INTEGER": pl.Int32, "DECIMAL(15,2)": pl.Decimal(15, 2), "VARCHAR": pl.String, "DATE": pl.Date}
SCHEMA = {name: KINDS[kind] for name, kind in tables.LINEITEM.items()}
KEY = tables.KEYS["lineitem"]
ZSTD = {"compression": "zstd", "compression_level": 1, "mkdir": True}


def read(folder):
    """polars reads no decimals from NDJSON: those numbers are read as floats, whose cast gives the digits that were written."""
    if not any(name.endswith(".ndjson") for name in os.listdir(folder)):
        return pl.scan_csv(f"{folder}/*", schema=SCHEMA).collect(engine="streaming")
    decimals = [name for name, kind in SCHEMA.items() if kind == pl.Decimal(15, 2)]
    floats = dict(SCHEMA, **{name: pl.Float64 for name in decimals})
    exact = [pl.col(name).cast(SCHEMA[name]) for name in decimals]
    return pl.scan_ndjson(f"{folder}/*", schema=floats).with_columns(exact).collect(engine="streaming")


def w1(raw, out):
    table = read(raw)
    assert not any(table.null_count().row(0))
    for name, values in tables.DOMAINS.items():
        assert table[name].is_in(values).all(), name
    table = table.sort(KEY)
    same = [pl.col(name) == pl.col(name).shift() for name in KEY]
    assert not table.lazy().select((same[0] & same[1]).any()).collect().item()
    parts = pl.PartitionBy(f"{out}/lineitem", approximate_bytes_per_file=512 << 20)
    table.lazy().sink_parquet(parts, engine="streaming", **ZSTD)


def w2(lineitem, orders, out):
    curated(lineitem, orders, out, f"{out}/order_revenue/x.parquet")


def w2m(lineitem, orders, out):
    month = pl.col("o_orderdate").dt.strftime("%Y-%m").alias("month")
    curated(lineitem, orders, out, pl.PartitionBy(f"{out}/order_revenue", key=month, include_key=False))


def curated(lineitem, orders, out, order_revenue):
    """A product keeps the larger scale of both factors, so the price gets the four digits first. One plan with two sinks."""
    price = pl.col("l_extendedprice").cast(pl.Decimal(38, 4))
    lines = (
        pl.scan_parquet(f"{lineitem}/*.parquet")
        .group_by("l_orderkey")
        .agg(
            (price * (1 - pl.col("l_discount"))).sum().alias("revenue"),
            pl.len().cast(pl.Int64).alias("lines"),
            pl.col("l_quantity").sum().alias("quantity"),
            pl.col("l_shipdate").max().alias("last_ship"),
        )
    )
    joined = pl.scan_parquet(f"{orders}/*.parquet").join(lines, left_on="o_orderkey", right_on="l_orderkey")
    daily = joined.group_by("o_orderdate", "o_orderpriority").agg(pl.col("revenue").sum(), pl.len().cast(pl.Int64).alias("orders"))
    sinks = [
        daily.sink_parquet(f"{out}/daily_revenue/x.parquet", lazy=True, **ZSTD),
        joined.sink_parquet(order_revenue, lazy=True, **ZSTD),
    ]
    pl.collect_all(sinks, engine="streaming")


def w4(small, out):
    parts = pl.PartitionBy(f"{out}/lineitem", approximate_bytes_per_file=512 << 20)
    pl.scan_parquet(f"{small}/*.parquet").sink_parquet(parts, engine="streaming", **ZSTD)


if __name__ == "__main__":
    {"w1": w1, "w2": w2, "w2m": w2m, "w4": w4}[sys.argv[1]](*sys.argv[3:])
