//! What the registers hold: claim, staged and check, and the table's format.

use serde::{Deserialize, Serialize};

use super::stored::Document;
use super::text;
use crate::canonical;
use crate::error::Result;
use crate::gate::{Severity, Status};
use crate::id::{Attempt, DatasetName, Epoch, Layer, RunId};
use crate::layout::{PartPath, PartitionColumn};
use crate::window::PartitionWindow;

/// Who works on a window, and why. Nothing that the output depends on is missing from here and from [`Staged`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The layer.
    #[serde(with = "text")]
    pub layer: Layer,
    /// The dataset.
    #[serde(with = "text")]
    pub dataset: DatasetName,
    /// The window.
    #[serde(with = "text")]
    pub window: PartitionWindow,
    /// The epoch that was claimed; 20 digits, as in keys.
    #[serde(with = "text")]
    pub epoch: Epoch,
    /// The process that claims.
    #[serde(with = "text")]
    pub attempt: Attempt,
    /// The trip through all states.
    #[serde(with = "text")]
    pub run_id: RunId,
    /// The orchestrator's name for the execution, when there is one.
    pub execution_id: Option<String>,
    /// Why the window is worked on.
    pub reason: Reason,
    /// The program.
    pub code: CodeVersion,
    /// The digest of everything configured: contracts, SQL, checks, options; given by the caller.
    pub config_sha256: String,
    /// The head when the claim was made.
    #[serde(with = "text::option")]
    pub seen_head: Option<Epoch>,
}

impl Document for Claim {
    const NAME: &'static str = "claim";
}

/// Why a window is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Its time has come.
    Schedule,
    /// It failed, and is run again.
    Replay,
    /// An old window, for the first time or anew.
    Backfill,
    /// An older version is made the head again.
    Rollback,
    /// The window is taken back.
    Retract,
    /// The head's rows are written into fewer files.
    Compact,
}

impl Reason {
    /// The name in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Schedule => "schedule",
            Reason::Replay => "replay",
            Reason::Backfill => "backfill",
            Reason::Rollback => "rollback",
            Reason::Retract => "retract",
            Reason::Compact => "compact",
        }
    }
}

/// The program that did the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeVersion {
    /// The version of the release.
    pub version: String,
    /// The commit, when known.
    pub git: Option<String>,
}

/// What was made of which inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The digest of the claim it belongs to.
    pub claim_sha256: String,
    /// The pinned inputs, sorted by key.
    pub inputs: Vec<InputEntry>,
    /// See [`inputs_sha256`].
    pub inputs_sha256: String,
    /// The contract the output obeys.
    pub contract: ContractRef,
    /// The rows that went in, came out and were refused.
    pub rows: RowCounts,
    /// The output, at least one file.
    pub files: Vec<FileEntry>,
    /// See [`content_sha256`].
    pub content_sha256: String,
    /// For an output of compaction the epoch that computed its rows: what it was made of is what that epoch was made of.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    pub compacts: Option<Epoch>,
}

impl Document for Staged {
    const NAME: &'static str = "staged";
}

/// One pinned input: a raw file, or a file of another table's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputEntry {
    /// The key, relative to the lake.
    pub key: String,
    /// The size in bytes.
    pub size: u64,
    /// The store's entity tag; for a file of a head its SHA-256.
    pub etag: Option<String>,
    /// When the store says it was written, RFC 3339.
    pub last_modified: Option<String>,
}

/// A contract by id, version and digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractRef {
    /// The contract's id.
    pub id: String,
    /// The contract's version.
    pub version: String,
    /// The digest of its text.
    pub sha256: String,
}

/// Rows in, out and rejected; in = out + rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows read.
    #[serde(rename = "in")]
    pub read: u64,
    /// Rows written.
    #[serde(rename = "out")]
    pub written: u64,
    /// Rows refused.
    pub rejected: u64,
}

/// One file of an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The path below the table.
    #[serde(with = "text")]
    pub path: PartPath,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256 of the bytes, as 64 lowercase hex digits.
    pub sha256: String,
    /// The rows.
    pub rows: u64,
    /// What the writer knows of the columns; no floating-point numbers. Opaque here.
    #[serde(default)]
    pub stats: serde_json::Value,
}

/// What the quality gate answered about exactly one staged document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckDoc {
    /// The digest of the staged document that was checked.
    pub staged_sha256: String,
    /// The threshold profile.
    pub profile: String,
    /// PASS or FAIL.
    pub status: Status,
    /// What missed its threshold.
    pub failed_checks: Vec<FailedCheck>,
    /// The run that checked.
    #[serde(with = "text")]
    pub run_id: RunId,
}

impl Document for CheckDoc {
    const NAME: &'static str = "check";
}

/// A check that missed its threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCheck {
    /// The check's id.
    pub id: String,
    /// Whether it blocks publishing.
    pub severity: Severity,
    /// The measured number, or why there is none.
    pub observed: String,
    /// What was demanded.
    pub threshold: String,
    /// The digest of its SQL, for an SQL check.
    pub sql_sha256: Option<String>,
}

/// What a table is; written once when the table is first written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Always `windrow`.
    pub format: String,
    /// The version of the layout.
    pub version: u32,
    /// The least reader version that understands the table.
    pub min_reader: u32,
    /// The table's identity for life.
    pub dataset_uuid: String,
    /// The partition column in paths.
    #[serde(with = "text")]
    pub window_column: PartitionColumn,
}

impl Document for Format {
    const NAME: &'static str = "format";
}

impl Format {
    /// The layout version this build writes, and the newest it reads.
    pub const VERSION: u32 = 1;

    /// The format of a new table.
    pub fn new(dataset_uuid: &str, window_column: PartitionColumn) -> Self {
        Format {
            format: "windrow".to_owned(),
            version: Self::VERSION,
            min_reader: Self::VERSION,
            dataset_uuid: dataset_uuid.to_owned(),
            window_column,
        }
    }
}

/// The digest of the inputs: key, size and entity tag of each, sorted by key.
///
/// The time of writing counts only for an input without an entity tag, so that the same bytes sent again are the same
/// input where the store's tag says so.
///
/// # Errors
/// `Internal` never in practice: there is no floating-point number in it.
pub fn inputs_sha256(inputs: &[InputEntry]) -> Result<String> {
    let mut list: Vec<_> = inputs
        .iter()
        .map(|input| {
            let written = if input.etag.is_none() { input.last_modified.as_deref() } else { None };
            (input.key.as_str(), input.size, input.etag.as_deref(), written)
        })
        .collect();
    list.sort_unstable();
    Ok(canonical::sha256_hex(&canonical::to_bytes(&list)?))
}

/// The digest of an output: SHA-256 and rows of each file, sorted; independent of paths, epochs and attempts.
///
/// # Errors
/// `Internal` never in practice: there is no floating-point number in it.
pub fn content_sha256(files: &[FileEntry]) -> Result<String> {
    let mut list: Vec<_> = files.iter().map(|file| (file.sha256.as_str(), file.rows)).collect();
    list.sort_unstable();
    Ok(canonical::sha256_hex(&canonical::to_bytes(&list)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_spelled_as_in_documents() {
        for reason in [Reason::Schedule, Reason::Replay, Reason::Backfill, Reason::Rollback, Reason::Retract, Reason::Compact] {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.as_str()));
        }
    }
}
