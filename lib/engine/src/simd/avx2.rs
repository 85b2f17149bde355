//! The bits by AVX2, 32 bytes an instruction.

use std::arch::x86_64::__m256i;

use pulp::NullaryFnOnce;
use pulp::x86::V3;

use super::portable::prefix_xor;
use super::{Masks, Needles, Words};

pub(super) fn run(simd: V3, needles: Needles, words: impl Words) {
    simd.vectorize(Loop { simd, needles, words });
}

/// The loop, to be compiled with the instructions that `simd` stands for.
struct Loop<W> {
    simd: V3,
    needles: Needles,
    words: W,
}

impl<W: Words> NullaryFnOnce for Loop<W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Loop { simd, needles, words } = self;
        // A needle that is not looked for is compared all the same, and its bits are dropped.
        let kept = |needle: Option<u8>| if needle.is_some() { u64::MAX } else { 0 };
        let (delimiter, delimiters_kept) = (every(simd, needles.delimiter.unwrap_or(0)), kept(needles.delimiter));
        let (quote, quotes_kept) = (every(simd, needles.quote.unwrap_or(0)), kept(needles.quote));
        let (newline, carriage_return) = (every(simd, b'\n'), every(simd, b'\r'));
        words.run(
            #[inline(always)]
            |word: &[u8; 64]| {
                let halves = load(simd, word);
                Masks {
                    delimiters: equal(simd, halves, delimiter) & delimiters_kept,
                    newlines: equal(simd, halves, newline),
                    quotes: equal(simd, halves, quote) & quotes_kept,
                    returns: equal(simd, halves, carriage_return),
                }
            },
            prefix_xor,
        );
    }
}

#[inline(always)]
fn every(simd: V3, byte: u8) -> __m256i {
    simd.avx._mm256_set1_epi8(byte.cast_signed())
}

/// Two loads, as the compiler knows.
#[inline(always)]
fn load(simd: V3, word: &[u8; 64]) -> (__m256i, __m256i) {
    let [a, b, c, d, e, f, g, h] = eights(word);
    (simd.avx._mm256_setr_epi64x(a, b, c, d), simd.avx._mm256_setr_epi64x(e, f, g, h))
}

#[inline(always)]
fn eights(word: &[u8; 64]) -> [i64; 8] {
    let mut eights = [0; 8];
    eights.iter_mut().zip(word.as_chunks::<8>().0).for_each(|(eight, bytes)| *eight = i64::from_le_bytes(*bytes));
    eights
}

#[inline(always)]
fn equal(simd: V3, (low, high): (__m256i, __m256i), byte: __m256i) -> u64 {
    let low = simd.avx2._mm256_movemask_epi8(simd.avx2._mm256_cmpeq_epi8(low, byte)).cast_unsigned();
    let high = simd.avx2._mm256_movemask_epi8(simd.avx2._mm256_cmpeq_epi8(high, byte)).cast_unsigned();
    u64::from(low) | (u64::from(high) << 32)
}
