//! The contract of the ledger, the same on every store.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use windrow_core::gate::Status;
use windrow_core::layout::{Key, RegisterKind};
use windrow_core::ledger::{DecidedBy, Decision, ErrorClass, GcPolicy, Reason};
use windrow_core::{Code, Epoch, ErrorKind};
use windrow_lake::{ClaimRequest, PutOnce, ViewState};

use crate::fault::Fault;
use crate::ledger_model::Snapshot;
use crate::support::{Backend, Bench, RAW_BYTES, RAW_KEY, check, publish, request, run_window, s3_lake, stage, window};
use crate::weed::{GUARDED, Identity, weed};

fn register(epoch: u64, kind: RegisterKind) -> Key {
    Key::Register { table: "clean.flights".parse().unwrap(), window: window(), epoch: Epoch::new(epoch).unwrap(), kind }
}

async fn store_contract(backend: Backend) {
    create_is_truthful(backend).await;
    every_answer_to_a_create_is_told_rightly(backend).await;
    one_of_many_creates_wins(backend).await;
    two_creates_of_one_key_are_noticed(backend).await;
    no_register_is_written_where_creates_overwrite(backend).await;
    odd_names_are_listed_and_read(backend).await;
    more_than_a_page_is_listed(backend).await;
    chunks_of_a_file_are_read_pinned(backend).await;
    a_replaced_or_removed_file_is_noticed(backend).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    store_contract(Backend::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_disk_keeps_the_contract() {
    store_contract(Backend::LocalDisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_in_a_folder_keeps_the_contract() {
    store_contract(Backend::DurableDisk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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

/// What was there, times what goes wrong with the create, times what becomes of it when all is well again.
async fn every_answer_to_a_create_is_told_rightly(backend: Backend) {
    let (ours, theirs) = (Bytes::from_static(b"ours"), Bytes::from_static(b"theirs"));
    let unknown = [Fault::Unavailable, Fault::LandsMovedOn, Fault::CutOff, Fault::CutOffAfter];
    let bench = Bench::new(backend).await;
    let mut number = 0;
    for there in [None, Some(&ours), Some(&theirs)] {
        for fault in Fault::ALL.into_iter().filter(|fault| !matches!(fault, Fault::Kill | Fault::KillAfter)) {
            number += 1;
            let (key, at) = (register(number, RegisterKind::Claim), format!("{backend:?} {there:?} {fault:?}"));
            if let Some(there) = there {
                assert!(matches!(bench.lake.put_once(&key, there).await.unwrap(), PutOnce::Mine));
            }
            bench.store.plan(0, fault);
            match (bench.lake.put_once(&key, &ours).await.unwrap(), unknown.contains(&fault)) {
                (PutOnce::Unknown(error), true) => assert_eq!(error.kind(), ErrorKind::Transient, "{at}"),
                (PutOnce::Theirs(found), false) => assert!(found == theirs && there == Some(&theirs), "{at}"),
                (PutOnce::Mine, false) => assert!(there != Some(&theirs), "{at}"),
                (answer, _) => panic!("{at}: {answer:?}"),
            }
            bench.store.heal();
            bench.store.land().await;
            let settled = bench.lake.put_once(&key, &ours).await.unwrap();
            assert_eq!(matches!(settled, PutOnce::Mine), there != Some(&theirs), "{at}: {settled:?}");
            let expected = there.unwrap_or(&ours);
            assert_eq!(bench.lake.get_bytes(&key.to_string()).await.unwrap(), expected, "{at}");
        }
    }
}

async fn one_of_many_creates_wins(backend: Backend) {
    let bench = Bench::new(backend).await;
    let key = register(1, RegisterKind::Claim);
    let offers: Vec<Bytes> = (0..8).map(|number| Bytes::from(format!("offer {number}"))).collect();
    let puts = offers.iter().map(|offer| {
        let (lake, key, offer) = (bench.process(), key.clone(), offer.clone());
        tokio::spawn(async move { lake.put_once(&key, &offer).await.unwrap() })
    });
    let answers = futures::future::join_all(puts.collect::<Vec<_>>()).await;
    let stored = bench.lake.get_bytes(&key.to_string()).await.unwrap();
    let mut winners = 0;
    for (offer, answer) in offers.iter().zip(answers) {
        match answer.unwrap() {
            PutOnce::Mine => winners += usize::from(stored == offer),
            PutOnce::Theirs(found) => assert!(found == stored && stored != offer, "{backend:?}"),
            PutOnce::Unknown(error) => panic!("{backend:?}: {error}"),
        }
    }
    assert_eq!(winners, 1, "{backend:?}");
}

async fn two_creates_of_one_key_are_noticed(backend: Backend) {
    let bench = Bench::new(backend).await;
    bench.store.ignore_create();
    let error = crate::support::open(&bench.lake).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.help_text().is_some_and(|help| help.contains("If-None-Match")), "{error}");
    assert_eq!(bench.store.writes().len(), 2, "format.json twice and nothing else");
}

/// What an earlier process of a sound store began, no process goes on with on a store that overwrites.
async fn no_register_is_written_where_creates_overwrite(backend: Backend) {
    let bench = Bench::new(backend).await;
    let table = bench.table().await;
    let table_name = table.name().clone();
    publish(&table, &table.claim(&request(1)).await.unwrap(), &["head"]).await.unwrap();
    let second = table.claim(&request(2)).await.unwrap();
    let staged = stage(&table, &second, &["b"]).await.unwrap();
    table.put_check(&second, check(&staged, Status::Pass)).await.unwrap();
    let back = table.claim(&ClaimRequest { reason: Reason::Retract, ..request(3) }).await.unwrap();
    let before = bench.snapshot(&Snapshot::default()).await;
    bench.store.ignore_create();
    let class = ErrorClass::of_code(Code::MissingColumn);
    for what in ["claim", "rollback", "rejects", "staged", "check", "publish", "quarantine", "abort", "retract", "gc"] {
        let lake = bench.process();
        let table = lake.table(&table_name).await.unwrap().unwrap();
        let written = bench.store.writes().len();
        let refused = match what {
            "claim" => table.claim(&request(4)).await.map(|_| ()),
            "rollback" => {
                let request = ClaimRequest { reason: Reason::Rollback, ..request(4) };
                table.stage_rollback(&request, Epoch::FIRST).await.map(|_| ())
            }
            "rejects" => table.put_rejects(&second, Bytes::from_static(b"rows")).await.map(|_| ()),
            "staged" => stage(&table, &second, &["b"]).await.map(|_| ()),
            "check" => table.put_check(&second, check(&staged, Status::Pass)).await.map(|_| ()),
            "publish" => {
                let passed = table.passed_check(&window(), second.epoch()).await.unwrap();
                table.publish(&passed).await.map(|_| ())
            }
            "quarantine" => table.quarantine(&back, Some(&class), Bytes::from_static(b"{}"), None).await.map(|_| ()),
            "abort" => table.abort(&window(), second.epoch(), DecidedBy::Operator).await.map(|_| ()),
            "retract" => table.retract(&back).await.map(|_| ()),
            _ => {
                let policy = GcPolicy { undecided_after: std::time::Duration::ZERO, ..GcPolicy::default() };
                let plan = lake.plan_gc(&policy, None).await.unwrap();
                assert_eq!(plan.items.len(), 1, "{backend:?}: the file of the undecided epoch");
                lake.run_gc(&plan, &policy, None).await.unwrap().failure.map_or(Ok(()), Err)
            }
        };
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{backend:?} {what}: {error}");
        assert!(error.help_text().is_some_and(|help| help.contains("If-None-Match")), "{what}: {error}");
        let writes = bench.store.writes().split_off(written);
        let is_probe = |key: &str| key.ends_with("/format.json") || key.starts_with("store/tmp/clock/");
        assert!(writes.iter().all(|write| is_probe(&write.key)), "{backend:?} {what}: {writes:?}");
    }
    assert_eq!(bench.snapshot(&before).await.objects, before.objects, "{backend:?}");
}

/// Puts raw files as a producer does.
async fn put_raw(bench: &Bench, files: &[(String, Bytes)]) {
    let store = bench.store.inner();
    let puts = files.iter().cloned().map(|(name, bytes)| {
        let (store, key) = (Arc::clone(&store), Path::parse(format!("raw/flights/2013-01-01/{name}")).unwrap());
        async move { store.put(&key, PutPayload::from_bytes(bytes)).await.unwrap() }
    });
    futures::stream::iter(puts.collect::<Vec<_>>()).buffer_unordered(16).for_each(|_| async {}).await;
}

async fn odd_names_are_listed_and_read(backend: Backend) {
    let bench = Bench::new(backend).await;
    let names = ["a b.dat", "a%20b.dat", "a+b&c=d.dat", "naïve-日本.dat", "100%.dat", "~(1)!*'.dat", "é\u{301}.dat"];
    let files: Vec<(String, Bytes)> = names.iter().map(|name| ((*name).to_owned(), Bytes::from(*name))).collect();
    put_raw(&bench, &files).await;
    let found = bench.lake.list_inputs("flights/2013-01-01/*.dat").await.unwrap().inputs;
    let mut expected: Vec<String> = names.iter().map(|name| format!("raw/flights/2013-01-01/{name}")).collect();
    expected.sort();
    assert_eq!(found.iter().map(|input| input.key.clone()).collect::<Vec<_>>(), expected, "{backend:?}");
    for input in &found {
        let bytes = bench.lake.get_pinned(input).await.unwrap();
        assert!(input.key.ends_with(std::str::from_utf8(&bytes).unwrap()), "{backend:?}: {}", input.key);
    }
}

async fn more_than_a_page_is_listed(backend: Backend) {
    const FILES: usize = 1_001;
    let bench = Bench::new(backend).await;
    let files: Vec<(String, Bytes)> = (0..FILES).map(|number| (format!("{number:05}.dat"), Bytes::from_static(b"x"))).collect();
    put_raw(&bench, &files).await;
    let found = bench.lake.list_inputs("flights/2013-01-01/*.dat").await.unwrap().inputs;
    assert_eq!(found.len(), FILES, "{backend:?}");
    assert!(found.is_sorted_by(|a, b| a.key < b.key), "{backend:?}");
}

async fn chunks_of_a_file_are_read_pinned(backend: Backend) {
    let bench = Bench::new(backend).await;
    let content: Bytes = (0..17_000_003_u32).map(|i| (i % 251) as u8).collect();
    put_raw(&bench, &[("big.dat".to_owned(), content.clone()), ("empty.dat".to_owned(), Bytes::new())]).await;
    for input in bench.lake.list_inputs("flights/2013-01-01/*.dat").await.unwrap().inputs {
        let mut reader = bench.lake.read_pinned(&input, &tokio::runtime::Handle::current());
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        let expected = if input.size == 0 { Bytes::new() } else { content.clone() };
        assert!(read.await.unwrap().unwrap() == expected, "{backend:?} {}", input.key);
    }
}

async fn a_replaced_or_removed_file_is_noticed(backend: Backend) {
    let bench = Bench::new(backend).await;
    let store = bench.store.inner();
    let key = Path::from(RAW_KEY);
    let listed = bench.lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap().inputs.remove(0);
    assert_eq!(bench.lake.get_pinned(&listed).await.unwrap(), RAW_BYTES);
    store.put(&key, vec![b'x'; RAW_BYTES.len()].into()).await.unwrap();
    assert_eq!(bench.lake.get_pinned(&listed).await.unwrap_err().kind(), ErrorKind::Transient, "{backend:?}");
    let again = bench.lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap().inputs.remove(0);
    assert_ne!(again.etag, listed.etag, "{backend:?}");
    store.delete(&key).await.unwrap();
    assert_eq!(bench.lake.get_pinned(&again).await.unwrap_err().kind(), ErrorKind::Transient, "{backend:?}");
    assert_eq!(bench.lake.list_inputs("flights/2013-01-01/*.csv").await.unwrap().inputs, [], "{backend:?}");
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

/// The producers' files need no more than to be read, and who may only read can still resolve.
#[tokio::test]
async fn a_credential_that_may_only_read_raw_is_enough() {
    let admin = weed().client(GUARDED, Identity::Admin);
    let raw = Path::from(RAW_KEY);
    admin.put(&raw, PutPayload::from_static(RAW_BYTES)).await.unwrap();
    let job = weed().client(GUARDED, Identity::Job);
    let denied = job.put(&raw, PutPayload::from_static(b"x")).await.unwrap_err();
    assert!(matches!(denied, object_store::Error::PermissionDenied { .. }), "the server guards nothing: {denied}");
    job.delete(&raw).await.unwrap_err();
    let reader = s3_lake(GUARDED, None, Identity::ReadOnly).await;
    let error = run_window(&reader, request(1), "clean bytes").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
    let lake = s3_lake(GUARDED, None, Identity::Job).await;
    assert!(lake.tables().await.unwrap().is_empty(), "a denied run left something");
    let (epoch, view) = run_window(&lake, request(1), "clean bytes").await.unwrap();
    assert!(matches!(view, ViewState::Current { .. }));
    let table = lake.tables().await.unwrap().remove(0);
    let failed = table.claim(&request(2)).await.unwrap();
    table.quarantine(&failed, Some(&ErrorClass::of_code(Code::MissingColumn)), Bytes::from_static(b"{}"), None).await.unwrap();
    stage(&table, &table.claim(&request(3)).await.unwrap(), &["lost"]).await.unwrap();
    let policy = GcPolicy { undecided_after: std::time::Duration::ZERO, ..GcPolicy::default() };
    let plan = lake.plan_gc(&policy, None).await.unwrap();
    assert_eq!(lake.run_gc(&plan, &policy, None).await.unwrap().deleted.len(), 1);
    let seen = reader.tables().await.unwrap().remove(0);
    let head = seen.require_head(&window()).await.unwrap();
    seen.verify_head(&head).await.unwrap();
    assert_eq!(head.epoch, epoch);
    assert_eq!(admin.get(&raw).await.unwrap().bytes().await.unwrap(), RAW_BYTES);
}
