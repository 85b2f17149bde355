"""The rounds: prepare, warm up, judge the output, then all contenders in turn, n times."""
import dataclasses
import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing

import lake
import measure
import verify

HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass
class Bench:
    """What one call of the program is asked for. `peers` maps a name to the number of runs it takes part in."""

    windrow: pathlib.Path
    out: pathlib.Path
    scale: str
    files: int
    runs: int
    threads: int
    peers: typing.Dict[str, int]
    floor: typing.Optional[pathlib.Path] = None
    polars_crate: typing.Optional[pathlib.Path] = None

    @property
    def data(self):
        return self.out / "data" / f"sf{self.scale}-{self.files}-files"

    @property
    def pysail_python(self):
        return self.out / "venv-pysail" / "bin" / "python"

    def need(self, *forms):
        """Makes the forms of the data that are missing."""
        program = [sys.executable, HERE / "data.py", self.scale, str(self.files), self.data, *forms]
        subprocess.run([str(part) for part in program], check=True)

    def call(self, command):
        """One process that is not measured."""
        subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, check=True)

    def inputs(self, table):
        return self.out / "run" / "inputs" / table

    def link_inputs(self, pattern, table):
        """Gives the files of one output to every contender as its input."""
        shutil.rmtree(self.inputs(table), ignore_errors=True)
        self.inputs(table).mkdir(parents=True)
        for number, file in enumerate(sorted(glob.glob(pattern))):
            lake.link_or_copy(file, self.inputs(table) / f"{number:05}.parquet")


def facts_of(*arguments):
    """What verify.py says, as a process of its own."""
    command = [sys.executable, str(HERE / "verify.py"), *map(str, arguments)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def run_once(bench, contender):
    """One measured run: the counted processes one after the other, and the wall time of the others. It begins with nothing left to write."""
    contender.prepare()
    os.sync()
    counted, between = [], 0.0
    for step in contender.steps:
        sample = measure.measure(step.command, bench.threads, bench.out / "run")
        if step.counted:
            counted.append(sample)
        else:
            between += sample["wall"]
    return dict(measure.total(counted), between=between)


def judge(contender, expected, ordered):
    """The facts of an output, or why it is not the expected one."""
    result = {"bytes": 0, "files": 0, "in_order": True, "invalid": None}
    for table, pattern in contender.outputs.items():
        found = facts_of(table, pattern)
        result["invalid"] = result["invalid"] or verify.difference(table, found, expected[table], ordered)
        result["bytes"] += found["bytes"]
        result["files"] += found["files"]
        result["in_order"] = result["in_order"] and not found.get("out_of_order", 0)
    return result


def say(text):
    print(text, file=sys.stderr, flush=True)


def warm_up(bench, contender, expected, ordered):
    """The first run, whose time counts for nothing and whose output is judged."""
    result = {"invalid": None, "wall": [], "cpu": [], "peak": [], "between": [], "note": contender.note}
    try:
        run_once(bench, contender)
        result.update(judge(contender, expected, ordered))
    except RuntimeError as error:
        result["invalid"] = str(error).splitlines()[0]
        say(f"  {error}")
    say(f"  {contender.name}: " + (f"INVALID: {result['invalid']}" if result["invalid"] else f"equal, {result['files']} files"))
    return result


def compare(bench, contenders, expected, ordered=True):
    """Measures contenders in turn. One whose output is not the expected one gets no figure."""
    results = {each.name: warm_up(bench, each, expected, ordered) for each in contenders}
    for number in range(bench.runs):
        for each in contenders:
            result = results[each.name]
            if result["invalid"] or number >= each.rounds:
                continue
            for key, value in run_once(bench, each).items():
                result[key].append(value)
        say(f"  run {number + 1} of {bench.runs}: " + ", ".join(f"{name} {r['wall'][-1]:.2f} s" for name, r in results.items() if r["wall"]))
    for each in contenders:
        each.prepare()
    lake.empty(bench.out / "run")
    return results
