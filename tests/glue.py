"""The Glue Python shell job, without Glue: glue.py WINDROW. Packs WINDROW into the wheel with glue/build.sh, installs it into an
empty Python 3.9, runs glue/launch.py with Glue's own arguments on an S3 lake, and compares with the binary itself."""
import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import pyarrow.fs

import weed

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUCKET, DAY = "glue-test", "2019-03-12"
windrow = str(pathlib.Path(sys.argv[1]).resolve())

# What Glue passes to a Python shell job besides the job's own parameters, in both forms it uses.
GLUES_OWN = [
    "--scriptLocation", "s3://bucket/launch.py", "--job-language", "python", "--TempDir=s3://bucket/tmp", "--JOB_NAME", "orders",
    "--JOB_ID=j_1", "--JOB_RUN_ID", "jr_1", "--enable-metrics", "", "--enable-observability-metrics", "true", "--enable-job-insights",
    "--extra-py-files", "s3://bucket/a.whl,s3://bucket/b.whl", "--additional-python-modules", "s3://bucket/windrow_glue.whl",
    "--python-modules-installer-option", "--no-index", "--conf", "spark.a=1 --conf spark.b=2", "--job-bookmark-option",
    "job-bookmark-disable", "--library-set", "none", "--continuous-log-logGroup", "/glue/log", "--SECURITY_CONFIGURATION", "none",
]

# A stand-in for the binary: shows what it was given, or ends as it is told.
STAND_IN = """#!/bin/sh
trap 'echo "{\\"verb\\":\\"x\\",\\"status\\":\\"drained\\"}"; exit 143' TERM
case $1 in
  killed) kill -9 $$ ;;
  slow) echo started; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1; done ;;
  *) printf '%s\\n' "$@"; echo "metrics=$WINDROW_METRICS region=$AWS_REGION project=$WINDROW_PROJECT" ;;
esac
"""


def python39():
    """A Python 3.9 that runs; Glue's Python shell is 3.9."""
    places = [os.environ.get("PYTHON39"), shutil.which("python3.9"), *glob.glob(os.path.expanduser("~/.pyenv/versions/3.9.*/bin/python3.9"))]
    for place in filter(None, places):
        said = subprocess.run([place, "-c", "import sys, venv; print(sys.version_info[:2])"], text=True, capture_output=True)
        if said.stdout.strip() == "(3, 9)":
            return place
    sys.exit("missing: Python 3.9 with venv (set PYTHON39, or install it, for example with pyenv)")


def environment_of(folder, name):
    """An empty Python 3.9 environment with one wheel, its launcher beside it."""
    place = folder / name
    subprocess.run([python39(), "-m", "venv", place], check=True)
    shutil.copy(ROOT / "glue/launch.py", place / "launch.py")
    return place


def built(binary, out):
    """The wheel that glue/build.sh packs."""
    done = subprocess.run(["bash", ROOT / "glue/build.sh", "--binary", binary, "--out", out], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.split()[-1])


def install(place, wheel):
    """Installs as Glue does: pip, and nothing from an index."""
    subprocess.run([place / "bin/python", "-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", wheel], check=True)
    return place


def launch(place, arguments, environment=None, prefix=()):
    """Runs the launcher as Glue runs a script: another folder, a clean environment, runpy."""
    wrapper = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [*prefix, place / "bin/python", "-c", wrapper, place / "launch.py", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(place), **(environment or {})}
    return subprocess.run(command, env=environment, cwd="/", text=True, capture_output=True, timeout=600)


def last_line(done):
    """What Glue shows as the reason of a failed job."""
    return done.stderr.strip().splitlines()[-1]


def arguments_are_translated(place):
    """Glue's own parameters are dropped, verbs split, flags and environment recognised."""
    job = ["--verb", "quarantine close", "--dataset=orders", "--window", "last@2024-09-09T02:00:00Z", "--force", "true", "--quiet", "--no-x",
           "false", "--AWS_REGION", "eu-central-1", "--WINDROW_METRICS=off"]
    done = launch(place, [*GLUES_OWN[:14], *job[:5], *GLUES_OWN[14:], *job[5:]])
    assert done.returncode == 0, done.stderr
    *words, settings = done.stdout.splitlines()
    assert words == ["quarantine", "close", "--dataset=orders", "--window=last@2024-09-09T02:00:00Z", "--force", "--quiet"], words
    assert settings.startswith("metrics=off region=eu-central-1 project=") and settings.endswith("/windrow_glue/project"), settings
    done = launch(place, GLUES_OWN)
    assert (done.returncode, last_line(done).split(":")[0]) == (64, "Windrow.Usage"), done.stderr


