//! The decision: publish what passed, or put aside what failed. The only commit point.

use bytes::Bytes;
use windrow_core::gate::Status;
use windrow_core::layout::{QuarantineFile, RegisterKind};
use windrow_core::ledger::{CheckDoc, Claim, DecidedBy, Decision, ErrorClass, Outcome, Reason, Staged, Stored};
use windrow_core::{Epoch, Error, ErrorKind, PartitionWindow, Result, Table};

use crate::ledger::Claimed;
use crate::put_once::PutOnce;
use crate::table::LakeTable;

/// The proof that the gate answered PASS about exactly the staged document in the store.
///
/// Only [`LakeTable::passed_check`] makes one, from registers it reads itself; there is no other way to publish.
#[derive(Clone, Debug)]
pub struct PassedCheck {
    table: Table,
    claim: Stored<Claim>,
    staged: Stored<Staged>,
    check: Stored<CheckDoc>,
}

impl PassedCheck {
    /// The window that may be published.
    pub fn window(&self) -> PartitionWindow {
        self.claim.document().window
    }

    /// The epoch that may be published.
    pub fn epoch(&self) -> Epoch {
        self.claim.document().epoch
    }

    /// The output that may be published.
    pub fn staged(&self) -> &Stored<Staged> {
        &self.staged
    }
}

impl LakeTable {
    /// Reads claim, staged and check from the store, and proves that they belong together and that the answer is PASS.
    ///
    /// # Errors
    /// `QualityFailed` for a FAIL, `Misconfigured` when a stage did not run, `Internal` when the documents do not
    /// belong together.
    pub async fn passed_check(&self, window: &PartitionWindow, epoch: Epoch) -> Result<PassedCheck> {
        let claim = self.require::<Claim>(window, epoch, RegisterKind::Claim).await?;
        self.require_own(&claim, window, epoch)?;
        let staged = self.require::<Staged>(window, epoch, RegisterKind::Staged).await?;
        let check = self.require::<CheckDoc>(window, epoch, RegisterKind::Check).await?;
        if check.document().status == Status::Fail {
            let failed: Vec<&str> = check.document().failed_checks.iter().map(|check| check.id.as_str()).collect();
            let message = format!("the quality gate answered FAIL: {}", failed.join(", "));
            return Err(Error::new(ErrorKind::QualityFailed, message).with("window", window).with("epoch", epoch));
        }
        // Deciding here proves the chain of digests; what it decides is written by publish.
        Outcome::decide(&claim, Some(&staged), Some(&check), None)?;
        Ok(PassedCheck { table: self.name().clone(), claim, staged, check })
    }

    /// Commits: the epoch's outcome is `published`, durably. Idempotent; the head is this epoch or a later one.
    ///
    /// # Errors
    /// `Fenced` when the epoch was decided otherwise, `Internal` for a proof of another table, else what the store says.
    pub async fn publish(&self, passed: &PassedCheck) -> Result<Stored<Outcome>> {
        if passed.table != *self.name() {
            return Err(Error::internal("the passed check is of another table").with("table", &passed.table));
        }
        let outcome = Outcome::decide(&passed.claim, Some(&passed.staged), Some(&passed.check), None)?;
        self.commit(&passed.window(), passed.epoch(), outcome).await
    }

    /// Puts a failed epoch aside: evidence first, then the outcome `quarantined`. The head stays. Idempotent: the
    /// first evidence stays.
    ///
    /// `failure` is `None` when the check register's FAIL is the reason. What is staged and checked is read back.
    ///
    /// # Errors
    /// `Fenced` when the epoch was decided otherwise, `Internal` when nothing failed, else what the store says.
    pub async fn quarantine(
        &self,
        claimed: &Claimed,
        failure: Option<&ErrorClass>,
        evidence: Bytes,
        rejects: Option<Bytes>,
    ) -> Result<Stored<Outcome>> {
        let (window, epoch) = (claimed.window(), claimed.epoch());
        let staged = self.load::<Staged>(&window, epoch, RegisterKind::Staged).await?;
        let check = self.load::<CheckDoc>(&window, epoch, RegisterKind::Check).await?;
        let outcome = Outcome::decide(&claimed.claim, staged.as_ref(), check.as_ref(), failure)?;
        if outcome.decision != Decision::Quarantined {
            return Err(Error::internal("nothing failed in this epoch").with("window", window).with("epoch", epoch));
        }
        self.put_evidence(claimed, QuarantineFile::Evidence, evidence).await?;
        if let Some(rejects) = rejects {
            self.put_evidence(claimed, QuarantineFile::Rejects, rejects).await?;
        }
        self.commit(&window, epoch, outcome).await
    }

    /// Gives up an epoch nobody finished. Whoever still works on it is fenced when it decides. Idempotent.
    ///
    /// # Errors
    /// `Fenced` when the epoch was decided otherwise, `Misconfigured` when it was never claimed, else what the store says.
    pub async fn abort(&self, window: &PartitionWindow, epoch: Epoch, decided_by: DecidedBy) -> Result<Stored<Outcome>> {
        self.require::<Claim>(window, epoch, RegisterKind::Claim).await?;
        self.commit(window, epoch, Outcome::aborted(decided_by)).await
    }

    /// Takes a window back: from this epoch down nothing is the head, until a later epoch is published. Idempotent.
    /// The view follows with the next [`LakeTable::project_live`].
    ///
    /// # Errors
    /// `Internal` unless the epoch was claimed with [`Reason::Retract`], `Fenced` when it was decided otherwise.
    pub async fn retract(&self, claimed: &Claimed) -> Result<Stored<Outcome>> {
        if claimed.claim.document().reason != Reason::Retract {
            return Err(Error::internal("the epoch was not claimed to retract").with("epoch", claimed.epoch()));
        }
        self.commit(&claimed.window(), claimed.epoch(), Outcome::retracted()).await
    }

    /// Writes the outcome register, whatever it says. Only for outcomes that [`Outcome`]'s own functions decided.
    pub(crate) async fn commit(&self, window: &PartitionWindow, epoch: Epoch, outcome: Outcome) -> Result<Stored<Outcome>> {
        let key = self.register(window, epoch, RegisterKind::Outcome);
        let outcome = Stored::encode(outcome)?;
        self.require_create_once().await?;
        match self.lake().settle(&key, &Bytes::copy_from_slice(outcome.bytes())).await? {
            PutOnce::Mine => Ok(outcome),
            PutOnce::Unknown(error) => Err(error),
            PutOnce::Theirs(bytes) => {
                let found = Stored::<Outcome>::decode(bytes).map_err(|error| error.with("key", &key))?;
                let same = |a: &Outcome, b: &Outcome| a.decision == b.decision && a.staged_sha256 == b.staged_sha256;
                if same(found.document(), outcome.document()) {
                    return Ok(found);
                }
                let (theirs, ours) = (found.document().decision, outcome.document().decision);
                let message = format!("the epoch is {theirs} already, so it cannot be {ours}");
                Err(Error::new(ErrorKind::Fenced, message).with("window", window).with("epoch", epoch))
            }
        }
    }
}
