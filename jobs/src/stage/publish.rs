//! publish: commit a staged output that passed, then bring the live view up to date.

use windrow_core::{Epoch, Error, ErrorKind, PartitionWindow, Result, Table};
use windrow_lake::{LakeTable, ViewState};

use crate::config::View;
use crate::session::Session;

use super::gate;

/// What is visible after publishing.
#[derive(Clone, Debug)]
pub struct Published {
    /// The epoch that was committed.
    pub epoch: Epoch,
    /// The head; a later epoch when one was published already.
    pub head: Epoch,
    /// The live view's key; `None` when there is none.
    pub view: Option<String>,
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
    gate::require_same_config(session, table, window, &state)?;
    session.runtime.block_on(lake_table.publish(&passed))?;
    let late = |error| after_the_commit(table, window, "published", error);
    let view = set_views(session, &lake_table, window).map_err(late)?;
    let head = session.runtime.block_on(lake_table.require_head(window)).map_err(late)?.epoch;
    warn_of_foreign_files(session, &lake_table, window).map_err(late)?;
    Ok(Published { epoch: state.epoch, head, view })
}

/// The context key of an error that came after the commit: what the ledger says since.
pub const COMMITTED: &str = "committed";

/// The commit is done and durable; only what plain readers see is late.
fn after_the_commit(table: &Table, window: &PartitionWindow, decided: &str, error: Error) -> Error {
    let message = format!("{table} {window} is {decided} in the ledger, but its views could not be brought up to date: {error}");
    Error::new(error.kind(), message).with(COMMITTED, decided).help(
        "plain readers still see the version before; `windrow reconcile` or any later run of the window brings it up to date",
    )
}

/// Takes the views of a window back that was retracted in the ledger, in this run or an earlier one.
///
/// # Errors
/// What the store says, with the note that the ledger has the retraction.
pub fn project_retracted(session: &Session<'_>, table: &Table, window: &PartitionWindow) -> Result<()> {
    let Some(lake_table) = session.table(table)? else { return Ok(()) };
    // Also the views that are not kept up to date any more: a reader of one must not see what was taken back.
    let removed = session.runtime.block_on(async {
        lake_table.project_manifest(window, &session.base_uri()).await?;
        lake_table.project_live(window).await
    });
    removed.map_err(|error| after_the_commit(table, window, "retracted", error))?;
    warn_of_foreign_files(session, &lake_table, window)
}

/// Files in a view's folder that windrow did not put there are read by whoever reads the folder.
fn warn_of_foreign_files(session: &Session<'_>, lake_table: &LakeTable, window: &PartitionWindow) -> Result<()> {
    for key in session.runtime.block_on(lake_table.foreign_in_live_view(window))? {
        let (place, table) = (session.shown(&key), lake_table.name());
        session.reporter.warn(&format!("{place} is not windrow's; readers of {table} see its rows as well: remove it"));
    }
    Ok(())
}

/// A published file that is gone or changed is damage to the lake, not to the data: nobody can correct a raw file.
pub fn damaged(table: &Table, window: &PartitionWindow, error: Error) -> Error {
    if error.kind() != ErrorKind::CorruptInput {
        return error;
    }
    let message = format!("the lake is damaged: {error}");
    let help = format!(
        "`windrow run --dataset {} --window {window} --force` computes the window again; find out who changed the file",
        table.dataset
    );
    Error::internal(message).with("table", table).with("window", window).help(help)
}

/// Brings the views of an already published window up to date; heals a run that was killed after its commit. Returns the
/// live view's key, when there is one.
///
/// # Errors
/// What the store says.
pub fn project(session: &Session<'_>, table: &Table, window: &PartitionWindow) -> Result<Option<String>> {
    let Some(lake_table) = session.table(table)? else { return Ok(None) };
    let view = set_views(session, &lake_table, window).map_err(|error| damaged(table, window, error))?;
    warn_of_foreign_files(session, &lake_table, window)?;
    Ok(view)
}

/// Sets the views that windrow.toml lists.
fn set_views(session: &Session<'_>, lake_table: &LakeTable, window: &PartitionWindow) -> Result<Option<String>> {
    if session.keeps(View::Symlink) {
        session.runtime.block_on(lake_table.project_manifest(window, &session.base_uri()))?;
    }
    if !session.keeps(View::Live) {
        return Ok(None);
    }
    match session.runtime.block_on(lake_table.project_live(window))? {
        ViewState::Current { key, .. } => Ok(Some(key)),
        ViewState::NotPublished | ViewState::SeveralFiles { .. } => Ok(None),
    }
}
