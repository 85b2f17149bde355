//! Garbage collection: what goes, and what stays. With faults and races: `gc_faults`.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use windrow_core::gate::Status;
use windrow_core::layout::Key;
use windrow_core::ledger::{DecidedBy, Decision, ErrorClass, Reason};
use windrow_core::{Code, Epoch, ErrorKind};
use windrow_lake::{ClaimRequest, GcItem, GcPlan, GcPolicy, GcReason, GcReport, Lake, LakeTable};

use crate::aging::{AgingBench, DAY, EACH, publish_in, second_window};
use crate::catalog::MemoryCatalog;
use crate::support::{Backend, attempt, check, publish, request, stage, window};

const BASE: &str = "s3://bucket/lake";

pub(crate) async fn plan(lake: &Lake) -> GcPlan {
    lake.plan_gc(&GcPolicy::default(), None).await.unwrap()
}

pub(crate) async fn collect(lake: &Lake) -> windrow_core::Result<(GcPlan, GcReport)> {
    let plan = lake.plan_gc(&GcPolicy::default(), None).await?;
    let mut report = lake.run_gc(&plan, &GcPolicy::default(), None).await?;
    report.failure.take().map_or(Ok((plan, report)), Err)
}

/// The plan as epoch and reason, in order.
fn reasons(plan: &GcPlan) -> Vec<(u64, GcReason)> {
    let epoch = |key: &Key| match key {
        Key::Part(_, part) => part.epoch.get(),
        Key::Quarantine { epoch, .. } => epoch.get(),
        _ => 0,
    };
    let mut reasons: Vec<_> = plan.items.iter().map(|item| (epoch(&item.key), item.reason)).collect();
    reasons.sort_unstable();
    reasons
}

/// 1 and 2 published, 3 quarantined with evidence, 4 aborted, 5 left undecided, 6 published: each with one file.
pub(crate) async fn eventful_window(table: &LakeTable) {
    for number in [1, 2] {
        publish(table, &table.claim(&request(number)).await.unwrap(), &[&format!("version {number}")]).await.unwrap();
    }
    let third = table.claim(&request(3)).await.unwrap();
    let staged = stage(table, &third, &["bad"]).await.unwrap();
    table.put_check(&third, check(&staged, Status::Fail)).await.unwrap();
    table.quarantine(&third, None, Bytes::from_static(b"{}"), Some(Bytes::from_static(b"rows"))).await.unwrap();
    let fourth = table.claim(&request(4)).await.unwrap();
    stage(table, &fourth, &["given up"]).await.unwrap();
    table.abort(&window(), fourth.epoch(), DecidedBy::Operator).await.unwrap();
    let fifth = table.claim(&request(5)).await.unwrap();
    stage(table, &fifth, &["left"]).await.unwrap();
    publish(table, &table.claim(&request(6)).await.unwrap(), &["version 6"]).await.unwrap();
}

