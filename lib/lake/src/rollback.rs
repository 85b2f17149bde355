//! Rollback: an older published version becomes a new epoch. It is checked and published like any other.

use windrow_core::layout::{Key, PartPath, RegisterKind};
use windrow_core::ledger::Decision;
use windrow_core::ledger::{FileEntry, Outcome, Reason, Staged, Stored};
use windrow_core::{Epoch, Error, ErrorKind, PartitionWindow, Result};

use crate::ledger::{ClaimRequest, Claimed, Output};
use crate::resolve::Head;
use crate::table::LakeTable;

impl LakeTable {
    /// Claims a new epoch and stages a copy of a published epoch's files in it, made by the store and read back. The
    /// bytes, rows, contract and inputs are the source's. Check it and publish it as if a run had made it.
    ///
    /// What `request` says of code and configuration is that of today, so a run with the same inputs, configuration and
    /// code leaves the rollback in place, and any other run replaces it.
    ///
    /// # Errors
    /// `Internal` unless the reason is [`Reason::Rollback`], `Misconfigured` when the source was never published,
    /// `InputMissing` when its files are gone, `CorruptInput` when they differ from what was published, else what the
    /// store says. Until the claim nothing is written.
    pub async fn stage_rollback(&self, request: &ClaimRequest, source: Epoch) -> Result<(Claimed, Stored<Staged>)> {
        if request.reason != Reason::Rollback {
            return Err(Error::internal("the epoch is not claimed to roll back").with("window", request.window));
        }
        let version = self.published_version(&request.window, source).await?;
        let claimed = self.claim(request).await?;
        let old = version.staged.document();
        let mut files = Vec::with_capacity(old.files.len());
        for file in &old.files {
            files.push(self.copy_part(&claimed, file).await?);
        }
        let output = Output { inputs: old.inputs.clone(), contract: old.contract.clone(), rows: old.rows, files };
        let staged = self.put_staged(&claimed, output).await?;
        Ok((claimed, staged))
    }

    /// An epoch that was published, head or not, with all its files in their promised sizes.
    async fn published_version(&self, window: &PartitionWindow, epoch: Epoch) -> Result<Head> {
        let outcome = self.load::<Outcome>(window, epoch, RegisterKind::Outcome).await?;
        let outcome = match outcome {
            Some(outcome) if outcome.document().decision == Decision::Published => outcome,
            other => return Err(self.not_published(window, epoch, other.map(|other| other.document().decision)).await?),
        };
        let version = self.head(window, epoch, outcome).await?;
        let Some((file, found)) = self.first_misfit(&version).await? else { return Ok(version) };
        let what = found.map_or_else(|| "is gone".to_owned(), |size| format!("has {size} bytes, not {}", file.size));
        let message = format!("a file of epoch {} of window {window} {what}", epoch.get());
        let error = Error::new(ErrorKind::InputMissing, message).with("key", &file.key);
        Err(error.help("garbage collection keeps superseded files for its retention only; take a later epoch"))
    }

    async fn not_published(&self, window: &PartitionWindow, epoch: Epoch, found: Option<Decision>) -> Result<Error> {
        let mut published = Vec::new();
        for (epoch, kinds) in self.registers(window).await? {
            if kinds.contains(&RegisterKind::Outcome) {
                let outcome = self.require::<Outcome>(window, epoch, RegisterKind::Outcome).await?;
                if outcome.document().decision == Decision::Published {
                    published.push(epoch.get().to_string());
                }
            }
        }
        let state = found.map_or("not decided", Decision::as_str);
        let message = format!("epoch {} of window {window} is {state}, so it cannot be made the head again", epoch.get());
        let help = match published.as_slice() {
            [] => "no epoch of this window was ever published".to_owned(),
            epochs => format!("published epochs of this window: {}", epochs.join(", ")),
        };
        Ok(Error::misconfigured(message).with("table", self.name()).help(help))
    }

    async fn copy_part(&self, claimed: &Claimed, file: &FileEntry) -> Result<FileEntry> {
        let path = PartPath { epoch: claimed.epoch(), attempt: claimed.attempt().clone(), ..file.path.clone() };
        let target = Key::Part(self.name().clone(), path.clone());
        self.lake().copy_once(&self.file_key(file), &target, &file.sha256).await?;
        Ok(FileEntry { path, ..file.clone() })
    }
}
