//! `windrow replay`: exactly the windows whose newest epoch was quarantined or never decided, once more.

use std::collections::BTreeSet;

use windrow_core::id::{DatasetName, Table};
use windrow_core::ledger::{Decision, Reason};
use windrow_core::{PartitionWindow, Result};

use crate::cli::{Common, ConcurrencyArgs, WindowArgs};
use crate::report::Reporter;
use crate::session::{Force, Session};
use crate::{lint, plan};

use super::run::{summarise, walk_windows};

/// Arguments of `windrow replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windrow replay --dataset flights                          # every failed window
  windrow replay --dataset flights --window 2013-01-02")]
pub struct Args {
    /// Dataset, with everything it reads
    #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
    dataset: DatasetName,
    #[command(flatten)]
    windows: WindowArgs,
    #[command(flatten)]
    concurrency: ConcurrencyArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Replays failed windows; without any it says so and does nothing.
///
/// # Errors
/// `Usage` and `Misconfigured` before any window is touched.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let mut session = Session::open(reporter, Reason::Replay, false)?;
    let tables = plan::tables(&session.project, &args.dataset)?;
    lint::require_clean(&session.project, &tables)?;
    let failed = failed(&session, &tables)?;
    let mut windows: Vec<PartitionWindow> = failed.iter().map(|(_, window)| *window).collect();
    windows.sort();
    windows.dedup();
    session.force = Force::Only(failed);
    if args.windows.is_given() {
        let target = tables.last().map(|table| session.project.contract(table)).transpose()?;
        let wanted = target.map(|contract| args.windows.windows(&contract.window)).transpose()?.unwrap_or_default();
        windows.retain(|window| wanted.contains(window));
    }
    if windows.is_empty() {
        reporter.say("nothing to replay: no named window was quarantined or left undecided");
    }
    let results = walk_windows(&session, &tables, &windows, args.concurrency.windows());
    summarise(&session, "replay", args.dataset.as_str(), &results, windows.len())
}

/// The tables' windows to compute again: the newest epoch was put aside or left undecided, or there is none although the
/// window was begun in another table of the same run.
fn failed(session: &Session<'_>, tables: &[Table]) -> Result<BTreeSet<(Table, PartitionWindow)>> {
    let mut begun = BTreeSet::new();
    let mut done = BTreeSet::new();
    for table in tables {
        let Some(lake_table) = session.table(table)? else { continue };
        for window in session.runtime.block_on(lake_table.history())?.into_keys() {
            begun.insert(window);
            // A window whose ledger cannot be read is tried, and says so itself: it must not hinder the others.
            let states = session.runtime.block_on(lake_table.window_history(&window)).unwrap_or_default();
            let last = states.iter().max_by_key(|state| state.epoch);
            let decision = last.and_then(|state| state.outcome.as_ref()).map(|outcome| outcome.document().decision);
            if matches!(decision, Some(Decision::Published | Decision::Retracted)) {
                done.insert((table.clone(), window));
            }
        }
    }
    let all = begun.iter().flat_map(|window| tables.iter().map(|table| (table.clone(), *window)));
    Ok(all.filter(|one| !done.contains(one)).collect())
}
