"""Walks every Retry and every Catch of the state machines: made from the files, so that a new entry is walked without a new scenario."""
import collections
import json
import re

import machines
import world as w

ECS, TOKEN = ":ecs:runTask", ".waitForTaskToken"


def parts(machine):
    """Every set of states."""
    yield machine
    for state in machine["States"].values():
        if "ItemProcessor" in state:
            yield from parts(state["ItemProcessor"])


def states_of(name):
    """The states of a machine by name."""
    machine = json.loads(machines.file_of(name).read_text())
    return {key: state for part in parts(machine) for key, state in part["States"].items()}


def container(state):
    """What tells a task state's tasks from others: verb, layer, and the word in the result's name where states share a verb."""
    override = state["Parameters"]["Overrides"]["ContainerOverrides"][0]
    layer = [entry.get("Value") for entry in override["Environment"] if entry["Name"] == "WINDROW_LAYER"]
    word = re.search(r"\{\}-(\w+)\.json", json.dumps(override))
    return {"verb": override["Command"][0], **({"layer": layer[0]} if layer else {}), **({"purpose": word.group(1)} if word else {})}


def failure(machine, name, state, error, attempt):
    """The fault that makes this state fail with this error."""
    at = {"machine": machine, "state": name}
    if ECS in state["Resource"]:
        task = {"at": container(state), "attempt": attempt}
        if error == "AmazonECS.Unknown":
            return {**task, "do": "capacity"}
        if error.startswith("ECS."):
            return {**task, "do": "refuse", "code": error.partition(".")[2]}
        if TOKEN in state["Resource"]:
            return {**task, "do": "hang"} if error == "States.HeartbeatTimeout" else {**task, "do": "fail", "error": error}
    if ":glue:" in state["Resource"] and error.startswith("Glue."):
        return {"at": {"verb": "run", "runner": "glue"}, "attempt": attempt, "do": "refuse", "code": error.partition(".")[2]}
    error = {"States.TaskFailed": "SNS.InternalErrorException", "States.ALL": "States.Permissions"}.get(error, error)
    return {"at": at, "attempt": attempt, "do": "error", "error": error}


def every_retry(machine, names):
    """Faults that walk every Retry of these states, once each."""
    states = states_of(machine)
    return [failure(machine, name, states[name], rule["ErrorEquals"][0], attempt)
            for name in names for attempt, rule in enumerate(states[name].get("Retry", []), 1)]


def every_catch(machine, names):
    """(state, faults) for every Catch of these states."""
    states = states_of(machine)
    for name in names:
        for rule in states[name].get("Catch", []):
            error = {"States.ALL": "Windrow.Misconfigured"}.get(rule["ErrorEquals"][0], rule["ErrorEquals"][0])
            state = states[name] if states[name]["Type"] == "Task" else {"Resource": "map"}
            yield name, [failure(machine, name, state, error, "all")]


BAD_INPUT = {"at": {"verb": "check-input"}, "attempt": "all", "do": "fail", "error": "Windrow.Misconfigured"}
GONE = {"attempt": "all", "do": "refuse", "code": "AccessDeniedException"}


def walk(lake, label, machine, faults, more, ends):
    """One execution with these faults; it ends as expected."""
    own = lake.world.lake(f"{lake.name}-{label}").produce("flights", "2013-01-01").plan(*faults)
    given = {"dataset": "flights", "lake": own.address, **more}
    execution = lake.world.stack.run(machine, given)
    assert execution.status == ends, (label, execution.status, execution.error, execution.cause, execution.states())
    return execution


def retries_of_the_way_in(lake):
    """CheckInput, RawToClean and CheckClean, each after every error it tries again."""
    walk(lake, "x", "window", every_retry("window", ["CheckInput", "RawToClean", "CheckClean"]), {"window": "2013-01-01"}, "SUCCEEDED")


