"""A task that goes wrong: faulty.py FAULT, where FAULT is the JSON of a fault (see faults.py)."""
import json
import os
import sys
import time
import urllib.request


def report(error):
    """SendTaskFailure, as windrow words it; nothing without a token."""
    token = os.environ.get("WINDROW_TASK_TOKEN")
    if not token:
        return
    dataset, window = os.environ.get("WINDROW_DATASET"), os.environ.get("WINDROW_WINDOW")
    cause = {"alert": f"{dataset} for {window} not published: {error} on purpose", "kind": error.rpartition(".")[2],
             "message": "on purpose", "help": None, "evidence": None, "findings": []}
    body = {"taskToken": token, "error": error, "cause": json.dumps(cause)}
    headers = {"X-Amz-Target": "AWSStepFunctions.SendTaskFailure", "Content-Type": "application/x-amz-json-1.0",
               "Authorization": "AWS4-HMAC-SHA256 Credential=local/20240101/us-east-1/states/aws4_request"}
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL_SFN"], json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=60).read()


fault = json.loads(sys.argv[1])
if fault["do"] == "hang":
    time.sleep(fault.get("seconds", 60))
if fault["do"] == "fail":
    report(fault["error"])
sys.exit(fault.get("code", 70))
