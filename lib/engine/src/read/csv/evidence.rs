//! The evidence of a violation in a CSV file: place, value and excerpt, with classified values masked.

use std::sync::Arc;

use windrow_core::contract::Property;
use windrow_core::{Code, Contract, Place, Violation};

use super::header::Layout;
use crate::read::excerpt::{self, MASK};
use crate::read::scan::Block;
use crate::read::tokens::unquote;

/// How many fields on each side of the offending one are looked at for the excerpt.
const NEIGHBOURS: usize = 40;

/// How many bytes of a neighbour are looked at.
const NEIGHBOUR_BYTES: usize = 240;

/// One row of a block, for messages.
pub(crate) struct RowView<'a> {
    pub(crate) contract: &'a Contract,
    pub(crate) file: &'a Arc<str>,
    pub(crate) layout: Option<&'a Layout>,
    pub(crate) bytes: &'a [u8],
    /// Offset of the block in the file.
    pub(crate) offset: u64,
    /// The line on which the row starts.
    pub(crate) line: u64,
    pub(crate) start: usize,
    /// The end of each field.
    pub(crate) ends: Vec<usize>,
}

impl<'a> RowView<'a> {
    /// The row with this number.
    pub(crate) fn of(
        block: &Block<'a>,
        row: usize,
        line: u64,
        contract: &'a Contract,
        file: &'a Arc<str>,
        layout: Option<&'a Layout>,
    ) -> Self {
        let start = block.index.rows.get(row).map_or(0, |row| row.start as usize);
        let ends = block.index.fields(row).iter().map(|end| *end as usize).collect();
        RowView { contract, file, layout, bytes: block.bytes, offset: block.offset, line, start, ends }
    }

    /// The row that was cut by a stop: its complete fields, and the one that goes up to the line end or the block's end.
    pub(crate) fn pending(
        block: &Block<'a>,
        line: u64,
        contract: &'a Contract,
        file: &'a Arc<str>,
        layout: Option<&'a Layout>,
    ) -> Self {
        let pending = block.index.pending;
        let mut ends: Vec<usize> =
            block.index.marks.get(pending.first as usize..).unwrap_or_default().iter().map(|end| *end as usize).collect();
        let open = ends.last().map_or(pending.start as usize, |end| end + 1);
        let rest = block.bytes.get(open..).unwrap_or_default();
        ends.push(open + memchr::memchr(b'\n', rest).unwrap_or(rest.len()));
        RowView { contract, file, layout, bytes: block.bytes, offset: block.offset, line, start: pending.start as usize, ends }
    }

    pub(crate) fn width(&self) -> usize {
        self.ends.len()
    }

    fn span(&self, field: usize) -> (usize, usize) {
        let end = self.ends.get(field).or(self.ends.last()).copied().unwrap_or(self.start);
        let start = match field.checked_sub(1) {
            None => self.start,
            Some(before) => self.ends.get(before).map_or(end, |end| end + 1),
        };
        (start, end)
    }

    pub(crate) fn raw(&self, field: usize) -> &'a [u8] {
        let (start, end) = self.span(field);
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The field that holds this byte.
    pub(crate) fn field_at(&self, place: usize) -> usize {
        self.ends.partition_point(|end| *end < place).min(self.width().saturating_sub(1))
    }

    fn property(&self, field: usize) -> Option<&'a Property> {
        // A row of another width says nothing about which field is which column.
        let layout = self.layout.filter(|layout| layout.width == self.width())?;
        self.contract.properties.get(layout.property(field)?)
    }

    fn may_show(&self, field: usize) -> bool {
        let all_public = || self.contract.properties.iter().all(Property::may_be_shown);
        // Before the header is understood there are only names.
        self.layout.is_none() || self.property(field).map_or_else(all_public, Property::may_be_shown)
    }

    /// A violation by one field. Without a property, the field's own column (if any) is named.
    pub(crate) fn violation(
        &self,
        code: Code,
        field: usize,
        property: Option<&Property>,
        expected: String,
        demanded: &Place,
    ) -> Violation {
        let (start, _) = self.span(field);
        let before = self.bytes.get(self.start..start).unwrap_or_default();
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        let raw = self.raw(field);
        let is_shown = self.may_show(field);
        Violation {
            code,
            file: self.file.clone(),
            line: self.line + memchr::memchr_iter(b'\n', before).count() as u64,
            char_column: excerpt::characters(before.get(line_start..).unwrap_or_default()) + 1,
            byte_offset: Some(self.offset + start as u64),
            column: property.or_else(|| self.property(field)).map(|property| property.name.clone()),
            value: Some(if is_shown { excerpt::value(&self.unquoted(raw)) } else { MASK.to_owned() }),
            expected,
            excerpt: Some(excerpt::around(&self.before(field), &self.shown(field, excerpt_bytes(raw)), &self.after(field))),
            contract: Some(self.contract.quote(demanded)),
        }
    }

    /// A violation by the row as a whole, shown at its end.
    pub(crate) fn row_violation(&self, code: Code, expected: String, demanded: &Place) -> Violation {
        let last = self.width().saturating_sub(1);
        let mut violation = self.violation(code, last, None, expected, demanded);
        (violation.column, violation.value) = (None, None);
        violation
    }

    fn unquoted(&self, raw: &[u8]) -> Vec<u8> {
        let quote = self.contract.reader.as_ref().and_then(|reader| reader.quote);
        let short = raw.get(..4 * NEIGHBOUR_BYTES).unwrap_or(raw);
        match (quote, std::str::from_utf8(short)) {
            (Some(quote), Ok(text))
                if raw.len() > 1 && raw.len() == short.len() && raw.starts_with(&[quote]) && raw.ends_with(&[quote]) =>
            {
                unquote(text, quote).into_owned().into_bytes()
            }
            _ => short.to_vec(),
        }
    }

    fn shown(&self, field: usize, raw: &[u8]) -> String {
        if self.may_show(field) { String::from_utf8_lossy(raw).into_owned() } else { MASK.to_owned() }
    }

    fn delimiter(&self) -> char {
        char::from(self.contract.reader.as_ref().map_or(b',', |reader| reader.delimiter))
    }

    fn before(&self, field: usize) -> String {
        let first = field.saturating_sub(NEIGHBOURS);
        let mut text = String::new();
        for neighbour in first..field {
            let raw = self.raw(neighbour);
            let tail = raw.get(raw.len().saturating_sub(NEIGHBOUR_BYTES)..).unwrap_or(raw);
            text.push_str(&self.shown(neighbour, tail));
            text.push(self.delimiter());
        }
        text
    }

    fn after(&self, field: usize) -> String {
        let mut text = String::new();
        for neighbour in (field + 1..self.width()).take(NEIGHBOURS) {
            text.push(self.delimiter());
            text.push_str(&self.shown(neighbour, excerpt_bytes(self.raw(neighbour))));
        }
        text
    }
}

fn excerpt_bytes(raw: &[u8]) -> &[u8] {
    raw.get(..NEIGHBOUR_BYTES).unwrap_or(raw)
}
