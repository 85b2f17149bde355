"""What scenarios share: an S3 server with a lake for each, the emulator with windrow as every task, and the assertions."""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import boto3
import botocore.config
import pyarrow.dataset

import machines

sys.path.insert(0, str(machines.ROOT / "tests"))
import weed  # noqa: E402

BUCKET = "windrow-e2e"
RAW = machines.ROOT / "examples/raw"
READ_ONLY = {"AWS_ACCESS_KEY_ID": weed.READ_KEY, "AWS_SECRET_ACCESS_KEY": weed.READ_SECRET}
FLIGHTS_ROWS = 842


class Lake:
    """One scenario's lake, empty but for its raw files."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.prefix = f"lakes/{name}"
        self.address = f"s3://{BUCKET}/{self.prefix}"

    def put(self, key, body):
        """A raw file from the producer."""
        key = f"{self.prefix}/raw/{key}"
        self.world.raw[key] = self.world.s3.put_object(Bucket=BUCKET, Key=key, Body=body)["ETag"]

    def produce(self, dataset, *windows):
        """The example's raw files of these windows; returns the lake."""
        for window in windows:
            folder = RAW / dataset / (window.replace("-", "/") if dataset == "flights" else window)
            for path in sorted(folder.iterdir()):
                self.put(path.relative_to(RAW).as_posix(), path.read_bytes())
        return self

    def produce_shop(self, *windows):
        """The raw files of everything that orders reads."""
        for dataset in ("orders", "items", "customers", "products", "stores"):
            self.produce(dataset, *windows)
        return self

    def spoil(self, key, change):
        """One raw file, changed; returns the lake."""
        self.put(key, change((RAW / key).read_bytes()))
        return self

    def input(self, dataset="flights", window="2013-01-01", **more):
        """An execution's input."""
        return {"dataset": dataset, "window": window, "lake": self.address, **more}

    def plan(self, *faults):
        """The faults of this scenario; returns the lake."""
        path = self.world.folder / "plans" / f"{self.name}.json"
        path.with_suffix(".new").write_text(json.dumps(faults))
        path.with_suffix(".new").replace(path)
        return self

    def objects(self, *folders):
        """Every object below these folders of the lake with its identity."""
        found = {}
        for folder in folders:
            pages = self.world.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{self.prefix}/{folder}/")
            found.update({entry["Key"]: (entry["ETag"], entry["LastModified"]) for page in pages for entry in page.get("Contents", [])})
        return found

    def visible(self):
        """What readers see."""
        return self.objects("clean", "curated")

    def rows(self, dataset, layer="curated"):
        """Rows a reader counts in a table."""
        place = f"{BUCKET}/{self.prefix}/{layer}/{dataset}"
        return pyarrow.dataset.dataset(place, partitioning="hive", filesystem=self.world.files).count_rows()

    def tasks(self, **facts):
        """The tasks of this scenario, in the order they ended."""
        lines = (self.world.folder / "log/tasks.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return [task for task in found if task["scenario"] == self.name and facts.items() <= task.items()]


class World:
    """The servers, and one set of machines."""

    def __init__(self, folder, binary, endpoint, port):
        self.folder, self.binary, self.endpoint, self.emulator = folder, binary, endpoint, f"http://127.0.0.1:{port}"
        settings = botocore.config.Config(s3={"addressing_style": "path"}, max_pool_connections=50)
        self.s3 = boto3.client("s3", endpoint_url=endpoint, region_name=machines.REGION, aws_access_key_id=weed.KEY,
                               aws_secret_access_key=weed.SECRET, config=settings)
        self.files = weed.file_system(endpoint)
        self.stack, self.raw = None, {}

    def lake(self, name):
        """A new lake for the scenario of this name."""
        return Lake(self, name)

    def environment(self):
        """What the image and the task definition give every task."""
        return {
            "PATH": os.environ["PATH"], "AWS_ENDPOINT_URL_S3": self.endpoint, "AWS_ENDPOINT_URL_SFN": self.emulator,
            "AWS_ENDPOINT_URL_SQS": self.emulator, "AWS_REGION": machines.REGION, "AWS_ACCESS_KEY_ID": weed.KEY,
            "AWS_SECRET_ACCESS_KEY": weed.SECRET, "WINDROW_PROJECT": str(machines.ROOT), "WINDROW_OUTPUT": "json",
            "WINDROW_LOG_FORMAT": "json", "WINDROW_METRICS": "emf", "WINDROW_LINEAGE": "lake", "WINDROW_HEARTBEAT_SECONDS": "1",
        }

    def windrow(self, *arguments, **environment):
        """The command line on the same lake; its result."""
        done = subprocess.run([*self.binary, *arguments], env={**self.environment(), **environment}, capture_output=True, text=True,
                              timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def raw_is_untouched(self):
        """Whether every lake's raw files are exactly those of the producer."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="lakes/")
        objects = {entry["Key"]: entry["ETag"] for page in pages for entry in page.get("Contents", [])}
        found = {key: tag for key, tag in objects.items() if key.split("/")[2] == "raw"}
        print(f"{len(found)} raw files in {len({key.split('/')[1] for key in found})} lakes; tasks changed, added or removed "
              f"{len(found.items() ^ self.raw.items())}")
        return found == self.raw

    def complaints(self):
        """What the emulator's log says besides requests; a crash in it looks like an error of AWS to the state machines."""
        lines = (self.folder / "emulator.log").read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if not re.search(r'" (200|400|404) ', line)][-300:])


