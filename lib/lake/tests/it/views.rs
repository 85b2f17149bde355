//! The live view is old or new, never a mix, and equals the head after a quiet reconcile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use windrow_lake::ViewState;

use crate::support::{Backend, Bench, publish, request, window};

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
