//! Quarantine: the evidence of what was refused, readable for as long as it is kept.

use std::collections::BTreeMap;

use bytes::Bytes;
use windrow_core::layout::{self, Key, QuarantineFile};
use windrow_core::ledger::Outcome;
use windrow_core::{Attempt, Epoch, PartitionWindow, Result};

use crate::ledger::Claimed;
use crate::put_once::PutOnce;
use crate::table::LakeTable;

/// What is kept of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// The window.
    pub window: PartitionWindow,
    /// The epoch.
    pub epoch: Epoch,
    /// The attempt.
    pub attempt: Attempt,
    /// The files with their keys, relative to the lake, and sizes in bytes.
    pub files: BTreeMap<QuarantineFile, (String, u64)>,
}

impl LakeTable {
    /// Keeps the rows an epoch refused, also when the rest of the window is published. Idempotent: the first ones stay.
    ///
    /// # Errors
    /// What the store says.
    pub async fn put_rejects(&self, claimed: &Claimed, rejects: Bytes) -> Result<String> {
        self.put_evidence(claimed, QuarantineFile::Rejects, rejects).await
    }

    /// Everything in the table's quarantine, of one window or of all, by window and epoch.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list_quarantine(&self, window: Option<&PartitionWindow>) -> Result<Vec<QuarantineEntry>> {
        let folder = layout::quarantine_prefix(self.name());
        let folder = window.map_or(folder.clone(), |window| format!("{folder}{window}/"));
        let mut entries: BTreeMap<(PartitionWindow, Epoch, Attempt), QuarantineEntry> = BTreeMap::new();
        for object in self.lake().list(&folder).await? {
            let text = object.location.to_string();
            let Some(Key::Quarantine { window, epoch, attempt, file, .. }) = Key::parse(&text) else { continue };
            let id = (window, epoch, attempt.clone());
            let entry = entries.entry(id).or_insert_with(|| QuarantineEntry { window, epoch, attempt, files: BTreeMap::new() });
            entry.files.insert(file, (text, object.size));
        }
        Ok(entries.into_values().collect())
    }

    pub(crate) async fn put_evidence(&self, claimed: &Claimed, file: QuarantineFile, bytes: Bytes) -> Result<String> {
        let key = Outcome::evidence_key(claimed.claim().document(), file);
        self.require_create_once().await?;
        match self.lake().put_once(&key, &bytes).await? {
            // Evidence holds times and texts, so a retry's differs; the first one is as good.
            PutOnce::Mine | PutOnce::Theirs(_) => Ok(key.to_string()),
            PutOnce::Unknown(error) => Err(error),
        }
    }
}
