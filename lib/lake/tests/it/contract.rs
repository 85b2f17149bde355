//! The contract of the ledger, the same on every store.

use bytes::Bytes;
use windrow_core::gate::Status;
use windrow_core::layout::{Key, RegisterKind};
use windrow_core::ledger::{DecidedBy, Decision, ErrorClass, Reason};
use windrow_core::{Code, Epoch, ErrorKind};
use windrow_lake::{ClaimRequest, PutOnce, ViewState};

use crate::fault::Fault;
use crate::support::{Backend, Bench, check, publish, request, stage, window};

fn register(epoch: u64, kind: RegisterKind) -> Key {
    Key::Register { table: "clean.flights".parse().unwrap(), window: window(), epoch: Epoch::new(epoch).unwrap(), kind }
}

async fn store_contract(backend: Backend) {
    create_is_truthful(backend).await;
    a_lost_reply_is_mine(backend).await;
    what_may_change_is_not_created_once(backend).await;
    unpublished_is_an_error_and_never_empty(backend).await;
    publish_needs_a_pass(backend).await;
    quarantine_leaves_the_head(backend).await;
    the_last_claimed_epoch_is_the_head(backend).await;
    a_check_is_final(backend).await;
    an_aborted_epoch_is_fenced(backend).await;
    a_retracted_window_is_not_published(backend).await;
    damaged_heads_are_found(backend).await;
    tables_are_listed_and_keep_their_identity(backend).await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    store_contract(Backend::Memory).await;
}

#[tokio::test]
async fn local_disk_keeps_the_contract() {
    store_contract(Backend::LocalDisk).await;
}

#[tokio::test]
async fn a_lake_in_a_folder_keeps_the_contract() {
    store_contract(Backend::DurableDisk).await;
}

#[tokio::test]
async fn an_s3_server_keeps_the_contract() {
    store_contract(Backend::S3).await;
}

async fn create_is_truthful(backend: Backend) {
    let bench = Bench::new(backend).await;
    let (key, ours, theirs) = (register(1, RegisterKind::Claim), Bytes::from_static(b"ours"), Bytes::from_static(b"theirs"));
    assert!(matches!(bench.lake.put_once(&key, &ours).await.unwrap(), PutOnce::Mine));
    assert!(matches!(bench.lake.put_once(&key, &ours).await.unwrap(), PutOnce::Mine), "a retry is mine");
    assert!(matches!(bench.lake.put_once(&key, &theirs).await.unwrap(), PutOnce::Theirs(found) if found == ours));
    bench.assert_only_legal_writes().await;
}

async fn a_lost_reply_is_mine(backend: Backend) {
    let bench = Bench::new(backend).await;
    let bytes = Bytes::from_static(b"ours");
    bench.store.plan(0, Fault::ReplyLost);
    assert!(matches!(bench.lake.put_once(&register(1, RegisterKind::Claim), &bytes).await.unwrap(), PutOnce::Mine));
    bench.store.plan(0, Fault::Refused);
    assert!(matches!(bench.lake.put_once(&register(2, RegisterKind::Claim), &bytes).await.unwrap(), PutOnce::Mine));
    bench.store.plan(0, Fault::CutOffAfter);
    let unknown = bench.lake.put_once(&register(3, RegisterKind::Claim), &bytes).await.unwrap();
    assert!(matches!(unknown, PutOnce::Unknown(error) if error.kind() == ErrorKind::Transient));
    bench.store.heal();
    assert!(matches!(bench.lake.put_once(&register(3, RegisterKind::Claim), &bytes).await.unwrap(), PutOnce::Mine));
}

async fn what_may_change_is_not_created_once(backend: Backend) {
    let bench = Bench::new(backend).await;
    let view = Key::LiveView("clean.flights".parse().unwrap(), "day".parse().unwrap(), window());
    assert_eq!(bench.lake.put_once(&view, &Bytes::new()).await.unwrap_err().kind(), ErrorKind::Internal);
    let outcome = bench.lake.put_once(&register(1, RegisterKind::Outcome), &Bytes::new()).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Internal);
    let raw = Key::Format("raw.flights".parse().unwrap());
    assert_eq!(bench.lake.put_once(&raw, &Bytes::new()).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(bench.store.writes(), []);
}

async fn unpublished_is_an_error_and_never_empty(backend: Backend) {
    let bench = Bench::new(backend).await;
    let table = bench.table().await;
    assert!(table.resolve(&window()).await.unwrap().is_none());
    assert_eq!(table.require_head(&window()).await.unwrap_err().kind(), ErrorKind::InputMissing);
    let claimed = table.claim(&request(1)).await.unwrap();
    assert!(stage(&table, &claimed, &[]).await.is_err(), "an output without files cannot be staged");
    stage(&table, &claimed, &["a"]).await.unwrap();
    assert!(table.resolve(&window()).await.unwrap().is_none(), "staged is not visible");
}

