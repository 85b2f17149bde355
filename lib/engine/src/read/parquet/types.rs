//! Which Parquet types hold exactly a declared type, perhaps narrower.

use std::sync::Arc;

use arrow_schema::{DataType as Arrow, Field, TimeUnit};

/// Tells whether every value of `from` is a value of `to`. Nullability is checked on the values.
pub(super) fn widens(from: &Arrow, to: &Arrow) -> bool {
    match (from, to) {
        (Arrow::Decimal128(from_digits, from_scale), Arrow::Decimal128(digits, scale)) => {
            let whole = |digits: &u8, scale: &i8| i16::from(*digits) - i16::from(*scale);
            scale >= from_scale && whole(digits, scale) >= whole(from_digits, from_scale)
        }
        (Arrow::Timestamp(from_unit, from_zone), Arrow::Timestamp(unit, zone)) => {
            from_zone.is_some() == zone.is_some() && resolution(from_unit) <= resolution(unit)
        }
        (Arrow::Struct(from), Arrow::Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| from.name() == to.name() && widens(from.data_type(), to.data_type()))
        }
        (Arrow::List(from), Arrow::List(to)) => widens(from.data_type(), to.data_type()),
        (Arrow::Float32, Arrow::Float64) => true,
        _ => from == to || integer_widens(from, to),
    }
}

fn integer_widens(from: &Arrow, to: &Arrow) -> bool {
    match (integer(from), integer(to)) {
        (Some((from_bits, from_signed)), Some((bits, signed))) if from_signed == signed => from_bits <= bits,
        (Some((from_bits, false)), Some((bits, true))) => from_bits < bits,
        _ => false,
    }
}

fn integer(data_type: &Arrow) -> Option<(u8, bool)> {
    match data_type {
        Arrow::Int8 => Some((8, true)),
        Arrow::Int16 => Some((16, true)),
        Arrow::Int32 => Some((32, true)),
        Arrow::Int64 => Some((64, true)),
        Arrow::UInt8 => Some((8, false)),
        Arrow::UInt16 => Some((16, false)),
        Arrow::UInt32 => Some((32, false)),
        Arrow::UInt64 => Some((64, false)),
        _ => None,
    }
}

fn resolution(unit: &TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// The type with every child nullable: a file may hold nulls where none are allowed, and each is a violation.
pub(super) fn relaxed(data_type: &Arrow) -> Arrow {
    let relax = |field: &Arc<Field>| Arc::new(Field::new(field.name(), relaxed(field.data_type()), true));
    match data_type {
        Arrow::Struct(fields) => Arrow::Struct(fields.iter().map(relax).collect()),
        Arrow::List(item) => Arrow::List(relax(item)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lossless_changes_are_widenings() {
        let utc = |unit| Arrow::Timestamp(unit, Some("UTC".into()));
        for (from, to) in [
            (Arrow::Int32, Arrow::Int64),
            (Arrow::UInt32, Arrow::Int64),
            (Arrow::Float32, Arrow::Float64),
            (Arrow::Decimal128(9, 2), Arrow::Decimal128(11, 4)),
            (utc(TimeUnit::Millisecond), utc(TimeUnit::Microsecond)),
        ] {
            assert!(widens(&from, &to) && !widens(&to, &from), "{from} {to}");
        }
        for (from, to) in [
            (Arrow::UInt64, Arrow::Int64),
            (Arrow::Int32, Arrow::UInt64),
            (Arrow::Int32, Arrow::Float64),
            (Arrow::Decimal128(9, 2), Arrow::Decimal128(9, 4)),
            (utc(TimeUnit::Millisecond), Arrow::Timestamp(TimeUnit::Millisecond, None)),
            (Arrow::Binary, Arrow::Utf8),
            (Arrow::Float64, Arrow::Decimal128(15, 2)),
        ] {
            assert!(!widens(&from, &to), "{from} {to}");
        }
    }
}
