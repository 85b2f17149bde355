//! The symlink manifest lists the head's files and nothing else, and changes as a whole.

use windrow_core::ledger::Reason;
use windrow_core::{ErrorKind, Result};
use windrow_lake::{ClaimRequest, Lake, LakeTable, ManifestState};

use crate::aging::{AgingBench, EACH};
use crate::fault::Fault;
use crate::support::{Backend, open, publish, reopen, request, window};

const KEY: &str = "symlink/clean/flights/day=2013-01-01/manifest";
const BASE: &str = "s3://bucket/lake/";

async fn text(bench: &AgingBench) -> Option<String> {
    let read = bench.other().get_bytes(KEY).await;
    match read {
        Ok(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InputMissing);
            None
        }
    }
}

/// The manifest of the head, spelled by hand.
async fn expected(table: &LakeTable) -> Option<String> {
    let head = table.resolve(&window()).await.unwrap()?;
    Some(head.files.iter().map(|file| format!("s3://bucket/lake/{}\n", file.key)).collect())
}

/// All that a process does that begins now.
async fn project(lake: &Lake) -> Result<ManifestState> {
    reopen(lake).await?.project_manifest(&window(), BASE).await
}

#[tokio::test]
async fn the_manifest_follows_the_head_and_goes_with_it() {
    for backend in EACH {
        let bench = AgingBench::new(backend).await;
        let table = bench.table().await;
        let project = async || table.project_manifest(&window(), BASE).await;
        assert_eq!((project().await.unwrap(), text(&bench).await), (ManifestState::NotPublished, None));
        let first = publish(&table, &table.claim(&request(1)).await.unwrap(), &["a", "b"]).await.unwrap();
        let state = ManifestState::Current { epoch: first, key: KEY.into(), files: 2 };
        assert_eq!(project().await.unwrap(), state, "{backend:?}");
        let two = text(&bench).await.unwrap();
        assert_eq!((Some(&two), two.lines().count()), (expected(&table).await.as_ref(), 2), "{backend:?}");
        publish(&table, &table.claim(&request(2)).await.unwrap(), &["c"]).await.unwrap();
        assert_eq!(text(&bench).await, Some(two), "old until it is projected");
        project().await.unwrap();
        assert_eq!(text(&bench).await, expected(&table).await);
        bench.plant(KEY, "s3://elsewhere/x\n").await;
        project().await.unwrap();
        assert_eq!(text(&bench).await, expected(&table).await, "{backend:?}: healed");
        let back = table.claim(&ClaimRequest { reason: Reason::Retract, ..request(3) }).await.unwrap();
        table.retract(&back).await.unwrap();
        assert_eq!((project().await.unwrap(), text(&bench).await), (ManifestState::NotPublished, None));
        bench.assert_only_legal_writes().await;
    }
}

#[tokio::test]
async fn a_base_that_is_no_uri_is_refused_and_a_head_without_its_files_is_not_shown() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    let refused = table.project_manifest(&window(), "/srv/lake").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Misconfigured);
    publish(&table, &table.claim(&request(1)).await.unwrap(), &["a"]).await.unwrap();
    let head = table.require_head(&window()).await.unwrap();
    bench.plant(&head.files[0].key, "longer than it was").await;
    let damaged = table.project_manifest(&window(), BASE).await.unwrap_err();
    assert_eq!((damaged.kind(), text(&bench).await), (ErrorKind::CorruptInput, None));
}

#[tokio::test]
async fn a_fault_leaves_the_old_manifest_or_the_new_one() {
    for backend in Backend::NEAR {
        let mut operation = 0;
        'operations: loop {
            for fault in Fault::ANSWERED {
                let mut bench = AgingBench::new(backend).await;
                let table = bench.table().await;
                publish(&table, &table.claim(&request(1)).await.unwrap(), &["a", "b"]).await.unwrap();
                table.project_manifest(&window(), BASE).await.unwrap();
                let old = text(&bench).await;
                publish(&table, &table.claim(&request(2)).await.unwrap(), &["c", "d"]).await.unwrap();
                let new = expected(&table).await;
                bench.restart();
                bench.store.plan(operation, fault);
                let faulty = project(&bench.lake).await;
                let is_there = bench.store.operations() > operation;
                bench.store.heal();
                bench.restart();
                let found = text(&bench).await;
                assert!(found == old || found == new, "{backend:?} {operation} {fault:?}: {found:?}");
                assert!(faulty.is_err() || found == new, "{backend:?} {operation} {fault:?}");
                bench.table().await.project_manifest(&window(), BASE).await.unwrap();
                assert_eq!(text(&bench).await, new, "{backend:?} {operation} {fault:?}");
                if !is_there {
                    break 'operations;
                }
            }
            operation += 1;
        }
        println!("{backend:?}: a manifest survives {} faults at each of {operation} operations", Fault::ANSWERED.len());
        assert!(operation > 8);
    }
}

#[tokio::test]
async fn a_slow_projection_never_leaves_an_older_manifest_than_a_quick_one() {
    for backend in Backend::NEAR {
        let mut operation = 0;
        loop {
            let mut bench = AgingBench::new(backend).await;
            let table = bench.table().await;
            publish(&table, &table.claim(&request(1)).await.unwrap(), &["a", "b"]).await.unwrap();
            bench.restart();
            let gate = bench.store.gate(operation);
            let slow = tokio::spawn({
                let lake = bench.lake.clone();
                async move { project(&lake).await.unwrap() }
            });
            let is_there = gate.stops(&slow).await;
            if !is_there {
                break;
            }
            let quick = open(&bench.other()).await.unwrap();
            publish(&quick, &quick.claim(&request(2)).await.unwrap(), &["c"]).await.unwrap();
            quick.project_manifest(&window(), BASE).await.unwrap();
            gate.go.notify_one();
            slow.await.unwrap();
            assert_eq!(text(&bench).await, expected(&table).await, "{backend:?} {operation}");
            operation += 1;
        }
        println!("{backend:?}: overtaken at each of {operation} operations");
        assert!(operation > 8);
    }
}
