//! `windrow reconcile`: brings every view to what the ledger says. Heals what a kill left behind.

use serde_json::{Value, json};
use windrow_core::Result;
use windrow_core::id::DatasetName;
use windrow_core::ledger::Reason;
use windrow_lake::{LakeTable, Reconciled, ViewChange, Views};

use crate::cli::Common;
use crate::config::View;
use crate::plan;
use crate::report::{RESULT_SCHEMA, Reporter, count, error_json};
use crate::session::Session;
use crate::stage::publish;

/// Arguments of `windrow reconcile`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  windrow reconcile --dataset flights\n\nThe views are those that windrow.toml lists: views = [\"live\", \"symlink\"]."
)]
pub struct Args {
    /// Dataset [default: all]
    #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
    dataset: Option<DatasetName>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// One view that was not as it should be, in its table.
struct Found {
    table: String,
    reconciled: Reconciled,
}

/// Sets the views of every window of every table.
///
/// # Errors
/// `Misconfigured` for an unknown dataset, else what the store says when it cannot be listed. A view that cannot be set is
/// in the result, and fails the verb after the others are done.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Schedule, false)?;
    if let Some(name) = &args.dataset {
        plan::tables(&session.project, name)?;
    }
    let tables = session.runtime.block_on(session.lake.tables())?;
    let (mut looked_at, mut found) = (0_u64, Vec::new());
    for table in tables.iter().filter(|table| args.dataset.as_ref().is_none_or(|name| *name == table.name().dataset)) {
        for mut reconciled in reconcile(&session, table)? {
            looked_at += u64::from(!matches!(reconciled.change, ViewChange::Foreign(_)));
            if let ViewChange::Failed(error) = reconciled.change {
                reconciled.change = ViewChange::Failed(publish::damaged(table.name(), &reconciled.window, error));
            }
            if !matches!(reconciled.change, ViewChange::Unchanged) {
                found.push(Found { table: table.name().to_string(), reconciled });
            }
        }
    }
    let failure = found.iter().find_map(|found| match &found.reconciled.change {
        ViewChange::Failed(error) => Some(error),
        _ => None,
    });
    let code = failure.map_or(0, |error| error.kind().exit_code());
    let mut lines: Vec<String> = found.iter().map(|found| line(&session, found)).collect();
    lines.push(format!("{}, {} not as the ledger says", count(looked_at, "view"), found.len()));
    let result = json!({
        "schema": RESULT_SCHEMA,
        "verb": "reconcile",
        "run_id": session.run_id.as_str(),
        "status": if code == 0 { "ok" } else { "failed" },
        "exit_code": code,
        "error": failure.map(error_json),
        "alert": failure.map(|error| session.reporter.alert(error)),
        "views": looked_at,
        "changes": found.iter().map(change_json).collect::<Vec<_>>(),
    });
    session.reporter.result(&result, &lines.join("\n"))?;
    Ok(code)
}

fn reconcile(session: &Session<'_>, table: &LakeTable) -> Result<Vec<Reconciled>> {
    let base = session.base_uri();
    let manifest = session.keeps(View::Symlink).then_some(base.as_str());
    let views = Views { live: session.keeps(View::Live), manifest, catalog: None };
    session.runtime.block_on(table.reconcile(&views))
}

fn line(session: &Session<'_>, found: &Found) -> String {
    let Reconciled { window, view, change } = &found.reconciled;
    let what = match change {
        ViewChange::Unchanged => "was right".to_owned(),
        ViewChange::Set(epoch) => format!("shows epoch {} again", epoch.get()),
        ViewChange::Removed => "removed: there is nothing for it to show".to_owned(),
        ViewChange::Foreign(key) => format!("left alone: {} is not windrow's; who reads the folder reads it", session.shown(key)),
        ViewChange::Failed(error) => {
            format!("FAILED: {error}; {}", error.help_text().unwrap_or_else(|| error.kind().next_step()))
        }
    };
    format!("{} {window} {view}: {what}", found.table)
}

fn change_json(found: &Found) -> Value {
    let Reconciled { window, view, change } = &found.reconciled;
    let (change, detail) = match change {
        ViewChange::Unchanged => ("unchanged", Value::Null),
        ViewChange::Set(epoch) => ("set", json!(epoch.get())),
        ViewChange::Removed => ("removed", Value::Null),
        ViewChange::Foreign(key) => ("foreign", json!(key)),
        ViewChange::Failed(error) => ("failed", error_json(error)),
    };
    json!({"table": found.table, "window": window.to_string(), "view": view.as_str(), "change": change, "detail": detail})
}
