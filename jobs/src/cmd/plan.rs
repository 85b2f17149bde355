//! `windrow plan`: what `run` would do with each window, and why. Nothing is claimed or written.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;
use windrow_core::contract::Late;
use windrow_core::id::{DatasetName, Layer, Table};
use windrow_core::ledger::Reason;
use windrow_core::{Contract, Error, ErrorKind, PartitionWindow, Result};

use crate::cli::{Common, WindowArgs};
use crate::report::{RESULT_SCHEMA, Reporter};
use crate::session::Session;
use crate::stage::freshness::{self, Stale};
use crate::stage::input;
use crate::{lint, plan};

/// Arguments of `windrow plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windrow plan --dataset flights --from 2013-01-01 --to 2013-01-08     # end exclusive")]
pub struct Args {
    /// Dataset, with everything it reads
    #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
    dataset: DatasetName,
    #[command(flatten)]
    windows: WindowArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What a run would do with one table of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Run,
    Skip,
    Wait,
    Fail,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Action::Run => "run",
            Action::Skip => "skip",
            Action::Wait => "wait",
            Action::Fail => "fail",
        }
    }
}

#[derive(Debug, Serialize)]
struct Step {
    window: String,
    table: String,
    action: Action,
    why: String,
    epoch: Option<u64>,
    stale: Vec<Stale>,
}

/// Prints one line for each table of each window.
///
/// # Errors
/// `Usage` and `Misconfigured` for names, windows or contracts that are wrong, else what the store says.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Schedule, false)?;
    let tables = plan::tables(&session.project, &args.dataset)?;
    let target = tables.last().map(|table| session.project.contract(table)).transpose()?;
    let windows = target.map(|contract| args.windows.windows(&contract.window)).transpose()?.unwrap_or_default();
    lint::require_clean(&session.project, &tables)?;
    let mut steps = Vec::new();
    for window in &windows {
        // What will be new in this window, and what will not be there, decides about the tables that read it.
        let (mut renewed, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for table in &tables {
            let step = step(&session, session.project.contract(table)?, window, &renewed, &missing)?;
            match step.action {
                Action::Run => drop(renewed.insert(table.clone())),
                Action::Wait | Action::Fail => drop(missing.insert(table.clone())),
                Action::Skip => {}
            }
            steps.push(step);
        }
    }
    let of = |action| steps.iter().filter(|step| step.action == action).count();
    let counts = json!({"run": of(Action::Run), "skip": of(Action::Skip), "wait": of(Action::Wait), "fail": of(Action::Fail)});
    let text = shown(&steps);
    // Some of a waiting window's tables can be run, and it would wait all the same.
    let waiting = windows_with(&steps, Action::Wait);
    let result = json!({
        "schema": RESULT_SCHEMA,
        "verb": "plan",
        "dataset": args.dataset.as_str(),
        "run_id": session.run_id.as_str(),
        "status": "ok",
        "exit_code": 0,
        "counts": counts,
        "windows_to_run": &windows_with(&steps, Action::Run) - &waiting,
        "windows_waiting": waiting,
        "steps": steps,
    });
    session.reporter.result(&result, &text)?;
    Ok(0)
}

/// The windows in which at least one table has this action, in order.
fn windows_with(steps: &[Step], action: Action) -> BTreeSet<&str> {
    steps.iter().filter(|step| step.action == action).map(|step| step.window.as_str()).collect()
}

fn step(
    session: &Session<'_>,
    contract: &Contract,
    window: &PartitionWindow,
    renewed: &BTreeSet<Table>,
    missing: &BTreeSet<Table>,
) -> Result<Step> {
    let head = match session.table(&contract.table)? {
        Some(lake_table) => session.runtime.block_on(lake_table.resolve(window))?,
        None => None,
    };
    let stale = head.as_ref().map(|head| freshness::stale(session, contract, head)).transpose()?.unwrap_or_default();
    let is_published = head.is_some();
    let (action, why) = decide(session, contract, window, is_published, &stale, renewed, missing)?;
    let epoch = head.map(|head| head.epoch.get());
    Ok(Step { window: window.to_string(), table: contract.table.to_string(), action, why, epoch, stale })
}

fn decide(
    session: &Session<'_>,
    contract: &Contract,
    window: &PartitionWindow,
    is_published: bool,
    stale: &[Stale],
    renewed: &BTreeSet<Table>,
    missing: &BTreeSet<Table>,
) -> Result<(Action, String)> {
    if let Some(input) = freshness::inputs(contract).iter().find(|input| missing.contains(input)) {
        return Ok((Action::Wait, format!("{input} will not be there")));
    }
    if contract.table.layer == Layer::Clean {
        let raw = session.project.contract(&Table::new(Layer::Raw, contract.dataset().clone()))?;
        let only_data = !stale.is_empty() && stale.iter().all(Stale::is_data);
        if only_data && raw.late == Late::Ignore {
            return Ok((Action::Skip, format!("{}; the contract says late: ignore", told(stale))));
        }
        if let Some(error) = not_ready(session, raw, window)? {
            return Ok((Action::Wait, error.message().to_owned()));
        }
        match raw.late {
            Late::Fail if stale.iter().any(Stale::is_data) => {
                return Ok((Action::Fail, format!("{}; the contract says late: fail", told(stale))));
            }
            _ => {}
        }
    }
    let new_inputs: Vec<String> =
        freshness::inputs(contract).iter().filter(|input| renewed.contains(input)).map(Table::to_string).collect();
    Ok(match (is_published, stale.is_empty(), new_inputs.is_empty()) {
        (false, ..) => (Action::Run, "not published".to_owned()),
        (true, false, _) => (Action::Run, told(stale)),
        (true, true, false) => (Action::Run, format!("{} will be computed first", new_inputs.join(", "))),
        (true, true, true) => (Action::Skip, "nothing changed".to_owned()),
    })
}

fn not_ready(session: &Session<'_>, raw: &Contract, window: &PartitionWindow) -> Result<Option<Error>> {
    match input::discover(session, raw, window) {
        Err(error) if error.kind() == ErrorKind::InputMissing => Ok(Some(error)),
        Err(error) => Err(error),
        Ok(_) => Ok(None),
    }
}

fn told(stale: &[Stale]) -> String {
    stale.iter().map(Stale::to_string).collect::<Vec<_>>().join("; ")
}

fn shown(steps: &[Step]) -> String {
    let mut lines = vec![format!("{:<14} {:<24} {:<5} WHY", "WINDOW", "TABLE", "DO")];
    lines.extend(
        steps.iter().map(|step| format!("{:<14} {:<24} {:<5} {}", step.window, step.table, step.action.word(), step.why)),
    );
    lines.join("\n")
}
