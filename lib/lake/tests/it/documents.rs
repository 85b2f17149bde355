//! Which documents of the ledger are read.

use std::collections::BTreeMap;

use windrow_core::ErrorKind;

use crate::fault::{FaultStore, Kind};
use crate::support::{Backend, Bench, open, publish, request, window};

/// How often each document of the ledger was asked for.
fn reads(store: &FaultStore) -> BTreeMap<String, usize> {
    let mut reads = BTreeMap::new();
    for operation in store.log() {
        if operation.kind == Kind::Get && (operation.key.contains("/ledger/") || operation.key.ends_with("format.json")) {
            *reads.entry(operation.key).or_default() += 1;
        }
    }
    reads
}

#[tokio::test]
async fn of_a_window_that_was_run_often_only_the_newest_epochs_are_read() {
    let mut bench = Bench::new(Backend::Memory).await;
    let other = open(&bench.other_process()).await.unwrap();
    for number in 1..=20 {
        publish(&other, &other.claim(&request(number)).await.unwrap(), &["rows"]).await.unwrap();
    }
    other.claim(&request(21)).await.unwrap();
    let table = bench.restarted().await;
    let staged = table.newest_epoch(&window(), |state| state.staged.is_some()).await.unwrap().unwrap();
    assert_eq!(staged.epoch.get(), 20);
    table.require_head(&window()).await.unwrap();
    assert_eq!(table.compactable(&window()).await.unwrap_err().kind(), ErrorKind::Transient, "a run is at work");
    let reads = reads(&bench.store);
    assert_eq!(reads.len(), 6, "format, four registers and a claim: {reads:?}");
    assert!(table.newest_epoch(&window(), |_| false).await.unwrap().is_none());
}
