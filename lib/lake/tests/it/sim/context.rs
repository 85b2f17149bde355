//! One process: its own view of the lake, and every call of the ledger held against what may be answered.

use std::sync::{Arc, MutexGuard};

use windrow_core::{Attempt, Epoch, ErrorKind, PartitionWindow, Result};
use windrow_lake::{
    CatalogState, Head, Lake, LakeTable, ManifestState, PartitionCatalog, RetryPolicy, ViewChange, ViewState, Views,
};

use super::catalog::SimCatalog;
use super::keys::{self, TABLE};
use super::model::Decider;
use super::store::SimStore;
use super::world::{Shared, World};

/// Where the readers of manifests and catalogs find the lake.
const BASE: &str = "s3://lake";
const DATASET: &str = "0190a0b0-c0d0-7000-8000-000000000001";

/// How many faults of creates the ledger must absorb in one call: one less than its tries.
const ABSORBED: u32 = 3;

/// Calls that also ask the store something by a create of their own, which is not repeated.
const PROBES: [&str; 3] = ["open", "plan gc", "run gc"];

#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) shared: Shared,
    pub(crate) actor: usize,
    pub(crate) lake: Lake,
}

impl Context {
    pub(crate) fn new(shared: Shared, actor: usize) -> Context {
        let store = SimStore::new(Arc::clone(&shared), actor);
        Context { shared, actor, lake: Lake::with_store(Arc::new(store), None, RetryPolicy::IMMEDIATE) }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.shared.lock().unwrap()
    }

    /// Makes a call and judges a failure of it: without a fault that the ledger does not absorb there must be none but
    /// `may`, and with one the failure must be worth a retry.
    pub(crate) async fn call<T>(
        &self,
        what: &'static str,
        may: &[ErrorKind],
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let (began, before) = {
            let mut world = self.world();
            let now = world.clock;
            world.actors[self.actor].call_began = now;
            world.note(self.actor, what, "", "begins");
            (now, world.actors[self.actor].faults)
        };
        let result = call.await;
        let mut world = self.world();
        world.note(self.actor, what, "", if result.is_ok() { "ok" } else { "failed" });
        if let Err(error) = &result {
            world.coverage.count("calls failed");
            let after = world.actors[self.actor].faults;
            let is_absorbed =
                after.1 == before.1 && after.0 - before.0 <= ABSORBED && (!PROBES.contains(&what) || after == before);
            let is_overdue = world.clock - began >= world.retention;
            let is_legal = may.contains(&error.kind()) || is_overdue || self.is_aborted(&world);
            let told =
                || format!("actor {} {what}: {} {}, {:?}", self.actor, error.kind().name(), error.message(), error.context());
            if !is_legal && is_absorbed {
                world.violate("no false failure", told());
            } else if !is_legal && error.kind() != ErrorKind::Transient {
                world.violate("a failure of the store is transient", told());
            }
        }
        result
    }

    /// The epoch this process works on was given up, so nothing need succeed any more.
    fn is_aborted(&self, world: &World) -> bool {
        let actor = &world.actors[self.actor];
        let (Some(window), Some(attempt)) = (&actor.window, &actor.attempt) else { return false };
        world.model.windows.get(window).is_some_and(|state| state.has_aborted(attempt))
    }

    pub(crate) async fn open(&self) -> Result<LakeTable> {
        let create = async { self.lake.create_table(&TABLE.parse()?, &"day".parse()?, DATASET).await };
        self.call("open", &[], create).await
    }

    /// Draws from the schedule's chance.
    pub(crate) fn chance(&self, permille: u64) -> bool {
        self.world().rng.chance(permille)
    }

    /// A UUIDv7 by a host whose clock is up to ten years off.
    pub(crate) fn new_attempt(&self) -> Attempt {
        const TEN_YEARS: u64 = 315_576_000;
        let mut world = self.world();
        let host = world.clock - TEN_YEARS + world.rng.below(2 * TEN_YEARS);
        let (high, low) = (world.rng.next(), world.rng.next());
        format!("{:012x}7{:03x}8{:015x}", host * 1000, high & 0xfff, low >> 4).parse().unwrap()
    }

    /// Resolves, and holds the answer against what was true at some moment meanwhile.
    pub(crate) async fn resolve(&self, table: &LakeTable, window: &PartitionWindow) -> Result<Option<Head>> {
        let name = window.to_string();
        let before = self.world().model.decider(&name);
        let head = self.call("resolve", &[], table.resolve(window)).await?;
        let mut world = self.world();
        world.coverage.count(if head.is_some() { "resolved to a head" } else { "resolved to not published" });
        self.judge_epoch(&mut world, "resolve", &name, before, head.as_ref().map(|head| head.epoch));
        if let Some(head) = &head {
            let found: Vec<(String, String)> = head.files.iter().map(|file| (file.key.clone(), file.sha256.clone())).collect();
            let published = world.model.window(&name).files(head.epoch.get()).to_vec();
            world.require(!found.is_empty(), "I15", || format!("{name}: a head without files"));
            world.require(found == published, "I1", || format!("{name}: resolved to {found:?}, published is {published:?}"));
        }
        Ok(head)
    }

