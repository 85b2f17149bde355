//! The store's time: read off an object that was just written.
//!
//! S3 tells it in whole seconds, rounded down, so ages come out up to a second too young and never too old.

use std::time::Duration;

use bytes::Bytes;
use object_store::{ObjectMeta, ObjectStoreExt};
use windrow_core::layout::Key;
use windrow_core::{Error, ErrorKind, Result};

use crate::classify::store_error;
use crate::store::Lake;

/// How many names are tried; each is free unless a killed process of the same id left it.
const MAX_NAMES: usize = 1_000;

/// The store's time when it was asked.
#[derive(Clone, Debug)]
pub(super) struct StoreClock {
    now: ObjectMeta,
}

impl StoreClock {
    /// How long ago the store says an object was written; zero when it was written after the clock was read.
    pub(super) fn age(&self, object: &ObjectMeta) -> Duration {
        (self.now.last_modified - object.last_modified).to_std().unwrap_or_default()
    }
}

impl Lake {
    /// Writes a small object, reads its time and deletes it.
    pub(super) async fn store_clock(&self) -> Result<StoreClock> {
        for _ in 0..MAX_NAMES {
            let key = Key::ClockProbe { nonce: self.next_nonce() };
            let path = self.writable(&key)?;
            match self.create(&path, &Bytes::from_static(b"what time is it")).await {
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => continue,
                created => created.map_err(|error| store_error("cannot ask the store for its time", path.as_ref(), error))?,
            }
            let now = match self.store().head(&path).await {
                // Another run took it for left behind, so this one was stalled for long.
                Err(object_store::Error::NotFound { .. }) => continue,
                read => read.map_err(|error| store_error("cannot read the store's time", path.as_ref(), error))?,
            };
            self.delete_garbage(vec![key]).await?;
            return Ok(StoreClock { now });
        }
        Err(Error::new(ErrorKind::Transient, "no free name to ask the store for its time").with("folder", "store/tmp/clock"))
    }
}
