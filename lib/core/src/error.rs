//! The one error type, and the one table from kind to exit code to Step Functions error name.
//!
//! An [`ErrorKind`] answers a single question: what must happen next? A kind that nobody would act on differently does
//! not exist.

use std::fmt;

use crate::diagnostic::Diagnostic;

/// A result whose error says what must happen next.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What must happen after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// A defect of windrow: page the owner.
    Internal,
    /// The memory limit was reached: run again one worker size up.
    OutOfMemory,
    /// Another decision for this epoch exists already: show it.
    Fenced,
    /// The environment failed for now: retry with backoff. The only kind that is retried as it is.
    Transient,
    /// The data does not have the declared shape: quarantine, alert, replay after a correction.
    SchemaMismatch,
    /// The bytes are damaged: quarantine, alert, replay after a correction.
    CorruptInput,
    /// The declared input is not (all) there: wait until the deadline, then alert.
    InputMissing,
    /// The credentials do not allow it: fix the role, replay.
    AccessDenied,
    /// Contract, SQL, check, configuration or flag is wrong: fix it.
    Misconfigured,
    /// The quality gate answered FAIL: quarantine, alert, replay after a correction.
    QualityFailed,
    /// A window is not there although its promised time has passed: find out why, replay.
    SlaMissed,
    /// The command line could not be understood.
    Usage,
    /// The run was asked to stop, and stopped.
    Interrupted,
}

impl ErrorKind {
    /// Every kind, in the order of the documented table.
    pub const ALL: [ErrorKind; 13] = [
        ErrorKind::Internal,
        ErrorKind::OutOfMemory,
        ErrorKind::Fenced,
        ErrorKind::Transient,
        ErrorKind::SchemaMismatch,
        ErrorKind::CorruptInput,
        ErrorKind::InputMissing,
        ErrorKind::AccessDenied,
        ErrorKind::Misconfigured,
        ErrorKind::QualityFailed,
        ErrorKind::SlaMissed,
        ErrorKind::Usage,
        ErrorKind::Interrupted,
    ];

