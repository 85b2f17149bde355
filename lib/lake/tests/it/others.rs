//! Known failures of others: one test each, named after where it happened, that shows it cannot happen here.

use std::time::Duration;

use windrow_core::layout::{Key, RegisterKind};
use windrow_core::ledger::{Decision, GcPolicy};
use windrow_core::{Epoch, ErrorKind};
use windrow_lake::{ClaimRequest, GcReport, Lake};

use crate::fault::{Fault, Kind, Operation};
use crate::ledger_model::Snapshot;
use crate::support::{Backend, Bench, RAW_BYTES, RAW_KEY, open, publish, request, run_window, stage, window};

const VIEW: &str = "clean/flights/day=2013-01-01/part-00000.parquet";

/// A memory, and the disk as the product uses it: where every operation of a run is tried.
const THOROUGH: [Backend; 2] = [Backend::Memory, Backend::DurableDisk];

fn with_config(number: u32, config: char) -> ClaimRequest {
    ClaimRequest { config_sha256: config.to_string().repeat(64), ..request(number) }
}

/// Stops an actor before its n-th operation for as long as something else takes. `None` when it has no such operation.
async fn interrupted<T>(bench: &Bench, operation: usize, actor: impl Future<Output = T>, other: impl Future) -> Option<T> {
    let gate = bench.store.gate(operation);
    let mut actor = std::pin::pin!(actor);
    tokio::select! {
        biased;
        _ = &mut actor => return None,
        () = gate.reached.notified() => {}
    }
    other.await;
    gate.go.notify_one();
    Some(actor.await)
}

async fn collect(lake: &Lake, undecided_after: Duration) -> GcReport {
    let policy = GcPolicy { undecided_after, ..GcPolicy::default() };
    let plan = lake.plan_gc(&policy, None).await.unwrap();
    let report = lake.run_gc(&plan, &policy, None).await.unwrap();
    assert!(report.failure.is_none(), "{report:?}");
    report
}

async fn head_text(lake: &Lake) -> (Epoch, String) {
    let table = open(lake).await.unwrap();
    let head = table.require_head(&window()).await.unwrap();
    table.verify_head(&head).await.unwrap();
    let mut text = String::new();
    for file in &head.files {
        text.push_str(std::str::from_utf8(&lake.get_bytes(&file.key).await.unwrap()).unwrap());
    }
    (head.epoch, text)
}

/// The operations of a first run.
async fn operations(backend: Backend) -> Vec<Operation> {
    let bench = Bench::new(backend).await;
    run_window(&bench.lake, request(1), "clean bytes").await.unwrap();
    bench.store.log()
}

/// Delta Lake #1410: a lock row with a time to live let a second writer overwrite a commit.
///
/// A run that stops before any of its operations, however long, hinders nobody, and overwrites nothing when it goes on.
#[tokio::test]
async fn delta_1410_a_writer_that_slept_overwrites_no_commit() {
    for backend in THOROUGH {
        let mut operation = 0;
        loop {
            let bench = Bench::new(backend).await;
            let slow = run_window(&bench.lake, with_config(1, 'a'), "slow");
            let quick = async {
                let (epoch, _) = run_window(&bench.other_process(), with_config(2, 'b'), "quick").await.unwrap();
                assert_eq!(head_text(&bench.other_process()).await, (epoch, "quick".to_owned()));
            };
            let Some(slow) = interrupted(&bench, operation, slow, quick).await else { break };
            let (slow, _) = slow.unwrap();
            let quick = open(&bench.other_process()).await.unwrap();
            let history = quick.window_history(&window()).await.unwrap();
            assert!(history.iter().all(|state| state.outcome.as_ref().unwrap().document().decision == Decision::Published));
            let last = history.last().unwrap().epoch;
            let expected = if last == slow { "slow" } else { "quick" };
            assert_eq!(head_text(&bench.lake).await, (last, expected.to_owned()), "{backend:?} {operation}");
            bench.assert_only_legal_writes().await;
            operation += 1;
        }
        println!("{backend:?}: a run slept before each of {operation} operations");
        assert!(operation > 20);
    }
}

/// SPARK-29037: a rerun after a kill committed the files of the dead job too.
#[tokio::test]
async fn spark_29037_a_rerun_commits_no_file_of_the_dead_run() {
    for backend in THOROUGH {
        let kills = operations(backend).await.len();
        for operation in 0..kills {
            let mut bench = Bench::new(backend).await;
            bench.store.plan(operation, Fault::Kill);
            let dead = bench.store.until_killed(run_window(&bench.lake, with_config(1, 'a'), "dead")).await;
            assert!(dead.is_none());
            bench.store.heal();
            bench.restart();
            let (epoch, _) = run_window(&bench.lake, with_config(2, 'b'), "alive").await.unwrap();
            assert_eq!(head_text(&bench.lake).await, (epoch, "alive".to_owned()), "{backend:?} {operation}");
            assert_eq!(bench.lake.get_bytes(VIEW).await.unwrap().as_ref(), b"alive");
        }
    }
}

