//! Projections: views rebuilt from the ledger, each of them old or new and never a mix.
//!
//! Loop: resolve, set the view, read it back, resolve again, until both agree. Whoever dies in between leaves an old
//! view that the next reconcile heals. Three views are set this way: the live file, the symlink manifest, and the
//! location in a partition catalog.

use async_trait::async_trait;
use bytes::Bytes;
use windrow_core::layout::Key;
use windrow_core::{Error, ErrorKind, PartitionWindow, Result};

use crate::resolve::Head;
use crate::store::blocking;
use crate::table::LakeTable;

/// How often a view is set anew because the head moved on meanwhile.
const MAX_ROUNDS: usize = 32;

/// One view of one window.
#[async_trait]
pub(crate) trait Projection: Sync {
    /// What the view is, for who asks.
    type State: Send;

    /// Makes the view what the head is, in one atomic step, unless it reads the view and it is that already. Without a head
    /// there is no view.
    async fn set(&self, head: Option<&Head>) -> Result<Projected<Self::State>>;

    /// Reads the view back: is it what `set` makes of this head?
    async fn is_set(&self, head: Option<&Head>) -> Result<bool>;
}

/// A view that was set.
#[derive(Clone, Debug)]
pub(crate) struct Projected<S> {
    pub(crate) state: S,
    pub(crate) has_changed: bool,
}

impl<S> Projected<S> {
    pub(crate) fn new(state: S, has_changed: bool) -> Self {
        Projected { state, has_changed }
    }
}

impl LakeTable {
    /// Sets a view until it agrees with the head before and after.
    pub(crate) async fn project<P: Projection>(&self, window: &PartitionWindow, view: &P) -> Result<Projected<P::State>> {
        let mut has_changed = false;
        for _ in 0..MAX_ROUNDS {
            let head = self.resolve(window).await?;
            let projected = view.set(head.as_ref()).await?;
            has_changed |= projected.has_changed;
            // A view that is left alone was just read, and is right.
            let is_set = !projected.has_changed || view.is_set(head.as_ref()).await?;
            let now = self.resolve_outcome(window).await?.map(|(epoch, _)| epoch);
            if is_set && now == head.map(|head| head.epoch) {
                return Ok(Projected::new(projected.state, has_changed));
            }
        }
        Err(Error::new(ErrorKind::Transient, "the head kept moving while its view was set").with("window", window))
    }

    /// Refuses a head whose files are not all there: a view must not point at nothing.
    pub(crate) async fn require_files(&self, head: &Head) -> Result<()> {
        match self.first_misfit(head).await? {
            None => Ok(()),
            Some((file, _)) => {
                let error = Error::new(ErrorKind::CorruptInput, "a published file is missing or has another size");
                Err(error.with("key", &file.key))
            }
        }
    }

    /// Replaces a view's one object in one atomic step.
    pub(crate) async fn replace_object(&self, view: &Key, head: &Head, bytes: Bytes) -> Result<()> {
        let Some(local) = self.lake().local().cloned() else { return self.lake().replace_view(view, bytes).await };
        let temps = self.view_temps(head)?;
        self.lake().writable(view)?;
        let view = view.to_string();
        blocking(move || local.replace(&bytes, temps.into_iter(), &view)).await
    }

    /// Makes a view's one object a copy of a published file in one atomic step.
    pub(crate) async fn copy_object(&self, source: &str, view: &Key, head: &Head) -> Result<()> {
        let Some(local) = self.lake().local().cloned() else { return self.lake().copy_to_view(source, view).await };
        let temps = self.view_temps(head)?;
        self.lake().writable(view)?;
        let (source, view) = (source.to_owned(), view.to_string());
        blocking(move || local.replace_by_copy(&source, temps.into_iter(), &view)).await
    }

    /// Removes a view's one object, and says whether there was one.
    pub(crate) async fn remove_object(&self, view: &Key) -> Result<bool> {
        if self.lake().size(&view.to_string()).await?.is_none() {
            return Ok(false);
        }
        let Some(local) = self.lake().local().cloned() else { return self.lake().delete_view(view).await.map(|()| true) };
        self.lake().writable(view)?;
        let view = view.to_string();
        blocking(move || local.remove(&view)).await.map(|()| true)
    }

    /// Reads a view's one object; `None` when it is not there.
    pub(crate) async fn read_object(&self, view: &Key) -> Result<Option<Bytes>> {
        match self.lake().get_bytes(&view.to_string()).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::InputMissing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names for the view on its way; a name holds nothing but a view of this head, whoever else uses it.
    fn view_temps(&self, head: &Head) -> Result<Vec<String>> {
        let named = |_| {
            let (table, attempt) = (self.name().clone(), head.attempt.clone());
            let nonce = self.lake().next_nonce();
            let key = Key::ViewTemp { table, window: head.window, epoch: head.epoch, attempt, nonce };
            self.lake().writable(&key).map(|path| path.to_string())
        };
        (0..MAX_ROUNDS).map(named).collect()
    }
}
