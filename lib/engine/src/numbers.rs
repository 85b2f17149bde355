//! The integers behind arrays: every exact numeric type (integer, decimal, date, timestamp) seen as `i128`.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};

/// Shows every value of an array to `see`, with its row, nulls left out: integers as they are, decimals unscaled, dates as days and
/// timestamps as ticks since 1970. Answers `false`, having shown nothing, for an array of another type.
pub(crate) fn each_number(array: &dyn Array, see: impl FnMut(usize, i128)) -> bool {
    match array.data_type() {
        DataType::Int8 => each(array.as_primitive::<Int8Type>(), see),
        DataType::Int16 => each(array.as_primitive::<Int16Type>(), see),
        DataType::Int32 => each(array.as_primitive::<Int32Type>(), see),
        DataType::Int64 => each(array.as_primitive::<Int64Type>(), see),
        DataType::UInt8 => each(array.as_primitive::<UInt8Type>(), see),
        DataType::UInt16 => each(array.as_primitive::<UInt16Type>(), see),
        DataType::UInt32 => each(array.as_primitive::<UInt32Type>(), see),
        DataType::UInt64 => each(array.as_primitive::<UInt64Type>(), see),
        DataType::Decimal32(..) => each(array.as_primitive::<Decimal32Type>(), see),
        DataType::Decimal64(..) => each(array.as_primitive::<Decimal64Type>(), see),
        DataType::Decimal128(..) => each(array.as_primitive::<Decimal128Type>(), see),
        DataType::Date32 => each(array.as_primitive::<Date32Type>(), see),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => each(array.as_primitive::<TimestampSecondType>(), see),
            TimeUnit::Millisecond => each(array.as_primitive::<TimestampMillisecondType>(), see),
            TimeUnit::Microsecond => each(array.as_primitive::<TimestampMicrosecondType>(), see),
            TimeUnit::Nanosecond => each(array.as_primitive::<TimestampNanosecondType>(), see),
        },
        _ => return false,
    }
    true
}

fn each<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, mut see: impl FnMut(usize, i128))
where
    i128: From<T::Native>,
{
    let values = array.values().iter().enumerate();
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => values.for_each(|(row, value)| see(row, i128::from(*value))),
        Some(nulls) => {
            let kept = values.zip(nulls.iter()).filter(|(_, valid)| *valid);
            kept.for_each(|((row, value), _)| see(row, i128::from(*value)));
        }
    }
}

/// How many ticks of a unit are one second.
pub(crate) fn ticks_per_second(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
