//! The bits by AVX2, 32 bytes an instruction; parities by a multiplication without carries.

use std::arch::x86_64::{
    __m256i, _mm_clmulepi64_si128, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_set1_epi8, _mm256_cmpeq_epi8, _mm256_movemask_epi8,
    _mm256_set1_epi8, _mm256_setr_epi64x,
};

use super::{Masks, Needles, Words};

/// Tells whether the machine has everything [`run`] is compiled for.
pub(super) fn is_detected() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
}

#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn run(needles: Needles, words: impl Words) {
    let every = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
    // A needle that is not looked for is compared all the same, and its bits are dropped.
    let kept = |needle: Option<u8>| if needle.is_some() { u64::MAX } else { 0 };
    let (delimiter, delimiters_kept) = (every(needles.delimiter.unwrap_or(0)), kept(needles.delimiter));
    let (quote, quotes_kept) = (every(needles.quote.unwrap_or(0)), kept(needles.quote));
    let (newline, carriage_return) = (every(b'\n'), every(b'\r'));
    let masks = |word: &[u8; 64]| {
        let halves = load(word);
        Masks {
            delimiters: equal(halves, delimiter) & delimiters_kept,
            newlines: equal(halves, newline),
            quotes: equal(halves, quote) & quotes_kept,
            returns: equal(halves, carriage_return),
        }
    };
    words.run(masks, |bits| prefix_xor(bits));
}

/// Two loads, as the compiler knows.
#[inline]
#[target_feature(enable = "avx2")]
fn load(word: &[u8; 64]) -> (__m256i, __m256i) {
    let eights = word.as_chunks::<8>().0;
    let eight = |index: usize| eights.get(index).map_or(0, |bytes| i64::from_le_bytes(*bytes));
    let half = |first| _mm256_setr_epi64x(eight(first), eight(first + 1), eight(first + 2), eight(first + 3));
    (half(0), half(4))
}

#[inline]
#[target_feature(enable = "avx2")]
fn equal((low, high): (__m256i, __m256i), byte: __m256i) -> u64 {
    let bits = |half| u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(half, byte)).cast_unsigned());
    bits(low) | (bits(high) << 32)
}

/// The product with all ones, without carries, sums each bit with all lower ones.
#[inline]
#[target_feature(enable = "pclmulqdq")]
fn prefix_xor(bits: u64) -> u64 {
    let product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(bits.cast_signed()), _mm_set1_epi8(-1), 0);
    _mm_cvtsi128_si64(product).cast_unsigned()
}
