//! AVX2: 32 bytes an instruction.

use std::arch::x86_64::__m256i;

use pulp::x86::V3;

use super::vector::Instructions;

impl Instructions for V3 {
    type Word = (__m256i, __m256i);
    type Byte = __m256i;

    /// Two loads, as the compiler knows.
    #[inline(always)]
    fn load(self, word: &[u8; 64]) -> Self::Word {
        let [a, b, c, d, e, f, g, h] = eights(word);
        (self.avx._mm256_setr_epi64x(a, b, c, d), self.avx._mm256_setr_epi64x(e, f, g, h))
    }

    #[inline(always)]
    fn every(self, byte: u8) -> __m256i {
        self.avx._mm256_set1_epi8(byte.cast_signed())
    }

    #[inline(always)]
    fn equal(self, (low, high): Self::Word, byte: __m256i) -> u64 {
        let low = self.avx2._mm256_movemask_epi8(self.avx2._mm256_cmpeq_epi8(low, byte)).cast_unsigned();
        let high = self.avx2._mm256_movemask_epi8(self.avx2._mm256_cmpeq_epi8(high, byte)).cast_unsigned();
        u64::from(low) | (u64::from(high) << 32)
    }
}

#[inline(always)]
fn eights(word: &[u8; 64]) -> [i64; 8] {
    let mut eights = [0; 8];
    eights.iter_mut().zip(word.as_chunks::<8>().0).for_each(|(eight, bytes)| *eight = i64::from_le_bytes(*bytes));
    eights
}
