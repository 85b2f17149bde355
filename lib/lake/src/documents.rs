//! Documents of the ledger, which are written once and so are read once: what is there stays as it is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use windrow_core::layout::Key;
use windrow_core::{Error, ErrorKind, Result};

use crate::store::Lake;

/// How much is kept. Beyond it everything is forgotten and read again.
const MOST_BYTES: usize = 8 << 20;

/// The documents this process has read.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    read: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<Key, Bytes>,
    bytes: usize,
}

impl Lake {
    /// Reads a document, from the store the first time; `None` when it is not there. That it is not there is not kept, nor
    /// is what this process wrote: the first read is of the store.
    ///
    /// # Errors
    /// `Internal` for a key that may be overwritten, else what the store says.
    pub(crate) async fn get_document(&self, key: &Key) -> Result<Option<Bytes>> {
        if !key.is_write_once() {
            return Err(Error::internal("the key is not one that is written once").with("key", key));
        }
        if let Some(bytes) = self.documents().kept(key) {
            return Ok(Some(bytes));
        }
        match self.get_bytes(&key.to_string()).await {
            Ok(bytes) => {
                self.documents().keep(key, &bytes);
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == ErrorKind::InputMissing => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Documents {
    fn kept(&self, key: &Key) -> Option<Bytes> {
        self.locked().by_key.get(key).cloned()
    }

    fn keep(&self, key: &Key, bytes: &Bytes) {
        let mut kept = self.locked();
        if bytes.len() > MOST_BYTES || kept.by_key.contains_key(key) {
            return;
        }
        if kept.bytes + bytes.len() > MOST_BYTES {
            *kept = Kept::default();
        }
        kept.bytes += bytes.len();
        kept.by_key.insert(key.clone(), bytes.clone());
    }

    fn locked(&self) -> MutexGuard<'_, Kept> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_of(dataset: &str) -> Key {
        Key::Format(format!("clean.{dataset}").parse().unwrap())
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let documents = Documents::default();
        let large = Bytes::from(vec![0; MOST_BYTES / 2]);
        for name in ["a", "b"] {
            documents.keep(&format_of(name), &large);
            documents.keep(&format_of(name), &large);
        }
        assert!(documents.kept(&format_of("a")).is_some() && documents.kept(&format_of("b")).is_some());
        documents.keep(&format_of("c"), &Bytes::from(vec![0; MOST_BYTES + 1]));
        assert!(documents.kept(&format_of("a")).is_some() && documents.kept(&format_of("c")).is_none());
        documents.keep(&format_of("d"), &Bytes::from_static(b"{}"));
        let kept = documents.locked();
        assert_eq!((kept.by_key.len(), kept.bytes), (1, 2));
    }
}
