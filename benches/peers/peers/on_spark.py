"""Spark, and with the name `pysail` the same program on Sail: on_spark.py ENGINE WORK THREADS INPUT... OUT, with WORK w1, w2, w2m or w4.

The table is cached in w1: without that Spark reads the files three times. Sail has no cache, and it deals sorted rows to four files that
overlap, unless they are one partition: w1 gives it a constant partition column, so that its output is one file in key order."""
import os
import sys

import tables

COLUMNS = list(tables.LINEITEM)
SCHEMA = ", ".join(f"{name} {kind.replace('VARCHAR', 'STRING')}" for name, kind in tables.LINEITEM.items())
KEY = tables.KEYS["lineitem"]


def start_spark(threads, scratch):
    """Local mode with as many task threads as cores."""
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.memory": "8g",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": str(2 * int(threads)),
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.hadoop.parquet.compression.codec.zstd.level": "1",
        "spark.sql.files.openCostInBytes": "262144",
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": scratch,
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master(f"local[{threads}]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def start_sail():
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer()
    server.start(background=True)
    _, port = server.listening_address
    return SparkSession.builder.remote(f"sc://localhost:{port}").getOrCreate(), server


def read(session, folder):
    if any(name.endswith(".ndjson") for name in os.listdir(folder)):
        return session.read.schema(SCHEMA).option("mode", "FAILFAST").json(folder)
    return session.read.schema(SCHEMA).option("header", True).option("mode", "FAILFAST").option("dateFormat", "yyyy-MM-dd").csv(folder)


def write(table, path, sail, partition=()):
    options = {"compression": "zstd(1)"} if sail else {}
    table.write.options(**options).partitionBy(*partition).parquet(path)


def w1(session, sail, threads, raw, out):
    from pyspark.sql import functions as F

    table = read(session, raw).cache()
    counts = [F.sum(F.col(name).isNull().cast("int")).alias(name) for name in COLUMNS]
    for name, values in tables.DOMAINS.items():
        counts.append(F.sum((~F.col(name).isin(*values)).cast("int")).alias(f"{name}_domain"))
    bad = table.agg(*counts).collect()[0]
    assert not any(bad), bad
    assert not table.groupBy(*KEY).count().filter("count > 1").limit(1).collect()
    if sail:
        write(table.sort(*KEY).withColumn("part", F.lit(1)), f"{out}/lineitem", sail, ["part"])
    else:
        write(table.repartitionByRange(threads, *KEY).sortWithinPartitions(*KEY), f"{out}/lineitem", sail)


def w2(session, sail, threads, lineitem, orders, out):
    joined = join_and_sum(session, sail, lineitem, orders, out)
    write(joined.coalesce(threads), f"{out}/order_revenue", sail)


def w2m(session, sail, threads, lineitem, orders, out):
    from pyspark.sql import functions as F

    by_month = join_and_sum(session, sail, lineitem, orders, out).withColumn("month", F.date_format("o_orderdate", "yyyy-MM"))
    write(by_month.repartition(threads, "month"), f"{out}/order_revenue", sail, ["month"])


def join_and_sum(session, sail, lineitem, orders, out):
    """Every order, and the days written."""
    from pyspark.sql import functions as F

    revenue = F.col("l_extendedprice") * (1 - F.col("l_discount")).cast("decimal(3,2)")
    lines = session.read.parquet(lineitem).groupBy("l_orderkey").agg(
        F.sum(revenue).cast("decimal(38,4)").alias("revenue"),
        F.count("*").alias("lines"),
        F.sum("l_quantity").cast("decimal(38,2)").alias("quantity"),
        F.max("l_shipdate").alias("last_ship"),
    )
    joined = session.read.parquet(orders)
    joined = joined.join(lines, joined.o_orderkey == lines.l_orderkey).drop("l_orderkey").cache()
    daily = joined.groupBy("o_orderdate", "o_orderpriority").agg(F.sum("revenue").alias("revenue"), F.count("*").alias("orders"))
    write(daily.coalesce(1), f"{out}/daily_revenue", sail)
    return joined


def w4(session, sail, threads, small, out):
    write(session.read.parquet(small).coalesce(threads), f"{out}/lineitem", sail)


def stop_spark(session):
    """Waits for the JVM, so that its processor time is counted."""
    gateway = session.sparkContext._gateway
    session.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


def main():
    engine, work, threads, *paths = sys.argv[1:]
    run = {"w1": w1, "w2": w2, "w2m": w2m, "w4": w4}[work]
    if engine == "pysail":
        session, server = start_sail()
        run(session, True, int(threads), *paths)
        session.stop()
        server.stop()
    else:
        session = start_spark(threads, paths[-1] + "-scratch")
        run(session, False, int(threads), *paths)
        stop_spark(session)


if __name__ == "__main__":
    main()
