//! Quality rules: ODCS library metrics, SQL rules, and windrow's own metrics `range` and `freshness`.

use std::sync::Arc;

use crate::code::Code;
use crate::gate::{Check, Metric, Number, Severity, Threshold, Unit};
use crate::yaml::Node;

use super::super::model::Property;
use super::fields::{Map, Reading};
use super::keys;
use super::threshold;

/// Reads a list of quality rules; `column` is the property they stand under, if any.
pub(super) fn checks(reading: &mut Reading, node: &Node, column: Option<&Arc<str>>, properties: &[Property]) -> Vec<Check> {
    let items = reading.list(node, "quality");
    items.iter().filter_map(|item| check(reading, item, column, properties)).collect()
}

fn check(reading: &mut Reading, node: &Node, column: Option<&Arc<str>>, properties: &[Property]) -> Option<Check> {
    let map = reading.map(node, "a quality rule", keys::QUALITY)?;
    let kind = map.get("type").and_then(Node::text).unwrap_or("library");
    if kind == "text" {
        return None;
    }
    let id_node = map.get("id").or_else(|| map.get("name"));
    let Some(id_node) = id_node else {
        reading.report(
            node,
            Code::ContractMissingKey,
            "a quality rule lacks `id`",
            "results and profiles name the rule by its id",
        );
        return None;
    };
    let id = identifier(reading, id_node)?;
    let (metric, threshold_map) = match kind {
        "library" => (library(reading, &map, column, properties)?, map),
        "sql" => {
            let query = reading.require(&map, "query", "an SQL rule")?;
            let query = reading.text(query, "query")?;
            let query = column.map_or_else(|| query.to_owned(), |column| query.replace("{property}", &format!("\"{column}\"")));
            (Metric::SqlNumber(query), map)
        }
        "custom" => custom(reading, &map, column, properties)?,
        _ => {
            let node = map.get("type").unwrap_or(node);
            reading.word(node, "type", &[("library", ()), ("sql", ()), ("custom", ()), ("text", ())]);
            return None;
        }
    };
    let threshold = threshold::read(reading, &threshold_map, "a quality rule")?;
    let severity = severity(reading, &map).unwrap_or(Severity::Error);
    Some(Check { id, metric, threshold, severity, place: node.place.clone() })
}

/// `unique: true` of a property is a rule like any other: `<name>_unique`, no duplicate values.
pub(super) fn unique(reading: &mut Reading, node: &Node, name: &str) -> Option<Check> {
    let is_unique = reading.boolean(node, "unique")?;
    is_unique.then(|| Check {
        id: format!("{name}_unique"),
        metric: Metric::DuplicateValues(vec![name.into()], Unit::Rows),
        threshold: Threshold::MustBe(Number::whole(0)),
        severity: Severity::Error,
        place: node.place.clone(),
    })
}

fn identifier(reading: &mut Reading, node: &Node) -> Option<String> {
    let id = reading.text(node, "id")?;
    let legal =
        !id.is_empty() && id.len() <= 100 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'.');
    if !legal {
        reading.report(
            node,
            Code::ContractValue,
            format!("id `{}` must be letters, digits, `_`, `-`, `.`", id.escape_debug()),
            "",
        );
    }
    legal.then(|| id.to_owned())
}

/// Reads `severity`.
pub(crate) fn severity(reading: &mut Reading, map: &Map<'_>) -> Option<Severity> {
    let node = map.get("severity")?;
    reading.word(node, "severity", &[("error", Severity::Error), ("warning", Severity::Warning), ("info", Severity::Warning)])
}

fn unit(reading: &mut Reading, map: &Map<'_>) -> Unit {
    let node = map.get("unit");
    node.and_then(|node| reading.word(node, "unit", &[("rows", Unit::Rows), ("percent", Unit::Percent)])).unwrap_or(Unit::Rows)
}

fn library(reading: &mut Reading, map: &Map<'_>, column: Option<&Arc<str>>, properties: &[Property]) -> Option<Metric> {
    let node = reading.require(map, "metric", "a quality rule")?;
    let metric = node.text().unwrap_or_default();
    let unit = unit(reading, map);
    let arguments = map.get("arguments").and_then(|node| reading.map(node, "arguments", argument_keys(metric)));
    let needs_column = matches!(metric, "nullValues" | "missingValues" | "invalidValues");
    if needs_column && column.is_none() {
        reading.report(
            node,
            Code::ContractConflict,
            format!("metric `{metric}` stands under a property, not under the schema"),
            "",
        );
        return None;
    }
    let column = column.cloned().unwrap_or_else(|| "".into());
    match metric {
        "rowCount" => Some(Metric::RowCount),
        "nullValues" => Some(Metric::NullValues(column, unit)),
        "missingValues" => {
            let texts = arguments.and_then(|a| a.get("missingValues")).map(|node| strings(reading, node, "missingValues"));
            Some(Metric::MissingValues(column, texts.unwrap_or_else(|| vec![String::new()]), unit))
        }
        "duplicateValues" => {
            Some(Metric::DuplicateValues(duplicate_columns(reading, map, arguments, &column, properties)?, unit))
        }
        "invalidValues" => invalid(reading, node, arguments, column, unit),
        _ => {
            let names = ["rowCount", "nullValues", "missingValues", "duplicateValues", "invalidValues"];
            reading.report(
                node,
                Code::ContractValue,
                format!("metric `{metric}` is unknown"),
                crate::suggest::hint(metric, &names),
            );
            None
        }
    }
}

