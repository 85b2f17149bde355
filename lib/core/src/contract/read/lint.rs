//! Combinations: what is legal key by key and impossible together, within one contract.

use crate::code::Code;
use crate::gate::Metric;
use crate::id::Layer;
use crate::window::Grain;

use super::super::data_type::DataType;
use super::super::model::{Contract, DedupePolicy, MissingColumns, Property, ReaderFormat, Split, SplitBy};
use super::fields::Reading;

/// Reports every impossible combination of a contract.
pub(super) fn combinations(reading: &mut Reading, contract: &Contract) {
    if contract.properties.is_empty() {
        let title = "the contract declares no property";
        reading.report_at(&contract.window.place, 1, Code::ContractValue, title, "");
    }
    match contract.layer() {
        Layer::Raw => raw(reading, contract),
        Layer::Clean | Layer::Curated => table(reading, contract),
    }
    keys(reading, contract);
    nested(reading, contract);
}

fn known_column<'c>(
    reading: &mut Reading,
    contract: &'c Contract,
    name: &str,
    place: &crate::Place,
    what: &str,
) -> Option<&'c Property> {
    let found = contract.property(name);
    if found.is_none() {
        let names: Vec<&str> = contract.properties.iter().map(|property| &*property.name).collect();
        let title = format!("{what}: no property `{name}` in this contract");
        reading.report_at(place, 1, Code::ContractReference, title, crate::suggest::hint(name, &names));
    }
    found
}

fn raw(reading: &mut Reading, contract: &Contract) {
    let place = &contract.window.place;
    if contract.input.is_none() {
        reading.report_at(
            place,
            1,
            Code::ContractMissingKey,
            "a raw schema needs windrow's `input`",
            "say where the files are: {path: …}",
        );
    }
    let Some(reader) = &contract.reader else {
        reading.report_at(
            place,
            1,
            Code::ContractMissingKey,
            "a raw schema needs windrow's `reader`",
            "say at least {format: csv}",
        );
        return;
    };
    if contract.window.column.is_some() {
        reading.report_at(place, 1, Code::ContractConflict, "window.column belongs to the clean contract", "");
    }
    for property in &contract.properties {
        raw_property(reading, property, reader.format);
    }
    if reader.missing_columns == MissingColumns::Null && contract.properties.iter().all(|property| property.required) {
        let title = "missingColumns: null has no effect: every property is required";
        reading.report_at(&reader.place, 1, Code::ContractConflict, title, "");
    }
    for check in contract.checks.iter().filter(|check| check.metric != Metric::RowCount) {
        let title = format!("quality rule `{}`: raw files can only be counted (metric rowCount)", check.id);
        reading.report_at(&check.place, 1, Code::ContractUnsupported, title, "move the rule to the clean contract");
    }
}

fn raw_property(reading: &mut Reading, property: &Property, format: ReaderFormat) {
    if property.partitioned || property.source.is_some() || property.logic.is_some() {
        let title = format!("`{}`: partitions and transforms belong to the clean contract", property.name);
        reading.report_at(&property.place, 1, Code::ContractConflict, title, "");
    }
    if property.data_type.is_nested() && format == ReaderFormat::Csv {
        let title = format!("`{}`: a CSV column cannot be an {}", property.name, property.data_type.describe());
        reading.report_at(&property.type_place, 1, Code::ContractConflict, title, "");
    }
}

fn table(reading: &mut Reading, contract: &Contract) {
    partition(reading, contract);
    window_column(reading, contract);
    let place = contract.window.place.clone();
    for key in &contract.sort {
        if let Some(property) = known_column(reading, contract, &key.column, &place, "sort") {
            let useless = property.partitioned || property.data_type.is_nested();
            if useless {
                let title = format!("cannot sort by `{}`: it is nested, or the same in every row", key.column);
                reading.report_at(&property.place, 1, Code::ContractConflict, title, "");
            }
        }
    }
    if let Some(split) = &contract.split {
        split_column(reading, contract, split);
    }
    if contract.layer() == Layer::Curated && contract.transform.is_none() {
        let help = "add {property: transform, vendor: windrow, value: {sql: …, inputs: […]}}";
        reading.report_at(&place, 1, Code::ContractMissingKey, "a curated schema needs windrow's `transform`", help);
    }
    if let Some(transform) = &contract.transform
        && (transform.inputs.is_empty() || transform.inputs.contains(&contract.table))
    {
        let title = "transform.inputs must name at least one other table";
        reading.report_at(&transform.place, 1, Code::ContractValue, title, "");
    }
    if contract.checks.is_empty() && contract.sql_checks.is_empty() {
        let help = "the gate is mandatory; the least is `quality: [{id: rows, metric: rowCount, mustBeGreaterThan: 0}]`";
        reading.report_at(&place, 1, Code::ContractMissingKey, "the contract has no quality rule", help);
    }
}

