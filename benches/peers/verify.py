"""What a table holds, in numbers that two equal tables share: rows, a hash of all rows over all columns, and the order.

As a program: verify.py TABLE PATTERN prints the facts of Parquet files; verify.py TABLE --reference LINEITEM ORDERS computes them
from CSV files."""
import glob
import json
import os
import pathlib
import sys

import duckdb

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from peers import tables  # noqa: E402

ORDER_REVENUE = """SELECT o.*, l.* EXCLUDE (l_orderkey) FROM orders o JOIN (SELECT l_orderkey,
    sum(l_extendedprice * (1 - l_discount))::DECIMAL(38,4) AS revenue, count(*) AS lines, sum(l_quantity) AS quantity,
    max(l_shipdate) AS last_ship FROM lineitem GROUP BY l_orderkey) l ON o.o_orderkey = l.l_orderkey"""
DAILY_REVENUE = f"""SELECT o_orderdate, o_orderpriority, sum(revenue)::DECIMAL(38,4) AS revenue, count(*) AS orders
    FROM ({ORDER_REVENUE}) GROUP BY ALL"""
REFERENCE = {
    "lineitem": "SELECT * FROM lineitem",
    "orders": "SELECT * FROM orders",
    "order_revenue": ORDER_REVENUE,
    "daily_revenue": DAILY_REVENUE,
}


def connect():
    connection = duckdb.connect()
    connection.execute("SET threads=2; SET preserve_insertion_order=true")
    return connection


def contents(connection, table, relation):
    """Rows, and the sum of the hashes of all rows: equal for equal rows in any order."""
    row = ", ".join(f"{name}::{kind}" for name, kind in tables.COLUMNS[table].items())
    rows, total = connection.execute(f"SELECT count(*), coalesce(sum(hash({row})::HUGEINT), 0) FROM ({relation})").fetchone()
    return {"rows": rows, "hash": str(total)}


def columns(connection, relation):
    """Names and types as stored, without partition columns of the path."""
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE SELECT * FROM ({relation})").fetchall()}


def out_of_order(connection, table, files):
    """Rows whose key is not greater than that of the row before, the files read one after the other in the order of their names."""
    key = ", ".join(tables.KEYS[table])
    previous = f"lag(ROW({key})) OVER (ORDER BY filename, file_row_number)"
    source = f"read_parquet({files}, filename=true, file_row_number=true, hive_partitioning=false)"
    query = f"SELECT count(*) FROM (SELECT ROW({key}) AS k, {previous} AS p FROM {source}) WHERE k <= p"
    return connection.execute(query).fetchone()[0]


def facts(table, pattern):
    """All facts of the Parquet files that match a pattern."""
    files = sorted(name for name in glob.glob(pattern, recursive=True) if os.path.getsize(name))
    if not files:
        return {"rows": 0, "hash": "0", "columns": {}, "out_of_order": 0, "files": 0, "bytes": 0}
    connection = connect()
    relation = f"SELECT * FROM read_parquet({files}, hive_partitioning=false)"
    found = {"columns": columns(connection, relation), "files": len(files), "bytes": sum(map(os.path.getsize, files))}
    if found["columns"] == tables.COLUMNS[table]:
        found.update(contents(connection, table, relation))
        found["out_of_order"] = out_of_order(connection, table, files)
    return found


def reference(table, lineitem, orders):
    """The facts as they must be, from the CSV files that the inputs were made of."""
    connection = connect()
    for name, file in (("lineitem", lineitem), ("orders", orders)):
        source = f"read_csv('{file}', columns={tables.COLUMNS[name]}, header=true, auto_detect=false, quote='\"', escape='\"')"
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM {source}")
    return contents(connection, table, REFERENCE[table])


def difference(table, found, expected, ordered):
    """Why an output is not the expected one, or nothing."""
    if list(found["columns"].items()) != list(tables.COLUMNS[table].items()):
        wrong = sorted(set(found["columns"].items()) ^ set(tables.COLUMNS[table].items()))
        return f"{table}: columns or types differ: {', '.join(' '.join(pair) for pair in wrong) or 'their order'}"
    if found["rows"] != expected["rows"]:
        return f"{table}: {found['rows']} rows, expected {expected['rows']}"
    if found["hash"] != expected["hash"]:
        return f"{table}: the values of {found['rows']} rows differ"
    if ordered and found["out_of_order"]:
        return f"{table}: not in key order, {found['out_of_order']} rows come after a greater key"
    return None


if __name__ == "__main__":
    name, place, *sources = sys.argv[1:]
    print(json.dumps(reference(name, *sources) if place == "--reference" else facts(name, place)))
