//! Plain columns of a frame as Arrow arrays: numbers, dates, timestamps, decimals, texts and booleans, piece by piece on
//! all threads. Numbers in one chunk stay where they are, and the array keeps them there; everything else is copied. Whatever else a
//! frame holds goes through IPC (`bridge`).

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, RecordBatch};
use arrow_buffer::{ArrowNativeType, BooleanBufferBuilder, NullBuffer, ScalarBuffer};
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use polars::prelude::{
    BooleanChunked, ChunkedArray, DataFrame, DataType, PolarsNumericType, Schema as PolarsSchema, Series, StringChunked, TimeUnit,
};
use rayon::prelude::*;
use windrow_core::{Error, ErrorKind, Result};

/// How many rows a piece has at most.
const PIECE_ROWS: usize = 1 << 17;

/// How many bytes the texts of a column have in one batch at most: 32-bit offsets end there.
const MOST_TEXT_BYTES: usize = if cfg!(test) { 1 << 20 } else { i32::MAX as usize };

/// Tells whether every column is plain.
pub(crate) fn is_plain(schema: &PolarsSchema) -> bool {
    !schema.is_empty() && schema.iter_values().all(is_plain_type)
}

/// The rows of a frame of plain columns in order.
pub(crate) fn plain_batches(frame: DataFrame) -> Result<Vec<RecordBatch>> {
    let starts = (0..frame.height()).step_by(PIECE_ROWS);
    let pieces: Vec<DataFrame> = starts.filter_map(|start| Some(frame.slice(i64::try_from(start).ok()?, PIECE_ROWS))).collect();
    drop(frame);
    let of_pieces: Vec<Vec<RecordBatch>> = pieces.into_par_iter().map(|piece| batches(&piece)).collect::<Result<_>>()?;
    Ok(of_pieces.into_iter().flatten().collect())
}

fn is_plain_type(data_type: &DataType) -> bool {
    use DataType as D;
    let is_number = data_type.is_primitive_numeric() && !matches!(data_type, D::Int128 | D::UInt128 | D::Float16);
    is_number || matches!(data_type, D::Boolean | D::String | D::Date | D::Datetime(..) | D::Decimal(..))
}

/// A piece in as many batches as its texts need.
///
/// # Errors
/// `Misconfigured` for a text of more than 2 GiB.
pub(crate) fn batches(frame: &DataFrame) -> Result<Vec<RecordBatch>> {
    match whole(frame) {
        Some(batch) => Ok(vec![batch]),
        None if frame.height() < 2 => Err(Error::new(ErrorKind::Misconfigured, "a text of the result is longer than 2 GiB")),
        None => {
            let (head, tail) = frame.split_at(i64::try_from(frame.height() / 2).unwrap_or(1));
            Ok([batches(&head)?, batches(&tail)?].concat())
        }
    }
}

