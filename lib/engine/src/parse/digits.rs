//! Runs of ASCII digits, eight at a time in one machine word.

const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The value of 1 to 8 ASCII digits, `None` for anything else.
#[inline]
pub(super) fn up_to_8(digits: &[u8]) -> Option<u64> {
    let word = load(digits)?;
    let shift = 8 * (8 - digits.len());
    let padding = if shift == 0 { 0 } else { ZEROS >> (64 - shift) };
    let values = ((word << shift) | padding) ^ ZEROS;
    if !are_digits(values) {
        return None;
    }
    Some(joined(values))
}

/// The value of the last `count` (1 to 16) bytes of two words, `None` when they are not all digits.
#[inline]
pub(super) fn two_words(low: u64, high: u64, count: u32) -> Option<i64> {
    if count <= 8 {
        return i64::try_from(last_digits(high, count)?).ok();
    }
    let value = last_digits(low, count - 8)? * 100_000_000 + last_digits(high, 8)?;
    i64::try_from(value).ok()
}

/// The value of the last `count` (1 to 8) bytes of a word.
#[inline]
fn last_digits(word: u64, count: u32) -> Option<u64> {
    let kept = u64::MAX.checked_shl(64u32.wrapping_sub(8 * count))?;
    let values = (word ^ ZEROS) & kept;
    are_digits(values).then(|| joined(values))
}

/// Two digits in a byte, as numbers: `yyyyMMdd` becomes century, year, month and day; `None` when a byte is no digit.
#[inline]
pub(super) fn pairs(digits: u64) -> Option<[u8; 4]> {
    let values = digits ^ ZEROS;
    if !are_digits(values) {
        return None;
    }
    let [first, _, second, _, third, _, fourth, _] = values.wrapping_mul(10).wrapping_add(values >> 8).to_le_bytes();
    Some([first, second, third, fourth])
}

/// Tells whether every byte is the value of a digit.
#[inline]
fn are_digits(values: u64) -> bool {
    (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080 == 0
}

/// The number whose eight digits are the bytes.
#[inline]
fn joined(values: u64) -> u64 {
    // Neighbouring digits are joined three times: 8 ones, 4 hundreds, 2 ten-thousands, 1 number.
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let low = (pairs & 0x0000_00FF_0000_00FF).wrapping_mul(0x000F_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00FF_0000_00FF).wrapping_mul(0x0000_2710_0000_0001);
    low.wrapping_add(high) >> 32
}

/// The value of 1 to 18 ASCII digits, `None` for anything else.
#[inline]
pub(super) fn up_to_18(digits: &[u8]) -> Option<i64> {
    if digits.len() <= 8 {
        return up_to_8(digits).and_then(|value| i64::try_from(value).ok());
    }
    if digits.len() > 18 {
        return None;
    }
    let mut value: i64 = 0;
    for group in digits.chunks(8) {
        let power = *POWERS.get(group.len())?;
        value = value * power + i64::try_from(up_to_8(group)?).ok()?;
    }
    Some(value)
}

/// The powers of ten that fit in 64 bits.
pub(super) const POWERS: [i64; 19] = powers();

const fn powers() -> [i64; 19] {
    let mut powers = [1; 19];
    let mut index = 1;
    while index < 19 {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
}

/// Loads 1 to 8 bytes, the first one lowest, by two overlapping reads instead of a loop.
#[inline]
fn load(bytes: &[u8]) -> Option<u64> {
    match bytes.len() {
        8 => bytes.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)),
        4..=7 => {
            let low = u64::from(u32::from_le_bytes(*bytes.first_chunk::<4>()?));
            let high = u64::from(u32::from_le_bytes(*bytes.last_chunk::<4>()?));
            Some(low | (high << (8 * (bytes.len() - 4))))
        }
        2..=3 => {
            let low = u64::from(u16::from_le_bytes(*bytes.first_chunk::<2>()?));
            let high = u64::from(u16::from_le_bytes(*bytes.last_chunk::<2>()?));
            Some(low | (high << (8 * (bytes.len() - 2))))
        }
        1 => bytes.first().map(|byte| u64::from(*byte)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_its_value() {
        let digits = b"907856341234567890";
        for length in 1..=18 {
            let text = std::str::from_utf8(&digits[..length]).unwrap();
            assert_eq!(up_to_18(text.as_bytes()), text.parse().ok(), "{text}");
        }
        assert_eq!((up_to_18(b""), up_to_18(b"1234567890123456789")), (None, None));
    }

    #[test]
    fn one_wrong_byte_anywhere_is_seen() {
        for length in 1..=18 {
            for position in 0..length {
                for byte in (0..=255u8).filter(|byte| !byte.is_ascii_digit()) {
                    let mut text = vec![b'5'; length];
                    text[position] = byte;
                    assert_eq!(up_to_18(&text), None, "{text:?}");
                }
            }
        }
    }
}
