//! Every store operation of every trip fails in every way; a new process then makes the window whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use windrow_core::gate::Status;
use windrow_core::ledger::{DecidedBy, ErrorClass, GcPolicy, Reason};
use windrow_core::{Code, Epoch, ErrorKind, Result};
use windrow_lake::{ClaimRequest, Head, Lake};

use crate::fault::{Fault, Operation};
use crate::ledger_model::{Ledger, Objects, Snapshot};
use crate::support::{Backend, Bench, RAW_KEY, Site, attempt, check, open, publish, request, run_window, stage, window};

const VIEW: &str = "clean/flights/day=2013-01-01/part-00000.parquet";

/// One way a window goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trip {
    /// The first run of a new table.
    FirstPublish,
    /// A run over a head that another configuration made.
    Replay,
    /// Check, publish and project of an epoch that an earlier process staged.
    Resume,
    /// The gate answers FAIL: evidence, rejects, quarantine.
    FailedCheck,
    /// The raw data break the contract, so nothing is staged.
    BadInput,
    /// The window is taken back.
    Retract,
    /// An older version becomes the head again.
    Rollback,
    /// What an aborted and an undecided attempt left behind is collected.
    Collect,
}

impl Trip {
    const RUNS: [Trip; 5] = [Trip::FirstPublish, Trip::Replay, Trip::Resume, Trip::FailedCheck, Trip::BadInput];
    const OPERATIONS: [Trip; 3] = [Trip::Retract, Trip::Rollback, Trip::Collect];

    /// What the lake holds before the trip: nothing, or a head of the window and one of its neighbour.
    async fn before(self) -> Objects {
        let bench = Bench::new(Backend::Memory).await;
        if self != Trip::FirstPublish {
            run_window(&bench.lake, request(101), "old bytes").await.unwrap();
            let neighbour = ClaimRequest { window: "2013-01-02".parse().unwrap(), ..request(102) };
            run_window(&bench.lake, neighbour, "neighbour's bytes").await.unwrap();
        }
        let table = bench.table().await;
        match self {
            Trip::Resume => {
                let claimed = table.claim(&request(103)).await.unwrap();
                stage(&table, &claimed, &["new bytes"]).await.unwrap();
            }
            Trip::Rollback => {
                publish(&table, &table.claim(&request(103)).await.unwrap(), &["newer bytes"]).await.unwrap();
            }
            Trip::Collect => {
                let undecided = table.claim(&request(103)).await.unwrap();
                stage(&table, &undecided, &["lost bytes"]).await.unwrap();
                let aborted = table.claim(&request(104)).await.unwrap();
                stage(&table, &aborted, &["given", "up"]).await.unwrap();
                table.abort(&window(), aborted.epoch(), DecidedBy::Operator).await.unwrap();
            }
            _ => {}
        }
        let mut objects = bench.snapshot(&Snapshot::default()).await.objects;
        objects.remove(RAW_KEY);
        objects
    }

    /// The trip as a process walks it, the first one and whoever comes after a failure.
    async fn walk(self, lake: &Lake, number: u32) -> Result<()> {
        match self {
            Trip::FirstPublish | Trip::Replay => {
                let request = ClaimRequest { config_sha256: "e".repeat(64), ..request(number) };
                run_window(lake, request, "new bytes").await.map(|_| ())
            }
            Trip::Resume => resume(lake).await,
            Trip::FailedCheck => fail_check(lake, number).await,
            Trip::BadInput => refuse_input(lake, number).await,
            Trip::Retract => retract(lake, number).await,
            Trip::Rollback => roll_back(lake, number).await,
            Trip::Collect => collect(lake).await,
        }
    }

    /// What the window's view holds when the trip is done.
    fn expected(self) -> Option<&'static [u8]> {
        match self {
            Trip::FirstPublish | Trip::Replay | Trip::Resume => Some(b"new bytes"),
            Trip::FailedCheck | Trip::BadInput | Trip::Rollback | Trip::Collect => Some(b"old bytes"),
            Trip::Retract => None,
        }
    }

    /// Tells whether walking it once more does nothing.
    fn is_repeatable(self) -> bool {
        !matches!(self, Trip::FailedCheck | Trip::BadInput)
    }

    /// Proves that the trip was walked to its end.
    fn assert_arrived(self, ledger: &Ledger, at: &str) {
        let head = ledger.head(&window()).map(|head| head.content.clone());
        assert_eq!(head.as_deref(), self.expected(), "{at}: another head");
        if matches!(self, Trip::FailedCheck | Trip::BadInput) {
            assert!(ledger.quarantined(&window()) > 0, "{at}: nothing is quarantined");
        }
        if self == Trip::Collect {
            assert_eq!(ledger.parts(&window()), 1, "{at}: garbage is left");
        }
    }
}

