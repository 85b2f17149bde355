//! Integers, floating-point numbers and booleans.

use windrow_core::Code;

use super::digits::up_to_18;

/// Reads an integer: an optional `-` and digits. Leading zeros are allowed, `+`, blanks and separators are not.
///
/// # Errors
/// [`Code::IntegerOverflow`] when it is an integer that the type cannot hold, else [`Code::WrongType`].
#[inline]
pub fn integer<T: TryFrom<i64> + TryFrom<i128>>(text: &[u8]) -> Result<T, Code> {
    let (negative, digits) = split_sign(text);
    if let Some(magnitude) = up_to_18(digits) {
        let value = if negative { -magnitude } else { magnitude };
        return T::try_from(value).map_err(|_| Code::IntegerOverflow);
    }
    long_integer(negative, digits)
}

/// Integers of more than 18 digits, and what is none.
#[cold]
fn long_integer<T: TryFrom<i128>>(negative: bool, digits: &[u8]) -> Result<T, Code> {
    let magnitude = wide(digits).ok_or(if is_digits(digits) { Code::IntegerOverflow } else { Code::WrongType })?;
    T::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| Code::IntegerOverflow)
}

/// Takes an optional minus sign off.
#[inline]
pub(super) fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text),
    }
}

/// Tells whether the text is one digit or more and nothing else.
pub(super) fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// The value of digits, up to what 128 bits hold.
pub(super) fn wide(digits: &[u8]) -> Option<i128> {
    if !is_digits(digits) {
        return None;
    }
    digits.iter().try_fold(0i128, |value, digit| value.checked_mul(10)?.checked_add(i128::from(digit - b'0')))
}

/// Reads a double: `-`, digits, an optional point with digits after it, an optional exponent; correctly rounded.
///
/// # Errors
/// [`Code::NotFinite`] for NaN, infinity and numbers beyond the type's range, else [`Code::WrongType`].
pub fn float64(text: &[u8]) -> Result<f64, Code> {
    let value: f64 = float_text(text)?.parse().map_err(|_| Code::WrongType)?;
    if value.is_finite() { Ok(value) } else { Err(Code::NotFinite) }
}

/// Reads a single-precision number; the same text form as [`float64`], rounded once.
///
/// # Errors
/// As [`float64`].
pub fn float32(text: &[u8]) -> Result<f32, Code> {
    let value: f32 = float_text(text)?.parse().map_err(|_| Code::WrongType)?;
    if value.is_finite() { Ok(value) } else { Err(Code::NotFinite) }
}

/// Checks the text form; `str::parse` alone would also take `+1`, `.5`, `5.` and `infinity`.
fn float_text(text: &[u8]) -> Result<&str, Code> {
    let (_, unsigned) = split_sign(text);
    let after_whole = skip_digits(unsigned);
    let after_fraction = match after_whole {
        [b'.', fraction @ ..] if fraction.first().is_some_and(u8::is_ascii_digit) => skip_digits(fraction),
        _ => after_whole,
    };
    let exponent_is_right = match after_fraction {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => is_digits(exponent),
        _ => false,
    };
    if unsigned.first().is_some_and(u8::is_ascii_digit) && exponent_is_right {
        return std::str::from_utf8(text).map_err(|_| Code::WrongType);
    }
    let word = unsigned.strip_prefix(b"+").unwrap_or(unsigned);
    let not_finite = ["nan", "inf", "infinity"].iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()));
    Err(if not_finite { Code::NotFinite } else { Code::WrongType })
}

fn skip_digits(text: &[u8]) -> &[u8] {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.get(digits..).unwrap_or_default()
}

/// The texts of a boolean, exactly as declared: case counts.
#[derive(Clone, Debug)]
pub struct Booleans {
    tokens: Vec<(Box<[u8]>, bool)>,
}

impl Booleans {
    /// Takes the declared texts.
    pub fn new(true_tokens: &[String], false_tokens: &[String]) -> Self {
        let with = |value: bool| move |token: &String| (token.as_bytes().into(), value);
        Booleans { tokens: true_tokens.iter().map(with(true)).chain(false_tokens.iter().map(with(false))).collect() }
    }

