//! Contracts built by hand, for tests.

use windrow_core::contract::{
    Contract, DataType, Late, OnViolation, Output, Property, TimePattern, TimeUnit, ValueRules, WindowRule,
};
use windrow_core::{Grain, Layer, Place, Table};

pub(crate) const I32: DataType = DataType::Integer { bits: 32, signed: true };
pub(crate) const I64: DataType = DataType::Integer { bits: 64, signed: true };
pub(crate) const F64: DataType = DataType::Float { bits: 64 };
pub(crate) const TEXT: DataType = DataType::String { format: None };

pub(crate) fn decimal(precision: u8, scale: u8) -> DataType {
    DataType::Decimal { precision, scale }
}

pub(crate) fn date() -> DataType {
    DataType::Date { pattern: TimePattern::parse(TimePattern::DATE).unwrap() }
}

pub(crate) fn timestamp(unit: TimeUnit, instant: bool) -> DataType {
    let pattern = TimePattern::parse(if instant { TimePattern::INSTANT } else { TimePattern::LOCAL }).unwrap();
    DataType::Timestamp { unit, instant, default_zone: None, pattern }
}

pub(crate) fn boolean() -> DataType {
    DataType::Boolean { true_tokens: vec!["true".into(), "Y".into()], false_tokens: vec!["false".into(), "N".into()] }
}

pub(crate) fn place(line: u64) -> Place {
    Place::new("orders.clean.odcs.yaml", line, 1)
}

/// A column that may be null and has no rules.
pub(crate) fn property(name: &str, data_type: DataType) -> Property {
    Property {
        name: name.into(),
        place: place(1),
        type_place: place(2),
        data_type,
        required: false,
        key_position: None,
        partitioned: false,
        rules: ValueRules::default(),
        rules_place: place(3),
        source: None,
        logic: None,
        classification: None,
    }
}

/// A clean contract for daily windows in UTC, without key, sort and partition column.
pub(crate) fn contract(properties: Vec<Property>) -> Contract {
    Contract {
        file: "orders.clean.odcs.yaml".into(),
        text: "name: x\nlogicalType: x\nrules: x\nkey: x\n".into(),
        sha256: String::new(),
        rows_sha256: String::new(),
        id: "orders".to_owned(),
        version: "1.0.0".to_owned(),
        table: Table { layer: Layer::Clean, dataset: "orders".parse().unwrap() },
        properties,
        window: WindowRule { grain: Grain::Day, zone: "UTC".to_owned(), column: None, place: place(4) },
        input: None,
        reader: None,
        on_violation: OnViolation::Fail,
        late: Late::Rerun,
        dedupe: None,
        sort: Vec::new(),
        split: None,
        output: Output::default(),
        transform: None,
        checks: Vec::new(),
        sql_checks: Vec::new(),
        sla: None,
    }
}

/// Makes columns the primary key, in this order.
pub(crate) fn with_key(mut contract: Contract, key: &[&str]) -> Contract {
    for property in &mut contract.properties {
        let position = key.iter().position(|name| **name == *property.name);
        property.key_position = position.and_then(|index| u32::try_from(index + 1).ok());
    }
    contract
}
