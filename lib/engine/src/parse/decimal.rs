//! Decimals, exactly: never through a floating-point number, never rounded.

use windrow_core::Code;

use super::digits::{POWERS, up_to_18};
use super::number::{is_digits, split_sign, wide};

/// Reads a decimal as its unscaled integer: an optional `-`, digits, and optionally a point with digits after it.
///
/// Digits after the scale are taken only when they are zeros, because dropping them loses nothing; leading zeros do
/// not count as digits. There is no exponent, no `+`, and no bare point (`.5`, `5.`).
///
/// # Errors
/// [`Code::DecimalDigits`] when there are more digits before or after the point than the type holds, else
/// [`Code::WrongType`].
#[inline]
pub fn decimal(text: &[u8], precision: u8, scale: u8) -> Result<i128, Code> {
    let (negative, unsigned) = split_sign(text);
    let (whole, fraction) = split_point(unsigned, usize::from(scale));
    let magnitude = match small(whole, fraction, precision, scale) {
        Some(magnitude) => i128::from(magnitude),
        None => large(whole, fraction, precision, scale)?,
    };
    Ok(if negative { -magnitude } else { magnitude })
}

/// Splits at the point; `None` after it when there is no point. The usual place is tried first.
#[inline]
fn split_point(text: &[u8], scale: usize) -> (&[u8], Option<&[u8]>) {
    let usual = text.len().checked_sub(scale + 1).filter(|place| text.get(*place) == Some(&b'.'));
    let Some(place) = usual.or_else(|| text.iter().position(|byte| *byte == b'.')) else {
        return (text, None);
    };
    let (whole, rest) = text.split_at_checked(place).unwrap_or((text, b"."));
    (whole, rest.get(1..))
}

/// The common case: everything fits in 18 digits. `None` sends the text the long way.
#[inline]
fn small(whole: &[u8], fraction: Option<&[u8]>, precision: u8, scale: u8) -> Option<i64> {
    let scale = usize::from(scale);
    if whole.len() + scale > 18 {
        return None;
    }
    let units = up_to_18(whole)? * POWERS.get(scale)?;
    let value = match fraction {
        None => units,
        Some(fraction) => units + up_to_18(fraction)? * POWERS.get(scale.checked_sub(fraction.len())?)?,
    };
    let fits = POWERS.get(usize::from(precision)).is_none_or(|limit| value < *limit);
    fits.then_some(value)
}

/// Every case, digit by digit.
#[cold]
fn large(whole: &[u8], fraction: Option<&[u8]>, precision: u8, scale: u8) -> Result<i128, Code> {
    if !is_digits(whole) || !fraction.is_none_or(is_digits) {
        return Err(Code::WrongType);
    }
    let whole = trim(whole, |digits| digits.strip_prefix(b"0"));
    let fraction = trim(fraction.unwrap_or_default(), |digits| digits.strip_suffix(b"0"));
    let missing = usize::from(scale).checked_sub(fraction.len()).ok_or(Code::DecimalDigits)?;
    if whole.len() > usize::from(precision.saturating_sub(scale)) {
        return Err(Code::DecimalDigits);
    }
    let value = |digits: &[u8]| if digits.is_empty() { Some(0) } else { wide(digits) };
    let power = |exponent: usize| u32::try_from(exponent).ok().and_then(|exponent| 10i128.checked_pow(exponent));
    let unscaled =
        || value(whole)?.checked_mul(power(usize::from(scale))?)?.checked_add(value(fraction)?.checked_mul(power(missing)?)?);
    unscaled().ok_or(Code::DecimalDigits)
}

fn trim(digits: &[u8], strip: impl Fn(&[u8]) -> Option<&[u8]>) -> &[u8] {
    let mut rest = digits;
    while let Some(shorter) = strip(rest) {
        rest = shorter;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_exact() {
        let cases = [
            ("12.34", 4, 2, 1234),
            ("-0.05", 3, 2, -5),
            ("7", 3, 2, 700),
            ("7.5", 3, 2, 750),
            ("0", 1, 0, 0),
            ("00012.30", 4, 2, 1230),
            ("1.2300", 3, 2, 123),
            ("5.00", 1, 0, 5),
            ("-9", 1, 0, -9),
            ("-0.00", 3, 2, 0),
        ];
        for (text, precision, scale, unscaled) in cases {
            assert_eq!(decimal(text.as_bytes(), precision, scale), Ok(unscaled), "{text}");
        }
        let widest = "9".repeat(38);
        assert_eq!(decimal(widest.as_bytes(), 38, 0), Ok(10i128.pow(38) - 1));
        assert_eq!(decimal(format!("-0.{widest}").as_bytes(), 38, 38), Ok(1 - 10i128.pow(38)));
    }

    #[test]
    fn digits_that_do_not_fit_are_refused() {
        for (text, precision, scale) in [
            ("1.239", 15, 2),
            ("123.45", 4, 2),
            ("10", 1, 0),
            ("0.001", 38, 2),
            ("1000000", 6, 0),
            ("1.0000000000000000000000000000000000000001", 38, 2),
        ] {
            assert_eq!(decimal(text.as_bytes(), precision, scale), Err(Code::DecimalDigits), "{text}");
        }
        assert_eq!(decimal("1".repeat(39).as_bytes(), 38, 0), Err(Code::DecimalDigits));
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in ["", "-", ".", ".5", "5.", "1e3", "+1", "1,50", "1.2.3", " 1", "NaN", "1.-2", "--1", "12.3x", "12_3"] {
            assert_eq!(decimal(text.as_bytes(), 15, 2), Err(Code::WrongType), "{text}");
        }
    }

    proptest! {
        #[test]
        fn decimals_round_trip(unscaled in -(10i128.pow(38) - 1)..10i128.pow(38), scale in 0u8..=38) {
            let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = usize::from(scale) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
            let sign = if unscaled < 0 { "-" } else { "" };
            let text = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
            prop_assert_eq!(decimal(text.as_bytes(), 38, scale), Ok(unscaled));
        }

        #[test]
        fn both_ways_agree(text in "-?[0-9]{0,12}(\\.[0-9]{0,6})?", precision in 1u8..=18, scale in 0u8..=4) {
            let scale = scale.min(precision);
            let (negative, unsigned) = split_sign(text.as_bytes());
            let (whole, fraction) = split_point(unsigned, usize::from(scale));
            let long = large(whole, fraction, precision, scale).map(|value| if negative { -value } else { value });
            prop_assert_eq!(decimal(text.as_bytes(), precision, scale), long);
        }
    }
}
