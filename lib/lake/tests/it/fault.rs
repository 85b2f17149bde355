//! A store that fails on purpose and writes down every operation.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What goes wrong at the planned operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails once and does nothing: the connection is refused.
    Refused,
    /// It fails and does nothing, and so does every other try at its key, until the store is healed.
    Unavailable,
    /// A write is done and its reply is lost; the answer of a read breaks off in the middle.
    ReplyLost,
    /// A create is done, and a try of the client's own then answers "already exists".
    Disowned,
    /// A create is not done, and the answer is "already exists" all the same.
    Conflict,
    /// A write fails, and is done right after the actor's next operation.
    LandsNext,
    /// A write and every other try at its key fails, and it is done once the actor does something else.
    LandsMovedOn,
    /// A write fails, and is done by [`FaultStore::land`] after the actor is gone.
    LandsAfterwards,
    /// It and everything after it fails: the network is gone.
    CutOff,
    /// It is done, and its reply and everything after it fails.
    CutOffAfter,
    /// The actor ends before it.
    Kill,
    /// The actor ends when it is done.
    KillAfter,
}

impl Fault {
    pub(crate) const ALL: [Fault; 12] = [
        Fault::Refused,
        Fault::Unavailable,
        Fault::ReplyLost,
        Fault::Disowned,
        Fault::Conflict,
        Fault::LandsNext,
        Fault::LandsMovedOn,
        Fault::LandsAfterwards,
        Fault::CutOff,
        Fault::CutOffAfter,
        Fault::Kill,
        Fault::KillAfter,
    ];

    /// The faults that the actor survives and that ask nothing of the test around it.
    pub(crate) const ANSWERED: [Fault; 4] = [Fault::Refused, Fault::ReplyLost, Fault::CutOff, Fault::CutOffAfter];

    /// Strikes each operation with each of [`Fault::ANSWERED`] until `survives` says that there is no such operation; returns
    /// how many there are.
    pub(crate) async fn at_every_operation(survives: impl AsyncFn(usize, Fault) -> bool) -> usize {
        let mut operations = 0;
        while survives(operations, Fault::ANSWERED[0]).await {
            for fault in &Fault::ANSWERED[1..] {
                survives(operations, *fault).await;
            }
            operations += 1;
        }
        operations
    }

    /// Tells whether the fault says something about this operation that no other fault says.
    pub(crate) fn applies_to(self, operation: &Operation) -> bool {
        match self {
            Fault::Refused | Fault::Unavailable | Fault::ReplyLost | Fault::CutOff | Fault::Kill => true,
            Fault::Disowned | Fault::Conflict => operation.kind == Kind::Create,
            _ => operation.kind.is_write(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    List,
    Create,
    Overwrite,
    Update,
    Delete,
    Copy,
    Multipart,
}

impl Kind {
    pub(crate) fn is_write(self) -> bool {
        !matches!(self, Kind::Get | Kind::List)
    }
}

/// One operation: what it was, on which key or folder, and whether it reached the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    pub(crate) key: String,
    pub(crate) if_match: bool,
    pub(crate) is_done: bool,
}

/// A place where the store waits: it says that it got there, and goes on when it is told to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    pub(crate) reached: Arc<Notify>,
    pub(crate) go: Arc<Notify>,
}

impl Gate {
    /// Waits until a task stands here; `false` when it ended without coming by.
    pub(crate) async fn stops<T>(&self, task: &JoinHandle<T>) -> bool {
        tokio::select! {
            () = self.reached.notified() => true,
            () = async { while !task.is_finished() { tokio::task::yield_now().await } } => false,
        }
    }
}

/// A write whose reply the actor did not wait for.
#[derive(Debug)]
enum Late {
    Put(Path, PutPayload, PutOptions),
    Delete(Path),
    Copy(Path, Path, CopyOptions),
}

#[derive(Debug, Default)]
struct State {
    gate: Option<(usize, Gate)>,
    plan: Option<(usize, Fault)>,
    /// What failed at the planned operation, once it did.
    struck: Option<Operation>,
    late: Vec<Late>,
    is_landing_next: bool,
    operations: usize,
    log: Vec<Operation>,
    ignores_create: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
    killed: Arc<Notify>,
}

/// What the store does with one operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Work,
    /// Do nothing and fail.
    Refuse,
    /// Do it and fail.
    Forget,
    /// Do it and say that it exists.
    Disown,
    /// Do nothing and say that it exists.
    Deny,
    /// Do it later and fail now.
    Postpone,
    /// Do nothing and never answer.
    Kill,
    /// Do it and never answer.
    KillAfter,
}

impl Step {
    fn of(fault: Fault) -> Step {
        match fault {
            Fault::Refused | Fault::Unavailable | Fault::CutOff => Step::Refuse,
            Fault::ReplyLost | Fault::CutOffAfter => Step::Forget,
            Fault::Disowned => Step::Disown,
            Fault::Conflict => Step::Deny,
            Fault::LandsNext | Fault::LandsMovedOn | Fault::LandsAfterwards => Step::Postpone,
            Fault::Kill => Step::Kill,
            Fault::KillAfter => Step::KillAfter,
        }
    }

