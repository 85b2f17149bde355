"""The works. Each makes its data, says what the output must be, and lets its contenders run in turn."""
import contenders
from bench import compare, facts_of, run_once, say

SCALES = ["0.1", "0.3", "1", "3"]
SCALE_LIMIT_MIB = 1024
LIMIT_FLAG = "--memory-limit"


def expect(bench, tables, lineitem=None):
    """The facts of the right outputs, from the generator's files."""
    sources = [lineitem or bench.data / "src/lineitem.csv", bench.data / "src/orders.csv"]
    return {table: facts_of(table, "--reference", *sources) for table in tables}


def clean(bench, form):
    """raw to clean: declared types, not null, domains, key, sort, zstd Parquet."""
    bench.need("src", form)
    expected = expect(bench, ["lineitem"])
    ours = [contenders.windrow_clean(bench, form)]
    if bench.floor and form == "w1":
        ours.append(contenders.program(bench, "floor", [bench.floor, "w1", bench.data / form], {"lineitem": "**/*.parquet"}))
    return compare(bench, ours + contenders.peers(bench, "w1", [bench.data / form], ["lineitem"]), expected)


def cold_start(bench):
    """raw to clean of 100 rows; windrow also checks and publishes."""
    bench.need("src", "row100")
    expected = expect(bench, ["lineitem"], bench.data / "row100/part-000.csv")
    ours = contenders.windrow_clean(bench, "row100", verb="run")
    return compare(bench, [ours] + contenders.peers(bench, "w1", [bench.data / "row100"], ["lineitem"]), expected)


def curated(bench):
    """clean to curated: group, join, aggregate; two tables."""
    bench.need("src", "w1")
    ours, inputs, tables = [contenders.windrow_curated(bench)], curated_inputs(bench), contenders.CURATED
    if bench.polars_crate:
        ours.append(contenders.program(bench, "polars-crate", [bench.polars_crate, "w2", *inputs], contenders.by_table(tables)))
    return compare(bench, ours + contenders.peers(bench, "w2", inputs, tables), expect(bench, tables), ordered=False)


def curated_split(bench):
    """The same in one window, the orders in files by month: `split` of windrow, Hive partitions of the peers."""
    bench.need("src", "w1")
    tables = contenders.CURATED
    ours = contenders.windrow_curated(bench, split="month(o_orderdate)")
    return compare(bench, [ours] + contenders.peers(bench, "w2m", curated_inputs(bench), tables), expect(bench, tables), ordered=False)


def curated_by_month(bench):
    """The same by month: windows of windrow, which checks and publishes them; Hive partitions of the peers."""
    bench.need("src", "months")
    tables = contenders.CURATED
    ours = contenders.windrow_months(bench)
    return compare(bench, [ours] + contenders.peers(bench, "w2m", curated_inputs(bench), tables), expect(bench, tables), ordered=False)


def curated_inputs(bench):
    return [bench.inputs(table) for table in contenders.INPUTS]


def compaction(bench):
    """Many small Parquet files to few; the order is judged only where it is claimed, by windrow."""
    bench.need("src", "w1")
    ours = contenders.windrow_compact(bench)
    others = contenders.peers(bench, "w4", [bench.inputs("lineitem")], ["lineitem"])
    results = compare(bench, [ours] + others, expect(bench, ["lineitem"]), ordered=False)
    lost = [result for result in results.values() if not result["invalid"] and not result["in_order"]]
    for result in lost:
        result["invalid" if result is results["windrow"] else "remark"] = "key order lost"
    return results


def limited(bench, mib):
    name = "windrow-limited"
    return contenders.windrow_clean(bench, "w1", name, flags=(LIMIT_FLAG, f"{mib}MiB"))


def memory(bench):
    """raw to clean at a quarter of the memory that the same work takes without a limit."""
    bench.need("src", "w1")
    expected = expect(bench, ["lineitem"])
    free = contenders.windrow_clean(bench, "w1")
    mib = run_once(bench, free)["peak"] // 4 >> 20
    pair = limited(bench, mib)
    pair.note = f"{LIMIT_FLAG} {mib}MiB"
    return compare(bench, [free, pair], expected)


def scale(bench):
    """raw to clean at several scales, with and without a limit of memory that is the same at all of them."""
    points = []
    for factor in SCALES:
        bench.scale = factor
        say(f" scale {factor}")
        bench.need("src", "w1")
        expected = expect(bench, ["lineitem"])
        pair = [contenders.windrow_clean(bench, "w1"), limited(bench, SCALE_LIMIT_MIB)]
        point = {"scale": float(factor), "rows": expected["lineitem"]["rows"], "limit_mib": SCALE_LIMIT_MIB}
        points.append(dict(point, contenders=compare(bench, pair, expected)))
    return points


WORKS = {
    "W1": ("raw to clean: 200 shuffled CSV files", lambda bench: clean(bench, "w1")),
    "W1-gzip": ("the same, gzip", lambda bench: clean(bench, "gzip")),
    "W1-ndjson": ("the same, NDJSON", lambda bench: clean(bench, "ndjson")),
    "W1-one": ("the same, one CSV file", lambda bench: clean(bench, "one")),
    "W1-tiny": ("the same, 10,000 CSV files", lambda bench: clean(bench, "tiny")),
    "W2": ("clean to curated: group, join, aggregate, two tables", curated),
    "W2-split": ("the same, the orders in 80 files by month", curated_split),
    "W2-months": ("the same, order by order in 80 partitions", curated_by_month),
    "W3": ("100 rows, cold start", cold_start),
    "W4": ("compaction of about 200 Parquet files", compaction),
    "memory": ("W1 at a quarter of the memory", memory),
    "scale": ("W1 at scales 0.1, 0.3, 1 and 3", scale),
}
