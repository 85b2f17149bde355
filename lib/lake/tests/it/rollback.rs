//! Rollback: an older version's very bytes become a new epoch, by the ordinary path.

use std::collections::BTreeSet;

use bytes::Bytes;
use windrow_core::gate::Status;
use windrow_core::ledger::{Decision, ErrorClass, Reason, Staged, Stored};
use windrow_core::{Code, Epoch, ErrorKind, Result};
use windrow_lake::{ClaimRequest, Claimed, GcPolicy, Lake, LakeTable};

use crate::aging::{AgingBench, DAY, EACH};
use crate::fault::Fault;
use crate::support::{Backend, check, open, publish, request, window};

fn rollback_request(number: u32) -> ClaimRequest {
    ClaimRequest { reason: Reason::Rollback, ..request(number) }
}

fn epoch(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

/// Two published versions, the first of two files.
async fn two_versions(table: &LakeTable) {
    publish(table, &table.claim(&request(1)).await.unwrap(), &["good", "better"]).await.unwrap();
    publish(table, &table.claim(&request(2)).await.unwrap(), &["bad"]).await.unwrap();
}

async fn decide(table: &LakeTable, claimed: &Claimed, staged: &Stored<Staged>) -> Result<Epoch> {
    table.put_check(claimed, check(staged, Status::Pass)).await?;
    table.publish(&table.passed_check(&window(), claimed.epoch()).await?).await?;
    Ok(claimed.epoch())
}

async fn roll_back(table: &LakeTable, number: u32, source: Epoch) -> Result<Epoch> {
    let (claimed, staged) = table.stage_rollback(&rollback_request(number), source).await?;
    decide(table, &claimed, &staged).await
}

async fn texts(lake: &Lake, table: &LakeTable) -> Vec<Bytes> {
    let mut texts = Vec::new();
    for file in table.require_head(&window()).await.unwrap().files {
        texts.push(lake.get_bytes(&file.key).await.unwrap());
    }
    texts
}

#[tokio::test]
async fn an_older_version_comes_back_byte_for_byte_as_a_new_epoch() {
    for backend in EACH {
        let bench = AgingBench::new(backend).await;
        let table = bench.table().await;
        two_versions(&table).await;
        let before = bench.files().await;
        let source = table.window_history(&window()).await.unwrap()[0].staged.clone().unwrap();
        let (claimed, staged) = table.stage_rollback(&rollback_request(3), epoch(1)).await.unwrap();
        assert_eq!(table.require_head(&window()).await.unwrap().epoch, epoch(2), "staged is not visible");
        let (old, new) = (source.document(), staged.document());
        assert_eq!((&new.content_sha256, &new.contract, new.rows), (&old.content_sha256, &old.contract, old.rows));
        assert_eq!((&new.inputs, &new.inputs_sha256), (&old.inputs, &old.inputs_sha256));
        assert_eq!(claimed.claim().document().reason, Reason::Rollback);
        decide(&table, &claimed, &staged).await.unwrap();
        let head = table.require_head(&window()).await.unwrap();
        assert_eq!((head.epoch, head.files.len(), head.rows), (epoch(3), 2, 2), "{backend:?}");
        table.verify_head(&head).await.unwrap();
        assert_eq!(texts(&bench.lake, &table).await, ["good", "better"]);
        assert!(bench.files().await.is_superset(&before) && bench.files().await.len() == before.len() + 2);
        let again = roll_back(&table, 4, epoch(2)).await.unwrap();
        assert_eq!((again, texts(&bench.lake, &table).await), (epoch(4), vec![Bytes::from_static(b"bad")]));
        bench.assert_only_legal_writes().await;
    }
}

#[tokio::test]
async fn a_copy_outlives_its_source() {
    for backend in EACH {
        let bench = AgingBench::new(backend).await;
        let table = bench.table().await;
        two_versions(&table).await;
        roll_back(&table, 3, epoch(1)).await.unwrap();
        bench.pass(DAY * 31);
        let plan = bench.lake.plan_gc(&GcPolicy::default(), None).await.unwrap();
        let report = bench.lake.run_gc(&plan, &GcPolicy::default(), None).await.unwrap();
        assert_eq!(report.deleted.len(), 3, "{backend:?}");
        table.verify_head(&table.require_head(&window()).await.unwrap()).await.unwrap();
        let gone = table.stage_rollback(&rollback_request(4), epoch(2)).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::InputMissing, "{gone}");
        assert!(gone.message().contains("a file of epoch 2 of window 2013-01-01 is gone"), "{gone}");
        assert_eq!(table.window_history(&window()).await.unwrap().len(), 3, "{backend:?}: no epoch is claimed for nothing");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_local_copy_is_a_file_of_its_own() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open_local(folder.path()).unwrap();
    std::fs::create_dir_all(folder.path().join("raw/flights/2013-01-01")).unwrap();
    let table = open(&lake).await.unwrap();
    two_versions(&table).await;
    roll_back(&table, 3, epoch(1)).await.unwrap();
    for file in table.require_head(&window()).await.unwrap().files {
        assert_eq!(std::fs::metadata(folder.path().join(&file.key)).unwrap().nlink(), 1, "no link to the source");
    }
    table.verify_head(&table.require_head(&window()).await.unwrap()).await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("store/tmp/create")).unwrap().count(), 0);
}

