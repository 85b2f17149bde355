"""The state machine of orchestrations/, as it stands, with every task a container: happy path, bad data and its replay, out of memory."""
import collections
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import typing

import boto3
import pyarrow.dataset
import pyarrow.fs

import weed
from engine import IMAGE, ROOT, podman

BUCKET, CLUSTER, ACCOUNT, REGION = "windrow-containers", "windrow", "000000000000", "us-east-1"
VERBS = ("check_input", "raw_to_clean", "clean_to_curated", "check", "publish", "quarantine", "plan", "sla", "run")
# The usual worker of the state machine has 4,096 MiB, the large one 16,384.
MEMORY_DIVISOR = 32
# Flights of the window that is too large for the usual worker.
OOM_ROWS = 600_000


@contextlib.contextmanager
def cloud(folder, docker_host):
    """ministack on a free port; yields its endpoint."""
    port = weed.free_ports(1)[0]
    settings = {"DOCKER_HOST": docker_host, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "HOSTNAME": "none", "TMPDIR": str(folder),
                "ECS_REAP_INTERVAL_SECONDS": "5", "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0", "MEMORY_DIVISOR": str(MEMORY_DIVISOR)}
    log = open(folder / "ministack.log", "wb")
    script = pathlib.Path(__file__).parent / "cloud.py"
    process = subprocess.Popen([sys.executable, script], env={**os.environ, **settings}, stdout=log, stderr=log)
    try:
        client = aws("sts", f"http://127.0.0.1:{port}")
        for _ in range(240):
            assert process.poll() is None, (folder / "ministack.log").read_text()[-3000:]
            try:
                client.get_caller_identity()
                break
            except Exception:  # noqa: BLE001 not there yet
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def aws(service, endpoint):
    """A client of ministack."""
    config = boto3.session.Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=60)
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id=weed.KEY, aws_secret_access_key=weed.SECRET, config=config)


class Stack:
    """What Terraform makes on AWS: cluster, task definitions, queue, topic, state machine."""

    def __init__(self, endpoint, s3):
        self.states, self.ecs, self.sqs, self.sns = (aws(name, endpoint) for name in ("stepfunctions", "ecs", "sqs", "sns"))
        self.store = weed.file_system(s3)
        self.ecs.create_cluster(clusterName=CLUSTER, capacityProviders=["FARGATE"])
        for verb in VERBS:
            self.register(verb, endpoint, s3)
        self.replays = self.sqs.create_queue(QueueName="replay")["QueueUrl"]
        self.alerts = self.sqs.create_queue(QueueName="alerts")["QueueUrl"]
        topic = self.sns.create_topic(Name="alerts")["TopicArn"]
        self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:alerts")
        self.machine = self.create_machine(topic)

    def register(self, verb, endpoint, s3):
        """One task definition a verb, on the host's network, with a read-only root."""
        environment = {"AWS_ACCESS_KEY_ID": weed.KEY, "AWS_SECRET_ACCESS_KEY": weed.SECRET, "AWS_REGION": REGION, "AWS_ENDPOINT_URL_S3": s3,
                       "AWS_ENDPOINT_URL_SFN": endpoint, "WINDROW_HEARTBEAT_SECONDS": "5",
                       # Else windrow would keep below the container's limit by itself, and the kernel would have nothing to kill.
                       "WINDROW_MEMORY_LIMIT": "none"}
        container = {"name": "windrow", "image": IMAGE, "essential": True, "readonlyRootFilesystem": True,
                     "environment": [{"name": name, "value": value} for name, value in environment.items()]}
        self.ecs.register_task_definition(family=f"windrow-{verb}", networkMode="host", cpu="1024", memory="4096",
                                          containerDefinitions=[container])

    def create_machine(self, topic):
        """The file of orchestrations/ with its placeholders replaced, and nothing else."""
        values = {"cluster_arn": CLUSTER, "capacity_provider": "FARGATE", "subnet_a": "subnet-a", "subnet_b": "subnet-b",
                  "security_group": "sg-1", "lake_url": f"s3://{BUCKET}/lake", "profile": "default", "alert_topic_arn": topic,
                  "replay_queue_url": self.replays, **{f"task_{verb}": f"windrow-{verb}" for verb in VERBS}}
        text = (ROOT / "orchestrations/window_state_machine.json").read_text()
        for name, value in values.items():
            text = text.replace(f"${{{name}}}", value)
        assert "${" not in text, text[text.index("${"):][:60]
        role = f"arn:aws:iam::{ACCOUNT}:role/states"
        return self.states.create_state_machine(name="window", definition=text, roleArn=role)["stateMachineArn"]

    def execute(self, document):
        """Runs the machine to its end: the execution, and the names of the states it entered, in order."""
        arn = self.states.start_execution(stateMachineArn=self.machine, input=json.dumps(document))["executionArn"]
        deadline = time.monotonic() + 300
        while (execution := self.states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < deadline, self.walk(arn)
            time.sleep(0.2)
        return execution, self.walk(arn)

    def walk(self, arn):
        """The states an execution entered."""
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=arn)
        events = [event for page in pages for event in page["events"]]
        return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]

    def received(self, queue):
        """The one message of a queue, taken out of it."""
        messages = self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=5).get("Messages", [])
        assert len(messages) == 1, messages
        self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=messages[0]["ReceiptHandle"])
        return json.loads(messages[0]["Body"])

    def is_empty(self, queue):
        """Whether nothing waits there."""
        return not self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages")

    def rows(self, table, window):
        """Rows of a window's live view as pyarrow reads them; none when there is no view."""
        layer, dataset = table.split(".")
        folders = self.store.get_file_info(pyarrow.fs.FileSelector(f"{BUCKET}/lake/{layer}/{dataset}", allow_not_found=True))
        paths = [folder.path for folder in folders if folder.path.endswith(f"={window}")]
        return sum(pyarrow.dataset.dataset(path, filesystem=self.store).count_rows() for path in paths)

    def raw(self, dataset, window):
        """The one raw file of a window."""
        found = self.store.get_file_info(pyarrow.fs.FileSelector(f"{BUCKET}/lake/raw/{dataset}/{window}"))
        assert len(found) == 1, found
        return found[0].path

    def read(self, path):
        """An object as text; what is packed is unpacked."""
        return self.store.open_input_stream(path, compression="detect").read().decode()

    def write(self, path, text):
        """Writes an object, as a producer does."""
        with self.store.open_output_stream(path) as file:
            file.write(text.encode())