async fn publish_needs_a_pass(backend: Backend) {
    let bench = Bench::new(backend).await;
    let table = bench.table().await;
    let claimed = table.claim(&request(1)).await.unwrap();
    let epoch = claimed.epoch();
    let kind = |result: windrow_core::Result<_>| result.map(|_: windrow_lake::PassedCheck| ()).unwrap_err().kind();
    assert_eq!(kind(table.passed_check(&window(), epoch).await), ErrorKind::Misconfigured, "nothing staged");
    let staged = stage(&table, &claimed, &["a"]).await.unwrap();
    assert_eq!(kind(table.passed_check(&window(), epoch).await), ErrorKind::Misconfigured, "nothing checked");
    let mut stranger = check(&staged, Status::Pass);
    stranger.staged_sha256 = "0".repeat(64);
    assert_eq!(table.put_check(&claimed, stranger.clone()).await.unwrap_err().kind(), ErrorKind::Internal);
    assert!(table.window_history(&window()).await.unwrap()[0].check.is_none(), "a check of something else is not written");
    // Even a register that somebody forged does not make a proof.
    let forged = windrow_core::ledger::Stored::encode(stranger).unwrap();
    bench.lake.put_once(&register(1, RegisterKind::Check), &Bytes::copy_from_slice(forged.bytes())).await.unwrap();
    assert_eq!(kind(table.passed_check(&window(), epoch).await), ErrorKind::Internal);
    let late = table.put_check(&claimed, check(&staged, Status::Pass)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Internal, "nor is it taken for ours");
    let second = table.claim(&request(2)).await.unwrap();
    let staged = stage(&table, &second, &["b"]).await.unwrap();
    table.put_check(&second, check(&staged, Status::Fail)).await.unwrap();
    assert_eq!(kind(table.passed_check(&window(), second.epoch()).await), ErrorKind::QualityFailed);
    assert!(table.resolve(&window()).await.unwrap().is_none());
}

async fn quarantine_leaves_the_head(backend: Backend) {
    let bench = Bench::new(backend).await;
    let table = bench.table().await;
    let first = table.claim(&request(1)).await.unwrap();
    publish(&table, &first, &["old"]).await.unwrap();
    let second = table.claim(&request(2)).await.unwrap();
    let staged = stage(&table, &second, &["bad"]).await.unwrap();
    table.put_check(&second, check(&staged, Status::Fail)).await.unwrap();
    let (evidence, rejects) = (Bytes::from_static(b"{}"), Some(Bytes::from_static(b"rows")));
    let outcome = table.quarantine(&second, None, evidence.clone(), rejects).await.unwrap();
    assert_eq!(outcome.document().decision, Decision::Quarantined);
    let again = table.quarantine(&second, None, Bytes::from_static(b"{\"later\":1}"), None).await.unwrap();
    assert_eq!(again.bytes(), outcome.bytes(), "a retry decides the same bytes");
    let third = table.claim(&request(3)).await.unwrap();
    table.quarantine(&third, Some(&ErrorClass::of_code(Code::MissingColumn)), evidence.clone(), None).await.unwrap();
    assert_eq!(table.require_head(&window()).await.unwrap().epoch, first.epoch());
    let entries = table.list_quarantine(Some(&window())).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.files.len()).collect::<Vec<_>>(), [2, 1]);
    let error = outcome.document().error.clone().unwrap();
    assert_eq!(bench.lake.get_bytes(&error.evidence).await.unwrap(), evidence, "the first evidence stays");
    let fenced = table.quarantine(&first, Some(&ErrorClass::of_code(Code::MissingColumn)), evidence, None).await.unwrap_err();
    assert_eq!(fenced.kind(), ErrorKind::Fenced, "what is published cannot be quarantined");
    bench.assert_only_legal_writes().await;
}

async fn the_last_claimed_epoch_is_the_head(backend: Backend) {
    let bench = Bench::new(backend).await;
    let table = bench.table().await;
    let slow = table.claim(&request(1)).await.unwrap();
    let replay = table.claim(&request(2)).await.unwrap();
    publish(&table, &replay, &["new"]).await.unwrap();
    publish(&table, &slow, &["old"]).await.unwrap();
    let head = table.require_head(&window()).await.unwrap();
    assert_eq!((head.epoch, head.files.len(), head.rows), (replay.epoch(), 1, 1));
    table.verify_head(&head).await.unwrap();
    assert!(head.is_current(&head.staged.document().inputs_sha256, &"c".repeat(64), &crate::support::code()));
    assert!(!head.is_current(&head.staged.document().inputs_sha256, "other", &crate::support::code()));
    let history = table.window_history(&window()).await.unwrap();
    assert!(history.iter().all(|state| state.outcome.is_some()) && history.len() == 2);
    assert_eq!(table.history().await.unwrap().len(), 1);
    let loaded = table.load_claimed(&window(), slow.epoch(), slow.attempt()).await.unwrap();
    assert_eq!(loaded.claim().bytes(), slow.claim().bytes());
    assert!(table.load_claimed(&window(), slow.epoch(), replay.attempt()).await.is_err());
}

