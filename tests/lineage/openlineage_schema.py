"""OpenLineage as its PyPI package publishes it: the generated classes of the specification and its facets, as JSON Schemas."""
import enum
import importlib
import pathlib
import pkgutil
import types
import typing

import attr
import jsonschema
import openlineage.client.generated as generated
from openlineage.client.generated import base

FORMATS = {
    "uuid": "^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
    "uri": "^[a-z][a-z0-9+.-]*:[^ ]+$",
    "date-time": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$",
}
# The package fills these in itself, so its classes do not demand them; the specification does.
DEMANDED = {"eventTime", "producer", "schemaURL", "_producer", "_schemaURL"}
FORMAT_OF = {
    "runId": "uuid", "eventTime": "date-time", "nominalStartTime": "date-time", "nominalEndTime": "date-time",
    "producer": "uri", "schemaURL": "uri", "_producer": "uri", "_schemaURL": "uri",
}
FACET_OF = {
    "nominalTime": "NominalTimeRunFacet", "parent": "ParentRunFacet", "errorMessage": "ErrorMessageRunFacet",
    "processing_engine": "ProcessingEngineRunFacet", "schema": "SchemaDatasetFacet", "version": "DatasetVersionDatasetFacet",
    "columnLineage": "ColumnLineageDatasetFacet", "dataQualityAssertions": "DataQualityAssertionsDatasetFacet",
    "inputStatistics": "InputStatisticsInputDatasetFacet", "outputStatistics": "OutputStatisticsOutputDatasetFacet",
}
SCALARS = {str: {"type": "string"}, int: {"type": "integer"}, bool: {"type": "boolean"}, float: {"type": "number"}, typing.Any: {}}


def classes():
    """Every class of the package by the address of its schema."""
    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for value in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            if isinstance(value, type) and attr.has(value) and hasattr(value, "_get_schema"):
                found[value._get_schema()] = value
    return found


CLASSES = classes()


def schema_of(kind, definitions):
    """A type as a schema; classes go into the definitions."""
    if kind in SCALARS:
        return SCALARS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return schema_of(next(one for one in arguments if one is not type(None)), definitions)
    if origin is list:
        return {"type": "array", "items": schema_of(arguments[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1], definitions)}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [one.value for one in kind]}
    assert attr.has(kind), f"a type this test does not know: {kind}"
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}
        definitions[kind.__name__].update(class_schema(kind, definitions))
    return {"$ref": f"#/$defs/{kind.__name__}"}


def class_schema(kind, definitions):
    hints = typing.get_type_hints(kind)
    properties, required = {}, []
    for field in attr.fields(kind):
        properties[field.name] = dict(schema_of(hints[field.name], definitions))
        if field.name in FORMAT_OF:
            properties[field.name]["pattern"] = FORMATS[FORMAT_OF[field.name]]
        if field.default is attr.NOTHING or field.name in DEMANDED:
            required.append(field.name)
    return {"type": "object", "properties": properties, "required": required}


def validator(kind):
    definitions = {}
    root = schema_of(kind, definitions)
    return jsonschema.Draft202012Validator({**root, "$defs": definitions})


def shown(error):
    return f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"


def facet_problems(place, facets, base_kind):
    """Each facet must be one of the specification, at its address, in its place."""
    found = []
    for key, facet in facets.items():
        kind = CLASSES.get(facet.get("_schemaURL"))
        if kind is None:
            found.append(f"{place}.{key}: the specification has no schema at {facet.get('_schemaURL')}")
        elif kind.__name__ != FACET_OF.get(key) or not issubclass(kind, base_kind):
            found.append(f"{place}.{key}: {kind.__name__} does not belong here")
        else:
            found += [f"{place}.{key}: {shown(error)}" for error in validator(kind).iter_errors(facet)]
    return found


def problems(event):
    """What is wrong with an event."""
    found = [shown(error) for error in validator(base.RunEvent).iter_errors(event)]
    if found:
        return found
    if event["schemaURL"] != base.RunEvent._get_schema():
        found.append(f"schemaURL is {event['schemaURL']}, expected {base.RunEvent._get_schema()}")
    found += facet_problems("run", event["run"]["facets"], base.RunFacet)
    for side, kind in (("input", base.InputDatasetFacet), ("output", base.OutputDatasetFacet)):
        for dataset in event[f"{side}s"]:
            found += facet_problems(side, dataset["facets"], base.DatasetFacet)
            found += facet_problems(side, dataset.get(f"{side}Facets", {}), kind)
    return found


def folder_problems(folder):
    """The same question asked of the specification's own JSON files, for who has a checkout: a function of one event."""
    import json

    import referencing

    files = [json.loads(path.read_text()) for path in pathlib.Path(folder).glob("*.json")]
    files += [json.loads(path.read_text()) for path in pathlib.Path(folder, "facets").glob("*.json")]
    assert len(files) > 20, f"{folder} is not the specification's folder"
    registry = referencing.Registry().with_resources((file["$id"], referencing.Resource.from_contents(file)) for file in files)

    def check(address, value):
        one = jsonschema.Draft202012Validator({"$ref": address}, registry=registry, format_checker=jsonschema.FormatChecker())
        return [shown(error) for error in one.iter_errors(value)]

    def of_event(event):
        found = check(event["schemaURL"].split("#")[0] + "#/$defs/RunEvent", event)
        facets = list(event["run"]["facets"].values())
        for side in ("input", "output"):
            for dataset in event[f"{side}s"]:
                facets += [*dataset["facets"].values(), *dataset.get(f"{side}Facets", {}).values()]
        return found + [problem for facet in facets for problem in check(facet["_schemaURL"], facet)]

    return of_event
