"""The repository's project with the example raw files in a temporary folder, and the binary run on it."""
import json
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ON = ["--metrics", "emf", "--lineage", "lake"]


class Project:
    def __init__(self, windrow, folder):
        self.windrow, self.folder = windrow, pathlib.Path(folder)
        self.lake = self.folder / "lake"
        shutil.copy(ROOT / "windrow.toml", self.folder)
        for name in ("schemas", "jobs/sql", "quality"):
            shutil.copytree(ROOT / name, self.folder / name)
        shutil.copytree(ROOT / "examples/raw", self.lake / "raw")

    def command(self, *arguments):
        return [self.windrow, *arguments, "--project", str(self.folder)]

    def environment(self, variables):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("WINDROW_", "OPENLINEAGE_", "AWS_"))}
        return {**clean, **variables}

    def run(self, *arguments, code=0, **variables):
        """Runs the binary, and fails unless it leaves with the code."""
        done = subprocess.run(
            self.command(*arguments), env=self.environment(variables), text=True, capture_output=True, timeout=300
        )
        assert done.returncode == code, f"exit {done.returncode}, expected {code}: {arguments}\n{done.stdout}{done.stderr}"
        return done

    def edit(self, below, change):
        """Changes the first data row of a raw file; returns what undoes it."""
        path = self.lake / "raw" / below
        text = path.read_text()
        lines = text.splitlines(keepends=True)
        lines[1] = change(lines[1])
        assert lines[1] not in text, f"{below} did not change"
        path.write_text("".join(lines))
        return lambda: path.write_text(text)

    def stages(self, run_id):
        """The events of a run, by the name of their file below runs/."""
        files = sorted(self.lake.glob(f"runs/*/*/{run_id}/*.openlineage.jsonl"))
        return {
            str(path.relative_to(self.lake / "runs")): [json.loads(line) for line in path.read_text().splitlines()]
            for path in files
        }
