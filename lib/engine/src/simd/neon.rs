//! NEON: 16 bytes an instruction.

use std::arch::aarch64::uint8x16_t;

use pulp::aarch64::Neon;

use super::vector::Instructions;

/// The bit of each byte among its eight.
const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];

impl Instructions for Neon {
    type Word = [uint8x16_t; 4];
    type Byte = uint8x16_t;

    #[inline(always)]
    fn load(self, word: &[u8; 64]) -> Self::Word {
        let quarters = word.as_chunks::<16>().0;
        let quarter = |index: usize| load(self, quarters.get(index).unwrap_or(&[0; 16]));
        [quarter(0), quarter(1), quarter(2), quarter(3)]
    }

    #[inline(always)]
    fn every(self, byte: u8) -> uint8x16_t {
        self.neon.vdupq_n_u8(byte)
    }

    /// Keeps of each equal byte its own bit, and adds neighbours three times, until eight bytes are one.
    #[inline(always)]
    fn equal(self, [first, second, third, fourth]: Self::Word, byte: uint8x16_t) -> u64 {
        let bits = load(self, &BITS);
        let own = |quarter| self.neon.vandq_u8(self.neon.vceqq_u8(quarter, byte), bits);
        let low = self.neon.vpaddq_u8(own(first), own(second));
        let high = self.neon.vpaddq_u8(own(third), own(fourth));
        let all = self.neon.vpaddq_u8(low, high);
        self.neon.vgetq_lane_u64::<0>(self.neon.vreinterpretq_u64_u8(self.neon.vpaddq_u8(all, all)))
    }
}

#[inline(always)]
fn load(simd: Neon, bytes: &[u8; 16]) -> uint8x16_t {
    let eights = bytes.as_chunks::<8>().0;
    let eight = |index: usize| simd.neon.vcreate_u8(eights.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes)));
    simd.neon.vcombine_u8(eight(0), eight(1))
}
