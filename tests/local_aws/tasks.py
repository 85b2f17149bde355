"""Starts tasks of ECS and Glue as processes of this machine, with the faults of the scenario."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import faults

HERE = pathlib.Path(__file__).resolve().parent


class Refused(Exception):
    """The API itself fails: `code` is the exception's name, or `capacity`."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def children(pid):
    """The processes this one has started."""
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def send(process, fault):
    """Sends the fault's signal to the task, to its child, or to both."""
    number = getattr(signal, fault["signal"])
    started = children(process.pid)
    whom = {"task": [process.pid], "child": started, "all": [process.pid, *started]}[fault["whom"]]
    assert whom, f"the task has no process to send {fault['signal']} to"
    for pid in whom:
        os.kill(pid, number)


def send_at_first_request(listener, process, fault, store):
    """A store in front of the real one: the first request gets no answer but makes the signal, those after it are passed on."""
    first, _ = listener.accept()
    send(process, fault)
    first.close()
    while process.poll() is None:
        with contextlib.suppress(TimeoutError):
            client, _ = listener.accept()
            client.settimeout(None)
            server = socket.create_connection(store)
            for pair in ((client, server), (server, client)):
                threading.Thread(target=relay, args=pair, daemon=True).start()
    listener.close()


def relay(source, target):
    """Passes bytes on until there are no more."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Launcher:
    """Starts tasks and writes a line about each to {log}/tasks.jsonl."""

    def __init__(self, config):
        self.config, self.plans = config, faults.Plans(config["plans"])
        self.log, self.lock, self.count = pathlib.Path(config["log"]), threading.Lock(), 0

    def start(self, facts, argv, environment):
        """Starts a task and returns its process. Refused when the plan says that the API fails."""
        scenario = faults.scenario_of(environment.get("WINDROW_LAKE") or facts.get("lake") or self.config["lake"])
        facts = {"verb": facts["command"].split()[0], **facts}
        key = tuple(facts.get(name) for name in ("verb", "runner", "dataset", "layer", "window", "purpose"))
        attempt, fault = self.plans.next(scenario, facts, key)
        record = {"scenario": scenario, "attempt": attempt, "fault": fault, **facts, "environment": environment}
        if fault and fault["do"] in ("refuse", "capacity"):
            self.write({**record, "code": None})
            raise Refused(fault.get("code", "capacity"))
        process = self.spawn(argv, environment, fault)
        threading.Thread(target=self.finish, args=(process, record), daemon=True).start()
        return process

    def spawn(self, argv, environment, fault):
        """The process: the task itself, or what the fault puts in its place."""
        environment = {**self.config["environment"], **environment}
        listener = None
        if fault and fault["do"] in ("fail", "exit", "hang"):
            argv = [sys.executable, "-S", str(HERE / "faulty.py"), json.dumps(fault)]
        elif fault and fault["do"] == "environment":
            environment.update(fault["environment"])
        elif fault:
            assert fault["do"] == "signal", fault
            store = environment["AWS_ENDPOINT_URL_S3"].rpartition("/")[2].split(":")
            listener = socket.create_server(("127.0.0.1", 0))
            listener.settimeout(60)
            environment["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with self.lock:
            self.count += 1
            out = open(self.log / f"task-{self.count:04}.log", "wb")
        process = subprocess.Popen(argv, env=environment, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        process.log_name = out.name
        out.close()
        if listener:
            threading.Thread(target=send_at_first_request, args=(listener, process, fault, store), daemon=True).start()
        return process

    def finish(self, process, record):
        """Waits for the task and writes what it was."""
        started = time.monotonic()
        code = process.wait()
        self.write({**record, "code": code, "seconds": round(time.monotonic() - started, 2), "log": process.log_name})

    def write(self, record):
        """One line of the list of tasks; the token is not part of it."""
        environment = {name: value for name, value in record["environment"].items() if name != "WINDROW_TASK_TOKEN"}
        with self.lock, open(self.log / "tasks.jsonl", "a") as file:
            file.write(json.dumps({**record, "environment": environment}) + "\n")
