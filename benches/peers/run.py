"""windrow and its peers on the same files, in turn: see benches/README.md.

  python benches/peers/run.py --windrow target/release/windrow --work W1,W2 --peers duckdb,polars,datafusion --runs 5
  python benches/peers/run.py --smoke --windrow target/release/windrow
  python benches/peers/run.py --report docs/benchmarks.md
"""
import argparse
import os
import pathlib
import subprocess
import sys
import venv

import bench
import contenders
import report
import results
import smoke
import works

HERE = pathlib.Path(__file__).parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windrow", type=pathlib.Path, metavar="BIN", help="the program to compare")
    parser.add_argument("--work", default="W1", help=f"comma-separated: {', '.join(works.WORKS)}; or all (default: W1)")
    parser.add_argument("--peers", default="duckdb,polars,datafusion", help=f"of {', '.join(contenders.PEERS)}; pyspark:1 takes part in one run only")
    parser.add_argument("--scale", default="1", help="scale factor of TPC-H (default: 1)")
    parser.add_argument("--runs", type=int, default=5, help="measured runs after the first one (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="cores and threads of every contender (default: 2)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/bench"), help="folder of data and results (default: target/bench)")
    parser.add_argument("--floor", type=pathlib.Path, metavar="PATH", help="another contender at W1, run as PATH w1 RAW OUT")
    parser.add_argument("--polars-crate", type=pathlib.Path, metavar="PATH", help="another contender at W2, run as PATH w2 LINEITEM ORDERS OUT")
    parser.add_argument("--report", type=pathlib.Path, metavar="FILE", help="fill the tables of this document from the results")
    parser.add_argument("--smoke", action="store_true", help="a small W1 and two planted defects, for tests")
    return parser.parse_args()


def rounds_of(names, runs):
    """`a,b:1` as {a: runs, b: 1}."""
    chosen = {}
    for item in filter(None, names.split(",")):
        name, _, limit = item.partition(":")
        if name not in contenders.PEERS:
            sys.exit(f"--peers: no peer is called {name}; known: {', '.join(contenders.PEERS)}")
        chosen[name] = int(limit or runs)
    return chosen


def works_of(names):
    chosen = list(works.WORKS) if names == "all" else names.split(",")
    for name in chosen:
        if name not in works.WORKS:
            sys.exit(f"--work: no work is called {name}; known: {', '.join(works.WORKS)}")
    return chosen


def bench_of(options):
    out = options.out.resolve()
    given = [path and path.resolve() for path in (options.floor, options.polars_crate)]
    peers = rounds_of(options.peers, options.runs)
    return bench.Bench(options.windrow.resolve(), out, options.scale, 200, options.runs, options.threads, peers, *given)


def install_pysail(chosen):
    """Sail needs another PySpark than Spark: it gets an environment of its own."""
    if "pysail" not in chosen.peers or chosen.pysail_python.exists():
        return
    venv.create(chosen.out / "venv-pysail", with_pip=True)
    chosen.call([chosen.pysail_python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements-pysail.txt"])


def run_works(options):
    """Every work in turn; what is measured is saved after each. Answers whether all of windrow's outputs are right."""
    right = True
    for name in works_of(options.work):
        chosen = bench_of(options)
        (chosen.out / "run").mkdir(parents=True, exist_ok=True)
        install_pysail(chosen)
        title, work = works.WORKS[name]
        bench.say(f"{name}: {title}, scale {options.scale if name != 'scale' else 'by scale'}")
        record = results.provenance(chosen)
        record["measured"] = work(chosen)
        results.save(chosen.out / "results.json", name, dict(record, title=title))
        right = right and results.windrow_is_right(record["measured"])
    return right


def main():
    for name in [name for name in os.environ if name.startswith("WINDROW_")]:
        del os.environ[name]
    options = arguments()
    if options.windrow is None and options.report is None:
        sys.exit("--windrow BIN is needed, or --report FILE alone")
    if options.smoke:
        return smoke.run(options.windrow.resolve())
    right = run_works(options) if options.windrow else True
    report.write(options.out, options.report)
    return 0 if right else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}")
