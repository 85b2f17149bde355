//! What a verb works with: the loaded project, the open lake, the runtime and the identity of the run.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use windrow_core::layout::PartitionColumn;
use windrow_core::ledger::{CodeVersion, Reason};
use windrow_core::{Contract, Error, ErrorKind, PartitionWindow, Result, RunId, Table, WindowChoice};
use windrow_engine::read::ReadOptions;
use windrow_engine::shape::Memory;
use windrow_lake::{Lake, LakeTable};

use crate::cli::{MemoryLimit, TripArgs, one_window};
use crate::config::View;
use crate::lake;
use crate::observe::Observer;
use crate::project::{self, Project};
use crate::report::Reporter;
use crate::runtime::{self, LastWords, Runtime};
use crate::stage::freshness;
use crate::turns::{Room, Turn, Turns};
use crate::watch::{Watch, WatchedQuery, WatchedWindow};

/// What is computed again although nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Force {
    /// Nothing.
    None,
    /// Every table of every window of the run.
    All,
    /// These tables' windows.
    Only(BTreeSet<(Table, PartitionWindow)>),
}

/// An open project, lake and run.
#[derive(Debug)]
pub struct Session<'r> {
    /// The project.
    pub project: Project,
    /// The lake.
    pub lake: Lake,
    /// Threads, clock and signals.
    pub runtime: Runtime,
    /// Where progress goes.
    pub reporter: &'r Reporter,
    /// The run.
    pub run_id: RunId,
    /// Why it runs.
    pub reason: Reason,
    /// The orchestrator's name of the execution.
    pub execution_id: Option<String>,
    /// What is computed again although nothing changed.
    pub force: Force,
    /// The version of this program.
    pub code: CodeVersion,
    /// Tells metrics and lineage, when asked to.
    pub observer: Observer,
    /// How much memory the run may take.
    pub memory: MemoryUse,
    watch: Watch,
}

/// How many windows of any size are computed at a time, on however many cores.
const MOST_PLACES: usize = 4;

/// A window of no more input, in bytes as stored, waits more for the store than it computes, and takes a part of a place.
const SMALL_WINDOW: u64 = 8 << 20;

/// How many small windows are computed in the place of a large one.
const MOST_PARTS: usize = 4;

/// The least memory of a part, in bytes: no place is divided into smaller ones.
const LEAST_PART: u64 = 256 << 20;

/// The memory of a run: the limit, the windows that share it, and what was spilled for it.
#[derive(Debug)]
pub struct MemoryUse {
    limit: Option<u64>,
    turns: Turns,
    spilled: AtomicU64,
}

impl MemoryUse {
    fn new(limit: MemoryLimit) -> Self {
        let limit = match limit {
            MemoryLimit::Default => runtime::memory_to_use(),
            MemoryLimit::None => None,
            MemoryLimit::Bytes(bytes) => Some(bytes),
        };
        MemoryUse { limit, turns: Turns::default(), spilled: AtomicU64::new(0) }
    }

    /// How many small windows share a place.
    fn parts(&self, places: usize) -> usize {
        let Some(limit) = self.limit else { return MOST_PARTS };
        usize::try_from(limit / places as u64 / LEAST_PART).map_or(MOST_PARTS, |parts| parts.min(MOST_PARTS))
    }

    /// The limit, the most that this process ever took, and what was written to disk to stay below.
    pub fn to_json(&self) -> Value {
        json!({
            "limit_bytes": self.limit,
            "peak_bytes": runtime::peak_memory(),
            "spilled_bytes": self.spilled.load(Ordering::Relaxed),
        })
    }
}

