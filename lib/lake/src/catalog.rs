//! Partition catalogs: where a query engine looks for a window's files.

use async_trait::async_trait;
use windrow_core::layout;
use windrow_core::{Epoch, PartitionWindow, Result, Table};

use crate::manifest::require_base;
use crate::projection::{Projected, Projection};
use crate::resolve::Head;
use crate::table::LakeTable;

/// A catalog that holds one location for each partition, such as AWS Glue's. A view of the ledger, never its truth.
///
/// Each call is one request about one partition: a reader of the catalog sees the old location or the new one.
#[async_trait]
pub trait PartitionCatalog: std::fmt::Debug + Send + Sync {
    /// The partition's location; `None` when there is no such partition.
    ///
    /// # Errors
    /// What the catalog says, as the kind that says what to do next.
    async fn location(&self, table: &Table, window: &PartitionWindow) -> Result<Option<String>>;

    /// Makes the partition's location this one, and the partition where there is none. Idempotent.
    ///
    /// # Errors
    /// What the catalog says.
    async fn set_location(&self, table: &Table, window: &PartitionWindow, location: &str) -> Result<()>;

    /// Removes the partition; one that is not there is fine.
    ///
    /// # Errors
    /// What the catalog says.
    async fn remove_partition(&self, table: &Table, window: &PartitionWindow) -> Result<()>;
}

/// What the partition of a window is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogState {
    /// Its location is the folder of this epoch's attempt.
    Current {
        /// The epoch.
        epoch: Epoch,
        /// The location.
        location: String,
    },
    /// The window is not published, so there is no partition.
    NotPublished,
}

impl LakeTable {
    /// Makes the location of a window's partition the folder of its head's attempt: one update, read back. Idempotent,
    /// and right with any number of others at once.
    ///
    /// `base_uri` is where the catalog's readers find the lake, such as `s3://bucket/prefix`.
    ///
    /// # Errors
    /// `Misconfigured` for a base without a scheme, `CorruptInput` when a file of the head is missing, `Transient` when
    /// the head keeps moving, else what the store or the catalog says.
    pub async fn project_catalog(
        &self,
        window: &PartitionWindow,
        catalog: &dyn PartitionCatalog,
        base_uri: &str,
    ) -> Result<CatalogState> {
        Ok(self.project(window, &CatalogView::new(self, window, catalog, base_uri)?).await?.state)
    }
}

/// The partition of one window.
pub(crate) struct CatalogView<'a> {
    table: &'a LakeTable,
    window: PartitionWindow,
    catalog: &'a dyn PartitionCatalog,
    base: &'a str,
}

impl<'a> CatalogView<'a> {
    pub(crate) fn new(
        table: &'a LakeTable,
        window: &PartitionWindow,
        catalog: &'a dyn PartitionCatalog,
        base_uri: &'a str,
    ) -> Result<Self> {
        Ok(CatalogView { table, window: *window, catalog, base: require_base(base_uri)? })
    }

    /// With a slash at its end, so that it is a prefix of no other attempt's files.
    fn location_of(&self, head: &Head) -> String {
        let (name, column) = (self.table.name(), self.table.column());
        format!("{}/{}", self.base, layout::attempt_prefix(name, column, &self.window, head.epoch, &head.attempt))
    }

    async fn found(&self) -> Result<Option<String>> {
        self.catalog.location(self.table.name(), &self.window).await
    }
}

#[async_trait]
impl Projection for CatalogView<'_> {
    type State = CatalogState;

    async fn set(&self, head: Option<&Head>) -> Result<Projected<CatalogState>> {
        let (name, found) = (self.table.name(), self.found().await?);
        let Some(head) = head else {
            if found.is_some() {
                self.catalog.remove_partition(name, &self.window).await?;
            }
            return Ok(Projected::new(CatalogState::NotPublished, found.is_some()));
        };
        self.table.require_files(head).await?;
        let location = self.location_of(head);
        let has_changed = found.as_ref() != Some(&location);
        if has_changed {
            self.catalog.set_location(name, &self.window, &location).await?;
        }
        Ok(Projected::new(CatalogState::Current { epoch: head.epoch, location }, has_changed))
    }

    async fn is_set(&self, head: Option<&Head>) -> Result<bool> {
        Ok(self.found().await? == head.map(|head| self.location_of(head)))
    }
}
