//! A lake whose store keeps a time of its own, which tests move; and what every key may have gone through.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use windrow_core::gate::Status;
use windrow_core::layout::Key;
use windrow_core::ledger::CheckDoc;
use windrow_core::{Epoch, PartitionWindow};
use windrow_lake::{Claimed, Lake, LakeTable, Output, RetryPolicy};

use crate::fault::{FaultStore, Kind};
use crate::support::{Backend, RAW_BYTES, RAW_KEY};
use crate::weed::{self, Identity, weed};

/// One store of each sort.
pub(crate) const EACH: [Backend; 3] = [Backend::Memory, Backend::LocalDisk, Backend::S3];

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Gives every object the time that was set when it was written.
#[derive(Clone, Debug)]
pub(crate) struct ClockStore {
    inner: Arc<dyn ObjectStore>,
    state: Arc<Mutex<Clock>>,
}

#[derive(Debug, Default)]
struct Clock {
    /// Seconds from the real time.
    ahead: i64,
    written: BTreeMap<Path, i64>,
}

impl ClockStore {
    fn new(inner: Arc<dyn ObjectStore>) -> Self {
        ClockStore { inner, state: Arc::default() }
    }

    fn stamp(&self, location: &Path) {
        let mut clock = self.state.lock().unwrap();
        let ahead = clock.ahead;
        clock.written.insert(location.clone(), ahead);
    }

    fn shift(&self, location: &Path, mut meta: ObjectMeta) -> ObjectMeta {
        let ahead = self.state.lock().unwrap().written.get(location).copied().unwrap_or_default();
        let distance = Duration::from_secs(ahead.unsigned_abs());
        meta.last_modified = if ahead < 0 { meta.last_modified - distance } else { meta.last_modified + distance };
        meta
    }
}

impl std::fmt::Display for ClockStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "aging {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for ClockStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = self.inner.put_opts(location, payload, options).await?;
        self.stamp(location);
        Ok(put)
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.stamp(location);
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut found = self.inner.get_opts(location, options).await?;
        found.meta = self.shift(location, found.meta);
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        self.inner.list(prefix).map_ok(move |meta| store.shift(&meta.location.clone(), meta)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.stamp(to);
        Ok(())
    }
}

/// A lake with one raw file, behind a store that ages, counts and fails.
pub(crate) struct AgingBench {
    pub(crate) lake: Lake,
    pub(crate) store: FaultStore,
    pub(crate) folder: Option<tempfile::TempDir>,
    clock: ClockStore,
}

