//! Small tables and parameters for tests.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;

use polars::prelude::{DataFrame, LazyFrame};
use windrow_core::Result;

use crate::run::collect;
use crate::{Inputs, Kept, Params, QueryError, SqlTransform, Stop, Transform};

/// All rows of a result.
pub(crate) fn run(transform: &dyn Transform, inputs: &Inputs, params: &Params) -> Result<Vec<RecordBatch>> {
    crate::run(transform, inputs, params, &Stop::default(), || Ok(Kept::default()))
        .map(Kept::into_batches)
        .map_err(QueryError::into_error)
}

/// What a plan yields.
pub(crate) fn whole(plan: LazyFrame) -> Result<DataFrame> {
    collect(plan, &Stop::default())
}

pub(crate) fn params() -> Params {
    let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
    Params::new("2013-01-02".parse().unwrap(), &zone, "2013-01-03T04:05:06Z".parse().unwrap()).unwrap()
}

pub(crate) fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("id", DataType::Int64),
        field("price", DataType::Decimal128(15, 2)),
        field("discount", DataType::Decimal128(15, 2)),
        field("huge", DataType::Decimal128(38, 4)),
        field("tiny", DataType::Int8),
        field("year", DataType::Int32),
        field("text", DataType::Utf8),
        field("day", DataType::Date32),
        field("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        field("wall", DataType::Timestamp(TimeUnit::Microsecond, None)),
        field("ratio", DataType::Float64),
        field("flag", DataType::Boolean),
    ]))
}

pub(crate) fn decimals(values: Vec<i128>, precision: u8, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
}

/// Three rows; `huge` holds the largest decimal twice, `id` the largest integer once.
pub(crate) fn batch() -> RecordBatch {
    let most = 10_i128.pow(38) - 1;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![i64::MAX, 2, 3])),
        decimals(vec![100, 205, 333], 15, 2),
        decimals(vec![5, 7, 9], 15, 2),
        decimals(vec![most, most, 9], 38, 4),
        Arc::new(Int8Array::from(vec![1, 2, 12])),
        Arc::new(Int32Array::from(vec![2013, 2014, 2015])),
        Arc::new(StringArray::from(vec![Some("a"), Some("2013-01-02"), None])),
        Arc::new(Date32Array::from(vec![15706, 15707, 15708])),
        Arc::new(TimestampMicrosecondArray::from(vec![0, 1, 2]).with_timezone("UTC")),
        Arc::new(TimestampMicrosecondArray::from(vec![0, 1, 2])),
        Arc::new(Float64Array::from(vec![1.5, 2.5, f64::NAN])),
        Arc::new(BooleanArray::from(vec![true, false, true])),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub(crate) fn inputs() -> Inputs {
    Inputs::new().with_batches("t", &schema(), &[batch()]).unwrap()
}

pub(crate) fn query(sql: &str) -> windrow_core::Result<RecordBatch> {
    run(&SqlTransform::new("q.sql", sql), &inputs(), &params()).map(|mut batches| batches.remove(0))
}

pub(crate) fn write_parquet(folder: &Path, name: &str, batch: &RecordBatch) -> PathBuf {
    let path = folder.join(name);
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    path
}

pub(crate) fn one_decimal(batch: &RecordBatch) -> (i128, i8) {
    let column = batch.column(0).as_any().downcast_ref::<Decimal128Array>().unwrap();
    assert_eq!(column.len(), 1);
    (column.value(0), column.scale())
}

pub(crate) fn texts(batch: &RecordBatch, column: usize) -> Vec<String> {
    let column = batch.column(column).as_any().downcast_ref::<StringArray>().unwrap();
    column.iter().map(|text| text.unwrap_or("null").to_owned()).collect()
}

/// Destroys the pages of a file, all but those of some columns, and leaves the footer.
pub(crate) fn keep_only(file: &Path, columns: &[&str]) {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let reader = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    for group in reader.metadata().row_groups() {
        for chunk in group.columns().iter().filter(|chunk| !columns.contains(&chunk.column_path().string().as_str())) {
            let (start, length) = chunk.byte_range();
            bytes[start as usize..(start + length) as usize].fill(0xff);
        }
    }
    std::fs::write(file, bytes).unwrap();
}
