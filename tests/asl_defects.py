"""Does the lint of the state machines find defects? asl_defects.py ASL_VALIDATOR. Each is one edit to a copy of one file."""
import json
import pathlib
import sys
import tempfile

import asl

WINDOW, BACKFILL, SYNC = (f"{name}_state_machine.json" for name in ("window", "backfill", "window_sync"))


def state(machine, name):
    """The state of this name."""
    return next(found for key, found, _ in asl.states_in(machine) if key == name)


def overrides(machine, name):
    """The container overrides of a task."""
    return state(machine, name)["Parameters"]["Overrides"]["ContainerOverrides"][0]


def rename(mapping, old, new):
    """Moves a value to another key."""
    mapping[new] = mapping.pop(old)


def drop_variable(machine, name, variable):
    """A task without one of its variables."""
    container = overrides(machine, name)
    container["Environment"] = [entry for entry in container["Environment"] if entry["Name"] != variable]


def retry(machine, name, error):
    """One more error that is tried again."""
    state(machine, name)["Retry"][0]["ErrorEquals"].append(error)


# name, file, edit of the parsed file, words of the finding
DEFECTS = [
    ("a misspelt Resource", WINDOW, lambda m: state(m, "RawToClean").update(Resource="arn:aws:states:::ecs:runTasks.waitForTaskToken"),
     "unknown Resource"),
    ("another integration pattern", WINDOW, lambda m: state(m, "RawToClean").update(Resource="arn:aws:states:::ecs:runTask"),
     "unknown Resource"),
    ("a misspelt parameter", WINDOW, lambda m: rename(state(m, "CheckInput")["Parameters"], "NetworkConfiguration", "NetworkConfig"),
     "has no NetworkConfig"),
    ("a parameter in the API's own case", WINDOW, lambda m: rename(overrides(m, "PublishClean"), "Command", "command"), "has no command"),
    ("a required parameter left out", BACKFILL, lambda m: state(m, "PlanBackfill")["Parameters"].pop("TaskDefinition"),
     "TaskDefinition is missing"),
    ("a path under a key without .$", WINDOW, lambda m: rename(state(m, "Alert")["Parameters"], "Message.$", "Message"), "has no .$"),
    ("a word under a key with .$", SYNC, lambda m: state(m, "Run")["Parameters"].update({"runner.$": "ecs"}), "neither a path"),
    ("Next to nowhere", WINDOW, lambda m: state(m, "Quarantine").update(Next="IsReply"), "IsReply"),
    ("a state nothing leads to", SYNC, lambda m: state(m, "Transient").update(Default="NextAttempt"), "nothing leads to it"),
    ("no heartbeat", WINDOW, lambda m: state(m, "CheckClean").pop("HeartbeatSeconds"), "HeartbeatSeconds"),
    ("no timeout", SYNC, lambda m: state(m, "RunOnEcs").pop("TimeoutSeconds"), "TimeoutSeconds"),
    ("nobody catches the silence", WINDOW, lambda m: state(m, "CheckInput").pop("Catch"), "catches"),
    ("a deterministic error in Retry", WINDOW, lambda m: retry(m, "CleanToCurated", "Windrow.SchemaMismatch"), "stays the same"),
    ("every failed task in Retry", WINDOW, lambda m: retry(m, "CleanToCurated", "States.TaskFailed"), "stay the same"),
    ("States.ALL in company", WINDOW, lambda m: state(m, "CheckInput")["Catch"][0]["ErrorEquals"].append("States.Timeout"), "States.ALL"),
    ("a task that does not know its run", WINDOW, lambda m: drop_variable(m, "CheckCurated", "WINDROW_RUN_ID"), "no WINDROW_RUN_ID"),
    ("a task with another verb's role", WINDOW, lambda m: state(m, "CheckClean")["Parameters"].update(TaskDefinition="${task_publish}"),
     "another verb's"),
    ("a replay message without its window", SYNC, lambda m: state(m, "QueueReplay")["Parameters"]["MessageBody"].pop("window.$"),
     "the message names no window"),
    ("a value Terraform does not know", WINDOW, lambda m: state(m, "Alert")["Parameters"].update(TopicArn="${topic}"),
     "unknown substitution"),
    ("overrides beyond the limit", WINDOW, lambda m: overrides(m, "RawToClean")["Command"].append("x" * 6000), "characters"),
]


def caught(name, file, edit, words, validator):
    """Whether the lint finds the defect in a copy of the file."""
    machine = json.loads((asl.ROOT / "orchestrations" / file).read_text())
    edit(machine)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, file)
        path.write_text(json.dumps(machine, indent=2))
        findings = list(asl.lint(path, validator))
    found = [finding for finding in findings if words in finding]
    print(f"{'caught' if found else 'NOT CAUGHT'}: {name}: {(found or findings or ['nothing found'])[0].splitlines()[0][:140]}")
    return bool(found)


results = [caught(*defect, sys.argv[1]) for defect in DEFECTS]
print(f"caught {sum(results)} of {len(results)}")
sys.exit(0 if all(results) else 1)
