"""The Glue Spark job that docs/migrate-from-glue.md starts from: a day of the shop's orders, raw to curated.

On Glue: --RAW, --CURATED and --ORDER_DATE as job arguments. On a laptop: `python orders_spark_job.py --RAW … --CURATED … --ORDER_DATE …`.
It is written as such jobs usually are, with the weaknesses the guide names.
"""
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

try:
    from awsglue.utils import getResolvedOptions
except ImportError:  # not on Glue

    def getResolvedOptions(argv, names):
        given = dict(zip(argv[1::2], argv[2::2]))
        return {name: given[f"--{name}"] for name in names}


args = getResolvedOptions(sys.argv, ["RAW", "CURATED", "ORDER_DATE"])
raw, day = args["RAW"], args["ORDER_DATE"]
spark = (
    SparkSession.builder.appName("orders")
    .config("spark.sql.sources.partitionOverwriteMode", "dynamic")
    .config("spark.sql.session.timeZone", "UTC")
    .getOrCreate()
)


def read(dataset):
    return spark.read.option("header", True).csv(f"{raw}/{dataset}/{day}/*.csv*")


orders = read("orders").select(
    F.col("id").alias("order_id"),
    F.col("customer").alias("customer_id"),
    "store_id",
    F.to_timestamp("ordered_at").alias("ordered_at"),
    F.col("subtotal").cast("bigint").alias("subtotal_cents"),
    F.col("tax_paid").cast("bigint").alias("tax_cents"),
    F.col("order_total").cast("bigint").alias("total_cents"),
).dropDuplicates(["order_id"])
products = read("products").select("sku", F.col("type").alias("product_type"), F.col("price").cast("bigint").alias("price_cents"))
customers = read("customers").select(F.col("id").alias("customer_id"), F.col("name").alias("customer_name"))
stores = read("stores").select(F.col("id").alias("store_id"), F.col("name").alias("store_name"))


def cents(product_type):
    return F.sum(F.when(F.col("product_type") == product_type, F.col("price_cents")).otherwise(0))


items = (
    read("items")
    .join(products, "sku", "left")
    .groupBy("order_id")
    .agg(
        F.count("*").alias("item_count"),
        cents("jaffle").alias("jaffle_cents"),
        cents("beverage").alias("beverage_cents"),
        F.sum("price_cents").alias("items_cents"),
    )
)
curated = (
    orders.join(items, "order_id", "left")
    .join(customers, "customer_id", "left")
    .join(stores, "store_id", "left")
    .na.fill(0, ["item_count", "jaffle_cents", "beverage_cents", "items_cents"])
    .withColumn("item_count", F.col("item_count").cast("int"))
    .withColumn("order_date", F.lit(day).cast("date"))
)
curated.repartition(1).write.mode("overwrite").partitionBy("order_date").parquet(f"{args['CURATED']}/orders")
spark.stop()