    /// The process exit code of this kind. Codes follow `sysexits.h` where it has one.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Usage => 64,
            ErrorKind::SchemaMismatch | ErrorKind::CorruptInput => 65,
            ErrorKind::InputMissing => 66,
            ErrorKind::Internal => 70,
            ErrorKind::OutOfMemory => 71,
            ErrorKind::Fenced => 73,
            ErrorKind::Transient => 75,
            ErrorKind::AccessDenied => 77,
            ErrorKind::Misconfigured => 78,
            ErrorKind::QualityFailed => 80,
            ErrorKind::SlaMissed => 81,
            ErrorKind::Interrupted => 143,
        }
    }

    /// The first kind of an exit code; `None` for a code of no kind.
    pub fn of_exit_code(code: u8) -> Option<ErrorKind> {
        ErrorKind::ALL.into_iter().find(|kind| kind.exit_code() == code)
    }

    /// The name in results and logs, without a prefix.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Internal => "Internal",
            ErrorKind::OutOfMemory => "OutOfMemory",
            ErrorKind::Fenced => "Fenced",
            ErrorKind::Transient => "Transient",
            ErrorKind::SchemaMismatch => "SchemaMismatch",
            ErrorKind::CorruptInput => "CorruptInput",
            ErrorKind::InputMissing => "InputMissing",
            ErrorKind::AccessDenied => "AccessDenied",
            ErrorKind::Misconfigured => "Misconfigured",
            ErrorKind::QualityFailed => "QualityFailed",
            ErrorKind::SlaMissed => "SlaMissed",
            ErrorKind::Usage => "Usage",
            ErrorKind::Interrupted => "Interrupted",
        }
    }

    /// The error name a Step Functions `Retry` or `Catch` matches on; SIGTERM is reported as transient.
    pub fn step_functions_error(self) -> String {
        let name = if self == ErrorKind::Interrupted { ErrorKind::Transient.name() } else { self.name() };
        format!("Windrow.{name}")
    }

    /// What a person does next, in one line.
    pub fn next_step(self) -> &'static str {
        match self {
            ErrorKind::Internal => "this is a defect of windrow: keep the message and report it",
            ErrorKind::OutOfMemory => "run again with more memory",
            ErrorKind::Fenced => "a decision for this epoch exists already: `windrow status` shows it",
            ErrorKind::Transient => "run it again; nothing was half-published",
            ErrorKind::SchemaMismatch | ErrorKind::CorruptInput => {
                "correct the raw file (or have it sent again), then `windrow replay`"
            }
            ErrorKind::InputMissing => "wait for the raw files, then run again",
            ErrorKind::AccessDenied => "fix the permissions, then run again",
            ErrorKind::Misconfigured => "fix the named file or flag, then run again",
            ErrorKind::QualityFailed => "look at the evidence, correct the raw file or the check, then `windrow replay`",
            ErrorKind::SlaMissed => "`windrow status` shows what stopped it: correct that, then `windrow replay`",
            ErrorKind::Usage => "see --help",
            ErrorKind::Interrupted => "run it again; nothing was half-published",
        }
    }

    /// Tells whether the same bytes fail the same way for ever, so that the window is quarantined and not retried.
    pub fn is_deterministic_data_failure(self) -> bool {
        matches!(self, ErrorKind::SchemaMismatch | ErrorKind::CorruptInput | ErrorKind::QualityFailed)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many rows a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTally {
    /// Rows that were read.
    pub read: u64,
    /// Rows of them that were refused.
    pub refused: u64,
}

/// A failure: its kind, a lowercase message, context from the inside out, and where to look.
///
/// ```
/// use windrow_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::InputMissing, "no raw file for the window").with("window", "2013-01-01");
/// assert_eq!(error.kind().exit_code(), 66);
/// assert_eq!(error.to_string(), "no raw file for the window (window=2013-01-01)");
/// ```
#[derive(Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    help: Option<String>,
    diagnostics: Vec<Diagnostic>,
    rows: Option<RowTally>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error from what must happen next and what went wrong.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        let inner = Inner { kind, message, context: Vec::new(), help: None, diagnostics: Vec::new(), rows: None, source: None };
        Error { inner: Box::new(inner) }
    }

    /// Shorthand for [`ErrorKind::Misconfigured`].
    pub fn misconfigured(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Misconfigured, message)
    }

    /// Shorthand for [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Internal, message)
    }

    /// Makes a configuration error from one or more placed findings; the first one is the message.
    pub fn from_diagnostics(kind: ErrorKind, diagnostics: Vec<Diagnostic>) -> Self {
        let message = match diagnostics.as_slice() {
            [] => "unspecified finding".to_owned(),
            [one] => one.one_line(),
            [first, rest @ ..] => format!("{} (and {} more)", first.one_line(), rest.len()),
        };
        let mut error = Error::new(kind, message);
        error.inner.diagnostics = diagnostics;
        error
    }

    /// Adds a key and value on the way up.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.inner.context.push((key, value.to_string()));
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.inner.help = Some(help.into());
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.inner.source = Some(Box::new(source));
        self
    }

    /// Attaches placed findings.
    #[must_use]
    pub fn with_diagnostics(mut self, diagnostics: Vec<Diagnostic>) -> Self {
        self.inner.diagnostics = diagnostics;
        self
    }

    /// Says how many rows were read and refused.
    #[must_use]
    pub fn with_rows(mut self, rows: RowTally) -> Self {
        self.inner.rows = Some(rows);
        self
    }

    /// What must happen next.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The message without its context.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The context, innermost first.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.inner.context
    }

    /// What to do about it, where something better than [`ErrorKind::next_step`] is known.
    pub fn help_text(&self) -> Option<&str> {
        self.inner.help.as_deref()
    }

    /// How many rows were read and refused, where rows are what failed.
    pub fn rows(&self) -> Option<RowTally> {
        self.inner.rows
    }

    /// The placed findings behind this error, if any.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.inner.diagnostics
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        for (index, (key, value)) in self.inner.context.iter().enumerate() {
            f.write_str(if index == 0 { " (" } else { ", " })?;
            write!(f, "{key}={value}")?;
        }
        if !self.inner.context.is_empty() {
            f.write_str(")")?;
        }
        if let Some(source) = &self.inner.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes: Vec<u8> = ErrorKind::ALL.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!(codes, [70, 71, 73, 75, 65, 65, 66, 77, 78, 80, 81, 64, 143]);
    }

    #[test]
    fn interruption_is_reported_as_transient() {
        assert_eq!(ErrorKind::Interrupted.step_functions_error(), "Windrow.Transient");
    }

    #[test]
    fn context_and_source_are_both_shown() {
        let error = Error::new(ErrorKind::Transient, "cannot list").with("key", "a/b").caused_by(std::io::Error::other("reset"));
        assert_eq!(error.to_string(), "cannot list (key=a/b): reset");
    }
}
