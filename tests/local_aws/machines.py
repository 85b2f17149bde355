"""The state machines of orchestrations/ on the emulator: substitution, start, wait, history, alerts and replay messages."""
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import boto3
import botocore.config

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ORCHESTRATIONS = ROOT / "orchestrations"
REGION, ACCOUNT = "us-east-1", "123456789012"
VERBS = ("check_input", "raw_to_clean", "clean_to_curated", "check", "publish", "quarantine", "plan", "sla", "run")
NAMES = ("window", "window_sync", "orders_daily", "backfill", "replay", "sla")
WAIT_FACTOR, TIMEOUT_FACTOR = 1200, 10


def file_of(name):
    """The file of a machine."""
    return ORCHESTRATIONS / f"{name}_state_machine.json"


def substitute(text, values):
    """`${name}` as Terraform's templatefile puts values in; an unknown name fails."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found.group(1)], text)


def client(service, endpoint):
    """A client of the emulator."""
    settings = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=120, max_pool_connections=50)
    return boto3.client(service, region_name=REGION, endpoint_url=endpoint, aws_access_key_id="local", aws_secret_access_key="local",
                        config=settings)


def start_emulator(folder, port, tasks, glue_jobs, environment, s3, lake):
    """The emulator's process, ready."""
    for name in ("plans", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    config = {"port": port, "tasks": tasks, "glue_jobs": glue_jobs, "environment": environment, "s3": s3, "lake": lake,
              "plans": str(folder / "plans"), "log": str(folder / "log"), "wait_factor": WAIT_FACTOR, "timeout_factor": TIMEOUT_FACTOR}
    (folder / "config.json").write_text(json.dumps(config))
    log = open(folder / "emulator.log", "wb")
    variables = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true"}
    process = subprocess.Popen([sys.executable, HERE / "localaws.py", folder / "config.json"], stdout=subprocess.PIPE, stderr=log,
                               env=variables)
    assert process.stdout.readline().strip() == b"READY", (folder / "emulator.log").read_text()[-3000:]
    return process


class Stack:
    """Everything Terraform would make for one set of machines: cluster, task definitions, topic, queues, machines."""

    def __init__(self, endpoint, lake, prefix=""):
        self.endpoint, self.lake, self.prefix = endpoint, lake, prefix
        self.sfn, self.sqs = client("stepfunctions", endpoint), client("sqs", endpoint)
        self.received, self.lock = {"alert": [], "replay": []}, threading.Lock()
        self.values = {**self.network(), **self.queues(), **self.families()}
        self.arns = {}
        for name in NAMES:
            self.create(name)

    def network(self):
        """Subnets and a security group that exist, and a cluster."""
        ec2, ecs = client("ec2", self.endpoint), client("ecs", self.endpoint)
        subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
        group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        cluster = ecs.create_cluster(clusterName=f"{self.prefix}jobs")["cluster"]["clusterArn"]
        return {"subnet_a": subnets[0], "subnet_b": subnets[1], "security_group": group, "cluster_arn": cluster,
                "capacity_provider": "FARGATE"}

    def queues(self):
        """The replay queue, and the alerts' topic with a queue to read it from."""
        sns = client("sns", self.endpoint)
        topic = sns.create_topic(Name=f"{self.prefix}alerts")["TopicArn"]
        self.urls = {name: self.sqs.create_queue(QueueName=f"{self.prefix}{name}")["QueueUrl"] for name in ("alert", "replay")}
        self.urls = {name: f"{self.endpoint}/{ACCOUNT}/{self.prefix}{name}" for name in self.urls}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.prefix}alert")
        return {"alert_topic_arn": topic, "replay_queue_url": self.urls["replay"]}

    def families(self):
        """A task definition a verb, a Glue job, and the addresses."""
        ecs = client("ecs", self.endpoint)
        for verb in VERBS:
            ecs.register_task_definition(
                family=f"windrow-{verb}", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="1024", memory="4096",
                containerDefinitions=[{"name": "windrow", "image": "windrow", "memory": 4096, "essential": True}])
        glue = client("glue", self.endpoint)
        if not self.prefix:
            glue.create_job(Name="windrow", Role="windrow", Command={"Name": "pythonshell", "PythonVersion": "3.9"},
                            ExecutionProperty={"MaxConcurrentRuns": 20})
        bucket, _, prefix = self.lake.removeprefix("s3://").partition("/")
        return {**{f"task_{verb}": f"windrow-{verb}" for verb in VERBS}, "glue_job_name": "windrow", "profile": "default",
                "lake_url": self.lake, "result_bucket": bucket, "result_prefix": f"{prefix}/runs/"}

    def create(self, name):
        """One machine from its file."""
        definition = substitute(file_of(name).read_text(), self.values)
        arn = self.sfn.create_state_machine(name=f"{self.prefix}{name}", definition=definition,
                                            roleArn=f"arn:aws:iam::{ACCOUNT}:role/windrow")["stateMachineArn"]
        self.arns[name] = arn
        if name == "window":
            self.values["window_state_machine_arn"] = arn

    def run(self, machine, execution_input, seconds=180):
        """Runs an execution to its end."""
        arn = self.sfn.start_execution(stateMachineArn=self.arns[machine], input=json.dumps(execution_input))["executionArn"]
        deadline = time.monotonic() + seconds
        while True:
            found = self.sfn.describe_execution(executionArn=arn)
            if found["status"] != "RUNNING":
                return Execution(self, found)
            assert time.monotonic() < deadline, f"{machine} {execution_input} still runs: {Execution(self, found).states()}"
            time.sleep(0.3)

    def drain(self, queue):
        """Everything that ever arrived in a queue, oldest first."""
        with self.lock:
            while True:
                answer = self.sqs.receive_message(QueueUrl=self.urls[queue], MaxNumberOfMessages=10, WaitTimeSeconds=0)
                messages = answer.get("Messages", [])
                for message in messages:
                    self.received[queue].append(json.loads(message["Body"]))
                    self.sqs.delete_message(QueueUrl=self.urls[queue], ReceiptHandle=message["ReceiptHandle"])
                if not messages:
                    return list(self.received[queue])

    def queue(self, name, message):
        """A queue of its own that holds one message."""
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(message))
        return f"{self.endpoint}/{ACCOUNT}/{name}"

    def waiting(self, url):
        """How many messages a queue holds, seen or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def alerts(self, *words):
        """Alerts that hold all the words."""
        return [alert for alert in self.drain("alert") if all(word in alert["Message"] for word in words)]

    def replays(self, lake):
        """Replay messages of a lake."""
        return [message for message in self.drain("replay") if message["lake"] == lake]


class Execution:
    """An execution that ended."""

    def __init__(self, stack, found):
        self.stack, self.arn, self.status = stack, found["executionArn"], found["status"]
        self.error, self.cause = found.get("error"), found.get("cause")
        self.output = json.loads(found.get("output") or "null")

    def events(self):
        """The history."""
        pages = self.stack.sfn.get_paginator("get_execution_history").paginate(executionArn=self.arn)
        return [event for page in pages for event in page["events"]]

    def states(self):
        """Names of the states entered, in order."""
        return [event["stateEnteredEventDetails"]["name"] for event in self.events() if "stateEnteredEventDetails" in event]

    def outputs(self, name):
        """What states of this name gave."""
        details = [event.get("stateExitedEventDetails") for event in self.events()]
        return [json.loads(detail["output"]) for detail in details if detail and detail["name"] == name]

    def failures(self):
        """What went wrong on the way: when and how."""
        names = ("taskFailedEventDetails", "taskTimedOutEventDetails", "executionFailedEventDetails")
        return [f"{event['timestamp']:%M:%S.%f} {event[name].get('error')}: {event[name].get('cause', '')[:300]}"
                for event in self.events() for name in names if name in event]
