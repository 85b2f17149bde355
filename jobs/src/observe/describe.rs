//! Tables as OpenLineage datasets: their names, their columns, and where each column comes from.

use serde_json::{Map, Value, json};
use windrow_core::contract::{DataType, Property, TransformKind};
use windrow_core::gate::{GateResult, Metric, Severity, Unit};
use windrow_core::layout::{self, Key};
use windrow_core::ledger::InputEntry;
use windrow_core::{Contract, Layer, Table};
use windrow_transform::lineage::{self, Relationship};

use crate::project::Project;
use crate::stage::curated::sql_name;

use super::openlineage::{COLUMN_LINEAGE, Dataset, INPUT_STATISTICS, SCHEMA, name_of};

/// Describes the tables of one project in one lake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Describer<'a> {
    pub(super) project: &'a Project,
    pub(super) base_uri: &'a str,
    pub(super) producer: &'a str,
}

impl Describer<'_> {
    /// A table with its columns.
    pub(super) fn dataset(&self, table: &Table) -> Dataset {
        let (namespace, name) = self.name(table);
        let mut dataset = Dataset { namespace, name, ..Dataset::default() };
        if let Ok(contract) = self.project.contract(table) {
            let fields: Vec<Value> = contract.properties.iter().map(field).collect();
            dataset.facets.add(self.producer, SCHEMA, json!({"fields": fields}));
        }
        dataset
    }

    /// The tables a stage reads to make this one.
    pub(super) fn sources(&self, table: &Table) -> Vec<Table> {
        let contract = self.project.contract(table).ok();
        match (table.layer, contract.and_then(|contract| contract.transform.as_ref())) {
            (Layer::Clean, _) => vec![Table::new(Layer::Raw, table.dataset.clone())],
            (Layer::Curated, Some(transform)) => transform.inputs.clone(),
            _ => Vec::new(),
        }
    }

    /// How much was read of a table, by its pinned files.
    pub(super) fn add_statistics(&self, dataset: &mut Dataset, table: &Table, inputs: &[InputEntry], rows: Option<u64>) {
        let start = self.raw_start(table);
        let is_of_table = |input: &&InputEntry| match Key::parse(&input.key) {
            Some(Key::Part(found, _)) => found == *table,
            _ => table.layer == Layer::Raw && input.key.starts_with(&start),
        };
        let files: Vec<&InputEntry> = inputs.iter().filter(is_of_table).collect();
        let mut body = json!({"fileCount": files.len(), "size": files.iter().map(|file| file.size).sum::<u64>()});
        if let (Some(rows), Some(body)) = (rows, body.as_object_mut()) {
            body.insert("rowCount".to_owned(), json!(rows));
        }
        dataset.own_facets.add(self.producer, INPUT_STATISTICS, body);
    }

    /// What the keys of a raw table's files begin with.
    fn raw_start(&self, table: &Table) -> String {
        let input = self.project.contract(table).ok().and_then(|contract| contract.input.as_ref());
        let literal = input.and_then(|input| input.path.split(['*', '{']).next());
        format!("{}{}", layout::RAW_PREFIX, literal.unwrap_or_default())
    }

    /// Where each column comes from, as far as contract and SQL say it.
    pub(super) fn add_column_lineage(&self, dataset: &mut Dataset, table: &Table) {
        let Ok(contract) = self.project.contract(table) else { return };
        let fields = match table.layer {
            Layer::Clean => self.clean_columns(contract),
            Layer::Curated => self.curated_columns(contract),
            Layer::Raw => return,
        };
        if !fields.is_empty() {
            dataset.facets.add(self.producer, COLUMN_LINEAGE, json!({"fields": fields}));
        }
    }

    fn clean_columns(&self, clean: &Contract) -> Map<String, Value> {
        let raw = Table::new(Layer::Raw, clean.dataset().clone());
        let raw_contract = self.project.contract(&raw).ok();
        let column = |property: &Property| {
            let (sources, relationship) = match &property.logic {
                // It comes from the window.
                None if property.partitioned && property.source.is_none() => return None,
                None => {
                    let source = property.source.as_ref().unwrap_or(&property.name);
                    (vec![source.to_string()], Relationship::Identity)
                }
                Some((sql, _)) => (lineage::expression_columns(sql), Relationship::Transformation),
            };
            let read = |source: &&String| raw_contract.is_some_and(|contract| contract.property(source).is_some());
            let known = sources.iter().filter(read);
            let fields: Vec<Value> = known.map(|source| self.input_field(&raw, source, relationship)).collect();
            (!fields.is_empty()).then(|| (property.name.to_string(), json!({"inputFields": fields})))
        };
        clean.properties.iter().filter_map(column).collect()
    }

    fn curated_columns(&self, contract: &Contract) -> Map<String, Value> {
        let Some(transform) = &contract.transform else { return Map::new() };
        let TransformKind::Sql(file) = &transform.kind else { return Map::new() };
        let Some(sql) = self.project.sql(file) else { return Map::new() };
        let columns = |table: &Table| match self.project.contract(table) {
            Ok(contract) => contract.properties.iter().map(|property| property.name.to_string()).collect(),
            Err(_) => Vec::new(),
        };
        let tables: Vec<(String, Vec<String>)> = transform.inputs.iter().map(|table| (sql_name(table), columns(table))).collect();
        let input = |name: &str| transform.inputs.iter().find(|table| sql_name(table) == name);
        let mut fields = Map::new();
        for (column, sources) in lineage::query_columns(sql, &tables) {
            let known = sources.columns.iter().filter_map(|(name, source)| Some((input(name)?, source)));
            let known: Vec<Value> = known.map(|(table, source)| self.input_field(table, source, sources.relationship)).collect();
            if contract.property(&column).is_some() {
                fields.insert(column, json!({"inputFields": known}));
            }
        }
        fields
    }

    fn input_field(&self, table: &Table, column: &str, relationship: Relationship) -> Value {
        let (namespace, name) = self.name(table);
        let subtype = match relationship {
            Relationship::Identity => "IDENTITY",
            Relationship::Transformation => "TRANSFORMATION",
            Relationship::Aggregation => "AGGREGATION",
        };
        json!({
            "namespace": namespace,
            "name": name,
            "field": column,
            "transformations": [{"type": "DIRECT", "subtype": subtype}],
        })
    }

    /// The folder readers read; for raw files the folder before the first placeholder, or the whole pattern where that
    /// folder holds more than one dataset.
    fn name(&self, table: &Table) -> (String, String) {
        let folder = match table.layer {
            Layer::Raw => self.raw_folder(table),
            Layer::Clean | Layer::Curated => layout::view_prefix(table).trim_end_matches('/').to_owned(),
        };
        name_of(self.base_uri, &folder)
    }

    fn raw_folder(&self, table: &Table) -> String {
        let path = |contract: &Contract| contract.input.as_ref().map(|input| input.path.clone());
        let Some(pattern) = self.project.contract(table).ok().and_then(path) else {
            return format!("{}{}", layout::RAW_PREFIX, table.dataset);
        };
        let folder = literal_folder(&pattern);
        let mut others = self.project.contracts().filter(|other| other.table != *table).filter_map(path);
        let is_shared = folder.is_empty() || others.any(|other| literal_folder(&other) == folder);
        format!("{}{}", layout::RAW_PREFIX, if is_shared { &pattern } else { folder })
    }
}