def text_rows(text):
    """Data rows of a CSV file without quotes or blank lines."""
    return text.rstrip("\n").count("\n")


def happy_path(stack):
    """Every table published; the rows are the raw file's; nobody is alerted."""
    execution, walk = stack.execute({"dataset": "orders", "window": "2019-03-12"})
    assert execution["status"] == "SUCCEEDED", (execution, walk)
    expected, seen = text_rows(stack.read(stack.raw("orders", "2019-03-12"))), stack.rows("curated.orders", "2019-03-12")
    assert seen == expected > 0 and stack.is_empty(stack.alerts) and stack.is_empty(stack.replays), (seen, expected)
    verbs = collections.Counter(task.verb for task in tasks())
    # Five clean tables and one curated; ministack's history does not name the states inside a Map, the containers do.
    expected = {"check-input": 1, "raw-to-clean": 5, "clean-to-curated": 1, "check": 6, "publish": 6}
    assert verbs == expected and walk[-1] == "Published", (verbs, walk)
    return f"orders 2019-03-12 published, {seen} rows, {len(tasks())} containers"


def schema_mismatch(stack):
    """A broken cell: nothing published, quarantined, alert in words, replay queued; the corrected window's replay publishes."""
    window = "2019-03-13"
    path = stack.raw("orders", window)
    good = stack.read(path)
    stack.write(path, good.replace(",400,", ',"4,00",', 1))
    execution, walk = stack.execute({"dataset": "orders", "window": window})
    assert (execution["status"], execution.get("error")) == ("FAILED", "Windrow.SchemaMismatch"), (execution, walk)
    assert stack.rows("curated.orders", window) == stack.rows("clean.orders", window) == 0
    alert = stack.received(stack.alerts)["Message"]
    assert alert.startswith(f"orders for {window} not published: ") and "replay queued" in alert, alert
    evidence = stack.store.get_file_info(pyarrow.fs.FileSelector(f"{BUCKET}/lake/quarantine/clean/orders/{window}", recursive=True))
    assert {info.base_name for info in evidence if info.is_file} == {"evidence.json", "rejects.parquet"}, evidence
    message = stack.received(stack.replays)
    assert (message["dataset"], message["window"], message["reason"], message["error"]) == ("orders", window, "replay", "Windrow.SchemaMismatch"), message
    stack.write(path, good)
    execution, walk = stack.execute(message)
    assert execution["status"] == "SUCCEEDED", (execution, walk)
    assert stack.rows("curated.orders", window) == text_rows(good) > 0
    return f"alert `{alert.split(';')[0]}`; replay published {stack.rows('curated.orders', window)} rows"