#[tokio::test]
async fn what_nothing_reaches_goes_when_its_time_has_come() {
    for backend in EACH {
        let bench = AgingBench::new(backend).await;
        let table = bench.table().await;
        eventful_window(&table).await;
        assert_eq!(reasons(&plan(&bench.lake).await), [(4, GcReason::Aborted)], "{backend:?}");
        bench.pass(DAY);
        assert_eq!(reasons(&plan(&bench.lake).await), [(4, GcReason::Aborted), (5, GcReason::Undecided)]);
        bench.pass(DAY * 28);
        assert_eq!(plan(&bench.lake).await.items.len(), 2, "29 days are less than the retention");
        bench.pass(DAY);
        let before = bench.keys().await;
        let all = plan(&bench.lake).await;
        assert_eq!(bench.keys().await, before, "a plan deletes nothing and leaves nothing");
        let expected = [
            (1, GcReason::Superseded),
            (2, GcReason::Superseded),
            (3, GcReason::Quarantined),
            (3, GcReason::Evidence),
            (3, GcReason::Evidence),
            (4, GcReason::Aborted),
            (5, GcReason::Undecided),
        ];
        assert_eq!(reasons(&all), expected, "{backend:?}");
        assert_eq!((all.heads.objects, all.retained.objects, all.foreign.len()), (1, 0, 0));
        assert_eq!(all.total().objects, 7);
        let report = bench.lake.run_gc(&all, &GcPolicy::default(), None).await.unwrap();
        assert_eq!((&report.deleted, report.left.len()), (&all.items, 0), "{backend:?}");
        assert_eq!(report.aborted, [(table.name().clone(), window(), Epoch::new(5).unwrap())]);
        let gone: BTreeSet<String> = before.difference(&bench.keys().await).cloned().collect();
        assert_eq!(gone, all.items.iter().map(|item| item.key.to_string()).collect(), "{backend:?}: the plan and no more");
        let head = table.require_head(&window()).await.unwrap();
        assert_eq!(head.epoch.get(), 6);
        table.verify_head(&head).await.unwrap();
        assert_eq!(table.window_history(&window()).await.unwrap().len(), 6, "every register stays");
        assert_eq!(plan(&bench.lake).await.items, []);
        if let Some(folder) = &bench.folder {
            let attempts = std::fs::read_dir(folder.path().join("store/clean/flights/data/day=2013-01-01")).unwrap().count();
            assert_eq!(attempts, 1, "empty folders go too");
        }
        bench.assert_only_legal_writes().await;
    }
}

#[tokio::test]
async fn a_retracted_window_loses_its_files_after_the_retention() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    publish(&table, &table.claim(&request(1)).await.unwrap(), &["a"]).await.unwrap();
    let back = table.claim(&ClaimRequest { reason: Reason::Retract, ..request(2) }).await.unwrap();
    bench.pass(DAY * 100);
    assert_eq!(reasons(&plan(&bench.lake).await), [], "the head stays at any age");
    table.retract(&back).await.unwrap();
    bench.pass(DAY * 29);
    assert_eq!(reasons(&plan(&bench.lake).await), []);
    bench.pass(DAY);
    assert_eq!(reasons(&plan(&bench.lake).await), [(1, GcReason::Superseded)]);
}

#[tokio::test]
async fn rejects_of_a_head_are_kept() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    let claimed = table.claim(&request(1)).await.unwrap();
    table.put_rejects(&claimed, Bytes::from_static(b"rows")).await.unwrap();
    publish(&table, &claimed, &["a"]).await.unwrap();
    bench.pass(DAY * 100);
    assert_eq!(reasons(&plan(&bench.lake).await), []);
    publish(&table, &table.claim(&request(2)).await.unwrap(), &["b"]).await.unwrap();
    bench.pass(DAY * 30);
    assert_eq!(reasons(&plan(&bench.lake).await), [(1, GcReason::Superseded), (1, GcReason::Evidence)]);
}

#[tokio::test]
async fn a_short_retention_is_refused_before_anything_is_done() {
    let bench = AgingBench::new(Backend::Memory).await;
    let short = GcPolicy { retention: DAY * 7 - Duration::from_secs(1), ..GcPolicy::default() };
    assert_eq!(bench.lake.plan_gc(&short, None).await.unwrap_err().kind(), ErrorKind::Misconfigured);
    let refused = bench.lake.run_gc(&GcPlan::default(), &short, None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Misconfigured);
    assert_eq!(bench.store.writes(), []);
}

