//! Several live runs of one window at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use windrow_core::Epoch;

use crate::ledger_model::{Ledger, ModelHead, Snapshot};
use crate::support::{Backend, Bench, open, publish, request, window};

/// How many runs at once; contended creates take this S3 server seconds, so there are fewer of them there.
fn contenders(backend: Backend) -> &'static [u32] {
    if backend == Backend::S3 { &[2, 8] } else { &[2, 8, 32] }
}

async fn race(backend: Backend) {
    for &runs in contenders(backend) {
        racing_runs_all_finish(backend, runs).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_runs_in_memory_make_one_head() {
    race(Backend::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_runs_on_plain_local_disk_make_one_head() {
    race(Backend::LocalDisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_runs_in_a_folder_make_one_head() {
    race(Backend::DurableDisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_runs_on_an_s3_server_make_one_head() {
    race(Backend::S3).await;
}

/// Every run is a process of its own as far as the lake knows. All finish, whichever claims last is the head, and the
/// head is what that run computed, once.
async fn racing_runs_all_finish(backend: Backend, runs: u32) {
    let bench = Bench::new(backend).await;
    let table = bench.table().await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (table, done) = (table.clone(), Arc::clone(&done));
        async move {
            let mut seen: Option<Epoch> = None;
            while !done.load(Ordering::Relaxed) {
                let now = table.resolve(&window()).await.unwrap().map(|head| head.epoch);
                assert!(now >= seen, "{backend:?}: resolve went back from {seen:?} to {now:?}");
                seen = now;
                tokio::task::yield_now().await;
            }
        }
    });
    let racers: Vec<_> = (1..=runs)
        .map(|number| {
            let lake = bench.process();
            tokio::spawn(async move {
                let table = open(&lake).await.unwrap();
                let claimed = table.claim(&request(number)).await.unwrap();
                publish(&table, &claimed, &[&format!("run {number}")]).await.unwrap();
                table.project_live(&window()).await.unwrap();
                (claimed.epoch(), number)
            })
        })
        .collect();
    let mut epochs = BTreeMap::new();
    for racer in racers {
        let (epoch, number) = racer.await.unwrap();
        assert_eq!(epochs.insert(epoch, number), None, "{backend:?}: an epoch was given twice");
    }
    done.store(true, Ordering::Relaxed);
    reader.await.unwrap();
    let (&last, number) = epochs.last_key_value().unwrap();
    let ledger = Ledger::read(&bench.snapshot(&Snapshot::default()).await.objects, "after the race");
    let expected = ModelHead { epoch: last, content: format!("run {number}").into_bytes() };
    assert_eq!(ledger.head(&window()), Some(expected), "{backend:?}, {runs} runs");
    let head = table.require_head(&window()).await.unwrap();
    assert_eq!((head.epoch, head.rows, head.files.len()), (last, 1, 1), "{backend:?}, {runs} runs");
    let view = bench.lake.get_bytes("clean/flights/day=2013-01-01/part-00000.parquet").await.unwrap();
    assert_eq!(view, bench.lake.get_bytes(&head.files[0].key).await.unwrap(), "{backend:?}: the view is the head");
    bench.assert_only_legal_writes().await;
}

#[test]
fn claims_of_several_threads_are_distinct() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bench = runtime.block_on(Bench::new(Backend::LocalDisk));
    let folder = bench.folder.as_ref().unwrap().path();
    let claims = |thread: u32| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            // A lake of its own for each thread: nothing is shared but the disk.
            let table = crate::support::open(&windrow_lake::Lake::open_local(folder).unwrap()).await.unwrap();
            let mut epochs = Vec::new();
            for number in 0..5 {
                epochs.push(table.claim(&request(thread * 100 + number)).await.unwrap().epoch());
            }
            epochs
        })
    };
    let epochs: Vec<Epoch> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=4).map(|thread| scope.spawn(move || claims(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(epochs.iter().collect::<BTreeSet<_>>().len(), 20);
}
