//! The plan: exact keys with reasons. Deletes nothing.

use std::collections::BTreeMap;

use object_store::ObjectMeta;
use windrow_core::layout::{self, Key};
use windrow_core::ledger::{Fate, GcPolicy, GcReason, fate_of_temporary};
use windrow_core::{Error, ErrorKind, PartitionWindow, Result, Table};

use super::examine::{Found, RegisterAges, Rules, Verdict};
use crate::catalog::PartitionCatalog;
use crate::store::Lake;

/// One object that can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcItem {
    /// Its key.
    pub key: Key,
    /// Its size in bytes.
    pub size: u64,
    /// Why it can go.
    pub reason: GcReason,
}

/// An object that windrow did not write, as far as it can tell. It is never deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcForeign {
    /// Its key, relative to the lake.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Why it counts as foreign.
    pub why: &'static str,
}

/// A window that cannot be examined, so nothing of it is deleted.
#[derive(Debug)]
pub struct GcSkipped {
    /// The table.
    pub table: Table,
    /// The window.
    pub window: PartitionWindow,
    /// Why.
    pub error: Error,
}

/// How many objects, and how many bytes in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of objects.
    pub objects: u64,
    /// The sum of their sizes.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, size: u64) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(size);
    }
}

/// What garbage collection would delete, and what it keeps. Every object below the folders windrow writes to is counted
/// once, but for registers, formats and views, which are never garbage.
#[derive(Debug, Default)]
pub struct GcPlan {
    /// What can go, by key.
    pub items: Vec<GcItem>,
    /// What is not windrow's, by key.
    pub foreign: Vec<GcForeign>,
    /// What the heads hold.
    pub heads: Tally,
    /// What is younger than its retention.
    pub retained: Tally,
    /// What nothing but a view holds, until the view is reconciled.
    pub viewed: Tally,
    /// The windows that cannot be examined.
    pub skipped: Vec<GcSkipped>,
}

impl GcPlan {
    /// What would be deleted, in all.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.items.iter().for_each(|item| total.add(item.size));
        total
    }

    fn record(&mut self, found: Found, verdict: Verdict) {
        let Found { key, size, .. } = found;
        match verdict {
            Verdict::Ledger(Fate::Garbage(reason)) => self.items.push(GcItem { key, size, reason }),
            Verdict::Ledger(Fate::Foreign(why)) => self.foreign.push(GcForeign { key: key.to_string(), size, why }),
            Verdict::Ledger(Fate::Head) => self.heads.add(size),
            Verdict::Ledger(Fate::Retained) => self.retained.add(size),
            Verdict::Viewed => self.viewed.add(size),
        }
    }
}

/// The objects that may be garbage, by table and window.
type Candidates = BTreeMap<Table, BTreeMap<PartitionWindow, Vec<Found>>>;

impl Lake {
    /// Finds what nothing reaches any more. Writes nothing but a probe that it deletes at once, to learn the store's time.
    ///
    /// Give the catalog when one is projected to: files its partitions point at are kept.
    ///
    /// # Errors
    /// `Misconfigured` for a policy or a table format that is refused, else what the store or the catalog says.
    pub async fn plan_gc(&self, policy: &GcPolicy, catalog: Option<&dyn PartitionCatalog>) -> Result<GcPlan> {
        policy.validate()?;
        let clock = self.store_clock().await?;
        let rules = Rules { clock: &clock, policy, catalog };
        let mut plan = GcPlan::default();
        let mut candidates = Candidates::new();
        for folder in layout::OUTPUT_PREFIXES {
            for object in self.list(folder).await? {
                sort_out(&mut plan, &mut candidates, &object, rules);
            }
        }
        for (table, windows) in candidates {
            self.plan_table(&mut plan, &table, windows, rules).await?;
        }
        plan.items.sort_unstable_by_key(|item| item.key.to_string());
        plan.foreign.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(plan)
    }

    async fn plan_table(
        &self,
        plan: &mut GcPlan,
        table: &Table,
        windows: BTreeMap<PartitionWindow, Vec<Found>>,
        rules: Rules<'_>,
    ) -> Result<()> {
        let Some(opened) = self.table(table).await? else {
            let no_table = Verdict::Ledger(Fate::Foreign("its table has no format.json"));
            windows.into_values().flatten().for_each(|found| plan.record(found, no_table));
            return Ok(());
        };
        let ledger = opened.register_ages(rules.clock).await?;
        let no_registers = RegisterAges::new();
        for (window, found) in windows {
            let registers = ledger.get(&window).unwrap_or(&no_registers);
            match opened.examine(&window, found, registers, rules).await {
                Ok(judged) => judged.into_iter().for_each(|(found, verdict)| plan.record(found, verdict)),
                Err(error) if is_of_one_window(&error) => {
                    plan.skipped.push(GcSkipped { table: table.clone(), window, error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A document that cannot be read concerns its window alone; a store or catalog that fails concerns all.
pub(super) fn is_of_one_window(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Internal | ErrorKind::Misconfigured)
}

/// Tells whether the key is of a temporary file.
pub(super) fn is_temporary(key: &Key) -> bool {
    matches!(key, Key::ViewTemp { .. } | Key::CreateTemp { .. } | Key::ClockProbe { .. })
}

/// The table and window of a data file or of evidence.
pub(super) fn window_of(key: &Key) -> Option<(&Table, PartitionWindow)> {
    match key {
        Key::Part(table, part) => Some((table, part.window)),
        Key::Quarantine { table, window, .. } => Some((table, *window)),
        _ => None,
    }
}

fn sort_out(plan: &mut GcPlan, candidates: &mut Candidates, object: &ObjectMeta, rules: Rules<'_>) {
    let text = object.location.as_ref();
    let Some(key) = Key::parse(text) else {
        let why = "its key is none of windrow's";
        return plan.foreign.push(GcForeign { key: text.to_owned(), size: object.size, why });
    };
    let age = rules.clock.age(object);
    if let Some((table, window)) = window_of(&key) {
        let windows = candidates.entry(table.clone()).or_default();
        windows.entry(window).or_default().push(Found { key, size: object.size, age });
    } else if is_temporary(&key) {
        let fate = Verdict::Ledger(fate_of_temporary(rules.policy, age));
        plan.record(Found { key, size: object.size, age }, fate);
    }
}
