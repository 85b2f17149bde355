//! A second reader of the ledger, written from LEDGER.md over plain bytes: what a lake's objects mean, and which
//! objects may follow which.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use serde_json::Value;
use windrow_core::canonical::sha256_hex;
use windrow_core::layout::{Key, RegisterKind};
use windrow_core::{Epoch, PartitionWindow};

use crate::faults::assert_no_secret;
use crate::support::{RAW_BYTES, RAW_KEY};

/// The objects of a lake by key.
pub(crate) type Objects = BTreeMap<String, Bytes>;

/// Every object of a lake at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) objects: Objects,
    versions: BTreeMap<String, Version>,
}

/// What tells one version of an object from another: its entity tag and its size.
type Version = (Option<String>, u64);

impl Snapshot {
    /// Lists the lake and reads what is not the same version as in the earlier snapshot.
    pub(crate) async fn take(store: &Arc<dyn ObjectStore>, earlier: &Snapshot) -> Snapshot {
        let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
        let versions = listed.into_iter().map(|object| (object.location.to_string(), (object.e_tag, object.size)));
        let versions: BTreeMap<String, Version> = versions.collect();
        let reads = versions.iter().map(|(key, version)| {
            let (store, key) = (Arc::clone(store), key.clone());
            let is_known = earlier.versions.get(&key) == Some(version);
            let known = earlier.objects.get(&key).filter(|_| is_known).cloned();
            async move {
                let bytes = match known {
                    Some(bytes) => bytes,
                    None => store.get(&Path::parse(&key).unwrap()).await.unwrap().bytes().await.unwrap(),
                };
                (key, bytes)
            }
        });
        let reads: Vec<_> = reads.collect();
        let objects = futures::stream::iter(reads).buffer_unordered(8).collect().await;
        Snapshot { objects, versions }
    }

    /// Puts objects as they are, past every rule, and returns what was put.
    pub(crate) async fn put(store: &Arc<dyn ObjectStore>, objects: &Objects) -> Snapshot {
        let puts = objects.clone().into_iter().map(|(key, bytes)| {
            let (store, path) = (Arc::clone(store), Path::parse(&key).unwrap());
            async move {
                let size = u64::try_from(bytes.len()).unwrap();
                let put = store.put(&path, PutPayload::from_bytes(bytes)).await.unwrap();
                (key, (put.e_tag, size))
            }
        });
        let puts: Vec<_> = puts.collect();
        let versions = futures::stream::iter(puts).buffer_unordered(8).collect().await;
        Snapshot { objects: objects.clone(), versions }
    }

    /// Tells whether no object was written or deleted in between, but for temporary ones.
    pub(crate) fn is_same(&self, other: &Snapshot) -> bool {
        let lasting = |snapshot: &Snapshot| {
            let versions = snapshot.versions.iter().filter(|(key, _)| !key.starts_with("store/tmp/"));
            versions.map(|(key, version)| (key.clone(), version.clone())).collect::<Vec<_>>()
        };
        lasting(self) == lasting(other)
    }
}

/// What a head must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelHead {
    pub(crate) epoch: Epoch,
    /// The bytes of its files, one after the other.
    pub(crate) content: Vec<u8>,
}

/// The registers of one window by epoch and kind.
type Registers = BTreeMap<Epoch, BTreeMap<RegisterKind, Bytes>>;

/// The objects of a lake, read as a ledger of one table.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    objects: Objects,
    windows: BTreeMap<PartitionWindow, Registers>,
}

impl Ledger {
    /// Reads a lake and proves what must hold at every moment:
    /// every key is of the grammar or the raw file as it was sent (I9, I19); no document holds a secret (I18); rows add
    /// up (I16); what is published passed its check and has all its files, whole (I1); what is quarantined has its
    /// evidence (I11); a view is one published file, never a mix (I17).
    pub(crate) fn read(objects: &Objects, at: &str) -> Ledger {
        let mut ledger = Ledger { objects: objects.clone(), windows: BTreeMap::new() };
        for (key, bytes) in objects {
            if key == RAW_KEY {
                assert_eq!(bytes, RAW_BYTES, "{at}: raw changed");
                continue;
            }
            let parsed = Key::parse(key).unwrap_or_else(|| panic!("{at}: {key} is outside the grammar"));
            assert_no_secret(&String::from_utf8_lossy(bytes), at);
            if let Key::Register { window, epoch, kind, .. } = parsed {
                ledger.windows.entry(window).or_default().entry(epoch).or_default().insert(kind, bytes.clone());
            }
        }
        for (window, registers) in &ledger.windows {
            for (epoch, documents) in registers {
                ledger.assert_epoch(documents, &format!("{at}: {window} {epoch}"));
            }
            ledger.assert_view(window, at);
        }
        ledger
    }

    /// Proves that these objects may come after those: what is written once is still there with the same bytes (I4,
    /// I10), but for data files of a decided epoch that is not published, which may be collected (G2); heads only move
    /// on (I2), and other windows are as they were (I12).
    pub(crate) fn assert_follows(&self, earlier: &Ledger, at: &str) {
        for (key, bytes) in &earlier.objects {
            if !self.objects.contains_key(key) && self.is_collectable(key) {
                continue;
            }
            let is_neighbours = key.contains("2013-01-02");
            if is_neighbours || Key::parse(key).is_some_and(|key| key.is_write_once()) {
                assert_eq!(self.objects.get(key), Some(bytes), "{at}: {key} changed");
            }
        }
        for window in earlier.windows.keys() {
            assert!(self.deciding(window) >= earlier.deciding(window), "{at}: the head of {window} went back");
        }
    }