#[tokio::test]
async fn foreign_keys_are_reported_and_never_deleted() {
    for backend in EACH {
        let bench = AgingBench::new(backend).await;
        let table = bench.table().await;
        publish(&table, &table.claim(&request(1)).await.unwrap(), &["a"]).await.unwrap();
        let data = "store/clean/flights/data/day=2013-01-01";
        let name = "part-00000-0123456789abcdef.parquet";
        let nobody = format!("{data}/e{}-{}/{name}", Epoch::new(9).unwrap(), attempt(9));
        let other_column = format!("{}/e{}-{}/{name}", data.replace("day", "month"), Epoch::FIRST, attempt(1));
        let no_table = format!("{}/e{}-{}/{name}", data.replace("flights", "trains"), Epoch::FIRST, attempt(1));
        let evidence = format!("quarantine/clean/flights/2013-01-01/{}-{}/evidence.json", Epoch::FIRST, attempt(9));
        let mut foreign = vec![
            "store/notes.txt".to_owned(),
            "clean/flights/day=2013-01-01/part-00001.parquet".to_owned(),
            "quarantine/readme.md".to_owned(),
            "store/clean/flights/ledger/2013-01-01/1.claim.json".to_owned(),
            nobody,
            other_column,
            no_table,
            evidence,
        ];
        for key in &foreign {
            bench.plant(key, "x").await;
        }
        bench.plant("elsewhere/notes.txt", "x").await;
        bench.pass(DAY * 1000);
        let before = bench.keys().await;
        let (found, report) = collect(&bench.lake).await.unwrap();
        foreign.sort();
        assert_eq!(found.foreign.iter().map(|foreign| foreign.key.clone()).collect::<Vec<_>>(), foreign, "{backend:?}");
        assert_eq!((found.items.len(), report.deleted.len()), (0, 0));
        assert_eq!(bench.keys().await, before);
    }
}

#[tokio::test]
async fn files_beside_the_decision_go_and_the_published_ones_stay() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    let claimed = table.claim(&request(1)).await.unwrap();
    publish(&table, &claimed, &["a"]).await.unwrap();
    // The same attempt's upload of other bytes arrives after all, and so does a file of an attempt that lost the claim.
    table.stage_part(&claimed, 0, Bytes::from_static(b"late"), 1, serde_json::Value::Null).await.unwrap();
    let folder = format!("store/clean/flights/data/day=2013-01-01/e{}-{}", Epoch::FIRST, attempt(9));
    bench.plant(&format!("{folder}/part-00000-0123456789abcdef.parquet"), "x").await;
    assert_eq!(reasons(&plan(&bench.lake).await), []);
    bench.pass(DAY);
    let (_, report) = collect(&bench.lake).await.unwrap();
    let reasons: BTreeSet<GcReason> = report.deleted.iter().map(|item| item.reason).collect();
    assert_eq!(reasons, BTreeSet::from([GcReason::Unlisted, GcReason::OtherAttempt]));
    let head = table.require_head(&window()).await.unwrap();
    table.verify_head(&head).await.unwrap();
    assert_eq!(bench.files().await, BTreeSet::from([head.files[0].key.clone()]));
}

#[tokio::test]
async fn temporary_files_of_the_killed_go_after_a_day() {
    let bench = AgingBench::new(Backend::LocalDisk).await;
    let left = [
        "store/tmp/create/0000000000000001".to_owned(),
        "store/tmp/clock/0000000000000001".to_owned(),
        format!("store/tmp/clean/flights/2013-01-01/{}-{}-0000000000000001", Epoch::FIRST, attempt(1)),
    ];
    for key in &left {
        bench.plant(key, "half").await;
    }
    assert_eq!(plan(&bench.lake).await.items, []);
    bench.pass(DAY);
    bench.plant("store/tmp/create/0000000000000002", "half").await;
    let (_, report) = collect(&bench.lake).await.unwrap();
    assert!(report.deleted.iter().all(|item| item.reason == GcReason::Temporary) && report.deleted.len() == 3);
    let rest = bench.keys().await;
    assert!(rest.contains("store/tmp/create/0000000000000002") && left.iter().all(|key| !rest.contains(key)));
}

