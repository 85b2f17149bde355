//! `windrow rollback`: an older published version becomes the head again, as a new epoch that passes the gate.

use serde_json::json;
use windrow_core::id::{Epoch, Table};
use windrow_core::ledger::{Decision, Reason};
use windrow_core::{Error, ErrorKind, PartitionWindow, Result};
use windrow_lake::LakeTable;

use crate::cli::{Common, OutputArgs, parse_epoch};
use crate::report::{RESULT_SCHEMA, Reporter, count};
use crate::session::Session;
use crate::stage::{gate, publish, staging, walk};

/// Arguments of `windrow rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windrow rollback --dataset flights --layer curated --window 2013-01-02
  windrow rollback --dataset flights --layer curated --window 2013-01-02 --to-epoch 3

The old files are copied and checked as today's contract says. A later run of the window replaces the rollback when its raw files,
contract or program differ: `windrow plan` tells. Tables made from this one keep what they have until they are run again.")]
pub struct Args {
    #[command(flatten)]
    output: OutputArgs,
    /// Epoch to go back to [default: the version before the head, or the last one of a retracted window]
    #[arg(long, value_name = "N", env = "WINDROW_TO_EPOCH", hide_env_values = true, value_parser = parse_epoch)]
    to_epoch: Option<Epoch>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Stages the old version, asks the gate, and publishes.
///
/// # Errors
/// `Usage` for a raw table, `Misconfigured` when there is no such version, `QualityFailed` when the gate refuses it, else
/// what the store says. The head changes only when all of it succeeded.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Rollback, false)?;
    let (table, window) = (args.output.table(), &args.output.window);
    session.project.contract_at(&table, window)?;
    let lake_table = session.table(&table)?.ok_or_else(|| never_published(&table, window))?;
    let head = session.runtime.block_on(lake_table.resolve(window))?.map(|head| head.epoch);
    let source = match args.to_epoch {
        Some(epoch) => epoch,
        None => version_before(&session, &lake_table, window, head)?.ok_or_else(|| no_other_version(&table, window))?,
    };
    if head == Some(source) {
        return Err(Error::new(ErrorKind::Usage, format!("epoch {} is the head of {table} {window} already", source.get())));
    }
    let request = staging::request(&session, &lake_table, window, head)?;
    let (claimed, staged) = session.runtime.block_on(lake_table.stage_rollback(&request, source))?;
    let (epoch, answer) = gate::check(&session, &table, window, Some(claimed.epoch()))?;
    if !gate::passed(&answer) {
        let refused = walk::reject(&session, &table, window, epoch, &answer)?;
        let help = "the old version does not pass today's checks, so the head stays; its evidence: `windrow quarantine show`";
        return Err(refused.help(help));
    }
    let published = publish::publish(&session, &table, window, Some(epoch))?;
    let rows = staged.document().rows.written;
    let text = format!(
        "{table} {window}: epoch {} is published, a copy of epoch {} ({})",
        published.epoch.get(),
        source.get(),
        count(rows, "row")
    );
    let result = json!({
        "schema": RESULT_SCHEMA,
        "verb": "rollback",
        "dataset": table.dataset.as_str(),
        "layer": table.layer.as_str(),
        "window": window.to_string(),
        "run_id": session.run_id.as_str(),
        "status": "published",
        "epoch": published.epoch.get(),
        "source_epoch": source.get(),
        "head": published.head.get(),
        "rows_out": rows,
        "content_sha256": staged.document().content_sha256,
        "view": published.view.as_deref().map(|key| session.shown(key)),
        "exit_code": 0,
    });
    reporter.finish();
    session.reporter.result(&result, &text)?;
    Ok(0)
}

/// The newest published epoch below the head that holds other content; of a window without a head the newest of all.
fn version_before(
    session: &Session<'_>,
    table: &LakeTable,
    window: &PartitionWindow,
    head: Option<Epoch>,
) -> Result<Option<Epoch>> {
    let history = session.runtime.block_on(table.window_history(window))?;
    let published = history
        .iter()
        .filter(|state| state.outcome.as_ref().is_some_and(|outcome| outcome.document().decision == Decision::Published));
    let content = |epoch: Option<Epoch>| {
        let state = history.iter().find(|state| Some(state.epoch) == epoch);
        let staged = state?.staged.as_ref()?.document();
        // A compacted version holds the rows of another epoch.
        let computed = staged.compacts.and_then(|computed| history.iter().find(|state| state.epoch == computed));
        let staged = computed.and_then(|state| state.staged.as_ref()).map_or(staged, |origin| origin.document());
        Some(staged.content_sha256.clone())
    };
    let of_head = content(head);
    let before = published.filter(|state| head.is_none_or(|head| state.epoch < head));
    Ok(before.map(|state| state.epoch).filter(|epoch| of_head.is_none() || content(Some(*epoch)) != of_head).max())
}

fn no_other_version(table: &Table, window: &PartitionWindow) -> Error {
    Error::misconfigured(format!("no published version of {table} {window} before the head holds other rows")).help(format!(
        "`windrow status --dataset {} --window {window} --epochs` lists all; name one with --to-epoch",
        table.dataset
    ))
}

fn never_published(table: &Table, window: &PartitionWindow) -> Error {
    Error::misconfigured(format!("{table} {window} was never published")).help("run the window first: `windrow run`")
}
