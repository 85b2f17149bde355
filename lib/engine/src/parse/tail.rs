//! Short texts, parsed by a few operations on machine words: the common case of every number and date.
//!
//! Each parser here answers `None` for what it does not know, and never another value than the parser of all texts.

use super::digits::{POWERS, two_words};
use super::time::days_of_pairs;

/// A text with the bytes before it: the last 16 bytes of both, loaded by constant offsets from the end.
#[derive(Clone, Copy)]
pub(crate) struct Tail<'a> {
    bytes: &'a [u8; 16],
    length: u32,
}

impl<'a> Tail<'a> {
    /// Takes bytes that end with a text of this length; `None` for fewer than 16.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], length: u32) -> Option<Self> {
        Some(Tail { bytes: bytes.last_chunk::<16>()?, length })
    }

    /// The eight bytes at a place.
    #[inline]
    fn word<const AT: usize>(self) -> u64 {
        self.bytes.get(AT..AT + 8).and_then(<[u8]>::first_chunk::<8>).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// The last 16 bytes of the text, zeros before a shorter one.
    #[inline]
    pub(crate) fn words(self) -> [u64; 2] {
        let [low, high] = KEPT.get(self.length.min(16) as usize).copied().unwrap_or_default();
        [self.word::<0>() & low, self.word::<8>() & high]
    }

    /// Takes an optional minus sign off a text of 1 to 16 bytes: is there one, and how long is the rest.
    #[inline]
    fn unsigned(self) -> Option<(bool, u32)> {
        let first = self.bytes.get(16u32.wrapping_sub(self.length) as usize)?;
        let is_negative = *first == b'-';
        Some((is_negative, self.length - u32::from(is_negative)))
    }

    /// How many digits stand after the point of an unsigned text of this length, at most `scale`; 0 when no point is found.
    #[inline]
    fn places(self, length: u32, scale: u32) -> u32 {
        let is_point = |places: u32| places + 2 <= length && self.bytes.get(15 - places as usize) == Some(&b'.');
        if scale > MOST_PLACES || is_point(scale) {
            return if scale > MOST_PLACES { 0 } else { scale };
        }
        (1..scale).rev().find(|places| is_point(*places)).unwrap_or(0)
    }
}

/// The most digits after a point that are looked for: they leave room for one before it in a word.
const MOST_PLACES: u32 = 7;

/// Which bits of the last 16 bytes belong to a text of each length.
const KEPT: [[u64; 2]; 17] = kept();

const fn kept() -> [[u64; 2]; 17] {
    let mut kept = [[0, u64::MAX]; 17];
    kept[0] = [0, 0];
    let mut length = 1;
    while length < 17 {
        if length < 8 {
            kept[length][1] = u64::MAX << (64 - 8 * length);
        } else if length > 8 {
            kept[length][0] = u64::MAX << (128 - 8 * length);
        }
        length += 1;
    }
    kept
}

/// Reads an integer of up to 16 characters.
#[inline]
pub(crate) fn short_integer(tail: Tail<'_>) -> Option<i64> {
    let (is_negative, length) = tail.unsigned()?;
    let magnitude = two_words(tail.word::<0>(), tail.word::<8>(), length)?;
    Some(if is_negative { -magnitude } else { magnitude })
}

/// Reads a decimal of up to 16 characters as its unscaled integer; the precision is at most 18 digits, or not looked at.
#[inline]
pub(crate) fn short_decimal(tail: Tail<'_>, precision: u8, scale: u8) -> Option<i64> {
    let (is_negative, length) = tail.unsigned()?;
    let places = tail.places(length, u32::from(scale));
    let digits = if places == 0 {
        two_words(tail.word::<0>(), tail.word::<8>(), length)?
    } else {
        // The digits before the point move up over it.
        let fraction = u64::MAX << (64 - 8 * places);
        let high = (tail.word::<8>() & fraction) | (tail.word::<7>() & !fraction);
        two_words(tail.word::<0>() << 8, high, length - 1)?
    };
    let power = POWERS.get(usize::from(scale).checked_sub(places as usize)?)?;
    let magnitude = digits.checked_mul(*power)?;
    let fits = POWERS.get(usize::from(precision)).is_none_or(|limit| magnitude < *limit);
    fits.then_some(if is_negative { -magnitude } else { magnitude })
}

