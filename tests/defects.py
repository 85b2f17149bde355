#!/usr/bin/env python3
"""Seeds defects into the ledger, one at a time, and demands that the simulation finds each of them.

    tests/defects.py [--target DIR] [NAME ...]

tests/defects.json names the defects: exact texts of the sources and what they become. The tree (what git knows of it) is
copied below DIR (default: $CARGO_TARGET_DIR, else target) and never changed in place. A text that does not occur exactly
once, a defect that does not compile and a defect that the simulation survives are errors. That the simulation passes
without a defect is what the tests themselves show, with the same seeds and more.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEST = "sim::any_schedule_keeps_every_invariant"
FOUND = re.compile(r"^seed (\d+) breaks ([^:]+): (.*)$", re.MULTILINE)


def copy_tree(copy: pathlib.Path) -> None:
    """Makes the copy what git knows of the tree; files that are the same already keep their times."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    names = {name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()}
    for file in copy.rglob("*"):
        if file.is_file() and str(file.relative_to(copy)) not in names:
            file.unlink()
    for name in sorted(names):
        source, target = ROOT / name, copy / name
        if not target.is_file() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def seeded(defect: dict) -> dict:
    """The files of a defect with their changed texts; every text to find occurs exactly once."""
    texts = {}
    for edit in defect["edits"]:
        text = texts.get(edit["file"]) or (ROOT / edit["file"]).read_text(encoding="utf-8")
        count = text.count(edit["find"])
        if count != 1:
            raise ValueError(f"{defect['name']}: the text to find occurs {count} times in {edit['file']}: {edit['find']!r}")
        texts[edit["file"]] = text.replace(edit["find"], edit["replace"])
    return texts


def simulate(copy: pathlib.Path, target: pathlib.Path, seeds: int) -> str:
    """What the simulation finds in the copy; raises when it does not compile or finds nothing."""
    environment = dict(os.environ, CARGO_TARGET_DIR=str(target), CARGO_PROFILE_DEV_DEBUG="0", RUST_BACKTRACE="0")
    environment.pop("WINDROW_SIM_SEED", None)
    environment["WINDROW_SIM_SCHEDULES"] = str(seeds)
    command = ["cargo", "test", "--locked", "--quiet", "-p", "windrow-lake", "--test", "it"]
    built = subprocess.run([*command, "--no-run"], cwd=copy, env=environment, capture_output=True, text=True)
    if built.returncode != 0:
        raise ValueError("does not compile:\n" + built.stderr[-3000:])
    ran = subprocess.run([*command, "--", "--exact", TEST], cwd=copy, env=environment, capture_output=True, text=True)
    output = ran.stdout + ran.stderr
    found = FOUND.search(output)
    if ran.returncode == 0:
        raise ValueError(f"survived {seeds} schedules")
    if not found:
        raise ValueError("failed without a broken invariant:\n" + output[-3000:])
    return f"seed {found[1]} breaks {found[2]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", type=pathlib.Path, default=os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these defects")
    arguments = parser.parse_args()
    plan = json.loads((ROOT / "tests/defects.json").read_text(encoding="utf-8"))
    defects = [defect for defect in plan["defects"] if not arguments.names or defect["name"] in arguments.names]
    target = arguments.target.resolve()
    copy = target / "defects"
    changes = [seeded(defect) for defect in defects]
    copy.mkdir(parents=True, exist_ok=True)
    caught = 0
    for defect, texts in zip(defects, changes):
        began = time.monotonic()
        copy_tree(copy)
        for name, text in texts.items():
            (copy / name).write_text(text, encoding="utf-8")
        try:
            found = simulate(copy, target, plan["seeds"])
            caught += 1
        except ValueError as error:
            found = f"NOT CAUGHT: {error}"
        print(f"{defect['name']}: {found} ({time.monotonic() - began:.0f} s)", flush=True)
    copy_tree(copy)
    print(f"caught {caught} of {len(defects)}")
    return 0 if defects and caught == len(defects) else 1


if __name__ == "__main__":
    sys.exit(main())