def large_file(rows):
    """Flights out of JFK of one day by many more carriers than there are; every row is well-formed and listed once."""
    lines = (ROOT / "examples/raw/flights/2013/01/02/JFK.csv").read_text().splitlines()
    header, cells = lines[0], lines[1].split(",")
    carrier, flight = header.split(",").index("carrier"), header.split(",").index("flight")
    made = [header]
    for number in range(rows):
        line, ordinal = divmod(number, 9000)
        cells[carrier], cells[flight] = chr(65 + line // 26) + chr(65 + line % 26), str(ordinal + 1)
        made.append(",".join(cells))
    return "\n".join(made) + "\n"


def out_of_memory(stack):
    """The kernel kills the job at the usual worker's limit; the supervisor says so; the large worker publishes."""
    folder = f"{BUCKET}/lake/raw/flights/2013/01/02"
    stack.write(f"{folder}/JFK.csv", large_file(OOM_ROWS))
    paths = [info.path for info in stack.store.get_file_info(pyarrow.fs.FileSelector(folder))]
    rows = sum(text_rows(stack.read(path)) for path in paths)
    before = len(tasks())
    execution, walk = stack.execute({"dataset": "flights", "window": "2013-01-02"})
    assert execution["status"] == "SUCCEEDED" and walk[-1] == "Published", (execution, walk)
    usual, large = (size // MEMORY_DIVISOR for size in (4096, 16384))
    for verb in ("raw-to-clean", "clean-to-curated"):
        tries = [(task.memory_mib, task.exit_code) for task in tasks()[before:] if task.verb == verb]
        assert tries == [(usual, 71), (large, 0)], (verb, tries)
    seen = stack.rows("curated.flights", "2013-01-02")
    assert seen == rows, (seen, rows)
    return f"flights 2013-01-02: both computing tasks killed at {usual} MiB (exit 71); at {large} MiB published {seen} rows"


class Task(typing.NamedTuple):
    """A container that ministack started."""

    id: str
    verb: str
    exit_code: int
    memory_mib: int


def tasks():
    """Every task that ran, oldest first, as podman knows it."""
    ids = podman("ps", "--all", "--quiet", "--no-trunc").stdout.split()
    found = json.loads(podman("inspect", *ids).stdout) if ids else []
    found.sort(key=lambda one: one["Created"])
    return [Task(one["Id"], " ".join(one["Config"]["Cmd"]), one["State"]["ExitCode"], one["HostConfig"]["Memory"] // 2**20) for one in found]


def walk(folder, docker_host):
    """All three, one after the other."""
    with weed.server(BUCKET) as s3, cloud(folder, docker_host) as endpoint:
        stack = Stack(endpoint, s3)
        pyarrow.fs.copy_files(str(ROOT / "examples/raw"), f"{BUCKET}/lake/raw", destination_filesystem=stack.store)
        try:
            for case in (happy_path, schema_mismatch, out_of_memory):
                started = time.monotonic()
                print(f"{case.__name__.replace('_', ' ')}: {case(stack)} ({time.monotonic() - started:.0f} s)", flush=True)
        except BaseException:
            show_logs(folder)
            raise


def show_logs(folder):
    """What the last containers and ministack said."""
    for task in tasks()[-4:]:
        logs = podman("logs", "--tail", "20", task.id, check=False)
        print(task, logs.stdout[-2000:], logs.stderr[-2000:], sep="\n", file=sys.stderr)
    print((folder / "ministack.log").read_text()[-3000:], file=sys.stderr)
