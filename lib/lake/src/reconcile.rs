//! Reconcile: every view of a table is brought to what the ledger says. Heals what a kill left behind.

use std::fmt;

use windrow_core::layout::{self, Key};
use windrow_core::{Epoch, Error, PartitionWindow, Result};

use crate::catalog::{CatalogState, CatalogView, PartitionCatalog};
use crate::live::{LiveView, ViewState};
use crate::manifest::{ManifestState, ManifestView, require_base};
use crate::projection::Projected;
use crate::table::LakeTable;

/// The views that are kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Views<'a> {
    /// Keeps the live files.
    pub live: bool,
    /// Keeps the symlink manifests, with URIs below this base, such as `s3://bucket/prefix`.
    pub manifest: Option<&'a str>,
    /// Keeps the partitions of a catalog, with locations below this base.
    pub catalog: Option<(&'a dyn PartitionCatalog, &'a str)>,
}

/// Which view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ViewKind {
    /// The one file for plain globs.
    Live,
    /// The symlink manifest.
    Manifest,
    /// The partition in a catalog.
    Catalog,
}

impl ViewKind {
    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            ViewKind::Live => "live",
            ViewKind::Manifest => "manifest",
            ViewKind::Catalog => "catalog",
        }
    }
}

impl fmt::Display for ViewKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of one view of one window.
#[derive(Debug)]
pub enum ViewChange {
    /// It was what the ledger says.
    Unchanged,
    /// It is this epoch's now.
    Set(Epoch),
    /// It is removed: the window is not published, or the live view has several files to show.
    Removed,
    /// It belongs to a window that has no ledger, or is no view at all; it is left alone.
    Foreign(String),
    /// It could not be set; other views and windows are not affected.
    Failed(Error),
}

/// One view of one window after a reconcile.
#[derive(Debug)]
pub struct Reconciled {
    /// The window.
    pub window: PartitionWindow,
    /// The view.
    pub view: ViewKind,
    /// What became of it.
    pub change: ViewChange,
}

impl LakeTable {
    /// Brings the views of every window to their heads, window by window. What fails is in the result, beside the rest.
    ///
    /// Views of windows that have no ledger are reported as foreign, and so is whatever else lies in a folder of the live
    /// view, kept or not: who reads the folder reads it. A catalog is only ever asked about windows of the ledger.
    ///
    /// # Errors
    /// `Misconfigured` for a base without a scheme, else what the store says when it lists the ledger or the views.
    pub async fn reconcile(&self, views: &Views<'_>) -> Result<Vec<Reconciled>> {
        views.require_valid()?;
        // Before the ledger: a claim precedes every view of its window, so a view seen here without one never had it.
        let listed = self.listed_views(views).await?;
        let windows: Vec<PartitionWindow> = self.history().await?.into_keys().collect();
        let mut reconciled = Vec::new();
        for window in &windows {
            reconciled.extend(self.reconcile_window(window, views).await?);
        }
        for Listed { window, view, key, is_view } in listed {
            if !is_view || windows.binary_search(&window).is_err() {
                reconciled.push(Reconciled { window, view, change: ViewChange::Foreign(key) });
            }
        }
        Ok(reconciled)
    }

    /// Brings the views of one window to its head.
    ///
    /// # Errors
    /// `Misconfigured` for a base without a scheme. All else is in the result.
    pub async fn reconcile_window(&self, window: &PartitionWindow, views: &Views<'_>) -> Result<Vec<Reconciled>> {
        let mut reconciled = Vec::new();
        let mut record = |view, change| reconciled.push(Reconciled { window: *window, view, change });
        if views.live {
            record(ViewKind::Live, change(self.project(window, &LiveView::new(self, window)).await, live_epoch));
        }
        if let Some(base) = views.manifest {
            let view = ManifestView::new(self, window, base)?;
            record(ViewKind::Manifest, change(self.project(window, &view).await, manifest_epoch));
        }
        if let Some((catalog, base)) = views.catalog {
            let view = CatalogView::new(self, window, catalog, base)?;
            record(ViewKind::Catalog, change(self.project(window, &view).await, catalog_epoch));
        }
        Ok(reconciled)
    }

    /// What lies where views are, whether it is one or not and whether its window has a ledger or not.
    async fn listed_views(&self, views: &Views<'_>) -> Result<Vec<Listed>> {
        let mut found = Vec::new();
        for object in self.lake().list(&layout::view_prefix(self.name())).await? {
            let key = object.location.to_string();
            if let Some(window) = layout::live_view_window(self.name(), self.column(), &key) {
                let is_view = matches!(Key::parse(&key), Some(Key::LiveView(..)));
                found.push(Listed { window, view: ViewKind::Live, key, is_view });
            }
        }
        if views.manifest.is_some() {
            for object in self.lake().list(&layout::symlink_prefix(self.name())).await? {
                let key = object.location.to_string();
                if let Some(Key::SymlinkManifest(_, _, window)) = Key::parse(&key) {
                    found.push(Listed { window, view: ViewKind::Manifest, key, is_view: true });
                }
            }
        }
        Ok(found)
    }
}

/// A key where views are.
struct Listed {
    window: PartitionWindow,
    view: ViewKind,
    key: String,
    is_view: bool,
}

impl Views<'_> {
    fn require_valid(&self) -> Result<()> {
        let bases = [self.manifest, self.catalog.map(|(_, base)| base)];
        bases.into_iter().flatten().try_for_each(|base| require_base(base).map(|_| ()))
    }
}

fn change<S>(projected: Result<Projected<S>>, epoch: fn(&S) -> Option<Epoch>) -> ViewChange {
    match projected {
        Err(error) => ViewChange::Failed(error),
        Ok(projected) if !projected.has_changed => ViewChange::Unchanged,
        Ok(projected) => epoch(&projected.state).map_or(ViewChange::Removed, ViewChange::Set),
    }
}

fn live_epoch(state: &ViewState) -> Option<Epoch> {
    match state {
        ViewState::Current { epoch, .. } => Some(*epoch),
        ViewState::NotPublished | ViewState::SeveralFiles { .. } => None,
    }
}

fn manifest_epoch(state: &ManifestState) -> Option<Epoch> {
    match state {
        ManifestState::Current { epoch, .. } => Some(*epoch),
        ManifestState::NotPublished => None,
    }
}

fn catalog_epoch(state: &CatalogState) -> Option<Epoch> {
    match state {
        CatalogState::Current { epoch, .. } => Some(*epoch),
        CatalogState::NotPublished => None,
    }
}
