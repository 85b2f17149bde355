//! The run: every window of the plan is examined anew, undecided attempts are aborted, and only then keys are deleted.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use object_store::ObjectStoreExt;
use windrow_core::layout::Key;
use windrow_core::ledger::{DecidedBy, Fate, GcPolicy, GcReason, fate_of_temporary};
use windrow_core::{Epoch, Error, ErrorKind, PartitionWindow, Result, Table};

use super::examine::{Rules, Verdict, epoch_of};
use super::plan::{GcItem, GcPlan, GcSkipped, is_of_one_window, is_temporary, window_of};
use crate::catalog::PartitionCatalog;
use crate::classify::store_error;
use crate::store::{Lake, blocking, parse_path};
use crate::table::LakeTable;

/// What garbage collection did.
#[derive(Debug, Default)]
pub struct GcReport {
    /// What is gone.
    pub deleted: Vec<GcItem>,
    /// What the plan has, but the ledger or a view holds now, or somebody else deleted. After a failure, all that was not
    /// deleted.
    pub left: Vec<GcItem>,
    /// The epochs that were undecided, and are aborted.
    pub aborted: Vec<(Table, PartitionWindow, Epoch)>,
    /// The windows that could not be examined.
    pub skipped: Vec<GcSkipped>,
    /// Why it stopped before the end of the plan. The rest is in the next plan.
    pub failure: Option<Error>,
}

/// What became of keys that were to be deleted.
struct Deletion {
    gone: Vec<Key>,
    /// Why the others are still there, with the first of them.
    failure: Option<Error>,
}

impl Lake {
    /// Deletes what a plan has, as far as the ledger still says that nothing reaches it. Idempotent: what a run that was
    /// killed left over is in the next plan.
    ///
    /// # Errors
    /// `Misconfigured` for a policy that is refused, else what the store says when it is asked for its time. What fails
    /// later is [`GcReport::failure`], beside what was done until then.
    pub async fn run_gc(&self, plan: &GcPlan, policy: &GcPolicy, catalog: Option<&dyn PartitionCatalog>) -> Result<GcReport> {
        policy.validate()?;
        let mut report = GcReport::default();
        if plan.items.is_empty() {
            return Ok(report);
        }
        let clock = self.store_clock().await?;
        let rules = Rules { clock: &clock, policy, catalog };
        if let Err(error) = self.collect_all(plan, rules, &mut report).await {
            let deleted: BTreeSet<&Key> = report.deleted.iter().map(|item| &item.key).collect();
            report.left = plan.items.iter().filter(|item| !deleted.contains(&item.key)).cloned().collect();
            report.failure = Some(error);
        }
        Ok(report)
    }

    async fn collect_all(&self, plan: &GcPlan, rules: Rules<'_>, report: &mut GcReport) -> Result<()> {
        let mut tables: BTreeMap<&Table, BTreeMap<PartitionWindow, Vec<&GcItem>>> = BTreeMap::new();
        for item in &plan.items {
            match window_of(&item.key) {
                Some((table, window)) => tables.entry(table).or_default().entry(window).or_default().push(item),
                None => self.collect_temporary(item, rules, report).await?,
            }
        }
        for (table, windows) in tables {
            let opened = self.table(table).await?;
            for (window, items) in windows {
                match &opened {
                    Some(opened) => opened.collect(&window, &items, rules, report).await?,
                    None => report.left.extend(items.into_iter().cloned()),
                }
            }
        }
        Ok(())
    }

    async fn collect_temporary(&self, item: &GcItem, rules: Rules<'_>, report: &mut GcReport) -> Result<()> {
        let key = item.key.to_string();
        let is_due = match self.store().head(&parse_path(&key)?).await {
            Ok(object) => is_temporary(&item.key) && is_garbage(fate_of_temporary(rules.policy, rules.clock.age(&object))),
            Err(object_store::Error::NotFound { .. }) => false,
            Err(error) => return Err(store_error("cannot look up", &key, error)),
        };
        if !is_due {
            report.left.push(item.clone());
            return Ok(());
        }
        self.delete_garbage(vec![item.key.clone()]).await?;
        report.deleted.push(item.clone());
        Ok(())
    }

    /// Deletes these keys or says why not. Keys that are not there are fine.
    ///
    /// # Errors
    /// `Internal` for a key that is never garbage, before anything is deleted; else what the store says.
    pub(super) async fn delete_garbage(&self, keys: Vec<Key>) -> Result<()> {
        self.delete_each(&keys).await?.failure.map_or(Ok(()), Err)
    }

