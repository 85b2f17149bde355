//! Collecting findings at places of a parsed text.

use sqlparser::tokenizer::Span;
use windrow_core::{Code, Diagnostic};

use crate::parse::written;
use crate::text::{Rendered, SqlText};

/// The findings of one text so far.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    sql: &'a SqlText<'a>,
    rendered: &'a Rendered,
    list: Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    /// No findings.
    pub(crate) fn new(sql: &'a SqlText<'a>, rendered: &'a Rendered) -> Self {
        Findings { sql, rendered, list: Vec::new() }
    }

    /// Adds a finding at a node's place; an empty span is the start of the text.
    pub(crate) fn at(&mut self, code: Code, span: Span, title: impl Into<String>, help: impl Into<String>) {
        let finding = self.placed(code, span, title.into()).help(help);
        if !self.list.contains(&finding) {
            self.list.push(finding);
        }
    }

    /// Adds a finding about the text as a whole, at its first token.
    pub(crate) fn at_start(&mut self, code: Code, title: impl Into<String>, help: Option<String>) {
        let mut finding = self.sql.finding(code, self.first_token(), 1, title);
        finding.help = help;
        self.list.push(finding);
    }

    /// Tells whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The findings in the order of their places.
    pub(crate) fn into_list(mut self) -> Vec<Diagnostic> {
        self.list.sort_by(|a, b| a.place.cmp(&b.place));
        self.list
    }

    fn placed(&self, code: Code, span: Span, title: String) -> Diagnostic {
        if span.start.line == 0 {
            return self.sql.finding(code, self.first_token(), 1, title);
        }
        let start = written(self.rendered, span.start);
        let end = written(self.rendered, span.end);
        let length = if end.0 == start.0 { end.1.saturating_sub(start.1) } else { u64::from(u32::MAX) };
        self.sql.finding(code, start, usize::try_from(length).unwrap_or(1), title)
    }

    fn first_token(&self) -> (u64, u64) {
        let skip = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with("--");
        let index = self.sql.text.lines().take_while(skip).count();
        let line = self.sql.text.lines().nth(index).unwrap_or_default();
        (index as u64 + 1, line.chars().take_while(|c| c.is_whitespace()).count() as u64 + 1)
    }
}
