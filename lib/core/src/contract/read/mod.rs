//! From text to [`Contract`]: every key known, every value legal, every combination possible, or a finding at its place.

pub(super) mod custom;
mod digest;
mod fields;
pub(super) mod keys;
mod lint;
mod property;
mod quality;
pub(crate) mod threshold;

use std::sync::Arc;

use crate::canonical;
use crate::code::Code;
use crate::diagnostic::Diagnostic;
use crate::gate::Check;
use crate::id::{DatasetName, Layer, Table};
use crate::yaml::{self, Node, Value};

use super::model::{Contract, Late, OnViolation, Output};
use super::sla::Sla;
use fields::Map;
pub(crate) use fields::Reading;
pub(crate) use quality::severity;

/// Reads one contract. `file` is the path shown to people; its name must be `<dataset>.<layer>.odcs.yaml`.
///
/// # Errors
/// Every finding of the file, in line order; never only the first.
pub fn read(file: &str, text: &str) -> Result<Contract, Vec<Diagnostic>> {
    let (file, text): (Arc<str>, Arc<str>) = (file.into(), text.into());
    let node = yaml::parse(&file, &text).map_err(|finding| vec![*finding])?;
    let mut reading = Reading::new(&file, &text);
    let contract = contract(&mut reading, &node);
    let mut findings = reading.findings;
    findings.sort_by(|a, b| (&a.place, &a.title).cmp(&(&b.place, &b.title)));
    findings.dedup();
    match contract {
        Some(contract) if findings.is_empty() => Ok(contract),
        Some(_) => Err(findings),
        None if findings.is_empty() => {
            Err(vec![Diagnostic::new(Code::ContractSyntax, node.place.clone(), "the contract could not be read")])
        }
        None => Err(findings),
    }
}

fn contract(reading: &mut Reading, node: &Node) -> Option<Contract> {
    let map = reading.map(node, "the contract", keys::CONTRACT)?;
    version(reading, &map);
    let id = reading.require(&map, "id", "the contract").and_then(|node| reading.text(node, "id"));
    let version = reading.require(&map, "version", "the contract").and_then(|node| reading.text(node, "version"));
    side_sections(reading, &map);
    let schema = schema_entry(reading, &map)?;
    let table = table(reading, &schema);
    let sla = map.get("slaProperties").and_then(|node| sla(reading, node));
    let mut contract = schema_contract(reading, &schema, table?)?;
    contract.id = id?.to_owned();
    contract.version = version?.to_owned();
    contract.sla = sla;
    contract.rows_sha256 = digest::rows_sha256(node).ok()?;
    // Root cause once: a combination is judged only when every key by itself is right.
    if reading.findings.is_empty() {
        lint::combinations(reading, &contract);
    }
    Some(contract)
}

fn version(reading: &mut Reading, map: &Map<'_>) {
    if let Some(node) = reading.require(map, "kind", "the contract") {
        reading.word(node, "kind", &[("DataContract", ())]);
    }
    if let Some(node) = reading.require(map, "apiVersion", "the contract") {
        let text = node.text().unwrap_or_default();
        if !text.starts_with("v3.") {
            reading.report(node, Code::ContractUnsupported, format!("apiVersion `{text}` is not supported"), "write v3.2.0");
        }
    }
}

/// Checks the keys of the sections that are for people and other tools.
fn side_sections(reading: &mut Reading, map: &Map<'_>) {
    if let Some(node) = map.get("description").filter(|node| node.text().is_none()) {
        reading.map(node, "description", keys::DESCRIPTION);
    }
    if let Some(node) = map.get("team").filter(|node| matches!(node.value, Value::Map(_))) {
        reading.map(node, "team", keys::TEAM);
    }
    if let Some(node) = map.get("support") {
        for item in reading.list(node, "support") {
            reading.map(item, "a support channel", keys::SUPPORT);
        }
    }
    custom::windrow_values(reading, map, "the contract (windrow's keys stand under its schema)", &[]);
}