impl<'r> Session<'r> {
    /// Opens the project and lake the common flags name.
    ///
    /// # Errors
    /// `Misconfigured` when project, contracts or lake are not usable.
    pub fn open(reporter: &'r Reporter, reason: Reason, force: bool) -> Result<Self> {
        let force = if force { Force::All } else { Force::None };
        let common = reporter.common();
        reporter.probe_result_uri()?;
        let root = project::find_root(common.project.as_deref(), &runtime::current_dir()?)?;
        let project = Project::load(&root, common.lake.as_deref(), common.profile.as_deref())?;
        reporter.refuse_result_in(&project.root, &project.config.lake)?;
        let told = reporter.clone();
        let last_words: LastWords = Arc::new(move |error| {
            if told.may_report() {
                let _ = told.fail(error);
            }
        });
        let runtime = Runtime::start(Arc::clone(&last_words))?;
        let lake = lake::open(&project, &runtime, reporter)?;
        reporter.attach(&lake);
        let (run_id, code) = (reporter.run_id()?, runtime::code_version());
        let memory = MemoryUse::new(common.memory_limit);
        let observer = Observer::new(common, &lake::base_uri(&project, &lake), reporter);
        let watch = Watch::new(memory.limit, runtime.interrupted(), last_words);
        Ok(Session { project, lake, runtime, reporter, run_id, reason, execution_id: None, force, code, observer, memory, watch })
    }

    /// From here on so many of these windows share the memory at a time, or as many as there is room for; tells how many can
    /// be under way.
    pub fn share_memory(&self, at_once: Option<NonZeroUsize>, windows: usize) -> usize {
        let places = at_once.map_or(runtime::cores().min(MOST_PLACES), NonZeroUsize::get).min(windows).max(1);
        let parts = if at_once.is_some() { 1 } else { self.memory.parts(places).min(windows.div_ceil(places)).max(1) };
        self.memory.turns.divide(places, parts);
        windows.min(places * parts)
    }

