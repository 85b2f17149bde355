//! One window through all its stages in one process, and what became of it.

use serde::Serialize;
use serde_json::Value;
use windrow_core::gate::GateResult;
use windrow_core::{Error, ErrorKind, Layer, PartitionWindow, Result, Table};
use windrow_lake::Head;

use crate::observe::{self, Facts, Subject};
use crate::report::{error_json, seconds};
use crate::session::Session;
use crate::turns::Stopwatch;

use super::publish::{self, Published};
use super::staging::{Stage, StagedWindow};
use super::{clean, curated, evidence, gate};

/// What became of one table in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A new version is visible.
    Published,
    /// The head was made of the same inputs, configuration and code.
    Unchanged,
    /// The data or the gate refused it; the version before stays.
    Quarantined,
    /// It could not be computed; the version before stays.
    Failed,
    /// A table it reads was not published in this run.
    Blocked,
}

impl Status {
    /// The name in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Published => "published",
            Status::Unchanged => "unchanged",
            Status::Quarantined => "quarantined",
            Status::Failed => "failed",
            Status::Blocked => "blocked",
        }
    }
}

/// The result of one table in one window.
#[derive(Debug, Serialize)]
pub struct TableResult {
    /// `clean.orders`.
    pub table: String,
    /// The window.
    pub window: String,
    /// What became of it.
    pub status: Status,
    /// The epoch that is or would have been the head.
    pub epoch: Option<u64>,
    /// Rows read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Rows refused or dropped.
    pub rows_rejected: u64,
    /// Files written.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
    /// How long it took, in milliseconds, without the time other windows computed.
    pub milliseconds: u64,
    /// The live view's path, when there is one.
    pub view: Option<String>,
    /// The gate's answer, when it was asked.
    pub gate: Option<GateResult>,
    /// The failure, when there was one.
    pub error: Option<Value>,
    /// The failure itself, for rendering.
    #[serde(skip)]
    pub failure: Option<Error>,
}

impl TableResult {
    /// Tells whether the window's newest version is visible.
    pub fn is_ok(&self) -> bool {
        matches!(self.status, Status::Published | Status::Unchanged)
    }

    fn new(table: &Table, window: &PartitionWindow, status: Status) -> Self {
        TableResult {
            table: table.to_string(),
            window: window.to_string(),
            status,
            epoch: None,
            rows_in: 0,
            rows_out: 0,
            rows_rejected: 0,
            files: 0,
            bytes: 0,
            milliseconds: 0,
            view: None,
            gate: None,
            error: None,
            failure: None,
        }
    }

    /// A table that was not tried, because something it reads is not there.
    pub fn blocked(table: &Table, window: &PartitionWindow) -> Self {
        TableResult::new(table, window, Status::Blocked)
    }

    fn with_head(mut self, head: &Head) -> Self {
        let rows = head.staged.document().rows;
        (self.rows_in, self.rows_out, self.rows_rejected) = (rows.read, rows.written, rows.rejected);
        (self.files, self.bytes) = (head.files.len(), head.files.iter().map(|file| file.size).sum());
        self.epoch = Some(head.epoch.get());
        self
    }

    fn with_staged(mut self, staged: &StagedWindow) -> Self {
        (self.rows_in, self.rows_out, self.rows_rejected) = (staged.rows.read, staged.rows.written, staged.rows.rejected);
        (self.files, self.bytes) = (staged.files, staged.bytes);
        self.epoch = Some(staged.epoch.get());
        self
    }

    fn with_failure(mut self, error: Error) -> Self {
        self.error = Some(error_json(&error));
        self.failure = Some(error);
        self
    }

    /// How long it took, for people.
    pub fn shown_time(&self) -> String {
        seconds(std::time::Duration::from_millis(self.milliseconds))
    }
}