async fn resume(lake: &Lake) -> Result<()> {
    let table = open(lake).await?;
    let claimed = table.load_claimed(&window(), Epoch::new(2).unwrap(), &attempt(103)).await?;
    let states = table.window_history(&window()).await?;
    let staged = states.last().and_then(|state| state.staged.clone()).unwrap();
    table.put_check(&claimed, check(&staged, Status::Pass)).await?;
    let passed = table.passed_check(&window(), claimed.epoch()).await?;
    table.publish(&passed).await?;
    table.project_live(&window()).await.map(|_| ())
}

async fn fail_check(lake: &Lake, number: u32) -> Result<()> {
    let table = open(lake).await?;
    let claimed = table.claim(&request(number)).await?;
    let staged = stage(&table, &claimed, &["bad bytes"]).await?;
    table.put_check(&claimed, check(&staged, Status::Fail)).await?;
    let evidence = Bytes::from(format!("{{\"told_by\":{number}}}"));
    table.quarantine(&claimed, None, evidence, Some(Bytes::from_static(b"rows"))).await.map(|_| ())
}

async fn refuse_input(lake: &Lake, number: u32) -> Result<()> {
    let table = open(lake).await?;
    for input in lake.list_inputs("flights/2013-01-01/*.csv").await?.inputs {
        lake.get_pinned(&input).await?;
    }
    let claimed = table.claim(&request(number)).await?;
    let evidence = Bytes::from(format!("{{\"told_by\":{number}}}"));
    table.quarantine(&claimed, Some(&ErrorClass::of_code(Code::MissingColumn)), evidence, None).await.map(|_| ())
}

async fn retract(lake: &Lake, number: u32) -> Result<()> {
    let table = open(lake).await?;
    if table.resolve(&window()).await?.is_some() {
        let claimed = table.claim(&ClaimRequest { reason: Reason::Retract, ..request(number) }).await?;
        table.retract(&claimed).await?;
    }
    table.project_live(&window()).await.map(|_| ())
}

async fn roll_back(lake: &Lake, number: u32) -> Result<()> {
    let table = open(lake).await?;
    let is_back = |head: &Head| head.claim.document().reason == Reason::Rollback;
    if !table.resolve(&window()).await?.is_some_and(|head| is_back(&head)) {
        let request = ClaimRequest { reason: Reason::Rollback, ..request(number) };
        let (claimed, staged) = table.stage_rollback(&request, Epoch::FIRST).await?;
        table.put_check(&claimed, check(&staged, Status::Pass)).await?;
        table.publish(&table.passed_check(&window(), claimed.epoch()).await?).await?;
    }
    table.project_live(&window()).await.map(|_| ())
}

/// Collects what nobody works on, however young it is.
async fn collect(lake: &Lake) -> Result<()> {
    let policy = GcPolicy { undecided_after: Duration::ZERO, ..GcPolicy::default() };
    let plan = lake.plan_gc(&policy, None).await?;
    assert!(plan.foreign.is_empty() && plan.skipped.is_empty(), "{plan:?}");
    let report = lake.run_gc(&plan, &policy, None).await?;
    assert!(report.skipped.is_empty(), "{report:?}");
    report.failure.map_or(Ok(()), Err)
}

async fn bench_with(site: &Site, objects: &Objects) -> (Bench, Snapshot) {
    let bench = site.bench().await;
    let before = Snapshot::put(&bench.store.inner(), objects).await;
    (bench, before)
}

/// The operations of a trip that nothing disturbs.
async fn operations(site: &Site, trip: Trip, before: &Objects) -> Vec<Operation> {
    let (bench, _) = bench_with(site, before).await;
    trip.walk(&bench.lake, 1).await.unwrap();
    let ended = bench.snapshot(&Snapshot::default()).await;
    trip.assert_arrived(&Ledger::read(&ended.objects, "undisturbed"), "undisturbed");
    bench.assert_legal_log();
    bench.store.log()
}

/// One fault, then a new process. Returns whether the disturbed trip succeeded all the same.
async fn survives(site: Site, trip: Trip, before: Arc<Objects>, operation: usize, fault: Fault) -> bool {
    let (mut bench, started) = bench_with(&site, &before).await;
    bench.store.plan(operation, fault);
    let walked = bench.store.until_killed(trip.walk(&bench.lake, 1)).await;
    let struck = bench.store.struck();
    let at = format!("{:?} {trip:?} operation {operation} {struck:?} {fault:?}", site.backend);
    assert!(struck.is_some(), "{at}: there is no such operation");
    bench.store.heal();
    let disturbed = bench.snapshot(&started).await;
    let ledger = Ledger::read(&disturbed.objects, &at);
    ledger.assert_follows(&Ledger::read(&started.objects, &at), &at);
    match &walked {
        Some(Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::Transient, "{at}: {error}");
            assert_no_secret(&error.to_string(), &at);
        }
        Some(Ok(())) => trip.assert_arrived(&ledger, &at),
        None => {}
    }
    bench.restart();
    if operation.is_multiple_of(3) {
        bench.store.land().await;
    }
    trip.walk(&bench.lake, 2).await.unwrap_or_else(|error| panic!("{at}: the next process fails: {error}"));
    let table = bench.table().await;
    if operation % 3 == 1 && bench.store.land().await > 0 {
        table.project_live(&window()).await.unwrap();
    }
    if struck.is_some_and(|struck| struck.kind.is_write()) {
        let arrived = Ledger::read(&bench.snapshot(&disturbed).await.objects, &at);
        trip.assert_arrived(&arrived, &at);
        arrived.assert_follows(&ledger, &at);
        collect(&bench.lake).await.unwrap();
        bench.store.land().await;
        table.project_live(&window()).await.unwrap();
    }
    assert_whole(&bench, trip, (&disturbed, &ledger), &at).await;
    bench.assert_legal_log();
    matches!(walked, Some(Ok(())))
}

