//! `windrow compact`: windows of many small files in files of the contract's size, the same rows in the same order.

use serde::Serialize;
use serde_json::{Value, json};
use windrow_core::id::{DatasetName, Layer, Table};
use windrow_core::ledger::Reason;
use windrow_core::{Contract, Error, ErrorKind, PartitionWindow, Result};

use crate::cli::{Common, WindowArgs};
use crate::report::{RESULT_SCHEMA, Reporter, bytes, count, error_json};
use crate::session::Session;
use crate::stage::compact::{self, Compaction};

/// Arguments of `windrow compact`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windrow compact --dataset orders --layer clean --window 2024-09-08
  windrow compact --dataset orders --layer clean --from 2024-09-01 --to 2024-10-01 --plan     # end exclusive

The rows are those of the published version, in their order; the gate is asked before the new version is published. Tables that read
the window are not made stale by it, and a window that was stale stays so: `windrow plan` tells.")]
pub struct Args {
    /// Dataset
    #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
    dataset: DatasetName,
    /// Layer: clean or curated
    #[arg(long, value_name = "LAYER", env = "WINDROW_LAYER", hide_env_values = true)]
    layer: Layer,
    #[command(flatten)]
    windows: WindowArgs,
    /// Only tell what would be done
    #[arg(long, env = "WINDROW_PLAN", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    plan: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What became of one window, or would.
#[derive(Debug, Serialize)]
struct Row {
    window: String,
    status: &'static str,
    epoch: Option<u64>,
    source_epoch: Option<u64>,
    /// The epoch readers see: a later one, when a run that began during the compaction was faster.
    head: Option<u64>,
    rows: u64,
    files_before: usize,
    bytes_before: u64,
    files_after: usize,
    bytes_after: u64,
    /// Columns of row groups by how they came about.
    columns: Option<Value>,
    view: Option<String>,
    error: Option<Value>,
    #[serde(skip)]
    failure: Option<Error>,
}

/// Compacts the windows one after the other; the failure of one leaves the others as they would be.
///
/// # Errors
/// `Usage` for a raw table or a wrong window. Of one window what [`compact::compact`] answers; of several windows the result tells, and
/// the exit code is that of the first failed one.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Compact, false)?;
    let table = Table::new(args.layer, args.dataset.clone());
    if table.layer == Layer::Raw {
        return Err(Error::new(ErrorKind::Usage, format!("{table} is never written")).help("name --layer clean or curated"));
    }
    let contract = session.project.contract(&table)?;
    let windows = args.windows.windows(&contract.window)?;
    if let [window] = windows.as_slice() {
        reporter.name_window(window);
    }
    reporter.start(windows.len(), table.dataset.as_str());
    let mut rows = Vec::with_capacity(windows.len());
    for window in &windows {
        let answer = one(&session, contract, window, args.plan);
        if windows.len() == 1 || answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
            rows.push(answer?);
        } else {
            rows.push(answer.unwrap_or_else(|error| Row::failed(window, error)));
        }
        reporter.advance();
    }
    reporter.finish();
    report(&session, &table, &rows, args.plan)
}

fn one(session: &Session<'_>, contract: &Contract, window: &PartitionWindow, is_plan: bool) -> Result<Row> {
    session.runtime.check_interrupted()?;
    let work = if is_plan { compact::plan } else { compact::compact };
    Ok(Row::of(session, window, &work(session, contract, window)?))
}

impl Row {
    fn of(session: &Session<'_>, window: &PartitionWindow, compaction: &Compaction) -> Self {
        let head = &compaction.source;
        let done = compaction.done.as_ref();
        Row {
            window: window.to_string(),
            status: match (done, compaction.is_needed()) {
                (Some(_), _) => "published",
                (None, true) => "planned",
                (None, false) => "unchanged",
            },
            epoch: done.map(|done| done.published.epoch.get()),
            source_epoch: Some(head.epoch.get()),
            head: Some(done.map_or(head.epoch, |done| done.published.head).get()),
            rows: head.rows,
            files_before: head.files.len(),
            bytes_before: head.files.iter().map(|file| file.size).sum(),
            files_after: compaction.files,
            bytes_after: compaction.bytes,
            columns: done.map(|done| {
                let work = done.work;
                json!({"copied": work.copied, "spliced": work.spliced, "merged": work.merged, "recoded": work.recoded})
            }),
            view: done.and_then(|done| done.published.view.as_deref()).map(|key| session.shown(key)),
            error: None,
            failure: None,
        }
    }

    fn failed(window: &PartitionWindow, error: Error) -> Self {
        Row {
            window: window.to_string(),
            status: "failed",
            epoch: None,
            source_epoch: None,
            head: None,
            rows: 0,
            files_before: 0,
            bytes_before: 0,
            files_after: 0,
            bytes_after: 0,
            columns: None,
            view: None,
            error: Some(error_json(&error)),
            failure: Some(error),
        }
    }

    fn line(&self, table: &Table) -> String {
        let head = format!("{table} {}", self.window);
        let files = |files: usize, size: u64| format!("{}, {}", count(files as u64, "file"), bytes(size));
        let before = files(self.files_before, self.bytes_before);
        match (&self.failure, self.status) {
            (Some(error), _) => {
                format!("{head} FAILED: {error}; {}", error.help_text().unwrap_or_else(|| error.kind().next_step()))
            }
            (None, "planned") => format!("{head} would be {before} → about {}", files(self.files_after, self.bytes_after)),
            (None, "unchanged") => format!("{head} needs nothing: {before}"),
            (None, _) => {
                let epoch = self.epoch.unwrap_or_default();
                let after = files(self.files_after, self.bytes_after);
                let later = self.head.filter(|head| *head > epoch);
                let later = later.map(|head| format!("; epoch {head} of a later run is the head")).unwrap_or_default();
                format!("{head} epoch {epoch} is published: {before} → {after}{later}")
            }
        }
    }
}

fn report(session: &Session<'_>, table: &Table, rows: &[Row], is_plan: bool) -> Result<u8> {
    let failure = rows.iter().find_map(|row| row.failure.as_ref());
    let code = failure.map_or(0, |error| error.kind().exit_code());
    let with = |status: &str| rows.iter().filter(|row| row.status == status).count();
    let mut lines: Vec<String> = rows.iter().map(|row| row.line(table)).collect();
    if rows.len() > 1 {
        let (done, planned) = (with("published"), with("planned"));
        let what = if is_plan { format!("{planned} to compact") } else { format!("{done} compacted") };
        lines.push(format!("{what}, {} need nothing, {} failed", with("unchanged"), with("failed")));
    }
    let window = if let [row] = rows { Some(row.window.as_str()) } else { None };
    let result = json!({
        "schema": RESULT_SCHEMA,
        "verb": "compact",
        "dataset": table.dataset.as_str(),
        "layer": table.layer.as_str(),
        "window": window,
        "run_id": session.run_id.as_str(),
        "status": if code == 0 { "ok" } else { "failed" },
        "exit_code": code,
        "error": failure.map(error_json),
        "alert": failure.map(|error| session.reporter.alert(error)),
        "windows": rows,
    });
    session.reporter.result(&result, &lines.join("\n"))?;
    Ok(code)
}
