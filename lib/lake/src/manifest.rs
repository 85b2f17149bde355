//! The symlink-manifest view: one object that lists the absolute URIs of a head's files, one in each line.
//!
//! `SymlinkTextInputFormat` of Hive, Athena, Trino and Spark reads it. The object is replaced in one step, so a window of
//! several files changes as a whole.

use async_trait::async_trait;
use bytes::Bytes;
use windrow_core::layout::Key;
use windrow_core::{Epoch, Error, PartitionWindow, Result};

use crate::projection::{Projected, Projection};
use crate::resolve::Head;
use crate::table::LakeTable;

/// What the manifest of a window is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestState {
    /// It lists this epoch's files.
    Current {
        /// The epoch.
        epoch: Epoch,
        /// The manifest's key, relative to the lake.
        key: String,
        /// How many files it lists.
        files: usize,
    },
    /// The window is not published, so there is no manifest.
    NotPublished,
}

impl LakeTable {
    /// Makes the symlink manifest of a window list its head's files:
    /// `symlink/{layer}/{dataset}/{column}={window}/manifest`. Idempotent, and right with any number of others at once.
    ///
    /// `base_uri` is where readers find the lake: `s3://bucket/prefix`, `file:///srv/lake`.
    ///
    /// # Errors
    /// `Misconfigured` for a base without a scheme, `CorruptInput` when a file of the head is missing, `Transient` when
    /// the head keeps moving, else what the store says.
    pub async fn project_manifest(&self, window: &PartitionWindow, base_uri: &str) -> Result<ManifestState> {
        Ok(self.project(window, &ManifestView::new(self, window, base_uri)?).await?.state)
    }
}

/// The manifest of one window.
pub(crate) struct ManifestView<'a> {
    table: &'a LakeTable,
    key: Key,
    base: &'a str,
}

impl<'a> ManifestView<'a> {
    pub(crate) fn new(table: &'a LakeTable, window: &PartitionWindow, base_uri: &'a str) -> Result<Self> {
        let key = Key::SymlinkManifest(table.name().clone(), table.column().clone(), *window);
        Ok(ManifestView { table, key, base: require_base(base_uri)? })
    }

    fn text(&self, head: &Head) -> Bytes {
        head.files.iter().map(|file| format!("{}/{}\n", self.base, file.key)).collect::<String>().into()
    }
}

#[async_trait]
impl Projection for ManifestView<'_> {
    type State = ManifestState;

    async fn set(&self, head: Option<&Head>) -> Result<Projected<ManifestState>> {
        let Some(head) = head else {
            return Ok(Projected::new(ManifestState::NotPublished, self.table.remove_object(&self.key).await?));
        };
        self.table.require_files(head).await?;
        let has_changed = !self.is_set(Some(head)).await?;
        if has_changed {
            self.table.replace_object(&self.key, head, self.text(head)).await?;
        }
        let state = ManifestState::Current { epoch: head.epoch, key: self.key.to_string(), files: head.files.len() };
        Ok(Projected::new(state, has_changed))
    }

    async fn is_set(&self, head: Option<&Head>) -> Result<bool> {
        let found = self.table.read_object(&self.key).await?;
        Ok(found == head.map(|head| self.text(head)))
    }
}

/// A base URI without its last slashes.
///
/// # Errors
/// `Misconfigured` when it is not absolute, or holds what would break a line of the manifest.
pub(crate) fn require_base(base_uri: &str) -> Result<&str> {
    let base = base_uri.trim_end_matches('/');
    let (scheme, rest) = base.split_once("://").unwrap_or_default();
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_scheme && !rest.is_empty() && !rest.chars().any(char::is_control) {
        return Ok(base);
    }
    let message = format!("`{}` is not the absolute URI of a lake", base_uri.escape_debug());
    Err(Error::misconfigured(message).help("write it like s3://bucket/prefix or file:///srv/lake"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_uris_are_bases() {
        for (text, base) in
            [("s3://bucket/a/", "s3://bucket/a"), ("s3://bucket", "s3://bucket"), ("file:///srv/a b", "file:///srv/a b")]
        {
            assert_eq!(require_base(text).unwrap(), base);
        }
        for text in ["", "/srv/lake", "s3:/bucket", "s3://", "://x", "s3://a\nb", "file:///"] {
            assert!(require_base(text).is_err(), "{text}");
        }
    }
}
