//! Arrow batches to polars frames and back.
//!
//! The two libraries share the Arrow layout but no types, and the crate forbids `unsafe`, so one copy is the price of
//! the crossing: of plain columns from polars directly, else through the IPC stream format in memory. Decimals keep
//! precision and scale, timestamps unit and zone. Text comes back as `Utf8`, through IPC as `LargeUtf8` with lists as
//! `LargeList`; the engine's `conform` narrows them.

use std::io::Cursor;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType as Arrow, Field, Schema, SchemaRef};
use polars::prelude::{DataFrame, IpcStreamReader, IpcStreamWriter, PolarsError, SerReader, SerWriter};
use windrow_core::{Error, ErrorKind, Result};

use crate::columns;

/// Copies batches of one schema into a frame.
///
/// # Errors
/// `Internal` when a column has a type polars does not know.
pub fn to_polars(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<DataFrame> {
    let mut bytes = Vec::new();
    write_stream(&mut bytes, schema, batches).map_err(|error| crossing("to polars", error))?;
    read_frame(bytes).map_err(|error| crossing("to polars", error))
}

/// Copies a frame into batches; a frame without rows yields one batch without rows, so that the schema survives.
///
/// # Errors
/// `Internal` when a column has a type Arrow does not know.
pub fn from_polars(frame: DataFrame) -> Result<Vec<RecordBatch>> {
    if frame.height() > 0 && columns::is_plain(frame.schema()) { columns::plain_batches(frame) } else { through_ipc(frame) }
}

/// The way for any type.
pub(crate) fn through_ipc(mut frame: DataFrame) -> Result<Vec<RecordBatch>> {
    let mut bytes = Vec::new();
    IpcStreamWriter::new(&mut bytes).finish(&mut frame).map_err(|error| crossing("from polars", error))?;
    drop(frame);
    let (schema, mut batches) = read_stream(bytes).map_err(|error| crossing("from polars", error))?;
    batches.retain(|batch| batch.num_rows() > 0);
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

/// Copies a frame into one batch.
///
/// # Errors
/// As [`from_polars`].
pub fn from_polars_whole(frame: DataFrame) -> Result<RecordBatch> {
    let batches = from_polars(frame)?;
    match batches.as_slice() {
        [one] => Ok(one.clone()),
        many => {
            let schema = many.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
            arrow_select::concat::concat_batches(&schema, many).map_err(|error| crossing("from polars", error))
        }
    }
}

/// The empty frame of a schema.
///
/// # Errors
/// `Internal` when a column has a type polars does not know.
pub fn empty_frame(schema: &SchemaRef) -> Result<DataFrame> {
    to_polars(schema, &[])
}

/// The Arrow schema of a frame in the spelling contracts use: `Utf8` for any text, `List` for any list.
///
/// # Errors
/// `Internal` when a column has a type Arrow does not know.
pub fn arrow_schema(frame: DataFrame) -> Result<Schema> {
    let batches = from_polars(frame)?;
    let fields = batches.first().map(|batch| batch.schema().fields().clone()).unwrap_or_default();
    Ok(Schema::new(fields.iter().map(|field| plain_field(field)).collect::<Vec<_>>()))
}

fn plain_field(field: &Field) -> Field {
    Field::new(field.name(), plain_type(field.data_type()), field.is_nullable())
}

fn plain_type(data_type: &Arrow) -> Arrow {
    match data_type {
        Arrow::LargeUtf8 | Arrow::Utf8View => Arrow::Utf8,
        Arrow::LargeList(item) | Arrow::List(item) => Arrow::List(Arc::new(plain_field(item))),
        Arrow::Struct(fields) => Arrow::Struct(fields.iter().map(|field| plain_field(field)).collect()),
        other => other.clone(),
    }
}

fn write_stream(bytes: &mut Vec<u8>, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<(), ArrowError> {
    let mut writer = StreamWriter::try_new(bytes, schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()
}

fn read_frame(bytes: Vec<u8>) -> Result<DataFrame, PolarsError> {
    IpcStreamReader::new(Cursor::new(bytes)).finish()
}

fn read_stream(bytes: Vec<u8>) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    let reader = StreamReader::try_new(Cursor::new(bytes), None)?;
    let schema = reader.schema();
    Ok((schema, reader.collect::<Result<Vec<_>, _>>()?))
}

fn crossing(direction: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Internal, "a batch cannot cross between Arrow and polars").with("direction", direction).caused_by(error)
}

#[cfg(test)]
mod tests {
    use arrow_array::{
        Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
        Int32Array, Int64Array, LargeStringArray, StringArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
        TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
    };

    use super::*;

    fn all_types() -> RecordBatch {
        let inner = Arc::new(Field::new("x", Arrow::Int32, true));
        let nested = StructArray::from(vec![(inner, Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef)]);
        let decimal =
            Decimal128Array::from(vec![Some(-1_234_567_890_123_456_789_i128), None]).with_precision_and_scale(38, 4).unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("i8", Arc::new(Int8Array::from(vec![Some(i8::MIN), None]))),
            ("i16", Arc::new(Int16Array::from(vec![Some(i16::MIN), None]))),
            ("i32", Arc::new(Int32Array::from(vec![Some(i32::MIN), None]))),
            ("i64", Arc::new(Int64Array::from(vec![Some(i64::MIN), None]))),
            ("u8", Arc::new(UInt8Array::from(vec![Some(u8::MAX), None]))),
            ("u16", Arc::new(UInt16Array::from(vec![Some(u16::MAX), None]))),
            ("u32", Arc::new(UInt32Array::from(vec![Some(u32::MAX), None]))),
            ("u64", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
            ("f32", Arc::new(Float32Array::from(vec![Some(1.5), None]))),
            ("f64", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
            ("bool", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("text", Arc::new(StringArray::from(vec![Some("zoë"), None]))),
            ("day", Arc::new(Date32Array::from(vec![Some(-1), None]))),
            ("money", Arc::new(decimal)),
            ("small", Arc::new(Decimal128Array::from(vec![Some(1), None]).with_precision_and_scale(5, 2).unwrap())),
            ("ms", Arc::new(TimestampMillisecondArray::from(vec![Some(1), None]))),
            ("us", Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC"))),
            ("ns", Arc::new(TimestampNanosecondArray::from(vec![Some(1), None]).with_timezone("UTC"))),
            ("nested", Arc::new(nested)),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    }

    #[test]
    fn every_declared_type_crosses_and_comes_back() {
        let batch = all_types();
        let frame = to_polars(&batch.schema(), std::slice::from_ref(&batch)).unwrap();
        let back = from_polars(frame).unwrap().remove(0);
        for (index, field) in batch.schema().fields().iter().enumerate() {
            if field.name() == "text" {
                let expected: ArrayRef = Arc::new(LargeStringArray::from(vec![Some("zoë"), None]));
                assert_eq!(back.column(index), &expected);
            } else {
                assert_eq!(back.column(index).to_data(), batch.column(index).to_data(), "{}", field.name());
            }
        }
    }

    #[test]
    fn plain_columns_cross_as_declared_also_in_pieces() {
        let all = all_types();
        let plain: Vec<usize> = (0..all.num_columns()).filter(|index| all.schema().field(*index).name() != "nested").collect();
        let batch = all.project(&plain).unwrap();
        let rows = arrow_array::UInt32Array::from((0..200_000).map(|row| row % 2).collect::<Vec<u32>>());
        let many = arrow_select::take::take_record_batch(&batch, &rows).unwrap();
        let [head, tail] = [many.slice(0, 70_001), many.slice(70_001, 129_999)];
        let mut frame = to_polars(&batch.schema(), &[head]).unwrap();
        frame.vstack_mut_owned(to_polars(&batch.schema(), &[tail]).unwrap()).unwrap();
        let back = from_polars(frame).unwrap();
        assert!(back.len() > 1);
        assert_eq!(arrow_select::concat::concat_batches(&batch.schema(), &back).unwrap(), many);
    }

    #[test]
    fn a_schema_survives_without_rows() {
        let schema = all_types().schema();
        assert_eq!(&arrow_schema(empty_frame(&schema).unwrap()).unwrap(), schema.as_ref());
    }
}
