//! The fields of one column in some rows of a block.

use super::index::Row;
use super::tokens::{FieldValue, Tokens};
use crate::parse::Tail;

/// One column of some rows, all of the same width: the field at `column` of each.
pub(crate) struct TextColumn<'a> {
    /// The block.
    pub(crate) text: &'a str,
    /// The end of every field of these rows.
    pub(crate) marks: &'a [u32],
    /// Where they start.
    pub(crate) rows: &'a [Row],
    /// How many fields each has.
    pub(crate) width: usize,
    pub(crate) column: usize,
    pub(crate) tokens: &'a Tokens,
    /// Tells whether any quoted field may hold a doubled quote.
    pub(crate) has_doubled: bool,
}

/// A field as it stands in the block, or what its quotes enclose.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    text: &'a str,
    start: u32,
    end: u32,
}

/// What a field says.
pub(crate) enum Value<'a> {
    Null,
    /// A text that stands in the block.
    Field(Field<'a>),
    /// A text that had doubled quotes.
    Text(String),
}

impl<'a> Field<'a> {
    #[inline]
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.text.as_bytes().get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn text(self) -> &'a str {
        self.text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The field for parsers of short texts; the first fields of a block have none.
    #[inline]
    pub(crate) fn tail(self) -> Option<Tail<'a>> {
        Tail::new(self.text.as_bytes().get(..self.end as usize)?, self.end - self.start)
    }
}

impl<'a> TextColumn<'a> {
    /// Shows each row's field with its slot and its number among these rows; there are as many slots as rows.
    #[inline(always)]
    pub(crate) fn each<S>(&self, slots: &mut [S], mut see: impl FnMut(&mut S, usize, Field<'a>)) {
        let text = self.text;
        let Some(before) = self.column.checked_sub(1) else {
            let rows = self.marks.chunks_exact(self.width.max(1)).zip(self.rows);
            for (number, (slot, (marks, row))) in slots.iter_mut().zip(rows).enumerate() {
                let end = marks.first().copied().unwrap_or(row.start);
                see(slot, number, Field { text, start: row.start, end });
            }
            return;
        };
        let from = self.marks.get(before..).unwrap_or_default();
        for (number, (slot, marks)) in slots.iter_mut().zip(from.chunks(self.width.max(1))).enumerate() {
            let [before, end] = marks.first_chunk::<2>().copied().unwrap_or_default();
            see(slot, number, Field { text, start: before + 1, end });
        }
    }

    /// Takes quotes off and recognises nulls.
    #[inline]
    pub(crate) fn value(&self, field: Field<'a>) -> Value<'a> {
        let bytes = field.bytes();
        if !self.tokens.is_quoted(bytes) {
            return if self.tokens.is_null(bytes) { Value::Null } else { Value::Field(field) };
        }
        if self.has_doubled || self.tokens.is_null_when_quoted() {
            return self.quoted_value(field);
        }
        Value::Field(Field { text: field.text, start: field.start + 1, end: field.end.saturating_sub(1) })
    }

    #[inline(never)]
    fn quoted_value(&self, field: Field<'a>) -> Value<'a> {
        match self.tokens.value(field.text()) {
            FieldValue::Null => Value::Null,
            FieldValue::Text(text) if text.len() + 2 == field.bytes().len() => {
                Value::Field(Field { text: field.text, start: field.start + 1, end: field.end.saturating_sub(1) })
            }
            FieldValue::Text(text) => Value::Text(text.into_owned()),
        }
    }
}
