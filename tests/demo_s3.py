"""The examples on an S3 lake, as `make demo-s3` runs them: demo_s3.py WINDROW. The server is SeaweedFS instead of MinIO."""
import os
import pathlib
import subprocess
import sys

import polars
import pyarrow.dataset
import pyarrow.fs

import weed

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUCKET, LAKE = "windrow-demo", "windrow-demo/lake"
windrow = str(pathlib.Path(sys.argv[1]).resolve())


def run(endpoint):
    """Runs the script of the demo and returns its last lines and what it said."""
    keys = {"AWS_ACCESS_KEY_ID": weed.KEY, "AWS_SECRET_ACCESS_KEY": weed.SECRET, "AWS_ENDPOINT_URL_S3": endpoint}
    environment = {"PATH": os.environ["PATH"], **keys}
    done = subprocess.run(
        ["sh", ROOT / "examples/demo-s3.sh", windrow], env=environment, text=True, capture_output=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("Done.")]


def listing(store):
    """Every object outside raw/ with its size and time."""
    selector = pyarrow.fs.FileSelector(f"{LAKE}/store", recursive=True)
    return {info.path: (info.size, info.mtime_ns) for info in store.get_file_info(selector) if info.is_file}


with weed.server(BUCKET) as endpoint:
    store = weed.file_system(endpoint)
    pyarrow.fs.copy_files(str(ROOT / "examples/raw"), f"{LAKE}/raw", destination_filesystem=store)
    first = run(endpoint)
    assert [line.split(" ROWS=")[1].split(" ")[0] for line in first] == ["6099", "1679", "11"], first
    written = listing(store)
    second = run(endpoint)
    assert all(" OK=0 SKIP=7 QUARANTINED=0 FAIL=0 " in line for line in second), second
    assert listing(store) == written, "a second run writes nothing"
    for dataset, rows in (("flights", 6099), ("orders", 1679)):
        for layer in ("clean", "curated"):
            place = f"{LAKE}/{layer}/{dataset}"
            table = pyarrow.dataset.dataset(place, partitioning="hive", filesystem=store).to_table()
            assert table.num_rows == rows, (place, table.num_rows)
            options = {"aws_access_key_id": weed.KEY, "aws_secret_access_key": weed.SECRET, "aws_endpoint_url": endpoint,
                       "aws_region": "us-east-1", "aws_allow_http": "true"}
            seen = polars.scan_parquet(f"s3://{place}/", hive_partitioning=True, storage_options=options).collect().height
            assert seen == rows, (place, seen)
            print(f"s3://{place}: pyarrow and polars see {rows} rows")
    print("a second run of every window changes no object")
