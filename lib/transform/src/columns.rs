//! Plain columns of a frame as Arrow arrays: numbers, dates, timestamps, decimals, texts and booleans, piece by piece on
//! all threads. Whatever else a frame holds goes through IPC (`bridge`).

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, RecordBatch};
use arrow_buffer::{ArrowNativeType, BooleanBufferBuilder, NullBuffer};
use arrow_schema::{Field, Schema};
use polars::prelude::{BooleanChunked, ChunkedArray, DataFrame, DataType, PolarsNumericType, Series, StringChunked, TimeUnit};
use rayon::prelude::*;

/// How many rows a piece has at most.
const PIECE_ROWS: usize = 1 << 17;

/// The rows of a frame in order; `None` when a column is not plain or a piece holds 2 GiB of text.
pub(crate) fn plain_batches(frame: &DataFrame) -> Option<Vec<RecordBatch>> {
    if frame.width() == 0 || !frame.dtypes().iter().all(is_plain) {
        return None;
    }
    let starts: Vec<usize> = (0..frame.height()).step_by(PIECE_ROWS).collect();
    starts.into_par_iter().map(|start| piece(&frame.slice(i64::try_from(start).ok()?, PIECE_ROWS))).collect()
}

fn is_plain(data_type: &DataType) -> bool {
    use DataType as D;
    let is_number = data_type.is_primitive_numeric() && !matches!(data_type, D::Int128 | D::UInt128 | D::Float16);
    is_number || matches!(data_type, D::Boolean | D::String | D::Date | D::Datetime(..) | D::Decimal(..))
}

fn piece(frame: &DataFrame) -> Option<RecordBatch> {
    let columns = frame.columns().iter().map(|column| {
        let array = array(column.as_materialized_series())?;
        Some((Field::new(column.name().as_str(), array.data_type().clone(), true), array))
    });
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.collect::<Option<Vec<_>>>()?.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).ok()
}

fn array(series: &Series) -> Option<ArrayRef> {
    Some(match series.dtype() {
        DataType::Int8 => Arc::new(numbers::<_, Int8Type>(series.i8().ok()?)),
        DataType::Int16 => Arc::new(numbers::<_, Int16Type>(series.i16().ok()?)),
        DataType::Int32 => Arc::new(numbers::<_, Int32Type>(series.i32().ok()?)),
        DataType::Int64 => Arc::new(numbers::<_, Int64Type>(series.i64().ok()?)),
        DataType::UInt8 => Arc::new(numbers::<_, UInt8Type>(series.u8().ok()?)),
        DataType::UInt16 => Arc::new(numbers::<_, UInt16Type>(series.u16().ok()?)),
        DataType::UInt32 => Arc::new(numbers::<_, UInt32Type>(series.u32().ok()?)),
        DataType::UInt64 => Arc::new(numbers::<_, UInt64Type>(series.u64().ok()?)),
        DataType::Float32 => Arc::new(numbers::<_, Float32Type>(series.f32().ok()?)),
        DataType::Float64 => Arc::new(numbers::<_, Float64Type>(series.f64().ok()?)),
        DataType::Date => Arc::new(numbers::<_, Date32Type>(series.date().ok()?.physical())),
        DataType::Decimal(precision, scale) => {
            let plain = numbers::<_, Decimal128Type>(series.decimal().ok()?.physical());
            let (precision, scale) = (u8::try_from(*precision).ok()?, i8::try_from(*scale).ok()?);
            Arc::new(plain.with_precision_and_scale(precision, scale).ok()?)
        }
        DataType::Datetime(unit, zone) => instants(series, *unit, zone.as_ref().map(|zone| zone.to_string().into()))?,
        DataType::Boolean => Arc::new(booleans(series.bool().ok()?)),
        DataType::String => texts(series.str().ok()?)?,
        _ => return None,
    })
}

fn instants(series: &Series, unit: TimeUnit, zone: Option<Arc<str>>) -> Option<ArrayRef> {
    let units = series.datetime().ok()?.physical();
    Some(match unit {
        TimeUnit::Milliseconds => Arc::new(numbers::<_, TimestampMillisecondType>(units).with_timezone_opt(zone)),
        TimeUnit::Microseconds => Arc::new(numbers::<_, TimestampMicrosecondType>(units).with_timezone_opt(zone)),
        TimeUnit::Nanoseconds => Arc::new(numbers::<_, TimestampNanosecondType>(units).with_timezone_opt(zone)),
    })
}

fn numbers<P, A>(column: &ChunkedArray<P>) -> PrimitiveArray<A>
where
    P: PolarsNumericType<Native: ArrowNativeType>,
    A: ArrowPrimitiveType<Native = P::Native>,
{
    let mut values: Vec<A::Native> = Vec::with_capacity(column.len());
    let mut nulls = (column.null_count() > 0).then(|| BooleanBufferBuilder::new(column.len()));
    for chunk in column.downcast_iter() {
        values.extend_from_slice(chunk.values());
        let Some(nulls) = &mut nulls else { continue };
        match chunk.validity() {
            Some(valid) => valid.iter().for_each(|is_valid| nulls.append(is_valid)),
            None => nulls.append_n(chunk.values().len(), true),
        }
    }
    PrimitiveArray::new(values.into(), nulls.map(|mut nulls| NullBuffer::new(nulls.finish())))
}

fn booleans(column: &BooleanChunked) -> BooleanArray {
    column.iter().collect()
}

fn texts(column: &StringChunked) -> Option<ArrayRef> {
    let bytes: usize = column.iter().flatten().map(str::len).sum();
    i32::try_from(bytes).ok()?;
    let mut builder = StringBuilder::with_capacity(column.len(), bytes);
    column.iter().for_each(|text| builder.append_option(text));
    Some(Arc::new(builder.finish()))
}
