//! The decision over one epoch, and what the decisions of a window's epochs together mean.

use serde::{Deserialize, Serialize};

use super::documents::{CheckDoc, Claim, ContractRef, FileEntry, RowCounts, Staged};
use super::stored::{Document, Stored};
use crate::code::Code;
use crate::error::{Error, ErrorKind, Result};
use crate::gate::Status;
use crate::id::{Epoch, Table};
use crate::layout::{Key, QuarantineFile};

/// What became of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Its files are the window, until a later epoch is published.
    Published,
    /// Its data are refused; the head stays what it was.
    Quarantined,
    /// It was given up; the head stays what it was.
    Aborted,
    /// The window is taken back: from here down nothing is the head.
    Retracted,
}

impl Decision {
    /// The name in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Published => "published",
            Decision::Quarantined => "quarantined",
            Decision::Aborted => "aborted",
            Decision::Retracted => "retracted",
        }
    }
}

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who decided. A role and not a name: two processes of one role must write the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecidedBy {
    /// The run that claimed the epoch.
    Run,
    /// Garbage collection, over an epoch nobody finished.
    Gc,
    /// A person.
    Operator,
}

/// Why an epoch failed, without any message text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorClass {
    /// What must happen next.
    pub kind: ErrorKind,
    /// The stable code of the first finding, when there is one.
    pub code: Option<String>,
}

impl ErrorClass {
    /// The class of a finding.
    pub fn of_code(code: Code) -> Self {
        ErrorClass { kind: code.kind(), code: Some(code.as_str().to_owned()) }
    }
}

/// The failure as an outcome records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeError {
    /// The name of the [`ErrorKind`].
    pub kind: String,
    /// The stable code of the first finding.
    pub code: Option<String>,
    /// The key of the evidence, relative to the lake.
    pub evidence: String,
}

/// The decision over one epoch; the last register, and the only commit point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What became of the epoch.
    pub decision: Decision,
    /// The digest of the staged document, when there is one.
    pub staged_sha256: Option<String>,
    /// The digest of the check document, when there is one.
    pub check_sha256: Option<String>,
    /// The files, copied from the staged document; empty unless published.
    pub files: Vec<FileEntry>,
    /// The rows, when something was staged.
    pub rows: Option<RowCounts>,
    /// The contract, when something was staged.
    pub contract: Option<ContractRef>,
    /// Why it was quarantined.
    pub error: Option<OutcomeError>,
    /// Who decided.
    pub decided_by: DecidedBy,
}

impl Document for Outcome {
    const NAME: &'static str = "outcome";
}

impl Outcome {
    /// Decides: an error class or a FAIL quarantines, a PASS without one publishes.
    ///
    /// # Errors
    /// `Internal` when the documents do not belong together, or when there is nothing to decide on yet.
    pub fn decide(
        claim: &Stored<Claim>,
        staged: Option<&Stored<Staged>>,
        check: Option<&Stored<CheckDoc>>,
        error: Option<&ErrorClass>,
    ) -> Result<Outcome> {
        require_chain(claim, staged, check)?;
        let status = check.map(|check| check.document().status);
        match (staged, status, error) {
            (Some(_), Some(Status::Pass), None) => Ok(Outcome::of(Decision::Published, DecidedBy::Run, staged, check)),
            (_, Some(Status::Fail), None) => {
                Ok(Outcome::quarantined(claim, staged, check, &ErrorClass::of_code(Code::CheckFailed)))
            }
            (_, _, Some(class)) => Ok(Outcome::quarantined(claim, staged, check, class)),
            (_, _, None) => Err(Error::internal("nothing to decide on: neither a verdict of the gate nor an error")),
        }
    }

    /// Gives an epoch up.
    pub fn aborted(decided_by: DecidedBy) -> Outcome {
        Outcome::of(Decision::Aborted, decided_by, None, None)
    }

    /// Takes a window back.
    pub fn retracted() -> Outcome {
        Outcome::of(Decision::Retracted, DecidedBy::Operator, None, None)
    }

    /// Where the evidence of a claim's failure stands.
    pub fn evidence_key(claim: &Claim, file: QuarantineFile) -> Key {
        let table = Table::new(claim.layer, claim.dataset.clone());
        Key::Quarantine { table, window: claim.window, epoch: claim.epoch, attempt: claim.attempt.clone(), file }
    }

    fn quarantined(
        claim: &Stored<Claim>,
        staged: Option<&Stored<Staged>>,
        check: Option<&Stored<CheckDoc>>,
        class: &ErrorClass,
    ) -> Outcome {
        let evidence = Outcome::evidence_key(claim.document(), QuarantineFile::Evidence).to_string();
        let mut outcome = Outcome::of(Decision::Quarantined, DecidedBy::Run, staged, check);
        outcome.error = Some(OutcomeError { kind: class.kind.name().to_owned(), code: class.code.clone(), evidence });
        outcome
    }

    fn of(
        decision: Decision,
        decided_by: DecidedBy,
        staged: Option<&Stored<Staged>>,
        check: Option<&Stored<CheckDoc>>,
    ) -> Outcome {
        let published = staged.filter(|_| decision == Decision::Published);
        Outcome {
            decision,
            staged_sha256: staged.map(|staged| staged.sha256().to_owned()),
            check_sha256: check.map(|check| check.sha256().to_owned()),
            files: published.map_or_else(Vec::new, |staged| staged.document().files.clone()),
            rows: staged.map(|staged| staged.document().rows),
            contract: staged.map(|staged| staged.document().contract.clone()),
            error: None,
            decided_by,
        }
    }
}

/// The head over a window's outcomes, in any order: the highest published epoch that no retraction stands above.
///
/// Aborted and quarantined epochs are skipped. `None` is NOT_PUBLISHED, and never the same as an empty window.
pub fn resolve<'a>(outcomes: impl IntoIterator<Item = (Epoch, &'a Outcome)>) -> Option<(Epoch, &'a Outcome)> {
    let decides = |(_, outcome): &(Epoch, &Outcome)| matches!(outcome.decision, Decision::Published | Decision::Retracted);
    let last = outcomes.into_iter().filter(decides).max_by_key(|(epoch, _)| *epoch)?;
    (last.1.decision == Decision::Published).then_some(last)
}

fn require_chain(claim: &Stored<Claim>, staged: Option<&Stored<Staged>>, check: Option<&Stored<CheckDoc>>) -> Result<()> {
    if staged.is_some_and(|staged| staged.document().claim_sha256 != claim.sha256()) {
        return Err(Error::internal("the staged document belongs to another claim"));
    }
    match (check, staged) {
        (Some(check), Some(staged)) if check.document().staged_sha256 != staged.sha256() => {
            Err(Error::internal("the check is of another staged document"))
        }
        (Some(_), None) => Err(Error::internal("a check without the staged document it is of")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
