//! Partition locations follow the head, in one update each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use windrow_core::ledger::Reason;
use windrow_core::{Error, ErrorKind, PartitionWindow, Result, Table};
use windrow_lake::{CatalogState, ClaimRequest, PartitionCatalog};

use crate::aging::AgingBench;
use crate::support::{Backend, attempt, open, publish, reopen, request, window};

const BASE: &str = "s3://bucket/lake";

/// A catalog in memory that writes down every change.
#[derive(Debug, Default)]
pub(crate) struct MemoryCatalog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    locations: BTreeMap<(Table, PartitionWindow), String>,
    changes: Vec<Option<String>>,
    fails: bool,
    forgets: bool,
}

impl MemoryCatalog {
    pub(crate) fn fail(&self, fails: bool) {
        self.state.lock().unwrap().fails = fails;
    }

    /// Makes it answer that it has done what it does not do.
    pub(crate) fn forget(&self) {
        self.state.lock().unwrap().forgets = true;
    }

    pub(crate) fn changes(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().changes.clone()
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T> {
        let mut state = self.state.lock().unwrap();
        if state.fails {
            return Err(Error::new(ErrorKind::AccessDenied, "the catalog refuses"));
        }
        Ok(work(&mut state))
    }
}

#[async_trait]
impl PartitionCatalog for MemoryCatalog {
    async fn location(&self, table: &Table, window: &PartitionWindow) -> Result<Option<String>> {
        self.with(|state| state.locations.get(&(table.clone(), *window)).cloned())
    }

    async fn set_location(&self, table: &Table, window: &PartitionWindow, location: &str) -> Result<()> {
        self.with(|state| {
            if state.forgets {
                return;
            }
            state.changes.push(Some(location.to_owned()));
            state.locations.insert((table.clone(), *window), location.to_owned());
        })
    }

    async fn remove_partition(&self, table: &Table, window: &PartitionWindow) -> Result<()> {
        self.with(|state| {
            state.changes.push(None);
            state.locations.remove(&(table.clone(), *window));
        })
    }
}

#[tokio::test]
async fn the_partition_follows_the_head_in_one_update_each() {
    for backend in Backend::NEAR {
        let bench = AgingBench::new(backend).await;
        let table = bench.table().await;
        let catalog = MemoryCatalog::default();
        let project = async || table.project_catalog(&window(), &catalog, BASE).await;
        assert_eq!(project().await.unwrap(), CatalogState::NotPublished);
        let mut expected = Vec::new();
        for number in [1, 2] {
            let epoch = publish(&table, &table.claim(&request(number)).await.unwrap(), &["a", "b"]).await.unwrap();
            let folder = format!("e{epoch}-{}", attempt(number));
            let location = format!("s3://bucket/lake/store/clean/flights/data/day=2013-01-01/{folder}/");
            assert_eq!(project().await.unwrap(), CatalogState::Current { epoch, location: location.clone() });
            project().await.unwrap();
            expected.push(Some(location));
        }
        let back = table.claim(&ClaimRequest { reason: Reason::Retract, ..request(3) }).await.unwrap();
        table.retract(&back).await.unwrap();
        assert_eq!(project().await.unwrap(), CatalogState::NotPublished);
        expected.push(None);
        assert_eq!(catalog.changes(), expected, "{backend:?}: one change for each head, none for none");
    }
}

#[tokio::test]
async fn a_catalog_that_fails_or_forgets_is_an_error() {
    let bench = AgingBench::new(Backend::Memory).await;
    let table = bench.table().await;
    publish(&table, &table.claim(&request(1)).await.unwrap(), &["a"]).await.unwrap();
    let catalog = MemoryCatalog::default();
    catalog.fail(true);
    let error = table.project_catalog(&window(), &catalog, BASE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    catalog.fail(false);
    catalog.forget();
    let error = table.project_catalog(&window(), &catalog, BASE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "what is not read back is not believed");
    assert_eq!(table.project_catalog(&window(), &catalog, "bucket").await.unwrap_err().kind(), ErrorKind::Misconfigured);
}

#[tokio::test]
async fn a_slow_projection_never_leaves_an_older_location_than_a_quick_one() {
    let mut operation = 0;
    loop {
        let mut bench = AgingBench::new(Backend::Memory).await;
        let table = bench.table().await;
        let catalog = Arc::new(MemoryCatalog::default());
        publish(&table, &table.claim(&request(1)).await.unwrap(), &["a"]).await.unwrap();
        bench.restart();
        let gate = bench.store.gate(operation);
        let slow = tokio::spawn({
            let (lake, catalog) = (bench.lake.clone(), Arc::clone(&catalog));
            async move { reopen(&lake).await.unwrap().project_catalog(&window(), catalog.as_ref(), BASE).await.unwrap() }
        });
        let is_there = gate.stops(&slow).await;
        if !is_there {
            break;
        }
        let quick = open(&bench.other()).await.unwrap();
        publish(&quick, &quick.claim(&request(2)).await.unwrap(), &["b"]).await.unwrap();
        let newest = quick.project_catalog(&window(), catalog.as_ref(), BASE).await.unwrap();
        gate.go.notify_one();
        slow.await.unwrap();
        let CatalogState::Current { location, .. } = newest else { panic!("{newest:?}") };
        assert_eq!(catalog.location(table.name(), &window()).await.unwrap(), Some(location), "{operation}");
        operation += 1;
    }
    println!("overtaken at each of {operation} operations");
    assert!(operation > 6);
}
