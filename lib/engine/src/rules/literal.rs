//! Literals of contracts (bounds, steps, allowed values) as values of a declared type.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use windrow_core::contract::DataType;

use crate::numbers::ticks_per_second;
use crate::schema::arrow_unit;

/// The literal as the exact number behind the type: an integer, an unscaled decimal, days or ticks since 1970; `None` when it is not
/// a value of the type or the type is not an exact number.
pub(crate) fn number(text: &str, data_type: &DataType) -> Option<i128> {
    match data_type {
        DataType::Integer { bits, signed } => integer(text).filter(|value| fits(*value, *bits, *signed)),
        DataType::Decimal { precision, scale } => decimal(text, *precision, *scale),
        DataType::Date { .. } => days(text),
        DataType::Timestamp { unit, instant, .. } => {
            let nanoseconds = if *instant { instant_nanoseconds(text) } else { local_nanoseconds(text) }?;
            let tick = 1_000_000_000 / ticks_per_second(arrow_unit(*unit));
            let ticks = (nanoseconds % tick == 0).then_some(nanoseconds / tick)?;
            i64::try_from(ticks).is_ok().then_some(ticks)
        }
        _ => None,
    }
}

/// The literal as a finite float of the declared width.
pub(crate) fn float(text: &str, bits: u8) -> Option<f64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return None;
    }
    let value = if bits == 32 { text.parse::<f32>().map(f64::from) } else { text.parse::<f64>() };
    value.ok().filter(|value| value.is_finite())
}

/// The least and the greatest value of the type behind an integer of this width.
fn fits(value: i128, bits: u8, signed: bool) -> bool {
    let half = 1_i128 << (bits.clamp(1, 64) - 1);
    if signed { (-half..half).contains(&value) } else { (0..half * 2).contains(&value) }
}

fn integer(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A decimal without exponent; zeros beyond the scale are no digits.
fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if whole.is_empty() || fraction.is_empty() {
        return None;
    }
    let scale = usize::from(scale);
    let kept = fraction.trim_end_matches('0');
    if kept.len() > scale {
        return None;
    }
    let unscaled: i128 = integer(&format!("{whole}{kept:0<scale$}")).filter(|_| !whole.starts_with('-'))?;
    let below = 10_i128.checked_pow(u32::from(precision))?;
    (unscaled < below).then_some(if negative { -unscaled } else { unscaled })
}

fn days(text: &str) -> Option<i128> {
    let date: Date = (text.len() == 10).then(|| text.parse().ok()).flatten()?;
    let epoch = Date::new(1970, 1, 1).ok()?;
    epoch.until(date).ok().map(|span| i128::from(span.get_days()))
}

fn local_nanoseconds(text: &str) -> Option<i128> {
    let (date, time) = text.split_once('T')?;
    let plain = time.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
    let local: DateTime = (date.len() == 10 && plain).then(|| text.parse().ok()).flatten()?;
    TimeZone::UTC.to_timestamp(local).ok().map(Timestamp::as_nanosecond)
}

fn instant_nanoseconds(text: &str) -> Option<i128> {
    let (date, _) = text.split_once('T')?;
    let instant: Timestamp = (date.len() == 10).then(|| text.parse().ok()).flatten()?;
    Some(instant.as_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_core::contract::{TimePattern, TimeUnit};

    fn date() -> DataType {
        DataType::Date { pattern: TimePattern::parse("dd/MM/yyyy").unwrap() }
    }

    fn timestamp(unit: TimeUnit, instant: bool) -> DataType {
        let pattern = TimePattern::parse(TimePattern::LOCAL).unwrap();
        DataType::Timestamp { unit, instant, default_zone: None, pattern }
    }

    #[test]
    fn integers_are_bounded_by_their_width() {
        let byte = DataType::Integer { bits: 8, signed: true };
        let cases =
            [("127", Some(127)), ("-128", Some(-128)), ("128", None), ("1.0", None), ("+1", None), ("", None), ("-", None)];
        for (text, expected) in cases {
            assert_eq!(number(text, &byte), expected, "{text}");
        }
        let wide = DataType::Integer { bits: 64, signed: false };
        assert_eq!(number("18446744073709551615", &wide), Some(u64::MAX.into()));
        assert_eq!(number("-1", &wide), None);
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let money = DataType::Decimal { precision: 5, scale: 2 };
        let cases = [
            ("1.5", Some(150)),
            ("-0.05", Some(-5)),
            ("999.99", Some(99_999)),
            ("1000", None),
            ("1.500", Some(150)),
            ("1.505", None),
            ("1e2", None),
            (".5", None),
            ("5.", None),
            ("--5", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text, &money), expected, "{text}");
        }
    }

    #[test]
    fn dates_and_times_are_iso() {
        assert_eq!(number("1970-01-02", &date()), Some(1));
        assert_eq!(number("1969-12-31", &date()), Some(-1));
        for text in ["02/01/1970", "1970-02-30", "1970-1-2", "1970-01-02T00"] {
            assert_eq!(number(text, &date()), None, "{text}");
        }
        let local = timestamp(TimeUnit::Milli, false);
        assert_eq!(number("1970-01-01T00:00:01.5", &local), Some(1_500));
        for text in ["1970-01-01T00:00:01.0005", "1970-01-01T00:00:01Z", "1970-01-01", "1970-01-01T00:00:01+01:00"] {
            assert_eq!(number(text, &local), None, "{text}");
        }
        let instant = timestamp(TimeUnit::Nano, true);
        assert_eq!(number("1970-01-01T01:00:00+01:00", &instant), Some(0));
        assert_eq!(number("1970-01-01T01:00:00", &instant), None);
        assert_eq!(number("2300-01-01T00:00:00Z", &instant), None, "beyond what nanoseconds reach");
    }

    #[test]
    fn floats_are_finite() {
        assert_eq!(float("1e3", 64), Some(1000.0));
        for text in ["NaN", "inf", "1e999", "0x1", ""] {
            assert_eq!(float(text, 64), None, "{text}");
        }
    }
}
