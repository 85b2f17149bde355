//! The bits by NEON, 16 bytes an instruction.

use std::arch::aarch64::uint8x16_t;

use pulp::NullaryFnOnce;
use pulp::aarch64::Neon;

use super::portable::prefix_xor;
use super::{Masks, Needles, Words};

/// The bit of each byte among its eight.
const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];

pub(super) fn run(simd: Neon, needles: Needles, words: impl Words) {
    simd.vectorize(Loop { simd, needles, words });
}

/// The loop, to be compiled with the instructions that `simd` stands for.
struct Loop<W> {
    simd: Neon,
    needles: Needles,
    words: W,
}

impl<W: Words> NullaryFnOnce for Loop<W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Loop { simd, needles, words } = self;
        let every = |byte: u8| simd.neon.vdupq_n_u8(byte);
        // A needle that is not looked for is compared all the same, and its bits are dropped.
        let kept = |needle: Option<u8>| if needle.is_some() { u64::MAX } else { 0 };
        let (delimiter, delimiters_kept) = (every(needles.delimiter.unwrap_or(0)), kept(needles.delimiter));
        let (quote, quotes_kept) = (every(needles.quote.unwrap_or(0)), kept(needles.quote));
        let (newline, carriage_return, bits) = (every(b'\n'), every(b'\r'), load(simd, &BITS));
        words.run(
            #[inline(always)]
            |word: &[u8; 64]| {
                let quarters = load_all(simd, word);
                Masks {
                    delimiters: equal(simd, quarters, delimiter, bits) & delimiters_kept,
                    newlines: equal(simd, quarters, newline, bits),
                    quotes: equal(simd, quarters, quote, bits) & quotes_kept,
                    returns: equal(simd, quarters, carriage_return, bits),
                }
            },
            prefix_xor,
        );
    }
}

#[inline(always)]
fn load(simd: Neon, bytes: &[u8; 16]) -> uint8x16_t {
    let eights = bytes.as_chunks::<8>().0;
    let eight = |index: usize| simd.neon.vcreate_u8(eights.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes)));
    simd.neon.vcombine_u8(eight(0), eight(1))
}

#[inline(always)]
fn load_all(simd: Neon, word: &[u8; 64]) -> [uint8x16_t; 4] {
    let quarters = word.as_chunks::<16>().0;
    let quarter = |index: usize| load(simd, quarters.get(index).unwrap_or(&[0; 16]));
    [quarter(0), quarter(1), quarter(2), quarter(3)]
}

/// Keeps of each equal byte its own bit, and adds neighbours three times, until eight bytes are one.
#[inline(always)]
fn equal(simd: Neon, [first, second, third, fourth]: [uint8x16_t; 4], byte: uint8x16_t, bits: uint8x16_t) -> u64 {
    let own = |quarter| simd.neon.vandq_u8(simd.neon.vceqq_u8(quarter, byte), bits);
    let low = simd.neon.vpaddq_u8(own(first), own(second));
    let high = simd.neon.vpaddq_u8(own(third), own(fourth));
    let all = simd.neon.vpaddq_u8(low, high);
    simd.neon.vgetq_lane_u64::<0>(simd.neon.vreinterpretq_u64_u8(simd.neon.vpaddq_u8(all, all)))
}