fn split_column(reading: &mut Reading, contract: &Contract, split: &Split) {
    let Some(property) = known_column(reading, contract, &split.column, &split.place, "split") else { return };
    let has_days = matches!(property.data_type, DataType::Date { .. } | DataType::Timestamp { .. });
    let has_values =
        has_days || matches!(property.data_type, DataType::Integer { .. } | DataType::String { .. } | DataType::Boolean { .. });
    let (problem, help) = if property.partitioned {
        ("it is the same in every row", "")
    } else if split.by == SplitBy::Value && !has_values {
        ("its type has no values to tell files by", "split by an integer, a string, a boolean, a date or a timestamp")
    } else if split.by != SplitBy::Value && !has_days {
        ("it is no date and no timestamp", "split by the column itself")
    } else if !property.may_be_shown() {
        ("it is classified, and a file would show its value", "split by a column that may be shown")
    } else if !property.required {
        ("it may be null", "add `required: true`")
    } else {
        return;
    };
    let title = format!("cannot split by `{}`: {problem}", split.column);
    reading.report_at(&split.place, 1, Code::ContractConflict, title, help);
}

fn partition(reading: &mut Reading, contract: &Contract) {
    let partitions: Vec<&Property> = contract.properties.iter().filter(|property| property.partitioned).collect();
    let [partition] = partitions.as_slice() else {
        let title = format!("a table has exactly one partition column, found {}", partitions.len());
        reading.report_at(&contract.window.place, 1, Code::ContractConflict, title, "mark it with `partitioned: true`");
        return;
    };
    let wanted = if contract.window.grain == Grain::Day { "date" } else { "string" };
    let fits = match &partition.data_type {
        DataType::Date { .. } => wanted == "date",
        DataType::String { .. } => wanted == "string",
        _ => false,
    };
    if !fits {
        let title = format!("the partition column of {} windows must be a {wanted}", contract.window.grain);
        reading.report_at(&partition.type_place, 1, Code::ContractConflict, title, "");
    }
    let legal = partition.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && partition.name.starts_with(|c: char| c.is_ascii_lowercase());
    if !legal {
        let title = format!("partition column `{}` must be lowercase letters, digits and _", partition.name);
        reading.report_at(&partition.place, 1, Code::ContractValue, title, "it becomes part of a key");
    }
    if contract.file_properties().count() == 0 {
        let title = "a table needs a column besides the partition column";
        reading.report_at(&partition.place, 1, Code::ContractConflict, title, "");
    }
}

fn window_column(reading: &mut Reading, contract: &Contract) {
    let Some(name) = &contract.window.column else { return };
    let place = contract.window.place.clone();
    let Some(property) = known_column(reading, contract, name, &place, "window.column") else { return };
    let fits = matches!(property.data_type, DataType::Date { .. } | DataType::Timestamp { .. });
    if !fits {
        let title = format!("window.column `{name}` must be a date or a timestamp");
        reading.report_at(&property.type_place, 1, Code::ContractConflict, title, "");
    }
    if matches!(property.data_type, DataType::Date { .. }) && contract.window.grain == Grain::Hour {
        let title = format!("window.column `{name}` is a date, which cannot lie inside an hour");
        reading.report_at(&property.type_place, 1, Code::ContractConflict, title, "");
    }
}

fn keys(reading: &mut Reading, contract: &Contract) {
    let key = contract.primary_key();
    let positions: Vec<Option<u32>> = key.iter().map(|property| property.key_position).collect();
    let expected: Vec<Option<u32>> = (1..=key.len()).map(|position| u32::try_from(position).ok()).collect();
    if positions != expected {
        let place = key.first().map_or(&contract.window.place, |property| &property.place);
        reading.report_at(place, 1, Code::ContractConflict, "primaryKeyPosition must count 1, 2, 3, …, each once", "");
    }
    for property in key.iter().filter(|property| property.data_type.is_nested()) {
        reading.report_at(
            &property.place,
            1,
            Code::ContractConflict,
            format!("key column `{}` cannot be nested", property.name),
            "",
        );
    }
    let Some(dedupe) = &contract.dedupe else { return };
    if key.is_empty() {
        reading.report_at(
            &dedupe.place,
            1,
            Code::ContractConflict,
            "dedupe needs a primary key",
            "mark the key's columns with `primaryKey: true`",
        );
    }
    if let DedupePolicy::LastBy(column) = &dedupe.policy {
        let place = dedupe.place.clone();
        if let Some(property) = known_column(reading, contract, column, &place, "dedupe.lastBy")
            && (property.data_type.is_nested() || property.partitioned)
        {
            let title = format!("dedupe.lastBy `{column}` must be a column with an order");
            reading.report_at(&place, 1, Code::ContractConflict, title, "");
        }
    }
}

/// Below a struct or list, keys and lineage have no meaning.
fn nested(reading: &mut Reading, contract: &Contract) {
    for property in &contract.properties {
        nested_property(reading, &property.data_type);
    }
}

fn nested_property(reading: &mut Reading, data_type: &DataType) {
    let inner: Vec<&Property> = match data_type {
        DataType::Struct(fields) => fields.iter().collect(),
        DataType::List(item) => vec![item],
        _ => return,
    };
    for property in inner {
        if property.key_position.is_some() || property.partitioned || property.source.is_some() || property.logic.is_some() {
            let title = format!("`{}` is nested: it cannot be a key, a partition or a transform", property.name);
            reading.report_at(&property.place, 1, Code::ContractConflict, title, "");
        }
        nested_property(reading, &property.data_type);
    }
}
