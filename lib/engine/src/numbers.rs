//! The integers behind arrays: every exact numeric type (integer, decimal, date, timestamp) seen as `i128`.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};

/// Applies a macro to the Arrow type of an array of exact numbers.
macro_rules! by_type {
    ($array:expr, $with:ident, $otherwise:expr) => {
        match $array.data_type() {
            DataType::Int8 => $with!(Int8Type),
            DataType::Int16 => $with!(Int16Type),
            DataType::Int32 => $with!(Int32Type),
            DataType::Int64 => $with!(Int64Type),
            DataType::UInt8 => $with!(UInt8Type),
            DataType::UInt16 => $with!(UInt16Type),
            DataType::UInt32 => $with!(UInt32Type),
            DataType::UInt64 => $with!(UInt64Type),
            DataType::Decimal32(..) => $with!(Decimal32Type),
            DataType::Decimal64(..) => $with!(Decimal64Type),
            DataType::Decimal128(..) => $with!(Decimal128Type),
            DataType::Date32 => $with!(Date32Type),
            DataType::Timestamp(TimeUnit::Second, _) => $with!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => $with!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => $with!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $with!(TimestampNanosecondType),
            _ => $otherwise,
        }
    };
}

/// Shows every value of an array to `see`, with its row, nulls left out: integers as they are, decimals unscaled, dates as days and
/// timestamps as ticks since 1970. Answers `false`, having shown nothing, for an array of another type.
pub(crate) fn each_number(array: &dyn Array, see: impl FnMut(usize, i128)) -> bool {
    macro_rules! with {
        ($type:ty) => {
            each(array.as_primitive::<$type>(), see)
        };
    }
    by_type!(array, with, return false);
    true
}

/// The least and greatest number of an array, nulls left out; `None` inside for no number at all, outside for another type.
pub(crate) fn number_bounds(array: &dyn Array) -> Option<Option<(i128, i128)>> {
    macro_rules! with {
        ($type:ty) => {
            bounds(array.as_primitive::<$type>())
        };
    }
    Some(by_type!(array, with, return None))
}

fn bounds<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Option<(i128, i128)>
where
    i128: From<T::Native>,
    T::Native: Ord,
{
    let (least, greatest) = match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        // Two plain folds, which the compiler does many values at a time.
        None => (array.values().iter().copied().min()?, array.values().iter().copied().max()?),
        Some(_) => (array.iter().flatten().min()?, array.iter().flatten().max()?),
    };
    Some((i128::from(least), i128::from(greatest)))
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