def retries_of_the_way_out(lake):
    """PublishClean and the curated table's states."""
    names = ["PublishClean", "CleanToCurated", "CheckCurated", "PublishCurated"]
    walk(lake, "x", "window", every_retry("window", names), {"window": "2013-01-01"}, "SUCCEEDED")


def retries_of_the_failure(lake):
    """Quarantine, QueueReplay and Alert: the window is not published, and everybody is told once."""
    faults = [BAD_INPUT, *every_retry("window", ["Quarantine", "QueueReplay", "Alert"])]
    execution = walk(lake, "x", "window", faults, {"window": "2013-01-01"}, "FAILED")
    assert len(lake.world.stack.alerts(execution.arn)) == 1


def catches_of_the_window(lake):
    """Each Catch of the states that make tables."""
    names = ["CheckInput", "CleanTables", "RawToClean", "CheckClean", "PublishClean",
             "CuratedTables", "CleanToCurated", "CheckCurated", "PublishCurated"]
    for index, (name, faults) in enumerate(every_catch("window", names)):
        execution = walk(lake, f"{index}", "window", faults, {"window": "2013-01-01"}, "FAILED")
        assert len(lake.world.stack.alerts(execution.arn)) == 1, name


def catches_of_the_failure(lake):
    """Quarantine, queue and alert fail themselves: the rest of them still happens."""
    for index, (name, faults) in enumerate(every_catch("window", ["Quarantine", "QueueReplay", "Alert"])):
        execution = walk(lake, f"{index}", "window", [BAD_INPUT, *faults], {"window": "2013-01-01"}, "FAILED")
        alerts = lake.world.stack.alerts(execution.arn)
        assert len(alerts) == (0 if name == "Alert" else 1), (name, alerts)
        assert name != "QueueReplay" or "replay NOT queued" in alerts[0]["Message"], alerts


def tasks_without_a_word(lake):
    """ECS refuses for good: the machine finds the words itself. And inputs that name nothing."""
    for verb in ("check-input", "raw-to-clean", "clean-to-curated"):
        execution = walk(lake, verb, "window", [{**GONE, "at": {"verb": verb}}], {"window": "2013-01-01"}, "FAILED")
        alerts = lake.world.stack.alerts(execution.arn)
        assert len(alerts) == 1 and "without an answer (ECS.AccessDeniedException)" in alerts[0]["Message"], alerts
    walk(lake, "replay", "window", [BAD_INPUT], {"window": "2013-01-01", "reason": "replay"}, "FAILED")
    for machine in ("window", "window_sync", "backfill", "sla", "orders_daily"):
        execution = lake.world.stack.run(machine, {"lake": lake.address})
        assert (execution.status, execution.error) == ("FAILED", "Windrow.Usage"), (machine, execution.error)


def walks_of_the_sync_form(lake):
    """Every Retry of the form without callbacks on both runners, and what it does when telling fails."""
    for runner, state in (("ecs", "RunOnEcs"), ("glue", "RunOnGlue")):
        faults = every_retry("window_sync", [state, "ReadResult"])
        walk(lake, runner, "window_sync", faults, {"window": "2013-01-01", "runner": runner}, "SUCCEEDED")
    for index, (name, faults) in enumerate(every_catch("window_sync", ["RunOnEcs", "RunOnGlue", "ReadResult"])):
        runner = "glue" if name == "RunOnGlue" else "ecs"
        walk(lake, f"catch-{index}", "window_sync", faults, {"window": "2013-01-01", "runner": runner}, "FAILED")
    broken = [{"at": {"verb": "run"}, "attempt": "all", "do": "exit", "code": 137}]
    retried = [*broken, *every_retry("window_sync", ["QueueReplay", "Alert"])]
    walk(lake, "told-at-last", "window_sync", retried, {"window": "2013-01-01"}, "FAILED")
    for index, (name, faults) in enumerate(every_catch("window_sync", ["QueueReplay", "Alert"])):
        walk(lake, f"not-told-{index}", "window_sync", [*broken, *faults], {"window": "2013-01-01"}, "FAILED")
    walk(lake, "replay", "window_sync", broken, {"window": "2013-01-01", "reason": "replay"}, "FAILED")