def ends_are_reported(place):
    """A kill is out of memory; SIGTERM reaches the binary; a missing wheel is said."""
    done = launch(place, ["--verb", "killed"])
    assert done.returncode == 71 and last_line(done).startswith("Windrow.OutOfMemory: "), done.stderr
    command = [place / "bin/python", place / "launch.py", "--verb", "slow"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout.readline() == "started\n"
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 143 and "drained" in out and err.strip().endswith("Windrow.Interrupted: see the messages above (exit 143)"), err


def runs_wherever_it_is_put(place, wheel, folder):
    """Without the right to execute in place, on a file system that allows none at all, and as a file on the path."""
    script = next(place.glob("lib/python3.9/site-packages/windrow_glue/bin/windrow"))
    script.chmod(0o644)
    assert launch(place, ["--verb", "x"]).returncode == 0
    nowhere = f"mount -t tmpfs -o noexec tmpfs {folder}/noexec && cp -r {script.parents[2]}/windrow_glue {folder}/noexec && exec \"$@\""
    (folder / "noexec").mkdir()
    paths = {"PYTHONPATH": f"{folder}/noexec", "TMPDIR": f"{folder}/noexec"}
    done = launch(place, ["--verb", "x"], paths, ["unshare", "--mount", "sh", "-c", nowhere, "sh"])
    assert done.returncode == 0 and f"project={folder}/noexec/windrow_glue/project" in done.stdout, done.stdout + done.stderr
    empty = environment_of(folder, "empty")
    done = launch(empty, ["--verb", "x"])
    assert done.returncode == 78 and "windrow_glue is not installed" in last_line(done), done.stderr
    assert launch(empty, ["--verb", "x"], {"PYTHONPATH": str(wheel)}).returncode == 0


def contents(store, lake):
    """The digest of every table's content, from the ledger."""
    found = {}
    for info in store.get_file_info(pyarrow.fs.FileSelector(f"{lake}/store", recursive=True)):
        if info.path.endswith(".staged.json"):
            document = json.loads(store.open_input_stream(info.path).read())
            found[info.path.removeprefix(lake)] = document["content_sha256"]
    return found


def same_results(place, endpoint):
    """The launcher and the binary publish the same bytes; bad data fails the job with its named error."""
    store = weed.file_system(endpoint)
    s3 = {"AWS_ACCESS_KEY_ID": weed.KEY, "AWS_SECRET_ACCESS_KEY": weed.SECRET, "AWS_ENDPOINT_URL_S3": endpoint, "AWS_REGION": "us-east-1"}
    for lake in ("job", "native"):
        pyarrow.fs.copy_files(str(ROOT / "examples/raw"), f"{BUCKET}/{lake}/raw", destination_filesystem=store)
    native = [windrow, "run", "--project", ROOT, "--lake", f"s3://{BUCKET}/native", "--dataset", "orders", "--window", DAY]
    subprocess.run(native, env={**os.environ, **s3}, check=True, capture_output=True, timeout=600)
    job = ["--verb", "run", "--dataset", "orders", "--lake", f"s3://{BUCKET}/job"]
    done = launch(place, [*GLUES_OWN, *job, "--window", DAY], s3)
    assert done.returncode == 0, done.stdout + done.stderr
    seen, expected = (contents(store, f"{BUCKET}/{lake}") for lake in ("job", "native"))
    assert seen == expected and len(seen) == 6, (seen, expected)
    print(f"orders {DAY}: {len(seen)} tables, the same content_sha256 from launch.py on Python 3.9 and from the binary")
    raw = f"{BUCKET}/job/raw/orders/2019-03-13/orders.csv"
    text = store.open_input_stream(raw).read().decode().replace(",400,", ",four hundred,", 1)
    with store.open_output_stream(raw) as file:
        file.write(text.encode())
    done = launch(place, [*job, "--window", "2019-03-13", *GLUES_OWN], s3)
    assert done.returncode == 65 and last_line(done).startswith("Windrow.SchemaMismatch: "), done.stderr
    print(f"a broken cell: exit {done.returncode}, last line `{last_line(done)[:60]}…`")


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    stand_in = folder / "stand-in"
    stand_in.write_text(STAND_IN)
    wheel = built(stand_in, folder / "stand-in-wheel")
    place = install(environment_of(folder, "stand-in-environment"), wheel)
    arguments_are_translated(place)
    ends_are_reported(place)
    runs_wherever_it_is_put(place, wheel, folder)
    assert built(stand_in, folder / "again").read_bytes() == wheel.read_bytes(), "the same files give the same wheel"
    wheel = built(windrow, folder / "wheel")
    print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.1f} MiB")
    with weed.server(BUCKET) as endpoint:
        same_results(install(environment_of(folder, "environment"), wheel), endpoint)
