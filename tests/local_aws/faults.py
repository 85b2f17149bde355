"""The faults of a scenario: which task or API call goes wrong, at which attempt, and how.

A scenario is named by the last part of its lake's address. Its plan is {plans}/{scenario}.json, a list of
`{"at": {...}, "attempt": [1, 2] or "all", "do": ..., ...}`. `at` holds any of machine, state, verb, dataset, layer, window, runner, purpose (words in the name of the result's object).

In place of a task (ECS and Glue):
  refuse    RunTask or StartJobRun answers with the API error `code`
  capacity  RunTask answers with an empty list of tasks and a failure
  fail      the task reports `error` to Step Functions and ends
  exit      the task ends with `code` and says nothing
  hang      the task neither works nor heartbeats
With the real task:
  environment  some variables are others
  signal       at the task's first request to the store, which gets no answer, `signal` is sent to `whom`: task (the first
               process), child (what that one started) or all
In place of the call of a state that is not a task:
  error     the state fails with `error`
"""
import json
import pathlib
import re
import threading


def scenario_of(address):
    """The name of the scenario in the address of a lake."""
    return (address or "").rstrip("/").rpartition("/")[2] or "default"


def lake_in(value):
    """The first `lake` in an execution's input, however deep."""
    if isinstance(value, dict):
        if isinstance(value.get("lake"), str):
            return value["lake"]
        value = list(value.values())
    if isinstance(value, list):
        return next(filter(None, map(lake_in, value)), None)
    return None


def matches(fault, facts, attempt):
    """Whether the fault is meant for this attempt of what the facts describe."""
    wanted = fault.get("attempt", 1)
    wanted = [wanted] if isinstance(wanted, int) else wanted
    fits = all(re.fullmatch(pattern, facts.get(name) or "") for name, pattern in fault["at"].items())
    return fits and (wanted == "all" or attempt in wanted)


class Plans:
    """Counts attempts and looks faults up."""

    def __init__(self, folder):
        self.folder, self.attempts, self.lock = pathlib.Path(folder), {}, threading.Lock()

    def faults(self, scenario):
        """The scenario's faults as they stand in its file at this moment."""
        path = self.folder / f"{scenario}.json"
        return json.loads(path.read_text()) if path.exists() else []

    def next(self, scenario, facts, key):
        """Counts one more attempt of `key` and returns its number and its fault, if any."""
        with self.lock:
            attempt = self.attempts[scenario, key] = self.attempts.get((scenario, key), 0) + 1
        found = [fault for fault in self.faults(scenario) if matches(fault, facts, attempt)]
        return attempt, found[0] if found else None
