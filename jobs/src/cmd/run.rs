//! `windrow run`: windows through all stages, several at a time; the failure of one changes nothing of another.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;
use windrow_core::id::{DatasetName, Table};
use windrow_core::ledger::Reason;
use windrow_core::{Error, ErrorKind, PartitionWindow, Result};

use crate::cli::{Common, ConcurrencyArgs, TripArgs, WindowArgs};
use crate::report::{self, RESULT_SCHEMA, Reporter, count};
use crate::session::Session;
use crate::stage::publish;
use crate::stage::walk::{self, Status, TableResult};
use crate::{alert, lint, plan};

/// Arguments of `windrow run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windrow run --dataset flights --window 2013-01-01
  windrow run --dataset flights --from 2013-01-01 --to 2013-01-08     # seven windows, end exclusive
  windrow run --dataset orders --last 7d --output json                  # the last seven complete days")]
pub struct Args {
    /// Dataset: its curated table if it has one, with everything it reads
    #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
    pub dataset: DatasetName,
    #[command(flatten)]
    pub(crate) windows: WindowArgs,
    /// Compute windows again although nothing changed
    #[arg(long, env = "WINDROW_FORCE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    pub force: bool,
    #[command(flatten)]
    pub(crate) trip: TripArgs,
    #[command(flatten)]
    pub(crate) concurrency: ConcurrencyArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Runs the windows and returns the exit code of the first failed one.
///
/// # Errors
/// `Usage` and `Misconfigured` before any window is touched.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let mut session = Session::open(reporter, Reason::Schedule, args.force)?.on_trip(&args.trip);
    let tables = plan::tables(&session.project, &args.dataset)?;
    let target = tables.last().map(|table| session.project.contract(table)).transpose()?;
    let windows = target.map(|contract| args.windows.windows(&contract.window)).transpose()?.unwrap_or_default();
    lint::require_clean(&session.project, &tables)?;
    session.force_failed(&tables, &windows)?;
    let results = walk_windows(&session, &tables, &windows, args.concurrency.concurrency);
    summarise(&session, "run", args.dataset.as_str(), &results, windows.len())
}

/// All tables of one window.
#[derive(Debug, Serialize)]
pub struct WindowResult {
    /// The window.
    pub window: String,
    /// The tables in the order they were computed.
    pub tables: Vec<TableResult>,
}

impl WindowResult {
    /// The first failure, if any.
    pub fn failure(&self) -> Option<&TableResult> {
        self.tables.iter().find(|table| table.failure.is_some())
    }

    /// What became of the window: the first failure, else whether anything is new.
    pub fn status(&self) -> Status {
        let failed = self.failure().map(|table| table.status);
        let is_new = self.tables.iter().any(|table| table.status == Status::Published);
        failed.unwrap_or(if is_new { Status::Published } else { Status::Unchanged })
    }
}

/// Walks the tables of every window, so many windows at the same time or as many as there is room for, and returns the results in the windows' order.
/// Interruption ends each walk between two steps, and starts no further one.
pub fn walk_windows(
    session: &Session<'_>,
    tables: &[Table],
    windows: &[PartitionWindow],
    at_once: Option<NonZeroUsize>,
) -> Vec<WindowResult> {
    let name = tables.last().map(|table| table.dataset.to_string()).unwrap_or_default();
    session.reporter.start(windows.len(), &name);
    let at_once = session.share_memory(at_once, windows.len());
    let queue = Mutex::new(windows.iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(windows.len()));
    let walk = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            // The first window is walked in any case, so that the result says why the others are left.
            let Some((index, window)) = next.filter(|(index, _)| *index == 0 || session.runtime.check_interrupted().is_ok())
            else {
                return;
            };
            let result = walk_window(session, tables, window);
            let interrupted = is_interrupted(&result);
            // One window's lines are told together.
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            announce(session, &name, index + 1, windows.len(), &result);
            session.reporter.advance();
            done.push((index, result));
            if interrupted {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..at_once {
            scope.spawn(walk);
        }
        walk();
    });
    session.reporter.finish();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn is_interrupted(result: &WindowResult) -> bool {
    result.failure().and_then(|table| table.failure.as_ref()).is_some_and(|error| error.kind() == ErrorKind::Interrupted)
}

