//! Compaction: the rows of a head in other files become a new epoch, and never rows that another run replaced.

use bytes::Bytes;
use windrow_core::gate::Status;
use windrow_core::ledger::{DecidedBy, Decision, ErrorClass, InputEntry, Reason};
use windrow_core::{Code, Epoch, ErrorKind, Result};
use windrow_lake::{ClaimRequest, GcPolicy, Head, Lake, LakeTable};

use crate::aging::{AgingBench, DAY, EACH};
use crate::fault::Fault;
use crate::support::{Backend, check, open, publish, request, run_window, stage, window};

const SMALL: [&str; 3] = ["one\n", "two\n", "three\n"];

fn compact_request(number: u32) -> ClaimRequest {
    ClaimRequest {
        reason: Reason::Compact,
        code: windrow_core::ledger::CodeVersion { version: "9".into(), git: None },
        ..request(number)
    }
}

fn epoch(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

async fn rows(lake: &Lake, head: &Head) -> String {
    let mut text = String::new();
    for file in &head.files {
        text.push_str(std::str::from_utf8(&lake.get_bytes(&file.key).await.unwrap()).unwrap());
    }
    text
}

/// A version of three small files.
async fn small(table: &LakeTable) -> Epoch {
    publish(table, &table.claim(&request(1)).await.unwrap(), &SMALL).await.unwrap()
}

/// The whole trip: the files of the head joined to one.
async fn compact(table: &LakeTable, number: u32) -> Result<Epoch> {
    let head = table.compactable(&window()).await?;
    assert!(!head.files.is_empty());
    let (claimed, head) = table.claim_to_compact(&compact_request(number)).await?;
    let mut joined = Vec::new();
    for file in &head.files {
        joined.extend_from_slice(&table.get_verified(file).await?);
    }
    let file = table.stage_part(&claimed, 0, Bytes::from(joined), head.rows, serde_json::Value::Null).await?;
    let staged = table.put_compacted(&claimed, &head, vec![file]).await?;
    table.put_check(&claimed, check(&staged, Status::Pass)).await?;
    table.publish(&table.passed_check(&window(), claimed.epoch()).await?).await?;
    Ok(claimed.epoch())
}

#[tokio::test]
async fn a_compacted_head_holds_the_same_rows_and_says_who_computed_them() {
    for backend in EACH {
        let bench = AgingBench::new(backend).await;
        let table = bench.table().await;
        small(&table).await;
        let before = table.require_head(&window()).await.unwrap();
        assert_eq!(compact(&table, 2).await.unwrap(), epoch(2), "{backend:?}");
        let head = table.require_head(&window()).await.unwrap();
        assert_eq!((head.epoch, head.files.len(), head.rows), (epoch(2), 1, 3));
        assert_eq!(rows(&bench.lake, &head).await, rows(&bench.lake, &before).await);
        let (old, new) = (before.staged.document(), head.staged.document());
        assert_eq!((&new.inputs, &new.contract, new.rows), (&old.inputs, &old.contract, old.rows));
        assert_eq!((head.claim.document().reason, new.compacts), (Reason::Compact, Some(epoch(1))));
        assert_eq!((head.computed_in(), head.made_by()), (epoch(1), before.claim.document()), "not of the compaction");
        let read: Vec<InputEntry> = head.origin.as_ref().unwrap().entries();
        let keys: Vec<(&str, Option<&str>)> = read.iter().map(|entry| (entry.key.as_str(), entry.etag.as_deref())).collect();
        let files: Vec<(&str, Option<&str>)> =
            before.files.iter().map(|file| (file.key.as_str(), Some(file.sha256.as_str()))).collect();
        assert_eq!(keys, files, "what read the window before read the same");
        let (kept, _) = run_window(&bench.lake, request(3), "another").await.unwrap();
        assert_eq!(kept, epoch(2), "a plain run does not undo it, though the compaction was of another program");
        bench.assert_only_legal_writes().await;
    }
}

#[tokio::test]
async fn what_is_compacted_twice_still_names_the_epoch_that_computed_it() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    small(&table).await;
    compact(&table, 2).await.unwrap();
    compact(&table, 3).await.unwrap();
    let head = table.require_head(&window()).await.unwrap();
    assert_eq!((head.epoch, head.computed_in()), (epoch(3), epoch(1)));
}

