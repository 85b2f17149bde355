//! What lies where readers look, and is not ours.

use windrow_core::layout::{self, Key};
use windrow_core::{PartitionWindow, Result};

use crate::table::LakeTable;

impl LakeTable {
    /// The keys in a window's folder of the live view that are not the view. Whoever reads the folder reads them too; they
    /// are never deleted here.
    ///
    /// # Errors
    /// What the store says.
    pub async fn foreign_in_live_view(&self, window: &PartitionWindow) -> Result<Vec<String>> {
        let view = Key::LiveView(self.name().clone(), self.column().clone(), *window);
        let folder = format!("{}{}={window}/", layout::view_prefix(self.name()), self.column());
        let listed = self.lake().list(&folder).await?.into_iter().map(|object| object.location.to_string());
        Ok(listed.filter(|key| Key::parse(key).as_ref() != Some(&view)).collect())
    }
}