@contextlib.contextmanager
def world(binary, keep=None):
    """The servers, for as long as the context lasts; `keep` is a folder for logs that stays."""
    with contextlib.ExitStack() as exits:
        folder = pathlib.Path(keep or exits.enter_context(tempfile.TemporaryDirectory()))
        endpoint = exits.enter_context(weed.server(BUCKET))
        port = weed.free_ports(1)[0]
        made = World(folder, binary, endpoint, port)
        glue = [sys.executable, str(machines.HERE / "glue_job.py"), *binary]
        process = machines.start_emulator(
            folder, port, {f"windrow-{verb}": binary for verb in machines.VERBS}, {"windrow": glue}, made.environment(),
            {"endpoint": endpoint, "key": weed.KEY, "secret": weed.SECRET}, f"s3://{BUCKET}/lakes/default")
        exits.callback(process.wait)
        exits.callback(process.kill)
        made.stack = machines.Stack(made.emulator, f"s3://{BUCKET}/lakes/default")
        yield made


# Assertions.

def published(execution):
    """The execution ended as it should; returns its output."""
    assert execution.status == "SUCCEEDED", (execution.error, execution.cause, execution.states(), execution.failures())
    return execution.output


def not_published(lake, execution, error, words, walked, queued=True, evidence=False):
    """The execution failed as it should: error, states walked, one alert in business words, one replay message, nothing visible.

    Returns the replay message.
    """
    seen = (execution.status, execution.error)
    assert seen == ("FAILED", error), (seen, execution.cause, execution.failures())
    states = execution.states()
    assert in_order(walked, states), (walked, states)
    alerts = lake.world.stack.alerts(execution.arn)
    assert len(alerts) == 1, alerts
    message = alerts[0]["Message"]
    said = "; replay queued" if queued else "; this was a replay, and it is not queued again"
    run_id = execution.outputs("Run")[-1]["run"]["run_id"]
    for word in (*words, said, run_id):
        assert word in message, (word, message)
    assert not re.search(r"[A-Za-z0-9+/=]{200,}", message), "an alert holds a token"
    assert alerts[0]["MessageAttributes"]["error"]["Value"] == error
    if evidence:
        read_evidence(lake, execution)
    messages = [found for found in lake.world.stack.replays(lake.address) if found["replay_of"] == run_id]
    assert len(messages) == (1 if queued else 0), messages
    for found in messages:
        check_message(found, execution, lake, error, message)
    return messages[0] if messages else None


def check_message(found, execution, lake, error, alert):
    """A replay message names the run it replays."""
    run = execution.outputs("Run")[-1]["run"]
    assert (found["dataset"], found["profile"], found["lake"]) == (run["dataset"], run["profile"], lake.address), found
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["window"]) and found["source"].startswith(lake.address), found
    assert (found["reason"], found["execution_id"], found["error"]) == ("replay", execution.arn, error), found
    assert alert.startswith(found["alert"]), (found["alert"], alert)


def read_evidence(lake, execution):
    """Every evidence the quarantine names is a readable document."""
    addresses = execution.outputs("Quarantine")[-1]["quarantine"]["evidence"]
    assert addresses, "the quarantine names no evidence"
    for address in addresses:
        bucket, _, key = address.removeprefix("s3://").partition("/")
        assert (bucket, key.startswith(f"{lake.prefix}/quarantine/")) == (BUCKET, True), address
        assert json.loads(lake.world.s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def in_order(wanted, found):
    """Whether the wanted names occur in this order."""
    rest = iter(found)
    return all(name in rest for name in wanted)


def replay(lake, message):
    """The queue's message as the pipe hands it over."""
    execution = lake.world.stack.run("replay", [message])
    assert execution.status == "SUCCEEDED", (execution.error, execution.cause)
