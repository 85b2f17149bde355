"""The contenders: one program at one work each; how it is prepared, which processes it runs, where its output is."""
import dataclasses
import pathlib
import sys
import typing

import lake

HERE = pathlib.Path(__file__).parent
PEERS = ["duckdb", "polars", "datafusion", "pysail", "pyspark"]
INPUTS = ["lineitem", "orders"]
CURATED = ["order_revenue", "daily_revenue"]
EVERY = 1 << 30


@dataclasses.dataclass
class Step:
    """One process. One that is not counted runs between counted ones; its time is told beside the figures."""

    command: typing.List[typing.Any]
    counted: bool = True


@dataclasses.dataclass
class Contender:
    """`outputs` maps a table to the pattern of its files; `rounds` is how many of the runs it takes part in."""

    name: str
    prepare: typing.Callable[[], typing.Any]
    steps: typing.List[Step]
    outputs: typing.Dict[str, str]
    rounds: int = EVERY
    note: str = ""


def by_table(tables):
    """Where most programs write: a folder for every table."""
    return {table: f"{table}/**/*.parquet" for table in tables}


def program(bench, name, command, patterns, rounds=EVERY):
    """A program that writes below the folder it is given as its last argument."""
    folder = bench.out / "run" / name
    out = folder / "out"

    def prepare():
        lake.discard(folder, bench.out / "run")
        folder.mkdir(parents=True)

    outputs = {table: str(out / pattern) for table, pattern in patterns.items()}
    return Contender(name, prepare, [Step([*command, out])], outputs, rounds)


def peer(bench, name, work, inputs, tables):
    """A peer's script on folders of input files."""
    python = bench.pysail_python if name == "pysail" else sys.executable
    script = HERE / "peers" / ("on_spark.py" if name in ("pyspark", "pysail") else f"on_{name}.py")
    engine = [name] if name in ("pyspark", "pysail") else []
    return program(bench, name, [python, script, *engine, work, bench.threads, *inputs], by_table(tables), bench.peers[name])


def peers(bench, work, inputs, tables):
    return [peer(bench, name, work, inputs, tables) for name in bench.peers]


def windrow_clean(bench, form, name="windrow", verb="raw-to-clean", flags=()):
    """`windrow raw-to-clean` of one window, in a lake that knows nothing of it."""
    project = lake.Project(bench.windrow, bench.out / "run" / name)
    project.add_raw("lineitem", sorted((bench.data / form).iterdir()))
    if form == "ndjson":
        project.edit("lineitem.raw", "{format: csv}", "{format: ndjson}")
    steps = [Step(project.command(verb, "lineitem", *flags))]
    return Contender(name, project.forget, steps, {"lineitem": project.output("clean", "lineitem")})


def windrow_curated(bench, split=None):
    """Two `windrow clean-to-curated`; the first table is checked and published in between, because the second reads it."""
    project = lake.Project(bench.windrow, bench.out / "run" / "windrow")
    if split:
        before = "- {property: transform, "
        project.edit("order_revenue.curated", before, f"- {{property: split, vendor: windrow, value: {split}}}\n      {before}")
    project.add_raw("lineitem", sorted((bench.data / "w1").iterdir()))
    project.add_raw("orders", [bench.data / "src/orders.csv"])
    publish_inputs(bench, project)
    steps = [
        Step(project.command("clean-to-curated", "order_revenue")),
        Step(project.command("check", "order_revenue", "--layer", "curated"), counted=False),
        Step(project.command("publish", "order_revenue", "--layer", "curated"), counted=False),
        Step(project.command("clean-to-curated", "daily_revenue")),
    ]
    outputs = {table: project.output("curated", table) for table in CURATED}
    return Contender("windrow", lambda: project.forget("curated"), steps, outputs, note="check and publish of the first table")


def windrow_months(bench):
    """`windrow run` of both tables, a window for every month; the clean windows are there and stay."""
    project = lake.Project(bench.windrow, bench.out / "run" / "windrow", windows=("--from", "1992-01", "--to", "1998-09"))
    project.by_month()
    for dataset in INPUTS:
        for folder in sorted((bench.data / "months" / dataset).iterdir()):
            project.add_raw(dataset, sorted(folder.iterdir()), folder.name.partition("=")[2])
    publish_inputs(bench, project)
    outputs = {table: project.output("curated", table) for table in CURATED}
    return Contender("windrow", lambda: project.forget("curated"), [Step(project.command("run", "daily_revenue"))], outputs)


def publish_inputs(bench, project):
    """The clean tables, whose files every contender reads."""
    for dataset in INPUTS:
        bench.call(project.command("run", dataset))
        bench.link_inputs(project.output("clean", dataset), dataset)


def windrow_compact(bench):
    """`windrow compact` of a published window of about 200 files; the peers read the same files."""
    small = lake.Project(bench.windrow, bench.out / "run" / "windrow-small")
    raw = sorted((bench.data / "w1").iterdir())
    small.add_raw("lineitem", raw)
    kib = max(1, sum(file.stat().st_size for file in raw) // 1_000_000)
    sort = "- {property: sort, "
    target = f"- {{property: output, vendor: windrow, value: {{targetFileSize: {kib}KiB}}}}\n      {sort}"
    small.edit("lineitem.clean", sort, target)
    bench.call(small.command("run", "lineitem"))
    bench.link_inputs(small.output("clean", "lineitem"), "lineitem")
    small.edit("lineitem.clean", target, sort)

    folder = bench.out / "run" / "windrow"
    project = lake.Project(bench.windrow, folder)
    steps = [Step(project.command("compact", "lineitem", "--layer", "clean"))]
    outputs = {"lineitem": project.output("clean", "lineitem", epoch=2)}
    return Contender("windrow", lambda: lake.link_tree(small.folder, folder), steps, outputs)