    fn is_done(self) -> bool {
        matches!(self, Step::Work | Step::Forget | Step::Disown | Step::KillAfter)
    }
}

impl FaultStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        FaultStore { inner, state: Arc::default(), killed: Arc::default() }
    }

    /// The same plan and log over a store that was opened anew.
    pub(crate) fn over(&self, inner: Arc<dyn ObjectStore>) -> Self {
        FaultStore { inner, ..self.clone() }
    }

    /// Plans a fault at the n-th operation from now, from 0.
    pub(crate) fn plan(&self, operation: usize, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        (state.operations, state.struck) = (0, None);
        state.plan = Some((operation, fault));
    }

    /// Makes the n-th operation from now, from 0, wait at the gate before it does anything.
    pub(crate) fn gate(&self, operation: usize) -> Gate {
        let mut state = self.state.lock().unwrap();
        state.operations = 0;
        let gate = Gate::default();
        state.gate = Some((operation, gate.clone()));
        gate
    }

    /// The store without faults, gates and counting.
    pub(crate) fn inner(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner)
    }

    /// Runs an actor until it ends or is killed by the plan; `None` when it was killed.
    pub(crate) async fn until_killed<T>(&self, actor: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.killed.notified() => None,
            done = actor => Some(done),
        }
    }

    /// Ends the plan. What is to land late still does, with [`FaultStore::land`].
    pub(crate) fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        (state.plan, state.gate, state.is_landing_next) = (None, None, false);
    }

    /// Does what was postponed, and returns how much that was. The answers reach nobody.
    pub(crate) async fn land(&self) -> usize {
        let late = std::mem::take(&mut self.state.lock().unwrap().late);
        let landed = late.len();
        for write in late {
            let _ = match write {
                Late::Put(key, payload, options) => self.inner.put_opts(&key, payload, options).await.map(|_| ()),
                Late::Delete(key) => self.delete_one(key).await.map(|_| ()),
                Late::Copy(from, to, options) => self.inner.copy_opts(&from, &to, options).await,
            };
        }
        landed
    }

    /// How many operations there were since the last plan or gate.
    pub(crate) fn operations(&self) -> usize {
        self.state.lock().unwrap().operations
    }

    /// Makes every create an overwrite, as stores without conditional writes do.
    pub(crate) fn ignore_create(&self) {
        self.state.lock().unwrap().ignores_create = true;
    }

    /// The operation that the plan met, when it did.
    pub(crate) fn struck(&self) -> Option<Operation> {
        self.state.lock().unwrap().struck.clone()
    }

    /// Every operation since the store was made.
    pub(crate) fn log(&self) -> Vec<Operation> {
        self.state.lock().unwrap().log.clone()
    }

    /// The writes among them that were done.
    pub(crate) fn writes(&self) -> Vec<Operation> {
        self.log().into_iter().filter(|operation| operation.kind.is_write() && operation.is_done).collect()
    }

    async fn wait(&self) {
        let gate = {
            let mut state = self.state.lock().unwrap();
            let number = state.operations;
            state.gate.take_if(|(at, _)| *at == number)
        };
        if let Some((_, gate)) = gate {
            gate.reached.notify_one();
            gate.go.notified().await;
        }
    }

    /// Counts an operation and says what becomes of it.
    async fn step(&self, kind: Kind, key: &Path, if_match: bool) -> Step {
        self.wait().await;
        let mut operation = Operation { kind, key: key.to_string(), if_match, is_done: true };
        let (step, is_landing) = {
            let mut state = self.state.lock().unwrap();
            let number = state.operations;
            state.operations += 1;
            let step = state.step(number, &operation);
            operation.is_done = step.is_done();
            if state.plan.is_some_and(|(at, _)| at == number) {
                state.struck = Some(operation.clone());
            }
            state.log.push(operation);
            (step, state.is_landing(number))
        };
        if is_landing {
            self.land().await;
        }
        step
    }

    /// Lands what was to land after this operation.
    async fn after(&self) {
        let is_landing = std::mem::take(&mut self.state.lock().unwrap().is_landing_next);
        if is_landing {
            self.land().await;
        }
    }

    async fn delete_one(&self, key: Path) -> Result<Path> {
        let one = futures::stream::once(async move { Ok(key) }).boxed();
        self.inner.delete_stream(one).next().await.unwrap_or_else(|| Err(lost()))
    }

    /// Does the operation, or not, and answers what the step says.
    async fn act<T>(&self, step: Step, key: &Path, late: Late, work: impl Future<Output = Result<T>>) -> Result<T> {
        let result = match step {
            Step::Work => work.await,
            Step::Refuse => Err(lost()),
            Step::Forget => work.await.and(Err(lost())),
            Step::Disown => work.await.and(Err(exists(key))),
            Step::Deny => Err(exists(key)),
            Step::Postpone => {
                self.state.lock().unwrap().late.push(late);
                return Err(lost());
            }
            Step::Kill => self.end().await,
            Step::KillAfter => {
                let _ = work.await;
                self.end().await
            }
        };
        self.after().await;
        result
    }

    /// A read, which a fault refuses or leaves without an answer; whether it is cut short is for the caller.
    async fn read(&self, step: Step) -> Result<()> {
        let answer = match step {
            Step::Work | Step::Forget => Ok(()),
            Step::Kill | Step::KillAfter => self.end().await,
            Step::Refuse | Step::Disown | Step::Deny | Step::Postpone => Err(lost()),
        };
        self.after().await;
        answer
    }

    async fn end<T>(&self) -> T {
        self.killed.notify_one();
        std::future::pending().await
    }
}

