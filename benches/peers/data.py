"""Makes the input files: TPC-H lineitem and orders by tpchgen-cli, shuffled with a fixed seed, in every form that a work reads.

As a program: data.py SCALE FILES FOLDER FORM... ; each form is made once and kept. It runs as a process of its own, so that the
memory it takes is given back."""
import collections
import concurrent.futures
import gzip
import pathlib
import random
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from peers import tables  # noqa: E402

SEED = 42
TINY_PER_FILE = 50
BLOCK_BYTES = 128 << 20

Spec = collections.namedtuple("Spec", "scale files")


def make_src(spec, folder):
    """lineitem.csv and orders.csv as the generator writes them."""
    tool = str(pathlib.Path(sys.executable).parent / "tpchgen-cli")
    command = [tool, "csv", "--quiet", "-s", spec.scale, "--tables=lineitem,orders", "--output-dir", str(folder)]
    subprocess.run(command, check=True)


def deal(source, buckets, choose):
    """Puts every line of an open file into a bucket by chance; answers the header."""
    header = source.readline()
    count = range(len(buckets))
    while True:
        lines = source.readlines(BLOCK_BYTES)
        if not lines:
            return header
        for line, bucket in zip(lines, choose.choices(count, k=len(lines))):
            buckets[bucket].append(line)


def make_w1(spec, folder):
    """Every line in a file picked by chance, and at a place picked by chance: any order of all rows can come out."""
    choose = random.Random(SEED)
    buckets = [[] for _ in range(spec.files)]
    with open(folder.parent / "src/lineitem.csv", "rb") as source:
        header = deal(source, buckets, choose)
    for number, lines in enumerate(buckets):
        choose.shuffle(lines)
        with open(folder / f"part-{number:03}.csv", "wb") as file:
            file.write(header)
            file.writelines(lines)
        lines.clear()


def each(folder, work):
    """Runs `work(source file, folder)` for every shuffled file, two at a time."""
    files = sorted((folder.parent / "w1").iterdir())
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work, file, folder) for file in files]:
            future.result()


def make_gzip(_spec, folder):
    def compress(file, target):
        (target / (file.name + ".gz")).write_bytes(gzip.compress(file.read_bytes(), 6, mtime=0))

    each(folder, compress)


def make_tiny(_spec, folder):
    """The same rows in fifty times as many files."""

    def split(file, target):
        with open(file, "rb") as source:
            header, *lines = source.readlines()
        for part in range(TINY_PER_FILE):
            (target / f"{file.stem}-{part:02}.csv").write_bytes(header + b"".join(lines[part::TINY_PER_FILE]))

    each(folder, split)


def make_one(_spec, folder):
    """All files in one."""
    with open(folder / "lineitem.csv", "wb") as target:
        for number, file in enumerate(sorted((folder.parent / "w1").iterdir())):
            with open(file, "rb") as source:
                header = source.readline()
                target.write(b"" if number else header)
                shutil.copyfileobj(source, target, 1 << 20)


def make_row100(_spec, folder):
    """The first hundred rows of the first file."""
    with open(folder.parent / "w1/part-000.csv", "rb") as source:
        (folder / "part-000.csv").write_bytes(b"".join(source.readline() for _ in range(101)))


def two_threads():
    """A new duckdb of two threads."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads=2")
    return connection


def csv_source(file, table):
    """A CSV file of a table as duckdb reads it."""
    return f"read_csv('{file}', columns={tables.COLUMNS[table]}, header=true, auto_detect=false, quote='\"', escape='\"')"


def make_ndjson(_spec, folder):
    """Numbers as numbers, dates and texts as strings."""
    connection = two_threads()
    for file in sorted((folder.parent / "w1").iterdir()):
        target = folder / f"{file.stem}.ndjson"
        connection.execute(f"COPY (SELECT * FROM {csv_source(file, 'lineitem')}) TO '{target}' (FORMAT json)")


def make_months(_spec, folder):
    """Orders and their lines in a folder for every month of the order."""
    connection = two_threads()
    for table, key in (("orders", "o_orderkey"), ("lineitem", "l_orderkey")):
        source = csv_source(folder.parent / f"src/{table}.csv", table)
        connection.execute(f"CREATE VIEW {table} AS SELECT *, {key} AS key FROM {source}")
    connection.execute("CREATE TEMP TABLE months AS SELECT key, strftime(o_orderdate, '%Y-%m') AS month FROM orders")
    for table in ("orders", "lineitem"):
        rows = f"SELECT t.* EXCLUDE (key), month FROM {table} t JOIN months USING (key)"
        connection.execute(f"COPY ({rows}) TO '{folder}/{table}' (FORMAT csv, HEADER, PARTITION_BY (month))")


FORMS = {
    "src": make_src,
    "w1": make_w1,
    "gzip": make_gzip,
    "ndjson": make_ndjson,
    "one": make_one,
    "tiny": make_tiny,
    "row100": make_row100,
    "months": make_months,
}
NEEDS = {"src": ["src"], "w1": ["src", "w1"], "months": ["src", "months"]}


def make(spec, folder, form):
    """Makes one form with what it is made of; a folder under its final name is whole."""
    for needed in NEEDS.get(form, ["src", "w1", form]):
        target = folder / needed
        if target.exists():
            continue
        partial = folder / f"{needed}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        FORMS[needed](spec, partial)
        partial.rename(target)
        print(f"made {needed}: {sum(file.stat().st_size for file in target.rglob('*') if file.is_file()) / 1e6:.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    for name in sys.argv[4:]:
        make(Spec(sys.argv[1], int(sys.argv[2])), pathlib.Path(sys.argv[3]), name)
