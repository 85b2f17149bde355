//! A block's bytes as text, and the lines its rows stand on.

use std::borrow::Cow;
use std::sync::Arc;

use windrow_core::Code;

use super::scan::Block;
use crate::chunk::Origin;

/// The line on which each row of a block starts.
pub(super) struct Lines<'a> {
    first: u64,
    inner: &'a [u32],
}

impl<'a> Lines<'a> {
    pub(super) fn new(block: &Block<'a>, first: u64) -> Self {
        Lines { first, inner: &block.index.inner_lines }
    }

    pub(super) fn of(&self, row: usize) -> u64 {
        self.first + (row + self.inner.partition_point(|inner| (*inner as usize) < row)) as u64
    }

    /// The origin of these rows (ascending numbers of the block's rows).
    pub(super) fn origin(&self, file: &Arc<str>, numbers: &[usize]) -> Origin {
        let mut origin = Origin::new(file.clone(), numbers.first().map_or(self.first, |number| self.of(*number)));
        let mut last = numbers.first().map_or(0, |number| self.of(*number));
        for (row, number) in numbers.iter().enumerate().skip(1) {
            let line = self.of(*number);
            if line != last + 1 {
                origin.set_line(row, line);
            }
            last = line;
        }
        origin
    }
}

/// The block as text. Bytes that are no text are replaced one by one, so that every place stays what it was, and listed.
pub(super) fn decode(bytes: &[u8]) -> (Cow<'_, str>, Vec<(usize, Code)>) {
    if let Ok(text) = simdutf8::basic::from_utf8(bytes)
        && memchr::memchr(0, bytes).is_none()
    {
        return (Cow::Borrowed(text), Vec::new());
    }
    let mut damaged = Vec::new();
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter == '\0' {
                damaged.push((text.len(), Code::NulByte));
            }
            text.push(if letter == '\0' { '?' } else { letter });
        }
        for _ in chunk.invalid() {
            damaged.push((text.len(), Code::InvalidUtf8));
            text.push('?');
        }
    }
    (Cow::Owned(text), damaged)
}
