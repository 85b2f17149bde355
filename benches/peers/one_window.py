"""One 842-row window, end to end, against a duckdb one-liner: one_window.py WINDROW [PAIRS].

windrow: new process; project and lint; list, read strictly (one file gzip), derive, sort, check keys, 16 quality rules on two tables,
publish clean and curated through the ledger. duckdb: new Python process; read the same files, derive, sort, write one Parquet file; no
check. Whole processes in turn, medians and the ratio pair by pair."""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

windrow = str(pathlib.Path(sys.argv[1]).resolve())
pairs = int(sys.argv[2]) if len(sys.argv) > 2 else 11

DUCKDB = """
import duckdb, sys
duckdb.sql("SET threads=2")
duckdb.sql(f\"\"\"COPY (SELECT *, make_date(year, month, day) AS flight_date FROM read_csv('{sys.argv[1]}/*.csv*', nullstr='NA', header=true)
ORDER BY time_hour, carrier, flight, origin) TO '{sys.argv[2]}' (FORMAT parquet, COMPRESSION zstd)\"\"\")
"""


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


with tempfile.TemporaryDirectory() as folder:
    demo = f"{folder}/demo"
    subprocess.run([windrow, "demo", demo, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    run = [windrow, "run", "--project", demo, "--dataset", "flights", "--window", "2013-01-01", "--force"]
    peer = [sys.executable, "-c", DUCKDB, f"{demo}/lake/raw/flights/2013/01/01", f"{folder}/out.parquet"]
    seconds(run), seconds(peer)
    ours, theirs = zip(*((seconds(run), seconds(peer)) for _ in range(pairs)))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    print(f"{os.cpu_count()} cores, {pairs} pairs, medians: windrow {statistics.median(ours):.3f} s, duckdb {statistics.median(theirs):.3f} s, ratio {ratio:.2f}")
