"""The image by itself: what is in it, who it runs as, a read-only root, signals, size and cold start."""
import http.server
import json
import pathlib
import re
import sys
import tempfile
import threading
import time

from engine import IMAGE, ROOT, podman, run

READ_ONLY = ("run", "--rm", "--network", "none", "--read-only", "--user", "65532:65532", "--cap-drop", "all", "--security-opt", "no-new-privileges")


DEFECTS = {"an unpinned package": "RUN apt-get install curl", "a misspelt instruction": "COPPY a b", "a shell entry point": "ENTRYPOINT job"}


def linter_finds_defects():
    """The Dockerfile is clean, and a defect of each kind is found."""
    hadolint = pathlib.Path(sys.executable).parent / "hadolint"
    text = (ROOT / "Dockerfile").read_text()
    run(hadolint, "-", input=text)
    for name, line in DEFECTS.items():
        assert run(hadolint, "-", input=f"{text}{line}\n", check=False).returncode != 0, f"hadolint misses {name}"
    return len(DEFECTS)


def metadata():
    """User, entry point, settings, volume, signal and labels."""
    config = json.loads(podman("image", "inspect", IMAGE).stdout)[0]["Config"]
    settings = dict(line.split("=", 1) for line in config["Env"])
    assert config["User"] == "65532:65532" and config["Entrypoint"] == ["/usr/local/bin/job"] and list(config["Volumes"]) == ["/tmp"], config
    assert config["StopSignal"] == "SIGTERM", config
    expected = {"WINDROW_PROJECT": "/project", "WINDROW_OUTPUT": "json", "WINDROW_LOG_FORMAT": "json", "WINDROW_METRICS": "emf", "WINDROW_LINEAGE": "lake", "POLARS_ROW_GROUP_PREFETCH_SIZE": "1"}
    assert expected.items() <= settings.items(), settings
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    version = re.search(r'(?m)^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text()).group(1)
    assert (labels["title"], labels["licenses"], labels["version"], labels["revision"]) == ("windrow", "Apache-2.0", version, "0123456789ab"), labels


def is_complete():
    """Every binary starts, every contract inside is read without a finding, without network, rights or a writable root."""
    for name in ("windrow", "orders_raw_to_clean", "orders_clean_to_curated"):
        said = podman(*READ_ONLY, "--entrypoint", f"/usr/local/bin/{name}", IMAGE, "--version").stdout
        assert said.startswith("windrow"), said
    linted = json.loads(podman(*READ_ONLY, IMAGE, "contract", "lint").stdout)
    contracts = len(list((ROOT / "schemas").glob("*.odcs.yaml")))
    assert linted["exit_code"] == 0 and linted["contracts"] == contracts, linted
    return contracts


def one_job(tag):
    """An image of one job holds that binary and no other."""
    said = podman(*READ_ONLY, tag, "--version").stdout
    assert said.startswith("windrow-raw-to-clean "), said
    other = podman(*READ_ONLY, "--entrypoint", "/usr/local/bin/windrow", tag, "--version", check=False)
    assert other.returncode == 127, other


def root_is_read_only(lake):
    """A whole window on a read-only root: only the lake is written; a lake inside the image is refused by the system."""
    volume = ("--volume", f"{lake}:/lake:rw", "--user", "65532:65532")
    arguments = ("run", "--rm", "--network", "none", "--read-only", "--read-only-tmpfs=false", *volume, IMAGE, "run", "--dataset", "orders")
    done = podman(*arguments, "--window", "2019-03-12", "--lake", "/lake")
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["counts"]["ok"] == 1, result
    done = podman(*arguments, "--window", "2019-03-12", "--lake", "/project/lake", check=False)
    assert done.returncode != 0, done.stdout
    return result["counts"]["rows"]


class Silent(http.server.BaseHTTPRequestHandler):
    """Answers calls to Step Functions and leaves everybody else waiting: a store that hangs."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.calls.append((self.headers["X-Amz-Target"].split(".")[-1], body))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_GET(self):
        self.server.asked.set()
        self.server.done.wait()

    do_HEAD = do_PUT = do_GET

    def log_message(self, *_):
        pass


def stopped(*environment):
    """Exit code and calls of a container that is stopped while it waits for its store."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.daemon_threads, server.calls, server.asked, server.done = True, [], threading.Event(), threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    settings = {"AWS_ENDPOINT_URL_S3": endpoint, "AWS_ENDPOINT_URL_SFN": endpoint, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
                "AWS_REGION": "us-east-1", "WINDROW_LAKE": "s3://no-such-bucket/lake"}
    words = [word for name, value in [*settings.items(), *environment] for word in ("--env", f"{name}={value}")]
    name = "windrow-signal"
    podman("run", "--detach", "--name", name, "--network", "host", "--read-only", *words, IMAGE, "raw-to-clean", "--dataset", "orders",
           "--window", "2019-03-12")
    try:
        assert server.asked.wait(60), podman("logs", name).stderr
        podman("stop", "--time", "60", name)
        return json.loads(podman("inspect", name).stdout)[0]["State"]["ExitCode"], server.calls
    finally:
        server.done.set()
        server.shutdown()
        podman("rm", "--force", name)


def first_process_hears_signals():
    """SIGTERM to process 1 ends the run with 143 before the engine would kill it; with a task token it is reported first."""
    code, calls = stopped()
    assert (code, calls) == (143, []), (code, calls)
    code, calls = stopped(("WINDROW_TASK_TOKEN", "token"))
    told = [body["error"] for action, body in calls if action == "SendTaskFailure"]
    assert code == 143 and told == ["Windrow.Transient"], (code, calls)


def size(tag):
    """Bytes of an image unpacked, and of its layers as a registry holds them."""
    unpacked = json.loads(podman("image", "inspect", tag).stdout)[0]["Size"]
    with tempfile.TemporaryDirectory() as folder:
        podman("push", "--quiet", tag, f"oci:{folder}/image")
        blobs = sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())
    return unpacked, blobs


def seconds(*arguments):
    """From `podman run` to its end, the middle of five."""
    taken = []
    for _ in range(5):
        started = time.monotonic()
        podman(*arguments)
        taken.append(time.monotonic() - started)
    return sorted(taken)[2]


def cold_start(lake):
    """Seconds of `--version`, and of a window of 100 rows in a folder, computed anew each time."""
    raw = lake / "raw/customers/2020-01-01"
    raw.mkdir(parents=True)
    rows = "".join(f"00000000-0000-4000-8000-{number:012x},Guest {number}\n" for number in range(100))
    (raw / "customers.csv").write_text("id,name\n" + rows)
    window = ("--volume", f"{lake}:/lake:rw", IMAGE, "run", "--dataset", "customers", "--window", "2020-01-01", "--lake", "/lake", "--force")
    return seconds(*READ_ONLY, IMAGE, "--version"), seconds(*READ_ONLY, *window)