def walks_of_the_backfill(lake):
    """Every Retry and Catch of the backfill."""
    days = {"from": "2013-01-01", "to": "2013-01-02"}
    walk(lake, "retries", "backfill", every_retry("backfill", ["PlanBackfill", "RunWindow", "Report"]), days, "SUCCEEDED")
    for index, (name, faults) in enumerate(every_catch("backfill", ["PlanBackfill", "EachWindow", "Report"])):
        walk(lake, f"catch-{index}", "backfill", faults, days, "FAILED")
    stopped = failure("backfill", "PlanBackfill", states_of("backfill")["PlanBackfill"], "Windrow.Misconfigured", "all")
    walk(lake, "told-at-last", "backfill", [stopped, *every_retry("backfill", ["Alert"])], days, "FAILED")
    for index, (_, faults) in enumerate(every_catch("backfill", ["Alert"])):
        walk(lake, f"not-told-{index}", "backfill", [stopped, *faults], days, "FAILED")


def walks_of_the_small_machines(lake):
    """Every Retry and Catch of the day, of replay and of the SLA."""
    limit = failure("replay", "RunWindow", states_of("replay")["RunWindow"], "StepFunctions.ExecutionLimitExceededException", 1)
    own = lake.world.lake(f"{lake.name}-replay").produce("flights", "2013-01-01").plan(limit)
    w.published(lake.world.stack.run("replay", [own.input()]))
    lake.world.lake("default").produce_shop("2019-03-09")
    day = lake.world.lake(f"{lake.name}-day").plan(*every_retry("orders_daily", ["RunWindow"]))
    w.published(lake.world.stack.run("orders_daily", {"window": "2019-03-09", "lake": day.address}))
    window = {"window": "2013-01-01"}
    asked = every_retry("sla", ["AskLedger"])
    walk(lake, "sla-retries", "sla", [*asked, *every_retry("sla", ["Alert"])], window, "FAILED")
    for index, (_, faults) in enumerate(every_catch("sla", ["AskLedger", "Alert"])):
        walk(lake, f"sla-{index}", "sla", faults, window, "FAILED")
    walk(lake, "sla-gone", "sla", [{**GONE, "at": {"verb": "sla"}}], window, "FAILED")


SCENARIOS = [
    retries_of_the_way_out, retries_of_the_way_in, walks_of_the_backfill, walks_of_the_sync_form, catches_of_the_window,
    retries_of_the_failure, catches_of_the_failure, tasks_without_a_word, walks_of_the_small_machines,
]


def expected():
    """(machine, state, kind, index) of every state, Retry and Catch in the files."""
    for name in machines.NAMES:
        for state, entry in states_of(name).items():
            yield name, state, "state", 0
            for kind in ("Retry", "Catch"):
                for index in range(len(entry.get(kind, []))):
                    yield name, state, kind, index


def report(path):
    """Prints how often each was walked; true when each was."""
    steps = [json.loads(line) for line in path.read_text().splitlines()]
    counts = collections.Counter((step["machine"], step["state"], step["kind"], step["index"]) for step in steps)
    wanted = list(expected())
    for machine, state, kind, index in (key for key in wanted if key[2] != "state"):
        print(f"{machine}: {state}: {kind}[{index}] walked {counts[machine, state, kind, index]} times")
    for kind in ("state", "Retry", "Catch"):
        keys = [key for key in wanted if key[2] == kind]
        missing = [key for key in keys if not counts[key]]
        print(f"{kind}: {len(keys) - len(missing)} of {len(keys)} walked")
        for key in missing:
            print(f"  NOT WALKED: {':'.join(map(str, key))}")
    return all(counts[key] for key in wanted)