    /// The one place that deletes anything but views. One refused key does not keep the others.
    async fn delete_each(&self, keys: &[Key]) -> Result<Deletion> {
        let mut paths = Vec::with_capacity(keys.len());
        for key in keys {
            match key {
                Key::Part(..)
                | Key::Quarantine { .. }
                | Key::ViewTemp { .. }
                | Key::CreateTemp { .. }
                | Key::ClockProbe { .. } => {
                    paths.push(self.writable(key)?);
                }
                Key::Format(_) | Key::Register { .. } | Key::LiveView(..) | Key::SymlinkManifest(..) | Key::RunFile { .. } => {
                    return Err(Error::internal("refused to delete a key that is never garbage").with("key", key));
                }
            }
        }
        let mut deletions = self.store().delete_stream(futures::stream::iter(paths.into_iter().map(Ok)).boxed());
        let (mut gone, mut refused) = (BTreeSet::new(), None);
        while let Some(deleted) = deletions.next().await {
            match deleted {
                Ok(path) => drop(gone.insert(path.to_string())),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        let Some(error) = refused else { return Ok(Deletion { gone: keys.to_vec(), failure: None }) };
        let (gone, kept): (Vec<Key>, Vec<Key>) = keys.iter().cloned().partition(|key| gone.contains(&key.to_string()));
        let first = kept.first().map_or_else(String::new, Key::to_string);
        let failure = store_error("cannot delete garbage", &first, error);
        Ok(Deletion { failure: Some(failure.with("not_deleted", format!("{} of {}", kept.len(), keys.len()))), gone })
    }

    /// Removes folders of a local lake that deleting emptied; a folder that holds anything stays.
    async fn remove_empty_folders(&self, keys: &[Key]) -> Result<()> {
        let Some(local) = self.local().cloned() else { return Ok(()) };
        let parent = |key: &Key| key.to_string().rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let folders: BTreeSet<String> = keys.iter().filter_map(parent).collect();
        blocking(move || {
            folders.iter().for_each(|folder| local.remove_empty_folder(folder));
            Ok(())
        })
        .await
    }
}

impl LakeTable {
    async fn collect(&self, window: &PartitionWindow, items: &[&GcItem], rules: Rules<'_>, report: &mut GcReport) -> Result<()> {
        let judged = match self.examine_now(window, rules).await {
            Err(error) if is_of_one_window(&error) => {
                report.skipped.push(GcSkipped { table: self.name().clone(), window: *window, error });
                report.left.extend(items.iter().map(|item| (*item).clone()));
                return Ok(());
            }
            judged => judged?,
        };
        let due: BTreeMap<Key, GcReason> = judged
            .into_iter()
            .filter_map(|(found, verdict)| match verdict {
                Verdict::Ledger(Fate::Garbage(reason)) => Some((found.key, reason)),
                Verdict::Ledger(_) | Verdict::Viewed => None,
            })
            .collect();
        let mut aborted = BTreeMap::new();
        let wanted = self.abort_undecided(window, items, &due, &mut aborted).await;
        let won = aborted.into_iter().filter(|(_, won)| *won).map(|(epoch, _)| (self.name().clone(), *window, epoch));
        report.aborted.extend(won);
        let deletion = self.lake().delete_each(&wanted?).await?;
        let gone: BTreeSet<&Key> = deletion.gone.iter().collect();
        for item in items {
            let target = if gone.contains(&item.key) { &mut report.deleted } else { &mut report.left };
            target.push((*item).clone());
        }
        self.lake().remove_empty_folders(&deletion.gone).await?;
        deletion.failure.map_or(Ok(()), Err)
    }

    /// The keys that may be deleted, once the undecided epochs among them are aborted.
    async fn abort_undecided(
        &self,
        window: &PartitionWindow,
        items: &[&GcItem],
        due: &BTreeMap<Key, GcReason>,
        aborted: &mut BTreeMap<Epoch, bool>,
    ) -> Result<Vec<Key>> {
        let mut wanted = Vec::new();
        for item in items {
            let is_due = match due.get(&item.key) {
                Some(GcReason::Undecided) => self.abort_once(window, &item.key, aborted).await?,
                Some(_) => true,
                None => false,
            };
            if is_due {
                wanted.push(item.key.clone());
            }
        }
        Ok(wanted)
    }

    /// Aborts the epoch of a key unless this was done before; `false` when somebody else decided it otherwise.
    async fn abort_once(&self, window: &PartitionWindow, key: &Key, done: &mut BTreeMap<Epoch, bool>) -> Result<bool> {
        let Some(epoch) = epoch_of(key) else { return Ok(false) };
        if let Some(won) = done.get(&epoch) {
            return Ok(*won);
        }
        let won = match self.abort(window, epoch, DecidedBy::Gc).await {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::Fenced => false,
            Err(error) => return Err(error),
        };
        done.insert(epoch, won);
        Ok(won)
    }
}

fn is_garbage(fate: Fate) -> bool {
    matches!(fate, Fate::Garbage(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_never_garbage_is_refused_before_anything_is_deleted() {
        let lake = Lake::in_memory();
        let table = lake.create_table(&"clean.flights".parse().unwrap(), &"day".parse().unwrap(), "uuid").await.unwrap();
        let temp = Key::CreateTemp { nonce: 1 };
        lake.create(&lake.writable(&temp).unwrap(), &bytes::Bytes::new()).await.unwrap();
        let window: PartitionWindow = "2013-01-01".parse().unwrap();
        let (name, column) = (table.name().clone(), table.column().clone());
        for key in [
            Key::Format(name.clone()),
            Key::Register { table: name.clone(), window, epoch: Epoch::FIRST, kind: windrow_core::layout::RegisterKind::Claim },
            Key::LiveView(name.clone(), column.clone(), window),
            Key::SymlinkManifest(name.clone(), column.clone(), window),
        ] {
            let refused = lake.delete_garbage(vec![temp.clone(), key]).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Internal);
        }
        assert!(lake.get_bytes(&temp.to_string()).await.is_ok() && lake.table(&name).await.unwrap().is_some());
        lake.delete_garbage(vec![temp.clone(), temp.clone()]).await.unwrap();
        assert!(lake.get_bytes(&temp.to_string()).await.is_err());
    }
}
