//! Raw Parquet files: a sound one, and ones with a single thing wrong.

use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

/// The columns of their contract.
pub(crate) const COLUMNS: &str = r#"
      - {name: n, logicalType: integer, logicalTypeOptions: {format: i32}, required: true}
      - {name: price, logicalType: number, physicalType: "DECIMAL(9,2)"}
      - {name: name, logicalType: string}
"#;

fn price() -> ArrayRef {
    Arc::new(Decimal128Array::from(vec![Some(150), None]).with_precision_and_scale(9, 2).unwrap())
}

fn name() -> ArrayRef {
    Arc::new(StringArray::from(vec![Some("one"), None]))
}

fn number() -> ArrayRef {
    Arc::new(Int32Array::from(vec![1, 2]))
}

pub(crate) fn sound() -> Vec<u8> {
    file(vec![("n", number()), ("price", price()), ("name", name())])
}

pub(crate) fn wide_integer() -> Vec<u8> {
    file(vec![("n", Arc::new(Int64Array::from(vec![1, 2]))), ("price", price()), ("name", name())])
}

pub(crate) fn float_price() -> Vec<u8> {
    file(vec![("n", number()), ("price", Arc::new(Float64Array::from(vec![1.5, 2.5]))), ("name", name())])
}

pub(crate) fn without_name() -> Vec<u8> {
    file(vec![("n", number()), ("price", price())])
}

pub(crate) fn null_key() -> Vec<u8> {
    file(vec![("n", Arc::new(Int32Array::from(vec![Some(1), None]))), ("price", price()), ("name", name())])
}

fn file(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}
