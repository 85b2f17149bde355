//! One window examined: what becomes of each of its objects, by its registers, its views and the store's times.

use std::collections::BTreeMap;
use std::time::Duration;

use object_store::ObjectMeta;
use windrow_core::layout::{self, Key, RegisterKind};
use windrow_core::ledger::{Claim, Decision, EpochFacts, Fate, GcPolicy, Outcome, WindowFacts};
use windrow_core::{Epoch, ErrorKind, PartitionWindow, Result};

use super::clock::StoreClock;
use crate::catalog::PartitionCatalog;
use crate::table::LakeTable;

/// An object that may be garbage: a data file or evidence.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: Key,
    pub(super) size: u64,
    pub(super) age: Duration,
}

/// The age of each register of a window.
pub(super) type RegisterAges = BTreeMap<Epoch, BTreeMap<RegisterKind, Duration>>;

/// What is the same for all windows of one plan or run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) clock: &'a StoreClock,
    pub(super) policy: &'a GcPolicy,
    pub(super) catalog: Option<&'a dyn PartitionCatalog>,
}

/// What becomes of an object, views included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ledger(Fate),
    /// It stays: a view points there.
    Viewed,
}

impl LakeTable {
    /// The ages of all registers of the table. Lists after the files were listed: a claim precedes its files, so a file
    /// without a claim in here never had one.
    pub(super) async fn register_ages(&self, clock: &StoreClock) -> Result<BTreeMap<PartitionWindow, RegisterAges>> {
        let mut windows: BTreeMap<PartitionWindow, RegisterAges> = BTreeMap::new();
        for object in self.lake().list(&layout::ledger_prefix(self.name())).await? {
            if let Some((window, epoch, kind)) = layout::parse_register(self.name(), object.location.as_ref()) {
                windows.entry(window).or_default().entry(epoch).or_default().insert(kind, clock.age(&object));
            }
        }
        Ok(windows)
    }

    /// Lists a window's objects and registers now, and examines them.
    pub(super) async fn examine_now(&self, window: &PartitionWindow, rules: Rules<'_>) -> Result<Vec<(Found, Verdict)>> {
        let mut found = Vec::new();
        for folder in [
            layout::window_data_prefix(self.name(), self.column(), window),
            layout::window_quarantine_prefix(self.name(), window),
        ] {
            found.extend(self.lake().list(&folder).await?.iter().filter_map(|object| Found::of(object, rules.clock)));
        }
        let mut registers = RegisterAges::new();
        for object in self.lake().list(&layout::window_ledger_prefix(self.name(), window)).await? {
            if let Some((_, epoch, kind)) = layout::parse_register(self.name(), object.location.as_ref()) {
                registers.entry(epoch).or_default().insert(kind, rules.clock.age(&object));
            }
        }
        self.examine(window, found, &registers, rules).await
    }

    /// Says what becomes of a window's objects.
    ///
    /// # Errors
    /// `Misconfigured` or `Internal` for a document that cannot be read, else what the store or the catalog says.
    pub(super) async fn examine(
        &self,
        window: &PartitionWindow,
        found: Vec<Found>,
        registers: &RegisterAges,
        rules: Rules<'_>,
    ) -> Result<Vec<(Found, Verdict)>> {
        let facts = self.window_facts(window, &found, registers).await?;
        let fate = |found: &Found| match &found.key {
            Key::Part(_, part) if part.column != *self.column() => Fate::Foreign("the table has another partition column"),
            Key::Part(_, part) => facts.fate_of_part(rules.policy, part, found.age),
            Key::Quarantine { epoch, attempt, .. } => facts.fate_of_evidence(rules.policy, *epoch, attempt),
            _ => Fate::Foreign("neither a data file nor evidence"),
        };
        let mut judged: Vec<(Found, Verdict)> = found
            .into_iter()
            .map(|found| {
                let fate = fate(&found);
                (found, Verdict::Ledger(fate))
            })
            .collect();
        if judged.iter().any(|(found, verdict)| is_garbage_part(found, *verdict)) {
            let views = self.view_targets(window, rules.catalog).await?;
            for (found, verdict) in &mut judged {
                if is_garbage_part(found, *verdict) && is_target(&found.key, &views) {
                    *verdict = Verdict::Viewed;
                }
            }
        }
        Ok(judged)
    }

