//! Every store operation of a window's trip fails in every way, and a clean rerun makes it whole.

use windrow_core::ErrorKind;
use windrow_lake::ViewState;

use crate::fault::Fault;
use crate::support::{Backend, Bench, run_window, window};

async fn operations_of_one_run(backend: Backend) -> usize {
    let bench = Bench::new(backend).await;
    run_window(&bench.lake, 1).await.unwrap();
    bench.store.operations()
}

/// One fault, then a new process. Returns whether the faulty run succeeded all the same.
async fn survives(backend: Backend, operation: usize, fault: Fault) -> bool {
    let at = format!("{backend:?} operation {operation} {fault:?}");
    let mut bench = Bench::new(backend).await;
    bench.store.plan(operation, fault);
    let faulty = run_window(&bench.lake, 1).await;
    bench.store.heal();
    bench.restart();
    let table = bench.table().await;
    let before = table.resolve(&window()).await.unwrap();
    if let Err(error) = &faulty {
        assert_eq!(error.kind(), ErrorKind::Transient, "{at}: {error}");
    } else {
        assert!(before.is_some(), "{at}: success without a head");
    }
    let (epoch, view) = run_window(&bench.lake, 2).await.unwrap();
    let head = table.require_head(&window()).await.unwrap();
    assert!(before.is_none_or(|before| before.epoch == epoch), "{at}: a rerun of a published window is a no-op");
    assert_eq!((head.epoch, head.files.len(), head.rows), (epoch, 1, 1), "{at}");
    table.verify_head(&head).await.unwrap();
    let ViewState::Current { key, .. } = view else { panic!("{at}: {view:?}") };
    assert_eq!(bench.lake.get_bytes(&key).await.unwrap().as_ref(), b"clean bytes", "{at}");
    let published = table.window_history(&window()).await.unwrap().into_iter().filter(|state| state.outcome.is_some()).count();
    assert_eq!(published, 1, "{at}");
    bench.assert_only_legal_writes().await;
    faulty.is_ok()
}

async fn every_fault_is_survived(backend: Backend) {
    let operations = operations_of_one_run(backend).await;
    let mut absorbed = 0;
    for operation in 0..operations {
        for fault in Fault::ALL {
            absorbed += usize::from(survives(backend, operation, fault).await);
        }
    }
    let points = operations * Fault::ALL.len();
    println!(
        "{backend:?}: {operations} operations x {} faults = {points} points survived, {absorbed} unnoticed",
        Fault::ALL.len()
    );
    assert!(operations > 20 && absorbed > 0 && absorbed < points);
}

#[tokio::test]
async fn every_fault_in_memory_is_survived() {
    every_fault_is_survived(Backend::Memory).await;
}

#[tokio::test]
async fn every_fault_on_local_disk_is_survived() {
    every_fault_is_survived(Backend::LocalDisk).await;
}