async fn a_check_is_final(backend: Backend) {
    let bench = Bench::new(backend).await;
    let table = bench.table().await;
    let claimed = table.claim(&request(1)).await.unwrap();
    let staged = stage(&table, &claimed, &["a"]).await.unwrap();
    table.put_check(&claimed, check(&staged, Status::Fail)).await.unwrap();
    let second = table.put_check(&claimed, check(&staged, Status::Pass)).await.unwrap();
    assert_eq!(second.document().status, Status::Fail, "checking again does not turn a FAIL into a PASS");
    assert_eq!(stage(&table, &claimed, &["b"]).await.unwrap_err().kind(), ErrorKind::Transient, "one output for each epoch");
}

async fn an_aborted_epoch_is_fenced(backend: Backend) {
    let bench = Bench::new(backend).await;
    let table = bench.table().await;
    let (slow, peer) = (table.claim(&request(1)).await.unwrap(), table.claim(&request(2)).await.unwrap());
    table.abort(&window(), slow.epoch(), DecidedBy::Gc).await.unwrap();
    table.abort(&window(), slow.epoch(), DecidedBy::Gc).await.unwrap();
    assert_eq!(publish(&table, &slow, &["a"]).await.unwrap_err().kind(), ErrorKind::Fenced);
    publish(&table, &peer, &["b"]).await.unwrap();
    let late = table.abort(&window(), peer.epoch(), DecidedBy::Gc).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Fenced, "what is published cannot be aborted");
    assert_eq!(table.require_head(&window()).await.unwrap().epoch, peer.epoch());
    let never = table.abort(&window(), Epoch::new(99).unwrap(), DecidedBy::Gc).await.unwrap_err();
    assert_eq!(never.kind(), ErrorKind::Misconfigured);
    bench.assert_only_legal_writes().await;
}

async fn a_retracted_window_is_not_published(backend: Backend) {
    let bench = Bench::new(backend).await;
    let table = bench.table().await;
    let first = table.claim(&request(1)).await.unwrap();
    publish(&table, &first, &["a"]).await.unwrap();
    table.project_live(&window()).await.unwrap();
    assert_eq!(table.retract(&first).await.unwrap_err().kind(), ErrorKind::Internal);
    let back = table.claim(&ClaimRequest { reason: Reason::Retract, ..request(2) }).await.unwrap();
    table.retract(&back).await.unwrap();
    assert!(table.resolve(&window()).await.unwrap().is_none());
    assert_eq!(table.project_live(&window()).await.unwrap(), ViewState::NotPublished);
    assert!(bench.lake.get_bytes("clean/flights/day=2013-01-01/part-00000.parquet").await.is_err());
    let third = table.claim(&request(3)).await.unwrap();
    publish(&table, &third, &["c"]).await.unwrap();
    assert_eq!(table.require_head(&window()).await.unwrap().epoch, third.epoch());
    bench.assert_only_legal_writes().await;
}

async fn damaged_heads_are_found(backend: Backend) {
    let bench = Bench::new(backend).await;
    let table = bench.table().await;
    publish(&table, &table.claim(&request(1)).await.unwrap(), &["a", "b"]).await.unwrap();
    let head = table.require_head(&window()).await.unwrap();
    let mut other = head.clone();
    other.files[1].sha256 = "0".repeat(64);
    assert_eq!(table.verify_head(&other).await.unwrap_err().kind(), ErrorKind::CorruptInput);
    other.files[1].key.push('x');
    assert_eq!(table.verify_head(&other).await.unwrap_err().kind(), ErrorKind::CorruptInput);
}

async fn tables_are_listed_and_keep_their_identity(backend: Backend) {
    let bench = Bench::new(backend).await;
    let table = bench.table().await;
    let again = bench.lake.create_table(table.name(), table.column(), "another-uuid").await.unwrap();
    assert_eq!(again.format(), table.format(), "the first identity stays");
    let moved = bench.lake.create_table(table.name(), &"month".parse().unwrap(), "x").await.unwrap_err();
    assert_eq!(moved.kind(), ErrorKind::Misconfigured);
    let raw = bench.lake.create_table(&"raw.flights".parse().unwrap(), table.column(), "x").await.unwrap_err();
    assert_eq!(raw.kind(), ErrorKind::Usage);
    let names: Vec<String> = bench.lake.tables().await.unwrap().iter().map(|table| table.name().to_string()).collect();
    assert_eq!(names, ["clean.flights"]);
    assert!(bench.lake.table(&"curated.flights".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_store_without_conditional_writes_is_refused() {
    let bench = Bench::new(Backend::Memory).await;
    bench.store.ignore_create();
    let error = crate::support::open(&bench.lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert_eq!(bench.store.writes().len(), 2, "format.json twice and nothing else");
}
