//! `windrow quarantine list|show|close`: what was put aside, and why; and what a failed run left open.

use clap::Subcommand;
use serde_json::{Value, json};
use windrow_core::id::{DatasetName, Epoch, Layer, Table};
use windrow_core::layout::QuarantineFile;
use windrow_core::ledger::Reason;
use windrow_core::{Error, ErrorKind, PartitionWindow, Result, WindowChoice};
use windrow_lake::QuarantineEntry;

use crate::cli::Common;
use crate::report::{RESULT_SCHEMA, Reporter};
use crate::session::Session;

use super::quarantine_close;

/// Arguments of `windrow quarantine`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  windrow quarantine list\n  windrow quarantine show --dataset flights --window 2013-01-02\n  windrow quarantine close --dataset flights --window 2013-01-02 --run-id r-1     # what run r-1 left undecided"
)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List everything in quarantine
    List {
        /// Dataset [default: all]
        #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
        dataset: Option<DatasetName>,
    },
    /// Show the newest evidence of a window
    Show {
        /// Dataset
        #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
        dataset: DatasetName,
        /// Window
        #[arg(long, value_name = "WINDOW", env = "WINDROW_WINDOW", hide_env_values = true)]
        window: PartitionWindow,
        /// Layer [default: the first that has evidence]
        #[arg(long, value_name = "LAYER", env = "WINDROW_LAYER", hide_env_values = true)]
        layer: Option<Layer>,
    },
    /// Decide every epoch of a window that the run --run-id left undecided: a FAIL is put aside, the rest is given up
    Close {
        /// Dataset, with everything it reads
        #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
        dataset: DatasetName,
        /// Window; or last@2024-09-09T02:00:00Z, the last one that is complete at that instant
        #[arg(long, value_name = "WINDOW", env = "WINDROW_WINDOW", hide_env_values = true)]
        window: WindowChoice,
    },
}

/// Lists or shows quarantine evidence, or closes what a run left open.
///
/// # Errors
/// `Usage` when there is none to show or no run is named, else what the store says.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Schedule, false)?;
    match &args.action {
        Action::List { dataset } => list(&session, dataset.as_ref()),
        Action::Show { dataset, window, layer } => show(&session, dataset, window, *layer),
        Action::Close { dataset, window } => quarantine_close::run(&session, dataset, *window),
    }
}

fn entries(session: &Session<'_>, table: &Table, window: Option<&PartitionWindow>) -> Result<Vec<QuarantineEntry>> {
    match session.table(table)? {
        Some(lake_table) => session.runtime.block_on(lake_table.list_quarantine(window)),
        None => Ok(Vec::new()),
    }
}

fn list(session: &Session<'_>, dataset: Option<&DatasetName>) -> Result<u8> {
    let tables = session.project.contracts().map(|contract| &contract.table).filter(|table| table.layer != Layer::Raw);
    let tables: Vec<&Table> = tables.filter(|table| dataset.is_none_or(|name| *name == table.dataset)).collect();
    let mut rows: Vec<Value> = Vec::new();
    let mut lines = vec![format!("{:<24} {:<14} {:>6}  {:<10} FOLDER", "TABLE", "WINDOW", "EPOCH", "STATE")];
    for table in tables {
        for entry in entries(session, table, None)? {
            let state = state(session, table, &entry)?;
            let files: Vec<&str> = entry.files.values().map(|(key, _)| key.as_str()).collect();
            let folder = files.first().and_then(|key| key.rsplit_once('/')).map(|(folder, _)| session.shown(folder));
            let (window, epoch) = (entry.window.to_string(), entry.epoch.get());
            let folder = folder.unwrap_or_default();
            lines.push(format!("{:<24} {window:<14} {epoch:>6}  {state:<10} {folder}/", table.to_string()));
            rows.push(json!({"table": table.to_string(), "window": window, "epoch": epoch, "state": state, "files": files}));
        }
    }
    let text = if rows.is_empty() { "nothing is in quarantine".to_owned() } else { lines.join("\n") };
    session.reporter.result(
        &json!({"schema": RESULT_SCHEMA, "verb": "quarantine list", "status": "ok", "exit_code": 0, "entries": rows}),
        &text,
    )?;
    Ok(0)
}

/// What became of it: `healed` by a later epoch, `rejects` of a published epoch, or still `open`.
fn state(session: &Session<'_>, table: &Table, entry: &QuarantineEntry) -> Result<&'static str> {
    let Some(lake_table) = session.table(table)? else { return Ok("open") };
    let head = session.runtime.block_on(lake_table.resolve(&entry.window))?.map(|head| head.epoch);
    Ok(match head {
        Some(head) if head > entry.epoch => "healed",
        Some(head) if head == entry.epoch => "rejects",
        _ => "open",
    })
}

fn show(session: &Session<'_>, dataset: &DatasetName, window: &PartitionWindow, layer: Option<Layer>) -> Result<u8> {
    let layers = [Layer::Clean, Layer::Curated].into_iter().filter(|candidate| layer.is_none_or(|layer| layer == *candidate));
    for candidate in layers {
        let table = Table::new(candidate, dataset.clone());
        let newest: Option<(Epoch, String)> = entries(session, &table, Some(window))?
            .into_iter()
            .filter_map(|entry| entry.files.get(&QuarantineFile::Evidence).map(|(key, _)| (entry.epoch, key.clone())))
            .max();
        let Some((_, key)) = newest else { continue };
        let bytes = session.runtime.block_on(session.lake.get_bytes(&key))?;
        let evidence: Value = serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(ErrorKind::CorruptInput, "the evidence is not JSON").with("key", &key).caused_by(error)
        })?;
        let text = serde_json::to_string_pretty(&evidence).unwrap_or_default();
        session.reporter.result(&evidence, &text)?;
        return Ok(0);
    }
    Err(Error::new(ErrorKind::Usage, format!("nothing is in quarantine for {dataset} {window}"))
        .help("`windrow quarantine list` shows what is"))
}
