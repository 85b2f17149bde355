//! Several live runs of one window at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use windrow_core::Epoch;

use crate::support::{Backend, Bench, publish, request, window};

const RUNS: u32 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_runs_all_finish_and_the_last_claimed_is_the_head() {
    for backend in Backend::ALL {
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
        let runs: Vec<_> = (1..=RUNS)
            .map(|number| {
                let table = table.clone();
                tokio::spawn(async move {
                    let claimed = table.claim(&request(number)).await.unwrap();
                    publish(&table, &claimed, &[&format!("run {number}")]).await.unwrap();
                    table.project_live(&window()).await.unwrap();
                    claimed.epoch()
                })
            })
            .collect();
        let mut epochs = BTreeSet::new();
        for run in runs {
            epochs.insert(run.await.unwrap());
        }
        done.store(true, Ordering::Relaxed);
        reader.await.unwrap();
        assert_eq!(epochs.len(), RUNS as usize, "{backend:?}: an epoch was given twice");
        let head = table.require_head(&window()).await.unwrap();
        assert_eq!(Some(&head.epoch), epochs.last(), "{backend:?}");
        table.verify_head(&head).await.unwrap();
        let view = bench.lake.get_bytes("clean/flights/day=2013-01-01/part-00000.parquet").await.unwrap();
        assert_eq!(view, bench.lake.get_bytes(&head.files[0].key).await.unwrap(), "{backend:?}: the view is the head");
        bench.assert_only_legal_writes().await;
    }
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