    fn judge_epoch(&self, world: &mut World, what: &str, window: &str, before: Option<Decider>, found: Option<Epoch>) {
        let is_true = world.model.is_head_between(window, before, found.map(Epoch::get));
        let now = world.model.decider(window);
        world.require(is_true, "I2 I6", || {
            let found = found.map(Epoch::get);
            format!("actor {} {what} of {window} answered {found:?}; it was {before:?} before and is {now:?} after", self.actor)
        });
    }

    /// Sets the views of a window one by one, as a run does.
    pub(crate) async fn project(&self, table: &LakeTable, window: &PartitionWindow) -> Result<()> {
        let before = self.view_begins(0, window);
        let state = self.call("project", &[], table.project_live(window)).await;
        let found = state.as_ref().ok().map(|state| match state {
            ViewState::NotPublished => None,
            ViewState::Current { epoch, .. } | ViewState::SeveralFiles { epoch, .. } => Some(*epoch),
        });
        self.view_ends(0, window, found.map(|found| (before, found)));
        state?;
        if self.world().has_all_views {
            self.project_manifest(table, window).await?;
            self.project_catalog(table, window).await?;
        }
        Ok(())
    }

    async fn project_manifest(&self, table: &LakeTable, window: &PartitionWindow) -> Result<()> {
        let before = self.view_begins(1, window);
        let state = self.call("project manifest", &[], table.project_manifest(window, BASE)).await;
        let found = state.as_ref().ok().map(|state| match state {
            ManifestState::NotPublished => None,
            ManifestState::Current { epoch, .. } => Some(*epoch),
        });
        self.view_ends(1, window, found.map(|found| (before, found)));
        state.map(|_| ())
    }

    async fn project_catalog(&self, table: &LakeTable, window: &PartitionWindow) -> Result<()> {
        let before = self.view_begins(2, window);
        let catalog = self.catalog();
        let state = self.call("project catalog", &[], table.project_catalog(window, &catalog, BASE)).await;
        let found = state.as_ref().ok().map(|state| match state {
            CatalogState::NotPublished => None,
            CatalogState::Current { epoch, .. } => Some(*epoch),
        });
        self.view_ends(2, window, found.map(|found| (before, found)));
        state.map(|_| ())
    }

    pub(crate) fn catalog(&self) -> SimCatalog {
        SimCatalog(SimStore::new(Arc::clone(&self.shared), self.actor))
    }

    /// Brings all views of all windows to their heads in one call; what fails is told beside the rest.
    pub(crate) async fn reconcile(&self, table: &LakeTable, windows: &[PartitionWindow]) -> Result<()> {
        let count = if self.world().has_all_views { 3 } else { 1 };
        let all: Vec<(usize, PartitionWindow)> =
            windows.iter().flat_map(|window| (0..count).map(move |view| (view, *window))).collect();
        for (view, window) in &all {
            self.view_begins(*view, window);
        }
        let catalog = self.catalog();
        let views = Views {
            live: true,
            manifest: (count == 3).then_some(BASE),
            catalog: (count == 3).then_some((&catalog as &dyn PartitionCatalog, BASE)),
        };
        let (began, before) = {
            let world = self.world();
            (world.clock, world.actors[self.actor].faults)
        };
        let result = self.call("reconcile", &[], table.reconcile(&views)).await;
        let changes = result.as_ref().map_or(&[][..], Vec::as_slice);
        for (view, window) in &all {
            let own = changes.iter().find(|one| (one.view as usize, one.window) == (*view, *window));
            let is_ok = own.is_some_and(|one| !matches!(one.change, ViewChange::Failed(_)));
            self.view_is_set(*view, window, is_ok);
        }
        let mut world = self.world();
        let is_excused = world.actors[self.actor].faults != before || world.clock - began >= world.retention;
        for one in changes {
            let is_good = !matches!(one.change, ViewChange::Failed(_)) || is_excused;
            world.require(is_good, "no false failure", || format!("{one:?}"));
            let is_known = !matches!(one.change, ViewChange::Foreign(_));
            world.require(is_known, "I19", || format!("a view of a window with a ledger counts as foreign: {one:?}"));
        }
        result.map(|_| ())
    }

    fn view_begins(&self, view: usize, window: &PartitionWindow) -> Option<Decider> {
        let mut world = self.world();
        let name = window.to_string();
        let is_dirty = world.is_on_its_way(&keys::view_of(view, &name));
        world.model.window(&name).view_begins(view, is_dirty);
        world.actors[self.actor].setting.push((view, name.clone()));
        world.model.decider(&name)
    }

    fn view_ends(&self, view: usize, window: &PartitionWindow, found: Option<(Option<Decider>, Option<Epoch>)>) {
        if let Some((before, found)) = found {
            self.judge_epoch(&mut self.world(), "projecting", &window.to_string(), before, found);
        }
        self.view_is_set(view, window, found.is_some());
    }

    fn view_is_set(&self, view: usize, window: &PartitionWindow, is_ok: bool) {
        let mut world = self.world();
        let name = window.to_string();
        world.actors[self.actor].setting.retain(|own| *own != (view, name.clone()));
        if world.model.window(&name).view_ends(view, is_ok) {
            world.coverage.count("views compared with the head");
            world.check_view(view, &name);
        }
    }
}