/// `None` when the texts of a column are too many for one batch.
fn whole(frame: &DataFrame) -> Option<RecordBatch> {
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

/// Numbers of one chunk where they are, those of several as a copy.
fn numbers<P, A>(column: &ChunkedArray<P>) -> PrimitiveArray<A>
where
    P: PolarsNumericType<Native: ArrowNativeType>,
    A: ArrowPrimitiveType<Native = P::Native>,
{
    let values = if column.chunks().len() == 1 {
        let rows = column.len();
        ScalarBuffer::new(Bytes::from_owner(OneChunk(column.clone())).into(), 0, rows)
    } else {
        let mut values: Vec<A::Native> = Vec::with_capacity(column.len());
        column.downcast_iter().for_each(|chunk| values.extend_from_slice(chunk.values()));
        values.into()
    };
    PrimitiveArray::new(values, (column.null_count() > 0).then(|| nulls(column)))
}

fn nulls<P: PolarsNumericType>(column: &ChunkedArray<P>) -> NullBuffer {
    let mut nulls = BooleanBufferBuilder::new(column.len());
    for chunk in column.downcast_iter() {
        match chunk.validity() {
            Some(valid) => valid.iter().for_each(|is_valid| nulls.append(is_valid)),
            None => nulls.append_n(chunk.values().len(), true),
        }
    }
    NullBuffer::new(nulls.finish())
}

/// The bytes of the numbers of a column of one chunk.
struct OneChunk<P: PolarsNumericType>(ChunkedArray<P>);

impl<P: PolarsNumericType> AsRef<[u8]> for OneChunk<P> {
    fn as_ref(&self) -> &[u8] {
        self.0.downcast_iter().next().map_or(&[], |chunk| bytemuck::cast_slice(chunk.values()))
    }
}

fn booleans(column: &BooleanChunked) -> BooleanArray {
    column.iter().collect()
}

fn texts(column: &StringChunked) -> Option<ArrayRef> {
    let bytes: usize = column.iter().flatten().map(str::len).sum();
    if bytes > MOST_TEXT_BYTES {
        return None;
    }
    let mut builder = StringBuilder::with_capacity(column.len(), bytes);
    if column.null_count() == 0 {
        column.downcast_iter().for_each(|chunk| chunk.values_iter().for_each(|text| builder.append_value(text)));
    } else {
        column.iter().for_each(|text| builder.append_option(text));
    }
    Some(Arc::new(builder.finish()))
}

#[cfg(test)]
mod tests {
    use arrow_cast::cast;
    use arrow_schema::{DataType as Arrow, TimeUnit as Unit};
    use arrow_select::concat::concat_batches;
    use polars::prelude::{AnyValue, DataType as D, NamedFrom, TimeZone};
    use proptest::prelude::*;

    use super::*;
    use crate::bridge;

    /// Every type a column of a curated table can have, but lists and structs.
    fn plain_types() -> Vec<Arrow> {
        let mut types = vec![Arrow::Int8, Arrow::Int16, Arrow::Int32, Arrow::Int64];
        types.extend([Arrow::UInt8, Arrow::UInt16, Arrow::UInt32, Arrow::UInt64, Arrow::Float32, Arrow::Float64]);
        types.extend([Arrow::Boolean, Arrow::Date32, Arrow::Utf8]);
        types.extend([Arrow::Decimal128(5, 2), Arrow::Decimal128(18, 0), Arrow::Decimal128(38, 10)]);
        for unit in [Unit::Millisecond, Unit::Microsecond, Unit::Nanosecond] {
            types.extend([Arrow::Timestamp(unit, None), Arrow::Timestamp(unit, Some("UTC".into()))]);
        }
        types
    }

    /// The numbers as a column of any type.
    fn column(data_type: &Arrow, values: &[Option<i8>]) -> ArrayRef {
        let numbers: ArrayRef = Arc::new(values.iter().copied().collect::<PrimitiveArray<Int8Type>>());
        let positive: ArrayRef =
            Arc::new(values.iter().map(|value| value.map(i8::unsigned_abs)).collect::<PrimitiveArray<UInt8Type>>());
        match data_type {
            Arrow::UInt8 | Arrow::UInt16 | Arrow::UInt32 | Arrow::UInt64 => cast(&positive, data_type).unwrap(),
            Arrow::Date32 => cast(&cast(&numbers, &Arrow::Int32).unwrap(), data_type).unwrap(),
            Arrow::Timestamp(..) => cast(&cast(&numbers, &Arrow::Int64).unwrap(), data_type).unwrap(),
            other => cast(&numbers, other).unwrap(),
        }
    }

    fn frame_of(values: &[Option<i8>]) -> DataFrame {
        let columns = plain_types().into_iter().enumerate().map(|(index, data_type)| {
            let array = column(&data_type, values);
            (format!("c{index}"), array, true)
        });
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        bridge::to_polars(&batch.schema(), &[batch]).unwrap()
    }

    /// What IPC makes of a frame, texts narrowed.
    fn by_ipc(frame: &DataFrame) -> RecordBatch {
        let batches = bridge::through_ipc(frame.clone()).unwrap();
        let whole = concat_batches(&batches[0].schema(), &batches).unwrap();
        let schema = whole.schema();
        let narrowed = schema.fields().iter().zip(whole.columns()).map(|(field, array)| {
            let array = if *array.data_type() == Arrow::LargeUtf8 { cast(array, &Arrow::Utf8).unwrap() } else { array.clone() };
            (field.name().clone(), array, true)
        });
        RecordBatch::try_from_iter_with_nullable(narrowed.collect::<Vec<_>>()).unwrap()
    }

    fn directly(frame: &DataFrame) -> RecordBatch {
        let batches = plain_batches(frame.clone()).unwrap();
        batches.first().map_or_else(
            || RecordBatch::new_empty(by_ipc(frame).schema()),
            |first| concat_batches(&first.schema(), &batches).unwrap(),
        )
    }

    proptest! {
        #[test]
        fn plain_columns_are_what_ipc_makes_of_them(
            parts in prop::collection::vec(prop::collection::vec(prop::option::of(-100_i8..100), 0..40), 1..4),
            from in 0_i64..50,
            rows in 0_usize..120,
        ) {
            let mut frame = frame_of(&parts[0]);
            for part in &parts[1..] {
                frame.vstack_mut_owned(frame_of(part)).unwrap();
            }
            prop_assert_eq!(directly(&frame), by_ipc(&frame));
            let cut = frame.slice(from, rows);
            prop_assert_eq!(directly(&cut), by_ipc(&cut));
        }
    }

    #[test]
    fn extreme_values_and_columns_of_nulls_cross() {
        let frame = DataFrame::new_infer_height(vec![
            Series::new("i64".into(), [Some(i64::MIN), None, Some(i64::MAX)]).into(),
            Series::new("u64".into(), [Some(u64::MAX), None, Some(0)]).into(),
            Series::new("f64".into(), [Some(f64::NEG_INFINITY), None, Some(-0.0)]).into(),
            Series::new("text".into(), [Some("zo\u{eb}\0"), None, Some("longer than what stands in a view itself")]).into(),
            Series::new("none".into(), [None::<&str>; 3]).into(),
            Series::from_any_values_and_dtype(
                "decimal".into(),
                &[AnyValue::Decimal(10_i128.pow(38) - 1, 38, 3), AnyValue::Null, AnyValue::Decimal(1 - 10_i128.pow(38), 38, 3)],
                &D::Decimal(38, 3),
                true,
            )
            .unwrap()
            .into(),
            Series::new("at".into(), [Some(i64::MIN + 1), None, Some(0)])
                .cast(&D::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)))
                .unwrap()
                .into(),
        ])
        .unwrap();
        assert_eq!(directly(&frame), by_ipc(&frame));
    }

    #[test]
    fn pieces_are_bounded_and_in_order() {
        let rows = PIECE_ROWS + 5;
        let frame =
            DataFrame::new_infer_height(vec![Series::new("n".into(), (0..rows as u64).collect::<Vec<u64>>()).into()]).unwrap();
        let batches = plain_batches(frame.clone()).unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [PIECE_ROWS, 5]);
        assert_eq!(directly(&frame), by_ipc(&frame));
    }

    #[test]
    fn more_text_than_a_batch_holds_is_dealt_to_several() {
        let text = "x".repeat(MOST_TEXT_BYTES / 3);
        let of =
            |rows: usize| DataFrame::new_infer_height(vec![Series::new("t".into(), vec![text.as_str(); rows]).into()]).unwrap();
        let batches = plain_batches(of(10)).unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 3, 2, 3]);
        let too_long = DataFrame::new_infer_height(vec![Series::new("t".into(), [text.repeat(4)]).into()]).unwrap();
        assert!(plain_batches(too_long).is_err());
    }

    #[test]
    fn what_is_not_plain_goes_another_way() {
        let list = Series::new("list".into(), [Series::new("".into(), [1_i64, 2])]);
        let frame = DataFrame::new_infer_height(vec![list.into()]).unwrap();
        assert!(!is_plain(frame.schema()) && !is_plain(DataFrame::empty().schema()));
        assert_eq!(bridge::from_polars(frame).unwrap()[0].num_rows(), 1);
    }
}
