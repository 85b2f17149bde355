//! SQL text with its file: positions, excerpts, placeholders, and the way back from rendered to written positions.

use std::ops::Range;

use windrow_core::{Code, Diagnostic, Place};

/// A statement as it was written.
#[derive(Clone, Copy, Debug)]
pub struct SqlText<'a> {
    /// The text.
    pub text: &'a str,
    /// The file it stands in, as shown to people.
    pub file: &'a str,
    /// The line (from 1) and column (from 1, in characters) where the text starts in its file.
    pub origin: (u64, u64),
}

/// One placeholder to replace: bytes of the written text.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// The bytes of the written text.
    pub span: Range<usize>,
    /// What stands there instead; one line.
    pub text: String,
}

/// A statement with its placeholders replaced.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The text the engine reads.
    pub text: String,
    shifts: Vec<Shift>,
}

#[derive(Clone, Debug)]
struct Shift {
    line: u64,
    rendered: Range<u64>,
    written: Range<u64>,
}

impl<'a> SqlText<'a> {
    /// A text that is a whole file.
    pub fn whole(text: &'a str, file: &'a str) -> Self {
        SqlText { text, file, origin: (1, 1) }
    }

    /// Line and column in the file of a byte offset in the text.
    pub fn position(&self, offset: usize) -> (u64, u64) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() as u64;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() as u64;
        self.in_file(line + 1, column + 1)
    }

    /// Line and column in the file of a line and column (both from 1) in the text.
    pub fn in_file(&self, line: u64, column: u64) -> (u64, u64) {
        if line <= 1 { (self.origin.0, self.origin.1 + column.saturating_sub(1)) } else { (self.origin.0 + line - 1, column) }
    }

    /// A finding with its excerpt; `line` and `column` count in the text.
    pub fn finding(&self, code: Code, (line, column): (u64, u64), length: usize, title: impl Into<String>) -> Diagnostic {
        let (file_line, file_column) = self.in_file(line, column);
        self.excerpt(Diagnostic::new(code, Place::new(self.file, file_line, file_column), title), length)
    }

    /// Adds the line the finding's place is in.
    pub fn excerpt(&self, finding: Diagnostic, length: usize) -> Diagnostic {
        let line = finding.place.line.saturating_sub(self.origin.0);
        let first = if line == 0 { self.origin.1 } else { 1 };
        let start = usize::try_from(finding.place.column.saturating_sub(first)).unwrap_or(0);
        let text = usize::try_from(line).ok().and_then(|index| self.text.lines().nth(index)).unwrap_or_default();
        let rest = text.chars().count().saturating_sub(start).max(1);
        finding.excerpt(text.replace(char::is_control, " "), start, length.min(rest))
    }

    /// The placeholders `{name}` outside texts, quoted names and comments, with the bytes they span.
    pub fn placeholders(&self) -> Vec<(Range<usize>, String)> {
        let mut found = Vec::new();
        let mut offset = 0;
        while let Some(rest) = self.text.get(offset..).filter(|rest| !rest.is_empty()) {
            let name = placeholder(rest);
            let length = name.map(|name| name.len() + 2).or_else(|| skipped(rest));
            if let Some(name) = name {
                found.push((offset..offset + name.len() + 2, name.to_owned()));
            }
            offset += length.or_else(|| rest.chars().next().map(char::len_utf8)).unwrap_or(1);
        }
        found
    }

    /// The text with placeholders replaced, in the order they stand.
    pub fn replaced(&self, replacements: Vec<Replacement>) -> Rendered {
        let mut text = String::new();
        let mut shifts = Vec::new();
        let mut done = 0;
        for Replacement { span, text: new } in replacements {
            text.push_str(self.text.get(done..span.start).unwrap_or_default());
            let (line, written) = SqlText::whole(self.text, "").position(span.start);
            let (_, rendered) = SqlText::whole(&text, "").position(text.len());
            let width = (span.end - span.start) as u64;
            let new_width = new.chars().count() as u64;
            shifts.push(Shift { line, rendered: rendered..rendered + new_width, written: written..written + width });
            text.push_str(&new);
            done = span.end;
        }
        text.push_str(self.text.get(done..).unwrap_or_default());
        Rendered { text, shifts }
    }
}

impl Rendered {
    /// The written line and column of a rendered line and column.
    pub fn written(&self, line: u64, column: u64) -> (u64, u64) {
        let before = self.shifts.iter().rfind(|shift| shift.line == line && shift.rendered.start <= column);
        match before {
            None => (line, column),
            Some(shift) if column < shift.rendered.end => (line, shift.written.start),
            Some(shift) => (line, shift.written.end + (column - shift.rendered.end)),
        }
    }
}

fn placeholder(rest: &str) -> Option<&str> {
    let (name, _) = rest.strip_prefix('{')?.split_once('}')?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_word)).then_some(name)
}

/// How many bytes at the start are a text, a quoted name or a comment.
fn skipped(rest: &str) -> Option<usize> {
    let until = |open: &str, close: &str| {
        let inner = rest.strip_prefix(open)?;
        Some(inner.find(close).map_or(rest.len(), |at| open.len() + at + close.len()))
    };
    until("--", "\n").or_else(|| until("/*", "*/")).or_else(|| until("'", "'")).or_else(|| until("\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_in_texts_and_comments_are_left_alone() {
        let sql = SqlText::whole("SELECT '{a}', \"{b}\" -- {c}\n/* {d} */ , {e}", "q.sql");
        let names: Vec<String> = sql.placeholders().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["e"]);
    }

    #[test]
    fn rendered_columns_lead_back_to_written_ones() {
        let sql = SqlText::whole("SELECT 1\nFROM t WHERE {w} > a AND {w} > b", "q.sql");
        let replacements =
            sql.placeholders().into_iter().map(|(span, _)| Replacement { span, text: "DATE '2024-01-01'".into() }).collect();
        let rendered = sql.replaced(replacements);
        let line = rendered.text.lines().nth(1).unwrap();
        for (needle, written) in [("WHERE", 8), ("> a", 18), ("> b", 30)] {
            let column = line.find(needle).unwrap() as u64 + 1;
            assert_eq!(rendered.written(2, column), (2, written), "{needle}");
        }
        assert_eq!(rendered.written(2, 20), (2, 14));
    }
}
