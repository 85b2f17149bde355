//! Contracts and files for the tests of this folder.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::sync::Arc;

use windrow_core::contract::{
    ColumnCase, ColumnOrder, Compression, Contract, DataType, ExtraColumns, Late, MissingColumns, OnViolation, Output, Property,
    Reader, ReaderFormat, TimePattern, TimeUnit, ValueRules, WindowRule,
};
use windrow_core::{Code, Grain, Layer, Place, Table};

use super::{RawWindow, ReadOptions, collect, read_window};
use crate::chunk::InputFile;

pub(crate) fn reader(format: ReaderFormat) -> Reader {
    Reader {
        format,
        compression: Compression::ByExtension,
        delimiter: b',',
        quote: Some(b'"'),
        header: true,
        null_values: vec![String::new()],
        quoted_null: false,
        missing_columns: MissingColumns::Fail,
        extra_columns: ExtraColumns::Fail,
        column_order: ColumnOrder::Strict,
        column_case: ColumnCase::Strict,
        skip_blank_lines: false,
        max_field_bytes: 16 << 20,
        max_row_bytes: 64 << 20,
        place: Place::new("c.yaml", 2, 1),
    }
}

pub(crate) fn contract(format: ReaderFormat, properties: Vec<Property>) -> Contract {
    Contract {
        file: "c.yaml".into(),
        text: "first\nreader:\n".into(),
        sha256: String::new(),
        rows_sha256: String::new(),
        id: "orders.raw".to_owned(),
        version: "1.0.0".to_owned(),
        table: Table { layer: Layer::Raw, dataset: "orders".parse().unwrap() },
        properties,
        window: WindowRule { grain: Grain::Day, zone: "UTC".to_owned(), column: None, place: Place::file("c.yaml") },
        input: None,
        reader: Some(reader(format)),
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

pub(crate) fn property(name: &str, data_type: DataType) -> Property {
    Property {
        name: name.into(),
        place: Place::new("c.yaml", 1, 1),
        type_place: Place::new("c.yaml", 1, 1),
        data_type,
        required: false,
        key_position: None,
        partitioned: false,
        rules: ValueRules::default(),
        rules_place: Place::new("c.yaml", 1, 1),
        source: None,
        logic: None,
        classification: None,
    }
}

pub(crate) fn required(property: Property) -> Property {
    Property { required: true, ..property }
}

pub(crate) fn int(name: &str) -> Property {
    property(name, DataType::Integer { bits: 64, signed: true })
}

pub(crate) fn text(name: &str) -> Property {
    property(name, DataType::String { format: None })
}

pub(crate) fn money(name: &str) -> Property {
    property(name, DataType::Decimal { precision: 15, scale: 2 })
}

pub(crate) fn float(name: &str) -> Property {
    property(name, DataType::Float { bits: 64 })
}

pub(crate) fn flag(name: &str) -> Property {
    property(name, DataType::Boolean { true_tokens: vec!["true".to_owned()], false_tokens: vec!["false".to_owned()] })
}

pub(crate) fn date(name: &str) -> Property {
    property(name, DataType::Date { pattern: TimePattern::parse(TimePattern::DATE).unwrap() })
}

pub(crate) fn instant(name: &str) -> Property {
    let pattern = TimePattern::parse(TimePattern::INSTANT).unwrap();
    property(name, DataType::Timestamp { unit: TimeUnit::Micro, instant: true, default_zone: None, pattern })
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Reads files from memory.
pub(crate) fn read_files(contract: &Contract, files: &[(&str, &[u8])], block_bytes: Option<usize>) -> RawWindow {
    let stored: BTreeMap<Arc<str>, Vec<u8>> = files.iter().map(|(key, bytes)| ((*key).into(), bytes.to_vec())).collect();
    let inputs: Vec<InputFile> =
        files.iter().map(|(key, bytes)| InputFile { key: (*key).into(), size: bytes.len() as u64 }).collect();
    let open = |input: &InputFile| -> windrow_core::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(stored[&input.key].clone())))
    };
    let window = match block_bytes {
        Some(block_bytes) => collect(contract, &inputs, &open, &ReadOptions { block_bytes }),
        None => read_window(contract, &inputs, &open),
    };
    let window = window.unwrap();
    let rows: usize = window.chunks.iter().map(|chunk| chunk.batch.num_rows()).sum();
    assert_eq!(window.rows_in, rows as u64 + window.report.rejected_rows(), "rows in = out + rejected");
    window
}

pub(crate) fn read_csv(properties: Vec<Property>, bytes: impl AsRef<[u8]>) -> RawWindow {
    read_files(&contract(ReaderFormat::Csv, properties), &[("raw/a.csv", bytes.as_ref())], None)
}

/// The codes of a report with their lines and columns.
pub(crate) fn found(window: &RawWindow) -> Vec<(Code, u64, u64)> {
    window.report.listed().iter().map(|violation| (violation.code, violation.line, violation.char_column)).collect()
}

/// All rows as texts, `-` for null.
pub(crate) fn rows(window: &RawWindow) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for chunk in &window.chunks {
        for row in 0..chunk.batch.num_rows() {
            let show = |array: &arrow_array::ArrayRef| match array.data_type() {
                _ if arrow_array::Array::is_null(array, row) => "-".to_owned(),
                // Arrow shows no named zone without a zone database; the count of the unit is enough here.
                arrow_schema::DataType::Timestamp(_, _) => {
                    let counts = arrow_cast::cast(array, &arrow_schema::DataType::Int64).unwrap();
                    arrow_cast::display::array_value_to_string(&counts, row).unwrap()
                }
                _ => arrow_cast::display::array_value_to_string(array, row).unwrap(),
            };
            rows.push(chunk.batch.columns().iter().map(show).collect());
        }
    }
    rows
}
