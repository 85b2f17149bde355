//! Garbage collection among faults, slow writers and a second collection: none of them makes it take too much.

use std::collections::BTreeSet;

use bytes::Bytes;
use windrow_core::ErrorKind;
use windrow_core::gate::Status;
use windrow_lake::{ClaimRequest, GcPolicy, LakeTable};

use crate::aging::{AgingBench, DAY, publish_in, second_window};
use crate::fault::{Fault, Kind};
use crate::gc::{collect, eventful_window, plan};
use crate::support::{Backend, check, publish, request, stage, window};

/// 1 published, 2 left undecided, 3 published: the least that plans, aborts and deletes. A disk is slow to flush.
async fn short_window(table: &LakeTable) {
    publish(table, &table.claim(&request(1)).await.unwrap(), &["version 1"]).await.unwrap();
    let second = table.claim(&request(2)).await.unwrap();
    table.stage_part(&second, 0, Bytes::from_static(b"left"), 1, serde_json::Value::Null).await.unwrap();
    publish(table, &table.claim(&request(3)).await.unwrap(), &["version 3"]).await.unwrap();
}

/// One fault at one operation of plan and run, then a new process. Returns whether there is such an operation.
async fn survives(backend: Backend, operation: usize, fault: Fault) -> bool {
    let at = format!("{backend:?} operation {operation} {fault:?}");
    let mut bench = AgingBench::new(backend).await;
    let table = bench.table().await;
    match backend {
        Backend::Memory => eventful_window(&table).await,
        _ => short_window(&table).await,
    }
    bench.pass(DAY * 31);
    bench.restart();
    bench.store.plan(operation, fault);
    let faulty = collect(&bench.lake).await;
    let is_there = bench.store.operations() > operation;
    bench.store.heal();
    bench.restart();
    if let Err(error) = &faulty {
        assert_eq!(error.kind(), ErrorKind::Transient, "{at}: {error}");
    }
    let table = bench.table().await;
    let head = table.require_head(&window()).await.unwrap();
    table.verify_head(&head).await.unwrap();
    collect(&bench.lake).await.unwrap();
    assert_eq!(bench.files().await, BTreeSet::from([head.files[0].key.clone()]), "{at}: a second run finishes");
    let history = table.window_history(&window()).await.unwrap();
    assert!(history.last().map(|state| state.epoch) == Some(head.epoch), "{at}");
    assert!(history.iter().all(|state| state.claim.is_some() && state.outcome.is_some()), "{at}: no register is gone");
    bench.pass(DAY);
    collect(&bench.lake).await.unwrap();
    assert!(bench.keys().await.iter().all(|key| !key.starts_with("store/tmp/")), "{at}: probes go too");
    bench.assert_only_legal_writes().await;
    is_there
}

#[tokio::test]
async fn a_refused_delete_leaves_a_report_of_what_was_done() {
    let (mut operation, mut refused) = (0, 0);
    loop {
        let mut bench = AgingBench::new(Backend::Memory).await;
        let table = bench.table().await;
        eventful_window(&table).await;
        for number in [7, 8] {
            let request = ClaimRequest { window: second_window(), ..request(number) };
            publish_in(&table, &table.claim(&request).await.unwrap(), &["b"]).await.unwrap();
        }
        bench.pass(DAY * 31);
        bench.restart();
        let plan = plan(&bench.lake).await;
        assert_eq!(plan.items.len(), 8);
        bench.store.plan(operation, Fault::Refused);
        let Ok(report) = bench.lake.run_gc(&plan, &GcPolicy::default(), None).await else {
            operation += 1;
            continue;
        };
        let Some(struck) = bench.store.struck() else { break };
        let at = format!("operation {operation} {struck:?}");
        let (deleted, left) = (&report.deleted, &report.left);
        assert_eq!(deleted.len() + left.len(), plan.items.len(), "{at}: every item is in the report");
        let there = bench.keys().await;
        assert!(deleted.iter().all(|item| !there.contains(&item.key.to_string())), "{at}: reported deleted and there");
        assert!(left.iter().all(|item| there.contains(&item.key.to_string())), "{at}: gone and not reported");
        let history = table.window_history(&window()).await.unwrap();
        let is_aborted = history[4].outcome.is_some();
        assert_eq!(report.aborted.len(), usize::from(is_aborted), "{at}");
        if let Some(error) = &report.failure {
            assert_eq!(error.kind(), ErrorKind::Transient, "{at}: {error}");
            assert!(!left.is_empty(), "{at}");
        }
        if struck.kind == Kind::Delete {
            refused += 1;
            let error = report.failure.unwrap().to_string();
            assert!(error.contains(&struck.key), "{at}: {error}");
            assert!(left.len() <= 2, "{at}: the other keys of the window go, the next window is not come to");
        }
        operation += 1;
    }
    assert_eq!(refused, 8, "each delete but the clock's was refused once");
}