    async fn window_facts(&self, window: &PartitionWindow, found: &[Found], registers: &RegisterAges) -> Result<WindowFacts> {
        let mut facts = WindowFacts::default();
        let Some(oldest) = found.iter().filter_map(|found| epoch_of(&found.key)).min() else { return Ok(facts) };
        for (&epoch, kinds) in registers.range(oldest..) {
            let files = found.iter().filter(|found| epoch_of(&found.key) == Some(epoch));
            let has_files = files.clone().next().is_some();
            let ages = kinds.values().copied().chain(files.map(|found| found.age));
            let mut epoch_facts = EpochFacts { youngest: ages.min().unwrap_or_default(), ..EpochFacts::default() };
            if let Some(age) = kinds.get(&RegisterKind::Outcome) {
                let outcome = self.require::<Outcome>(window, epoch, RegisterKind::Outcome).await?;
                let outcome = outcome.document();
                epoch_facts.decided = Some((outcome.decision, *age));
                epoch_facts.files = outcome.files.iter().map(|file| file.path.clone()).collect();
            }
            if has_files && kinds.contains_key(&RegisterKind::Claim) {
                epoch_facts.attempt = Some(self.holder(window, epoch, &epoch_facts).await?);
            }
            facts.epochs.insert(epoch, epoch_facts);
        }
        Ok(facts)
    }

    /// Who holds an epoch: a published one names the attempt in its files, so that a head costs one read less.
    async fn holder(&self, window: &PartitionWindow, epoch: Epoch, facts: &EpochFacts) -> Result<windrow_core::Attempt> {
        if let (Some((Decision::Published, _)), Some(file)) = (facts.decided, facts.files.first()) {
            return Ok(file.attempt.clone());
        }
        let claim = self.require::<Claim>(window, epoch, RegisterKind::Claim).await?;
        self.require_own(&claim, window, epoch)?;
        Ok(claim.document().attempt.clone())
    }

    /// What the views of a window point at. The live view is a copy and points nowhere.
    async fn view_targets(&self, window: &PartitionWindow, catalog: Option<&dyn PartitionCatalog>) -> Result<Vec<String>> {
        let manifest = Key::SymlinkManifest(self.name().clone(), self.column().clone(), *window);
        let mut targets = Vec::new();
        match self.lake().get_bytes(&manifest.to_string()).await {
            Ok(bytes) => targets.push(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == ErrorKind::InputMissing => {}
            Err(error) => return Err(error),
        }
        if let Some(catalog) = catalog {
            targets.extend(catalog.location(self.name(), window).await?);
        }
        Ok(targets)
    }
}

impl Found {
    /// Takes up a listed object; `None` for what is neither a data file nor evidence.
    pub(super) fn of(object: &ObjectMeta, clock: &StoreClock) -> Option<Found> {
        let key = Key::parse(object.location.as_ref())?;
        epoch_of(&key)?;
        Some(Found { key, size: object.size, age: clock.age(object) })
    }
}

pub(super) fn epoch_of(key: &Key) -> Option<Epoch> {
    match key {
        Key::Part(_, part) => Some(part.epoch),
        Key::Quarantine { epoch, .. } => Some(*epoch),
        _ => None,
    }
}

fn is_garbage_part(found: &Found, verdict: Verdict) -> bool {
    matches!(found.key, Key::Part(..)) && matches!(verdict, Verdict::Ledger(Fate::Garbage(_)))
}

/// The attempt's folder has a name of its own, however the view spells the rest of the location.
fn is_target(key: &Key, views: &[String]) -> bool {
    let Key::Part(_, part) = key else { return false };
    let folder = layout::attempt_folder(part.epoch, &part.attempt);
    views.iter().any(|view| view.contains(&folder))
}
