"""Money is exact: money.py WINDROW TPCHGEN [SCALE]. Revenue of TPC-H lineitem, to the last digit, or the query is refused."""
import csv
import decimal
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import duckdb

decimal.getcontext().prec = 60
here = pathlib.Path(__file__).parent
windrow, tpchgen = (str(pathlib.Path(arg).resolve()) for arg in sys.argv[1:3])
scale = sys.argv[3] if len(sys.argv) > 3 else "0.1"


def reference(path):
    """sum(l_extendedprice * (1 - l_discount)) by flag and status, in Python's decimals."""
    totals = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            key = (row["l_returnflag"], row["l_linestatus"])
            value = decimal.Decimal(row["l_extendedprice"]) * (1 - decimal.Decimal(row["l_discount"]))
            totals[key] = totals.get(key, 0) + value
    return totals


with tempfile.TemporaryDirectory() as folder:
    project = pathlib.Path(folder) / "money"
    shutil.copytree(here / "money", project)
    raw = project / "lake/raw/lineitem/2024-01-01"
    raw.mkdir(parents=True)
    subprocess.run([tpchgen, "csv", "-s", scale, "--tables=lineitem", "--output-dir", str(raw)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([windrow, "run", "--project", str(project), "--dataset", "lineitem", "--window", "2024-01-01", "--quiet"], check=True)
    rows = duckdb.sql(f"SELECT l_returnflag, l_linestatus, revenue FROM '{project}/lake/curated/lineitem/*/*.parquet'").fetchall()
    found = {(flag, status): revenue for flag, status, revenue in rows}
    expected = reference(raw / "lineitem.csv")
    assert found == expected, (found, expected)
    print(f"scale {scale}: revenue {sum(found.values())} is exact in all {len(found)} groups")

    sql = project / "jobs/sql/revenue.sql"
    text = sql.read_text().replace("CAST(l_extendedprice AS DECIMAL(38,4)) * CAST(1 - l_discount AS DECIMAL(38,4))", "l_extendedprice * (1 - l_discount)")
    sql.write_text(text)
    lint = subprocess.run([windrow, "contract", "lint", "--project", str(project), "--output", "json"], capture_output=True, text=True)
    codes = {finding["code"]: finding for finding in json.loads(lint.stdout)["findings"]}
    assert lint.returncode == 78 and "W0704" in codes, lint.stdout
    assert "DECIMAL(38,4)" in codes["W0704"]["help"], codes["W0704"]
    print(f"without the casts it is refused: {codes['W0704']['file']}:{codes['W0704']['line']}: {codes['W0704']['help']}")
