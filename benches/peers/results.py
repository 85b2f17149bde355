"""What was measured, where, with what: results.json keeps the newest figures of every work."""
import datetime
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def first_line(*command):
    """What a program says first, or nothing when it is not there."""
    try:
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError:
        return None
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else None


def field(path, name):
    """The first value of a name in one of the kernel's lists."""
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.split(":", 1)[1].strip()
    return "unknown"


def machine():
    kib = int(field("/proc/meminfo", "MemTotal").split()[0])
    return {
        "cores": os.cpu_count(),
        "cpu": field("/proc/cpuinfo", "model name"),
        "memory_gib": round(kib / (1 << 20), 1),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def version_of(bench, name):
    if name == "pysail":
        code = "import importlib.metadata as m; print(m.version('pysail'), 'with pyspark-client', m.version('pyspark-client'))"
        return first_line(bench.pysail_python, "-c", code)
    return importlib.metadata.version(name)


def versions(bench):
    found = {"windrow": (first_line(bench.windrow, "--version") or "unknown").split()[-1], "python": platform.python_version()}
    found.update({name: version_of(bench, name) for name in ["tpchgen-cli", *bench.peers]})
    if "pyspark" in bench.peers:
        found["java"] = first_line("java", "-version")
    return found


def commit():
    """The commit of the checkout, and whether anything in it is changed."""
    name = first_line("git", "-C", REPOSITORY, "rev-parse", "--short=12", "HEAD") or "unknown"
    changed = first_line("git", "-C", REPOSITORY, "status", "--porcelain", "--untracked-files=no")
    return f"{name} with changes" if changed else name


def command_line():
    """The command as anybody would type it, without the folders of this machine."""
    words = ["python"]
    for word in sys.argv:
        path = pathlib.Path(word)
        inside = path.is_absolute() and REPOSITORY in path.parents
        words.append(str(path.relative_to(REPOSITORY)) if inside else path.name if path.is_absolute() else word)
    return shlex.join(words)


def provenance(bench):
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "binary_sha256": hashlib.sha256(bench.windrow.read_bytes()).hexdigest(),
        "command": command_line(),
        "machine": machine(),
        "versions": versions(bench),
        "scale": bench.scale,
        "runs": bench.runs,
        "threads": bench.threads,
    }


def read(path):
    return json.loads(path.read_text()) if path.exists() else {"version": 1, "works": {}}


def save(path, name, record):
    """Replaces one work and leaves the others."""
    everything = read(path)
    everything["works"][name] = record
    path.write_text(json.dumps(everything, indent=1) + "\n")


def windrow_is_right(measured):
    """Whether each of windrow's outputs was the expected one."""
    groups = [point["contenders"] for point in measured] if isinstance(measured, list) else [measured]
    return not any(result["invalid"] for group in groups for name, result in group.items() if name.startswith("windrow"))
