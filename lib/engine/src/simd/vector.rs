//! The bits by vector instructions, whichever they are.

use pulp::NullaryFnOnce;

use super::{Masks, Needles, Words};

/// What a set of instructions is asked for; all of it is to be `#[inline(always)]`.
pub(super) trait Instructions: Copy {
    /// 64 bytes in registers.
    type Word: Copy;
    /// One byte in every place of a register.
    type Byte: Copy;

    fn load(self, word: &[u8; 64]) -> Self::Word;
    fn every(self, byte: u8) -> Self::Byte;
    /// One bit for each byte of the word: is it this byte?
    fn equal(self, word: Self::Word, byte: Self::Byte) -> u64;
}

/// The loop, to be compiled with the instructions that `simd` stands for.
pub(super) struct Loop<S, W> {
    pub(super) simd: S,
    pub(super) needles: Needles,
    pub(super) words: W,
}

impl<S: Instructions, W: Words> NullaryFnOnce for Loop<S, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Loop { simd, needles, words } = self;
        // A needle that is not looked for is compared all the same, and its bits are dropped.
        let kept = |needle: Option<u8>| if needle.is_some() { u64::MAX } else { 0 };
        let (delimiter, delimiters_kept) = (simd.every(needles.delimiter.unwrap_or(0)), kept(needles.delimiter));
        let (quote, quotes_kept) = (simd.every(needles.quote.unwrap_or(0)), kept(needles.quote));
        let (newline, carriage_return) = (simd.every(b'\n'), simd.every(b'\r'));
        words.run(
            #[inline(always)]
            |word: &[u8; 64]| {
                let word = simd.load(word);
                Masks {
                    delimiters: simd.equal(word, delimiter) & delimiters_kept,
                    newlines: simd.equal(word, newline),
                    quotes: simd.equal(word, quote) & quotes_kept,
                    returns: simd.equal(word, carriage_return),
                }
            },
        );
    }
}