#[tokio::test]
async fn a_window_whose_documents_cannot_be_read_is_skipped_alone() {
    let mut bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    let other = |number| ClaimRequest { window: second_window(), ..request(number) };
    for number in [1, 2] {
        publish(&table, &table.claim(&request(number)).await.unwrap(), &["a"]).await.unwrap();
        publish_in(&table, &table.claim(&other(number)).await.unwrap(), &["b"]).await.unwrap();
    }
    bench.pass(DAY * 31);
    let whole = plan(&bench.lake).await;
    assert_eq!(whole.items.len(), 2);
    bench.plant(&format!("store/clean/flights/ledger/2013-01-01/{}.outcome.json", Epoch::new(2).unwrap()), r#"{"v":2}"#).await;
    bench.restart();
    let found = plan(&bench.lake).await;
    assert_eq!((found.items.len(), found.skipped.len()), (1, 1));
    assert_eq!((found.skipped[0].window, found.skipped[0].error.kind()), (window(), ErrorKind::Misconfigured));
    let report = bench.lake.run_gc(&whole, &GcPolicy::default(), None).await.unwrap();
    assert_eq!((report.deleted.len(), report.left.len(), report.skipped.len()), (1, 1, 1));
    assert_eq!(report.deleted[0].key, found.items[0].key);
}

#[tokio::test]
async fn a_slow_writer_that_comes_back_is_fenced_and_its_late_files_go_next_time() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    let slow = table.claim(&request(1)).await.unwrap();
    table.stage_part(&slow, 0, Bytes::from_static(b"a"), 1, serde_json::Value::Null).await.unwrap();
    bench.pass(DAY * 2);
    collect(&bench.lake).await.unwrap();
    assert_eq!(bench.files().await, BTreeSet::new());
    assert_eq!(publish(&table, &slow, &["a"]).await.unwrap_err().kind(), ErrorKind::Fenced);
    let outcome = table.window_history(&window()).await.unwrap()[0].outcome.clone().unwrap();
    assert_eq!((outcome.document().decision, outcome.document().decided_by), (Decision::Aborted, DecidedBy::Gc));
    assert_eq!(bench.files().await.len(), 1);
    collect(&bench.lake).await.unwrap();
    assert_eq!(bench.files().await, BTreeSet::new());
}

#[tokio::test]
async fn what_was_decided_after_the_plan_is_left_alone() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    let (first, second) = (table.claim(&request(1)).await.unwrap(), table.claim(&request(2)).await.unwrap());
    let staged = stage(&table, &first, &["a"]).await.unwrap();
    table.put_check(&first, check(&staged, Status::Pass)).await.unwrap();
    stage(&table, &second, &["b"]).await.unwrap();
    bench.pass(DAY * 2);
    let old = plan(&bench.lake).await;
    assert_eq!(reasons(&old), [(1, GcReason::Undecided), (2, GcReason::Undecided)]);
    table.publish(&table.passed_check(&window(), first.epoch()).await.unwrap()).await.unwrap();
    let class = ErrorClass::of_code(Code::MissingColumn);
    table.quarantine(&second, Some(&class), Bytes::from_static(b"{}"), None).await.unwrap();
    let report = bench.lake.run_gc(&old, &GcPolicy::default(), None).await.unwrap();
    assert_eq!((report.deleted.len(), report.left.len(), report.aborted.len()), (0, 2, 0));
    table.verify_head(&table.require_head(&window()).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn files_a_view_points_at_stay_until_it_is_reconciled() {
    for backend in EACH {
        let bench = AgingBench::new(backend).await;
        let table = bench.table().await;
        let catalog = MemoryCatalog::default();
        publish(&table, &table.claim(&request(1)).await.unwrap(), &["a", "b"]).await.unwrap();
        table.project_manifest(&window(), BASE).await.unwrap();
        publish(&table, &table.claim(&request(2)).await.unwrap(), &["c"]).await.unwrap();
        table.project_catalog(&window(), &catalog, BASE).await.unwrap();
        publish(&table, &table.claim(&request(3)).await.unwrap(), &["d"]).await.unwrap();
        bench.pass(DAY * 40);
        let policy = GcPolicy::default();
        let found = bench.lake.plan_gc(&policy, Some(&catalog)).await.unwrap();
        assert_eq!((found.items.len(), found.viewed.objects, found.heads.objects), (0, 3, 1), "{backend:?}");
        let blind = bench.lake.plan_gc(&policy, None).await.unwrap();
        assert_eq!(reasons(&blind), [(2, GcReason::Superseded)]);
        let report = bench.lake.run_gc(&blind, &policy, Some(&catalog)).await.unwrap();
        assert_eq!((report.deleted.len(), report.left.len()), (0, 1), "{backend:?}: the views are looked at again");
        table.project_manifest(&window(), BASE).await.unwrap();
        table.project_catalog(&window(), &catalog, BASE).await.unwrap();
        let found = bench.lake.plan_gc(&policy, Some(&catalog)).await.unwrap();
        let report = bench.lake.run_gc(&found, &policy, Some(&catalog)).await.unwrap();
        assert_eq!((report.deleted.len(), bench.files().await.len()), (3, 1), "{backend:?}");
    }
}

#[tokio::test]
async fn a_catalog_that_cannot_be_asked_stops_the_plan() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    for number in [1, 2] {
        publish(&table, &table.claim(&request(number)).await.unwrap(), &["a"]).await.unwrap();
    }
    bench.pass(DAY * 31);
    let catalog = MemoryCatalog::default();
    catalog.fail(true);
    let error = bench.lake.plan_gc(&GcPolicy::default(), Some(&catalog)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert_eq!(bench.files().await.len(), 2);
}

#[tokio::test]
async fn a_store_whose_time_jumps_never_costs_the_head() {
    for ten_years in [DAY * 3650, Duration::ZERO] {
        let bench = AgingBench::new(Backend::Memory).await;
        let table = bench.table().await;
        publish(&table, &table.claim(&request(1)).await.unwrap(), &["a"]).await.unwrap();
        bench.set_back(ten_years);
        publish(&table, &table.claim(&request(2)).await.unwrap(), &["b"]).await.unwrap();
        bench.pass(ten_years + ten_years);
        publish(&table, &table.claim(&request(3)).await.unwrap(), &["c"]).await.unwrap();
        bench.set_back(ten_years);
        let (_, report) = collect(&bench.lake).await.unwrap();
        assert_eq!(report.deleted.len(), 0, "nothing is older than the decision over it");
        let head = table.require_head(&window()).await.unwrap();
        assert_eq!(head.epoch.get(), 3);
        table.verify_head(&head).await.unwrap();
    }
}

#[tokio::test]
async fn a_plan_of_what_is_never_garbage_deletes_nothing() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    publish(&table, &table.claim(&request(1)).await.unwrap(), &["a"]).await.unwrap();
    table.project_live(&window()).await.unwrap();
    table.project_manifest(&window(), BASE).await.unwrap();
    bench.pass(DAY * 1000);
    let before = bench.keys().await;
    let keys = before.iter().filter_map(|key| Key::parse(key));
    let forged: Vec<GcItem> = keys.map(|key| GcItem { key, size: 1, reason: GcReason::Aborted }).collect();
    assert_eq!(forged.len(), 8, "format, four registers, a file and two views");
    let plan = GcPlan { items: forged.clone(), ..GcPlan::default() };
    let report = bench.lake.run_gc(&plan, &GcPolicy::default(), None).await.unwrap();
    assert_eq!((report.left.len(), report.deleted.len(), report.aborted.len()), (8, 0, 0));
    assert_eq!(bench.keys().await, before);
}

