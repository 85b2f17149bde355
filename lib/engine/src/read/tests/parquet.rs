//! Parquet: schemas that are not as declared, and values Parquet allows that no contract does.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType as Arrow, Field};
use parquet::arrow::ArrowWriter;
use windrow_core::Code;
use windrow_core::contract::{DataType, ExtraColumns, MissingColumns, Property, Reader, ReaderFormat};

use crate::read::RawWindow;
use crate::read::fixture::*;

fn file(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn read_with(properties: Vec<Property>, change: impl Fn(&mut Reader), bytes: &[u8]) -> RawWindow {
    let mut contract = contract(ReaderFormat::Parquet, properties);
    contract.reader.iter_mut().for_each(change);
    read_files(&contract, &[("a.parquet", bytes)], None)
}

fn ids() -> (&'static str, ArrayRef) {
    ("id", Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])))
}

fn names() -> (&'static str, ArrayRef) {
    ("name", Arc::new(StringArray::from(vec!["a", "b\0", "c"])))
}

#[test]
fn narrower_types_are_widened_and_columns_found_by_name() {
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1, 2, 3]).with_timezone("Europe/Budapest"));
    let window = read_with(vec![int("id"), instant("at")], |_| (), &file(vec![("at", times), ids()]));
    assert!(window.report.is_empty(), "{:?}", window.report);
    assert_eq!(rows(&window), [["1", "1000"], ["-", "2000"], ["3", "3000"]]);
}

#[test]
fn other_types_and_columns_are_refused() {
    let codes = |properties, columns| -> Vec<Code> {
        read_with(properties, |_| (), &file(columns)).report.listed().iter().map(|found| found.code).collect()
    };
    assert_eq!(codes(vec![money("id")], vec![ids()]), [Code::ParquetSchema]);
    assert_eq!(codes(vec![int("id"), int("name")], vec![ids(), names()]), [Code::ParquetSchema]);
    assert_eq!(codes(vec![int("id"), text("colour")], vec![ids(), names()]), [Code::ExtraColumn, Code::MissingColumn]);
    assert_eq!(codes(vec![int("id"), text("nmae")], vec![ids(), names()]), [Code::ExtraColumn]);
    let lenient =
        |reader: &mut Reader| (reader.extra_columns, reader.missing_columns) = (ExtraColumns::Ignore, MissingColumns::Null);
    let window = read_with(vec![text("colour"), int("id")], lenient, &file(vec![ids(), names()]));
    assert_eq!(rows(&window)[0], ["-", "1"]);
}

#[test]
fn values_are_judged_row_by_row() {
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, f64::NAN]));
    let window =
        read_with(vec![required(int("id")), text("name"), float("f")], |_| (), &file(vec![ids(), names(), ("f", numbers)]));
    let codes: Vec<(Code, u64)> = window.report.listed().iter().map(|found| (found.code, found.line)).collect();
    assert_eq!(codes, [(Code::NullInRequired, 2), (Code::NulByte, 2), (Code::NotFinite, 3)]);
    assert_eq!((rows(&window), window.report.rejected_rows()), (vec![vec!["1".to_owned(), "a".to_owned(), "1.0".to_owned()]], 2));
}

#[test]
fn a_null_in_a_required_child_refuses_its_row() {
    let child: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let object: ArrayRef = Arc::new(StructArray::from(vec![(Arc::new(Field::new("zip", Arrow::Int64, true)), child)]));
    let address = property("address", DataType::Struct(vec![required(int("zip"))]));
    let window = read_with(vec![address], |_| (), &file(vec![("address", object)]));
    assert_eq!(
        window.report.listed().iter().map(|found| (found.code, found.line)).collect::<Vec<_>>(),
        [(Code::NullInRequired, 2)]
    );
    assert_eq!(rows(&window), [["{zip: 1}"]]);
}

#[test]
fn damaged_files_are_refused() {
    let whole = file(vec![ids()]);
    let codes = |bytes: &[u8]| {
        read_with(vec![int("id")], |_| (), bytes).report.listed().iter().map(|found| found.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&whole[..whole.len() - 9]), [Code::BadParquet]);
    assert_eq!(codes(b"PAR1"), [Code::BadParquet]);
    assert_eq!(codes(b"id\n1\n"), [Code::WrongFileType]);
    assert_eq!(codes(b""), [Code::EmptyFile]);
    let mut page = whole.clone();
    page[4..40].fill(0xff);
    assert_eq!(codes(&page), [Code::BadParquet]);
}
