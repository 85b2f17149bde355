"""Spark sees what was published: spark.py WINDROW. Needs Java 17 and `pip install pyspark==4.3.0`; not part of tests/run.sh."""
import pathlib
import subprocess
import sys
import tempfile

from pyspark.sql import SparkSession

windrow = str(pathlib.Path(sys.argv[1]).resolve())
options = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
}
with tempfile.TemporaryDirectory() as folder:
    subprocess.run([windrow, "demo", f"{folder}/demo", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    spark = SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    for layer in ("clean", "curated"):
        frame = spark.read.parquet(f"{folder}/demo/lake/{layer}/flights")
        days = {str(row["flight_date"]): row["count"] for row in frame.groupBy("flight_date").count().collect()}
        assert frame.count() == 6099 and len(days) == 7 and days["2013-01-01"] == 842, days
        print(f"{layer}.flights: Spark {spark.version} sees 6099 rows in 7 windows")
    spark.stop()