#[tokio::test]
async fn a_compacted_head_outlives_the_files_it_was_made_of() {
    for backend in EACH {
        let bench = AgingBench::new(backend).await;
        let table = bench.table().await;
        small(&table).await;
        compact(&table, 2).await.unwrap();
        bench.pass(DAY * 31);
        let plan = bench.lake.plan_gc(&GcPolicy::default(), None).await.unwrap();
        let report = bench.lake.run_gc(&plan, &GcPolicy::default(), None).await.unwrap();
        assert_eq!(report.deleted.len(), 3, "{backend:?}");
        let head = table.require_head(&window()).await.unwrap();
        table.verify_head(&head).await.unwrap();
        assert_eq!(head.origin.unwrap().entries().len(), 3, "{backend:?}: the registers stay");
        assert_eq!(run_window(&bench.lake, request(3), "another").await.unwrap().0, epoch(2));
    }
}

#[tokio::test]
async fn an_earlier_version_comes_back_after_compaction() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    small(&table).await;
    compact(&table, 2).await.unwrap();
    let back = ClaimRequest { reason: Reason::Rollback, ..request(3) };
    let (claimed, staged) = table.stage_rollback(&back, epoch(1)).await.unwrap();
    table.put_check(&claimed, check(&staged, Status::Pass)).await.unwrap();
    table.publish(&table.passed_check(&window(), epoch(3)).await.unwrap()).await.unwrap();
    let head = table.require_head(&window()).await.unwrap();
    assert_eq!((head.epoch, head.files.len()), (epoch(3), 3));
}

#[tokio::test]
async fn a_window_that_others_work_on_or_that_failed_later_is_left_alone() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    let nothing = table.compactable(&window()).await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::InputMissing, "{nothing}");
    small(&table).await;
    let rival = table.claim(&request(2)).await.unwrap();
    let busy = compact(&table, 3).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Transient, "{busy}");
    assert!(busy.message().contains("epoch 2 is not decided") && busy.help_text().unwrap().contains("--run-id run-2"), "{busy}");
    // A compaction that looked before the rival claimed finds it after its own claim, and gives its epoch up.
    let late = table.claim_to_compact(&compact_request(3)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Transient, "{late}");
    let states = table.window_history(&window()).await.unwrap();
    let decision = states[2].outcome.as_ref().map(|outcome| outcome.document().decision);
    assert_eq!((states.len(), decision), (3, Some(Decision::Aborted)));
    let class = ErrorClass::of_code(Code::MissingColumn);
    table.quarantine(&rival, Some(&class), Bytes::from_static(b"{}"), None).await.unwrap();
    let failed = compact(&table, 4).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Fenced, "{failed}");
    assert!(failed.message().contains("epoch 2 is quarantined"), "{failed}");
    publish(&table, &table.claim(&request(5)).await.unwrap(), &["new\n", "er\n"]).await.unwrap();
    compact(&table, 6).await.unwrap();
    let head = table.require_head(&window()).await.unwrap();
    assert_eq!(rows(&bench.lake, &head).await, "new\ner\n");
    let wrong = table.claim_to_compact(&request(7)).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Internal, "the claim must say what it is");
}

#[tokio::test]
async fn a_given_up_compaction_stands_in_nobodys_way() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    small(&table).await;
    let (claimed, _) = table.claim_to_compact(&compact_request(2)).await.unwrap();
    assert_eq!(table.compactable(&window()).await.unwrap_err().kind(), ErrorKind::Transient, "it may still be at work");
    table.abort(&window(), claimed.epoch(), DecidedBy::Run).await.unwrap();
    assert_eq!(compact(&table, 3).await.unwrap(), epoch(3));
    // What was given up after it was published stays published.
    let (claimed, head) = table.claim_to_compact(&compact_request(4)).await.unwrap();
    let staged = stage(&table, &claimed, &["one\ntwo\nthree\n"]).await.unwrap();
    assert_eq!(head.epoch, epoch(3));
    table.put_check(&claimed, check(&staged, Status::Pass)).await.unwrap();
    table.publish(&table.passed_check(&window(), epoch(4)).await.unwrap()).await.unwrap();
    table.give_up(&claimed).await;
    assert_eq!(table.require_head(&window()).await.unwrap().epoch, epoch(4));
}

#[tokio::test]
async fn files_of_other_row_counts_are_not_staged() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    small(&table).await;
    let (claimed, head) = table.claim_to_compact(&compact_request(2)).await.unwrap();
    let file = table.stage_part(&claimed, 0, Bytes::from_static(b"two"), 2, serde_json::Value::Null).await.unwrap();
    let error = table.put_compacted(&claimed, &head, vec![file]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
}

