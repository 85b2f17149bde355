//! The places of set bits, put down without a branch for each.

use std::ops::{Deref, DerefMut};

/// The most places a word has.
const WORD: usize = 64;

/// A growing list of places. Behind its end are slots that only a longer list shows.
#[derive(Debug, Default)]
pub(crate) struct Places {
    slots: Vec<u32>,
    len: usize,
}

impl Places {
    /// Appends `base` plus the place of every set bit, in order.
    #[inline(always)]
    pub(crate) fn push_bits(&mut self, base: u32, mut bits: u64) {
        let Some(slots) = self.slots.get_mut(self.len..).and_then(|slots| slots.first_chunk_mut::<WORD>()) else {
            return self.push_bits_grown(base, bits);
        };
        self.len += bits.count_ones() as usize;
        // Groups without a branch for each bit: what is written behind the last bit is overwritten by the next word.
        for group in slots.as_chunks_mut::<8>().0 {
            for slot in group {
                *slot = base.wrapping_add(bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
            }
            if bits == 0 {
                break;
            }
        }
    }

    pub(crate) fn push(&mut self, place: u32) {
        self.push_bits(place, 1);
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    #[cold]
    #[inline(never)]
    fn push_bits_grown(&mut self, base: u32, bits: u64) {
        // By a quarter, because slots that are not used yet take memory too.
        self.slots.resize(self.len + (self.len / 4).max(1 << 12), 0);
        self.push_bits(base, bits);
    }
}

impl Deref for Places {
    type Target = [u32];

    #[inline]
    fn deref(&self) -> &[u32] {
        self.slots.get(..self.len).unwrap_or_default()
    }
}

impl DerefMut for Places {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u32] {
        self.slots.get_mut(..self.len).unwrap_or_default()
    }
}
