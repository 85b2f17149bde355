//! What happened to a table's windows, from the registers alone.

use std::collections::{BTreeMap, BTreeSet};

use windrow_core::layout::{self, RegisterKind};
use windrow_core::ledger::{CheckDoc, Claim, Outcome, Staged, Stored};
use windrow_core::{Epoch, PartitionWindow, Result};

use crate::table::LakeTable;

/// Which registers each epoch of a window has, by epoch.
pub type EpochRegisters = BTreeMap<Epoch, BTreeSet<RegisterKind>>;

/// One epoch with its documents.
#[derive(Clone, Debug)]
pub struct EpochState {
    /// The epoch.
    pub epoch: Epoch,
    /// Who claimed it.
    pub claim: Option<Stored<Claim>>,
    /// What it made.
    pub staged: Option<Stored<Staged>>,
    /// What the gate answered.
    pub check: Option<Stored<CheckDoc>>,
    /// What was decided; `None` while it runs, or when nobody finished it.
    pub outcome: Option<Stored<Outcome>>,
}

impl LakeTable {
    /// Which registers every window has. One listing, no document is read. Foreign keys are no registers.
    ///
    /// # Errors
    /// What the store says.
    pub async fn history(&self) -> Result<BTreeMap<PartitionWindow, EpochRegisters>> {
        let mut windows: BTreeMap<PartitionWindow, EpochRegisters> = BTreeMap::new();
        for object in self.lake().list(&layout::ledger_prefix(self.name())).await? {
            if let Some((window, epoch, kind)) = layout::parse_register(self.name(), object.location.as_ref()) {
                windows.entry(window).or_default().entry(epoch).or_default().insert(kind);
            }
        }
        Ok(windows)
    }

    /// Every epoch of a window with its documents, oldest first.
    ///
    /// # Errors
    /// `Misconfigured` or `Internal` for a document that cannot be read, else what the store says.
    pub async fn window_history(&self, window: &PartitionWindow) -> Result<Vec<EpochState>> {
        self.epochs_above(window, None).await
    }

    /// The epochs of a window above one of them, with their documents, oldest first.
    pub(crate) async fn epochs_above(&self, window: &PartitionWindow, below: Option<Epoch>) -> Result<Vec<EpochState>> {
        let mut epochs = Vec::new();
        for (epoch, kinds) in self.registers(window).await? {
            if Some(epoch) > below {
                epochs.push(self.epoch_state(window, epoch, kinds).await?);
            }
        }
        Ok(epochs)
    }

    /// The newest epoch of a window that is wanted, with its documents. What is older is not read: a window may have been run
    /// a thousand times.
    ///
    /// # Errors
    /// As [`LakeTable::window_history`].
    pub async fn newest_epoch(
        &self,
        window: &PartitionWindow,
        wanted: impl Fn(&EpochState) -> bool,
    ) -> Result<Option<EpochState>> {
        for (epoch, kinds) in self.registers(window).await?.into_iter().rev() {
            let state = self.epoch_state(window, epoch, kinds).await?;
            if wanted(&state) {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    async fn epoch_state(&self, window: &PartitionWindow, epoch: Epoch, kinds: BTreeSet<RegisterKind>) -> Result<EpochState> {
        let mut state = EpochState { epoch, claim: None, staged: None, check: None, outcome: None };
        for kind in kinds {
            match kind {
                RegisterKind::Claim => state.claim = self.load(window, epoch, kind).await?,
                RegisterKind::Staged => state.staged = self.load(window, epoch, kind).await?,
                RegisterKind::Check => state.check = self.load(window, epoch, kind).await?,
                RegisterKind::Outcome => state.outcome = self.load(window, epoch, kind).await?,
            }
        }
        Ok(state)
    }

    /// When an epoch was decided, RFC 3339, by the clock of the store; `None` while it is not. For reports: nothing in the
    /// ledger rests on time.
    ///
    /// # Errors
    /// What the store says.
    pub async fn decided_at(&self, window: &PartitionWindow, epoch: Epoch) -> Result<Option<String>> {
        let key = self.register(window, epoch, RegisterKind::Outcome).to_string();
        let found = self.lake().list(&layout::window_ledger_prefix(self.name(), window)).await?;
        let outcome = found.into_iter().find(|object| object.location.as_ref() == key);
        Ok(outcome.map(|object| object.last_modified.to_rfc3339()))
    }

    /// Which registers a window has.
    pub(crate) async fn registers(&self, window: &PartitionWindow) -> Result<EpochRegisters> {
        let mut epochs = EpochRegisters::new();
        for object in self.lake().list(&layout::window_ledger_prefix(self.name(), window)).await? {
            if let Some((_, epoch, kind)) = layout::parse_register(self.name(), object.location.as_ref()) {
                epochs.entry(epoch).or_default().insert(kind);
            }
        }
        Ok(epochs)
    }
}
