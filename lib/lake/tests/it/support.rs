//! Lakes to test on, and one whole trip of a window.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use object_store::aws::AwsCredential;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, StaticCredentialProvider};
use tempfile::TempDir;
use windrow_core::gate::Status;
use windrow_core::ledger::{CheckDoc, CodeVersion, ContractRef, Reason, RowCounts, Staged, Stored, inputs_sha256};
use windrow_core::{Attempt, Epoch, PartitionWindow, Result};
use windrow_lake::{ClaimRequest, Claimed, Key, Lake, LakeTable, Output, RetryPolicy, S3Settings, ViewState};

use crate::fault::{FaultStore, Kind};
use crate::ledger_model::Snapshot;
use crate::weed::{self, Identity, weed};

pub(crate) const RAW_KEY: &str = "raw/flights/2013-01-01/flights.csv";
pub(crate) const RAW_BYTES: &[u8] = b"day,flight\n2013-01-01,UA1545\n";

/// The stores a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Memory,
    /// The plain local store of the object_store crate.
    LocalDisk,
    /// What a lake in a folder is: whole or absent creates, flushed.
    DurableDisk,
    /// SeaweedFS.
    S3,
}

impl Backend {
    /// The stores of this process: no server, no flushing.
    pub(crate) const NEAR: [Backend; 2] = [Backend::Memory, Backend::LocalDisk];
    pub(crate) const ALL: [Backend; 4] = [Backend::Memory, Backend::LocalDisk, Backend::DurableDisk, Backend::S3];
}

/// Where the lakes of one test are made. On S3 they share the client of a lake as the product opens it, and each has a
/// prefix of its own.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) backend: Backend,
    s3: Option<Arc<dyn ObjectStore>>,
    benches: Arc<AtomicUsize>,
}

impl Site {
    pub(crate) async fn new(backend: Backend) -> Site {
        let mut s3 = None;
        if backend == Backend::S3 {
            let _ = s3_lake(weed::BUCKET, Some(&weed().new_prefix()), Identity::Admin).await.decorated(
                RetryPolicy::IMMEDIATE,
                |store| {
                    s3 = Some(Arc::clone(&store));
                    store
                },
            );
        }
        Site { backend, s3, benches: Arc::default() }
    }

    /// A lake of nothing but a raw file.
    pub(crate) async fn bench(&self) -> Bench {
        let (inner, folder): (Arc<dyn ObjectStore>, _) = match &self.s3 {
            Some(s3) => {
                let number = self.benches.fetch_add(1, Ordering::Relaxed);
                (Arc::new(PrefixStore::new(Arc::clone(s3), format!("b{number}"))), None)
            }
            None if self.backend == Backend::Memory => (Arc::new(InMemory::new()), None),
            None => {
                let folder = new_folder();
                (Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()), Some(folder))
            }
        };
        inner.put(&Path::parse(RAW_KEY).unwrap(), PutPayload::from_static(RAW_BYTES)).await.unwrap();
        let store = FaultStore::new(inner);
        let mut bench = Bench { lake: Lake::in_memory(), store, folder, backend: self.backend };
        bench.restart();
        bench
    }
}

/// Opens a lake on the test server.
pub(crate) async fn s3_lake(bucket: &str, prefix: Option<&str>, identity: Identity) -> Lake {
    let (key_id, secret_key) = identity.credentials();
    let credential = AwsCredential { key_id: key_id.into(), secret_key: secret_key.into(), token: None };
    let url = prefix.map_or(format!("s3://{bucket}"), |prefix| format!("s3://{bucket}/{prefix}"));
    let credentials = Arc::new(StaticCredentialProvider::new(credential));
    let settings = S3Settings::new(url.parse().unwrap(), "us-east-1", credentials);
    Lake::open_s3(&S3Settings { endpoint: Some(weed().endpoint().to_owned()), ..settings }).await.unwrap()
}

/// A folder in memory where there is such a thing: flushing a thousand lakes to a disk takes minutes.
fn new_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A lake with one raw file, behind a store that counts and fails.
pub(crate) struct Bench {
    pub(crate) lake: Lake,
    pub(crate) store: FaultStore,
    pub(crate) folder: Option<TempDir>,
    backend: Backend,
}

impl Bench {
    pub(crate) async fn new(backend: Backend) -> Bench {
        Site::new(backend).await.bench().await
    }

    /// Starts anew as a new process does.
    pub(crate) fn restart(&mut self) {
        self.lake = self.process();
    }

    /// One more process on the same store, with the same faults and the same log.
    pub(crate) fn process(&self) -> Lake {
        self.other_process().decorated(RetryPolicy::IMMEDIATE, |inner| Arc::new(self.store.over(inner)))
    }

    /// The lake as a process sees it that no fault meets.
    pub(crate) fn other_process(&self) -> Lake {
        let root = self.folder.as_ref().map(|folder| folder.path().canonicalize().unwrap());
        match (&root, self.backend) {
            (Some(root), Backend::DurableDisk) => Lake::open_local(root).unwrap(),
            _ => Lake::with_store(self.store.inner(), root, RetryPolicy::IMMEDIATE),
        }
    }

    /// The table as a process that begins now sees it.
    pub(crate) async fn restarted(&mut self) -> LakeTable {
        self.restart();
        self.table().await
    }

    pub(crate) async fn table(&self) -> LakeTable {
        open(&self.lake).await.unwrap()
    }

