//! publish: commit a staged output that passed, then bring the live view up to date.

use windrow_core::{Epoch, PartitionWindow, Result, Table};
use windrow_lake::ViewState;

use crate::session::Session;

use super::gate;

/// What is visible after publishing.
#[derive(Clone, Debug)]
pub struct Published {
    /// The epoch that was committed.
    pub epoch: Epoch,
    /// The live view.
    pub view: ViewState,
}

/// Publishes an epoch whose check register says PASS about exactly the staged document. Idempotent.
///
/// # Errors
/// `QualityFailed` when the gate answered FAIL, `Misconfigured` when it was not asked, `Fenced` when the epoch was
/// decided otherwise, else what the store says.
pub fn publish(session: &Session<'_>, table: &Table, window: &PartitionWindow, epoch: Option<Epoch>) -> Result<Published> {
    let (lake_table, state) = gate::staged_epoch(session, table, window, epoch)?;
    session.reporter.step(&format!("{table} {window} publishing"));
    let passed = session.runtime.block_on(lake_table.passed_check(window, state.epoch))?;
    session.runtime.block_on(lake_table.publish(&passed))?;
    let view = session.runtime.block_on(lake_table.project_live(window))?;
    Ok(Published { epoch: state.epoch, view })
}

/// Brings the live view of an already published window up to date; heals a run that was killed after its commit.
///
/// # Errors
/// What the store says.
pub fn project(session: &Session<'_>, table: &Table, window: &PartitionWindow) -> Result<Option<ViewState>> {
    match session.table(table)? {
        Some(lake_table) => session.runtime.block_on(lake_table.project_live(window)).map(Some),
        None => Ok(None),
    }
}