impl AgingBench {
    pub(crate) async fn new(backend: Backend) -> AgingBench {
        let (inner, folder): (Arc<dyn ObjectStore>, _) = match backend {
            Backend::Memory => (Arc::new(InMemory::new()), None),
            Backend::S3 => {
                let client = weed().client(weed::BUCKET, Identity::Admin);
                (Arc::new(PrefixStore::new(client, weed().new_prefix())), None)
            }
            Backend::LocalDisk | Backend::DurableDisk => {
                let folder = tempfile::tempdir().unwrap();
                (Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()), Some(folder))
            }
        };
        inner.put(&Path::parse(RAW_KEY).unwrap(), PutPayload::from_static(RAW_BYTES)).await.unwrap();
        let clock = ClockStore::new(inner);
        let store = FaultStore::new(Arc::new(clock.clone()));
        let lake = lake_of(&store, folder.as_ref());
        AgingBench { lake, store, folder, clock }
    }

    /// The same store as a new process sees it.
    pub(crate) fn restart(&mut self) {
        self.lake = lake_of(&self.store, self.folder.as_ref());
    }

    /// The lake as another process sees it, past all faults and gates.
    pub(crate) fn other(&self) -> Lake {
        let root = self.folder.as_ref().map(|folder| folder.path().canonicalize().unwrap());
        Lake::with_store(Arc::new(self.clock.clone()), root, RetryPolicy::IMMEDIATE)
    }

    /// The table as a process that begins now sees it.
    pub(crate) async fn restarted(&mut self) -> LakeTable {
        self.restart();
        self.table().await
    }

    pub(crate) async fn table(&self) -> LakeTable {
        crate::support::open(&self.lake).await.unwrap()
    }

    /// Lets the store's time go on, and two seconds more: S3 tells whole seconds.
    pub(crate) fn pass(&self, time: Duration) {
        let time = time + Duration::from_secs(2);
        self.clock.state.lock().unwrap().ahead += i64::try_from(time.as_secs()).unwrap();
    }

    /// Sets the store's time back.
    pub(crate) fn set_back(&self, time: Duration) {
        self.clock.state.lock().unwrap().ahead -= i64::try_from(time.as_secs()).unwrap();
    }

    /// Puts an object that is not windrow's doing.
    pub(crate) async fn plant(&self, key: &str, bytes: &'static str) {
        let path = Path::parse(key).unwrap();
        self.clock.put(&path, PutPayload::from_static(bytes.as_bytes())).await.unwrap();
    }

    /// Every key of the lake.
    pub(crate) async fn keys(&self) -> BTreeSet<String> {
        let listed: Vec<ObjectMeta> = self.clock.inner.list(None).try_collect().await.unwrap();
        listed.into_iter().map(|meta| meta.location.to_string()).collect()
    }

    /// The keys of data files and evidence.
    pub(crate) async fn files(&self) -> BTreeSet<String> {
        let is_file = |key: &String| matches!(Key::parse(key), Some(Key::Part(..) | Key::Quarantine { .. }));
        self.keys().await.into_iter().filter(is_file).collect()
    }

    /// Registers, formats and raw files were at most created, data files and evidence at most created or copied to, and
    /// deleted by whoever may.
    pub(crate) async fn assert_only_legal_writes(&self) {
        for write in self.store.log().into_iter().filter(|operation| operation.kind.is_write()) {
            let key = Key::parse(&write.key).unwrap_or_else(|| panic!("{write:?} is outside the grammar"));
            let is_legal = match key {
                Key::Format(_) | Key::Register { .. } => write.kind == Kind::Create,
                Key::Part(..) => matches!(write.kind, Kind::Create | Kind::Copy | Kind::Delete),
                Key::Quarantine { .. } => matches!(write.kind, Kind::Create | Kind::Delete),
                _ => true,
            };
            assert!(is_legal, "{write:?}");
        }
        assert_eq!(self.lake.get_bytes(RAW_KEY).await.unwrap(), RAW_BYTES);
    }
}

fn lake_of(store: &FaultStore, folder: Option<&tempfile::TempDir>) -> Lake {
    let root = folder.map(|folder| folder.path().canonicalize().unwrap());
    Lake::with_store(Arc::new(store.clone()), root, RetryPolicy::IMMEDIATE)
}

/// Stages, checks with PASS and publishes, in the claim's own window.
pub(crate) async fn publish_in(table: &LakeTable, claimed: &Claimed, texts: &[&str]) -> windrow_core::Result<Epoch> {
    let mut files = Vec::new();
    for (number, text) in (0..).zip(texts) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        files.push(table.stage_part(claimed, number, bytes, 1, serde_json::Value::Null).await?);
    }
    let written = u64::try_from(files.len()).unwrap();
    let output = Output {
        inputs: vec![],
        contract: windrow_core::ledger::ContractRef { id: "flights".into(), version: "1.0.0".into(), sha256: "d".repeat(64) },
        rows: windrow_core::ledger::RowCounts { read: written, written, rejected: 0 },
        files,
    };
    let staged = table.put_staged(claimed, output).await?;
    let check = CheckDoc {
        staged_sha256: staged.sha256().to_owned(),
        profile: "default".into(),
        status: Status::Pass,
        failed_checks: vec![],
        run_id: "run-1".parse()?,
    };
    table.put_check(claimed, check).await?;
    let passed = table.passed_check(&claimed.window(), claimed.epoch()).await?;
    table.publish(&passed).await?;
    Ok(claimed.epoch())
}

/// Another window than the support's.
pub(crate) fn second_window() -> PartitionWindow {
    "2013-01-02".parse().unwrap()
}
