//! The JSON Schema of windrow's contracts, for editors: the ODCS keys windrow accepts and its own keys with their values.
//!
//! The key lists are the reader's own, so that what an editor completes is what `windrow contract lint` accepts. Rules
//! that need more than one key (an integer's width, a partition column's type) are the lint's alone.

use serde_json::{Map, Value, json};

use super::read::keys;

/// Builds the schema, draft 2020-12.
pub fn json_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "windrow data contract (Open Data Contract Standard v3)",
        "type": "object",
        "required": ["apiVersion", "kind", "id", "version", "schema"],
        "additionalProperties": false,
        "properties": with(keys::CONTRACT, &[
            ("kind", json!({"const": "DataContract"})),
            ("apiVersion", json!({"type": "string", "pattern": "^v3\\."})),
            ("schema", json!({"type": "array", "minItems": 1, "maxItems": 1, "items": schema_object()})),
            ("slaProperties", json!({"type": "array", "items": object(keys::SLA, &["property", "value"], &[])})),
        ]),
        "$defs": {"property": property(), "quality": quality()}
    })
}

fn with(keys: &[&str], known: &[(&str, Value)]) -> Value {
    let mut properties: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), json!(true))).collect();
    for (key, value) in known {
        properties.insert((*key).to_owned(), value.clone());
    }
    Value::Object(properties)
}

fn object(keys: &[&str], required: &[&str], known: &[(&str, Value)]) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": with(keys, known)})
}

fn schema_object() -> Value {
    object(
        keys::SCHEMA,
        &["name", "properties"],
        &[
            ("name", json!({"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"})),
            ("properties", json!({"type": "array", "items": {"$ref": "#/$defs/property"}})),
            ("quality", json!({"type": "array", "items": {"$ref": "#/$defs/quality"}})),
            ("customProperties", json!({"type": "array", "items": custom_property()})),
        ],
    )
}

fn property() -> Value {
    object(
        keys::PROPERTY,
        &["logicalType"],
        &[
            ("logicalType", json!({"enum": ["string", "date", "timestamp", "number", "integer", "object", "array", "boolean"]})),
            ("required", json!({"type": "boolean"})),
            ("primaryKey", json!({"type": "boolean"})),
            ("primaryKeyPosition", json!({"type": "integer", "minimum": 1})),
            ("partitioned", json!({"type": "boolean"})),
            ("properties", json!({"type": "array", "items": {"$ref": "#/$defs/property"}})),
            ("items", json!({"$ref": "#/$defs/property"})),
            ("quality", json!({"type": "array", "items": {"$ref": "#/$defs/quality"}})),
        ],
    )
}

fn quality() -> Value {
    object(
        keys::QUALITY,
        &["id"],
        &[
            ("metric", json!({"enum": ["rowCount", "nullValues", "missingValues", "duplicateValues", "invalidValues"]})),
            ("type", json!({"enum": ["library", "sql", "custom", "text"]})),
            ("severity", json!({"enum": ["error", "warning", "info"]})),
            ("unit", json!({"enum": ["rows", "percent"]})),
        ],
    )
}

fn custom_property() -> Value {
    let rule = |name: &str, value: Value| {
        json!({
            "if": {"properties": {"vendor": {"const": "windrow"}, "property": {"const": name}}, "required": ["vendor", "property"]},
            "then": {"properties": {"value": value}}
        })
    };
    let mut names: Vec<&str> = [keys::WINDROW_RAW, keys::WINDROW_CLEAN, keys::WINDROW_CURATED].concat();
    names.push("booleanTokens");
    names.sort_unstable();
    names.dedup();
    let known = json!({
        "if": {"properties": {"vendor": {"const": "windrow"}}, "required": ["vendor"]},
        "then": {"properties": {"property": {"enum": names}}}
    });
    let mut rules = vec![known];
    rules.extend(windrow_values().into_iter().map(|(name, value)| rule(name, value)));
    let mut schema = object(keys::CUSTOM_PROPERTY, &["property", "value"], &[]);
    if let Value::Object(map) = &mut schema {
        map.insert("allOf".to_owned(), Value::Array(rules));
    }
    schema
}

fn strict(known: &[(&str, Value)]) -> Value {
    let keys: Vec<&str> = known.iter().map(|(key, _)| *key).collect();
    object(&keys, &[], known)
}

fn windrow_values() -> Vec<(&'static str, Value)> {
    let text = || json!({"type": "string"});
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    let size = || json!({"type": ["integer", "string"], "description": "bytes, or with KiB, MiB, GiB"});
    let words = |words: &[&str]| json!({"enum": words});
    vec![
        ("layer", words(&["raw", "clean", "curated"])),
        ("window", strict(&[("grain", words(&["hour", "day", "month"])), ("zone", text()), ("column", text())])),
        ("input", strict(&[("path", text()), ("minFiles", json!({"type": "integer", "minimum": 0})), ("marker", text())])),
        (
            "reader",
            strict(&[
                ("format", words(&["csv", "ndjson", "parquet"])),
                ("compression", words(&["extension", "none", "gzip", "zstd"])),
                ("delimiter", text()),
                ("quote", text()),
                ("header", json!({"type": "boolean"})),
                ("nullValues", texts()),
                ("quotedNull", json!({"type": "boolean"})),
                ("missingColumns", words(&["fail", "null"])),
                ("extraColumns", words(&["fail", "ignore"])),
                ("columnOrder", words(&["strict", "any"])),
                ("columnCase", words(&["strict", "ignore"])),
                ("blankLines", words(&["fail", "skip"])),
                ("maxFieldBytes", size()),
                ("maxRowBytes", size()),
            ]),
        ),
        ("late", words(&["rerun", "ignore", "fail"])),
        ("sort", texts()),
        ("split", text()),
        ("checks", texts()),
        (
            "output",
            strict(&[
                ("targetFileSize", size()),
                ("rowGroupRows", json!({"type": "integer"})),
                ("zstdLevel", json!({"type": "integer"})),
            ]),
        ),
        ("transform", strict(&[("sql", text()), ("rust", text()), ("inputs", texts())])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_key_is_completed() {
        let schema = json_schema().to_string();
        for key in super::super::read::custom::READER {
            assert!(schema.contains(&format!("\"{key}\"")), "{key}");
        }
    }
}
