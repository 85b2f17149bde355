"""Lints the state machines: asl.py ASL_VALIDATOR [FOLDER]. Two public linters, then what both of them miss.

ASL_VALIDATOR is the program of the npm package asl-validator; statelint is beside the running Python. FOLDER: orchestrations/.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import botocore.session

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = botocore.session.get_session()
RESOURCES = {
    "arn:aws:states:::ecs:runTask.waitForTaskToken": ("ecs", "RunTask"),
    "arn:aws:states:::ecs:runTask.sync": ("ecs", "RunTask"),
    "arn:aws:states:::glue:startJobRun.sync": ("glue", "StartJobRun"),
    "arn:aws:states:::states:startExecution.sync:2": ("stepfunctions", "StartExecution"),
    "arn:aws:states:::sns:publish": ("sns", "Publish"),
    "arn:aws:states:::sqs:sendMessage": ("sqs", "SendMessage"),
    "arn:aws:states:::aws-sdk:s3:getObject": ("s3", "GetObject"),
}
# Step Functions takes an object here where the API takes a string.
DOCUMENTS = {("stepfunctions", "StartExecution", "Input"), ("sqs", "SendMessage", "MessageBody"), ("sns", "Publish", "Message")}
VERBS = ("check_input", "raw_to_clean", "clean_to_curated", "check", "publish", "quarantine", "plan", "sla", "run")
SUBSTITUTIONS = {
    **{f"task_{verb}": f"windrow-production-{verb}" for verb in VERBS},
    "cluster_arn": "arn:aws:ecs:eu-central-1:123456789012:cluster/windrow-production", "capacity_provider": "FARGATE_SPOT",
    "subnet_a": "subnet-0123456789abcdef0", "subnet_b": "subnet-0123456789abcdef1", "security_group": "sg-0123456789abcdef0",
    "lake_url": "s3://windrow-production-lake/lake", "profile": "default", "glue_job_name": "windrow-production",
    "alert_topic_arn": "arn:aws:sns:eu-central-1:123456789012:windrow-production-alerts",
    "replay_queue_url": "https://sqs.eu-central-1.amazonaws.com/123456789012/windrow-production-replay",
    "window_state_machine_arn": "arn:aws:states:eu-central-1:123456789012:stateMachine:windrow-production-window",
    "result_bucket": "windrow-production-lake", "result_prefix": "lake/runs/",
}
METADATA = ("DATASET", "WINDOW", "RUN_ID", "REASON", "EXECUTION_ID", "LAKE", "PROFILE", "RESULT_URI")
REPLAY_MESSAGE = ("dataset", "window", "reason", "profile", "lake", "source", "replay_of", "execution_id", "error", "alert")
# The longest values a variable of a task can have; a token is at most 2,048 characters (the API), an execution's ARN about 300.
LONGEST = {"TASK_TOKEN": 2048, "EXECUTION_ID": 300, "RESULT_URI": 1024, "LAKE": 512, "DATASET": 128, "PROFILE": 128}
OVERRIDES_LIMIT, FILE_LIMIT = 8192, 1 << 20
WAITS_FOR_INPUT = 24


def substitute(text):
    """The text with every `${name}` replaced; unknown names stay."""
    return re.sub(r"\$\{(\w+)\}", lambda found: SUBSTITUTIONS.get(found.group(1), found.group(0)), text)


def machines_in(machine, inside=()):
    """Every set of states, with the Map and Parallel states around it."""
    yield machine, inside
    for name, state in machine["States"].items():
        inner = [state.get("ItemProcessor"), state.get("Iterator"), *state.get("Branches", [])]
        for part in filter(None, inner):
            yield from machines_in(part, (*inside, (name, state)))


def states_in(machine):
    """(name, state, states around it) of every state."""
    for part, inside in machines_in(machine):
        for name, state in part["States"].items():
            yield name, state, inside


def tasks_in(machine):
    """The Task states."""
    return [found for found in states_in(machine) if found[1]["Type"] == "Task"]


def plain(key):
    """A key without its `.$`."""
    return key.removesuffix(".$")


# What the public linters say.

def public_linters(path, text, validator):
    """Findings of asl-validator and statelint, on the file after substitution."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, path.name)
        copy.write_text(substitute(text))
        statelint = pathlib.Path(sys.executable).parent / "statelint"
        for name, command in (("asl-validator", [validator, "--json-path", copy]), ("statelint", [statelint, copy])):
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            if done.returncode:
                yield f"{name}: {(done.stdout + done.stderr).strip()}"


# What they miss.

def placeholders(text):
    """`${name}` that Terraform does not know."""
    for name in sorted(set(re.findall(r"\$\{(.*?)\}", text)) - set(SUBSTITUTIONS)):
        yield f"unknown substitution ${{{name}}}"


