//! Whether every value of a column obeys, in one pass that keeps no account: the usual answer is yes.
//!
//! `false` decides nothing: nulls hold some value too, and the slow pass looks at each row.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrowNativeTypeOp, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};

use super::number::{FloatRules, NumberRules};

/// Tells whether every value surely obeys the rules.
pub(super) fn numbers_hold(rules: &NumberRules, array: &dyn Array) -> bool {
    match array.data_type() {
        DataType::Int8 => hold(rules, array.as_primitive::<Int8Type>()),
        DataType::Int16 => hold(rules, array.as_primitive::<Int16Type>()),
        DataType::Int32 => hold(rules, array.as_primitive::<Int32Type>()),
        DataType::Int64 => hold(rules, array.as_primitive::<Int64Type>()),
        DataType::UInt8 => hold(rules, array.as_primitive::<UInt8Type>()),
        DataType::UInt16 => hold(rules, array.as_primitive::<UInt16Type>()),
        DataType::UInt32 => hold(rules, array.as_primitive::<UInt32Type>()),
        DataType::UInt64 => hold(rules, array.as_primitive::<UInt64Type>()),
        DataType::Decimal64(..) => hold(rules, array.as_primitive::<Decimal64Type>()),
        DataType::Decimal128(..) => hold(rules, array.as_primitive::<Decimal128Type>()),
        DataType::Date32 => hold(rules, array.as_primitive::<Date32Type>()),
        DataType::Timestamp(TimeUnit::Millisecond, _) => hold(rules, array.as_primitive::<TimestampMillisecondType>()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => hold(rules, array.as_primitive::<TimestampMicrosecondType>()),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => hold(rules, array.as_primitive::<TimestampNanosecondType>()),
        _ => false,
    }
}

fn hold<T: ArrowPrimitiveType>(rules: &NumberRules, array: &PrimitiveArray<T>) -> bool
where
    T::Native: TryFrom<i128> + Into<i128> + Ord,
{
    let values = array.values();
    let Some((least, greatest)) = bounds::<T::Native>(rules) else { return false };
    // Without an early end, so that it is done with vector instructions.
    let is_inside = values.iter().fold(true, |all, value| all & (*value >= least) & (*value <= greatest));
    is_inside && allowed_hold(rules, values) && steps_hold(rules, values)
}

/// The range in the column's own type; `None` when it holds no value of the type.
fn bounds<N: ArrowNativeTypeOp + TryFrom<i128>>(rules: &NumberRules) -> Option<(N, N)> {
    let within = |bound: i128, open: N, is_open: bool| N::try_from(bound).ok().or(Some(open).filter(|_| is_open));
    let (least, greatest) = rules.range();
    Some((within(least, N::MIN_TOTAL_ORDER, least < 0)?, within(greatest, N::MAX_TOTAL_ORDER, greatest > 0)?))
}

fn allowed_hold<N: Copy + Ord + TryFrom<i128>>(rules: &NumberRules, values: &[N]) -> bool {
    const FEW: usize = 16;
    let Some(allowed) = rules.allowed() else { return true };
    let allowed: Vec<N> = allowed.iter().filter_map(|value| N::try_from(*value).ok()).collect();
    if allowed.len() <= FEW {
        return values.iter().all(|value| allowed.iter().fold(false, |any, allowed| any | (allowed == value)));
    }
    values.iter().all(|value| allowed.binary_search(value).is_ok())
}

fn steps_hold<N: Copy + Into<i128>>(rules: &NumberRules, values: &[N]) -> bool {
    let Some(step) = rules.step() else { return true };
    let Ok(step) = i64::try_from(step) else { return false };
    values.iter().all(|value| i64::try_from((*value).into()).is_ok_and(|value| value.checked_rem(step) == Some(0)))
}

/// Tells whether every value surely obeys the rules.
pub(super) fn floats_hold(rules: &FloatRules, array: &dyn Array) -> bool {
    match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().values().iter().all(|value| rules.holds(f64::from(*value))),
        DataType::Float64 => array.as_primitive::<Float64Type>().values().iter().all(|value| rules.holds(*value)),
        _ => false,
    }
}