fn walk_window(session: &Session<'_>, tables: &[Table], window: &PartitionWindow) -> WindowResult {
    let mut results: Vec<TableResult> = Vec::new();
    for table in tables {
        let contract = session.project.contract(table).ok();
        let inputs = contract.and_then(|contract| contract.transform.as_ref()).map_or(&[][..], |transform| &transform.inputs);
        let is_blocked = results.iter().any(|done| !done.is_ok() && inputs.iter().any(|input| input.to_string() == done.table));
        results.push(if is_blocked { TableResult::blocked(table, window) } else { walk::table(session, table, window) });
    }
    WindowResult { window: window.to_string(), tables: results }
}

fn announce(session: &Session<'_>, name: &str, number: usize, of: usize, result: &WindowResult) {
    let head = format!("[{number}/{of}] {name} {}", result.window);
    let text = match (result.failure(), result.tables.last()) {
        (Some(failed), _) => format!("{head} {} {}", status_word(failed.status), failure_line(failed)),
        (None, Some(last)) if result.status() == Status::Unchanged => {
            format!("{head} SKIP nothing changed, {} published", count(last.rows_out, "row"))
        }
        (None, Some(last)) => {
            let time: u64 = result.tables.iter().map(|table| table.milliseconds).sum();
            let refused: u64 = result.tables.iter().map(|table| table.rows_rejected).sum();
            let note = if refused > 0 { format!(", {} refused", count(refused, "row")) } else { String::new() };
            let files = count(last.files as u64, "file");
            let time = report::seconds(std::time::Duration::from_millis(time));
            format!("{head} OK {} → {files} {}{note} {time}", count(last.rows_out, "row"), report::bytes(last.bytes))
        }
        (None, None) => head,
    };
    if result.failure().is_none() {
        session.reporter.event("window", &text, result);
        return;
    }
    session.reporter.alarm("window", &text, result);
    let mut told: Vec<ErrorKind> = Vec::new();
    for (table, error) in result.tables.iter().filter_map(|table| Some((table, table.failure.as_ref()?))) {
        // One cause, said once: an interruption or a full disk fails every table after the first alike.
        if error.diagnostics().is_empty() && told.contains(&error.kind()) {
            continue;
        }
        told.push(error.kind());
        session.reporter.findings(error.diagnostics().get(..error.diagnostics().len().min(8)).unwrap_or_default());
        session.reporter.say(&consequence(name, table, error));
    }
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Published => "OK",
        Status::Unchanged => "SKIP",
        Status::Quarantined => "QUARANTINED",
        Status::Failed => "FAILED",
        Status::Blocked => "BLOCKED",
    }
}

fn failure_line(table: &TableResult) -> String {
    let Some(error) = &table.failure else { return String::new() };
    // Findings say where and why themselves; other errors do with their context and cause.
    let told = if error.diagnostics().is_empty() { error.to_string() } else { error.message().to_owned() };
    format!("{}: {told}", table.table)
}

/// What happened to the window and what to do next.
fn consequence(dataset: &str, table: &TableResult, error: &windrow_core::Error) -> String {
    let kind = error.kind();
    let evidence =
        error.context().iter().find(|(key, _)| *key == "evidence").map(|(_, value)| format!("\n   = evidence: {value}"));
    let help = next_step(dataset, table, error);
    if error.context().iter().any(|(key, _)| *key == publish::COMMITTED) {
        return format!(
            "   = result: {} {} is published, its views are not up to date ({kind}, exit {})\n   = next: {help}\n",
            table.table,
            table.window,
            kind.exit_code()
        );
    }
    format!(
        "   = result: {} {} NOT published; what was visible before stays ({kind}, exit {}){}\n   = next: {help}\n",
        table.table,
        table.window,
        kind.exit_code(),
        evidence.unwrap_or_default()
    )
}