fn argument_keys(metric: &str) -> &'static [&'static str] {
    match metric {
        "missingValues" => &["missingValues"],
        "duplicateValues" => &["properties"],
        "invalidValues" => &["validValues", "pattern"],
        _ => &[],
    }
}

fn strings(reading: &mut Reading, node: &Node, what: &str) -> Vec<String> {
    let items = reading.list(node, what);
    items
        .iter()
        .filter_map(|item| if item.is_null() { Some(String::new()) } else { reading.text(item, what).map(str::to_owned) })
        .collect()
}

fn duplicate_columns(
    reading: &mut Reading,
    map: &Map<'_>,
    arguments: Option<Map<'_>>,
    column: &Arc<str>,
    properties: &[Property],
) -> Option<Vec<Arc<str>>> {
    let Some(node) = arguments.and_then(|arguments| arguments.get("properties")) else {
        if column.is_empty() {
            let help = "add `arguments: {properties: [a, b]}`, or put the rule under a property";
            reading.report(map.node, Code::ContractMissingKey, "duplicateValues names no column", help);
            return None;
        }
        return Some(vec![column.clone()]);
    };
    let names = reading.texts(node, "properties");
    let known: Vec<&str> = properties.iter().map(|property| &*property.name).collect();
    for name in &names {
        if !known.contains(name) {
            let title = format!("no property `{name}` in this contract");
            reading.report(node, Code::ContractReference, title, crate::suggest::hint(name, &known));
        }
    }
    Some(names.into_iter().map(Arc::from).collect())
}

fn invalid(reading: &mut Reading, node: &Node, arguments: Option<Map<'_>>, column: Arc<str>, unit: Unit) -> Option<Metric> {
    let valid =
        arguments.and_then(|a| a.get("validValues")).map(|node| strings(reading, node, "validValues")).unwrap_or_default();
    let pattern_node = arguments.and_then(|a| a.get("pattern"));
    let pattern = pattern_node.and_then(|node| reading.text(node, "pattern")).map(str::to_owned);
    if let (Some(node), Some(Err(error))) = (pattern_node, pattern.as_deref().map(regex::Regex::new)) {
        reading.report(node, Code::ContractValue, format!("pattern is not a regular expression: {error}"), "");
    }
    if valid.is_empty() && pattern.is_none() {
        reading.report(node, Code::ContractMissingKey, "invalidValues has neither validValues nor pattern", "");
        return None;
    }
    Some(Metric::InvalidValues { column, valid, pattern, unit })
}

fn custom<'n>(
    reading: &mut Reading,
    map: &Map<'n>,
    column: Option<&Arc<str>>,
    properties: &[Property],
) -> Option<(Metric, Map<'n>)> {
    let engine = reading.require(map, "engine", "a custom rule")?;
    if engine.text() != Some("windrow") {
        let title = format!("rules of engine `{}` are not run by windrow", engine.text().unwrap_or_default());
        reading.report(
            engine,
            Code::ContractUnsupported,
            title,
            "a rule that cannot run is refused, not skipped: remove it, or write it as SQL",
        );
        return None;
    }
    let node = reading.require(map, "implementation", "a custom rule")?;
    let mut allowed = vec!["metric", "minimum", "maximum", "column", "unit"];
    allowed.extend(threshold::KEYS);
    let inner = reading.map(node, "implementation", &allowed)?;
    let metric_node = reading.require(&inner, "metric", "implementation")?;
    let named = inner.get("column").and_then(|node| reading.text(node, "column")).map(Arc::from);
    let Some(column) = named.or_else(|| column.cloned()) else {
        reading.report(
            node,
            Code::ContractMissingKey,
            "the rule names no column",
            "add `column: …`, or put the rule under a property",
        );
        return None;
    };
    let known: Vec<&str> = properties.iter().map(|property| &*property.name).collect();
    if !known.contains(&&*column) {
        reading.report(
            node,
            Code::ContractReference,
            format!("no property `{column}` in this contract"),
            crate::suggest::hint(&column, &known),
        );
        return None;
    }
    let text = |reading: &mut Reading, key: &str| inner.get(key).and_then(|node| reading.text(node, key)).map(str::to_owned);
    let has_threshold = threshold::KEYS.iter().any(|key| inner.get(key).is_some());
    let thresholds = if has_threshold { inner } else { *map };
    match metric_node.text().unwrap_or_default() {
        "freshness" => Some((Metric::Freshness(column), thresholds)),
        "range" => {
            let (minimum, maximum) = (text(reading, "minimum"), text(reading, "maximum"));
            if minimum.is_none() && maximum.is_none() {
                reading.report(node, Code::ContractMissingKey, "range has neither minimum nor maximum", "");
                return None;
            }
            let unit = unit(reading, &inner);
            Some((Metric::OutOfRange { column, minimum, maximum, unit }, thresholds))
        }
        other => {
            let title = format!("metric `{other}` is unknown");
            reading.report(metric_node, Code::ContractValue, title, crate::suggest::hint(other, &["range", "freshness"]));
            None
        }
    }
}