/// The trip is done, the view is the head, readers agree, and walking on changes nothing.
async fn assert_whole(bench: &Bench, trip: Trip, (disturbed, earlier): (&Snapshot, &Ledger), at: &str) {
    let snapshot = bench.snapshot(disturbed).await;
    let ended = Ledger::read(&snapshot.objects, at);
    ended.assert_follows(earlier, at);
    trip.assert_arrived(&ended, at);
    let view = snapshot.objects.get(VIEW).map(Bytes::as_ref);
    assert_eq!(view, trip.expected(), "{at}: the view is not the head after a quiet reconcile");
    let head = bench.table().await.resolve(&window()).await.unwrap();
    assert_eq!(head.map(|head| head.epoch), ended.head(&window()).map(|head| head.epoch), "{at}: resolve is wrong");
    if trip.is_repeatable() {
        trip.walk(&bench.lake, 3).await.unwrap();
        assert!(bench.snapshot(&snapshot).await.is_same(&snapshot), "{at}: walking on once more changed something");
    }
}

pub(crate) fn assert_no_secret(text: &str, at: &str) {
    for identity in crate::weed::Identity::ALL {
        assert!(!text.contains(identity.credentials().1), "{at}: a secret in {text}");
    }
}

/// The faults of an operation. On S3 reads leave out those that differ in nothing but how long they last.
fn faults(backend: Backend, operation: &Operation) -> impl Iterator<Item = Fault> {
    let is_write = operation.kind.is_write();
    let is_short = move |fault: &Fault| is_write || !matches!(fault, Fault::Unavailable | Fault::CutOff);
    let faults = Fault::ALL.into_iter().filter(|fault| fault.applies_to(operation));
    faults.filter(move |fault| backend != Backend::S3 || is_short(fault)).collect::<Vec<_>>().into_iter()
}

async fn every_fault_is_survived(backend: Backend, trips: &[Trip], at_once: usize) {
    let site = Site::new(backend).await;
    let (mut all_operations, mut all_points, mut all_absorbed) = (0, 0, 0);
    for &trip in trips {
        let before = Arc::new(trip.before().await);
        let operations = operations(&site, trip, &before).await;
        let points: Vec<(usize, Fault)> = operations
            .iter()
            .enumerate()
            .flat_map(|(number, operation)| faults(backend, operation).map(move |fault| (number, fault)))
            .collect();
        let runs = points.iter().map(|&(operation, fault)| {
            let run = survives(site.clone(), trip, Arc::clone(&before), operation, fault);
            async { tokio::spawn(run).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) }
        });
        let absorbed = futures::stream::iter(runs).buffer_unordered(at_once).filter(|ok| std::future::ready(*ok)).count().await;
        let writes = operations.iter().filter(|operation| operation.kind.is_write()).count();
        println!(
            "{backend:?} {trip:?}: {} operations ({writes} writes), {} points survived, {absorbed} unnoticed",
            operations.len(),
            points.len()
        );
        assert!(operations.len() > 5 && absorbed > 0 && absorbed < points.len());
        all_operations += operations.len();
        all_points += points.len();
        all_absorbed += absorbed;
    }
    println!(
        "{backend:?}: {all_operations} operations x up to {} faults = {all_points} points survived, {all_absorbed} unnoticed",
        Fault::ALL.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_run_in_memory_is_survived() {
    every_fault_is_survived(Backend::Memory, &Trip::RUNS, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_an_operation_in_memory_is_survived() {
    every_fault_is_survived(Backend::Memory, &Trip::OPERATIONS, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_run_in_a_folder_is_survived() {
    every_fault_is_survived(Backend::DurableDisk, &Trip::RUNS, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_an_operation_in_a_folder_is_survived() {
    every_fault_is_survived(Backend::DurableDisk, &Trip::OPERATIONS, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_run_on_an_s3_server_is_survived() {
    every_fault_is_survived(Backend::S3, &Trip::RUNS, 16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_an_operation_on_an_s3_server_is_survived() {
    every_fault_is_survived(Backend::S3, &Trip::OPERATIONS, 16).await;
}
