"""Other readers see exactly what was published: readers.py WINDROW. Runs the demo, then compares with the raw files."""
import csv
import glob
import gzip
import pathlib
import subprocess
import sys
import tempfile

import duckdb
import polars
import pyarrow.dataset
import pyarrow.parquet

windrow = str(pathlib.Path(sys.argv[1]).resolve())


def raw_rows(lake, day):
    """Counts the data rows of one day with Python's own CSV reader."""
    rows = 0
    for path in glob.glob(f"{lake}/raw/flights/{day.replace('-', '/')}/*.csv*"):
        opener = gzip.open if path.endswith(".gz") else open
        with opener(path, "rt", newline="") as file:
            rows += sum(1 for _ in csv.reader(file)) - 1
    return rows


def counts(lake, layer):
    """Rows a day by each reader, with the partition column taken from the path."""
    folder = f"{lake}/{layer}/flights"
    by_duckdb = dict(
        duckdb.sql(f"SELECT flight_date::VARCHAR, count(*) FROM read_parquet('{folder}/*/*.parquet', hive_partitioning=true) GROUP BY 1").fetchall()
    )
    frame = polars.scan_parquet(f"{folder}/", hive_partitioning=True).group_by("flight_date").len().collect()
    by_polars = {str(day): rows for day, rows in frame.iter_rows()}
    table = pyarrow.dataset.dataset(folder, partitioning="hive").to_table(columns=["flight_date"])
    by_pyarrow = {}
    for day in table.column("flight_date").to_pylist():
        by_pyarrow[str(day)] = by_pyarrow.get(str(day), 0) + 1
    assert pyarrow.parquet.read_table(folder).num_rows == sum(by_pyarrow.values())
    return by_duckdb, by_polars, by_pyarrow


with tempfile.TemporaryDirectory() as folder:
    demo = f"{folder}/demo"
    subprocess.run([windrow, "demo", demo, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    lake = f"{demo}/lake"
    days = [f"2013-01-0{day}" for day in range(1, 8)]
    expected = {day: raw_rows(lake, day) for day in days}
    assert [expected[day] for day in days[:3]] == [842, 943, 914], expected
    for layer in ("clean", "curated"):
        for reader, found in zip(("duckdb", "polars", "pyarrow"), counts(lake, layer)):
            assert found == expected, (layer, reader, found, expected)
            print(f"{layer}.flights: {reader} sees {sum(found.values())} rows in {len(found)} windows, as in the raw files")
    revenue = duckdb.sql(f"SELECT sum(total_cents) FROM '{lake}/curated/store_revenue/*/*.parquet'").fetchall()[0][0]
    raw = duckdb.sql(f"SELECT sum(order_total) FROM read_csv('{lake}/raw/orders/*/*.csv', all_varchar=false)").fetchall()[0][0]
    assert revenue == raw, (revenue, raw)
    print(f"curated.store_revenue: {revenue} cents, as in the raw files")
