//! Which of 64 bytes have a meaning, one bit a byte: by AVX2 or NEON where the machine has it, else in machine words.
//!
//! ```text
//! Words (a loop over 64-byte words) ─▶ Level::run ─▶ the same loop, compiled for this machine's instructions
//! ```
//!
//! The loop itself is handed in as a [`Words`], so that it is compiled inside the one function that has the instruction set
//! enabled and the masks of every word are made inline. All paths give the same bits; the tests compare them.
//!
//! windrow has no `unsafe` code of its own: what the machine was found to have is a value of `pulp`, which calls the loop compiled for
//! it and has the instructions as safe functions. Besides the tests, `fuzz/run.sh` runs this module under the address sanitizer,
//! `memcheck.sh` under valgrind, `arm/run.sh` on an emulated ARM.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod places;
mod portable;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use places::Places;
pub(crate) use portable::prefix_xor;

/// The bytes to look for; line ends always are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needles {
    pub(crate) delimiter: Option<u8>,
    pub(crate) quote: Option<u8>,
}

/// One bit for each of 64 bytes, the first byte lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Masks {
    pub(crate) delimiters: u64,
    pub(crate) newlines: u64,
    pub(crate) quotes: u64,
    pub(crate) returns: u64,
}

/// A loop over words; its `run` is to be `#[inline(always)]`.
pub(crate) trait Words {
    /// Runs the loop with the masks of a word.
    fn run(self, masks: impl Fn(&[u8; 64]) -> Masks);
}

/// How the bits are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Level {
    /// The best one of this machine.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if pulp::x86::V3::is_available() {
            return Level::Avx2;
        }
        #[cfg(target_arch = "aarch64")]
        if pulp::aarch64::Neon::is_available() {
            return Level::Neon;
        }
        Level::Portable
    }

    /// Runs a loop with the instructions of this level.
    pub(crate) fn run(self, needles: Needles, words: impl Words) {
        #[cfg(target_arch = "x86_64")]
        if let (Level::Avx2, Some(simd)) = (self, pulp::x86::V3::try_new()) {
            return simd.vectorize(vector::Loop { simd, needles, words });
        }
        #[cfg(target_arch = "aarch64")]
        if let (Level::Neon, Some(simd)) = (self, pulp::aarch64::Neon::try_new()) {
            return simd.vectorize(vector::Loop { simd, needles, words });
        }
        portable::run(needles, words);
    }
}
