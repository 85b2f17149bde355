//! What a process has read of the ledger it does not read again; what was not there it does.

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
async fn a_document_is_read_once_and_one_that_is_not_there_is_asked_for_again() {
    for backend in Backend::NEAR {
        let mut bench = Bench::new(backend).await;
        let other = open(&bench.other_process()).await.unwrap();
        let table = bench.restarted().await;
        for number in 1..=3 {
            assert_eq!(table.resolve(&window()).await.unwrap().map_or(0, |head| head.epoch.get()), number - 1);
            let claimed = other.claim(&request(number.try_into().unwrap())).await.unwrap();
            assert!(table.passed_check(&window(), claimed.epoch()).await.is_err(), "nothing is checked yet");
            publish(&other, &claimed, &["rows"]).await.unwrap();
            table.passed_check(&window(), claimed.epoch()).await.unwrap();
            table.project_live(&window()).await.unwrap();
            assert_eq!(table.window_history(&window()).await.unwrap().len() as u64, number);
            assert_eq!(bench.table().await.require_head(&window()).await.unwrap().epoch, claimed.epoch());
        }
        let reads = reads(&bench.store);
        assert_eq!(reads.len(), 13, "format, and four registers of three epochs: {reads:?}");
        let expected = |key: &str| if key.ends_with("staged.json") { 2 } else { 1 };
        assert!(reads.iter().all(|(key, count)| *count == expected(key)), "staged was asked for too early once: {reads:?}");
    }
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
