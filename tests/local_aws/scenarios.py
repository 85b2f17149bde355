"""The state machines of orchestrations/ end to end: scenarios.py WINDROW [NAME …]. Every task is the real program, on a real S3 server.

Each scenario has its own lake. What windrow does not do by itself (dying, running out of memory, a busy AWS) is a fault of faults.py.
Without names all scenarios run, and every state, Retry and Catch of the files must have been walked.
"""
import datetime
import gzip
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import machines
import walks
import world as w

AT_A_TIME = 4
JFK, LGA = "flights/2013/01/01/JFK.csv", "flights/2013/01/01/LGA.csv.gz"
FAILED = ["Quarantine", "IsReplay", "QueueReplay", "Alert", "NotPublished"]
REFUSED = ["CheckInput", "CleanTables", "RawToClean", "CleanFailed", "CleanExplained", "FailedTables", *FAILED]
NOT_THERE = "flights for 2013-01-01 not published: "


def line(number, change):
    """A change of one line of a file."""
    def changed(body):
        lines = body.decode().splitlines(keepends=True)
        lines[number] = change(lines[number])
        return "".join(lines).encode()

    return changed


def cell(number, column, value):
    """A change of one cell."""
    def changed(text):
        cells = text.split(",")
        cells[column] = value
        return ",".join(cells)

    return line(number, changed)


def fault(verb, do, attempt=1, **more):
    """A fault of a task."""
    at = {"verb": verb, **{name: more.pop(name) for name in ("layer", "dataset", "window") if name in more}}
    return {"at": at, "attempt": attempt, "do": do, **more}


def run(lake, **more):
    """The window machine on the scenario's lake."""
    return lake.world.stack.run("window", lake.input(**more))


def published_flights(lake, rows=w.FLIGHTS_ROWS):
    """Readers see the day."""
    assert (lake.rows("flights", "clean"), lake.rows("flights")) == (rows, rows), (lake.rows("flights", "clean"), lake.rows("flights"))


def happy_path(lake):
    """A window of five clean tables and one curated, by the scheduler's time; a second run changes nothing."""
    lake.produce_shop("2019-03-12")
    output = w.published(run(lake, dataset="orders", window="last@2019-03-13T02:00:00Z"))
    assert (output["dataset"], output["window"], output["status"]) == ("orders", "2019-03-12", "published"), output
    assert lake.rows("orders") == 327
    counts = {table: lake.rows(table, "clean") for table in ("orders", "items", "customers", "products", "stores")}
    assert counts == {"orders": 327, "items": 427, "customers": 327, "products": 10, "stores": 2}, counts
    tasks = lake.tasks()
    assert len(tasks) == 1 + 5 * 3 + 3, [task["command"] for task in tasks]
    for task in tasks:
        assert task["run_id"] == output["run_id"] and task["environment"]["WINDROW_REASON"] == "schedule", task
        assert (task["cpu"], task["memory"]) == ("1024", "4096"), task
    before = lake.objects("store", "clean", "curated", "quarantine")
    w.published(run(lake, dataset="orders", window="2019-03-12"))
    assert lake.objects("store", "clean", "curated", "quarantine") == before, "a second run writes nothing"


def schema_mismatch(lake):
    """A published day is sent again, broken: it stays; the corrected day comes by replay. The replay of a still broken one fails once."""
    lake.produce("flights", "2013-01-01")
    w.published(run(lake))
    before = lake.visible()
    lake.spoil(JFK, cell(2, 0, "twenty13"))
    words = (NOT_THERE, "1 row", "year", "integer")
    message = w.not_published(lake, run(lake), "Windrow.SchemaMismatch", words, REFUSED, evidence=True)
    again = lake.world.stack.run("replay", [message])
    assert (again.status, again.error) == ("FAILED", "Windrow.ReplayFailed"), (again.status, again.error)
    assert len(lake.world.stack.replays(lake.address)) == 1, "a replay that fails is not queued again"
    assert lake.visible() == before, "what was published stays"
    lake.spoil(JFK, lambda body: b"".join(body.splitlines(keepends=True)[:-1]))
    w.replay(lake, message)
    published_flights(lake, w.FLIGHTS_ROWS - 1)