/// SPARK-28945, SPARK-36571, SPARK-37210: concurrent jobs removed each other's temporary directory.
///
/// A whole run and a garbage collection happen before every operation of another run, which still finishes with all its
/// files. A collection without any patience gives the run up first, and then the run learns that it was.
#[tokio::test]
async fn spark_28945_nobody_cleans_away_the_files_of_a_live_run() {
    for (backend, patience) in THOROUGH.into_iter().flat_map(|backend| [(backend, 86_400), (backend, 0)]) {
        let (mut operation, mut fenced) = (0, 0);
        loop {
            let bench = Bench::new(backend).await;
            let slow = run_window(&bench.lake, with_config(1, 'a'), "slow");
            let others = async {
                run_window(&bench.other_process(), with_config(2, 'b'), "quick").await.unwrap();
                collect(&bench.other_process(), Duration::from_secs(patience)).await;
            };
            let Some(slow) = interrupted(&bench, operation, slow, others).await else { break };
            match slow {
                Ok((epoch, _)) => {
                    let table = bench.table().await;
                    let history = table.window_history(&window()).await.unwrap();
                    let state = history.iter().find(|state| state.epoch == epoch).unwrap();
                    for file in &state.outcome.as_ref().unwrap().document().files {
                        assert_eq!(bench.lake.get_bytes(&table.file_key(file)).await.unwrap().as_ref(), b"slow");
                    }
                }
                Err(error) => {
                    assert_eq!(patience, 0, "{backend:?} {operation}: {error}");
                    assert!(matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Transient), "{backend:?} {operation}: {error}");
                    fenced += 1;
                    assert_eq!(head_text(&bench.lake).await.1, "quick");
                }
            }
            operation += 1;
        }
        println!("{backend:?}, patience {patience} s: collected before each of {operation} operations, given up {fenced} times");
        assert!(operation > 20 && (fenced > 0) == (patience == 0));
    }
}

/// SlateDB #1622: garbage collection removed a register, and a stale create of it then won.
#[tokio::test]
async fn slatedb_1622_a_stale_create_never_wins_after_garbage_collection() {
    for backend in Backend::ALL {
        let bench = Bench::new(backend).await;
        let table = bench.table().await;
        let claimed = table.claim(&request(1)).await.unwrap();
        let staged = stage(&table, &claimed, &["stale"]).await.unwrap();
        table.put_check(&claimed, crate::support::check(&staged, windrow_core::gate::Status::Pass)).await.unwrap();
        let passed = table.passed_check(&window(), claimed.epoch()).await.unwrap();
        let gc = async {
            for _ in 0..2 {
                collect(&bench.other_process(), Duration::ZERO).await;
            }
        };
        let stale = interrupted(&bench, 0, table.publish(&passed), gc).await.unwrap();
        assert_eq!(stale.unwrap_err().kind(), ErrorKind::Fenced, "{backend:?}");
        assert!(table.resolve(&window()).await.unwrap().is_none(), "{backend:?}");
        for _ in 0..2 {
            collect(&bench.lake, Duration::ZERO).await;
            assert_eq!(table.publish(&passed).await.unwrap_err().kind(), ErrorKind::Fenced, "{backend:?}");
        }
        let registers = table.history().await.unwrap();
        assert_eq!(registers[&window()][&claimed.epoch()].len(), RegisterKind::ALL.len(), "{backend:?}: a register is gone");
        assert!(bench.store.writes().iter().all(|write| {
            write.kind != Kind::Delete || !matches!(Key::parse(&write.key), Some(Key::Register { .. } | Key::Format(_)))
        }));
    }
}

/// SlateDB #2089: conditional updates are not supported on a local disk, so garbage collection never did anything there,
/// and said nothing.
#[tokio::test]
async fn slatedb_2089_garbage_collection_works_on_every_store_and_needs_no_conditional_update() {
    for backend in Backend::ALL {
        let bench = Bench::new(backend).await;
        let table = bench.table().await;
        publish(&table, &table.claim(&request(1)).await.unwrap(), &["head"]).await.unwrap();
        let lost = table.claim(&request(2)).await.unwrap();
        stage(&table, &lost, &["lost", "bytes"]).await.unwrap();
        let report = collect(&bench.lake, Duration::ZERO).await;
        let (deleted, aborted) = (report.deleted.len(), report.aborted.len());
        assert_eq!((deleted, aborted, report.left.len(), report.skipped.len()), (2, 1, 0, 0), "{backend:?}");
        let left = bench.snapshot(&Snapshot::default()).await.objects;
        assert!(report.deleted.iter().all(|item| !left.contains_key(&item.key.to_string())), "{backend:?}: still there");
        assert_eq!(head_text(&bench.lake).await.1, "head");
        assert!(bench.store.log().iter().all(|operation| operation.kind != Kind::Update), "{backend:?}");
    }
}