/// Makes every file of a folder older.
fn age_files(folder: &std::path::Path, by: Duration) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age_files(&path, by);
        } else {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(file.metadata().unwrap().modified().unwrap() - by).unwrap();
        }
    }
}

#[tokio::test]
async fn a_lake_in_a_folder_is_collected_and_the_clock_is_the_folders() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open_local(folder.path()).unwrap();
    std::fs::create_dir_all(folder.path().join("raw/flights/2013-01-01")).unwrap();
    let table = crate::support::open(&lake).await.unwrap();
    eventful_window(&table).await;
    assert_eq!(reasons(&plan(&lake).await), [(4, GcReason::Aborted)]);
    age_files(folder.path(), DAY * 31);
    let (found, report) = collect(&lake).await.unwrap();
    assert_eq!((found.items.len(), report.deleted.len(), report.left.len()), (7, 7, 0));
    let head = table.require_head(&window()).await.unwrap();
    table.verify_head(&head).await.unwrap();
    assert_eq!((head.epoch.get(), plan(&lake).await.items.len()), (6, 0));
    let quarantine = folder.path().join("quarantine/clean/flights/2013-01-01");
    assert_eq!(std::fs::read_dir(quarantine).unwrap().count(), 0, "empty folders go too");
    for temporary in ["create", "clock"] {
        assert_eq!(std::fs::read_dir(folder.path().join("store/tmp").join(temporary)).unwrap().count(), 0);
    }
}
