//! Pinned reads: the bytes of exactly the file that was listed, or a transient error.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::{Buf, Bytes};
use object_store::{GetOptions, GetRange, ObjectStoreExt};
use tokio::runtime::Handle;
use windrow_core::{Error, ErrorKind, Result};

use crate::classify::store_error;
use crate::discovery::RawInput;
use crate::store::{Lake, parse_path};

/// Large enough that a request's latency is small beside its transfer, small enough for many readers at once.
const CHUNK_BYTES: u64 = 8 * 1024 * 1024;

/// How many chunks are asked for before they are needed: enough to keep a connection to S3 busy.
const CHUNKS_AHEAD: usize = 2;

/// A blocking reader over ranged requests that fetches two chunks ahead, so it holds at most three chunks of 8 MiB.
///
/// It works on the runtime's threads, so it may be read from any thread but those: from rayon, `spawn_blocking` or a
/// plain thread. Errors of `read` carry ours; [`error_from_read`](crate::error_from_read) takes them out.
#[derive(Debug)]
pub struct PinnedReader {
    lake: Lake,
    input: RawInput,
    runtime: Handle,
    chunk: Bytes,
    ahead: VecDeque<Receiver<Result<Bytes>>>,
    next: u64,
    has_asked: bool,
    is_confirmed: bool,
    has_failed: bool,
}

impl Lake {
    /// Opens a listed raw file for blocking reads; nothing is requested yet.
    pub fn read_pinned(&self, input: &RawInput, runtime: &Handle) -> PinnedReader {
        PinnedReader {
            lake: self.clone(),
            input: input.clone(),
            runtime: runtime.clone(),
            chunk: Bytes::new(),
            ahead: VecDeque::new(),
            next: 0,
            has_asked: false,
            is_confirmed: false,
            has_failed: false,
        }
    }

    /// Reads a whole listed raw file.
    ///
    /// # Errors
    /// `Transient` when the file is not the listed one any more, else what the store says.
    pub async fn get_pinned(&self, input: &RawInput) -> Result<Bytes> {
        let bytes = self.get_pinned_range(input, 0..input.size).await?;
        self.confirm(input).await?;
        Ok(bytes)
    }

    async fn get_pinned_range(&self, input: &RawInput, range: Range<u64>) -> Result<Bytes> {
        let path = parse_path(&input.key)?;
        let expected = range.end - range.start;
        let range = (expected > 0).then_some(GetRange::Bounded(range));
        let options = GetOptions { if_match: input.etag.clone(), range, ..GetOptions::default() };
        let result = self.store().get_opts(&path, options).await.map_err(|error| changed_or(input, error))?;
        if result.meta.size != input.size || result.meta.last_modified.to_rfc3339() != input.last_modified && input.etag.is_none()
        {
            return Err(changed(input));
        }
        let bytes = result.bytes().await.map_err(|error| changed_or(input, error))?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length == expected) { Ok(bytes) } else { Err(changed(input)) }
    }

    /// A local file can change while a chunk is copied out of it, so it is looked at once more after the last byte. A
    /// request to an object store answers with one version and needs no such thing.
    async fn confirm(&self, input: &RawInput) -> Result<()> {
        if self.local().is_none() {
            return Ok(());
        }
        let meta = self.store().head(&parse_path(&input.key)?).await.map_err(|error| changed_or(input, error))?;
        if (meta.size, &meta.e_tag) == (input.size, &input.etag) { Ok(()) } else { Err(changed(input)) }
    }
}

impl PinnedReader {
    /// The file that is read.
    pub fn input(&self) -> &RawInput {
        &self.input
    }

    fn request_ahead(&mut self) {
        while self.ahead.len() <= CHUNKS_AHEAD {
            let start = self.next;
            let end = self.input.size.min(start.saturating_add(CHUNK_BYTES));
            // An empty file is requested too, once: that it is still there and still empty has to be known.
            if start == end && self.has_asked {
                return;
            }
            (self.next, self.has_asked) = (end, true);
            let (lake, input) = (self.lake.clone(), self.input.clone());
            let chunk = self.on_runtime(async move { lake.get_pinned_range(&input, start..end).await });
            self.ahead.push_back(chunk);
        }
    }

    fn fetch(&mut self) -> Result<Option<Bytes>> {
        self.request_ahead();
        if let Some(waiting) = self.ahead.pop_front() {
            return receive(&waiting).map(Some);
        }
        // Only when every chunk is here: any of them may have been copied last.
        if !self.is_confirmed {
            let (lake, input) = (self.lake.clone(), self.input.clone());
            receive(&self.on_runtime(async move { lake.confirm(&input).await }))?;
            self.is_confirmed = true;
        }
        Ok(None)
    }

    fn on_runtime<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Receiver<Result<T>> {
        let (sender, receiver) = sync_channel(1);
        self.runtime.spawn(async move {
            let _ = sender.send(work.await);
        });
        receiver
    }
}

fn receive<T>(waiting: &Receiver<Result<T>>) -> Result<T> {
    waiting.recv().map_err(|error| Error::internal("the runtime stopped during a read").caused_by(error))?
}

impl Read for PinnedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            // A read after a failure would go on behind a gap.
            if self.has_failed {
                return Err(io::Error::other(Error::internal("read on after a failed read").with("key", &self.input.key)));
            }
            let fetched = self.fetch();
            self.has_failed = fetched.is_err();
            match fetched.map_err(io::Error::other)? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.chunk.len());
        if let (Some(target), Some(source)) = (buffer.get_mut(..length), self.chunk.get(..length)) {
            target.copy_from_slice(source);
        }
        self.chunk.advance(length);
        Ok(length)
    }
}

fn changed(input: &RawInput) -> Error {
    Error::new(ErrorKind::Transient, "raw file changed while it was read").with("key", &input.key)
}

fn changed_or(input: &RawInput, error: object_store::Error) -> Error {
    use object_store::Error as Store;
    match error {
        Store::Precondition { .. } | Store::NotModified { .. } | Store::NotFound { .. } => changed(input).caused_by(error),
        other => store_error("cannot read", &input.key, other),
    }
}