def transitions(machine):
    """Targets that do not exist, states nothing leads to, names used twice."""
    names = [name for name, _, _ in states_in(machine)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name}: the name is used twice"
    for part, _ in machines_in(machine):
        targets = [("StartAt", part["StartAt"])]
        for name, state in part["States"].items():
            targets += [(name, target) for target in next_of(state)]
        for source, target in targets:
            if target not in part["States"]:
                yield f"{source}: leads to {target}, which is not there"
        for name in set(part["States"]) - {target for _, target in targets}:
            yield f"{name}: nothing leads to it"


def next_of(state):
    """Where a state can lead."""
    rules = [*state.get("Catch", []), *state.get("Choices", [])]
    return [*(rule["Next"] for rule in rules if "Next" in rule), *(state[key] for key in ("Next", "Default") if key in state)]


def resources(machine):
    """Integrations that are not on the list."""
    for name, state, _ in tasks_in(machine):
        if state.get("Resource") not in RESOURCES:
            yield f"{name}: unknown Resource {state.get('Resource')}"


def parameters(machine):
    """Parameters the API does not have, and required ones that are missing."""
    for name, state, _ in tasks_in(machine):
        service, operation = RESOURCES.get(state.get("Resource"), (None, None))
        if service:
            shape = MODELS.get_service_model(service).operation_model(operation).input_shape
            yield from against_shape(f"{name}: Parameters", state.get("Parameters", {}), shape, (service, operation))


def against_shape(where, value, shape, place):
    """The value's keys against the API's model; Step Functions spells them with a capital."""
    if shape.type_name == "structure" and isinstance(value, dict):
        members = {key[0].upper() + key[1:]: member for key, member in shape.members.items()}
        given = {plain(key): part for key, part in value.items()}
        for key in sorted(set(given) - set(members)):
            yield f"{where}: {shape.name} has no {key}"
        for key in sorted({key[0].upper() + key[1:] for key in shape.required_members} - set(given)):
            yield f"{where}: {key} is missing"
        for key in set(given) & set(members):
            if (*place, key) not in DOCUMENTS:
                yield from against_shape(f"{where}.{key}", given[key], members[key], place)
    elif shape.type_name == "list" and isinstance(value, list):
        for part in value:
            yield from against_shape(where, part, shape.member, place)
    elif shape.type_name == "map" and isinstance(value, dict):
        for key, part in value.items():
            yield from against_shape(f"{where}.{key}", part, shape.value, place)
    elif isinstance(value, (dict, list)) and shape.type_name not in ("structure", "list", "map"):
        yield f"{where}: is a {shape.type_name}, not {json.dumps(value)[:40]}"


def templates(machine):
    """Paths and functions under a key without `.$`, and the reverse."""
    for name, state, _ in states_in(machine):
        for field in ("Parameters", "ResultSelector", "ItemSelector", "Result"):
            yield from template(f"{name}: {field}", state.get(field))


def template(where, value):
    """One payload template."""
    if isinstance(value, list):
        for part in value:
            yield from template(where, part)
    for key, part in value.items() if isinstance(value, dict) else ():
        looks = isinstance(part, str) and re.match(r"\$\.|\$\$\.|\$$|\$\[|States\.\w+\(", part)
        if key.endswith(".$") and not looks:
            yield f"{where}.{key}: {part!r} is neither a path nor a function"
        if not key.endswith(".$") and looks:
            yield f"{where}.{key}: {part!r} is not evaluated, the key has no .$"
        yield from template(f"{where}.{key}", part)


def caught(rules):
    """Names of all errors in a Catch or Retry."""
    return [name for rule in rules for name in rule["ErrorEquals"]]


def timeouts(machine):
    """Tasks without an end; callbacks without a heartbeat or a catch of their silence."""
    for name, state, inside in tasks_in(machine):
        if "TimeoutSeconds" not in state:
            yield f"{name}: has no TimeoutSeconds"
        names = caught(state.get("Catch", []))
        if "States.ALL" not in names + [name for _, around in inside for name in caught(around.get("Catch", []))]:
            yield f"{name}: neither the state nor a Map around it catches States.ALL"
        if not state.get("Resource", "").endswith(".waitForTaskToken"):
            continue
        if "HeartbeatSeconds" not in state:
            yield f"{name}: waits for a token without HeartbeatSeconds"
        elif state["HeartbeatSeconds"] >= state.get("TimeoutSeconds", 0):
            yield f"{name}: HeartbeatSeconds is not below TimeoutSeconds"
        if "States.ALL" not in names and not {"States.Timeout", "States.HeartbeatTimeout"} <= set(names):
            yield f"{name}: catches neither States.ALL nor both timeouts"


def errors(machine):
    """Retry of errors that stay the same however often one tries; States.ALL in the wrong place."""
    for name, state, _ in states_in(machine):
        for kind in ("Retry", "Catch"):
            rules = state.get(kind, [])
            for index, rule in enumerate(rules):
                if "States.ALL" in rule["ErrorEquals"] and (rule["ErrorEquals"] != ["States.ALL"] or index + 1 < len(rules)):
                    yield f"{name}: {kind}[{index}]: States.ALL stands alone and last"
        for index, rule in enumerate(state.get("Retry", [])):
            yield from (f"{name}: Retry[{index}]: {found}" for found in one_retry(state, rule))


