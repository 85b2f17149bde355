//! What a run tells machines about itself: one CloudWatch line a stage, and OpenLineage events beside the run.
//!
//! ```text
//! cmd, walk ─▶ stage(…) ─▶ the stage's work ─▶ emf ─▶ stderr
//!                 └ lineage (describe, openlineage) ─▶ send ─▶ {lake}/runs/…, OpenLineage server
//! ```
//! Off by default, and then nothing here runs. Invariant: nothing here changes what a stage returns; what cannot be told
//! is a warning.

pub mod emf;
pub mod openlineage;

mod describe;
mod lineage;
mod send;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use windrow_core::gate::GateResult;
use windrow_core::ledger::{InputEntry, Reason, RowCounts};
use windrow_core::{ErrorKind, PartitionWindow, Result, Table};
use windrow_lake::Discovery;

use crate::cli::{Common, Metrics};
use crate::report::Reporter;
use crate::runtime;
use crate::session::Session;
use crate::stage::publish::Published;
use crate::stage::staging::Stage;
use crate::stage::walk::{self, TableResult};
use crate::turns::Stopwatch;

use lineage::Lineage;

/// Tells what stages do; part of a session.
#[derive(Debug)]
pub struct Observer {
    has_metrics: bool,
    lineage: Option<Lineage>,
    seen: Mutex<BTreeMap<(Table, PartitionWindow), Seen>>,
}

/// What was learnt of a window on the way to its failure.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    rows: Option<RowCounts>,
    quality_failures: Option<u64>,
}

/// What a stage did; what does not apply stays empty.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What became of the window, in a word.
    pub status: &'static str,
    /// The epoch.
    pub epoch: Option<u64>,
    /// Rows read, written and refused, when rows were touched.
    pub rows: Option<RowCounts>,
    /// Files written and their bytes.
    pub output: Option<(usize, u64)>,
    /// The pinned files that were read.
    pub inputs: Vec<InputEntry>,
    /// The gate's answer.
    pub gate: Option<GateResult>,
    /// Tells whether the window became visible.
    pub is_published: bool,
}

impl Facts {
    /// Of a stage that writes a table.
    pub fn staged(stage: &Stage) -> Facts {
        match stage {
            Stage::Unchanged(head) => Facts {
                status: "unchanged",
                epoch: Some(head.epoch.get()),
                inputs: head.staged.document().inputs.clone(),
                ..Facts::default()
            },
            Stage::Staged(staged) => Facts {
                status: "staged",
                epoch: Some(staged.epoch.get()),
                rows: Some(staged.rows),
                output: Some((staged.files, staged.bytes)),
                inputs: staged.inputs.clone(),
                ..Facts::default()
            },
        }
    }

    /// Of raw files that are all there and as declared.
    pub fn found<'a>(found: impl Iterator<Item = &'a Discovery>) -> Facts {
        let inputs = found.flat_map(|found| &found.inputs).map(windrow_lake::RawInput::entry).collect();
        Facts { status: "ok", inputs, ..Facts::default() }
    }

    /// Of the gate.
    pub fn gate(epoch: windrow_core::Epoch, answer: &GateResult) -> Facts {
        let status = if crate::stage::gate::passed(answer) { "PASS" } else { "FAIL" };
        Facts { status, epoch: Some(epoch.get()), gate: Some(answer.clone()), ..Facts::default() }
    }

    /// Of the commit.
    pub fn published(published: &Published) -> Facts {
        let is_head = published.head == published.epoch;
        let status = if is_head { "published" } else { "superseded" };
        Facts { status, epoch: Some(published.epoch.get()), is_published: is_head, ..Facts::default() }
    }
}

/// Which stage of which table's window.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The verb: `raw-to-clean`.
    pub verb: &'static str,
    /// The table.
    pub table: &'a Table,
    /// The window.
    pub window: &'a PartitionWindow,
    /// Tells whether the stage is the verb that was called, and not a part of `run`, which has a line of its own.
    pub is_called: bool,
}

impl Observer {
    /// What the flags and the environment ask for.
    pub fn new(common: &Common, base_uri: &str, reporter: &Reporter) -> Observer {
        let lineage = Lineage::new(common, base_uri, reporter);
        Observer { has_metrics: common.metrics == Metrics::Emf, lineage, seen: Mutex::default() }
    }

