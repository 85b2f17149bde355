//! `windrow retract`: takes a published window back. Its files and history stay; readers see no such window.

use serde_json::json;
use windrow_core::Result;
use windrow_core::ledger::Reason;

use crate::cli::{Common, OutputArgs};
use crate::report::{RESULT_SCHEMA, Reporter};
use crate::session::Session;
use crate::stage::{publish, staging};

/// Arguments of `windrow retract`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  windrow retract --dataset flights --layer curated --window 2013-01-02

The next run of the window, or `windrow rollback`, publishes it again.")]
pub struct Args {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Makes a window not published. A window that is not published already is left as it is.
///
/// # Errors
/// `Usage` for a raw table, else what the store says.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Retract, false)?;
    let (table, window) = (args.output.table(), &args.output.window);
    let contract = session.project.contract_at(&table, window)?;
    let head = match session.table(&table)? {
        Some(lake_table) => session.runtime.block_on(lake_table.resolve(window))?,
        None => None,
    };
    let (status, epoch, text) = match &head {
        None => {
            // Somebody may have been killed between the ledger and the views.
            publish::project_retracted(&session, &table, window)?;
            ("unchanged", None, format!("{table} {window} is not published: there is nothing to take back"))
        }
        Some(head) => {
            let lake_table = session.table_for_writing(contract)?;
            let claimed = staging::claim(&session, &lake_table, window, Some(head.epoch))?;
            session.runtime.block_on(lake_table.retract(&claimed))?;
            publish::project_retracted(&session, &table, window)?;
            let epoch = claimed.epoch().get();
            let text = format!(
                "{table} {window} is retracted by epoch {epoch}: readers see no such window; epoch {} stays in the ledger",
                head.epoch.get()
            );
            ("retracted", Some(epoch), text)
        }
    };
    let result = json!({
        "schema": RESULT_SCHEMA,
        "verb": "retract",
        "dataset": table.dataset.as_str(),
        "layer": table.layer.as_str(),
        "window": window.to_string(),
        "run_id": session.run_id.as_str(),
        "status": status,
        "epoch": epoch,
        "exit_code": 0,
    });
    session.reporter.result(&result, &text)?;
    Ok(0)
}
