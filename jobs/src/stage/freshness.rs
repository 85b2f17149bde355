//! Why a window would be computed again: what its head was made of against what is there today. Reads only.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use windrow_core::ledger::{Decision, InputEntry, Reason, inputs_sha256};
use windrow_core::{Contract, Layer, PartitionWindow, Result, Table};
use windrow_lake::{EpochState, Head, LakeTable, RawInput};

use crate::session::Session;

use super::{curated, input};

/// One reason why a head is not what a run would make today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Stale {
    /// Raw files came, went or were replaced since.
    RawFiles {
        /// Files the head was not made of.
        added: usize,
        /// Files that are gone.
        removed: usize,
        /// Files with other bytes.
        changed: usize,
    },
    /// A table it reads has another head.
    Inputs,
    /// Contract, SQL, checks or profile changed.
    Config,
    /// Another version of the program made it.
    Code,
}

impl Stale {
    /// Tells whether the data changed, and not what is made of them.
    pub fn is_data(&self) -> bool {
        matches!(self, Stale::RawFiles { .. } | Stale::Inputs)
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stale::RawFiles { added, removed, changed } => {
                let parts = [(*added, "new"), (*removed, "gone"), (*changed, "changed")];
                let parts: Vec<String> =
                    parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
                write!(f, "raw files changed: {}", parts.join(", "))
            }
            Stale::Inputs => f.write_str("inputs changed"),
            Stale::Config => f.write_str("contract, SQL, checks or profile changed"),
            Stale::Code => f.write_str("another version of windrow made it"),
        }
    }
}

/// Everything in which a head differs from what a run would be made of today; empty when a run would do nothing.
///
/// # Errors
/// What the store says.
pub fn stale(session: &Session<'_>, contract: &Contract, head: &Head) -> Result<Vec<Stale>> {
    let mut reasons: Vec<Stale> = data_changed(session, contract, head)?.into_iter().collect();
    let claim = head.made_by();
    if claim.config_sha256 != session.project.config_sha256(&contract.table)? {
        reasons.push(Stale::Config);
    }
    if claim.code != session.code {
        reasons.push(Stale::Code);
    }
    Ok(reasons)
}

/// The part of [`stale`] that is about data.
///
/// # Errors
/// As [`stale`].
pub fn data_changed(session: &Session<'_>, contract: &Contract, head: &Head) -> Result<Option<Stale>> {
    if contract.table.layer == Layer::Curated {
        let inputs = current_inputs(session, contract, &head.window)?;
        return Ok((inputs_sha256(&inputs)? != head.staged.document().inputs_sha256).then_some(Stale::Inputs));
    }
    let Some(raw) = session.project.contract_of(Layer::Raw, contract.dataset()) else { return Ok(None) };
    let today: Vec<InputEntry> = input::list(session, raw, &head.window)?.inputs.iter().map(RawInput::entry).collect();
    let staged = head.staged.document();
    Ok((inputs_sha256(&today)? != staged.inputs_sha256).then(|| difference(&staged.inputs, &today)))
}

/// The heads a curated window would be computed from today; a table that is not published gives nothing.
fn current_inputs(session: &Session<'_>, contract: &Contract, window: &PartitionWindow) -> Result<Vec<InputEntry>> {
    let mut entries = Vec::new();
    for table in &curated::transform_spec(contract)?.inputs {
        let Some(lake_table) = session.table(table)? else { continue };
        let head = session.runtime.block_on(lake_table.resolve(window))?;
        entries.extend(head.iter().flat_map(curated::head_entries));
    }
    Ok(entries)
}

fn difference(before: &[InputEntry], today: &[InputEntry]) -> Stale {
    let by_key = |inputs: &[InputEntry]| -> BTreeMap<String, InputEntry> {
        inputs.iter().map(|input| (input.key.clone(), input.clone())).collect()
    };
    let (before, today) = (by_key(before), by_key(today));
    let added = today.keys().filter(|key| !before.contains_key(*key)).count();
    let removed = before.keys().filter(|key| !today.contains_key(*key)).count();
    let changed = today.iter().filter(|(key, input)| before.get(*key).is_some_and(|old| old != *input)).count();
    Stale::RawFiles { added, removed, changed }
}

/// Tells whether a window's newest epoch was published or retracted. One that was put aside, left undecided or never begun
/// is what a replay computes again; so is one whose ledger cannot be read, which then says so itself.
pub fn is_settled(session: &Session<'_>, lake_table: &LakeTable, window: &PartitionWindow) -> bool {
    // A compaction that was given up says nothing about the window.
    let is_given_up = |state: &EpochState| {
        let reason = state.claim.as_ref().map(|claim| claim.document().reason);
        let decision = state.outcome.as_ref().map(|outcome| outcome.document().decision);
        reason == Some(Reason::Compact) && decision == Some(Decision::Aborted)
    };
    let last = session.runtime.block_on(lake_table.newest_epoch(window, |state| !is_given_up(state))).unwrap_or_default();
    let decision = last.and_then(|state| state.outcome).map(|outcome| outcome.document().decision);
    matches!(decision, Some(Decision::Published | Decision::Retracted))
}

/// The tables a table reads; none for a clean table.
pub fn inputs(contract: &Contract) -> &[Table] {
    contract.transform.as_ref().map_or(&[], |transform| &transform.inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, size: u64) -> InputEntry {
        InputEntry { key: key.to_owned(), size, etag: Some(size.to_string()), last_modified: None }
    }

    #[test]
    fn a_difference_counts_each_file_once() {
        let before = [entry("raw/a", 1), entry("raw/b", 1), entry("raw/c", 1)];
        let today = [entry("raw/a", 1), entry("raw/b", 2), entry("raw/d", 1), entry("raw/e", 1)];
        let found = difference(&before, &today);
        assert_eq!(found, Stale::RawFiles { added: 2, removed: 1, changed: 1 });
        assert_eq!(found.to_string(), "raw files changed: 2 new, 1 gone, 1 changed");
    }
}