def corrupt_file(lake):
    """A gzip file that ends too early, far behind what the input check reads: found by the task that reads it all."""
    lake.produce("flights", "2013-01-01").spoil(LGA, lambda body: gzip.compress(gzip.decompress(body) * 5)[:-100])
    message = w.not_published(lake, run(lake), "Windrow.CorruptInput", (NOT_THERE, "LGA.csv.gz"), REFUSED, evidence=True)
    assert not lake.visible()
    lake.produce("flights", "2013-01-01")
    w.replay(lake, message)
    published_flights(lake)


def cut_file(lake):
    """A gzip file that ends at once: found before anything is computed."""
    lake.produce("flights", "2013-01-01").spoil(LGA, lambda body: body[: len(body) // 2])
    walked = ["CheckInput", "InputFailed", "InputExplained", *FAILED]
    message = w.not_published(lake, run(lake), "Windrow.CorruptInput", (NOT_THERE, "LGA.csv.gz"), walked)
    assert not lake.visible()
    lake.produce("flights", "2013-01-01")
    w.replay(lake, message)
    published_flights(lake)


def missing_input(lake):
    """No files: 24 times waited for, then an alert; the replay finds them."""
    walked = ["CheckInput", "InputFailed", "InputExplained", *FAILED]
    message = w.not_published(lake, run(lake), "Windrow.InputMissing", (NOT_THERE, "no raw file"), walked)
    assert len(lake.tasks(verb="check-input")) == 25 and not lake.visible()
    lake.produce("flights", "2013-01-01")
    w.replay(lake, message)
    published_flights(lake)


def late_input(lake):
    """The files come while they are waited for."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run, lake)
        while len(lake.tasks(verb="check-input")) < 3 and not waiting.done():
            time.sleep(0.1)
        lake.produce("flights", "2013-01-01")
        w.published(waiting.result())
    published_flights(lake)
    assert not lake.world.stack.replays(lake.address)


def quality_fail(lake):
    """The gate says FAIL to the clean table; the replay of the corrected file passes it."""
    lake.produce("flights", "2013-01-01").spoil(JFK, cell(1, 13, "JFK"))
    walked = ["RawToClean", "CheckClean", "CleanGate", "CleanRefused", "FailedTables", *FAILED]
    words = (NOT_THERE, "destination_is_not_origin")
    message = w.not_published(lake, run(lake), "Windrow.QualityFailed", words, walked, evidence=True)
    assert not lake.visible()
    lake.produce("flights", "2013-01-01")
    w.replay(lake, message)
    published_flights(lake)


def curated_quality_fail(lake):
    """The gate says PASS to the clean table and FAIL to the curated one."""
    lake.produce("flights", "2013-01-01").spoil(JFK, cell(1, 14, "1"))
    walked = ["PublishClean", "CleanToCurated", "CheckCurated", "CuratedGate", "CuratedRefused", "FailedTables", *FAILED]
    words = (NOT_THERE, "speed_is_plausible")
    message = w.not_published(lake, run(lake), "Windrow.QualityFailed", words, walked, evidence=True)
    assert set(lake.visible()) and not lake.objects("curated")
    lake.produce("flights", "2013-01-01")
    w.replay(lake, message)
    published_flights(lake)


def transient_then_fine(lake):
    """Three transient failures of one task, one of another: nobody is alerted."""
    lake.produce("flights", "2013-01-01").plan(
        fault("raw-to-clean", "fail", [1, 2, 3], error="Windrow.Transient"), fault("publish", "fail", error="Windrow.Transient"))
    execution = run(lake)
    w.published(execution)
    published_flights(lake)
    assert not lake.world.stack.alerts(execution.arn) and not lake.world.stack.replays(lake.address)
    assert [task["code"] for task in lake.tasks(verb="raw-to-clean")] == [70, 70, 70, 0]


def transient_forever(lake):
    """A transient failure that does not pass: three more tries, then quarantine, replay queue and alert."""
    lake.produce("flights", "2013-01-01").plan(fault("raw-to-clean", "fail", "all", error="Windrow.Transient"))
    message = w.not_published(lake, run(lake), "Windrow.Transient", (NOT_THERE,), REFUSED)
    assert len(lake.tasks(verb="raw-to-clean")) == 4 and not lake.visible()
    lake.plan()
    w.replay(lake, message)
    published_flights(lake)


def out_of_memory(lake):
    """The kernel kills the working process: once more, on the large worker."""
    lake.produce("flights", "2013-01-01").plan(
        fault("raw-to-clean", "signal", signal="SIGKILL", whom="child"), fault("clean-to-curated", "fail", error="Windrow.OutOfMemory"))
    execution = run(lake)
    w.published(execution)
    published_flights(lake)
    assert w.in_order(["RawToClean", "CleanOutOfMemory", "CleanLargeWorker", "RawToClean"], execution.states())
    assert w.in_order(["CleanToCurated", "CuratedOutOfMemory", "CuratedLargeWorker", "CleanToCurated"], execution.states())
    for verb in ("raw-to-clean", "clean-to-curated"):
        assert [(task["cpu"], task["memory"]) for task in lake.tasks(verb=verb)] == [("1024", "4096"), ("4096", "16384")]
    assert [task["code"] for task in lake.tasks(verb="raw-to-clean")] == [71, 0]


def out_of_memory_twice(lake):
    """The large worker is not enough either."""
    lake.produce("flights", "2013-01-01").plan(fault("raw-to-clean", "signal", [1, 2], signal="SIGKILL", whom="child"))
    walked = ["RawToClean", "CleanOutOfMemory", "CleanLargeWorker", "RawToClean", "CleanOutOfMemory", "CleanFailed", *FAILED]
    message = w.not_published(lake, run(lake), "Windrow.OutOfMemory", (NOT_THERE, "memory"), walked)
    w.replay(lake, message)
    published_flights(lake)


def killed(lake):
    """The whole task dies without a word: the heartbeat stays away, the task is started again."""
    lake.produce("flights", "2013-01-01").plan(fault("raw-to-clean", "signal", signal="SIGKILL", whom="all"))
    execution = run(lake)
    w.published(execution)
    published_flights(lake)
    assert [task["code"] for task in lake.tasks(verb="raw-to-clean")] == [-9, 0]
    assert not lake.world.stack.alerts(execution.arn)


def killed_twice(lake):
    """It dies again."""
    lake.produce("flights", "2013-01-01").plan(fault("raw-to-clean", "signal", [1, 2], signal="SIGKILL", whom="all"))
    walked = ["RawToClean", "CleanFailed", "CleanUnexplained", "FailedTables", *FAILED]
    words = (NOT_THERE, "ended without an answer (States.HeartbeatTimeout)")
    message = w.not_published(lake, run(lake), "States.HeartbeatTimeout", words, walked)
    w.replay(lake, message)
    published_flights(lake)


def sigterm(lake):
    """ECS takes the task away: it reports itself as transient and is started again."""
    lake.produce("flights", "2013-01-01").plan(fault("raw-to-clean", "signal", signal="SIGTERM", whom="task"))
    execution = run(lake)
    w.published(execution)
    published_flights(lake)
    failures = [event["taskFailedEventDetails"]["error"] for event in execution.events() if event["type"] == "TaskFailed"]
    assert failures == ["Windrow.Transient"], failures
    assert not lake.world.stack.alerts(execution.arn)


def access_denied(lake):
    """A role that may not write: no retry."""
    lake.produce("flights", "2013-01-01").plan(fault("raw-to-clean", "environment", environment=w.READ_ONLY))
    message = w.not_published(lake, run(lake), "Windrow.AccessDenied", (NOT_THERE,), REFUSED)
    assert len(lake.tasks(verb="raw-to-clean")) == 1 and not lake.visible()
    w.replay(lake, message)
    published_flights(lake)


def replay_from_queue(lake):
    """The queue's message, without the state machine: `windrow replay --from-queue`."""
    lake.produce("flights", "2013-01-01").spoil(JFK, cell(2, 0, "twenty13"))
    message = w.not_published(lake, run(lake), "Windrow.SchemaMismatch", (NOT_THERE,), REFUSED)
    lake.produce("flights", "2013-01-01")
    url = lake.world.stack.queue("by-hand", message)
    lake.world.windrow("replay", "--from-queue", url, "--lake", lake.address)
    published_flights(lake)
    assert lake.world.stack.waiting(url) == 0, "the message is taken from the queue"


def backfill(lake):
    """Five windows, one bad: four published, one reported; when it is corrected, the same backfill runs only that one."""
    days = [f"2013-01-0{day}" for day in range(1, 6)]
    lake.produce("flights", *days)
    lake.spoil("flights/2013/01/03/JFK.csv", cell(2, 0, "twenty13"))
    wanted = {"dataset": "flights", "from": days[0], "to": "2013-01-06", "lake": lake.address}
    execution = lake.world.stack.run("backfill", wanted)
    assert (execution.status, execution.error) == ("FAILED", "Windrow.BackfillIncomplete"), (execution.error, execution.cause)
    assert w.in_order(["PlanBackfill", "EachWindow", "Report", "AllPublished", "Incomplete", "Alert", "NotComplete"], execution.states())
    assert lake.rows("flights") == 842 + 943 + 915 + 720, lake.rows("flights")
    alerts = lake.world.stack.alerts(execution.arn)
    assert len(alerts) == 1 and "5 planned, 1 still to run: [\"2013-01-03\"]" in alerts[0]["Message"], alerts
    messages = lake.world.stack.replays(lake.address)
    assert [(found["window"], found["reason"]) for found in messages] == [("2013-01-03", "replay")], messages
    assert {task["environment"]["WINDROW_REASON"] for task in lake.tasks()} == {"backfill"}
    lake.produce("flights", "2013-01-03")
    again = lake.world.stack.run("backfill", wanted)
    assert w.published(again)["planned"] == 1
    assert lake.rows("flights") == 842 + 943 + 914 + 915 + 720


def backfill_stops(lake):
    """No failed window tolerated: the second is not tried, both are reported."""
    lake.produce("flights", "2013-01-01", "2013-01-02").spoil(JFK, cell(2, 0, "twenty13"))
    execution = lake.world.stack.run("backfill", {"dataset": "flights", "from": "2013-01-01", "to": "2013-01-03", "lake": lake.address,
                                                  "max_concurrency": 1, "tolerated_failures": 0})
    assert (execution.status, execution.error) == ("FAILED", "Windrow.BackfillIncomplete"), (execution.error, execution.cause)
    assert "2 planned, 2 still to run" in execution.cause and not lake.visible(), execution.cause


def orders_daily(lake):
    """The shop's day for two datasets; then a day whose orders are bad: alerts of their own, and the day is incomplete."""
    shop = lake.world.lake("default")
    shop.produce_shop("2019-03-12", "2019-03-13").spoil("orders/2019-03-13/orders.csv", cell(1, 0, ""))
    w.published(lake.world.stack.run("orders_daily", {"window": "last@2019-03-13T02:00:00Z"}))
    assert (shop.rows("orders"), shop.rows("store_revenue")) == (327, 2)
    before = shop.visible()
    execution = lake.world.stack.run("orders_daily", {"window": "2019-03-13"})
    assert (execution.status, execution.error) == ("FAILED", "Windrow.DayIncomplete"), (execution.status, execution.error)
    assert w.in_order(["EachDataset", "RunWindow", "Failed", "AllThere", "Incomplete"], execution.states())
    after = shop.visible()
    assert {key: after.get(key) for key in before} == before, "the day before stays as it was"
    subjects = [alert["Subject"] for alert in lake.world.stack.alerts("orders for 2019-03-13 not published", shop.address)]
    assert sorted(subjects) == ["orders 2019-03-13 not published", "store_revenue 2019-03-13 not published"], subjects
    queued = {(message["dataset"], message["window"]) for message in lake.world.stack.replays(shop.address)}
    assert queued == {("orders", "2019-03-13"), ("store_revenue", "2019-03-13")}, queued


def sla(lake):
    """Not there: an alert in business words. There before the promised time, which is tomorrow's: nothing."""
    missed = lake.world.stack.run("sla", lake.input())
    assert (missed.status, missed.error) == ("FAILED", "Windrow.SlaMissed"), (missed.status, missed.error, missed.cause)
    alerts = lake.world.stack.alerts(missed.arn)
    assert len(alerts) == 1 and "flights for 2013-01-01" in alerts[0]["Message"] and "America/New_York" in alerts[0]["Message"], alerts
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    for name in ("orders", "stores"):
        body = (w.RAW / name / f"2019-03-12/{name}.csv").read_bytes()
        lake.put(f"{name}/{today}/{name}.csv", body.replace(b"2019-03-12", today.encode()))
    w.published(run(lake, dataset="store_revenue", window=today))
    met = lake.world.stack.run("sla", lake.input("store_revenue", today))
    assert w.published(met)["status"] == "met" and not lake.world.stack.alerts(met.arn), met.output


def sync(lake, runner, **more):
    """The form without callbacks."""
    return lake.world.stack.run("window_sync", lake.input(runner=runner, **more))


def both_runners(lake, scenario):
    """The scenario on ECS and on Glue, each with its own lake."""
    for runner in ("ecs", "glue"):
        scenario(lake.world.lake(f"{lake.name}-{runner}").produce("flights", "2013-01-01"), runner)


def sync_happy_path(lake):
    """One task a window."""
    def scenario(lake, runner):
        w.published(sync(lake, runner))
        published_flights(lake)

    both_runners(lake, scenario)


def sync_schema_mismatch(lake):
    """The result object says why."""
    def scenario(lake, runner):
        lake.spoil(JFK, cell(2, 0, "twenty13"))
        walked = ["ReadResult", "Decide", "Explained", "IsReplay", "QueueReplay", "Alert", "NotPublished"]
        message = w.not_published(lake, sync(lake, runner), "Windrow.SchemaMismatch", (NOT_THERE, "1 row"), walked)
        lake.produce("flights", "2013-01-01")
        w.replay(lake, message)
        published_flights(lake)

    both_runners(lake, scenario)


def sync_killed(lake):
    """Exit code 137 leaves no result: once on the large worker, and only once."""
    def scenario(lake, runner):
        lake.plan(fault("run", "exit", [1, 2], code=137))
        walked = ["ReadResult", "NoResult", "OutOfMemory", "LargeWorker", "NextAttempt", "NoResult", "OutOfMemory", "Explained"]
        message = w.not_published(lake, sync(lake, runner), "Windrow.OutOfMemory", (NOT_THERE, "killed"), walked)
        assert [task["code"] for task in lake.tasks(verb="run")] == [137, 137]
        w.replay(lake, message)
        published_flights(lake)

    both_runners(lake, scenario)


def sync_transient(lake):
    """The store goes away in the middle (exit code 143 or 75, with a result): tried again."""
    def scenario(lake, runner):
        lake.plan(fault("run", "signal", signal="SIGTERM", whom="task"))
        execution = sync(lake, runner)
        w.published(execution)
        published_flights(lake)
        assert w.in_order(["Decide", "Transient", "Pause", "NextAttempt", "Runner", "Published"], execution.states()), execution.states()

    both_runners(lake, scenario)


SCENARIOS = [
    missing_input, orders_daily, happy_path, backfill, *walks.SCENARIOS, killed_twice, sync_killed, schema_mismatch, killed,
    sync_schema_mismatch, corrupt_file, cut_file, late_input, quality_fail, curated_quality_fail, transient_then_fine, transient_forever,
    out_of_memory, out_of_memory_twice, sigterm, access_denied, replay_from_queue, backfill_stops, sla, sync_happy_path, sync_transient,
]


def try_one(world, scenario):
    """Runs a scenario on a new lake; says how it went."""
    started = time.monotonic()
    name = scenario.__name__.replace("_", "-")
    lake = world.lake(name)
    try:
        scenario(lake)
        told = None
    except Exception:
        told = traceback.format_exc() + logs(lake)
    print(f"{'FAILED' if told else 'ok'}: {name} ({time.monotonic() - started:.1f} s)", flush=True)
    return f"\n== {name}\n{told}" if told else None


def logs(lake):
    """What the last tasks of a scenario that failed have said."""
    last = lake.tasks()[-4:]
    return "".join(f"-- {task['command']} {task['dataset']} attempt {task['attempt']} exit {task['code']}\n"
                   + open(task["log"], errors="replace").read()[-1500:] for task in last if task.get("log"))


def main():
    """Runs the scenarios, some at a time; prints coverage when all ran."""
    names = sys.argv[2:]
    chosen = [scenario for scenario in SCENARIOS if not names or scenario.__name__ in names]
    assert len(chosen) == (len(names) or len(SCENARIOS)), f"no scenario is called one of {names}"
    binary = [str(machines.pathlib.Path(part).resolve()) if "/" in part else part for part in sys.argv[1].split()]
    with w.world(binary) as world, ThreadPoolExecutor(AT_A_TIME) as pool:
        problems = [problem for problem in pool.map(lambda scenario: try_one(world, scenario), chosen) if problem]
        print("\n".join(problems))
        print(world.complaints())
        complete = walks.report(world.folder / "log/walked.jsonl") if not names else True
        complete &= world.raw_is_untouched()
    print(f"{len(chosen) - len(problems)} of {len(chosen)} scenarios as expected")
    sys.exit(0 if complete and not problems else 1)


if __name__ == "__main__":
    main()