/// One fault, then a new process that finishes what is needed. Returns whether there is such an operation.
async fn survives(backend: Backend, operation: usize, fault: Fault) -> bool {
    let at = format!("{backend:?} operation {operation} {fault:?}");
    let mut bench = AgingBench::new(backend).await;
    let table = bench.table().await;
    small(&table).await;
    let table = bench.restarted().await;
    bench.store.plan(operation, fault);
    let faulty = compact(&table, 2).await;
    let is_there = bench.store.operations() > operation;
    bench.store.heal();
    bench.restart();
    let table = bench.table().await;
    let head = table.require_head(&window()).await.unwrap();
    table.verify_head(&head).await.unwrap();
    assert_eq!(rows(&bench.lake, &head).await, SMALL.concat(), "{at}");
    match &faulty {
        Ok(compacted) => assert_eq!(head.epoch, *compacted, "{at}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Transient, "{at}: {error}"),
    }
    for state in table.window_history(&window()).await.unwrap() {
        if state.outcome.is_none() {
            table.abort(&window(), state.epoch, DecidedBy::Run).await.unwrap();
        }
    }
    let again = compact(&table, 4).await.unwrap();
    let head = table.require_head(&window()).await.unwrap();
    assert_eq!((head.epoch, head.files.len(), head.computed_in()), (again, 1, epoch(1)), "{at}");
    assert_eq!(rows(&bench.lake, &head).await, SMALL.concat(), "{at}");
    bench.assert_only_legal_writes().await;
    is_there
}

#[tokio::test]
async fn every_fault_during_a_compaction_is_survived() {
    for backend in Backend::NEAR {
        let struck = Fault::at_every_operation(async |operation, fault| survives(backend, operation, fault).await).await;
        println!("{backend:?}: compaction survives {} faults at each of {struck} operations", Fault::ANSWERED.len());
        assert!(struck > 15);
    }
}

/// Stops a compaction before its n-th operation, and lets a run publish other rows meanwhile.
async fn overtaken_at(backend: Backend, operation: usize) -> bool {
    let mut bench = AgingBench::new(backend).await;
    let table = bench.table().await;
    small(&table).await;
    let table = bench.restarted().await;
    let gate = bench.store.gate(operation);
    let slow = tokio::spawn({
        let table = table.clone();
        async move { compact(&table, 2).await }
    });
    let is_there = gate.stops(&slow).await;
    let quick = open(&bench.other()).await.unwrap();
    publish(&quick, &quick.claim(&request(9)).await.unwrap(), &["new\n", "rows\n"]).await.unwrap();
    gate.go.notify_one();
    let compacted = slow.await.unwrap();
    if let Err(error) = &compacted {
        assert_eq!(error.kind(), ErrorKind::Transient, "{backend:?} {operation}: {error}");
    }
    let head = table.require_head(&window()).await.unwrap();
    assert_eq!(
        rows(&bench.lake, &head).await,
        "new\nrows\n",
        "{backend:?} {operation}: {compacted:?} hides what a run published"
    );
    table.verify_head(&head).await.unwrap();
    is_there
}

#[tokio::test]
async fn a_compaction_never_hides_what_a_run_publishes_meanwhile() {
    for backend in Backend::NEAR {
        let mut operation = 0;
        while overtaken_at(backend, operation).await {
            operation += 1;
        }
        println!("{backend:?}: overtaken at each of {operation} operations");
        assert!(operation > 15);
    }
}

/// Stops a run before its n-th operation, and compacts the version before meanwhile.
async fn overtakes_at(backend: Backend, operation: usize) -> (bool, bool) {
    let mut bench = AgingBench::new(backend).await;
    let table = bench.table().await;
    small(&table).await;
    let table = bench.restarted().await;
    let gate = bench.store.gate(operation);
    let slow = tokio::spawn({
        let table = table.clone();
        async move { publish(&table, &table.claim(&request(2)).await?, &["new\n", "rows\n"]).await }
    });
    let is_there = gate.stops(&slow).await;
    let compacted = compact(&open(&bench.other()).await.unwrap(), 9).await;
    gate.go.notify_one();
    slow.await.unwrap().unwrap();
    let head = table.require_head(&window()).await.unwrap();
    assert_eq!(rows(&bench.lake, &head).await, "new\nrows\n", "{backend:?} {operation}: {compacted:?} hides a slow run");
    if let Err(error) = &compacted {
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    }
    (is_there, compacted.is_err())
}

#[tokio::test]
async fn a_compaction_waits_for_a_run_that_claimed_before() {
    for backend in Backend::NEAR {
        let (mut operation, mut refused) = (0, 0);
        loop {
            let (is_there, is_refused) = overtakes_at(backend, operation).await;
            refused += usize::from(is_refused);
            if !is_there {
                break;
            }
            operation += 1;
        }
        println!("{backend:?}: refused at {refused} of {operation} operations");
        assert!(refused > 5 && refused < operation);
    }
}