def one_retry(state, rule):
    """Findings of one Retry entry."""
    runs_windrow = any(part in state.get("Resource", "") for part in (":ecs:", ":glue:", ":startExecution"))
    waits = {"Windrow.InputMissing"} if "check-input" in json.dumps(state.get("Parameters", {})) else set()
    for error in rule["ErrorEquals"]:
        if error.startswith("Windrow.") and error not in {"Windrow.Transient", *waits}:
            yield f"{error} stays the same however often one tries"
        if runs_windrow and error in ("States.ALL", "States.TaskFailed", "States.Timeout"):
            yield f"{error} holds errors that stay the same however often one tries"
    if rule.get("MaxAttempts", 99) > WAITS_FOR_INPUT:
        yield f"no MaxAttempts, or more than {WAITS_FOR_INPUT}"
    if "States.HeartbeatTimeout" in rule["ErrorEquals"] and rule.get("MaxAttempts") != 1:
        yield "a task that died is started again once"


def metadata(machine):
    """Every task gets what names the run; the verb is the task definition's own; the replay message names the run."""
    for name, state, _ in tasks_in(machine):
        given = state.get("Parameters", {})
        resource = state.get("Resource", "")
        if ":ecs:" in resource:
            yield from (f"{name}: {found}" for found in one_task(given, resource))
        if ":glue:" in resource:
            arguments = {plain(key).lstrip("-").replace("-", "_").upper() for key in given.get("Arguments", {})}
            yield from (f"{name}: no argument for {part}" for part in METADATA if part not in arguments)
        if ":startExecution" in resource and "Input.$" not in given:
            keys = {plain(key) for key in given.get("Input", {})}
            yield from (f"{name}: Input names no {part}" for part in ("dataset", "window", "reason") if part not in keys)
        if ":sqs:" in resource:
            keys = {plain(key) for key in given.get("MessageBody", {})}
            yield from (f"{name}: the message names no {part}" for part in REPLAY_MESSAGE if part not in keys)


def one_task(given, resource):
    """Findings of the parameters of one RunTask."""
    container = given.get("Overrides", {}).get("ContainerOverrides", [{}])[0]
    variables = {entry["Name"].removeprefix("WINDROW_"): entry for entry in container.get("Environment", [])}
    command = container.get("Command", [])
    wanted = {*METADATA} | ({"TASK_TOKEN"} if resource.endswith("waitForTaskToken") else set())
    if command[:1] in (["check"], ["publish"]):
        wanted |= {"LAYER", "EPOCH"}
    if command[:1] == ["plan"]:
        wanted = wanted - {"WINDOW"} | {"FROM", "TO"}
    yield from (f"no WINDROW_{part}" for part in sorted(wanted - set(variables)))
    if container.get("Name") != "windrow":
        yield f"the container is called windrow, not {container.get('Name')}"
    family = f"${{task_{'_'.join(command[:1]).replace('-', '_')}}}"
    if given.get("TaskDefinition") != family:
        yield f"{command} runs in {given.get('TaskDefinition')}, whose role is another verb's"
    if variables.get("TASK_TOKEN", {}).get("Value.$", "$$.Task.Token") != "$$.Task.Token":
        yield "WINDROW_TASK_TOKEN is not the token"


def overrides(machine):
    """RunTask's overrides with the longest values against the limit."""
    for name, state, _ in tasks_in(machine):
        if ":ecs:" not in state.get("Resource", ""):
            continue
        given = json.loads(json.dumps(state.get("Parameters", {}).get("Overrides", {})))
        for container in given.get("ContainerOverrides", []):
            container["Environment"] = [
                {"Name": entry["Name"], "Value": "x" * LONGEST.get(entry["Name"].removeprefix("WINDROW_"), 64)}
                for entry in container.get("Environment", [])]
        size = len(json.dumps(given))
        if size >= OVERRIDES_LIMIT:
            yield f"{name}: overrides of up to {size} characters, {OVERRIDES_LIMIT} are allowed"


def lint(path, validator):
    """Every finding of a file."""
    text = path.read_text()
    if len(text.encode()) >= FILE_LIMIT:
        yield "the file is larger than a definition may be"
    try:
        machine, after = json.loads(text), json.loads(substitute(text))
    except ValueError as error:
        yield f"not JSON: {error}"
        return
    yield from placeholders(text)
    yield from public_linters(path, text, validator)
    for check in (transitions, resources, parameters, templates, timeouts, errors):
        yield from check(after)
    yield from metadata(machine)
    yield from overrides(after)


def main():
    """Lints the folder; findings are the exit code."""
    folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "orchestrations"
    files = sorted(folder.glob("*.json"))
    assert files, f"no state machines in {folder}"
    found = [f"{path.name}: {finding}" for path in files for finding in lint(path, sys.argv[1])]
    print("\n".join(found) or f"{len(files)} state machines, nothing found")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
