//! What else happens to a lake: readers, reconcilers, operators and producers of late files.

use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload};
use windrow_core::canonical::sha256_hex;
use windrow_core::ledger::{DecidedBy, Reason};
use windrow_core::{Attempt, Epoch, ErrorKind, PartitionWindow, Result};

use windrow_lake::{GcPolicy, GcReport};

use super::checks::QUARANTINE_RETENTION;
use super::compactor;
use super::context::Context;
use super::keys;
use super::model::{Decision, Verdict};
use super::runs::{self, Job};
use super::store::SimStore;
use super::world::Kind;

/// What a process does.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    Run(Job),
    Resume(Job, Epoch, Attempt),
    Reconcile(Vec<PartitionWindow>),
    Read(PartitionWindow),
    Abort(PartitionWindow),
    Retract(PartitionWindow),
    Rollback(PartitionWindow),
    Compact(PartitionWindow),
    Collect,
    Produce(PartitionWindow),
}

impl Program {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Program::Run(_) | Program::Resume(..) => Kind::Run,
            Program::Reconcile(_) => Kind::Reconciler,
            Program::Read(_) => Kind::Reader,
            Program::Abort(_) | Program::Retract(_) | Program::Rollback(_) => Kind::Operator,
            Program::Compact(_) => Kind::Compactor,
            Program::Collect => Kind::Gc,
            Program::Produce(_) => Kind::Producer,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Program::Run(_) => "run",
            Program::Resume(..) => "resume",
            Program::Reconcile(_) => "reconcile",
            Program::Read(_) => "read",
            Program::Abort(_) => "abort",
            Program::Retract(_) => "retract",
            Program::Rollback(_) => "rollback",
            Program::Compact(_) => "compact",
            Program::Collect => "collect",
            Program::Produce(_) => "produce",
        }
    }

    /// The one window it may write to.
    pub(crate) fn window(&self) -> Option<PartitionWindow> {
        match self {
            Program::Run(job) | Program::Resume(job, ..) => Some(job.window),
            Program::Abort(window) | Program::Retract(window) | Program::Rollback(window) => Some(*window),
            Program::Compact(window) | Program::Produce(window) => Some(*window),
            Program::Reconcile(_) | Program::Read(_) | Program::Collect => None,
        }
    }

    pub(crate) async fn execute(self, context: Context) -> Result<()> {
        match self {
            Program::Run(job) => runs::run(&context, &job).await,
            Program::Resume(job, epoch, attempt) => runs::resume(&context, &job, epoch, &attempt).await,
            Program::Reconcile(windows) => reconcile(&context, &windows).await,
            Program::Read(window) => read(&context, &window).await,
            Program::Abort(window) => abort(&context, &window).await,
            Program::Retract(window) => retract(&context, &window).await,
            Program::Rollback(window) => runs::rollback(&context, &window).await,
            Program::Compact(window) => compactor::compact(&context, &window).await,
            Program::Collect => collect(&context).await,
            Program::Produce(window) => produce(&context, &window).await,
        }
    }
}

async fn reconcile(context: &Context, windows: &[PartitionWindow]) -> Result<()> {
    let table = context.open().await?;
    context.reconcile(&table, windows).await
}

/// Resolves, reads every file later, and once more: what was resolved never goes back.
async fn read(context: &Context, window: &PartitionWindow) -> Result<()> {
    let name = keys::TABLE.parse()?;
    let Some(table) = context.call("open to read", &[], context.lake.table(&name)).await? else { return Ok(()) };
    let mut seen = None;
    for _ in 0..3 {
        if context.chance(300) {
            read_view(context, window).await?;
        }
        let resolved_at = context.world().clock;
        let Some(head) = context.resolve(&table, window).await? else { continue };
        context.world().require(Some(head.epoch) >= seen, "I2", || format!("{window} went back from {seen:?} to {}", head.epoch));
        seen = Some(head.epoch);
        for file in &head.files {
            let bytes = context.call("read a file", &[ErrorKind::InputMissing], context.lake.get_bytes(&file.key)).await;
            let found = match bytes {
                Ok(bytes) => Some((sha256_hex(&bytes), bytes.len() as u64)),
                Err(error) if error.kind() == ErrorKind::InputMissing => None,
                Err(error) => return Err(error),
            };
            let mut world = context.world();
            world.coverage.count("files read");
            let is_kept = world.clock - resolved_at < world.retention;
            let is_whole = found.as_ref() == Some(&(file.sha256.clone(), file.size));
            let is_gone = found.is_none() && !is_kept;
            world.require(is_whole || is_gone, "I1 I13", || format!("{} of a resolved head is {found:?}", file.key));
        }
    }
    Ok(())
}