/// A fault at each create of a run, which must go on as if nothing had happened and claim one epoch only.
async fn creates_survive(backend: Backend, fault: Fault) {
    let creates = operations(backend).await.into_iter().enumerate().filter(|(_, operation)| operation.kind == Kind::Create);
    let mut tried = 0;
    for (operation, _) in creates {
        let bench = Bench::new(backend).await;
        bench.store.plan(operation, fault);
        let (epoch, _) = run_window(&bench.lake, request(1), "clean bytes").await.unwrap();
        assert!(bench.store.struck().is_some());
        assert_eq!(head_text(&bench.lake).await, (Epoch::FIRST, "clean bytes".to_owned()), "{backend:?} {operation}");
        assert_eq!(bench.table().await.window_history(&window()).await.unwrap().len(), 1, "{backend:?}: {epoch}");
        tried += 1;
    }
    assert!(tried >= 6, "{backend:?}: only {tried} creates");
}

/// icechunk #2099, Hudi #14373: a success whose reply was lost became a false conflict.
#[tokio::test]
async fn icechunk_2099_a_lost_success_is_no_conflict() {
    for backend in Backend::ALL {
        creates_survive(backend, Fault::ReplyLost).await;
        creates_survive(backend, Fault::Disowned).await;
    }
}

/// object_store #852: 409 Conflict, which asks to try again, was told as "already exists".
#[tokio::test]
async fn object_store_852_a_conflict_on_a_create_is_tried_again() {
    for backend in Backend::ALL {
        creates_survive(backend, Fault::Conflict).await;
    }
}

/// MinIO #21526: a store accepted If-Match on a key that is not there.
///
/// No write depends on an entity tag; only reads of raw files do, and one that is gone is not read as empty.
#[tokio::test]
async fn minio_21526_no_commit_depends_on_if_match() {
    for backend in Backend::ALL {
        let bench = Bench::new(backend).await;
        for (number, config) in [(1, 'a'), (2, 'b')] {
            run_window(&bench.lake, with_config(number, config), "clean bytes").await.unwrap();
        }
        collect(&bench.lake, Duration::ZERO).await;
        let log = bench.store.log();
        let tagged: Vec<_> = log.iter().filter(|operation| operation.if_match).collect();
        assert!(
            !tagged.is_empty() && tagged.iter().all(|operation| (operation.kind, operation.key.as_str()) == (Kind::Get, RAW_KEY))
        );
        assert!(log.iter().all(|operation| operation.kind != Kind::Update), "{backend:?}");
        let input = bench.lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap().inputs.remove(0);
        object_store::ObjectStoreExt::delete(&bench.store.inner(), &RAW_KEY.into()).await.unwrap();
        assert_eq!(bench.lake.get_pinned(&input).await.unwrap_err().kind(), ErrorKind::Transient, "{backend:?}");
    }
}

/// ClickHouse #107934: a reader of an object that was overwritten got wrong results and no error.
///
/// What a reader resolved stays as it is while the window is made anew; a raw file that is replaced is an error.
#[tokio::test]
async fn clickhouse_107934_a_reader_of_a_replaced_window_or_file_gets_no_mix() {
    for backend in Backend::ALL {
        let bench = Bench::new(backend).await;
        run_window(&bench.lake, with_config(1, 'a'), "old").await.unwrap();
        let table = bench.table().await;
        let resolved = table.require_head(&window()).await.unwrap();
        let input = bench.lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap().inputs.remove(0);
        run_window(&bench.other_process(), with_config(2, 'b'), "new").await.unwrap();
        collect(&bench.other_process(), Duration::ZERO).await;
        table.verify_head(&resolved).await.unwrap();
        assert_eq!(bench.lake.get_bytes(&resolved.files[0].key).await.unwrap().as_ref(), b"old", "{backend:?}");
        assert_eq!(head_text(&bench.lake).await.1, "new");
        let other = RAW_BYTES.to_ascii_uppercase();
        object_store::ObjectStoreExt::put(&bench.store.inner(), &RAW_KEY.into(), other.into()).await.unwrap();
        assert_eq!(bench.lake.get_pinned(&input).await.unwrap_err().kind(), ErrorKind::Transient, "{backend:?}");
    }
}

/// Several Glue templates clear a partition and then append to it: whoever reads in between finds nothing, and after a
/// kill so does everybody.
#[tokio::test]
async fn glue_templates_a_window_is_readable_at_every_moment_of_a_rerun() {
    for backend in THOROUGH {
        let mut operation = 0;
        loop {
            let bench = Bench::new(backend).await;
            run_window(&bench.other_process(), with_config(1, 'a'), "old").await.unwrap();
            let readers = async {
                let lake = bench.other_process();
                let (_, text) = head_text(&lake).await;
                assert!(["old", "new"].contains(&text.as_str()), "{backend:?} {operation}: {text}");
                let view = lake.get_bytes(VIEW).await.unwrap();
                assert!([b"old", b"new"].contains(&view.as_ref().try_into().unwrap()), "{backend:?} {operation}: {view:?}");
            };
            let rerun = run_window(&bench.lake, with_config(2, 'b'), "new");
            let Some(rerun) = interrupted(&bench, operation, rerun, readers).await else { break };
            rerun.unwrap();
            assert_eq!(head_text(&bench.lake).await.1, "new");
            operation += 1;
        }
        println!("{backend:?}: the window was read before each of {operation} operations of a rerun");
        assert!(operation > 20);
    }
}
