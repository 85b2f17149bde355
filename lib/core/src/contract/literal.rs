//! Literals of declared types as they stand in contracts: bounds and allowed values.
//!
//! Numbers are plain decimal notation, dates `yyyy-MM-dd`, timestamps `yyyy-MM-ddTHH:mm:ss[.fraction]` with an offset
//! (`Z` or `±hh:mm`) exactly when the type is an instant.

use super::data_type::DataType;

/// Checks that a text is a value of the type.
///
/// # Errors
/// A sentence saying what is wrong.
pub fn check(data_type: &DataType, text: &str) -> Result<(), String> {
    match data_type {
        DataType::Integer { bits, signed } => integer(text, *bits, *signed),
        DataType::Decimal { precision, scale } => {
            decimal_units(text, *precision, *scale).map(|_| ()).ok_or_else(|| format!("not a decimal({precision},{scale})"))
        }
        DataType::Float { .. } => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => Err("not a finite number".to_owned()),
        },
        DataType::Date { .. } => match text.parse::<jiff::civil::Date>() {
            Ok(date) if text.len() == 10 && date.to_string() == text => Ok(()),
            _ => Err("not a date (yyyy-MM-dd)".to_owned()),
        },
        DataType::Timestamp { instant: true, .. } => {
            text.parse::<jiff::Timestamp>().map(|_| ()).map_err(|_| "not an instant (yyyy-MM-ddTHH:mm:ssZ)".to_owned())
        }
        DataType::Timestamp { .. } => {
            let has_offset = text.ends_with('Z');
            let parsed = text.parse::<jiff::civil::DateTime>().ok().filter(|_| !has_offset);
            parsed.map(|_| ()).ok_or_else(|| "not a local timestamp (yyyy-MM-ddTHH:mm:ss)".to_owned())
        }
        DataType::Boolean { true_tokens, false_tokens } => {
            let known = true_tokens.iter().chain(false_tokens).any(|token| token == text);
            if known { Ok(()) } else { Err("not one of the boolean tokens".to_owned()) }
        }
        DataType::String { .. } => Ok(()),
        DataType::Struct(_) | DataType::List(_) => Err("an object or array has no bounds".to_owned()),
    }
}

fn integer(text: &str, bits: u8, signed: bool) -> Result<(), String> {
    let number: i128 = text.parse().map_err(|_| "not a whole number".to_owned())?;
    let (least, most) = if signed { (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1) } else { (0, (1_i128 << bits) - 1) };
    if (least..=most).contains(&number) { Ok(()) } else { Err(format!("out of the type's range {least} to {most}")) }
}

/// Reads plain decimal notation as units of 10^-scale; `None` when it is no number or does not fit exactly.
pub fn decimal_units(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || digits.ends_with('.') || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let scale = usize::from(scale);
    let (kept, cut) = fraction.split_at(fraction.len().min(scale));
    if cut.bytes().any(|b| b != b'0') {
        return None;
    }
    let text = format!("{whole}{kept:0<scale$}");
    let significant = text.trim_start_matches('0');
    if significant.len() > usize::from(precision) {
        return None;
    }
    let units: i128 = if significant.is_empty() { 0 } else { significant.parse().ok()? };
    Some(if negative { -units } else { units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_fit_exactly_or_not_at_all() {
        assert_eq!(decimal_units("-12.5", 15, 2), Some(-1250));
        assert_eq!(decimal_units("12.500", 15, 2), Some(1250));
        assert_eq!(decimal_units("12.505", 15, 2), None);
        assert_eq!(decimal_units("99999999999999.99", 15, 2), None);
        assert_eq!(decimal_units(&"9".repeat(38), 38, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(decimal_units("1e3", 15, 2), None);
    }

    #[test]
    fn bounds_must_be_values_of_the_type() {
        let int8 = DataType::Integer { bits: 8, signed: true };
        assert!(check(&int8, "-128").is_ok() && check(&int8, "128").is_err() && check(&int8, "1.0").is_err());
        let date = DataType::Date { pattern: super::super::TimePattern::parse("yyyyMMdd").unwrap() };
        assert!(check(&date, "2024-02-29").is_ok() && check(&date, "2023-02-29").is_err() && check(&date, "20240229").is_err());
    }
}
