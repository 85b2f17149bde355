"""Metrics and lineage of real runs: validate.py WINDROW [SPEC]. Every EMF line and every OpenLineage event is held against
its specification; SPEC is the folder `spec` of a checkout of OpenLineage, whose JSON files are asked as well when given."""
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import collector
import emf
import openlineage_schema
import pyarrow.fs
import weed
from project import ON, ROOT, Project

WINDROW = str(pathlib.Path(sys.argv[1]).resolve())
SPEC = openlineage_schema.folder_problems(sys.argv[2]) if len(sys.argv) > 2 else lambda event: []
KEY = "not-to-be-seen"
counts = {"events": 0, "EMF lines": 0, "stages": 0, "defects found": 0}


def require(holds, message):
    if not holds:
        sys.exit(f"lineage: {message}")


def valid_metrics(done):
    """The EMF lines of a run, all valid."""
    documents = emf.lines(done.stderr)
    for document in documents:
        problems = emf.problems(document)
        require(not problems, f"EMF line {document}: {problems}")
    counts["EMF lines"] += len(documents)
    return documents


def valid_stages(project, run_id):
    """The stages of a run: valid events, START first, then COMPLETE or FAIL, under one id that no other stage has."""
    stages, ids = project.stages(run_id), set()
    for name, events in stages.items():
        for event in events:
            problems = openlineage_schema.problems(event) + SPEC(event)
            require(not problems, f"{name}: {problems}\n{json.dumps(event)}")
        types = [event["eventType"] for event in events]
        require(types in (["START", "COMPLETE"], ["START", "FAIL"]), f"{name}: {types}")
        require(("errorMessage" in events[1]["run"]["facets"]) == (types[1] == "FAIL"), f"{name}: errorMessage")
        own = {event["run"]["runId"] for event in events}
        sources_exist(events[1])
        require(len(own) == 1 and not own & ids, f"{name}: its run id is not its own")
        require(events[0]["job"] == events[1]["job"], f"{name}: two jobs")
        ids |= own
        counts["events"] += len(events)
    counts["stages"] += len(stages)
    return stages


def last(stages, ending):
    """The last event of the one stage whose file ends so."""
    found = [events[-1] for name, events in stages.items() if name.endswith(f"/{ending}.openlineage.jsonl")]
    require(len(found) == 1, f"{len(found)} stages {ending}")
    return found[0]


def source_of(event, column):
    """The input fields of a column: folder, column, subtype."""
    fields = event["outputs"][0]["facets"]["columnLineage"]["fields"][column]["inputFields"]
    return sorted((one["name"].split("/lake/")[1], one["field"], one["transformations"][0]["subtype"]) for one in fields)


def sources_exist(event):
    """Every column that lineage names is in the schema of an input of the same event."""
    known = {(one["name"], field["name"]) for one in event["inputs"] for field in one["facets"]["schema"]["fields"]}
    for output in event["outputs"]:
        columns = {field["name"] for field in output["facets"]["schema"]["fields"]}
        for column, lineage in output["facets"].get("columnLineage", {"fields": {}})["fields"].items():
            named = {(one["name"], one["field"]) for one in lineage["inputFields"]}
            require(column in columns and named and named <= known, f"lineage of {column}: {named - known}")


