//! Reconcile brings every view of every window to its head, and one that fails stops no other.

use windrow_core::{ErrorKind, PartitionWindow};
use windrow_lake::{ClaimRequest, LakeTable, PartitionCatalog, Reconciled, ViewChange, ViewKind, Views};

use crate::aging::{AgingBench, EACH, publish_in, second_window};
use crate::catalog::MemoryCatalog;
use crate::support::{Backend, request, window};

const BASE: &str = "s3://bucket/lake";

fn all<'a>(catalog: &'a MemoryCatalog) -> Views<'a> {
    Views { live: true, manifest: Some(BASE), catalog: Some((catalog, BASE)) }
}

fn shown(reconciled: &[Reconciled]) -> Vec<(PartitionWindow, ViewKind, String)> {
    let text = |change: &ViewChange| match change {
        ViewChange::Unchanged => "unchanged".to_owned(),
        ViewChange::Set(epoch) => format!("set {}", epoch.get()),
        ViewChange::Removed => "removed".to_owned(),
        ViewChange::Foreign(key) => format!("foreign {key}"),
        ViewChange::Failed(error) => format!("failed {}", error.kind()),
    };
    reconciled.iter().map(|one| (one.window, one.view, text(&one.change))).collect()
}

async fn run(table: &LakeTable, number: u32, window: PartitionWindow, texts: &[&str]) {
    let claimed = table.claim(&ClaimRequest { window, ..request(number) }).await.unwrap();
    publish_in(table, &claimed, texts).await.unwrap();
}

fn row(window: PartitionWindow, view: ViewKind, change: &str) -> (PartitionWindow, ViewKind, String) {
    (window, view, change.to_owned())
}

#[tokio::test]
async fn every_view_of_every_window_becomes_its_head() {
    for backend in EACH {
        let bench = AgingBench::new(backend).await;
        let table = bench.table().await;
        let catalog = MemoryCatalog::default();
        let (first, second) = (window(), second_window());
        let third: PartitionWindow = "2013-01-03".parse().unwrap();
        run(&table, 1, first, &["a"]).await;
        run(&table, 2, second, &["b", "c"]).await;
        table.claim(&ClaimRequest { window: third, ..request(3) }).await.unwrap();
        bench.plant("clean/flights/day=2013-01-03/part-00000.parquet", "left by nobody").await;
        use ViewKind::{Catalog, Live, Manifest};
        let reconciled = table.reconcile(&all(&catalog)).await.unwrap();
        let expected = [
            row(first, Live, "set 1"),
            row(first, Manifest, "set 1"),
            row(first, Catalog, "set 1"),
            row(second, Live, "unchanged"),
            row(second, Manifest, "set 1"),
            row(second, Catalog, "set 1"),
            row(third, Live, "removed"),
            row(third, Manifest, "unchanged"),
            row(third, Catalog, "unchanged"),
        ];
        assert_eq!(shown(&reconciled), expected, "{backend:?}");
        let again = table.reconcile(&all(&catalog)).await.unwrap();
        assert!(again.iter().all(|one| matches!(one.change, ViewChange::Unchanged)), "{backend:?}: {again:?}");
        run(&table, 4, first, &["d", "e"]).await;
        let reconciled = table.reconcile(&Views { live: true, ..Views::default() }).await.unwrap();
        assert_eq!(shown(&reconciled)[0], row(first, Live, "removed"), "several files have no live view");
        let one = table.reconcile_window(&first, &all(&catalog)).await.unwrap();
        assert_eq!(shown(&one), [row(first, Live, "unchanged"), row(first, Manifest, "set 2"), row(first, Catalog, "set 2")]);
        bench.assert_only_legal_writes().await;
    }
}

#[tokio::test]
async fn views_of_windows_without_a_ledger_are_foreign_and_stay() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    run(&table, 1, window(), &["a"]).await;
    let foreign = ["clean/flights/day=2014-01-01/part-00000.parquet", "symlink/clean/flights/day=2014-01-01/manifest"];
    for key in foreign {
        bench.plant(key, "x").await;
    }
    bench.plant("clean/flights/readme.md", "x").await;
    let reconciled = table.reconcile(&all(&MemoryCatalog::default())).await.unwrap();
    let found: Vec<&str> = reconciled
        .iter()
        .filter_map(|one| match &one.change {
            ViewChange::Foreign(key) => Some(key.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!((found, reconciled.len()), (foreign.to_vec(), 5));
    for key in foreign {
        assert_eq!(bench.lake.get_bytes(key).await.unwrap().as_ref(), b"x");
    }
}

#[tokio::test]
async fn a_window_or_view_that_fails_stops_no_other() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    let catalog = MemoryCatalog::default();
    run(&table, 1, window(), &["a"]).await;
    run(&table, 2, second_window(), &["b"]).await;
    let head = table.require_head(&window()).await.unwrap();
    bench.plant(&head.files[0].key, "longer than it was").await;
    catalog.fail(true);
    let reconciled = table.reconcile(&all(&catalog)).await.unwrap();
    use ViewKind::{Catalog, Live, Manifest};
    let (first, second) = (window(), second_window());
    let expected = [
        row(first, Live, "failed CorruptInput"),
        row(first, Manifest, "failed CorruptInput"),
        row(first, Catalog, "failed AccessDenied"),
        row(second, Live, "set 1"),
        row(second, Manifest, "set 1"),
        row(second, Catalog, "failed AccessDenied"),
    ];
    assert_eq!(shown(&reconciled), expected);
    catalog.fail(false);
    table.reconcile(&all(&catalog)).await.unwrap();
    assert!(catalog.location(table.name(), &second).await.unwrap().is_some());
    let refused = table.reconcile(&Views { manifest: Some("bucket"), ..Views::default() }).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Misconfigured);
}
