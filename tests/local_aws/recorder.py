"""Writes down which states were entered and which Retry and Catch entries were walked: {log}/walked.jsonl."""
import json
import threading

LOCK = threading.Lock()
FILE = None


def place(env):
    """The machine and the state the interpreter is in."""
    context = env.states.context_object.context_object_data
    return context["StateMachine"]["Name"], context["State"]["Name"]


def walked(env, kind, index, error=None):
    """One step of one execution."""
    machine, state = place(env)
    execution = env.states.context_object.context_object_data["Execution"]["Id"]
    line = {"machine": machine, "state": state, "kind": kind, "index": index, "error": error, "execution": execution}
    with LOCK, open(FILE, "a") as file:
        file.write(json.dumps(line) + "\n")
