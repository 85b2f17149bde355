//! Values as people read them: decimals with their point, dates and times in ISO 8601, floats in the shortest exact form.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use windrow_core::contract::{DataType as Declared, Property};
use windrow_core::violation::MAX_VALUE_BYTES;

use crate::numbers::{each_number, ticks_per_second};

/// What stands in messages and evidence for a value that may not be shown.
pub(crate) const MASK: &str = "***";

/// The value of a row as text; `None` for null.
pub(crate) fn value_text(array: &dyn Array, row: usize) -> Option<String> {
    if row >= array.len() || array.is_null(row) {
        return None;
    }
    let one = array.slice(row, 1);
    let mut number = None;
    if !matches!(array.data_type(), DataType::Decimal32(..) | DataType::Decimal64(..))
        && each_number(&one, |_, value| number = Some(value))
    {
        return number.map(|number| number_text(number, array.data_type()));
    }
    if let Some(text) = one.as_string_opt::<i32>() {
        return text.iter().next().flatten().map(str::to_owned);
    }
    let shown = ArrayFormatter::try_new(&one, &FormatOptions::default()).and_then(|formatter| formatter.value(0).try_to_string());
    shown.ok()
}

/// The value of a row as it may stand in a message: masked unless the contract calls it public, and bounded in length.
pub(crate) fn shown_value(property: &Property, array: &dyn Array, row: usize) -> Option<String> {
    let text = value_text(array, row)?;
    if !may_be_shown(property) {
        return Some(MASK.to_owned());
    }
    let end = text.floor_char_boundary(MAX_VALUE_BYTES.min(text.len()));
    text.get(..end).map(str::to_owned)
}

/// Tells whether neither the property nor anything inside it is classified.
pub(crate) fn may_be_shown(property: &Property) -> bool {
    let inside = match &property.data_type {
        Declared::Struct(fields) => fields.iter().all(may_be_shown),
        Declared::List(item) => may_be_shown(item),
        _ => true,
    };
    inside && property.may_be_shown()
}

/// The number behind an exact type (see [`each_number`]) as text.
pub(crate) fn number_text(number: i128, data_type: &DataType) -> String {
    let text = match data_type {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            Some(decimal_text(number, *scale))
        }
        DataType::Date32 => date_text(number),
        DataType::Timestamp(unit, zone) => timestamp_text(number, *unit, zone.is_some()),
        _ => None,
    };
    text.unwrap_or_else(|| number.to_string())
}

fn decimal_text(number: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    let sign = if number < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn date_text(days: i128) -> Option<String> {
    let span = Span::new().try_days(i64::try_from(days).ok()?).ok()?;
    Date::new(1970, 1, 1).ok()?.checked_add(span).ok().map(|date| date.to_string())
}

fn timestamp_text(ticks: i128, unit: TimeUnit, instant: bool) -> Option<String> {
    let nanoseconds = ticks.checked_mul(1_000_000_000 / ticks_per_second(unit))?;
    let timestamp = Timestamp::from_nanosecond(nanoseconds).ok()?;
    Some(if instant { timestamp.to_string() } else { TimeZone::UTC.to_datetime(timestamp).to_string() })
}

/// Days since 1970 of a calendar date.
pub(crate) fn days_since_epoch(date: Date) -> i32 {
    let midnight = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).map_or(0, Timestamp::as_second);
    i32::try_from(midnight.div_euclid(24 * 60 * 60)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_contracts::{TEXT, property};
    use arrow_array::{Date32Array, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray};

    #[test]
    fn values_read_as_people_write_them() {
        let decimals = Decimal128Array::from(vec![5, -5, 12_345, 0]).with_precision_and_scale(9, 2).unwrap();
        let shown: Vec<_> = (0..4).filter_map(|row| value_text(&decimals, row)).collect();
        assert_eq!(shown, ["0.05", "-0.05", "123.45", "0.00"]);
        assert_eq!(value_text(&Date32Array::from(vec![-1]), 0).unwrap(), "1969-12-31");
        assert_eq!(value_text(&Date32Array::from(vec![i32::MAX]), 0).unwrap(), "2147483647", "beyond the calendar");
        let times = TimestampMicrosecondArray::from(vec![1_500_000]);
        assert_eq!(value_text(&times, 0).unwrap(), "1970-01-01T00:00:01.5");
        assert_eq!(value_text(&times.with_timezone("UTC"), 0).unwrap(), "1970-01-01T00:00:01.5Z");
        assert_eq!(value_text(&Float64Array::from(vec![0.1]), 0).unwrap(), "0.1");
        assert_eq!(value_text(&StringArray::from(vec![None::<&str>]), 0), None);
    }

    #[test]
    fn classified_values_are_masked_and_long_ones_cut() {
        let array = StringArray::from(vec!["é".repeat(MAX_VALUE_BYTES)]);
        let mut column = property("x", TEXT);
        assert_eq!(shown_value(&column, &array, 0).unwrap().len(), MAX_VALUE_BYTES);
        column.classification = Some("restricted".to_owned());
        assert_eq!(shown_value(&column, &array, 0).unwrap(), MASK);
        let object = property("o", Declared::Struct(vec![column]));
        assert!(!may_be_shown(&object));
    }

    #[test]
    fn dates_count_from_1970() {
        assert_eq!(days_since_epoch(Date::new(1969, 12, 31).unwrap()), -1);
        assert_eq!(days_since_epoch(Date::new(2024, 2, 29).unwrap()), 19_782);
    }
}
