"""Validates contracts against the standard's own JSON Schema, as the PyPI package ships it: odcs.py FOLDER."""
import json
import pathlib
import sys

import jsonschema
import open_data_contract_standard
import yaml

schema = json.loads((pathlib.Path(open_data_contract_standard.__file__).parent / "schema.json").read_text())
validator = jsonschema.validators.validator_for(schema)(schema)


def as_json(value):
    """YAML reads plain dates as dates; the standard's schema speaks JSON."""
    return json.loads(json.dumps(value, default=str))


files = sorted(pathlib.Path(sys.argv[1]).glob("*.odcs.yaml"))
bad = 0
for path in files:
    for error in validator.iter_errors(as_json(yaml.safe_load(path.read_text()))):
        bad += 1
        print(f"{path}: {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}", file=sys.stderr)
if bad or not files:
    sys.exit(f"{bad} findings in {len(files)} contracts")
print(f"{len(files)} contracts are valid ODCS documents")
