//! `windrow replay`: exactly the windows whose newest epoch was quarantined or never decided, once more.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use windrow_core::id::{DatasetName, Table};
use windrow_core::ledger::Reason;
use windrow_core::{Error, ErrorKind, PartitionWindow, Result};

use crate::cli::{Common, ConcurrencyArgs, WindowArgs};
use crate::report::Reporter;
use crate::session::Session;
use crate::{lint, plan};

use super::replay_queue;
use super::run::{summarise, walk_windows};

/// Arguments of `windrow replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windrow replay --dataset flights                          # every failed window
  windrow replay --dataset flights --window 2013-01-02
  windrow replay --from-queue https://sqs.eu-central-1.amazonaws.com/111122223333/replay     # until it is empty")]
pub struct Args {
    /// Dataset, with everything it reads
    #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true, required_unless_present = "from_queue")]
    dataset: Option<DatasetName>,
    #[command(flatten)]
    windows: WindowArgs,
    /// SQS queue whose messages name the windows: {"dataset": "orders", "window": "2024-09-08"}
    #[arg(long, value_name = "URL", env = "WINDROW_REPLAY_QUEUE", hide_env_values = true, conflicts_with_all = ["dataset", "window", "from", "to", "last"])]
    from_queue: Option<String>,
    /// End after this many messages [default: when the queue is empty]
    #[arg(long, value_name = "N", env = "WINDROW_MAX_MESSAGES", hide_env_values = true)]
    max_messages: Option<NonZeroUsize>,
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
    if let Some(url) = &args.from_queue {
        return replay_queue::run(&mut session, url, args.max_messages.map(NonZeroUsize::get));
    }
    if args.max_messages.is_some() {
        return Err(Error::new(ErrorKind::Usage, "--max-messages has a meaning only with --from-queue"));
    }
    let dataset = args.dataset.as_ref().ok_or_else(|| Error::new(ErrorKind::Usage, "no dataset named"))?;
    let tables = plan::tables(&session.project, dataset)?;
    lint::require_clean(&session.project, &tables)?;
    // Of a window that failed in one table, those tables too that were never begun.
    session.force_failed(&tables, &begun(&session, &tables)?)?;
    let mut windows = session.forced_windows();
    if args.windows.is_given() {
        let target = tables.last().map(|table| session.project.contract(table)).transpose()?;
        let wanted = target.map(|contract| args.windows.windows(&contract.window)).transpose()?.unwrap_or_default();
        windows.retain(|window| wanted.contains(window));
    }
    if windows.is_empty() {
        reporter.say("nothing to replay: no named window was quarantined or left undecided");
    }
    let results = walk_windows(&session, &tables, &windows, args.concurrency.concurrency);
    summarise(&session, "replay", dataset.as_str(), &results, windows.len())
}

/// Every window that was begun in any of the tables.
fn begun(session: &Session<'_>, tables: &[Table]) -> Result<Vec<PartitionWindow>> {
    let mut begun = BTreeSet::new();
    for table in tables {
        if let Some(lake_table) = session.table(table)? {
            begun.extend(session.runtime.block_on(lake_table.history())?.into_keys());
        }
    }
    Ok(begun.into_iter().collect())
}