/// The folders of a pattern before the first placeholder or star.
fn literal_folder(pattern: &str) -> &str {
    let end = pattern.find(['{', '*']).unwrap_or(pattern.len());
    pattern.get(..end).and_then(|start| start.rsplit_once('/')).map_or("", |(folder, _)| folder)
}

fn field(property: &Property) -> Value {
    let mut field = json!({"name": &*property.name, "type": type_name(&property.data_type)});
    let inner: Vec<Value> = match &property.data_type {
        DataType::Struct(properties) => properties.iter().map(self::field).collect(),
        DataType::List(item) => vec![self::field(item)],
        _ => Vec::new(),
    };
    if let Some(field) = field.as_object_mut().filter(|_| !inner.is_empty()) {
        field.insert("fields".to_owned(), json!(inner));
    }
    field
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Integer { bits, signed } => format!("{}int{bits}", if *signed { "" } else { "u" }),
        DataType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        DataType::Float { bits } => format!("float{bits}"),
        DataType::Boolean { .. } => "boolean".to_owned(),
        DataType::Date { .. } => "date".to_owned(),
        DataType::Timestamp { unit, instant, .. } => {
            format!("timestamp({}{})", unit.as_str(), if *instant { ", UTC" } else { "" })
        }
        DataType::String { .. } => "string".to_owned(),
        DataType::Struct(_) => "struct".to_owned(),
        DataType::List(_) => "array".to_owned(),
    }
}

/// The gate's answer as assertions: what was measured, of which column, expected and found. No rows.
pub(super) fn assertions(project: &Project, table: &Table, answer: &GateResult) -> Value {
    let metric = |id: &str| project.checks(table).iter().find(|check| check.id == id).map(|check| &check.metric);
    let assertion = |check: &windrow_core::gate::CheckResult| {
        let (name, column) = metric(&check.id).map_or(("sql", None), described);
        let mut assertion = json!({
            "assertion": name,
            "success": check.passed,
            "severity": if check.severity == Severity::Error { "error" } else { "warn" },
            "name": check.id,
            "expected": check.expected,
            "actual": check.observed,
        });
        if let (Some(column), Some(fields)) = (column, assertion.as_object_mut()) {
            fields.insert("column".to_owned(), json!(column));
        }
        assertion
    };
    json!({"assertions": answer.checks.iter().map(assertion).collect::<Vec<_>>()})
}

/// The metric by its ODCS name, and the column it is of, when it is of one.
fn described(metric: &Metric) -> (&'static str, Option<&str>) {
    let rows = |unit: &Unit, rows, percent| if *unit == Unit::Rows { rows } else { percent };
    match metric {
        Metric::RowCount => ("rowCount", None),
        Metric::NullValues(column, unit) => (rows(unit, "nullValues", "nullValuesPercent"), Some(column)),
        Metric::MissingValues(column, _, unit) => (rows(unit, "missingValues", "missingValuesPercent"), Some(column)),
        Metric::DuplicateValues(columns, unit) => {
            let column = columns.first().filter(|_| columns.len() == 1).map(|column| &**column);
            (rows(unit, "duplicateValues", "duplicateValuesPercent"), column)
        }
        Metric::InvalidValues { column, unit, .. } => (rows(unit, "invalidValues", "invalidValuesPercent"), Some(column)),
        Metric::OutOfRange { column, unit, .. } => (rows(unit, "outOfRange", "outOfRangePercent"), Some(column)),
        Metric::Freshness(column) => ("freshness", Some(column)),
        Metric::SqlNumber(_) => ("sqlNumber", None),
        Metric::SqlRows(_) => ("sqlRows", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_pattern_ends_before_its_first_placeholder() {
        let cases =
            [("flights/{yyyy}/{MM}/*.csv", "flights"), ("a/b/{window}.csv", "a/b"), ("{window}/a.csv", ""), ("a/b*/c", "a")];
        for (pattern, folder) in cases {
            assert_eq!(literal_folder(pattern), folder, "{pattern}");
        }
    }
}