/// What a plain glob reads: one published file, whole.
async fn read_view(context: &Context, window: &PartitionWindow) -> Result<()> {
    let name = window.to_string();
    let read = context.call("read the view", &[ErrorKind::InputMissing], context.lake.get_bytes(&keys::view(&name))).await;
    let bytes = match read {
        Err(error) if error.kind() == ErrorKind::InputMissing => return Ok(()),
        read => read?,
    };
    let mut world = context.world();
    world.coverage.count("views read");
    let is_published = world.model.window(&name).has_published(&sha256_hex(&bytes));
    world.require(is_published, "I17", || format!("the live view of {name} reads as what no epoch published"));
    Ok(())
}

/// Gives up an epoch that nobody decided, dead or alive.
async fn abort(context: &Context, window: &PartitionWindow) -> Result<()> {
    let table = context.open().await?;
    let history = context.call("history", &[], table.window_history(window)).await?;
    let open: Vec<Epoch> = history.iter().filter(|state| state.outcome.is_none()).map(|state| state.epoch).collect();
    if open.is_empty() {
        return Ok(());
    }
    let epoch = {
        let mut world = context.world();
        world.rng.pick(&open)
    };
    let result = context.call("abort", &[ErrorKind::Fenced], table.abort(window, epoch, DecidedBy::Operator)).await;
    let mut world = context.world();
    let found = world.model.window(&window.to_string()).decision(epoch.get());
    match result.as_ref().err().map(windrow_core::Error::kind) {
        None => {
            world.require(found == Some(Decision::Aborted), "I3", || format!("{epoch} was reported aborted and is {found:?}"))
        }
        Some(ErrorKind::Fenced) => world.require(found.is_some(), "I5", || format!("the abort of {epoch} is fenced by nothing")),
        Some(_) => {}
    }
    drop(world);
    result.map(|_| ())
}

/// Takes a window back.
async fn retract(context: &Context, window: &PartitionWindow) -> Result<()> {
    let table = context.open().await?;
    let job = Job {
        window: *window,
        verdict: Verdict::Refused,
        parts: 0,
        config: 'c',
        is_forced: true,
        is_unique: false,
        is_rash: false,
        retries: 0,
    };
    let request = job.request(context.new_attempt(), Reason::Retract, None);
    let claimed = runs::claim(context, &table, &request).await?;
    let result = context.call("retract", &[ErrorKind::Fenced], table.retract(&claimed)).await;
    runs::judge_decision(context, &claimed, Decision::Retracted, result.as_ref().err().map(windrow_core::Error::kind));
    result?;
    context.project(&table, window).await
}

/// Plans and collects; now and then the same old plan once more.
async fn collect(context: &Context) -> Result<()> {
    let policy = {
        let world = context.world();
        GcPolicy {
            retention: Duration::from_secs(world.retention),
            quarantine_retention: Duration::from_secs(QUARANTINE_RETENTION),
            undecided_after: Duration::from_secs(world.undecided_after),
        }
    };
    let catalog = context.catalog();
    let plan = context.call("plan gc", &[], context.lake.plan_gc(&policy, Some(&catalog))).await?;
    judge_plan(context, plan.foreign.len(), plan.skipped.len());
    let times = if context.chance(300) { 2 } else { 1 };
    for _ in 0..times {
        let ran = async {
            let report = context.lake.run_gc(&plan, &policy, Some(&catalog)).await?;
            judge_report(context, &report);
            report.failure.map_or(Ok(()), Err)
        };
        context.call("run gc", &[], ran).await?;
    }
    Ok(())
}

fn judge_report(context: &Context, report: &GcReport) {
    judge_plan(context, 0, report.skipped.len());
    let mut world = context.world();
    world.coverage.count("gc: runs");
    world.coverage.add("gc: planned and left", report.left.len() as u64);
    let gone = report.deleted.iter().all(|item| !world.objects.contains_key(&item.key.to_string()));
    // A write of a dead process may land where something was deleted; the next plan has it.
    let is_landing = world.coverage.get("late writes landed") > 0;
    world.require(gone || is_landing, "I3", || "an object is reported deleted and is there".to_owned());
}

fn judge_plan(context: &Context, foreign: usize, skipped: usize) {
    let mut world = context.world();
    world.require(foreign == 0, "I19", || format!("{foreign} objects count as foreign"));
    world.require(skipped == 0, "no false failure", || format!("{skipped} windows cannot be examined"));
}

/// A producer adds a late file, or corrects one.
async fn produce(context: &Context, window: &PartitionWindow) -> Result<()> {
    let (name, number) = {
        let mut world = context.world();
        (world.rng.below(3), world.rng.next())
    };
    let store = SimStore::new(context.shared.clone(), context.actor);
    let path = Path::parse(format!("raw/flights/{window}/{name}.csv")).unwrap();
    let options = PutOptions { mode: PutMode::Overwrite, ..PutOptions::default() };
    // The producer's failures are its own.
    let _ = store.put_opts(&path, PutPayload::from_bytes(Bytes::from(format!("row {number:020}\n"))), options).await;
    context.world().coverage.count("raw files delivered");
    Ok(())
}
