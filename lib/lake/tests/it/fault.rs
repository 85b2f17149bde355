//! A store that fails on purpose and writes down every write.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// What goes wrong at the planned operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails and does nothing.
    Before,
    /// It is done, and its reply is lost.
    ReplyLost,
    /// It and everything after it fails, as after kill -9.
    DiesBefore,
    /// It is done, and everything after it fails.
    DiesAfter,
}

impl Fault {
    pub(crate) const ALL: [Fault; 4] = [Fault::Before, Fault::ReplyLost, Fault::DiesBefore, Fault::DiesAfter];
}

/// One write: what it was, and to which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) operation: &'static str,
    pub(crate) key: String,
}

#[derive(Debug, Default)]
struct State {
    operations: usize,
    plan: Option<(usize, Fault)>,
    writes: Vec<Write>,
    ignores_create: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Work,
    Refuse,
    Forget,
}

impl FaultStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        FaultStore { inner, state: Arc::default() }
    }

    /// Plans a fault at the n-th operation from now, from 0.
    pub(crate) fn plan(&self, operation: usize, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state.operations = 0;
        state.plan = Some((operation, fault));
    }

    pub(crate) fn heal(&self) {
        self.state.lock().unwrap().plan = None;
    }

    /// Makes every create an overwrite, as stores without conditional writes do.
    pub(crate) fn ignore_create(&self) {
        self.state.lock().unwrap().ignores_create = true;
    }

    pub(crate) fn operations(&self) -> usize {
        self.state.lock().unwrap().operations
    }

    pub(crate) fn writes(&self) -> Vec<Write> {
        self.state.lock().unwrap().writes.clone()
    }

    fn step(&self, write: Option<(&'static str, &Path)>) -> Step {
        let mut state = self.state.lock().unwrap();
        let number = state.operations;
        state.operations += 1;
        let step = match state.plan {
            Some((at, Fault::Before)) if at == number => Step::Refuse,
            Some((at, Fault::ReplyLost)) if at == number => Step::Forget,
            Some((at, Fault::DiesBefore)) if at <= number => Step::Refuse,
            Some((at, Fault::DiesAfter)) if at == number => Step::Forget,
            Some((at, Fault::DiesAfter)) if at < number => Step::Refuse,
            _ => Step::Work,
        };
        if let Some((operation, key)) = write.filter(|_| step != Step::Refuse) {
            state.writes.push(Write { operation, key: key.to_string() });
        }
        step
    }
}

fn lost() -> object_store::Error {
    object_store::Error::Generic { store: "fault", source: "connection reset".into() }
}

fn answer<T>(step: Step, result: Result<T>) -> Result<T> {
    if step == Step::Forget { Err(lost()) } else { result }
}

impl std::fmt::Display for FaultStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let operation = if options.mode == PutMode::Create { "create" } else { "overwrite" };
        let step = self.step(Some((operation, location)));
        if step == Step::Refuse {
            return Err(lost());
        }
        if self.state.lock().unwrap().ignores_create {
            options.mode = PutMode::Overwrite;
        }
        answer(step, self.inner.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        match self.step(Some(("multipart", location))) {
            Step::Work => self.inner.put_multipart_opts(location, options).await,
            Step::Refuse | Step::Forget => Err(lost()),
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.step(None) {
            Step::Work => self.inner.get_opts(location, options).await,
            Step::Refuse | Step::Forget => Err(lost()),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.step(None) {
            Step::Work => self.inner.get_ranges(location, ranges).await,
            Step::Refuse | Step::Forget => Err(lost()),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = locations.then(move |location| {
            let store = store.clone();
            async move {
                let location = location?;
                let step = store.step(Some(("delete", &location)));
                if step == Step::Refuse {
                    return Err(lost());
                }
                let one = futures::stream::once(async move { Ok(location) }).boxed();
                let result = store.inner.delete_stream(one).next().await.unwrap_or_else(|| Err(lost()));
                answer(step, result)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.step(None) {
            Step::Work => self.inner.list(prefix),
            Step::Refuse | Step::Forget => futures::stream::once(async { Err(lost()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        match self.step(None) {
            Step::Work => self.inner.list_with_delimiter(prefix).await,
            Step::Refuse | Step::Forget => Err(lost()),
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let step = self.step(Some(("copy", to)));
        if step == Step::Refuse {
            return Err(lost());
        }
        answer(step, self.inner.copy_opts(from, to, options).await)
    }
}