async fn every_fault_is_survived(backend: Backend) {
    let struck = Fault::at_every_operation(async |operation, fault| survives(backend, operation, fault).await).await;
    println!("{backend:?}: gc survives {} faults at each of {struck} operations", Fault::ANSWERED.len());
    assert!(struck > 20);
}

#[tokio::test]
async fn every_fault_during_collection_in_memory_is_survived() {
    every_fault_is_survived(Backend::Memory).await;
}

#[tokio::test]
async fn every_fault_during_collection_on_local_disk_is_survived() {
    every_fault_is_survived(Backend::LocalDisk).await;
}

/// Stops a collection before its n-th operation, and lets the slow attempt publish. Returns whether there is such an
/// operation, and whether the attempt won.
async fn published_meanwhile(backend: Backend, operation: usize) -> (bool, bool) {
    let mut bench = AgingBench::new(backend).await;
    let table = bench.table().await;
    publish(&table, &table.claim(&request(1)).await.unwrap(), &["old"]).await.unwrap();
    let slow = table.claim(&request(2)).await.unwrap();
    let staged = stage(&table, &slow, &["new", "newer"]).await.unwrap();
    table.put_check(&slow, check(&staged, Status::Pass)).await.unwrap();
    bench.pass(DAY * 2);
    bench.restart();
    let gate = bench.store.gate(operation);
    let gc = tokio::spawn({
        let lake = bench.lake.clone();
        async move { collect(&lake).await.unwrap() }
    });
    let is_there = gate.stops(&gc).await;
    let other = crate::support::open(&bench.other()).await.unwrap();
    let published = match other.passed_check(&window(), slow.epoch()).await {
        Ok(passed) => other.publish(&passed).await,
        Err(error) => Err(error),
    };
    gate.go.notify_one();
    let (_, report) = gc.await.unwrap();
    bench.store.heal();
    let head = table.require_head(&window()).await.unwrap();
    table.verify_head(&head).await.unwrap();
    let won = published.is_ok();
    assert_eq!(head.epoch == slow.epoch(), won, "{backend:?} {operation}");
    assert_eq!(report.deleted.is_empty(), won, "{backend:?} {operation}");
    if let Err(error) = published {
        assert_eq!(error.kind(), ErrorKind::Fenced, "{backend:?} {operation}");
    }
    (is_there, won)
}

#[tokio::test]
async fn an_attempt_that_publishes_during_collection_wins_whole_or_is_fenced() {
    for backend in Backend::NEAR {
        let (mut operation, mut wins) = (0, 0);
        loop {
            let (is_there, won) = published_meanwhile(backend, operation).await;
            if !is_there {
                break;
            }
            wins += usize::from(won);
            operation += 1;
        }
        println!("{backend:?}: the attempt won at {wins} of {operation} operations");
        assert!(wins > 0 && wins < operation);
    }
}

#[tokio::test]
async fn two_collections_at_once_do_no_harm() {
    for backend in Backend::NEAR {
        let mut operation = 0;
        loop {
            let mut bench = AgingBench::new(backend).await;
            let table = bench.table().await;
            eventful_window(&table).await;
            bench.pass(DAY * 31);
            bench.restart();
            let gate = bench.store.gate(operation);
            let slow = tokio::spawn({
                let lake = bench.lake.clone();
                async move { collect(&lake).await.unwrap() }
            });
            let is_there = gate.stops(&slow).await;
            collect(&bench.other()).await.unwrap();
            gate.go.notify_one();
            slow.await.unwrap();
            let head = table.require_head(&window()).await.unwrap();
            table.verify_head(&head).await.unwrap();
            assert_eq!(bench.files().await.len(), 1, "{backend:?} {operation}");
            if !is_there {
                break;
            }
            operation += 1;
        }
        assert!(operation > 10);
    }
}