fn schema_entry<'n>(reading: &mut Reading, map: &Map<'n>) -> Option<Map<'n>> {
    let node = reading.require(map, "schema", "the contract")?;
    match reading.list(node, "schema") {
        [entry] => reading.map(entry, "a schema", keys::SCHEMA),
        _ => {
            reading.report(
                node,
                Code::ContractUnsupported,
                "a contract describes exactly one table",
                "write one file for each table and layer",
            );
            None
        }
    }
}

/// The table from the file's name, which must agree with `name` and `layer`.
fn table(reading: &mut Reading, schema: &Map<'_>) -> Option<Table> {
    let file_name = reading.file.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let parts: Vec<&str> = file_name.split('.').collect();
    let named = match parts.as_slice() {
        [dataset, layer, "odcs", "yaml"] => dataset.parse::<DatasetName>().ok().zip(layer.parse::<Layer>().ok()),
        _ => None,
    };
    let Some((dataset, layer)) = named else {
        let title = format!("file name `{file_name}` is not <dataset>.<layer>.odcs.yaml");
        let help = "layer is raw, clean or curated; a dataset is lowercase letters, digits and _";
        reading.report(schema.node, Code::ContractValue, title, help);
        return None;
    };
    let name = reading.require(schema, "name", "a schema")?;
    if name.text() != Some(dataset.as_str()) {
        let title = format!("schema name `{}` differs from the file's dataset `{dataset}`", name.text().unwrap_or_default());
        reading.report(name, Code::ContractConflict, title, "");
    }
    Some(Table::new(layer, dataset))
}

fn windrow_keys(layer: Layer) -> &'static [&'static str] {
    match layer {
        Layer::Raw => keys::WINDROW_RAW,
        Layer::Clean => keys::WINDROW_CLEAN,
        Layer::Curated => keys::WINDROW_CURATED,
    }
}

fn schema_contract(reading: &mut Reading, schema: &Map<'_>, table: Table) -> Option<Contract> {
    let values = custom::windrow_values(reading, schema, &format!("a {} schema", table.layer), windrow_keys(table.layer));
    let value = |key: &str| values.iter().find(|(name, _)| *name == key).map(|(_, node)| *node);
    declared_layer(reading, schema, value("layer"), table.layer);
    let Some(window) = value("window") else {
        reading.report(
            schema.node,
            Code::ContractMissingKey,
            "the schema lacks windrow's `window`",
            "add {property: window, vendor: windrow, value: {grain: day}}",
        );
        return None;
    };
    let window = custom::window(reading, window);
    let properties_node = reading.require(schema, "properties", "a schema")?;
    let properties = property::properties(reading, properties_node, "properties");
    let checks = all_checks(reading, schema, properties_node, &properties);
    let sql_checks = value("checks").map(|node| check_names(reading, node)).unwrap_or_default();
    Some(Contract {
        file: reading.file.clone(),
        text: reading.text.clone(),
        sha256: canonical::sha256_hex(reading.text.as_bytes()),
        rows_sha256: String::new(),
        id: String::new(),
        version: String::new(),
        table,
        properties,
        window: window?,
        input: value("input").and_then(|node| custom::input(reading, node)),
        reader: value("reader").and_then(|node| custom::reader(reading, node)),
        on_violation: value("onViolation").and_then(|node| custom::on_violation(reading, node)).unwrap_or(OnViolation::Fail),
        late: value("late").and_then(|node| custom::late(reading, node)).unwrap_or(Late::Rerun),
        dedupe: value("dedupe").and_then(|node| custom::dedupe(reading, node)),
        sort: value("sort").map(|node| custom::sort(reading, node)).unwrap_or_default(),
        split: value("split").and_then(|node| custom::split(reading, node)),
        output: value("output").and_then(|node| custom::output(reading, node)).unwrap_or_else(Output::default),
        transform: value("transform").and_then(|node| custom::transform(reading, node)),
        checks,
        sql_checks,
        sla: None,
    })
}