    /// Remembers the rows of a window that is refused.
    pub fn saw_rows(&self, table: &Table, window: &PartitionWindow, read: u64, rejected: u64) {
        self.see(table, window, |seen| seen.rows = Some(RowCounts { read, written: 0, rejected }));
    }

    /// Remembers the gate's answer over a window that is refused.
    pub fn saw_gate(&self, table: &Table, window: &PartitionWindow, answer: &GateResult) {
        self.see(table, window, |seen| seen.quality_failures = Some(answer.failed_checks.len() as u64));
    }

    fn see(&self, table: &Table, window: &PartitionWindow, change: impl FnOnce(&mut Seen)) {
        if self.has_metrics {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            change(seen.entry((table.clone(), *window)).or_default());
        }
    }

    fn seen(&self, table: &Table, window: &PartitionWindow) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&(table.clone(), *window)).copied().unwrap_or_default()
    }
}

/// Does a stage's work, and tells that it begins and what became of it. The result is the work's own.
///
/// # Errors
/// The work's.
pub fn stage<T>(
    session: &Session<'_>,
    subject: Subject<'_>,
    work: impl FnOnce() -> Result<T>,
    facts: impl FnOnce(&T) -> Facts,
) -> Result<T> {
    let observer = &session.observer;
    if !observer.has_metrics && observer.lineage.is_none() {
        return work();
    }
    let begun = observer.lineage.as_ref().map(|lineage| lineage.begin(session, subject));
    let watch = Stopwatch::start();
    let result = work();
    let facts = result.as_ref().map(facts).unwrap_or_default();
    let error = result.as_ref().err();
    if observer.has_metrics && subject.is_called {
        let outcome = Outcome {
            status: error.map_or(facts.status, |error| if walk::is_quarantined(error) { "quarantined" } else { "failed" }),
            error_kind: error.map(windrow_core::Error::kind),
            epoch: facts.epoch,
            rows: facts.rows,
            gate: facts.gate.as_ref(),
            is_published: facts.is_published,
        };
        tell(session, subject, watch.elapsed(), &outcome);
    }
    if let Some((lineage, begun)) = observer.lineage.as_ref().zip(begun) {
        lineage.end(session, subject, begun, &facts, error);
    }
    result
}

/// Tells what became of a table that `run` or `replay` walked.
pub fn walked(session: &Session<'_>, table: &Table, window: &PartitionWindow, result: &TableResult) {
    if !session.observer.has_metrics {
        return;
    }
    let is_touched = matches!(result.status, walk::Status::Published) || result.rows_in > 0 && !result.is_ok();
    let rows = RowCounts { read: result.rows_in, written: result.rows_out, rejected: result.rows_rejected };
    let outcome = Outcome {
        status: result.status.as_str(),
        error_kind: result.failure.as_ref().map(windrow_core::Error::kind),
        epoch: result.epoch,
        rows: is_touched.then_some(rows),
        gate: result.gate.as_ref(),
        is_published: result.status == walk::Status::Published,
    };
    let subject = Subject { verb: "run", table, window, is_called: true };
    tell(session, subject, Duration::from_millis(result.milliseconds), &outcome);
}

struct Outcome<'a> {
    status: &'a str,
    error_kind: Option<ErrorKind>,
    epoch: Option<u64>,
    rows: Option<RowCounts>,
    gate: Option<&'a GateResult>,
    is_published: bool,
}

fn tell(session: &Session<'_>, subject: Subject<'_>, duration: Duration, outcome: &Outcome<'_>) {
    let Subject { verb, table, window, .. } = subject;
    let (now, seen) = (runtime::now(), session.observer.seen(table, window));
    let failed_checks = outcome.gate.map(|answer| answer.failed_checks.len() as u64);
    let lag = || {
        let (_, end) = lineage::instants(session, table, window)?;
        Some(now.as_second() - end.as_second())
    };
    let document = emf::document(&emf::Measures {
        timestamp_milliseconds: now.as_millisecond(),
        table,
        stage: verb,
        error_kind: outcome.error_kind,
        duration_milliseconds: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        rows: outcome.rows.or(seen.rows),
        quality_failures: failed_checks.or(seen.quality_failures),
        is_replay: session.reason == Reason::Replay,
        freshness_lag_seconds: outcome.is_published.then(lag).flatten(),
        run_id: session.run_id.as_str(),
        window: &window.to_string(),
        status: outcome.status,
        epoch: outcome.epoch,
        version: &session.code.version,
    });
    session.reporter.machine_line(&document.to_string());
}
