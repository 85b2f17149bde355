//! Large data files go up in parts, several at once, each with its checksum.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use windrow_core::layout::Key;
use windrow_core::{Error, ErrorKind, Result};

use crate::classify::store_error;
use crate::put_once::PutOnce;
use crate::store::Lake;

/// When and how a file goes up in parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadPolicy {
    /// The size of a part in bytes, but for the last one.
    part_bytes: usize,
}

impl UploadPolicy {
    /// Enough to keep a connection to S3 busy.
    const IN_FLIGHT: usize = 4;

    pub(crate) fn new(part_bytes: usize) -> Self {
        UploadPolicy { part_bytes: part_bytes.max(1) }
    }

    /// The size of a part in bytes.
    pub(crate) fn part_bytes(&self) -> usize {
        self.part_bytes
    }

    /// One part alone would only cost more requests.
    fn takes(&self, bytes: usize) -> bool {
        bytes > self.part_bytes
    }
}

impl Lake {
    /// Creates a data file unless it exists, and says what its key holds now: [`Lake::put_once`] for files of any size.
    ///
    /// An upload in parts is not conditional in every store, so it is kept from ever meeting another file: the name
    /// holds the attempt, which one process makes once, and the digest of these bytes; and the key is looked up before.
    /// Whatever the last request answers, the key is looked at after.
    ///
    /// # Errors
    /// As [`Lake::put_once`], and `Internal` for a key that is not a data file's.
    pub(crate) async fn put_file(&self, key: &Key, bytes: &Bytes) -> Result<PutOnce> {
        let Some(policy) = self.uploads().filter(|policy| policy.takes(bytes.len())) else {
            return self.put_once(key, bytes).await;
        };
        if !matches!(key, Key::Part(..)) {
            return Err(Error::internal("only data files go up in parts").with("key", key));
        }
        let path = self.writable(key)?;
        match self.size(path.as_ref()).await {
            Ok(None) => {}
            Ok(Some(_)) => return self.compare(key, bytes, None).await,
            Err(error) => return Ok(PutOnce::Unknown(error)),
        }
        match self.upload(&path, bytes, policy).await {
            Ok(()) => self.confirm_upload(key, bytes).await,
            // The last reply may be lost, or the answer to a repeated last request be "no such upload".
            Err(error) => self.compare(key, bytes, Some(error)).await,
        }
    }

    async fn upload(&self, path: &Path, bytes: &Bytes, policy: UploadPolicy) -> Result<()> {
        let failed = |error| transient_if_missing(store_error("cannot upload", path.as_ref(), error));
        let mut upload = self.store().put_multipart(path).await.map_err(failed)?;
        match send(upload.as_mut(), bytes, policy).await {
            Ok(()) => Ok(()),
            Err(error) => {
                // Parts of an upload that is not ended are paid for; where this fails too, a lifecycle rule removes them.
                let _ = upload.abort().await;
                Err(failed(error))
            }
        }
    }

    async fn confirm_upload(&self, key: &Key, bytes: &Bytes) -> Result<PutOnce> {
        let expected = u64::try_from(bytes.len()).ok();
        match self.size(&key.to_string()).await {
            Ok(Some(size)) if Some(size) == expected => Ok(PutOnce::Mine),
            Ok(found) => {
                let message = format!("an uploaded file has {found:?} bytes in the store, {} were sent", bytes.len());
                Ok(PutOnce::Unknown(Error::new(ErrorKind::Transient, message).with("key", key)))
            }
            Err(error) => Ok(PutOnce::Unknown(error)),
        }
    }

    /// Reads the key and lets its bytes decide; `failed` is what to say when it is not there.
    async fn compare(&self, key: &Key, bytes: &Bytes, failed: Option<Error>) -> Result<PutOnce> {
        self.count_read_back();
        match self.get_bytes(&key.to_string()).await {
            Ok(found) if found == *bytes => Ok(PutOnce::Mine),
            Ok(found) => Ok(PutOnce::Theirs(found)),
            Err(error) => {
                let is_missing = error.kind() == ErrorKind::InputMissing;
                let cause = if is_missing { failed } else { None };
                Ok(PutOnce::Unknown(cause.unwrap_or_else(|| transient_if_missing(error))))
            }
        }
    }
}

async fn send(upload: &mut dyn MultipartUpload, bytes: &Bytes, policy: UploadPolicy) -> object_store::Result<()> {
    let mut parts = Vec::new();
    let mut left = bytes.clone();
    while !left.is_empty() {
        let part = left.split_to(left.len().min(policy.part_bytes));
        parts.push(upload.put_part(PutPayload::from_bytes(part)));
    }
    futures::stream::iter(parts).buffer_unordered(UploadPolicy::IN_FLIGHT).try_collect::<()>().await?;
    upload.complete().await.map(|_| ())
}

/// Nothing of an upload is an input, so "not found" is not one that is missing.
fn transient_if_missing(error: Error) -> Error {
    if error.kind() != ErrorKind::InputMissing {
        return error;
    }
    Error::new(ErrorKind::Transient, "the upload or its file is gone").caused_by(error)
}
