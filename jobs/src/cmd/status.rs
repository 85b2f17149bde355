//! `windrow status`: every window's head, whether its raw files changed since, and the last decision.

use serde::Serialize;
use serde_json::json;
use windrow_core::id::{DatasetName, Layer, Table};
use windrow_core::ledger::{Decision, Reason};
use windrow_core::{Error, ErrorKind, PartitionWindow, Result};
use windrow_lake::{EpochState, LakeTable};

use crate::cli::{Common, WindowArgs};
use crate::plan;
use crate::report::{RESULT_SCHEMA, Reporter};
use crate::session::Session;
use crate::stage::freshness::{self, Stale};

/// Arguments of `windrow status`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windrow status\n  windrow status --dataset flights --from 2013-01-01 --to 2013-01-08\n  windrow status --dataset flights --window 2013-01-02 --epochs     # every attempt, not only the last"
)]
pub struct Args {
    /// Dataset, with everything it reads [default: all]
    #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
    dataset: Option<DatasetName>,
    #[command(flatten)]
    windows: WindowArgs,
    /// List every epoch of the windows: who claimed it, and what became of it
    #[arg(long, env = "WINDROW_EPOCHS", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    epochs: bool,
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
    epochs: Vec<EpochRow>,
    #[serde(skip)]
    failure: Option<ErrorKind>,
}

/// One epoch of a window.
#[derive(Debug, Serialize)]
struct EpochRow {
    epoch: u64,
    decision: String,
    reason: Option<Reason>,
    run_id: Option<String>,
    rows_out: Option<u64>,
    content_sha256: Option<String>,
}

impl EpochRow {
    fn of(state: &EpochState) -> Self {
        let (claim, staged) = (state.claim.as_ref().map(|claim| claim.document()), state.staged.as_ref());
        EpochRow {
            epoch: state.epoch.get(),
            decision: last_decision(state),
            reason: claim.map(|claim| claim.reason),
            run_id: claim.map(|claim| claim.run_id.to_string()),
            rows_out: staged.map(|staged| staged.document().rows.written),
            content_sha256: staged.map(|staged| staged.document().content_sha256.clone()),
        }
    }
}

/// Lists windows that were ever claimed, and named ones that were not.
///
/// # Errors
/// `Usage` for unknown names, else what the store says. A window whose ledger cannot be read fails the verb after the
/// others are shown.
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
        rows.extend(table_rows(&session, table, args)?);
    }
    let code = rows.iter().find_map(|row| row.failure).map_or(0, ErrorKind::exit_code);
    let text = if rows.is_empty() { "nothing was ever run; `windrow run --dataset …` does".to_owned() } else { shown(&rows) };
    let result = json!({
        "schema": RESULT_SCHEMA,
        "verb": "status",
        "run_id": session.run_id.as_str(),
        "status": if code == 0 { "ok" } else { "failed" },
        "exit_code": code,
        "windows": rows,
    });
    session.reporter.result(&result, &text)?;
    Ok(code)
}

fn table_rows(session: &Session<'_>, table: &Table, args: &Args) -> Result<Vec<Row>> {
    let contract = session.project.contract(table)?;
    let wanted = if args.windows.is_given() { Some(args.windows.windows(&contract.window)?) } else { None };
    let Some(lake_table) = session.table(table)? else {
        return Ok(wanted.unwrap_or_default().iter().map(|window| never_run(table, window)).collect());
    };
    let history = session.runtime.block_on(lake_table.history())?;
    let windows = wanted.unwrap_or_else(|| history.keys().copied().collect());
    let mut rows = Vec::new();
    for window in &windows {
        // A window whose ledger cannot be read is one line of the answer, not the end of it.
        let row = window_row(session, &lake_table, window, args.epochs);
        rows.push(row.unwrap_or_else(|error| unreadable(table, window, &error)));
    }
    Ok(rows)
}

fn window_row(session: &Session<'_>, lake_table: &LakeTable, window: &PartitionWindow, with_epochs: bool) -> Result<Row> {
    let last = session.runtime.block_on(lake_table.newest_epoch(window, |_| true))?;
    let Some(last) = last else { return Ok(never_run(lake_table.name(), window)) };
    let mut row = row(session, lake_table, window, &last)?;
    if with_epochs {
        row.epochs = session.runtime.block_on(lake_table.window_history(window))?.iter().map(EpochRow::of).collect();
    }
    Ok(row)
}

fn unreadable(table: &Table, window: &PartitionWindow, error: &Error) -> Row {
    Row { state: "unreadable", last: error.to_string(), failure: Some(error.kind()), ..never_run(table, window) }
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
        epochs: Vec::new(),
        failure: None,
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
    Ok(Row {
        table: table.to_string(),
        window: window.to_string(),
        state,
        epoch: head.as_ref().map(|head| head.epoch.get()),
        rows: head.as_ref().map(|head| head.rows),
        files: head.as_ref().map(|head| head.files.len()),
        stale: stale.is_some(),
        why: stale.map(|stale| stale.to_string()),
        last: last_decision(last),
        last_epoch: last.epoch.get(),
        epochs: Vec::new(),
        failure: None,
    })
}

/// The decision, with the class of the error behind it.
fn last_decision(state: &EpochState) -> String {
    let Some(outcome) = &state.outcome else { return "undecided".to_owned() };
    let (decision, error) = (outcome.document().decision, outcome.document().error.as_ref());
    match error.map(|error| (&error.kind, &error.code)) {
        Some((kind, Some(code))) => format!("{decision}: {kind} {code}"),
        Some((kind, None)) => format!("{decision}: {kind}"),
        None => decision.to_string(),
    }
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
        lines.extend(row.epochs.iter().map(epoch_line));
    }
    lines.join("\n")
}

fn epoch_line(row: &EpochRow) -> String {
    let reason = row.reason.map_or("-", Reason::as_str);
    let rows = row.rows_out.map_or_else(|| "-".to_owned(), |rows| rows.to_string());
    let content = row.content_sha256.as_deref().and_then(|sha256| sha256.get(..12)).unwrap_or("-");
    let run_id = row.run_id.as_deref().unwrap_or("-");
    format!("  epoch {:>4}  {:<36} {rows:>8} rows  content {content:<12}  {reason} {run_id}", row.epoch, row.decision)
}
