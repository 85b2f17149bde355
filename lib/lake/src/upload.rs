//! Large data files go up in parts, several at once, each with its checksum; a file that is being written, while it is.

use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
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

    /// Parts of a file that is being written which wait for one of those; each is a copy of what stands in memory.
    const WAITING: usize = 2;

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
    /// holds the attempt, which one process makes once, and the digest of these bytes or of their place; and the key is
    /// looked up before.
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

/// A data file that goes up while it is written: whatever stands in memory for good is sent, the rest when the file is
/// complete. Nothing is there under its key before [`Uploading::finish`]; dropped before, the upload is aborted.
#[derive(Debug)]
pub(crate) struct Uploading {
    lake: Lake,
    key: Key,
    policy: UploadPolicy,
    runtime: Handle,
    sent: usize,
    sender: Option<Sender>,
}

#[derive(Debug)]
struct Sender {
    messages: mpsc::Sender<Message>,
    task: JoinHandle<Result<()>>,
}

#[derive(Debug)]
enum Message {
    Part(Bytes),
    End,
}

impl Uploading {
    /// Prepares; nothing is sent before a part is full. `None` where files do not go up in parts.
    pub(crate) fn new(lake: &Lake, key: Key, runtime: &Handle) -> Option<Self> {
        let policy = lake.uploads()?;
        Some(Uploading { lake: lake.clone(), key, policy, runtime: runtime.clone(), sent: 0, sender: None })
    }

    /// The key under which the file goes up, if any of it went.
    pub(crate) fn begun(&self) -> Option<&Key> {
        self.sender.as_ref().map(|_| &self.key)
    }

    /// Takes what is written so far and sends of it what fills a part and has a place on the line; never waits.
    pub(crate) fn offer(&mut self, written: &[u8]) {
        let part_bytes = self.policy.part_bytes();
        while let Some(part) = written.get(self.sent..self.sent + part_bytes).filter(|_| written.len() > self.sent + part_bytes) {
            let (lake, key, runtime) = (&self.lake, &self.key, &self.runtime);
            let sender = self.sender.get_or_insert_with(|| {
                let (messages, received) = mpsc::channel(UploadPolicy::WAITING);
                let (lake, key) = (lake.clone(), key.clone());
                Sender { messages, task: runtime.spawn(async move { lake.upload_as_it_comes(&key, received).await }) }
            });
            let Ok(place) = sender.messages.try_reserve() else { return };
            place.send(Message::Part(Bytes::copy_from_slice(part)));
            self.sent += part_bytes;
        }
    }

    /// Sends the rest of a complete file, and says what its key holds now.
    ///
    /// # Errors
    /// As [`Lake::put_file`].
    pub(crate) async fn finish(mut self, bytes: &Bytes) -> Result<PutOnce> {
        let Some(Sender { messages, task }) = self.sender.take() else { return self.lake.put_file(&self.key, bytes).await };
        let mut left = bytes.slice(self.sent.min(bytes.len())..);
        while !left.is_empty() {
            let part = left.split_to(left.len().min(self.policy.part_bytes()));
            if messages.send(Message::Part(part)).await.is_err() {
                break;
            }
        }
        // A task that ended says why.
        let _ = messages.send(Message::End).await;
        drop(messages);
        match task.await.map_err(|error| Error::internal("an upload did not finish").caused_by(error))? {
            Ok(()) => self.lake.confirm_upload(&self.key, bytes).await,
            Err(error) => self.lake.compare(&self.key, bytes, Some(error)).await,
        }
    }
}

impl Lake {
    async fn upload_as_it_comes(&self, key: &Key, messages: mpsc::Receiver<Message>) -> Result<()> {
        let path = self.writable(key)?;
        if self.size(path.as_ref()).await?.is_some() {
            return Err(Error::new(ErrorKind::Transient, "the key of an upload is there already").with("key", key));
        }
        let failed = |error| transient_if_missing(store_error("cannot upload", path.as_ref(), error));
        let mut upload = self.store().put_multipart(&path).await.map_err(failed)?;
        match send_as_they_come(upload.as_mut(), messages).await {
            Ok(true) => Ok(()),
            unfinished => {
                let _ = upload.abort().await;
                unfinished.map(|_| ()).map_err(failed)
            }
        }
    }
}

