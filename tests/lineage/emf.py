"""EMF lines: found on stderr, and held against the specification and against what windrow promises."""
import json
import pathlib

import jsonschema

SCHEMA = json.loads((pathlib.Path(__file__).parent / "emf.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
UNITS = {
    "Success": "Count", "Failure": "Count", "Duration": "Milliseconds", "RowsIn": "Count", "RowsOut": "Count",
    "RowsRejected": "Count", "QualityFailures": "Count", "Replays": "Count", "FreshnessLag": "Seconds",
}


def lines(stderr):
    """The documents on stderr; a line that holds more or less than one is an error."""
    return [json.loads(line) for line in stderr.splitlines() if "CloudWatchMetrics" in line]


def problems(document):
    """What is wrong with a document."""
    found = [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in VALIDATOR.iter_errors(document)]
    if found:
        return found
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for name in (name for names in directive["Dimensions"] for name in names):
            if not isinstance(document.get(name), str) or not document[name]:
                found.append(f"dimension {name} is not a text of the document")
        for metric in directive["Metrics"]:
            value = document.get(metric["Name"])
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                found.append(f"metric {metric['Name']} is not a number of the document")
            if UNITS.get(metric["Name"]) != metric.get("Unit"):
                found.append(f"metric {metric['Name']} has the unit {metric.get('Unit')}")
        if (directive["Namespace"], directive["Dimensions"]) != ("windrow", [["dataset", "layer", "stage"]]):
            found.append("another namespace or other dimensions than windrow's")
    named = {metric["Name"] for directive in document["_aws"]["CloudWatchMetrics"] for metric in directive["Metrics"]}
    found += [f"{name} is a member and no metric" for name in UNITS if name in document and name not in named]
    found += [f"property {name} is missing" for name in ("run_id", "window", "status", "version") if name not in document]
    return found