    /// Reads a boolean.
    ///
    /// # Errors
    /// [`Code::WrongType`] when the text is none of the declared ones.
    #[inline]
    pub fn parse(&self, text: &[u8]) -> Result<bool, Code> {
        self.tokens.iter().find(|(token, _)| **token == *text).map(|(_, value)| *value).ok_or(Code::WrongType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_integer_is_refused() {
        for text in
            ["", "-", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "1_000", "1,000", "--1", "１", "12a", "12345678901234567890x"]
        {
            assert_eq!(integer::<i64>(text.as_bytes()), Err(Code::WrongType), "{text}");
        }
    }

    #[test]
    fn an_integer_beyond_the_width_overflows() {
        assert_eq!(integer::<i8>(b"127"), Ok(127));
        assert_eq!(integer::<i8>(b"128"), Err(Code::IntegerOverflow));
        assert_eq!(integer::<u8>(b"-1"), Err(Code::IntegerOverflow));
        assert_eq!(integer::<u64>(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(integer::<u64>(b"18446744073709551616"), Err(Code::IntegerOverflow));
        assert_eq!(integer::<i64>(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(integer::<i64>("9".repeat(60).as_bytes()), Err(Code::IntegerOverflow));
    }

    #[test]
    fn leading_zeros_and_minus_zero_are_integers() {
        assert_eq!(integer::<i32>(b"007"), Ok(7));
        assert_eq!(integer::<u16>(b"-0"), Ok(0));
        assert_eq!(integer::<i16>("0".repeat(60).as_bytes()), Ok(0));
    }

    #[test]
    fn floats_are_finite_and_plain() {
        for (text, value) in [("0", 0.0), ("-1.5", -1.5), ("1e3", 1e3), ("1.25E-2", 0.0125), ("0.1", 0.1)] {
            assert_eq!(float64(text.as_bytes()), Ok(value), "{text}");
        }
        for text in ["NaN", "nan", "inf", "-inf", "Infinity", "+inf", "1e999"] {
            assert_eq!(float64(text.as_bytes()), Err(Code::NotFinite), "{text}");
        }
        for text in ["", ".5", "5.", "+1", "1e", "1e+", "0x1p3", "1_0", "1,5", " 1", "e5", "-", "1.e3"] {
            assert_eq!(float64(text.as_bytes()), Err(Code::WrongType), "{text}");
        }
        assert_eq!((float32(b"1e39"), float32(b"0.1")), (Err(Code::NotFinite), Ok(0.1)));
    }

    #[test]
    fn booleans_are_the_declared_tokens() {
        let tokens = Booleans::new(&["Y".to_owned(), "yes".to_owned()], &["N".to_owned()]);
        assert_eq!((tokens.parse(b"yes"), tokens.parse(b"N")), (Ok(true), Ok(false)));
        assert_eq!((tokens.parse(b"y"), tokens.parse(b"")), (Err(Code::WrongType), Err(Code::WrongType)));
    }

    proptest! {
        #[test]
        fn integers_round_trip(value: i64) {
            prop_assert_eq!(integer::<i64>(value.to_string().as_bytes()), Ok(value));
            prop_assert_eq!(integer::<i32>(value.to_string().as_bytes()).ok(), i32::try_from(value).ok());
            prop_assert_eq!(integer::<u64>(value.to_string().as_bytes()).ok(), u64::try_from(value).ok());
        }

        #[test]
        fn integers_agree_with_std(text in "-?[0-9a]{0,22}") {
            prop_assert_eq!(integer::<i64>(text.as_bytes()).ok(), text.parse::<i64>().ok());
        }

        #[test]
        fn floats_round_trip(value in proptest::num::f64::NORMAL) {
            prop_assert_eq!(float64(format!("{value:e}").as_bytes()), Ok(value));
            prop_assert_eq!(float64(value.to_string().as_bytes()), Ok(value));
        }
    }
}