/// Tells whether the file was completed, or given up by whoever wrote it.
async fn send_as_they_come(
    upload: &mut dyn MultipartUpload,
    mut messages: mpsc::Receiver<Message>,
) -> object_store::Result<bool> {
    let mut in_flight = FuturesUnordered::new();
    loop {
        tokio::select! {
            message = messages.recv(), if in_flight.len() < UploadPolicy::IN_FLIGHT => match message {
                Some(Message::Part(bytes)) => in_flight.push(upload.put_part(PutPayload::from_bytes(bytes))),
                Some(Message::End) => break,
                None => return Ok(false),
            },
            Some(sent) = in_flight.next() => sent?,
        }
    }
    in_flight.try_collect::<()>().await?;
    upload.complete().await.map(|_| true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use object_store::ObjectStore;
    use object_store::memory::InMemory;
    use windrow_core::ledger::Reason;

    use super::*;
    use crate::ledger::{ClaimRequest, Claimed};
    use crate::put_once::RetryPolicy;
    use crate::table::LakeTable;

    async fn claimed(store: Arc<dyn ObjectStore>) -> (LakeTable, Claimed) {
        let lake = Lake::with_client(store, RetryPolicy::IMMEDIATE, Arc::default(), UploadPolicy::new(16));
        let dataset = "0190a0b0-c0d0-7000-8000-000000000001";
        let table = lake.create_table(&"clean.flights".parse().unwrap(), &"day".parse().unwrap(), dataset).await.unwrap();
        let request = ClaimRequest {
            window: "2013-01-01".parse().unwrap(),
            run_id: "run-1".parse().unwrap(),
            attempt: "0190a0b0c0d070008000000000000001".parse().unwrap(),
            execution_id: None,
            reason: Reason::Schedule,
            code: windrow_core::ledger::CodeVersion { version: "0.1.0".into(), git: None },
            config_sha256: "c".repeat(64),
            seen_head: None,
        };
        let claimed = table.claim(&request).await.unwrap();
        (table, claimed)
    }

    async fn parts_of(store: &InMemory) -> Vec<(String, u64)> {
        let listed: Vec<_> = store.list(Some(&Path::from("store/clean/flights/data"))).try_collect().await.unwrap();
        listed.into_iter().map(|object| (object.location.to_string(), object.size)).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_goes_up_while_it_is_written_and_is_there_when_it_is_complete() {
        let store = Arc::new(InMemory::new());
        let (table, claimed) = claimed(store.clone()).await;
        for (number, length) in (0..).zip([1_usize, 16, 17, 32, 33, 64, 1000]) {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut spool = table.spool_part(&claimed, number, length, &Handle::current()).unwrap();
            for piece in bytes.chunks(5) {
                spool.write_all(piece).unwrap();
                tokio::task::yield_now().await;
            }
            let spooled = spool.seal().unwrap();
            assert_eq!(parts_of(&store).await.len(), number as usize, "not before it is complete");
            let entry = table.stage_spooled(&claimed, number, spooled, 1, serde_json::Value::Null).await.unwrap();
            assert_eq!(table.lake().get_bytes(&table.file_key(&entry)).await.unwrap(), bytes);
            assert_eq!((entry.size, entry.sha256), (length as u64, windrow_core::canonical::sha256_hex(&bytes)));
        }
    }

    /// On one thread, so that nothing is sent while it is offered.
    #[tokio::test]
    async fn what_is_written_is_sent_before_the_rest_is_there() {
        let store = Arc::new(InMemory::new());
        let (table, claimed) = claimed(store.clone()).await;
        let key = Key::Part(table.name().clone(), table.part_path(&claimed, 0, &"a".repeat(64)).unwrap());
        let mut uploading = Uploading::new(table.lake(), key, &Handle::current()).unwrap();
        let bytes = Bytes::from((0..200).collect::<Vec<u8>>());
        uploading.offer(&bytes[..16]);
        assert!(uploading.begun().is_none(), "one part alone is put whole");
        let mut sent = Vec::new();
        while uploading.sent < 192 {
            uploading.offer(&bytes);
            sent.push(uploading.sent);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(sent.first(), Some(&32), "two parts have a place at once");
        assert!(matches!(uploading.finish(&bytes).await.unwrap(), PutOnce::Mine));
        assert_eq!(parts_of(&store).await.len(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_is_given_up_is_never_there() {
        let store = Arc::new(InMemory::new());
        let (table, claimed) = claimed(store.clone()).await;
        let mut spool = table.spool_part(&claimed, 0, 0, &Handle::current()).unwrap();
        spool.write_all(&[7; 100]).unwrap();
        drop(spool);
        let mut spool = table.spool_part(&claimed, 0, 0, &Handle::current()).unwrap();
        spool.write_all(&[8; 100]).unwrap();
        drop(spool.seal().unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(parts_of(&store).await, []);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_file_under_the_key_is_never_replaced() {
        let store = Arc::new(InMemory::new());
        let (table, claimed) = claimed(store.clone()).await;
        let write = async |bytes: &[u8]| {
            let mut spool = table.spool_part(&claimed, 0, 0, &Handle::current()).unwrap();
            spool.write_all(bytes).unwrap();
            table.stage_spooled(&claimed, 0, spool.seal().unwrap(), 1, serde_json::Value::Null).await
        };
        let first = write(&[7; 100]).await.unwrap();
        assert_eq!(write(&[7; 100]).await.unwrap(), first, "the same bytes once more");
        assert!(write(&[8; 100]).await.is_err());
        assert_eq!(table.lake().get_bytes(&table.file_key(&first)).await.unwrap(), [7; 100][..]);
    }
}
