//! From a polars failure to what must happen next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use polars::prelude::PolarsError;
use windrow_core::{Error, ErrorKind, Result};

/// The kind and message of a polars error.
///
/// Overflow, a failed cast and an unknown column are `Misconfigured`: the same data fails the same way until the SQL
/// or the declared types change.
pub(crate) fn classify(error: &PolarsError) -> Error {
    let message = first_line(error);
    let lower = message.to_lowercase();
    let overflow = lower.contains("overflow") || lower.contains("can't fit values");
    match root(error) {
        PolarsError::IO { error, .. } if error.kind() == std::io::ErrorKind::OutOfMemory => {
            Error::new(ErrorKind::OutOfMemory, message)
        }
        _ if lower.contains("out of memory") || lower.contains("memory allocation") => {
            Error::new(ErrorKind::OutOfMemory, message)
        }
        PolarsError::IO { error, .. } if error.kind() == std::io::ErrorKind::NotFound => Error::new(ErrorKind::Internal, message),
        PolarsError::IO { .. } => Error::new(ErrorKind::Transient, message),
        _ if overflow || lower.contains("conversion from `i128` to") => {
            let outgrown = format!("a number outgrew its type: {message}");
            Error::new(ErrorKind::Misconfigured, outgrown).help("CAST to a wider type first")
        }
        PolarsError::AssertionError(_) | PolarsError::ShapeMismatch(_) => Error::new(ErrorKind::Internal, message),
        _ => Error::new(ErrorKind::Misconfigured, message),
    }
}

/// The first line of the innermost message; polars appends plans and advice for Python users.
pub(crate) fn first_line(error: &PolarsError) -> String {
    let text = root(error).to_string();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Runs polars and turns its error, or its panic, into ours.
///
/// # Errors
/// As [`classify`]; a panic is `Misconfigured` for an overflow and `Internal` otherwise.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, PolarsError>) -> Result<T> {
    silence_warnings();
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| classify(&error)),
        Err(payload) => Err(from_panic(payload.as_ref())),
    }
}

fn root(error: &PolarsError) -> &PolarsError {
    match error {
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => root(error),
        other => other,
    }
}

fn from_panic(payload: &(dyn std::any::Any + Send)) -> Error {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("no message").lines().next().unwrap_or_default();
    let overflow = text.contains("overflow") || text.contains("can't fit values");
    if overflow {
        return Error::new(ErrorKind::Misconfigured, format!("a number outgrew its type: {text}"))
            .help("CAST to a wider type first");
    }
    Error::new(ErrorKind::Internal, format!("polars gave up: {text}"))
}

/// polars prints deprecations to stderr, which is ours; they speak to Python users.
fn silence_warnings() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| polars::error::set_warning_function(|_, _| {}));
}