/// Reads `yyyy-MM-dd` as days since 1970-01-01.
#[inline]
pub(crate) fn short_iso_date(tail: Tail<'_>) -> Option<i32> {
    // `yyyy-MM-` and `yy-MM-dd`.
    let (first, last) = (tail.word::<6>(), tail.word::<8>());
    if tail.length != 10 || first & 0xff00_00ff_0000_0000 != 0x2d00_002d_0000_0000 {
        return None;
    }
    days_of_pairs((first & 0xffff_ffff) | ((last << 8) & 0x0000_ffff_0000_0000) | (last & 0xffff_0000_0000_0000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Dates, decimal, integer};
    use proptest::prelude::*;
    use windrow_core::contract::TimePattern;

    fn tail<'a>(block: &'a str, text: &str) -> Option<Tail<'a>> {
        Tail::new(block.as_bytes(), u32::try_from(text.len()).unwrap())
    }

    /// What stands before a text must not matter.
    fn before() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "",
            ",",
            "0123456789012345",
            "1.1.1.1.1.1.1.1,",
            "-,------------.5",
            "\"\u{fffd}9.9.9.9.9.9.9.",
        ])
    }

    #[test]
    fn most_short_texts_are_known() {
        let block = |text: &str| format!("an earlier field,{text}");
        for (text, value) in [("0", 0), ("-7", -7), ("12345678", 12_345_678), ("-123456789012345", -123_456_789_012_345)] {
            assert_eq!(short_integer(tail(&block(text), text).unwrap()), Some(value));
        }
        for (text, value) in
            [("0.04", 4), ("42", 4_200), ("-104949.50", -10_494_950), ("1.5", 150), ("123456789012.34", 12_345_678_901_234)]
        {
            assert_eq!(short_decimal(tail(&block(text), text).unwrap(), 15, 2), Some(value));
        }
        assert_eq!(short_iso_date(tail(&block("1996-02-29"), "1996-02-29").unwrap()), Some(9_555));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn short_integers_agree_with_all(before in before(), text in "-?[0-9]{0,17}|[-0-9a./:]{0,9}") {
            let block = format!("{before}{text}");
            if let Some(value) = tail(&block, &text).and_then(short_integer) {
                prop_assert_eq!(integer::<i64>(text.as_bytes()), Ok(value));
            }
        }

        #[test]
        fn short_decimals_agree_with_all(before in before(), text in "-?[0-9]{0,12}(\\.[0-9]{0,9})?|[-0-9.]{0,9}", precision in 1u8..=38, scale in 0u8..=18) {
            let scale = scale.min(precision);
            let block = format!("{before}{text}");
            if let Some(value) = tail(&block, &text).and_then(|tail| short_decimal(tail, precision, scale)) {
                prop_assert_eq!(decimal(text.as_bytes(), precision, scale), Ok(i128::from(value)), "{}", text);
            }
        }

        #[test]
        fn short_dates_agree_with_all(before in before(), text in "[0-9]{4}-[0-2][0-9]-[0-3][0-9]|[-0-9:]{8,11}|(0000|0001|1900|2000|2023|2024|9999)-02-(28|29|30)") {
            let block = format!("{before}{text}");
            let dates = Dates::new(&TimePattern::parse("yyyy'-'MM'-'dd").unwrap());
            if block.len() >= 16 {
                prop_assert_eq!(tail(&block, &text).and_then(short_iso_date), dates.parse(text.as_bytes()).ok(), "{}", text);
            }
        }

        #[test]
        fn words_are_the_end_of_the_text(before in before(), text in "[a-c]{0,18}") {
            let block = format!("{before}{text}");
            if let Some(tail) = tail(&block, &text) {
                let padded = format!("{:\0>16}", &text[text.len().saturating_sub(16)..]);
                let word = |half: &str| u64::from_le_bytes(half.as_bytes().try_into().unwrap());
                prop_assert_eq!(tail.words(), [word(&padded[..8]), word(&padded[8..])]);
            }
        }
    }
}
