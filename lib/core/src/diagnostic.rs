//! A finding at a place: what a compiler would print. Rendering is the command line's business.

use std::fmt;
use std::sync::Arc;

use crate::code::Code;

/// A position in a text file. Lines and columns count from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as the user knows it: a path relative to the project, or a store key.
    pub file: Arc<str>,
    /// The line, from 1. 0 means the file as a whole.
    pub line: u64,
    /// The column in characters, from 1. 0 means the line as a whole.
    pub column: u64,
}

impl Place {
    /// Names a position.
    pub fn new(file: impl Into<Arc<str>>, line: u64, column: u64) -> Self {
        Place { file: file.into(), line, column }
    }

    /// Names a file as a whole.
    pub fn file(file: impl Into<Arc<str>>) -> Self {
        Place::new(file, 0, 0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.line > 0 && self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

/// The line of text a finding points into, already shortened to what fits a screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The text, one line, valid UTF-8, control characters replaced.
    pub text: String,
    /// Where the caret starts, in characters from 0.
    pub start: usize,
    /// How many characters the caret spans, at least 1.
    pub length: usize,
}

/// One finding: code, sentence, place, excerpt, the contract line it breaks, notes and a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code, `W0201` for one.
    pub code: Code,
    /// What is wrong, a lowercase fragment.
    pub title: String,
    /// The column or check it is about, when it is one.
    pub subject: Option<String>,
    /// Where.
    pub place: Place,
    /// The offending line with its caret.
    pub excerpt: Option<Excerpt>,
    /// The offending value, as far as it may be shown.
    pub found: Option<String>,
    /// What was expected there; stands beside the caret.
    pub label: String,
    /// The line of the contract that demands it, with its text.
    pub contract: Option<(Place, String)>,
    /// Further facts, a line each.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Makes a finding with a place and a sentence; the rest is added by the caller.
    pub fn new(code: Code, place: Place, title: impl Into<String>) -> Self {
        Diagnostic {
            code,
            title: title.into(),
            subject: None,
            place,
            excerpt: None,
            found: None,
            label: String::new(),
            contract: None,
            notes: Vec::new(),
            help: None,
        }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the offending line; `start` and `length` are in characters.
    #[must_use]
    pub fn excerpt(mut self, text: impl Into<String>, start: usize, length: usize) -> Self {
        self.excerpt = Some(Excerpt { text: text.into(), start, length: length.max(1) });
        self
    }

    /// Adds the words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The finding on one line: place, code and sentence.
    pub fn one_line(&self) -> String {
        format!("{}: {}: {}", self.place, self.code, self.title)
    }
}
