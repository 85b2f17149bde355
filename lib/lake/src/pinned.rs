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
use crate::pinned_local::LocalReader;
use crate::store::{Lake, parse_path};

/// What a look at a file's header asks for: several times what a header has, and the whole of a small file.
const PEEK_BYTES: u64 = 256 * 1024;

/// Large enough that a request's latency is small beside its transfer, small enough for many readers at once.
const CHUNK_BYTES: u64 = 8 * 1024 * 1024;

/// How many chunks are asked for before they are needed: enough to keep a connection to S3 busy.
const CHUNKS_AHEAD: usize = 2;

/// A blocking reader of one raw file, as it was listed.
///
/// On a local disk it reads the file itself, from its first `read` on. On other stores it makes ranged requests, the first
/// of them when it is opened, and fetches two chunks ahead, so it holds at most three chunks of 8 MiB. The requests work
/// on the runtime's threads, so it may be read from any thread but those: from rayon, `spawn_blocking` or a plain thread.
/// Errors of `read` carry ours; [`error_from_read`](crate::error_from_read) takes them out.
#[derive(Debug)]
pub struct PinnedReader {
    input: RawInput,
    source: Source,
    has_failed: bool,
}

#[derive(Debug)]
enum Source {
    Local(LocalReader),
    Store(StoreReader),
}

/// The requests for one object.
#[derive(Debug)]
struct StoreReader {
    lake: Lake,
    input: RawInput,
    runtime: Handle,
    chunk: Bytes,
    ahead: VecDeque<Receiver<Result<Bytes>>>,
    next: u64,
    has_asked: bool,
    is_peek: bool,
    is_confirmed: bool,
}

impl Lake {
    /// Opens a listed raw file for blocking reads from its first to its last byte.
    pub fn read_pinned(&self, input: &RawInput, runtime: &Handle) -> PinnedReader {
        self.open_pinned(input, runtime, false)
    }

    /// Opens a listed raw file for a look at its first bytes. It may be read on, but asks for no more before it is.
    pub fn peek_pinned(&self, input: &RawInput, runtime: &Handle) -> PinnedReader {
        self.open_pinned(input, runtime, true)
    }

    fn open_pinned(&self, input: &RawInput, runtime: &Handle, is_peek: bool) -> PinnedReader {
        let source = match self.direct() {
            Some(local) => Source::Local(LocalReader::new(local.file(&input.key), input)),
            None => Source::Store(StoreReader::new(self, input, runtime, is_peek)),
        };
        PinnedReader { input: input.clone(), source, has_failed: false }
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
}

impl Read for PinnedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A read after a failure would go on behind a gap.
        if self.has_failed {
            return Err(io::Error::other(Error::internal("read on after a failed read").with("key", &self.input.key)));
        }
        let read = match &mut self.source {
            Source::Local(reader) => reader.read(buffer),
            Source::Store(reader) => reader.read(buffer),
        };
        self.has_failed = read.is_err();
        read.map_err(io::Error::other)
    }
}

impl StoreReader {
    fn new(lake: &Lake, input: &RawInput, runtime: &Handle, is_peek: bool) -> Self {
        let mut reader = StoreReader {
            lake: lake.clone(),
            input: input.clone(),
            runtime: runtime.clone(),
            chunk: Bytes::new(),
            ahead: VecDeque::new(),
            next: 0,
            has_asked: false,
            is_peek,
            is_confirmed: false,
        };
        if is_peek {
            reader.request(PEEK_BYTES)
        } else {
            reader.request_ahead()
        }
        reader
    }

    fn request_ahead(&mut self) {
        // An empty file is requested too, once: that it is still there and still empty has to be known.
        while self.ahead.len() <= CHUNKS_AHEAD && (self.next < self.input.size || !self.has_asked) {
            self.request(CHUNK_BYTES);
        }
    }

    fn request(&mut self, length: u64) {
        let start = self.next;
        let end = self.input.size.min(start.saturating_add(length));
        (self.next, self.has_asked) = (end, true);
        let (lake, input) = (self.lake.clone(), self.input.clone());
        let chunk = self.on_runtime(async move { lake.get_pinned_range(&input, start..end).await });
        self.ahead.push_back(chunk);
    }

    fn fetch(&mut self) -> Result<Option<Bytes>> {
        if !self.is_peek || self.ahead.is_empty() {
            self.request_ahead();
        }
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

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.chunk.is_empty() {
            match self.fetch()? {
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

fn receive<T>(waiting: &Receiver<Result<T>>) -> Result<T> {
    waiting.recv().map_err(|error| Error::internal("the runtime stopped during a read").caused_by(error))?
}

pub(crate) fn changed(input: &RawInput) -> Error {
    Error::new(ErrorKind::Transient, "raw file changed while it was read").with("key", &input.key)
}

fn changed_or(input: &RawInput, error: object_store::Error) -> Error {
    use object_store::Error as Store;
    match error {
        Store::Precondition { .. } | Store::NotModified { .. } | Store::NotFound { .. } => changed(input).caused_by(error),
        other => store_error("cannot read", &input.key, other),
    }
}
