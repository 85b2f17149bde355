//! What a reader or the shaping step found wrong in the data: one entry per offence, counted in full, listed up to a bound.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Excerpt, Place};
use crate::error::ErrorKind;

/// How many violations of one window are listed; all are counted.
pub const MAX_LISTED: usize = 10_000;

/// How many bytes of an offending value are kept.
pub const MAX_VALUE_BYTES: usize = 200;

/// One offence: where, what was found, what was expected, and which line of the contract demands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The code of the rule that was broken.
    pub code: Code,
    /// The raw file's key.
    pub file: Arc<str>,
    /// The line of the file, from 1; for Parquet the row, from 1. 0 means the file as a whole.
    pub line: u64,
    /// Where the offending field starts in its line, in characters from 1; 0 when unknown.
    pub char_column: u64,
    /// Offset of the offending field from the start of the (decompressed) file, in bytes, when known.
    pub byte_offset: Option<u64>,
    /// The declared column, when one column is to blame.
    pub column: Option<Arc<str>>,
    /// The offending value, lossy UTF-8, at most [`MAX_VALUE_BYTES`] bytes; `None` for null or when there is no value.
    pub value: Option<String>,
    /// What was expected: "expected integer (i64)".
    pub expected: String,
    /// The offending line with its caret, when the reader still has it.
    pub excerpt: Option<Excerpt>,
    /// The place in the contract that demands it, with the text of that line.
    pub contract: Option<(Place, String)>,
}

impl Violation {
    /// Makes a violation of a whole file; the rest is added by the reader.
    pub fn of_file(code: Code, file: impl Into<Arc<str>>, expected: impl Into<String>) -> Self {
        Violation {
            code,
            file: file.into(),
            line: 0,
            char_column: 0,
            byte_offset: None,
            column: None,
            value: None,
            expected: expected.into(),
            excerpt: None,
            contract: None,
        }
    }

    /// The sentence: title, column.
    pub fn title(&self) -> String {
        let title = self.code.title();
        match &self.column {
            Some(column) if title.contains("column") => format!("{title}: `{column}`"),
            Some(column) => format!("{title} in column `{column}`"),
            None => title.to_owned(),
        }
    }

    /// The violation as a finding that can be rendered.
    pub fn to_diagnostic(&self) -> Diagnostic {
        let place = Place::new(self.file.clone(), self.line, self.char_column);
        let mut diagnostic = Diagnostic::new(self.code, place, self.title()).label(self.expected.clone());
        diagnostic.subject = self.column.as_deref().map(str::to_owned);
        diagnostic.excerpt.clone_from(&self.excerpt);
        diagnostic.found.clone_from(&self.value);
        diagnostic.contract.clone_from(&self.contract);
        if self.excerpt.is_none()
            && let Some(value) = &self.value
        {
            diagnostic.notes.push(format!("found `{value}`"));
        }
        diagnostic
    }
}

/// All offences of one window: the first [`MAX_LISTED`] in file and line order, and exact counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViolationReport {
    listed: Vec<Violation>,
    counts: BTreeMap<(Code, Option<Arc<str>>), u64>,
    rows: u64,
}

impl ViolationReport {
    /// Adds one offence.
    pub fn push(&mut self, violation: Violation) {
        *self.counts.entry((violation.code, violation.column.clone())).or_default() += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(violation);
        }
    }

    /// Counts one row as rejected; a row with three offences is one rejected row.
    pub fn count_rejected_rows(&mut self, rows: u64) {
        self.rows += rows;
    }

    /// Appends another report; call it in file order, so that the list stays ordered.
    pub fn merge(&mut self, other: ViolationReport) {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        let room = MAX_LISTED.saturating_sub(self.listed.len());
        self.listed.extend(other.listed.into_iter().take(room));
        self.rows += other.rows;
    }

    /// The listed offences.
    pub fn listed(&self) -> &[Violation] {
        &self.listed
    }

    /// How many offences there are of each code and column.
    pub fn counts(&self) -> impl Iterator<Item = (Code, Option<&str>, u64)> {
        self.counts.iter().map(|((code, column), count)| (*code, column.as_deref(), *count))
    }

    /// How many offences there are in all.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// How many rows were rejected.
    pub fn rejected_rows(&self) -> u64 {
        self.rows
    }

    /// Tells whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Which failure the report amounts to: damaged bytes outrank a wrong shape.
    pub fn kind(&self) -> Option<ErrorKind> {
        let kinds = || self.counts.keys().map(|(code, _)| code.kind());
        kinds().find(|kind| *kind == ErrorKind::CorruptInput).or_else(|| kinds().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_full_when_the_list_is_not() {
        let mut report = ViolationReport::default();
        for _ in 0..MAX_LISTED + 5 {
            report.push(Violation::of_file(Code::ShortRow, "a.csv", "expected 3 fields"));
        }
        assert_eq!((report.listed().len(), report.total()), (MAX_LISTED, MAX_LISTED as u64 + 5));
    }

    #[test]
    fn damage_outranks_shape() {
        let mut report = ViolationReport::default();
        report.push(Violation::of_file(Code::ShortRow, "a.csv", ""));
        report.push(Violation::of_file(Code::NulByte, "a.csv", ""));
        assert_eq!(report.kind(), Some(ErrorKind::CorruptInput));
    }
}
