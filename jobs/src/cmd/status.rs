//! `windrow status`: every window's head, whether its raw files changed since, and the last decision.

use serde::Serialize;
use serde_json::json;
use windrow_core::id::{DatasetName, Layer, Table};
use windrow_core::ledger::{Decision, Reason};
use windrow_core::{Error, PartitionWindow, Result};
use windrow_lake::{EpochState, LakeTable};

use crate::cli::{Common, WindowArgs};
use crate::plan;
use crate::report::{RESULT_SCHEMA, Reporter};
use crate::session::Session;
use crate::stage::freshness::{self, Stale};

/// Arguments of `windrow status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  windrow status\n  windrow status --dataset flights --from 2013-01-01 --to 2013-01-08")]
pub struct Args {
    /// Dataset, with everything it reads [default: all]
    #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
    dataset: Option<DatasetName>,
    #[command(flatten)]
    windows: WindowArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// One table in one window.
#[derive(Debug, Serialize)]
pub struct Row {
    table: String,
    window: String,
    state: &'static str,
    epoch: Option<u64>,
    rows: Option<u64>,
    files: Option<usize>,
    stale: bool,
    why: Option<String>,
    last: String,
    last_epoch: u64,
}

/// Lists windows that were ever claimed, and named ones that were not.
///
/// # Errors
/// `Usage` for unknown names, else what the store says.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Schedule, false)?;
    let tables = match &args.dataset {
        Some(dataset) => plan::tables(&session.project, dataset)?,
        None => {
            session.project.contracts().map(|contract| contract.table.clone()).filter(|table| table.layer != Layer::Raw).collect()
        }
    };
    let mut rows = Vec::new();
    for table in &tables {
        rows.extend(table_rows(&session, table, &args.windows)?);
    }
    let text = if rows.is_empty() { "nothing was ever run; `windrow run --dataset …` does".to_owned() } else { shown(&rows) };
    let result =
        json!({"schema": RESULT_SCHEMA, "verb": "status", "run_id": session.run_id.as_str(), "exit_code": 0, "windows": rows});
    session.reporter.result(&result, &text)?;
    Ok(0)
}

fn table_rows(session: &Session<'_>, table: &Table, windows: &WindowArgs) -> Result<Vec<Row>> {
    let contract = session.project.contract(table)?;
    let wanted = if windows.is_given() { Some(windows.windows(&contract.window)?) } else { None };
    let Some(lake_table) = session.table(table)? else {
        return Ok(wanted.unwrap_or_default().iter().map(|window| never_run(table, window)).collect());
    };
    let history = session.runtime.block_on(lake_table.history())?;
    let windows = wanted.unwrap_or_else(|| history.keys().copied().collect());
    let mut rows = Vec::new();
    for window in &windows {
        // A window whose ledger cannot be read is one line of the answer, not the end of it.
        rows.push(window_row(session, &lake_table, window).unwrap_or_else(|error| unreadable(table, window, &error)));
    }
    Ok(rows)
}

fn window_row(session: &Session<'_>, lake_table: &LakeTable, window: &PartitionWindow) -> Result<Row> {
    let states = session.runtime.block_on(lake_table.window_history(window))?;
    match states.iter().max_by_key(|state| state.epoch) {
        Some(last) => row(session, lake_table, window, last),
        None => Ok(never_run(lake_table.name(), window)),
    }
}

fn unreadable(table: &Table, window: &PartitionWindow, error: &Error) -> Row {
    Row { state: "unreadable", last: error.to_string(), ..never_run(table, window) }
}

fn never_run(table: &Table, window: &PartitionWindow) -> Row {
    Row {
        table: table.to_string(),
        window: window.to_string(),
        state: "never run",
        epoch: None,
        rows: None,
        files: None,
        stale: false,
        why: None,
        last: String::new(),
        last_epoch: 0,
    }
}

fn row(session: &Session<'_>, lake_table: &LakeTable, window: &PartitionWindow, last: &EpochState) -> Result<Row> {
    let table = lake_table.name();
    let head = session.runtime.block_on(lake_table.resolve(window))?;
    let contract = session.project.contract(table)?;
    let stale = head.as_ref().map(|head| freshness::data_changed(session, contract, head)).transpose()?.flatten();
    let state = match (&head, decision(last)) {
        (Some(_), Some(Decision::Quarantined)) => "published, newer quarantined",
        (Some(_), _) if stale == Some(Stale::Inputs) => "published, inputs changed",
        (Some(_), _) if stale.is_some() => "published, raw files changed",
        (Some(_), _) => "published",
        (None, Some(Decision::Quarantined)) => "quarantined",
        (None, Some(Decision::Retracted)) => "retracted",
        (None, _) => "not published",
    };
    let reason = last
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.document().error.as_ref())
        .map(|error| error.code.as_ref().map_or_else(|| error.kind.clone(), |code| format!("{} {code}", error.kind)));
    let last_decision = decision(last).map_or_else(|| "undecided".to_owned(), |decision| decision.to_string());
    Ok(Row {
        table: table.to_string(),
        window: window.to_string(),
        state,
        epoch: head.as_ref().map(|head| head.epoch.get()),
        rows: head.as_ref().map(|head| head.rows),
        files: head.as_ref().map(|head| head.files.len()),
        stale: stale.is_some(),
        why: stale.map(|stale| stale.to_string()),
        last: reason.map_or(last_decision.clone(), |reason| format!("{last_decision}: {reason}")),
        last_epoch: last.epoch.get(),
    })
}

fn decision(state: &EpochState) -> Option<Decision> {
    state.outcome.as_ref().map(|outcome| outcome.document().decision)
}

fn shown(rows: &[Row]) -> String {
    let mut lines = vec![format!(
        "{:<24} {:<14} {:<30} {:>8} {:>6} {:>6}  {}",
        "TABLE", "WINDOW", "STATE", "ROWS", "FILES", "EPOCH", "LAST DECISION"
    )];
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    for row in rows {
        let last = if row.last_epoch == 0 {
            if row.last.is_empty() { "-".to_owned() } else { row.last.clone() }
        } else {
            let why = row.why.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
            format!("{} (epoch {}){why}", row.last, row.last_epoch)
        };
        lines.push(format!(
            "{:<24} {:<14} {:<30} {:>8} {:>6} {:>6}  {last}",
            row.table,
            row.window,
            row.state,
            number(row.rows),
            number(row.files.map(|files| files as u64)),
            number(row.epoch),
        ));
    }
    lines.join("\n")
}
