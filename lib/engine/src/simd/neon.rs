//! The bits by NEON, 16 bytes an instruction. Every machine of this architecture has it, so nothing is detected.

use std::arch::aarch64::{
    uint8x16_t, vandq_u8, vceqq_u8, vcombine_u8, vcreate_u8, vdupq_n_u8, vgetq_lane_u64, vpaddq_u8, vreinterpretq_u64_u8,
};

use super::portable::prefix_xor;
use super::{Masks, Needles, Words};

/// The bit of each byte among its eight.
const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];

#[target_feature(enable = "neon")]
pub(super) fn run(needles: Needles, words: impl Words) {
    // A needle that is not looked for is compared all the same, and its bits are dropped.
    let kept = |needle: Option<u8>| if needle.is_some() { u64::MAX } else { 0 };
    let (delimiter, delimiters_kept) = (vdupq_n_u8(needles.delimiter.unwrap_or(0)), kept(needles.delimiter));
    let (quote, quotes_kept) = (vdupq_n_u8(needles.quote.unwrap_or(0)), kept(needles.quote));
    let (newline, carriage_return, bits) = (vdupq_n_u8(b'\n'), vdupq_n_u8(b'\r'), load(&BITS));
    let masks = |word: &[u8; 64]| {
        let quarters = load_all(word);
        Masks {
            delimiters: equal(quarters, delimiter, bits) & delimiters_kept,
            newlines: equal(quarters, newline, bits),
            quotes: equal(quarters, quote, bits) & quotes_kept,
            returns: equal(quarters, carriage_return, bits),
        }
    };
    words.run(masks, prefix_xor);
}

#[inline]
#[target_feature(enable = "neon")]
fn load(bytes: &[u8; 16]) -> uint8x16_t {
    let eights = bytes.as_chunks::<8>().0;
    let eight = |index: usize| vcreate_u8(eights.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes)));
    vcombine_u8(eight(0), eight(1))
}

#[inline]
#[target_feature(enable = "neon")]
fn load_all(word: &[u8; 64]) -> [uint8x16_t; 4] {
    let quarters = word.as_chunks::<16>().0;
    let quarter = |index: usize| load(quarters.get(index).unwrap_or(&[0; 16]));
    [quarter(0), quarter(1), quarter(2), quarter(3)]
}

/// Keeps of each equal byte its own bit, and adds neighbours three times, until eight bytes are one.
#[inline]
#[target_feature(enable = "neon")]
fn equal([first, second, third, fourth]: [uint8x16_t; 4], byte: uint8x16_t, bits: uint8x16_t) -> u64 {
    let own = |quarter| vandq_u8(vceqq_u8(quarter, byte), bits);
    let low = vpaddq_u8(own(first), own(second));
    let high = vpaddq_u8(own(third), own(fourth));
    let all = vpaddq_u8(low, high);
    vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(all, all)))
}
