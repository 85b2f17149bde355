//! The different texts of a column, numbered as they come; short ones are told apart by two machine words.

use arrow_array::StringArray;
use arrow_buffer::OffsetBuffer;

use crate::parse::Tail;

/// The most texts that keys of eight bits tell apart.
const MOST_TEXTS: usize = 256;

/// Longer texts are rarely few, and dearer to compare.
const MOST_BYTES: usize = 32;

/// Twice the texts, so that a free slot is near.
const SLOTS: usize = 512;

/// The texts, numbered from 0.
pub(super) struct Dictionary {
    /// A hash table with linear probing.
    slots: [Slot; SLOTS],
    /// Where each text ends, after a first zero.
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Slot {
    /// The last 16 bytes of the text, zeros before a shorter one.
    words: [u64; 2],
    length: u32,
    key: u8,
}

const FREE: Slot = Slot { words: [0, 0], length: u32::MAX, key: 0 };

impl Default for Dictionary {
    fn default() -> Self {
        Dictionary { slots: [FREE; SLOTS], ends: vec![0], bytes: Vec::new() }
    }
}

impl Dictionary {
    /// How many texts there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// The number of a text, a new one when it is new; `None` when it is too long or one too many.
    #[inline]
    pub(super) fn key(&mut self, text: &[u8], tail: Option<Tail<'_>>) -> Option<u8> {
        if text.len() > MOST_BYTES {
            return None;
        }
        let length = u32::try_from(text.len()).ok()?;
        let words = tail.map_or_else(|| padded(text), Tail::words);
        let mut place = hash(words, length);
        loop {
            let slot = self.slots.get(place % SLOTS)?;
            if slot.words == words && slot.length == length && (length <= 16 || self.text(slot.key) == text) {
                return Some(slot.key);
            }
            if slot.length == u32::MAX {
                return self.insert(place % SLOTS, words, text);
            }
            place += 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, place: usize, words: [u64; 2], text: &[u8]) -> Option<u8> {
        if self.len() == MOST_TEXTS {
            return None;
        }
        let key = u8::try_from(self.len()).ok()?;
        let length = u32::try_from(text.len()).ok()?;
        *self.slots.get_mut(place)? = Slot { words, length, key };
        self.bytes.extend_from_slice(text);
        self.ends.push(i32::try_from(self.bytes.len()).ok()?);
        Some(key)
    }

    /// The text with this number.
    pub(super) fn text(&self, key: u8) -> &[u8] {
        let end = |index: usize| self.ends.get(index).and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        self.bytes.get(end(usize::from(key))..end(usize::from(key) + 1)).unwrap_or_default()
    }

    /// All texts in the order of their numbers.
    pub(super) fn into_texts(self) -> StringArray {
        StringArray::new(OffsetBuffer::new(self.ends.into()), self.bytes.into(), None)
    }
}

/// The last 16 bytes of a text, zeros before a shorter one.
fn padded(text: &[u8]) -> [u64; 2] {
    let mut bytes = [0; 16];
    bytes.iter_mut().rev().zip(text.iter().rev()).for_each(|(to, from)| *to = *from);
    let (low, high) = bytes.split_at(8);
    let word = |half: &[u8]| half.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    [word(low), word(high)]
}

#[inline]
fn hash([low, high]: [u64; 2], length: u32) -> usize {
    let mixed = (high ^ low.rotate_left(29) ^ u64::from(length)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 48).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_text_too_many_or_too_long_is_refused() {
        let mut texts = Dictionary::default();
        for number in 0..MOST_TEXTS {
            assert_eq!(texts.key(number.to_string().as_bytes(), None), u8::try_from(number).ok());
        }
        assert_eq!(texts.key(b"one too many", None), None);
        assert_eq!(texts.key(b"17", None), Some(17));
        assert_eq!(Dictionary::default().key(&[b'x'; MOST_BYTES + 1], None), None);
        assert_eq!(Dictionary::default().key(&[b'x'; MOST_BYTES], None), Some(0));
    }

    proptest! {
        #[test]
        fn equal_texts_have_equal_numbers(texts in prop::collection::vec("[ab]{0,3}|a{14,19}b?|[é\0]{0,3}", 1..60), before in "[a,]{0,17}") {
            let mut dictionary = Dictionary::default();
            let mut known: Vec<&str> = Vec::new();
            for text in &texts {
                let place = known.iter().position(|other| other == text).unwrap_or(known.len());
                if place == known.len() {
                    known.push(text);
                }
                let block = format!("{before}{text}");
                let tail = Tail::new(block.as_bytes(), u32::try_from(text.len()).unwrap());
                prop_assert_eq!(dictionary.key(text.as_bytes(), tail), u8::try_from(place).ok());
                prop_assert_eq!(dictionary.key(text.as_bytes(), None), u8::try_from(place).ok());
            }
            let array = dictionary.into_texts();
            prop_assert_eq!(array.iter().flatten().collect::<Vec<_>>(), known);
        }
    }
}