#[tokio::test]
async fn only_a_published_version_is_a_source() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    two_versions(&table).await;
    let third = table.claim(&request(3)).await.unwrap();
    let class = ErrorClass::of_code(Code::MissingColumn);
    table.quarantine(&third, Some(&class), Bytes::from_static(b"{}"), None).await.unwrap();
    table.claim(&request(4)).await.unwrap();
    for (source, state) in [(3, "quarantined"), (4, "not decided"), (99, "not decided")] {
        let error = table.stage_rollback(&rollback_request(5), epoch(source)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.message().contains(&format!("epoch {source} of window 2013-01-01 is {state}")), "{error}");
        assert_eq!(error.help_text(), Some("published epochs of this window: 1, 2"));
    }
    let error = table.stage_rollback(&request(5), epoch(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "the claim must say what it is");
    assert_eq!(table.window_history(&window()).await.unwrap().len(), 4, "nothing was claimed");
}

#[tokio::test]
async fn a_damaged_source_is_found_before_anything_is_staged() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    two_versions(&table).await;
    let source = table.window_history(&window()).await.unwrap()[0].staged.clone().unwrap();
    bench.plant(&table.file_key(&source.document().files[0]), "evil").await;
    let error = table.stage_rollback(&rollback_request(3), epoch(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptInput, "{error}");
    bench.plant(&table.file_key(&source.document().files[0]), "longer than it was").await;
    let error = table.stage_rollback(&rollback_request(4), epoch(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InputMissing, "{error}");
    assert_eq!(table.require_head(&window()).await.unwrap().epoch, epoch(2));
    assert!(table.window_history(&window()).await.unwrap()[2].staged.is_none());
}

#[tokio::test]
async fn a_rolled_back_head_is_current_for_the_same_inputs_configuration_and_code() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    two_versions(&table).await;
    roll_back(&table, 3, epoch(1)).await.unwrap();
    let (kept, _) = crate::support::run_window(&bench.lake, request(4), "clean bytes").await.unwrap();
    assert_eq!(kept, epoch(3), "a plain run does not undo it");
}

/// One fault, then a new process that does it again. Returns whether there is such an operation.
async fn survives(backend: Backend, operation: usize, fault: Fault) -> bool {
    let at = format!("{backend:?} operation {operation} {fault:?}");
    let mut bench = AgingBench::new(backend).await;
    let table = bench.table().await;
    two_versions(&table).await;
    let table = bench.restarted().await;
    bench.store.plan(operation, fault);
    let faulty = roll_back(&table, 3, epoch(1)).await;
    let is_there = bench.store.operations() > operation;
    bench.store.heal();
    bench.restart();
    let table = bench.table().await;
    let head = table.require_head(&window()).await.unwrap();
    table.verify_head(&head).await.unwrap();
    match &faulty {
        Ok(rolled) => assert_eq!(head.epoch, *rolled, "{at}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Transient, "{at}: {error}"),
    }
    let again = roll_back(&table, 4, epoch(1)).await.unwrap();
    let head = table.require_head(&window()).await.unwrap();
    assert_eq!((head.epoch, head.files.len()), (again, 2), "{at}");
    table.verify_head(&head).await.unwrap();
    let published = table.window_history(&window()).await.unwrap().into_iter().filter_map(|state| state.outcome);
    assert!(published.map(|outcome| outcome.document().decision).all(|decision| decision == Decision::Published), "{at}");
    bench.assert_only_legal_writes().await;
    is_there
}

async fn every_fault_is_survived(backend: Backend) {
    let struck = Fault::at_every_operation(async |operation, fault| survives(backend, operation, fault).await).await;
    println!("{backend:?}: rollback survives {} faults at each of {struck} operations", Fault::ANSWERED.len());
    assert!(struck > 15);
}

#[tokio::test]
async fn every_fault_during_a_rollback_in_memory_is_survived() {
    every_fault_is_survived(Backend::Memory).await;
}

#[tokio::test]
async fn every_fault_during_a_rollback_on_local_disk_is_survived() {
    every_fault_is_survived(Backend::LocalDisk).await;
}

/// Stops a rollback before its n-th operation, and publishes another run or collects garbage meanwhile.
async fn overtaken_at(backend: Backend, operation: usize) -> bool {
    let mut bench = AgingBench::new(backend).await;
    let table = bench.table().await;
    two_versions(&table).await;
    bench.pass(DAY * 31);
    let table = bench.restarted().await;
    let gate = bench.store.gate(operation);
    let slow = tokio::spawn({
        let table = table.clone();
        async move { roll_back(&table, 3, epoch(1)).await }
    });
    let is_there = gate.stops(&slow).await;
    let quick = open(&bench.other()).await.unwrap();
    let run = publish(&quick, &quick.claim(&request(9)).await.unwrap(), &["run"]).await.unwrap();
    let plan = bench.other().plan_gc(&GcPolicy::default(), None).await.unwrap();
    bench.other().run_gc(&plan, &GcPolicy::default(), None).await.unwrap();
    gate.go.notify_one();
    let rolled = slow.await.unwrap();
    let expected: BTreeSet<Epoch> = [run].into_iter().chain(rolled.as_ref().ok().copied()).collect();
    let head = table.require_head(&window()).await.unwrap();
    assert_eq!(Some(&head.epoch), expected.last(), "{backend:?} {operation}: the last claimed is the head");
    table.verify_head(&head).await.unwrap();
    if let Err(error) = rolled {
        assert_eq!(error.kind(), ErrorKind::InputMissing, "{backend:?} {operation}: {error}");
    }
    is_there
}

#[tokio::test]
async fn a_rollback_that_is_overtaken_loses_or_wins_whole() {
    for backend in Backend::NEAR {
        let mut operation = 0;
        while overtaken_at(backend, operation).await {
            operation += 1;
        }
        println!("{backend:?}: overtaken at each of {operation} operations");
        assert!(operation > 15);
    }
}