    /// What the store holds now.
    pub(crate) async fn snapshot(&self, earlier: &Snapshot) -> Snapshot {
        Snapshot::take(&self.store.inner(), earlier).await
    }

    /// Every write was of a key of the grammar, keys that are written once were only created, and raw is as it was.
    pub(crate) async fn assert_only_legal_writes(&self) {
        self.assert_legal_log();
        assert_eq!(self.lake.get_bytes(RAW_KEY).await.unwrap(), RAW_BYTES);
        if let Some(folder) = &self.folder {
            for file in files_below(folder.path()) {
                assert!(file == RAW_KEY || Key::parse(&file).is_some(), "{file} is outside the grammar");
            }
        }
    }

    /// Every write that was offered was of a key of the grammar; keys that are written once were only created, raw was
    /// left alone, and nothing but pinned reads of raw depended on an entity tag.
    pub(crate) fn assert_legal_log(&self) {
        for operation in self.store.log() {
            let is_raw = operation.key.starts_with("raw/");
            assert!(!operation.if_match || is_raw && operation.kind == Kind::Get, "{operation:?}");
            if operation.kind.is_write() {
                assert!(!is_raw, "{operation:?}");
                let key = Key::parse(&operation.key).unwrap_or_else(|| panic!("{operation:?} is outside the grammar"));
                let is_collected = operation.kind == Kind::Delete && matches!(key, Key::Part(..));
                let is_legal = !key.is_write_once() || operation.kind == Kind::Create || is_collected;
                assert!(is_legal, "{operation:?} overwrites or deletes");
            }
        }
    }
}

pub(crate) fn files_below(root: &std::path::Path) -> Vec<String> {
    let mut pending = vec![root.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                files.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files
}

pub(crate) async fn open(lake: &Lake) -> Result<LakeTable> {
    lake.create_table(&"clean.flights".parse()?, &"day".parse()?, "0190a0b0-c0d0-7000-8000-000000000001").await
}

/// Opens the table that is there, as every command but the first does.
pub(crate) async fn reopen(lake: &Lake) -> Result<LakeTable> {
    Ok(lake.table(&"clean.flights".parse()?).await?.unwrap())
}

pub(crate) fn window() -> PartitionWindow {
    "2013-01-01".parse().unwrap()
}

pub(crate) fn attempt(number: u32) -> Attempt {
    format!("{number:032x}").parse().unwrap()
}

pub(crate) fn code() -> CodeVersion {
    CodeVersion { version: "0.1.0".into(), git: None }
}

pub(crate) fn request(number: u32) -> ClaimRequest {
    ClaimRequest {
        window: window(),
        attempt: attempt(number),
        run_id: format!("run-{number}").parse().unwrap(),
        execution_id: None,
        reason: Reason::Schedule,
        code: code(),
        config_sha256: "c".repeat(64),
        seen_head: None,
    }
}

/// Stages the texts as files, one row each.
pub(crate) async fn stage(table: &LakeTable, claimed: &Claimed, texts: &[&str]) -> Result<Stored<Staged>> {
    let found = table.lake().list_inputs("flights/2013-01-01/*.csv").await?;
    let mut files = Vec::new();
    for (number, text) in (0..).zip(texts) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        files.push(table.stage_part(claimed, number, bytes, 1, serde_json::Value::Null).await?);
    }
    for input in &found.inputs {
        table.lake().get_pinned(input).await?;
    }
    let written = u64::try_from(files.len()).unwrap();
    let output = Output {
        inputs: found.inputs.iter().map(windrow_lake::RawInput::entry).collect(),
        contract: ContractRef { id: "flights".into(), version: "1.0.0".into(), sha256: "d".repeat(64) },
        rows: RowCounts { read: written, written, rejected: 0 },
        files,
    };
    table.put_staged(claimed, output).await
}

pub(crate) fn check(staged: &Stored<Staged>, status: Status) -> CheckDoc {
    CheckDoc {
        staged_sha256: staged.sha256().to_owned(),
        profile: "default".into(),
        status,
        failed_checks: vec![],
        run_id: "run-1".parse().unwrap(),
    }
}

/// Claims, stages, checks with PASS and publishes.
pub(crate) async fn publish(table: &LakeTable, claimed: &Claimed, texts: &[&str]) -> Result<Epoch> {
    let staged = stage(table, claimed, texts).await?;
    table.put_check(claimed, check(&staged, Status::Pass)).await?;
    let passed = table.passed_check(&claimed.window(), claimed.epoch()).await?;
    table.publish(&passed).await?;
    Ok(claimed.epoch())
}

/// The whole trip of a window as the command line does it: nothing when the head is current.
pub(crate) async fn run_window(lake: &Lake, request: ClaimRequest, text: &str) -> Result<(Epoch, ViewState)> {
    let table = open(lake).await?;
    let inputs: Vec<_> = lake.list_inputs("flights/2013-01-01/*.csv").await?.inputs;
    let digest = inputs_sha256(&inputs.iter().map(windrow_lake::RawInput::entry).collect::<Vec<_>>())?;
    let epoch = match table.resolve(&request.window).await? {
        Some(head) if head.is_current(&digest, &request.config_sha256, &request.code) => head.epoch,
        _ => {
            let claimed = table.claim(&request).await?;
            publish(&table, &claimed, &[text]).await?
        }
    };
    Ok((epoch, table.project_live(&request.window).await?))
}
