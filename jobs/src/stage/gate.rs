//! check: run every rule on exactly the staged files, and record the answer.

use windrow_core::canonical;
use windrow_core::gate::{self, Check, GateResult, Metric, Observation, Status};
use windrow_core::ledger::{CheckDoc, FailedCheck};
use windrow_core::{Epoch, Error, PartitionWindow, Result, Table};
use windrow_lake::{EpochState, LakeTable};

use crate::session::Session;

use super::{HIDDEN, curated, parallel};

/// Runs the gate on a staged epoch and records PASS or FAIL. A FAIL is a result, not an error.
///
/// # Errors
/// `Misconfigured` when nothing is staged, else what the store says. A check that cannot run is a FAIL.
pub fn check(
    session: &Session<'_>,
    table: &Table,
    window: &PartitionWindow,
    epoch: Option<Epoch>,
) -> Result<(Epoch, GateResult)> {
    let (lake_table, state) = staged_epoch(session, table, window, epoch)?;
    let Some((claim, staged)) = state.claim.as_ref().zip(state.staged.as_ref()) else {
        return Err(nothing_staged(table, window));
    };
    require_same_config(session, table, window, &state)?;
    session.reporter.step(&format!("{table} {window} checking"));
    let result = evaluate(session, &lake_table, window, staged.document())?;
    let document = CheckDoc {
        staged_sha256: staged.sha256().to_owned(),
        profile: result.profile.clone(),
        status: result.status,
        failed_checks: failed_checks(session.project.checks(table), &result),
        run_id: session.run_id.clone(),
    };
    let claimed = session.runtime.block_on(lake_table.load_claimed(window, state.epoch, &claim.document().attempt))?;
    let recorded = session.runtime.block_on(lake_table.put_check(&claimed, document))?;
    // The first recorded answer counts, also when this evaluation came to another one.
    let status = recorded.document().status;
    Ok((state.epoch, GateResult { status, ..result }))
}

/// The gate's answer counts for the contract, SQL, checks and profile the epoch was claimed with, and for no others.
///
/// # Errors
/// `Misconfigured` when any of them changed since.
pub fn require_same_config(session: &Session<'_>, table: &Table, window: &PartitionWindow, state: &EpochState) -> Result<()> {
    let claimed = state.claim.as_ref().map(|claim| claim.document().config_sha256.as_str());
    let config = session.project.config_sha256(table)?;
    if claimed == Some(config.as_str()) {
        return Ok(());
    }
    let message =
        format!("contract, SQL, checks or profile of {table} changed since epoch {} of {window} was staged", state.epoch.get());
    Err(Error::misconfigured(message).help("compute the window again with what holds now: `windrow run`, or the stage before"))
}

/// The named epoch, or the newest staged one of the window, decided or not.
///
/// # Errors
/// `Misconfigured` when there is none.
pub fn staged_epoch(
    session: &Session<'_>,
    table: &Table,
    window: &PartitionWindow,
    epoch: Option<Epoch>,
) -> Result<(LakeTable, EpochState)> {
    let lake_table = session.table(table)?.ok_or_else(|| nothing_staged(table, window))?;
    let wanted = |state: &EpochState| match epoch {
        Some(epoch) => state.epoch == epoch,
        None => state.staged.is_some(),
    };
    let state = session.runtime.block_on(lake_table.newest_epoch(window, wanted))?;
    let state = state.ok_or_else(|| nothing_staged(table, window))?;
    Ok((lake_table, state))
}

fn nothing_staged(table: &Table, window: &PartitionWindow) -> Error {
    Error::misconfigured(format!("nothing is staged for {table} {window}"))
        .help("run raw-to-clean or clean-to-curated first; `windrow status --epochs` shows every epoch")
}

fn evaluate(
    session: &Session<'_>,
    table: &LakeTable,
    window: &PartitionWindow,
    staged: &windrow_core::ledger::Staged,
) -> Result<GateResult> {
    let contract = session.project.contract(table.name())?;
    let checks = session.project.checks(table.name());
    let turn = session.turn(window, staged.files.iter().map(|file| file.size).sum())?;
    let files: Vec<_> = staged.files.iter().map(|file| (table.file_key(file), file.sha256.as_str())).collect();
    parallel::try_each(&files, |(key, sha256)| {
        let (_, found) = session.runtime.block_on(session.lake.digest(key))?;
        if found == *sha256 {
            return Ok(());
        }
        Err(Error::internal("a staged file holds other bytes than were staged").with("key", key))
    })?;
    let keys: Vec<&str> = files.iter().map(|(key, _)| key.as_str()).collect();
    let (input, _download) = curated::files_input(session, table.name(), window, &keys)?;
    let params = curated::params(contract, window)?;
    let (observed, _turn) = session
        .with_room(window, turn, |_| windrow_transform::run_checks(checks, &input, &params, session.watch_query().stop()))?;
    let observed =
        observed.into_iter().map(|(index, seen)| (index, if contract.has_classified() { without_values(seen) } else { seen }));
    let mut observed: std::collections::BTreeMap<usize, Observation> = observed.collect();
    let judged = checks.iter().enumerate().map(|(index, check)| {
        let missing = || Observation::Broken("the check yielded nothing".to_owned());
        gate::judge(check, observed.remove(&index).unwrap_or_else(missing))
    });
    Ok(gate::verdict(&session.run_id, &session.project.profile.name, judged.collect()))
}

/// What a check saw, without its rows: SQL can rename and combine columns, so no name in them tells what is classified.
fn without_values(seen: Observation) -> Observation {
    match seen {
        Observation::Measured { number, .. } => Observation::Measured { number, sample: Vec::new() },
        Observation::Broken(_) => Observation::Broken(HIDDEN.to_owned()),
    }
}

fn failed_checks(checks: &[Check], result: &GateResult) -> Vec<FailedCheck> {
    let sql_sha256 = |id: &str| {
        checks.iter().find(|check| check.id == id).and_then(|check| match &check.metric {
            Metric::SqlNumber(sql) | Metric::SqlRows(sql) => Some(canonical::sha256_hex(sql.as_bytes())),
            _ => None,
        })
    };
    let failed = result.checks.iter().filter(|check| !check.passed);
    failed
        .map(|check| FailedCheck {
            id: check.id.clone(),
            severity: check.severity,
            observed: check.observed.clone(),
            threshold: check.expected.clone(),
            sql_sha256: sql_sha256(&check.id),
        })
        .collect()
}

/// Tells whether the gate lets the output through.
pub fn passed(result: &GateResult) -> bool {
    result.status == Status::Pass
}
