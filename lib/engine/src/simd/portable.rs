//! The same bits in 64-bit machine words, on any machine.

use super::{Masks, Needles, Words};

pub(super) fn run(needles: Needles, words: impl Words) {
    words.run(|word| masks(word, needles));
}

pub(super) fn masks(word: &[u8; 64], needles: Needles) -> Masks {
    let newlines = matches(word, b'\n');
    let delimiters = needles.delimiter.map_or(0, |delimiter| matches(word, delimiter));
    // Quotes and CRs are rare: one look for any of them costs less than their masks.
    let quote = needles.quote.unwrap_or(b'\r');
    let is_special = word.iter().fold(0, |any, byte| any | u8::from(*byte == quote) | u8::from(*byte == b'\r'));
    if is_special == 0 {
        return Masks { delimiters, newlines, quotes: 0, returns: 0 };
    }
    let quotes = needles.quote.map_or(0, |quote| matches(word, quote));
    Masks { delimiters, newlines, quotes, returns: matches(word, b'\r') }
}

/// One bit for each of 64 bytes: is it this byte? Eight bytes at a time in a machine word.
#[inline]
fn matches(word: &[u8; 64], byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let pattern = u64::from(byte).wrapping_mul(0x0101_0101_0101_0101);
    let mut bits = 0;
    for (lane, bytes) in word.as_chunks::<8>().0.iter().enumerate() {
        let difference = u64::from_le_bytes(*bytes) ^ pattern;
        let equal = !(((difference & LOW) + LOW) | difference | LOW);
        // The eight high bits are gathered into one byte by a multiplication.
        bits |= ((equal >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * lane);
    }
    bits
}

/// Each bit becomes the parity of itself and all lower bits: all ones between an opening and its closing quote.
#[inline(always)]
pub(crate) fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}