impl State {
    fn step(&self, number: usize, operation: &Operation) -> Step {
        let Some((at, fault)) = self.plan else { return Step::Work };
        let is_same_key = self.struck.as_ref().is_some_and(|struck| struck.key == operation.key);
        match fault {
            _ if number == at => Step::of(fault),
            Fault::CutOff | Fault::CutOffAfter if number > at => Step::Refuse,
            Fault::Unavailable if is_same_key => Step::Refuse,
            Fault::LandsMovedOn if is_same_key && !self.late.is_empty() => Step::Refuse,
            _ => Step::Work,
        }
    }

    /// Tells whether what is late lands before this operation, and notes when it lands after it.
    fn is_landing(&mut self, number: usize) -> bool {
        let Some((at, fault)) = self.plan.filter(|(at, _)| number > *at) else { return false };
        let is_elsewhere = self.struck.as_ref().map(|struck| &struck.key) != self.log.last().map(|last| &last.key);
        self.is_landing_next = fault == Fault::LandsNext && number == at + 1;
        fault == Fault::LandsMovedOn && is_elsewhere
    }
}

fn lost() -> Error {
    Error::Generic { store: "fault", source: "connection reset".into() }
}

fn exists(key: &Path) -> Error {
    Error::AlreadyExists { path: key.to_string(), source: "412 Precondition Failed".into() }
}

/// A body that ends with an error in the middle.
async fn cut(result: GetResult) -> Result<GetResult> {
    let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
    let bytes = result.bytes().await?;
    let half = bytes.slice(..bytes.len() / 2);
    let payload = GetResultPayload::Stream(futures::stream::iter([Ok(half), Err(lost())]).boxed());
    Ok(GetResult { payload, meta, range, attributes })
}

impl std::fmt::Display for FaultStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let kind = match &options.mode {
            PutMode::Create => Kind::Create,
            PutMode::Overwrite => Kind::Overwrite,
            PutMode::Update(_) => Kind::Update,
        };
        let step = self.step(kind, location, kind == Kind::Update).await;
        if self.state.lock().unwrap().ignores_create {
            options.mode = PutMode::Overwrite;
        }
        let late = Late::Put(location.clone(), payload.clone(), options.clone());
        self.act(step, location, late, self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        match self.step(Kind::Multipart, location, false).await {
            Step::Work => self.inner.put_multipart_opts(location, options).await,
            step => self.read(step).await.and(Err(lost())),
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let step = self.step(Kind::Get, location, options.if_match.is_some()).await;
        self.read(step).await?;
        let is_head = options.head;
        let result = self.inner.get_opts(location, options).await?;
        match step {
            Step::Forget if is_head => Err(lost()),
            Step::Forget => cut(result).await,
            _ => Ok(result),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let step = self.step(Kind::Get, location, false).await;
        self.read(step).await?;
        if step == Step::Forget { Err(lost()) } else { self.inner.get_ranges(location, ranges).await }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = locations.and_then(move |location| {
            let store = store.clone();
            async move {
                let step = store.step(Kind::Delete, &location, false).await;
                let late = Late::Delete(location.clone());
                store.act(step, &location, late, store.delete_one(location.clone())).await
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let folder = prefix.clone().unwrap_or_default();
            let step = store.step(Kind::List, &folder, false).await;
            match store.read(step).await {
                Ok(()) if step == Step::Forget => {
                    let failed = futures::stream::once(async { Err(lost()) });
                    store.inner.list(prefix.as_ref()).take(1).chain(failed).boxed()
                }
                Ok(()) => store.inner.list(prefix.as_ref()),
                Err(error) => futures::stream::once(async { Err(error) }).boxed(),
            }
        };
        futures::stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let step = self.step(Kind::List, &prefix.cloned().unwrap_or_default(), false).await;
        self.read(step).await?;
        if step == Step::Forget { Err(lost()) } else { self.inner.list_with_delimiter(prefix).await }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let kind = if options.mode == CopyMode::Create { Kind::Create } else { Kind::Copy };
        let step = self.step(kind, to, false).await;
        let late = Late::Copy(from.clone(), to.clone(), options.clone());
        self.act(step, to, late, self.inner.copy_opts(from, to, options)).await
    }
}