/// Walks one table of one window through its stages. Failures are in the result; nothing here stops another window.
pub fn table(session: &Session<'_>, table: &Table, window: &PartitionWindow) -> TableResult {
    let watch = Stopwatch::start();
    let mut result = match stages(session, table, window) {
        Ok(result) => result,
        Err(error) => {
            // A published file that was damaged, or late files that are not wanted, fail without an epoch to put aside.
            let status = if is_quarantined(&error) { Status::Quarantined } else { Status::Failed };
            TableResult::new(table, window, status).with_failure(error)
        }
    };
    result.milliseconds = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
    observe::walked(session, table, window, &result);
    result
}

/// Tells whether a failure put an epoch aside.
pub fn is_quarantined(error: &Error) -> bool {
    error.context().iter().any(|(key, _)| *key == "evidence")
}

fn stages(session: &Session<'_>, table: &Table, window: &PartitionWindow) -> Result<TableResult> {
    session.runtime.check_interrupted()?;
    let contract = session.project.contract(table)?;
    let part = |verb| Subject { verb, table, window, is_called: false };
    let stage = match table.layer {
        Layer::Curated => {
            let work = || curated::clean_to_curated(session, contract, window);
            observe::stage(session, part("clean-to-curated"), work, Facts::staged)?
        }
        Layer::Clean => {
            let work = || clean::raw_to_clean(session, contract, window);
            observe::stage(session, part("raw-to-clean"), work, Facts::staged)?
        }
        Layer::Raw => return Err(Error::new(ErrorKind::Usage, format!("{table} is never written"))),
    };
    match stage {
        Stage::Unchanged(head) => {
            let view = publish::project(session, table, window)?;
            let mut result = TableResult::new(table, window, Status::Unchanged).with_head(&head);
            result.view = view.map(|key| session.shown(&key));
            Ok(result)
        }
        Stage::Staged(staged) => decide(session, table, window, &staged),
    }
}

fn decide(session: &Session<'_>, table: &Table, window: &PartitionWindow, staged: &StagedWindow) -> Result<TableResult> {
    session.runtime.check_interrupted()?;
    let part = |verb| Subject { verb, table, window, is_called: false };
    let check = || gate::check(session, table, window, Some(staged.epoch));
    let (epoch, answer) = observe::stage(session, part("check"), check, |(epoch, answer)| Facts::gate(*epoch, answer))?;
    if !gate::passed(&answer) {
        let error = reject(session, table, window, epoch, &answer)?;
        let mut result = TableResult::new(table, window, Status::Quarantined).with_staged(staged).with_failure(error);
        result.gate = Some(answer);
        return Ok(result);
    }
    for check in answer.checks.iter().filter(|check| !check.passed) {
        let observed = format!("check `{}` observed {}, expected {}", check.id, check.observed, check.expected);
        session.reporter.warn(&format!("{table} {window}: {observed} ({})", check.place));
    }
    let publish = || publish::publish(session, table, window, Some(epoch));
    let Published { view, .. } = observe::stage(session, part("publish"), publish, Facts::published)?;
    let mut result = TableResult::new(table, window, Status::Published).with_staged(staged);
    result.view = view.map(|key| session.shown(&key));
    result.gate = Some(answer);
    Ok(result)
}

/// Puts an epoch aside that the gate refused, and returns the error that says so.
///
/// # Errors
/// What the store says.
pub fn reject(
    session: &Session<'_>,
    table: &Table,
    window: &PartitionWindow,
    epoch: windrow_core::Epoch,
    answer: &GateResult,
) -> Result<Error> {
    let (lake_table, state) = gate::staged_epoch(session, table, window, Some(epoch))?;
    let attempt = state.claim.as_ref().map(|claim| claim.document().attempt.clone());
    let attempt = attempt.ok_or_else(|| Error::internal("an epoch without a claim").with("epoch", epoch))?;
    let claimed = session.runtime.block_on(lake_table.load_claimed(window, epoch, &attempt))?;
    evidence::quarantine_gate(session, &lake_table, &claimed, answer, None)
}
