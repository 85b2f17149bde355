//! The live view: one file per window for plain globs, a copy of the head's one file.

use async_trait::async_trait;
use windrow_core::layout::Key;
use windrow_core::{Epoch, Error, ErrorKind, PartitionWindow, Result};

use crate::projection::{Projected, Projection};
use crate::resolve::{Head, HeadFile};
use crate::table::LakeTable;

/// What the live view of a window is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewState {
    /// It is this epoch's one file.
    Current {
        /// The epoch.
        epoch: Epoch,
        /// The view's key, relative to the lake.
        key: String,
    },
    /// The window is not published, so there is no file.
    NotPublished,
    /// The head has several files, which cannot be replaced in one atomic step, so there is no file: read the resolved
    /// file list, or set a larger target file size.
    SeveralFiles {
        /// The epoch.
        epoch: Epoch,
        /// How many files.
        files: usize,
    },
}

impl LakeTable {
    /// Makes the live view of a window what its head is: `{layer}/{dataset}/{column}={window}/part-00000.parquet`.
    /// Idempotent, and right with any number of others at once.
    ///
    /// # Errors
    /// `CorruptInput` when the head's file is missing, `Transient` when the head keeps moving, else what the store says.
    pub async fn project_live(&self, window: &PartitionWindow) -> Result<ViewState> {
        Ok(self.project(window, &LiveView::new(self, window)).await?.state)
    }
}

/// The live view of one window.
pub(crate) struct LiveView<'a> {
    table: &'a LakeTable,
    key: Key,
}

impl<'a> LiveView<'a> {
    pub(crate) fn new(table: &'a LakeTable, window: &PartitionWindow) -> Self {
        LiveView { table, key: Key::LiveView(table.name().clone(), table.column().clone(), *window) }
    }

    async fn has_bytes_of(&self, file: &HeadFile) -> Result<bool> {
        match self.table.lake().digest(&self.key.to_string()).await {
            Err(error) if error.kind() == ErrorKind::InputMissing => Ok(false),
            read => Ok(read?.1 == file.sha256),
        }
    }

    async fn replace(&self, head: &Head, file: &HeadFile) -> Result<bool> {
        self.table.require_files(head).await?;
        if self.has_bytes_of(file).await? {
            return Ok(false);
        }
        if self.table.lake().digest(&file.key).await?.1 != file.sha256 {
            let error = Error::new(ErrorKind::CorruptInput, "a published file has other bytes than published");
            return Err(error.with("key", &file.key));
        }
        self.table.copy_object(&file.key, &self.key, head).await?;
        Ok(true)
    }
}

#[async_trait]
impl Projection for LiveView<'_> {
    type State = ViewState;

    async fn set(&self, head: Option<&Head>) -> Result<Projected<ViewState>> {
        let Some(head) = head else {
            return Ok(Projected::new(ViewState::NotPublished, self.table.remove_object(&self.key).await?));
        };
        let [file] = head.files.as_slice() else {
            let state = ViewState::SeveralFiles { epoch: head.epoch, files: head.files.len() };
            return Ok(Projected::new(state, self.table.remove_object(&self.key).await?));
        };
        let has_changed = self.replace(head, file).await?;
        Ok(Projected::new(ViewState::Current { epoch: head.epoch, key: self.key.to_string() }, has_changed))
    }

    async fn is_set(&self, head: Option<&Head>) -> Result<bool> {
        match head.map(|head| head.files.as_slice()) {
            Some([file]) => self.has_bytes_of(file).await,
            _ => Ok(self.table.lake().size(&self.key.to_string()).await?.is_none()),
        }
    }
}
