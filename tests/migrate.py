"""The Glue Spark job of docs/migrate-from-glue.md beside windrow: migrate.py WINDROW. Needs Java 17, `pip install pyspark==4.3.0 duckdb`; by hand.

1. Both run the example's seven days; the curated rows must be equal, value by value.
2. One cell becomes `12,50` in a copy: what Spark writes, and what windrow answers.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import duckdb

HERE = pathlib.Path(__file__).resolve().parent.parent
JOB = HERE / "examples" / "glue" / "orders_spark_job.py"
DAYS = [f"2019-03-{day:02}" for day in range(9, 16)]
COLUMNS = (
    "order_id, ordered_at, store_id, store_name, customer_id, customer_name, item_count, jaffle_cents, beverage_cents, "
    "items_cents, subtotal_cents, tax_cents, total_cents, order_date"
)


def spark(raw, curated, day):
    # Glue 4 and 5 run Spark 3, whose casts make null of what they cannot read; Spark 4 does so with this setting.
    settings = "--conf spark.sql.ansi.enabled=false pyspark-shell"
    environment = {**os.environ, "PYSPARK_SUBMIT_ARGS": settings, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "TZ": "UTC"}
    command = [sys.executable, str(JOB), "--RAW", str(raw), "--CURATED", str(curated), "--ORDER_DATE", day]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def rows(folder):
    query = f"SELECT {COLUMNS} FROM read_parquet('{folder}/orders/*/*.parquet', hive_partitioning = true) ORDER BY order_id"
    return duckdb.sql(query.replace("ordered_at,", "CAST(ordered_at AS TIMESTAMP) AS ordered_at,", 1)).fetchall()


def break_a_cell(raw, day):
    """The first amount of the first order becomes `12,50`; returns the order's id."""
    path = raw / "orders" / day / "orders.csv"
    lines = path.read_text().splitlines(keepends=True)
    cells = lines[1].rstrip("\n").split(",")
    order, cells[4] = cells[0], '"12,50"'
    path.write_text("".join([lines[0], ",".join(cells) + "\n", *lines[2:]]))
    return order


def main(windrow):
    duckdb.sql("SET TimeZone = 'UTC'")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run([windrow, "demo", f"{folder}/demo", "--quiet"], check=True, stdout=subprocess.DEVNULL)
        lake = folder / "demo" / "lake"
        for day in DAYS:
            spark(lake / "raw", folder / "spark", day)
        theirs, ours = rows(folder / "spark"), rows(lake / "curated")
        assert theirs == ours and len(ours) == 1679, (len(theirs), len(ours))
        print(f"equal: {len(ours)} rows of {len(DAYS)} days, {len(ours[0])} columns")

        day = DAYS[3]
        order = break_a_cell(lake / "raw", day)
        spark(lake / "raw", folder / "broken", day)
        seen = duckdb.sql(f"SELECT subtotal_cents, total_cents FROM read_parquet('{folder}/broken/orders/*/*.parquet') WHERE order_id = '{order}'").fetchall()
        assert seen and seen[0][0] is None, seen
        print(f"Spark, exit 0, wrote subtotal_cents = {seen[0][0]} for order {order}")
        command = [windrow, "run", "--project", f"{folder}/demo", "--dataset", "orders", "--window", day]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 65 and "12,50" in answer.stderr, answer
        assert rows(lake / "curated") == ours
        print(f"windrow, exit {answer.returncode}, changed nothing and said:\n{answer.stderr}")


main(str(pathlib.Path(sys.argv[1]).resolve()))
