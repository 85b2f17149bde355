//! `windrow quarantine close`: decides every epoch of a window that a failed run claimed and left undecided.
//!
//! Nothing of the run can be published afterwards, whatever of it still lives: an epoch has one outcome. Epochs of other
//! runs are never touched.

use serde::Serialize;
use serde_json::json;
use windrow_core::gate::{CheckResult, GateResult, Status};
use windrow_core::id::DatasetName;
use windrow_core::ledger::{CheckDoc, DecidedBy, Decision, Outcome};
use windrow_core::{Error, ErrorKind, PartitionWindow, Result, RunId, Table, WindowChoice};
use windrow_lake::{EpochState, LakeTable};

use crate::plan;
use crate::report::{RESULT_SCHEMA, count};
use crate::session::Session;
use crate::stage::{gate, walk};

/// Failures of the gate that asking again does not heal.
const LASTING: [ErrorKind; 5] =
    [ErrorKind::Misconfigured, ErrorKind::Internal, ErrorKind::CorruptInput, ErrorKind::InputMissing, ErrorKind::OutOfMemory];

/// What became of one epoch of the run.
#[derive(Debug, Serialize)]
struct Closed {
    table: String,
    epoch: u64,
    decision: Decision,
    evidence: Option<String>,
}

/// Closes what the run left open, and lists the evidence of everything it put aside.
///
/// # Errors
/// `Usage` without a run id, else what the store says.
pub(super) fn run(session: &Session<'_>, dataset: &DatasetName, choice: WindowChoice) -> Result<u8> {
    let run_id = session.reporter.common().run_id.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::Usage, "no run named").help(
            "name the run whose epochs are to be decided with --run-id or WINDROW_RUN_ID; `windrow status --epochs` lists them",
        )
    })?;
    let tables = plan::tables(&session.project, dataset)?;
    let target = tables.last().ok_or_else(|| Error::internal("a dataset without any table"))?;
    let window = session.window(target, choice)?;
    let (mut closed, mut evidence) = (Vec::new(), Vec::new());
    for table in &tables {
        let Some(lake_table) = session.table(table)? else { continue };
        for state in session.runtime.block_on(lake_table.window_history(&window))? {
            if state.claim.as_ref().is_none_or(|claim| claim.document().run_id != *run_id) {
                continue;
            }
            let was_open = state.outcome.is_none();
            let done = settle(session, &lake_table, &window, state)?;
            evidence.extend(done.evidence.clone());
            closed.extend(was_open.then_some(done));
        }
    }
    report(session, dataset, &window, run_id, &closed, &evidence)
}

/// The outcome of an epoch; one is decided when there is none.
fn settle(session: &Session<'_>, lake_table: &LakeTable, window: &PartitionWindow, state: EpochState) -> Result<Closed> {
    let (table, epoch) = (lake_table.name(), state.epoch);
    let decided = match &state.outcome {
        Some(outcome) => Ok(outcome.document().clone()),
        None => decide(session, lake_table, window, &state),
    };
    let outcome = match decided {
        // Somebody decided meanwhile: the run itself, or garbage collection.
        Err(error) if error.kind() == ErrorKind::Fenced => outcome_of(session, lake_table, window, &state)?,
        decided => decided?,
    };
    let evidence = outcome.error.as_ref().map(|error| session.shown(&error.evidence));
    Ok(Closed { table: table.to_string(), epoch: epoch.get(), decision: outcome.decision, evidence })
}

fn decide(session: &Session<'_>, lake_table: &LakeTable, window: &PartitionWindow, state: &EpochState) -> Result<Outcome> {
    match state.check.as_ref().map(|check| check.document()) {
        Some(check) if check.status == Status::Fail => {
            let answer = full_answer(session, lake_table.name(), window, state, check)?;
            walk::reject(session, lake_table.name(), window, state.epoch, &answer)?;
            outcome_of(session, lake_table, window, state)
        }
        _ => {
            let aborted = session.runtime.block_on(lake_table.abort(window, state.epoch, DecidedBy::Run))?;
            Ok(aborted.document().clone())
        }
    }
}

/// The gate's answer with its samples, as `publish` gives it; what the check register says where it cannot be asked again:
/// contract, SQL, checks or profile changed, or the staged files are damaged.
fn full_answer(
    session: &Session<'_>,
    table: &Table,
    window: &PartitionWindow,
    state: &EpochState,
    recorded: &CheckDoc,
) -> Result<GateResult> {
    match gate::check(session, table, window, Some(state.epoch)) {
        Ok((_, answer)) => Ok(answer),
        Err(error) if LASTING.contains(&error.kind()) => Ok(recorded_answer(recorded)),
        Err(error) => Err(error),
    }
}

fn recorded_answer(recorded: &CheckDoc) -> GateResult {
    let checks = recorded.failed_checks.iter().map(|failed| CheckResult {
        id: failed.id.clone(),
        passed: false,
        severity: failed.severity,
        observed: failed.observed.clone(),
        expected: failed.threshold.clone(),
        place: "what the gate recorded".to_owned(),
        sample: Vec::new(),
    });
    GateResult {
        status: recorded.status,
        failed_checks: recorded.failed_checks.iter().map(|failed| failed.id.clone()).collect(),
        run_id: recorded.run_id.to_string(),
        profile: recorded.profile.clone(),
        checks: checks.collect(),
    }
}

fn outcome_of(session: &Session<'_>, lake_table: &LakeTable, window: &PartitionWindow, state: &EpochState) -> Result<Outcome> {
    let history = session.runtime.block_on(lake_table.window_history(window))?;
    let outcome = history.into_iter().find(|found| found.epoch == state.epoch).and_then(|found| found.outcome);
    let outcome = outcome.ok_or_else(|| Error::internal("a decided epoch has no outcome").with("epoch", state.epoch))?;
    Ok(outcome.document().clone())
}

fn report(
    session: &Session<'_>,
    dataset: &DatasetName,
    window: &PartitionWindow,
    run_id: &RunId,
    closed: &[Closed],
    evidence: &[String],
) -> Result<u8> {
    let mut lines: Vec<String> = closed
        .iter()
        .map(|one| format!("{} {window} epoch {}: {}", one.table, one.epoch, one.decision))
        .chain(evidence.iter().map(|place| format!("evidence: {place}")))
        .collect();
    let epochs = count(closed.len() as u64, "epoch");
    lines.push(match closed.len() {
        0 => format!("nothing to close: run {run_id} left no epoch of {dataset} {window} undecided"),
        _ => format!("closed {epochs} of run {run_id}: whatever of the run still lives cannot publish them"),
    });
    // What an alert adds to a failure that could not say so itself.
    let is_put_aside = closed.iter().any(|one| one.decision == Decision::Quarantined);
    let result = json!({
        "schema": RESULT_SCHEMA,
        "words": if is_put_aside { "; quarantined" } else { "" },
        "verb": "quarantine close",
        "dataset": dataset.as_str(),
        "window": window.to_string(),
        "run_id": run_id.as_str(),
        "status": "ok",
        "exit_code": 0,
        "closed": closed,
        "evidence": evidence,
    });
    session.reporter.result(&result, &lines.join("\n"))?;
    Ok(0)
}