fn declared_layer(reading: &mut Reading, schema: &Map<'_>, node: Option<&Node>, layer: Layer) {
    match node {
        None => {
            let help = format!("add {{property: layer, vendor: windrow, value: {layer}}}");
            reading.report(schema.node, Code::ContractMissingKey, "the schema lacks windrow's `layer`", help);
        }
        Some(node) if node.text() != Some(layer.as_str()) => {
            let title = format!("layer `{}` differs from the file's name ({layer})", node.text().unwrap_or_default());
            reading.report(node, Code::ContractConflict, title, "");
        }
        Some(_) => {}
    }
}

/// The rules of the schema, then those of each property, in written order; ids must be unique.
fn all_checks(
    reading: &mut Reading,
    schema: &Map<'_>,
    properties_node: &Node,
    properties: &[super::model::Property],
) -> Vec<Check> {
    let mut checks = schema.get("quality").map(|node| quality::checks(reading, node, None, properties)).unwrap_or_default();
    if let Value::List(items) = &properties_node.value {
        for item in items {
            let Value::Map(entries) = &item.value else { continue };
            let find = |key: &str| entries.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value);
            let Some(name) = find("name").and_then(Node::text) else { continue };
            if let Some(rules) = find("quality") {
                checks.extend(quality::checks(reading, rules, Some(&name.into()), properties));
            }
            if let Some(node) = find("unique") {
                checks.extend(quality::unique(reading, node, name));
            }
        }
    }
    for (index, check) in checks.iter().enumerate() {
        if checks.iter().take(index).any(|earlier| earlier.id == check.id) {
            reading.report_at(
                &check.place,
                1,
                Code::ContractConflict,
                format!("quality rule id `{}` is used twice", check.id),
                "",
            );
        }
    }
    checks
}

fn check_names(reading: &mut Reading, node: &Node) -> Vec<(String, crate::diagnostic::Place)> {
    let mut names: Vec<(String, crate::diagnostic::Place)> = Vec::new();
    for item in reading.list(node, "checks") {
        let Some(name) = reading.text(item, "a check") else { continue };
        let legal = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !legal {
            reading.report(
                item,
                Code::ContractValue,
                format!("check `{name}` must be lowercase letters, digits and _"),
                "write the file's name without .sql",
            );
        } else if names.iter().any(|(other, _)| other == name) {
            reading.report(item, Code::ContractConflict, format!("check `{name}` is named twice"), "");
        } else {
            names.push((name.to_owned(), item.place.clone()));
        }
    }
    names
}

fn sla(reading: &mut Reading, node: &Node) -> Option<Sla> {
    let mut found = None;
    for item in reading.list(node, "slaProperties") {
        let Some(map) = reading.map(item, "an SLA property", keys::SLA) else { continue };
        if map.get("property").and_then(Node::text) != Some("timeOfAvailability") {
            continue;
        }
        let Some(value) = reading.require(&map, "value", "timeOfAvailability") else { continue };
        found = availability(reading, value);
    }
    found
}

/// Reads `07:30 America/New_York`; without a zone it is UTC, an offset such as `+00:00` is kept as it is.
fn availability(reading: &mut Reading, node: &Node) -> Option<Sla> {
    let text = node.text().unwrap_or_default().trim();
    let (time, zone) = text.split_at(text.len().min(5));
    let zone = if zone.trim().is_empty() { "UTC" } else { zone.trim() };
    let legal_time = jiff::civil::Time::strptime("%H:%M", time).is_ok() && time.len() == 5;
    let sla = Sla { available_by: time.to_owned(), zone: zone.to_owned() };
    let is_offset = (zone.starts_with('+') || zone.starts_with('-')) && zone.len() == 6;
    let legal_zone = zone == "Z" || is_offset && sla.time_zone().is_ok() || jiff::tz::TimeZone::get(zone).is_ok();
    if !legal_time || !legal_zone {
        let title = format!("timeOfAvailability `{text}` is not a time with a zone");
        reading.report(node, Code::ContractValue, title, "write \"07:30 America/New_York\" or \"07:30+00:00\"");
        return None;
    }
    Some(sla)
}
