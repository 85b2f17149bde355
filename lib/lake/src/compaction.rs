//! Compaction: the head's rows in fewer files, as a new epoch. It is checked and published like any other.

use windrow_core::layout::{Key, RegisterKind};
use windrow_core::ledger::{Claim, DecidedBy, Decision, FileEntry, InputEntry, Reason, Staged, Stored};
use windrow_core::{Epoch, Error, ErrorKind, PartitionWindow, Result};

use crate::history::EpochState;
use crate::ledger::{ClaimRequest, Claimed, Output};
use crate::resolve::{Head, Origin};
use crate::table::LakeTable;

impl LakeTable {
    /// The head of a window, when its files may be replaced by others of the same rows.
    ///
    /// # Errors
    /// `InputMissing` when the window is not published, `Transient` while another run works on it, `Fenced` when a later epoch failed,
    /// else what the store says.
    pub async fn compactable(&self, window: &PartitionWindow) -> Result<Head> {
        let head = self.require_head(window).await?;
        for state in self.epochs_above(window, Some(head.epoch)).await?.iter().rev() {
            self.require_no_rival(window, state)?;
        }
        Ok(head)
    }

    /// Claims a new epoch for the rows of the head, and answers the head they are to be taken from.
    ///
    /// A run that claimed an earlier epoch and is not decided could publish other rows below this one, which would then hide them; so
    /// while there is one the claim is given up.
    ///
    /// # Errors
    /// `Internal` unless the reason is [`Reason::Compact`], else as [`LakeTable::compactable`].
    pub async fn claim_to_compact(&self, request: &ClaimRequest) -> Result<(Claimed, Head)> {
        if request.reason != Reason::Compact {
            return Err(Error::internal("the epoch is not claimed to compact").with("window", request.window));
        }
        let claimed = self.claim(request).await?;
        match self.head_below(&claimed).await {
            Ok(head) => Ok((claimed, head)),
            Err(error) => {
                self.give_up(&claimed).await;
                Err(error)
            }
        }
    }

    /// Leaves a claimed epoch behind as aborted. What cannot be aborted now is what a killed process leaves.
    pub async fn give_up(&self, claimed: &Claimed) {
        let _ = self.abort(&claimed.window(), claimed.epoch(), DecidedBy::Run).await;
    }

    /// Registers files as staged that hold the rows of a head, in order. Inputs, contract and row counts are those of the head.
    ///
    /// # Errors
    /// `Internal` when the files do not have the head's rows, else as [`LakeTable::put_staged`].
    pub async fn put_compacted(&self, claimed: &Claimed, head: &Head, files: Vec<FileEntry>) -> Result<Stored<Staged>> {
        let of_head = head.staged.document();
        let output = Output { inputs: of_head.inputs.clone(), contract: of_head.contract.clone(), rows: of_head.rows, files };
        self.put_output(claimed, output, Some(head.computed_in())).await
    }

    async fn head_below(&self, claimed: &Claimed) -> Result<Head> {
        let window = claimed.window();
        let head = self.require_head(&window).await?;
        for state in self.epochs_above(&window, Some(head.epoch)).await?.iter().rev() {
            // Later epochs are newer than this one, whatever becomes of them.
            if state.epoch < claimed.epoch() {
                self.require_no_rival(&window, state)?;
            }
        }
        if head.epoch < claimed.epoch() {
            return Ok(head);
        }
        let message = format!("epoch {} of window {window} was published meanwhile", head.epoch.get());
        Err(Error::new(ErrorKind::Transient, message).with("table", self.name()).help("run the compaction again"))
    }

    fn require_no_rival(&self, window: &PartitionWindow, state: &EpochState) -> Result<()> {
        let claim = state.claim.as_ref().map(|claim| claim.document());
        let decision = state.outcome.as_ref().map(|outcome| outcome.document().decision);
        let is_compaction = claim.is_some_and(|claim| claim.reason == Reason::Compact);
        if decision == Some(Decision::Aborted) && is_compaction {
            return Ok(());
        }
        let run = claim.map_or_else(|| "unknown".to_owned(), |claim| claim.run_id.to_string());
        let (dataset, epoch) = (&self.name().dataset, state.epoch.get());
        let (kind, message, help) = match decision {
            None => (
                ErrorKind::Transient,
                format!("another run works on window {window}: epoch {epoch} is not decided"),
                format!(
                    "wait for it; of a run that is dead, `windrow quarantine close --dataset {dataset} --window {window} --run-id {run}` \
                     decides the epoch"
                ),
            ),
            // The head moved after it was resolved.
            Some(decision @ (Decision::Published | Decision::Retracted)) => (
                ErrorKind::Transient,
                format!("epoch {epoch} of window {window} was {decision} meanwhile"),
                "run the compaction again".to_owned(),
            ),
            Some(decision) => (
                ErrorKind::Fenced,
                format!("window {window} is not compacted, because its later epoch {epoch} is {decision}"),
                format!("run it first: `windrow replay --dataset {dataset} --window {window}`"),
            ),
        };
        Err(Error::new(kind, message).with("table", self.name()).with("run_id", run).help(help))
    }

    /// An epoch whose rows stand in the files of a later one.
    pub(crate) async fn origin(&self, window: &PartitionWindow, epoch: Epoch) -> Result<Origin> {
        let claim = self.require::<Claim>(window, epoch, RegisterKind::Claim).await?;
        self.require_own(&claim, window, epoch)?;
        let staged = self.require::<Staged>(window, epoch, RegisterKind::Staged).await?;
        Ok(Origin { epoch, claim, staged })
    }
}

impl Origin {
    /// The files the epoch had, as whoever read them recorded them: by key, size and SHA-256.
    pub fn entries(&self) -> Vec<InputEntry> {
        let claim = self.claim.document();
        let table = windrow_core::Table::new(claim.layer, claim.dataset.clone());
        let entry = |file: &FileEntry| InputEntry {
            key: Key::Part(table.clone(), file.path.clone()).to_string(),
            size: file.size,
            etag: Some(file.sha256.clone()),
            last_modified: None,
        };
        self.staged.document().files.iter().map(entry).collect()
    }
}
