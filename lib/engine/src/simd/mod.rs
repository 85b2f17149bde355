//! Which of 64 bytes have a meaning, one bit a byte: by AVX2 or NEON where the machine has it, else in machine words.
//!
//! ```text
//! Words (a loop over 64-byte words) ─▶ Level::run ─▶ the same loop, compiled for this machine's instructions
//! ```
//!
//! The loop itself is handed in as a [`Words`], so that it is compiled inside the one function that has the instruction set
//! enabled and the masks of every word are made inline. All paths give the same bits; the tests compare them.
//!
//! Invariant: [`Level::run`] has the only `unsafe` code of windrow, the calls of functions that are compiled for instructions
//! the machine was found to have. Everything in them is safe: no pointer is read, and no element before it was written.
//! Besides the tests, `fuzz/run.sh` runs it under the address sanitizer, `memcheck.sh` under valgrind, `arm/run.sh` on an
//! emulated ARM. Miri never did: it is not part of the stable toolchain.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod places;
mod portable;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use places::Places;

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
    /// Runs the loop with the masks of a word, and with [`portable::prefix_xor`] or what is faster.
    fn run(self, masks: impl Fn(&[u8; 64]) -> Masks, prefix_xor: impl Fn(u64) -> u64);
}

/// How the bits are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    #[cfg_attr(target_arch = "aarch64", allow(dead_code, reason = "every such machine has NEON; the tests compare with it"))]
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
        let best = if avx2::is_detected() { Level::Avx2 } else { Level::Portable };
        #[cfg(target_arch = "aarch64")]
        let best = Level::Neon;
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let best = Level::Portable;
        best
    }

    /// Runs a loop with the instructions of this level.
    #[allow(unsafe_code, reason = "vector instructions: see the invariant above")]
    pub(crate) fn run(self, needles: Needles, words: impl Words) {
        match self {
            Level::Portable => portable::run(needles, words),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level is only made by `detect`, after the features of `run` were found.
            Level::Avx2 => unsafe { avx2::run(needles, words) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: every machine of this architecture has NEON.
            Level::Neon => unsafe { neon::run(needles, words) },
        }
    }
}
