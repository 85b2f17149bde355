"""Step Functions, ECS, Glue, SNS and SQS on this machine: localaws.py CONFIG. State machines are run as they are; tasks are processes.

CONFIG is a JSON file: port; tasks {task definition family: [program, …]}; glue_jobs {job: [program, …]}; environment of every task;
s3 {endpoint, key, secret}; lake (of executions whose input names none); plans and log (folders, see faults.py);
wait_factor (Retry intervals and Wait states are that much shorter); timeout_factor (the same for heartbeats and timeouts).
Prints READY.
"""
import json
import os
import pathlib
import sys
import time

config = json.loads(pathlib.Path(sys.argv[1]).read_text())
os.environ["MOTO_PORT"] = str(config["port"])
config["endpoint"] = f"http://127.0.0.1:{config['port']}"
config["log"] = pathlib.Path(config["log"])

from moto.core.config import default_user_config  # noqa: E402  (reads MOTO_PORT)

default_user_config["stepfunctions"] = {"execute_state_machine": True}

import interpreter  # noqa: E402
import moto  # noqa: E402
import patching  # noqa: E402
import recorder  # noqa: E402
import services  # noqa: E402
import tasks  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

recorder.FILE = config["log"] / "walked.jsonl"
assert moto.__version__ == patching.VERSION, f"the patches are for moto {patching.VERSION}, this is {moto.__version__}"
launcher = tasks.Launcher(config)
interpreter.apply(config, launcher)
services.apply(config, launcher)
ThreadedMotoServer(ip_address="127.0.0.1", port=config["port"], verbose=False).start()
print("READY", flush=True)
while os.getppid() != 1:
    time.sleep(1)
