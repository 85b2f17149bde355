//! Create-if-absent with a truthful answer: the one primitive that every commit rests on.
//!
//! "Already exists" never means "lost": stores do answer 412 to one's own retried first write, and replies get lost.
//! After any answer but success the key is read, and only its bytes decide.

use std::time::Duration;

use bytes::Bytes;
use object_store::{CopyMode, CopyOptions, PutMode, PutOptions, PutPayload};
use windrow_core::canonical::sha256_hex;
use windrow_core::layout::{Key, RegisterKind};
use windrow_core::{Error, ErrorKind, Result};

use crate::classify::store_error;
use crate::store::{Lake, parse_path};

/// How often a create is offered, and how long it waits in between.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// How often in all; 0 counts as 1.
    pub tries: u32,
    /// The pause before the second try; it doubles from then on, up to five seconds. Zero never sleeps.
    pub first_pause: Duration,
}

impl RetryPolicy {
    /// Four tries without any pause, for stores that answer at once and for tests.
    pub const IMMEDIATE: RetryPolicy = RetryPolicy { tries: 4, first_pause: Duration::ZERO };

    async fn pause_before(&self, attempt: u32) {
        const LONGEST: Duration = Duration::from_secs(5);
        if attempt == 0 || self.first_pause.is_zero() {
            return;
        }
        let factor = 2_u32.saturating_pow(attempt - 1);
        tokio::time::sleep(self.first_pause.saturating_mul(factor).min(LONGEST)).await;
    }
}

impl Default for RetryPolicy {
    /// Five tries within about a second and a half; the store's client has retries of its own below this.
    fn default() -> Self {
        RetryPolicy { tries: 5, first_pause: Duration::from_millis(100) }
    }
}

/// What became of a create.
#[derive(Debug)]
pub enum PutOnce {
    /// The key holds our bytes, from this try or from an earlier one whose reply was lost.
    Mine,
    /// The key holds other bytes.
    Theirs(Bytes),
    /// It is not known what the key holds; the error says why and what must happen next.
    Unknown(Error),
}

impl Lake {
    /// Creates a key with these bytes unless it exists, and says what it holds now. Idempotent.
    ///
    /// # Errors
    /// `Internal` for a key that may be overwritten, and for an outcome: only publish, quarantine, abort and retract
    /// decide. Failures of the store are [`PutOnce::Unknown`].
    pub async fn put_once(&self, key: &Key, bytes: &Bytes) -> Result<PutOnce> {
        if matches!(key, Key::Register { kind: RegisterKind::Outcome, .. }) {
            return Err(Error::internal("an outcome is decided, not put").with("key", key));
        }
        self.settle(key, bytes).await
    }

    /// The same for every key that is written once.
    pub(crate) async fn settle(&self, key: &Key, bytes: &Bytes) -> Result<PutOnce> {
        if !key.is_write_once() {
            return Err(Error::internal("the key is not one that is written once").with("key", key));
        }
        let path = self.writable(key)?;
        let mut refused = None;
        for attempt in 0..self.retry().tries.max(1) {
            self.retry().pause_before(attempt).await;
            refused = match self.create(&path, bytes).await {
                Ok(()) => return self.settled(key).await,
                Err(error) => Some(error),
            };
            self.count_read_back();
            match self.get_optional(&path).await {
                Ok(Some(found)) if found == *bytes => return self.settled(key).await,
                Ok(Some(found)) => return Ok(PutOnce::Theirs(found)),
                Ok(None) => {}
                Err(error) => return Ok(PutOnce::Unknown(unknown(key, error))),
            }
        }
        let cause =
            refused.map_or_else(|| Error::internal("no try was made"), |error| store_error("refused", path.as_ref(), error));
        Ok(PutOnce::Unknown(unknown(key, cause)))
    }

    /// Has the store copy an object to a data file's key, and reads the copy back: only its bytes decide. Idempotent.
    ///
    /// # Errors
    /// `Internal` for a key that is no data file's, `InputMissing` when the source is gone, `CorruptInput` when the copy
    /// has another digest, else what the store says.
    pub(crate) async fn copy_once(&self, source: &str, target: &Key, sha256: &str) -> Result<()> {
        if !matches!(target, Key::Part(..)) {
            return Err(Error::internal("only a data file is copied").with("key", target));
        }
        let (from, to) = (parse_path(source)?, self.writable(target)?);
        let mut refused = None;
        for attempt in 0..self.retry().tries.max(1) {
            self.retry().pause_before(attempt).await;
            refused = self.copy(&from, &to).await.err();
            match self.get_optional(&to).await {
                Ok(Some(found)) if sha256_hex(&found) == sha256 => return self.make_durable(target).await,
                Ok(Some(_)) => {
                    let error =
                        Error::new(ErrorKind::CorruptInput, "the copy of a published file has other bytes than published");
                    return Err(error.with("key", target).with("source", source));
                }
                Ok(None) => {}
                Err(error) => return Err(unknown(target, error)),
            }
            if matches!(refused, Some(object_store::Error::NotFound { .. })) {
                break;
            }
        }
        let cause =
            refused.map_or_else(|| Error::internal("the copy is not there"), |error| store_error("cannot copy", source, error));
        Err(cause.with("target", target))
    }

    /// Where the store has no copy-if-absent, a plain copy does: no other attempt writes to the attempt's folder.
    async fn copy(&self, from: &object_store::path::Path, to: &object_store::path::Path) -> object_store::Result<()> {
        let options = |mode| CopyOptions { mode, ..CopyOptions::default() };
        match self.store().copy_opts(from, to, options(CopyMode::Create)).await {
            Err(object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. }) => {
                self.store().copy_opts(from, to, options(CopyMode::Overwrite)).await
            }
            copied => copied,
        }
    }

    /// Offers a create once and tells nothing but the store's answer.
    pub(crate) async fn create(&self, path: &object_store::path::Path, bytes: &Bytes) -> object_store::Result<()> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.store().put_opts(path, PutPayload::from_bytes(bytes.clone()), options).await.map(|_| ())
    }

    async fn get_optional(&self, path: &object_store::path::Path) -> Result<Option<Bytes>> {
        match self.read_whole(path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error("cannot read back", path.as_ref(), error)),
        }
    }

    async fn settled(&self, key: &Key) -> Result<PutOnce> {
        match self.make_durable(key).await {
            Ok(()) => Ok(PutOnce::Mine),
            Err(error) => Ok(PutOnce::Unknown(unknown(key, error))),
        }
    }
}

fn unknown(key: &Key, cause: Error) -> Error {
    let kind = match cause.kind() {
        kind @ (ErrorKind::AccessDenied | ErrorKind::Misconfigured) => kind,
        // A create answered with "not found" means the bucket or the folder itself is not there.
        ErrorKind::InputMissing => ErrorKind::Misconfigured,
        _ => ErrorKind::Transient,
    };
    let help = cause.help_text().map(str::to_owned);
    let error = Error::new(kind, "not known whether the key was written").with("key", key).caused_by(cause);
    if let Some(help) = help { error.help(help) } else { error }
}