    /// Waits until there is room for a window of so many bytes of input to be computed.
    ///
    /// # Errors
    /// `Interrupted` when the run was asked to stop meanwhile.
    pub fn turn(&self, window: &PartitionWindow, input_bytes: u64) -> Result<Turn<'_>> {
        let room = if input_bytes <= SMALL_WINDOW { Room::Part } else { Room::Place };
        let turn = self.memory.turns.take(*window, room);
        self.runtime.check_interrupted()?;
        Ok(turn)
    }

    /// Does a window's work, and gives back the turn that it was done in; what ran out of memory beside other windows is done once more,
    /// alone.
    ///
    /// # Errors
    /// Those of the work, and `Interrupted` when the run was asked to stop meanwhile.
    pub fn with_room<'s, T>(
        &'s self,
        window: &PartitionWindow,
        turn: Turn<'s>,
        work: impl Fn(&Turn<'s>) -> Result<T>,
    ) -> Result<(T, Turn<'s>)> {
        match work(&turn) {
            Err(error) if error.kind() == ErrorKind::OutOfMemory && turn.is_shared() => {
                drop(turn);
                self.reporter.warn(&format!("{window} ran out of memory beside other windows, and waits until it is alone"));
                let alone = self.memory.turns.take(*window, Room::All);
                self.runtime.check_interrupted()?;
                work(&alone).map(|done| (done, alone))
            }
            done => done.map(|done| (done, turn)),
        }
    }

    /// Watches the memory of a window's work, as long as what comes back lives.
    pub fn watch_window(&self) -> WatchedWindow {
        self.watch.window()
    }

    /// The same for a query, which is told to end by what comes back.
    pub fn watch_query(&self) -> WatchedQuery {
        self.watch.query()
    }

    /// The bound of one window.
    pub fn window_memory(&self, turn: &Turn<'_>) -> Memory {
        match self.memory.limit {
            None => Memory::unlimited(),
            Some(limit) => Memory::limited(turn.share_of(limit), runtime::temp_folder()),
        }
    }

    /// How much of a file is read at once: little, where little memory is to do.
    pub fn block_bytes(&self, turn: &Turn<'_>) -> usize {
        let most = ReadOptions::default().block_bytes;
        let Some(limit) = self.memory.limit else { return most };
        let share = turn.share_of(limit) / runtime::cores() as u64 / 32;
        usize::try_from(share).unwrap_or(most).clamp(1 << 18, most)
    }

    /// Counts what a window wrote to disk.
    pub fn count_spilled(&self, bytes: u64) {
        self.memory.spilled.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The same session for a trip that an orchestrator started.
    #[must_use]
    pub fn on_trip(self, trip: &TripArgs) -> Self {
        Session { reason: trip.reason.into(), execution_id: trip.execution_id.clone(), ..self }
    }

    /// A replay computes those of these windows again whose newest epoch failed; other reasons and `--force` change nothing.
    ///
    /// # Errors
    /// What the store says.
    pub fn force_failed(&mut self, tables: &[Table], windows: &[PartitionWindow]) -> Result<()> {
        if self.reason != Reason::Replay || self.force == Force::All {
            return Ok(());
        }
        let mut failed = BTreeSet::new();
        for table in tables {
            let lake_table = self.table(table)?;
            let is_settled = |window: &PartitionWindow| {
                lake_table.as_ref().is_some_and(|lake_table| freshness::is_settled(self, lake_table, window))
            };
            let unsettled = windows.iter().filter(|window| !is_settled(window));
            failed.extend(unsettled.map(|window| (table.clone(), *window)));
        }
        self.force = Force::Only(failed);
        Ok(())
    }

    /// The window of a table that is meant.
    ///
    /// # Errors
    /// `Misconfigured` when the table has no contract, `Usage` for a window of another grain.
    pub fn window(&self, table: &Table, choice: WindowChoice) -> Result<PartitionWindow> {
        let window = one_window(choice, &self.project.contract(table)?.window)?;
        self.reporter.name_window(&window);
        Ok(window)
    }

    /// Opens a table for writing, and creates it when it is new.
    ///
    /// # Errors
    /// `Misconfigured` when the contract has no partition column or another one than the table, else what the store says.
    pub fn table_for_writing(&self, contract: &Contract) -> Result<LakeTable> {
        let column = partition_column(contract)?;
        let uuid = runtime::new_dataset_uuid()?;
        self.runtime.block_on(self.lake.create_table(&contract.table, &column, &uuid))
    }

    /// Opens a table for reading; `None` when nothing was ever written to it.
    ///
    /// # Errors
    /// What the store says.
    pub fn table(&self, table: &Table) -> Result<Option<LakeTable>> {
        self.runtime.block_on(self.lake.table(table))
    }

    /// Tells whether a table's window is computed again although nothing changed.
    pub fn is_forced(&self, table: &Table, window: &PartitionWindow) -> bool {
        match &self.force {
            Force::None => false,
            Force::All => true,
            Force::Only(chosen) => chosen.contains(&(table.clone(), *window)),
        }
    }

    /// The windows of which at least one table is chosen to be computed again, in order.
    pub fn forced_windows(&self) -> Vec<PartitionWindow> {
        let Force::Only(chosen) = &self.force else { return Vec::new() };
        let windows: BTreeSet<PartitionWindow> = chosen.iter().map(|(_, window)| *window).collect();
        windows.into_iter().collect()
    }

    /// Tells whether a view is kept up to date.
    pub fn keeps(&self, view: View) -> bool {
        self.project.config.views.contains(&view)
    }

    /// Where other programs find the lake.
    pub fn base_uri(&self) -> String {
        lake::base_uri(&self.project, &self.lake)
    }

    /// A key of the lake as people find it: with the lake's folder in front.
    pub fn shown(&self, key: &str) -> String {
        format!("{}/{key}", self.project.config.lake.trim_end_matches('/'))
    }
}

/// The partition column of a contract as it stands in keys.
///
/// # Errors
/// `Misconfigured` when there is none.
pub fn partition_column(contract: &Contract) -> Result<PartitionColumn> {
    let property =
        contract.partition().ok_or_else(|| Error::misconfigured(format!("{} has no partition column", contract.file)))?;
    property.name.parse()
}
