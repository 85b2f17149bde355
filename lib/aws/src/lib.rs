//! AWS around a lake: credentials and configuration for S3, and the two texts a Step Functions task reports a failure
//! with.

mod credentials;
mod queue;
mod s3;

use windrow_core::Error;

pub use queue::{MOST_AT_ONCE, Queue, QueueMessage};
pub use s3::{S3Environment, S3Options, open_lake};

/// The longest error name Step Functions takes, in characters.
const MAX_ERROR: usize = 256;
/// The longest cause Step Functions takes, in characters.
const MAX_CAUSE: usize = 32_768;

/// A failure as `SendTaskFailure` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    /// The name that `Retry` and `Catch` match on: `Windrow.SchemaMismatch`.
    pub error: String,
    /// One line of text: message, first findings with their places, what to do. Never over 32,768 characters.
    pub cause: String,
}

/// Says a failure in the words and within the limits of `SendTaskFailure`.
///
/// ```
/// use windrow_core::{Error, ErrorKind};
/// let failure = windrow_aws::task_failure(&Error::new(ErrorKind::Transient, "store timed out"));
/// assert_eq!(failure.error, "Windrow.Transient");
/// ```
pub fn task_failure(error: &Error) -> TaskFailure {
    let findings: Vec<String> = error.diagnostics().iter().take(20).map(|finding| finding.one_line()).collect();
    let help = error.help_text().unwrap_or_else(|| error.kind().next_step());
    let mut cause = error.to_string();
    if !findings.is_empty() {
        cause = format!("{cause} | {}", findings.join(" | "));
    }
    TaskFailure {
        error: cut(&error.kind().step_functions_error(), MAX_ERROR),
        cause: cut(&format!("{cause} | {help}"), MAX_CAUSE),
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_core::{Code, Diagnostic, ErrorKind, Place};

    #[test]
    fn the_cause_names_places_and_fits() {
        let finding = Diagnostic::new(Code::WrongType, Place::new("raw/a.csv", 3, 7), "x".repeat(40_000));
        let error = Error::new(ErrorKind::SchemaMismatch, "1 violation").with_diagnostics(vec![finding]);
        let failure = task_failure(&error);
        assert_eq!(failure.error, "Windrow.SchemaMismatch");
        assert!(failure.cause.contains("raw/a.csv:3:7"));
        assert_eq!(failure.cause.chars().count(), MAX_CAUSE);
    }
}
