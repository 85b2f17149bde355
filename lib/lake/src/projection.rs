//! Projections: views rebuilt from the ledger, each of them old or new and never a mix.
//!
//! Loop: resolve, set the view, read it back, resolve again, until both agree. Whoever dies in between leaves an old
//! view that the next reconcile heals.

use windrow_core::canonical::sha256_hex;
use windrow_core::layout::Key;
use windrow_core::{Epoch, Error, ErrorKind, PartitionWindow, Result};

use crate::resolve::{Head, HeadFile};
use crate::store::blocking;
use crate::table::LakeTable;

/// How often a view is set anew because the head moved on meanwhile.
const MAX_ROUNDS: usize = 32;

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
        for _ in 0..MAX_ROUNDS {
            let head = self.resolve(window).await?;
            let state = self.set_view(window, head.as_ref()).await?;
            let is_set = match (&state, &head) {
                (ViewState::Current { key, .. }, Some(head)) => self.is_view_of(key, head).await?,
                _ => self.lake().size(&self.view_key(window).to_string()).await?.is_none(),
            };
            let now = self.resolve_outcome(window).await?.map(|(epoch, _)| epoch);
            if is_set && now == head.map(|head| head.epoch) {
                return Ok(state);
            }
        }
        Err(Error::new(ErrorKind::Transient, "the head kept moving while its view was set").with("window", window))
    }

    fn view_key(&self, window: &PartitionWindow) -> Key {
        Key::LiveView(self.name().clone(), self.column().clone(), *window)
    }

    async fn set_view(&self, window: &PartitionWindow, head: Option<&Head>) -> Result<ViewState> {
        let key = self.view_key(window);
        let Some(head) = head else {
            self.remove_view(&key).await?;
            return Ok(ViewState::NotPublished);
        };
        let [file] = head.files.as_slice() else {
            self.remove_view(&key).await?;
            return Ok(ViewState::SeveralFiles { epoch: head.epoch, files: head.files.len() });
        };
        self.replace_view(&key, head, file).await?;
        Ok(ViewState::Current { epoch: head.epoch, key: key.to_string() })
    }

    async fn replace_view(&self, view: &Key, head: &Head, file: &HeadFile) -> Result<()> {
        if self.lake().size(&file.key).await? != Some(file.size) {
            let error = Error::new(ErrorKind::CorruptInput, "a published file is missing or has another size");
            return Err(error.with("key", &file.key));
        }
        if self.is_view_of(&view.to_string(), head).await? {
            return Ok(());
        }
        let bytes = self.lake().get_bytes(&file.key).await?;
        if sha256_hex(&bytes) != file.sha256 {
            let error = Error::new(ErrorKind::CorruptInput, "a published file has other bytes than published");
            return Err(error.with("key", &file.key));
        }
        let Some(local) = self.lake().local().cloned() else { return self.lake().replace_view(view, bytes).await };
        let temps = self.view_temps(head)?;
        self.lake().writable(view)?;
        let view = view.to_string();
        blocking(move || local.replace(&bytes, temps.into_iter(), &view)).await
    }

    /// Names for the view on its way; a name holds nothing but this head's file, whoever else uses it.
    fn view_temps(&self, head: &Head) -> Result<Vec<String>> {
        let named = |_| {
            let (table, attempt) = (self.name().clone(), head.attempt.clone());
            let nonce = self.lake().next_nonce();
            let key = Key::ViewTemp { table, window: head.window, epoch: head.epoch, attempt, nonce };
            self.lake().writable(&key).map(|path| path.to_string())
        };
        (0..MAX_ROUNDS).map(named).collect()
    }

    async fn remove_view(&self, view: &Key) -> Result<()> {
        let Some(local) = self.lake().local().cloned() else { return self.lake().delete_view(view).await };
        self.lake().writable(view)?;
        let view = view.to_string();
        blocking(move || local.remove(&view)).await
    }

    async fn is_view_of(&self, view: &str, head: &Head) -> Result<bool> {
        let Some(file) = head.files.first() else { return Ok(false) };
        match self.lake().get_bytes(view).await {
            Ok(bytes) => Ok(sha256_hex(&bytes) == file.sha256),
            Err(error) if error.kind() == ErrorKind::InputMissing => Ok(false),
            Err(error) => Err(error),
        }
    }
}