/// What to do, as a command where there is one.
fn next_step(dataset: &str, table: &TableResult, error: &windrow_core::Error) -> String {
    if let Some(help) = error.help_text() {
        return help.to_owned();
    }
    let replay = format!("`windrow replay --dataset {dataset} --window {}`", table.window);
    if error.kind() == ErrorKind::SchemaMismatch && table.table.starts_with("curated.") {
        return format!("the transform yields what the contract refuses: correct the SQL or the contract, then {replay}");
    }
    error.kind().next_step().replace("`windrow replay`", &replay)
}

/// Prints the totals, writes the result, and returns the exit code of the first failed window.
///
/// # Errors
/// `Misconfigured` when the result cannot be written.
pub fn summarise(session: &Session<'_>, verb: &str, name: &str, results: &[WindowResult], planned: usize) -> Result<u8> {
    summarise_with(session, verb, name, (results, planned), None)
}

/// What a verb has to say beside its windows.
pub(super) struct Extra<'a> {
    /// The field of the result.
    pub(super) field: &'static str,
    /// Its value.
    pub(super) value: serde_json::Value,
    /// A failure that is of no window; it counts when no window failed.
    pub(super) failure: Option<&'a Error>,
}

/// [`summarise`] with a field and a failure of the verb's own.
pub(super) fn summarise_with(
    session: &Session<'_>,
    verb: &str,
    name: &str,
    (results, planned): (&[WindowResult], usize),
    extra: Option<Extra<'_>>,
) -> Result<u8> {
    let of = |wanted: Status| results.iter().filter(|result| result.status() == wanted).count();
    let (ok, skip, quarantined) = (of(Status::Published), of(Status::Unchanged), of(Status::Quarantined));
    let failed = results.len() - ok - skip - quarantined;
    let left = planned.saturating_sub(results.len());
    let untried = if left > 0 { format!(" LEFT={left}") } else { String::new() };
    let rows: u64 = results
        .iter()
        .filter(|result| result.failure().is_none())
        .filter_map(|result| result.tables.last())
        .map(|table| table.rows_out)
        .sum();
    let first = results.iter().find_map(WindowResult::failure).and_then(|table| table.failure.as_ref());
    let first = first.or(extra.as_ref().and_then(|extra| extra.failure));
    let failures = results.iter().filter(|result| result.failure().is_some()).count();
    let alert = first.map(|error| alert::and_more(&session.reporter.alert(error), failures.saturating_sub(1)));
    let code = first.map_or(0, |error| error.kind().exit_code());
    let seconds = session.runtime.elapsed().as_secs_f64();
    let run_id = &session.run_id;
    let done = format!(
        "Done. OK={ok} SKIP={skip} QUARANTINED={quarantined} FAIL={failed}{untried} ROWS={rows} TIME={seconds:.1}s run_id={run_id}"
    );
    let mut result = json!({
        "schema": RESULT_SCHEMA,
        "verb": verb,
        "dataset": name,
        "run_id": run_id.as_str(),
        "status": if code == 0 { "ok" } else { "failed" },
        "exit_code": code,
        "error": first.map(report::error_json),
        "alert": alert,
        "counts": {"ok": ok, "skip": skip, "quarantined": quarantined, "fail": failed, "left": left, "rows": rows},
        "milliseconds": (seconds * 1000.0).round(),
        "memory": session.memory.to_json(),
        "windows": results,
    });
    if let (Some(fields), Some(extra)) = (result.as_object_mut(), extra) {
        fields.insert(extra.field.to_owned(), extra.value);
    }
    session.reporter.result(&result, &done)?;
    Ok(code)
}
