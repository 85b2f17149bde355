//! A partition catalog of the simulation: one location for each window, where every request waits for its turn too.

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use windrow_core::{Error, ErrorKind, PartitionWindow, Result, Table};
use windrow_lake::PartitionCatalog;

use super::keys;
use super::store::SimStore;

/// The catalog as one actor reaches it. Its entries lie beside the lake's objects, under keys no lake has.
#[derive(Debug)]
pub(crate) struct SimCatalog(pub(crate) SimStore);

impl SimCatalog {
    fn entry(window: &PartitionWindow) -> Path {
        Path::parse(keys::catalog(&window.to_string())).unwrap()
    }
}

fn failed(error: object_store::Error) -> Error {
    Error::new(ErrorKind::Transient, "the catalog failed").caused_by(error)
}

#[async_trait]
impl PartitionCatalog for SimCatalog {
    async fn location(&self, _: &Table, window: &PartitionWindow) -> Result<Option<String>> {
        let read = async { self.0.get(&Self::entry(window)).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn set_location(&self, _: &Table, window: &PartitionWindow, location: &str) -> Result<()> {
        let put = self.0.put(&Self::entry(window), PutPayload::from(location.to_owned())).await;
        put.map(|_| ()).map_err(failed)
    }

    async fn remove_partition(&self, _: &Table, window: &PartitionWindow) -> Result<()> {
        self.0.delete(&Self::entry(window)).await.map_err(failed)
    }
}
