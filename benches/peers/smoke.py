"""A small W1 of windrow, duckdb and polars, and the proof that a wrong row and a wrong order are found."""
import pathlib
import shutil
import tempfile

import bench
import contenders
import works
from peers import tables
from verify import connect, difference

SCALE, FILES = "0.01", 10


def plant(source, target, query):
    """A copy of an output, made differently in one thing."""
    target.mkdir()
    columns = ", ".join(tables.LINEITEM)
    rows = f"(SELECT {columns}, file_row_number AS n FROM read_parquet('{source}', file_row_number=true, hive_partitioning=false))"
    connect().execute(f"COPY ({query.format(columns=columns, rows=rows)}) TO '{target}/x.parquet' (FORMAT parquet)")
    return str(target / "*.parquet")


PLANTED = {
    "a copy": ("SELECT {columns} FROM {rows} ORDER BY n", None),
    "a wrong cent": (
        "SELECT * EXCLUDE (n) REPLACE (CASE WHEN n = 4711 THEN l_tax + 0.01 ELSE l_tax END::DECIMAL(15,2) AS l_tax) FROM {rows} ORDER BY n",
        "values",
    ),
    "a lost row": ("SELECT {columns} FROM {rows} WHERE n <> 4711 ORDER BY n", "rows"),
    "two rows swapped": ("SELECT {columns} FROM {rows} ORDER BY CASE WHEN n = 4711 THEN 4712 WHEN n = 4712 THEN 4711 ELSE n END", "order"),
    "a float": ("SELECT * EXCLUDE (n) REPLACE (l_tax::DOUBLE AS l_tax) FROM {rows} ORDER BY n", "types"),
}


def prove_the_verifier(folder, pattern, expected):
    """Every planted defect must be found, and the copy without one must pass."""
    for name, (query, word) in PLANTED.items():
        planted = plant(pattern, folder / name.replace(" ", "-"), query)
        found = difference("lineitem", bench.facts_of("lineitem", planted), expected, ordered=True)
        assert (found is None) if word is None else (found and word in found), (name, found)
        print(f"{name}: {found or 'equal'}")


def files_swapped(folder, pattern, expected):
    """Two files, each in order, in the wrong order of their names."""
    for number, half in enumerate(("n >= 30000", "n < 30000")):
        plant(pattern, folder / f"half-{number}", f"SELECT {{columns}} FROM {{rows}} WHERE {half} ORDER BY n")
    (folder / "swapped").mkdir()
    for number in (0, 1):
        (folder / f"half-{number}/x.parquet").rename(folder / f"swapped/{number}.parquet")
    found = difference("lineitem", bench.facts_of("lineitem", str(folder / "swapped/*.parquet")), expected, ordered=True)
    assert found and "order" in found, found
    print(f"two files swapped: {found}")


def run(windrow):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="windrow-peers-"))
    try:
        (folder / "run").mkdir()
        chosen = bench.Bench(windrow, folder, SCALE, FILES, 1, 2, {"duckdb": 1, "polars": 1})
        results = works.clean(chosen, "w1")
        wrong = {name: result["invalid"] for name, result in results.items() if result["invalid"]}
        assert not wrong, wrong
        expected = works.expect(chosen, ["lineitem"])["lineitem"]
        ours = contenders.windrow_clean(chosen, "w1")
        bench.run_once(chosen, ours)
        prove_the_verifier(folder, ours.outputs["lineitem"], expected)
        files_swapped(folder, ours.outputs["lineitem"], expected)
        print(f"{', '.join(results)}: equal and in key order, {expected['rows']} rows")
        return 0
    finally:
        shutil.rmtree(folder)
