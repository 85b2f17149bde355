//! The one place that says what must happen after a store or a file system failed.
//!
//! | cause | kind |
//! |---|---|
//! | not found | InputMissing |
//! | permission denied, unauthenticated, read-only file system | AccessDenied |
//! | not supported, not implemented, invalid path or key, not a directory, other device | Misconfigured |
//! | full disk, quota, precondition, timeout, reset, 5xx, anything else | Transient |
//!
//! What an S3 answer or a credential provider said is an error of ours inside the store's; its kind and help stand. Which
//! answer is of which kind is in `refusal`.

use std::error::Error as _;
use std::io;

use windrow_core::{Error, ErrorKind};

use crate::refusal::{MAY_NOT_DELETE, kind_of_code};

/// Turns a store's failure into ours; `action` is a fragment such as "cannot read".
pub(crate) fn store_error(action: &str, key: &str, error: object_store::Error) -> Error {
    if let Some(ours) = cause_of::<Error>(&error) {
        let failed = Error::new(ours.kind(), action).with("key", key);
        let cause =
            ours.context().iter().fold(Error::new(ours.kind(), ours.message()), |cause, (key, value)| cause.with(key, value));
        let failed = failed.caused_by(cause);
        return if let Some(help) = ours.help_text() { failed.help(help) } else { failed };
    }
    let kind = store_kind(&error);
    let mut failed = Error::new(kind, action).with("key", key);
    if kind_in_text(&error) == Some(ErrorKind::AccessDenied) {
        failed = failed.help(MAY_NOT_DELETE);
    }
    with_help(failed, io_cause(&error).map(io::Error::kind)).caused_by(error)
}

/// The same for a write: one that is answered with "not found" has no bucket or folder to go to.
pub(crate) fn write_error(action: &str, key: &str, error: object_store::Error) -> Error {
    let failed = store_error(action, key, error);
    if failed.kind() != ErrorKind::InputMissing {
        return failed;
    }
    Error::misconfigured("the store has no place for the key").with("key", key).caused_by(failed)
}

/// Turns a file system's failure into ours.
pub(crate) fn io_error(action: &str, key: &str, error: io::Error) -> Error {
    let failed = Error::new(io_kind(error.kind()), action).with("key", key);
    with_help(failed, Some(error.kind())).caused_by(error)
}

/// Takes back out what a [`PinnedReader`](crate::PinnedReader) put into the [`io::Error`] of `std::io::Read`.
///
/// An error that is not ours is classified by its own kind; damaged compressed data stays the caller's to recognise.
pub fn error_from_read(error: io::Error) -> Error {
    let kind = error.kind();
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(other) => Error::new(io_kind(kind), "cannot read").caused_by(other),
    }
}

fn store_kind(error: &object_store::Error) -> ErrorKind {
    use object_store::Error as Store;
    match error {
        Store::NotFound { .. } => ErrorKind::InputMissing,
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => ErrorKind::AccessDenied,
        Store::NotSupported { .. }
        | Store::NotImplemented { .. }
        | Store::InvalidPath { .. }
        | Store::UnknownConfigurationKey { .. } => ErrorKind::Misconfigured,
        other => {
            io_cause(other).map(|cause| io_kind(cause.kind())).or_else(|| kind_in_text(other)).unwrap_or(ErrorKind::Transient)
        }
    }
}

/// The client tells why one of several keys was not deleted in words alone: "… (code: AccessDenied)".
fn kind_in_text(error: &object_store::Error) -> Option<ErrorKind> {
    let text = error.to_string();
    let (_, after) = text.rsplit_once("(code: ")?;
    kind_of_code(after.split_once(')')?.0)
}

fn io_kind(kind: io::ErrorKind) -> ErrorKind {
    match kind {
        io::ErrorKind::NotFound => ErrorKind::InputMissing,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::AccessDenied,
        io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::CrossesDevices
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::Unsupported => ErrorKind::Misconfigured,
        _ => ErrorKind::Transient,
    }
}

fn with_help(error: Error, kind: Option<io::ErrorKind>) -> Error {
    match kind {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            error.help("the disk is full: free space, then run it again; nothing was half-published")
        }
        Some(io::ErrorKind::ReadOnlyFilesystem) => error.help("the file system is mounted read-only"),
        Some(io::ErrorKind::CrossesDevices) => error.help("the lake must lie on one file system"),
        Some(io::ErrorKind::Unsupported) => {
            error.help("the lake needs a file system with hard links and flushing, such as ext4, xfs, btrfs or APFS")
        }
        _ => error,
    }
}

/// The I/O error inside a store's error: the local store wraps it in private types.
fn io_cause(error: &object_store::Error) -> Option<&io::Error> {
    cause_of(error)
}

fn cause_of<E: std::error::Error + 'static>(error: &object_store::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<E>() {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_system_failures_say_what_to_do() {
        for (io, kind) in [
            (io::ErrorKind::StorageFull, ErrorKind::Transient),
            (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::AccessDenied),
            (io::ErrorKind::PermissionDenied, ErrorKind::AccessDenied),
            (io::ErrorKind::NotFound, ErrorKind::InputMissing),
            (io::ErrorKind::NotADirectory, ErrorKind::Misconfigured),
        ] {
            let wrapped = object_store::Error::Generic { store: "Local", source: Box::new(io::Error::from(io)) };
            assert_eq!(store_error("cannot write", "k", wrapped).kind(), kind);
            assert_eq!(io_error("cannot write", "k", io.into()).kind(), kind);
        }
    }

    #[test]
    fn a_key_that_may_not_be_deleted_is_told_as_such() {
        let said = "DeleteObjects request failed for key store/a: no (code: AccessDenied)";
        let error = store_error("cannot delete", "store/a", object_store::Error::Generic { store: "S3", source: said.into() });
        assert_eq!(error.kind(), ErrorKind::AccessDenied);
        assert!(error.help_text().unwrap().contains("s3:DeleteObject"), "{error}");
    }

    #[test]
    fn our_error_survives_the_trip_through_read() {
        let ours = Error::new(ErrorKind::Transient, "raw file changed while it was read");
        let back = error_from_read(io::Error::other(ours));
        assert_eq!((back.kind(), back.message()), (ErrorKind::Transient, "raw file changed while it was read"));
    }
}