def happy_run(project, window):
    with collector.server() as (server, address):
        arguments = ["run", "--dataset", "orders", "--window", window, *ON, "--lineage-url", address, "--run-id", "happy"]
        done = project.run(*arguments, "--quiet", "--log-format", "json", OPENLINEAGE_API_KEY=KEY)
    require(KEY not in done.stdout + done.stderr, "the key of the server is told")
    require(server.keys == {f"Bearer {KEY}"} and server.paths == {"/api/v1/lineage"}, f"{server.keys} {server.paths}")
    stages = valid_stages(project, "happy")
    require(len(stages) == 18, f"6 tables have 18 stages, not {len(stages)}")
    order = lambda event: (event["eventTime"], event["run"]["runId"])
    written = sorted((event for events in stages.values() for event in events), key=order)
    require(sorted(server.events, key=order) == written, "the server did not get exactly what was written")
    metrics = valid_metrics(done)
    require([one["layer"] for one in metrics].count("curated") == 1 and len(metrics) == 6, "one line a table")
    for one in metrics:
        require(one["Success"] == 1 and one["Replays"] == 0 and one["QualityFailures"] == 0 and one["FreshnessLag"] > 0, str(one))
        require(one["RowsIn"] == one["RowsOut"] + one["RowsRejected"], f"rows do not add up: {one}")
    clean, curated = last(stages, "raw-to-clean.clean.orders"), last(stages, "clean-to-curated.curated.orders")
    require(source_of(clean, "subtotal_cents") == [("raw/orders", "subtotal", "IDENTITY")], "clean lineage")
    require(source_of(clean, "order_date") == [("raw/orders", "ordered_at", "TRANSFORMATION")], "clean lineage of an expression")
    require(source_of(curated, "items_cents") == [("clean/products", "price_cents", "AGGREGATION")], "curated lineage")
    require(source_of(curated, "store_name") == [("clean/stores", "store_name", "IDENTITY")], "curated lineage of a copy")
    rows = next(one["RowsOut"] for one in metrics if (one["layer"], one["dataset"]) == ("clean", "orders"))
    require(clean["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == rows > 0, "rows of the output")
    require(clean["inputs"][0]["inputFacets"]["inputStatistics"]["fileCount"] == 1, "files of the input")
    checked = last(stages, "check.clean.orders")["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    require(len(checked) >= 4 and all(one["success"] for one in checked), f"assertions {checked}")
    return written, metrics


def quarantined_run(project, window):
    arguments = ["run", "--dataset", "orders", "--window", window, *ON, "--run-id", "bad"]
    done = project.run(*arguments, code=65)
    failed = last(valid_stages(project, "bad"), "raw-to-clean.clean.orders")
    require(failed["eventType"] == "FAIL" and "SchemaMismatch" in failed["run"]["facets"]["errorMessage"]["message"], "FAIL")
    line = next(one for one in valid_metrics(done) if one["dataset"] == "orders")
    require((line["Failure"], line["RowsRejected"], line["status"]) == (1, 1, "quarantined"), f"{line}")
    require(line["error_kind"] == "SchemaMismatch" and "FreshnessLag" not in line, f"{line}")


def gate_failure(project, window):
    arguments = ["run", "--dataset", "orders", "--window", window, *ON, "--run-id", "gate"]
    done = project.run(*arguments, "--log-format", "json", code=80)
    checked = last(valid_stages(project, "gate"), "check.clean.orders")
    failed = [one["name"] for one in checked["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"] if not one["success"]]
    require(checked["eventType"] == "COMPLETE" and failed == ["total_is_subtotal_plus_tax"], f"assertions {failed}")
    line = next(one for one in valid_metrics(done) if one["dataset"] == "orders")
    require((line["Failure"], line["QualityFailures"], line["error_kind"]) == (1, 1, "QualityFailed"), f"{line}")


def replay(project, window):
    done = project.run("replay", "--dataset", "orders", "--window", window, *ON, "--run-id", "again")
    stages = valid_stages(project, "again")
    require(last(stages, "publish.curated.orders")["eventType"] == "COMPLETE", "the replay did not publish")
    require(all(one["Replays"] == 1 and one["Success"] == 1 for one in valid_metrics(done)), "a replay counts as one")


def stage_verbs(project):
    """One EMF line a verb, with what makes sense for it."""
    rows = {"RowsIn", "RowsOut", "RowsRejected"}
    expected = [
        ("check-input", [], set()), ("raw-to-clean", [], rows), ("check", ["--layer", "clean"], {"QualityFailures"}),
        ("publish", ["--layer", "clean"], {"FreshnessLag"}), ("clean-to-curated", [], rows),
    ]
    execution = "arn:aws:states:eu-west-1:1:execution:orders_daily:4f2"
    for verb, more, metrics in expected:
        arguments = [verb, "--dataset", "flights", "--window", "2013-01-01", *more, *ON, "--run-id", "verbs"]
        [line] = valid_metrics(project.run(*arguments, WINDROW_EXECUTION_ID=execution))
        names = {one["Name"] for one in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
        require(names == {"Success", "Failure", "Duration", "Replays"} | metrics, f"{verb}: {names}")
    stages = valid_stages(project, "verbs")
    require(len(stages) == len(expected), f"{sorted(stages)}")
    parents = {json.dumps(events[0]["run"]["facets"]["parent"]) for events in stages.values()}
    require(len(parents) == 1 and "orders_daily" in parents.pop(), "all stages of a window have one parent")


def killed_run(project, window):
    """A START is in the lake before any work, also when the process is killed."""
    with collector.server() as (server, address):
        server.answer.clear()
        arguments = ["run", "--dataset", "orders", "--window", window, *ON, "--lineage-url", address, "--run-id", "killed"]
        process = subprocess.Popen(project.command(*arguments), env=project.environment({}), stderr=subprocess.DEVNULL)
        require(server.first.wait(60), "nothing was posted")
        process.kill()
        process.wait()
    [events] = project.stages("killed").values()
    require([event["eventType"] for event in events] == ["START"], "a killed stage has its START and nothing else")
    require(not openlineage_schema.problems(events[0]), "the START of a killed stage is not valid")


def lineage_never_stops_data(project, window):
    """A server that refuses, and a lake whose runs/ cannot be written, are warnings."""
    with collector.server() as (server, address):
        server.status = 500
        done = project.run("run", "--dataset", "flights", "--window", window, OPENLINEAGE_URL=address)
        require("status 500" in done.stderr and len(server.events) == 12, f"{len(server.events)} events\n{done.stderr}")
        done = project.run("run", "--dataset", "flights", "--window", window, OPENLINEAGE_URL=address, OPENLINEAGE_DISABLED="true")
        require("warning" not in done.stderr and len(server.events) == 12, "a disabled client posts nothing")
    done = project.run("run", "--dataset", "flights", "--window", window, "--lineage-url", "http://example.invalid", OPENLINEAGE_API_KEY=KEY)
    require("use https" in done.stderr and KEY not in done.stderr, done.stderr)


def off_by_default(project, window):
    done = project.run("run", "--dataset", "orders", "--window", window)
    require(not (project.lake / "runs").exists() and not emf.lines(done.stderr), "something is told although nobody asked")


def requests_on_s3(project):
    """What is asked of an S3 server: nothing more when off, and two puts a stage when on."""
    requests, day = {}, "2013/01/03"
    with weed.server("lineage") as endpoint:
        keys = {"AWS_ACCESS_KEY_ID": weed.KEY, "AWS_SECRET_ACCESS_KEY": weed.SECRET, "AWS_REGION": "us-east-1"}
        store = weed.file_system(endpoint)
        for name, flags in (("off", []), ("metrics", ["--metrics", "emf"]), ("lineage", ["--lineage", "lake"])):
            pyarrow.fs.copy_files(str(ROOT / "examples/raw/flights" / day), f"lineage/{name}/raw/flights/{day}", destination_filesystem=store)
            arguments = ["run", "--dataset", "flights", "--window", day.replace("/", "-"), "--lake", f"s3://lineage/{name}"]
            done = project.run(*arguments, *flags, "--output", "json", AWS_ENDPOINT_URL_S3=endpoint, **keys)
            requests[name] = json.loads(done.stdout)["storage"]["requests"]
            told = store.get_file_info(pyarrow.fs.FileSelector(f"lineage/{name}/runs", recursive=True, allow_not_found=True))
            files = [info.path for info in told if info.is_file]
            require(len(files) == (6 if name == "lineage" else 0), f"{name}: {files}")
    require(requests["metrics"] == requests["off"], f"{requests}")
    require(requests["lineage"] == requests["off"] + 2 * 6, f"{requests}")


def self_test(events, metrics):
    """What is wrong must be found: each defect is put into a document that is right."""
    def defect(document, path, value):
        wrong = copy.deepcopy(document)
        *folders, name = path
        inside = wrong
        for folder in folders:
            inside = inside[folder]
        if value is None:
            del inside[name]
        else:
            inside[name] = value
        return wrong

    event = next(one for one in events if one["job"]["name"] == "orders.raw_to_clean" and one["eventType"] == "COMPLETE")
    lineage = ["outputs", 0, "facets", "columnLineage"]
    of_events = [
        (["run", "runId"], "happy"), (["eventTime"], "2024-09-08"), (["eventType"], "DONE"), (["producer"], None),
        (["job", "name"], None), (["inputs", 0, "namespace"], None), (["outputs", 0, "facets", "schema", "_producer"], None),
        (["outputs", 0, "facets", "schema", "fields", 0, "name"], None), (["run", "facets", "parent", "run", "runId"], 7),
        ([*lineage, "fields", "order_id", "inputFields", 0, "field"], None),
        ([*lineage, "_schemaURL"], "https://openlineage.io/spec/facets/9-9-9/ColumnLineageDatasetFacet.json"),
        (["outputs", 0, "outputFacets", "outputStatistics", "rowCount"], "many"),
    ]
    for path, value in of_events:
        require(openlineage_schema.problems(defect(event, path, value)), f"not found wrong: {path} = {value}")
    directive = ["_aws", "CloudWatchMetrics", 0]
    of_metrics = [
        (["_aws", "Timestamp"], "now"), ([*directive, "Namespace"], None), ([*directive, "Dimensions"], [["dataset", "run_id"]]),
        ([*directive, "Metrics", 0, "Unit"], "Pieces"), (["RowsIn"], "many"), (["layer"], None), (["run_id"], None),
    ]
    for path, value in of_metrics:
        require(emf.problems(defect(metrics[0], path, value)), f"not found wrong: {path} = {value}")
    counts["defects found"] = len(of_events) + len(of_metrics)


with tempfile.TemporaryDirectory() as folder:
    project = Project(WINDROW, folder)
    off_by_default(project, "2019-03-15")
    documents = happy_run(project, "2019-03-10")
    self_test(*documents)
    correct = project.edit("orders/2019-03-11/orders.csv", lambda row: row.replace(",600,36,636", ",six hundred,36,636"))
    quarantined_run(project, "2019-03-11")
    correct()
    replay(project, "2019-03-11")
    project.edit("orders/2019-03-12/orders.csv", lambda row: row.rsplit(",", 1)[0] + ",99999\n")
    gate_failure(project, "2019-03-12")
    stage_verbs(project)
    killed_run(project, "2019-03-13")
    lineage_never_stops_data(project, "2013-01-02")
    requests_on_s3(project)
print("lineage: " + ", ".join(f"{number} {name}" for name, number in counts.items()) + ": all valid" + (", by the JSON files of the specification too" if len(sys.argv) > 2 else ""))
