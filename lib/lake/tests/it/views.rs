//! The live view is old or new, never a mix, and equals the head after a quiet reconcile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use windrow_lake::ViewState;

use crate::fault::Kind;
use crate::support::{Backend, Bench, open, publish, request, window};

const VIEW: &str = "clean/flights/day=2013-01-01/part-00000.parquet";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_whole_files_while_the_view_is_replaced() {
    let bench = Bench::new(Backend::LocalDisk).await;
    let table = bench.table().await;
    let text = |number: u32| format!("{number:05}").repeat(40_000);
    publish(&table, &table.claim(&request(1)).await.unwrap(), &[&text(1)]).await.unwrap();
    table.project_live(&window()).await.unwrap();
    let view = bench.folder.as_ref().unwrap().path().join(VIEW);
    let folder = view.parent().unwrap().to_owned();
    let (done, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let reader = std::thread::spawn({
        let (done, reads) = (Arc::clone(&done), Arc::clone(&reads));
        move || {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
                assert_eq!(names, ["part-00000.parquet"], "nothing else ever stands where a glob reads");
                let bytes = std::fs::read(&view).unwrap();
                let first = &bytes[..5];
                assert!(bytes.len() == 200_000 && bytes.chunks(5).all(|chunk| chunk == first), "a mix");
                let number: u32 = std::str::from_utf8(first).unwrap().parse().unwrap();
                assert!(number >= last, "the view went back");
                last = number;
                reads.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for number in 2..30 {
        publish(&table, &table.claim(&request(number)).await.unwrap(), &[&text(number)]).await.unwrap();
        table.project_live(&window()).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    assert!(reads.load(Ordering::Relaxed) > 0);
    bench.assert_only_legal_writes().await;
}

#[tokio::test]
async fn a_view_follows_the_head_and_goes_when_it_cannot() {
    for backend in Backend::ALL {
        let bench = Bench::new(backend).await;
        let table = bench.table().await;
        assert_eq!(table.project_live(&window()).await.unwrap(), ViewState::NotPublished);
        publish(&table, &table.claim(&request(1)).await.unwrap(), &["one"]).await.unwrap();
        let state = table.project_live(&window()).await.unwrap();
        assert!(matches!(state, ViewState::Current { key, .. } if key == VIEW));
        assert_eq!(bench.lake.get_bytes(VIEW).await.unwrap().as_ref(), b"one");
        publish(&table, &table.claim(&request(2)).await.unwrap(), &["one", "two"]).await.unwrap();
        let state = table.project_live(&window()).await.unwrap();
        assert!(matches!(state, ViewState::SeveralFiles { files: 2, .. }), "{backend:?}");
        assert!(bench.lake.get_bytes(VIEW).await.is_err(), "{backend:?}: a stale view is removed");
        bench.assert_only_legal_writes().await;
    }
}

#[tokio::test]
async fn a_view_that_is_right_is_read_once() {
    for backend in Backend::NEAR {
        let bench = Bench::new(backend).await;
        let table = bench.table().await;
        publish(&table, &table.claim(&request(1)).await.unwrap(), &["one"]).await.unwrap();
        table.project_live(&window()).await.unwrap();
        table.project_manifest(&window(), "s3://bucket/lake").await.unwrap();
        for view in [VIEW, "symlink/clean/flights/day=2013-01-01/manifest"] {
            let before = bench.store.log().len();
            if view == VIEW {
                table.project_live(&window()).await.unwrap();
            } else {
                table.project_manifest(&window(), "s3://bucket/lake").await.unwrap();
            }
            let log = bench.store.log().split_off(before);
            let reads = log.iter().filter(|operation| operation.key == view).collect::<Vec<_>>();
            assert!(reads.len() == 1 && reads[0].kind == Kind::Get, "{backend:?}: {reads:?}");
        }
    }
}

#[tokio::test]
async fn a_damaged_or_foreign_view_is_healed_without_touching_the_head() {
    let bench = Bench::new(Backend::LocalDisk).await;
    let table = bench.table().await;
    publish(&table, &table.claim(&request(1)).await.unwrap(), &["one"]).await.unwrap();
    let view = bench.folder.as_ref().unwrap().path().join(VIEW);
    std::fs::create_dir_all(view.parent().unwrap()).unwrap();
    std::fs::write(&view, "foreign").unwrap();
    table.project_live(&window()).await.unwrap();
    assert_eq!(std::fs::read(&view).unwrap(), b"one");
    table.verify_head(&table.require_head(&window()).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_slow_reconcile_never_leaves_an_older_view_than_a_quick_one() {
    for backend in Backend::ALL {
        let mut operation = 0;
        while overtaken_at(backend, operation).await {
            operation += 1;
        }
        println!("{backend:?}: overtaken at each of {operation} operations");
        assert!(operation >= 6);
    }
}

/// Stops a reconcile before its n-th operation, lets another process publish and reconcile, and goes on. Returns
/// whether there is such an operation.
async fn overtaken_at(backend: Backend, operation: usize) -> bool {
    let mut bench = Bench::new(backend).await;
    let table = bench.table().await;
    publish(&table, &table.claim(&request(1)).await.unwrap(), &["old"]).await.unwrap();
    let table = bench.restarted().await;
    let gate = bench.store.gate(operation);
    let slow = tokio::spawn({
        let table = table.clone();
        async move { table.project_live(&window()).await.unwrap() }
    });
    let is_there = gate.stops(&slow).await;
    if is_there {
        let quick = open(&bench.other_process()).await.unwrap();
        publish(&quick, &quick.claim(&request(2)).await.unwrap(), &["new"]).await.unwrap();
        quick.project_live(&window()).await.unwrap();
        gate.go.notify_one();
    }
    slow.await.unwrap();
    bench.store.heal();
    let expected: &[u8] = if is_there { b"new" } else { b"old" };
    assert_eq!(bench.lake.get_bytes(VIEW).await.unwrap(), expected, "{backend:?} {operation}");
    is_there
}
