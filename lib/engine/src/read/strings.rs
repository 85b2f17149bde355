//! Texts: as keys into a dictionary while a block has few different ones, else one after the other.

use std::sync::Arc;

use arrow_array::types::UInt8Type;
use arrow_array::{ArrayRef, DictionaryArray, StringArray, UInt8Array};
use arrow_buffer::OffsetBuffer;
use windrow_core::Code;

use super::column::{Faults, Leaf, null_buffer};
use super::dictionary::Dictionary;
use super::field::{TextColumn, Value};

/// A column of texts.
pub(super) struct StringLeaf {
    /// The keys of the block so far, while it has few different texts. A column that had too many once stays plain.
    keyed: Option<Box<Keyed>>,
    texts: Texts,
    null_rows: Vec<usize>,
    /// How many rows the block will have.
    rows: usize,
}

#[derive(Default)]
struct Keyed {
    keys: Vec<u8>,
    dictionary: Dictionary,
}

/// Texts one after the other.
struct Texts {
    /// Where each text ends, after a first zero.
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl Texts {
    fn new() -> Self {
        Texts { ends: vec![0], bytes: Vec::new() }
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.end());
    }

    fn end(&self) -> i32 {
        i32::try_from(self.bytes.len()).unwrap_or(i32::MAX)
    }

    /// Makes room for a block of so many rows, judged by the texts so far.
    fn reserve(&mut self, rows: usize) {
        self.ends.reserve((rows + 1).saturating_sub(self.ends.len()));
        if self.len() > 0 {
            let expected = self.bytes.len() / self.len() * rows;
            self.bytes.reserve((expected + expected / 8).saturating_sub(self.bytes.len()));
        }
    }
}

impl StringLeaf {
    pub(super) fn plain() -> Self {
        StringLeaf { keyed: None, texts: Texts::new(), null_rows: Vec::new(), rows: 0 }
    }

    pub(super) fn compact() -> Self {
        StringLeaf { keyed: Some(Box::default()), ..StringLeaf::plain() }
    }

    /// Adds the rows as keys; `false`, with nothing to be kept, when the block has too many different texts.
    fn push_keys(&mut self, column: &TextColumn<'_>, is_required: bool, faults: &mut Faults) -> bool {
        let Some(keyed) = &mut self.keyed else { return false };
        let (first, null_rows) = (keyed.keys.len(), &mut self.null_rows);
        keyed.keys.resize(first + column.rows.len(), 0);
        let (dictionary, mut fits) = (&mut keyed.dictionary, true);
        column.each(keyed.keys.get_mut(first..).unwrap_or_default(), |slot, row, field| {
            let key = match column.value(field) {
                Value::Field(text) => dictionary.key(text.bytes(), text.tail()),
                Value::Text(text) => dictionary.key(text.as_bytes(), None),
                Value::Null if is_required => {
                    faults.push((first + row, Code::NullInRequired));
                    dictionary.key(b"", None)
                }
                Value::Null => {
                    null_rows.push(first + row);
                    return;
                }
            };
            fits &= key.is_some();
            *slot = key.unwrap_or(0);
        });
        keyed.keys.truncate(if fits { keyed.keys.len() } else { first });
        fits
    }

    /// Adds one text, as a key while there are few.
    fn push_bytes(&mut self, text: &[u8]) {
        if let Some(keyed) = &mut self.keyed {
            if let Some(key) = keyed.dictionary.key(text, None) {
                return keyed.keys.push(key);
            }
            if let Some(keyed) = self.keyed.take() {
                self.expand(&keyed);
            }
        }
        self.texts.push(text);
    }

    fn push_texts(&mut self, column: &TextColumn<'_>, is_required: bool, faults: &mut Faults) {
        self.texts.reserve(self.rows);
        let (first, null_rows, bytes) = (self.texts.len(), &mut self.null_rows, &mut self.texts.bytes);
        self.texts.ends.resize(first + 1 + column.rows.len(), 0);
        column.each(self.texts.ends.get_mut(first + 1..).unwrap_or_default(), |end, row, field| {
            match column.value(field) {
                Value::Field(text) => bytes.extend_from_slice(text.bytes()),
                Value::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Value::Null if is_required => faults.push((first + row, Code::NullInRequired)),
                Value::Null => null_rows.push(first + row),
            }
            *end = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        });
    }

    /// Writes the keyed texts out one after the other.
    fn expand(&mut self, keyed: &Keyed) {
        let mut nulls = self.null_rows.iter().copied().peekable();
        for (row, key) in keyed.keys.iter().enumerate() {
            let is_null = nulls.next_if_eq(&row).is_some();
            self.texts.push(if is_null { b"" } else { keyed.dictionary.text(*key) });
        }
    }

    fn plain_array(&mut self) -> ArrayRef {
        let Texts { ends, bytes } = std::mem::replace(&mut self.texts, Texts::new());
        let nulls = null_buffer(&mut self.null_rows, ends.len() - 1);
        Arc::new(StringArray::new(OffsetBuffer::new(ends.into()), bytes.into(), nulls))
    }
}

impl Leaf for StringLeaf {
    fn reserve(&mut self, rows: usize) {
        self.rows = rows;
        match &mut self.keyed {
            Some(keyed) => keyed.keys.reserve_exact(rows),
            None => self.texts.reserve(rows),
        }
    }

    fn push(&mut self, text: &str) -> Result<(), Code> {
        if text.contains('\0') {
            return Err(Code::NulByte);
        }
        self.push_bytes(text.as_bytes());
        Ok(())
    }

    fn push_null(&mut self) {
        self.null_rows.push(self.keyed.as_ref().map_or(self.texts.len(), |keyed| keyed.keys.len()));
        match &mut self.keyed {
            Some(keyed) => keyed.keys.push(0),
            None => self.texts.push(b""),
        }
    }

    fn push_default(&mut self) {
        self.push_bytes(b"");
    }

    fn push_column(&mut self, column: &TextColumn<'_>, is_required: bool, faults: &mut Faults) {
        // Blocks hold no NUL: the rows that did are gone.
        let (known_faults, known_nulls) = (faults.len(), self.null_rows.len());
        if self.keyed.is_some() {
            if self.push_keys(column, is_required, faults) {
                return;
            }
            faults.truncate(known_faults);
            self.null_rows.truncate(known_nulls);
            if let Some(keyed) = self.keyed.take() {
                self.expand(&keyed);
            }
        }
        self.push_texts(column, is_required, faults);
    }

    fn finish(&mut self) -> ArrayRef {
        let Some(mut keyed) = self.keyed.take() else { return self.plain_array() };
        let (rows, texts) = (keyed.keys.len(), keyed.dictionary.len());
        // A dictionary as long as half the rows saves nothing.
        let array = if texts == 0 || 2 * texts > rows {
            self.expand(&keyed);
            keyed.keys.clear();
            keyed.dictionary = Dictionary::default();
            self.plain_array()
        } else {
            let keys = UInt8Array::new(std::mem::take(&mut keyed.keys).into(), null_buffer(&mut self.null_rows, rows));
            let texts = std::mem::take(&mut keyed.dictionary).into_texts();
            Arc::new(DictionaryArray::<UInt8Type>::new(keys, Arc::new(texts)))
        };
        self.keyed = Some(keyed);
        array
    }
}