    /// The head: the last epoch that published, unless one after it retracted.
    pub(crate) fn head(&self, window: &PartitionWindow) -> Option<ModelHead> {
        let epoch = self.deciding(window)?;
        let outcome = parse(self.windows.get(window)?.get(&epoch)?.get(&RegisterKind::Outcome)?);
        (outcome["decision"] == "published").then(|| ModelHead { epoch, content: self.content(&outcome).concat() })
    }

    /// How many data files a window has.
    pub(crate) fn parts(&self, window: &PartitionWindow) -> usize {
        self.objects.keys().filter(|key| matches!(Key::parse(key), Some(Key::Part(_, part)) if part.window == *window)).count()
    }

    fn is_collectable(&self, key: &str) -> bool {
        let Some(Key::Part(_, part)) = Key::parse(key) else { return false };
        self.outcomes(&part.window).any(|(epoch, outcome)| epoch == part.epoch && outcome["decision"] == "aborted")
    }

    /// How many epochs of a window are quarantined.
    pub(crate) fn quarantined(&self, window: &PartitionWindow) -> usize {
        self.outcomes(window).filter(|(_, outcome)| outcome["decision"] == "quarantined").count()
    }

    fn outcomes(&self, window: &PartitionWindow) -> impl Iterator<Item = (Epoch, Value)> {
        let registers = self.windows.get(window).into_iter().flatten();
        registers.filter_map(|(epoch, documents)| Some((*epoch, parse(documents.get(&RegisterKind::Outcome)?))))
    }

    /// The last epoch that published or retracted.
    fn deciding(&self, window: &PartitionWindow) -> Option<Epoch> {
        let decides = |outcome: &Value| outcome["decision"] == "published" || outcome["decision"] == "retracted";
        self.outcomes(window).filter(|(_, outcome)| decides(outcome)).map(|(epoch, _)| epoch).last()
    }

    /// The bytes of an outcome's files, each of which is there and whole.
    fn content(&self, outcome: &Value) -> Vec<&[u8]> {
        let files = outcome["files"].as_array().unwrap();
        let bytes = files.iter().map(|file| {
            let key = format!("store/clean/flights/{}", file["path"].as_str().unwrap());
            let bytes = self.objects.get(&key).unwrap_or_else(|| panic!("{key} is missing"));
            assert_eq!(file["size"].as_u64(), u64::try_from(bytes.len()).ok(), "{key}");
            assert_eq!(file["sha256"].as_str(), Some(sha256_hex(bytes).as_str()), "{key}");
            bytes.as_ref()
        });
        bytes.collect()
    }

    fn assert_epoch(&self, documents: &BTreeMap<RegisterKind, Bytes>, at: &str) {
        assert!(documents.contains_key(&RegisterKind::Claim), "{at}: no claim");
        let digest = |kind| documents.get(&kind).map(|bytes| sha256_hex(bytes));
        let staged = documents.get(&RegisterKind::Staged).map(parse);
        let check = documents.get(&RegisterKind::Check).map(parse);
        if let Some(staged) = &staged {
            let rows = |name: &str| staged["rows"][name].as_u64().unwrap();
            assert_eq!(rows("in"), rows("out") + rows("rejected"), "{at}: rows are lost");
            assert_eq!(staged["claim_sha256"].as_str(), digest(RegisterKind::Claim).as_deref(), "{at}: of another claim");
        }
        let Some(outcome) = documents.get(&RegisterKind::Outcome).map(parse) else { return };
        match outcome["decision"].as_str().unwrap() {
            "published" => {
                let (staged, check) = (staged.unwrap(), check.unwrap());
                assert_eq!(check["status"], "PASS", "{at}: published without a PASS");
                assert_eq!(check["staged_sha256"].as_str(), digest(RegisterKind::Staged).as_deref(), "{at}: another was checked");
                assert_eq!(outcome["staged_sha256"], check["staged_sha256"], "{at}: another was published");
                assert_eq!(outcome["files"], staged["files"], "{at}: other files were published");
                assert!(!self.content(&outcome).is_empty(), "{at}: published nothing");
            }
            "quarantined" => {
                let evidence = outcome["error"]["evidence"].as_str().unwrap();
                assert!(self.objects.contains_key(evidence), "{at}: quarantined without evidence");
            }
            decision => assert!(matches!(decision, "aborted" | "retracted"), "{at}: {decision}"),
        }
    }

    fn assert_view(&self, window: &PartitionWindow, at: &str) {
        let Some(view) = self.objects.get(&format!("clean/flights/day={window}/part-00000.parquet")) else { return };
        let published = self.outcomes(window).filter(|(_, outcome)| outcome["decision"] == "published");
        let mut contents = published.map(|(_, outcome)| self.content(&outcome).concat());
        assert!(contents.any(|content| content == view.as_ref()), "{at}: the view of {window} was never published");
    }
}

fn parse(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}
