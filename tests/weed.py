"""SeaweedFS as the S3 server of a test: a context manager that starts it on free ports and stops it."""
import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import pyarrow.fs

KEY = SECRET = "minioadmin"
READ_KEY, READ_SECRET = "rokey", "rosecret1"


def free_ports(count):
    """Ports nobody listens on, each with its sibling 10000 above, which SeaweedFS takes too."""
    ports = []
    while len(ports) < count:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 10000 if port < 55000 else port - 10000))
            except OSError:
                continue
            if port < 55000 and port not in ports:
                ports.append(port)
    return ports


def file_system(endpoint):
    """The server as pyarrow sees it."""
    return pyarrow.fs.S3FileSystem(
        access_key=KEY, secret_key=SECRET, endpoint_override=endpoint.split("//")[1], scheme="http", region="us-east-1",
        allow_bucket_creation=True,
    )


def identity(name, key, secret, *actions):
    """One user of the server and what it may do."""
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}


@contextlib.contextmanager
def server(bucket):
    """Yields the endpoint of a server that holds an empty bucket."""
    weed = pathlib.Path(sys.executable).parent / "weed"
    assert weed.exists(), f"{weed} is missing: bash tests/run.sh installs it"
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "s3.json")
        config.write_text(json.dumps({"identities": [
            identity("admin", KEY, SECRET, "Admin", "Read", "Write", "List", "Tagging"),
            identity("reader", READ_KEY, READ_SECRET, "Read", "List"),
        ]}))
        s3, master, volume, filer, admin = free_ports(5)
        data = pathlib.Path(folder, "data")
        data.mkdir()
        log = open(f"{folder}/log", "wb")
        process = subprocess.Popen(
            [weed, "-logtostderr=true", "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={s3}",
             f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-admin.port={admin}",
             f"-s3.config={config}", "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
             "-s3.autoCreateBucket=false"],
            stdout=log, stderr=log,
        )
        try:
            endpoint = f"http://127.0.0.1:{s3}"
            for attempt in range(120):
                try:
                    file_system(endpoint).create_dir(bucket)
                    break
                except OSError:
                    assert process.poll() is None, pathlib.Path(folder, "log").read_text()[-3000:]
                    assert attempt < 119, pathlib.Path(folder, "log").read_text()[-3000:]
                    time.sleep(0.5)
            yield endpoint
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
