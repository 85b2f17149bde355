//! The lake itself: which store, what may be written, and plain reads.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::OnceCell;
use windrow_core::layout::Key;
use windrow_core::{Error, ErrorKind, Result};

use crate::classify::{io_error, store_error, write_error};
use crate::digest::Digests;
use crate::documents::Documents;
use crate::durable::DurableStore;
use crate::local::LocalRoot;
use crate::put_once::RetryPolicy;
use crate::traffic::{Meter, Traffic};
use crate::upload::UploadPolicy;

/// A lake on some store. Cheap to clone; clones share the store.
#[derive(Clone, Debug)]
pub struct Lake {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn ObjectStore>,
    local: Option<LocalRoot>,
    retry: RetryPolicy,
    probed: OnceCell<()>,
    nonce: AtomicU64,
    meter: Arc<Meter>,
    uploads: Option<UploadPolicy>,
    digests: Digests,
    documents: Documents,
}

impl Lake {
    /// Opens a folder as a lake, and creates it when it is missing. Symlinks in the folder's own path are resolved once.
    ///
    /// # Errors
    /// `AccessDenied`, `Misconfigured` or `Transient`, as the file system says.
    pub fn open_local(folder: &FilePath) -> Result<Lake> {
        let shown = folder.display().to_string();
        std::fs::create_dir_all(folder).map_err(|error| io_error("cannot create the lake's folder", &shown, error))?;
        let root = folder.canonicalize().map_err(|error| io_error("cannot open the lake's folder", &shown, error))?;
        let store =
            LocalFileSystem::new_with_prefix(&root).map_err(|error| store_error("cannot open the lake", &shown, error))?;
        let store = DurableStore::new(store, LocalRoot::new(root.clone()));
        let local = LocalRoot::new(root).read_directly();
        Ok(Lake::assemble(Arc::new(store), Some(local), RetryPolicy::default(), Arc::default(), None))
    }

    /// Makes an empty lake in memory, for tests and trials.
    pub fn in_memory() -> Lake {
        Lake::with_store(Arc::new(InMemory::new()), None, RetryPolicy::IMMEDIATE)
    }

    /// Makes a lake of any store. `local_root` is the folder behind a local store, canonical; it gives atomic views
    /// by rename and durable writes. Without it views are put through the store.
    pub fn with_store(store: Arc<dyn ObjectStore>, local_root: Option<PathBuf>, retry: RetryPolicy) -> Lake {
        Lake::assemble(store, local_root.map(LocalRoot::new), retry, Arc::default(), None)
    }

    /// Makes a lake of a client that counts its own requests and takes large files in parts.
    pub(crate) fn with_client(store: Arc<dyn ObjectStore>, retry: RetryPolicy, meter: Arc<Meter>, uploads: UploadPolicy) -> Lake {
        Lake::assemble(store, None, retry, meter, Some(uploads))
    }

    fn assemble(
        store: Arc<dyn ObjectStore>,
        local: Option<LocalRoot>,
        retry: RetryPolicy,
        meter: Arc<Meter>,
        uploads: Option<UploadPolicy>,
    ) -> Lake {
        let nonce = AtomicU64::new(u64::from(std::process::id()) << 32);
        let (probed, digests, documents) = (OnceCell::new(), Digests::default(), Documents::default());
        Lake { inner: Arc::new(Inner { store, local, retry, probed, nonce, meter, uploads, digests, documents }) }
    }

    /// What was asked of the store since this lake was opened, by all its clones; only S3 counts requests.
    pub fn traffic(&self) -> Traffic {
        self.inner.meter.read()
    }

    /// The same lake with another retry policy behind a decorator of its store, as for counting or for failing on
    /// purpose. The store is probed anew.
    #[must_use]
    pub fn decorated(&self, retry: RetryPolicy, decorate: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Lake {
        let Inner { store, local, meter, uploads, .. } = self.inner.as_ref();
        let local = local.as_ref().map(LocalRoot::read_through_store);
        Lake::assemble(decorate(Arc::clone(store)), local, retry, Arc::clone(meter), *uploads)
    }

    /// Reads a whole object; the key is relative to the lake.
    ///
    /// # Errors
    /// `InputMissing` when it is not there, else what the store says.
    pub async fn get_bytes(&self, key: &str) -> Result<Bytes> {
        let path = parse_path(key)?;
        self.read_whole(&path).await.map_err(|error| store_error("cannot read", key, error))
    }

    /// The folder behind the lake, when it is on local disk.
    pub fn local_folder(&self) -> Option<&FilePath> {
        self.local().map(LocalRoot::folder)
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        self.inner.store.as_ref()
    }

    pub(crate) fn local(&self) -> Option<&LocalRoot> {
        self.inner.local.as_ref()
    }

    /// The folder, when nothing between it and the reader needs to see a read.
    pub(crate) fn direct(&self) -> Option<&LocalRoot> {
        self.local().filter(|local| local.is_read_directly())
    }

    pub(crate) fn digests(&self) -> &Digests {
        &self.inner.digests
    }

    pub(crate) fn documents(&self) -> &Documents {
        &self.inner.documents
    }

    pub(crate) fn retry(&self) -> RetryPolicy {
        self.inner.retry
    }

    pub(crate) fn probed(&self) -> &OnceCell<()> {
        &self.inner.probed
    }

    pub(crate) fn uploads(&self) -> Option<UploadPolicy> {
        self.inner.uploads
    }

    pub(crate) fn count_read_back(&self) {
        self.inner.meter.count_read_back();
    }

    /// A number no other view of this host has on its way.
    pub(crate) fn next_nonce(&self) -> u64 {
        self.inner.nonce.fetch_add(1, Ordering::Relaxed)
    }

    /// The one gate before every write and delete: only a key that the grammar reads back as itself passes, so nothing
    /// below `raw/` ever does.
    pub(crate) fn writable(&self, key: &Key) -> Result<Path> {
        let text = key.to_string();
        if Key::parse(&text).as_ref() != Some(key) {
            return Err(Error::internal("refused to write a key outside the grammar").with("key", text));
        }
        parse_path(&text)
    }

    /// Puts a view's object, over an old one if need be.
    pub(crate) async fn replace_view(&self, key: &Key, bytes: Bytes) -> Result<()> {
        self.replace(key, bytes, "cannot write the view").await
    }

    /// Puts an object that may be replaced; `failed` begins the message of a failure.
    pub(crate) async fn replace(&self, key: &Key, bytes: Bytes, failed: &str) -> Result<()> {
        let path = self.writable_view(key)?;
        let put = self.store().put(&path, PutPayload::from_bytes(bytes)).await;
        put.map(|_| ()).map_err(|error| write_error(failed, path.as_ref(), error))
    }

    /// Has the store make a view's object a copy of a published file, over an old one if need be: no byte of it passes
    /// through here.
    pub(crate) async fn copy_to_view(&self, source: &str, key: &Key) -> Result<()> {
        let (from, to) = (parse_path(source)?, self.writable_view(key)?);
        match self.store().copy(&from, &to).await {
            Err(error @ object_store::Error::NotFound { .. }) => {
                let missing = Error::new(ErrorKind::CorruptInput, "a published file is missing").with("key", source);
                Err(missing.caused_by(error))
            }
            copied => copied.map_err(|error| store_error("cannot copy to the view", to.as_ref(), error)),
        }
    }

    /// Removes a view's object; one that is not there is fine.
    pub(crate) async fn delete_view(&self, key: &Key) -> Result<()> {
        let path = self.writable_view(key)?;
        match self.store().delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(store_error("cannot remove the view", path.as_ref(), error)),
        }
    }

    fn writable_view(&self, key: &Key) -> Result<Path> {
        if key.is_write_once() {
            return Err(Error::internal("refused to overwrite or delete a key that is written once").with("key", key));
        }
        self.writable(key)
    }

    /// Makes what was put survive a power cut, where the store does not do so itself.
    pub(crate) async fn make_durable(&self, key: &Key) -> Result<()> {
        let Some(local) = self.local().cloned() else { return Ok(()) };
        let text = key.to_string();
        blocking(move || local.sync(&text)).await
    }

    /// Every object below a folder, sorted by key.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let path = parse_path(prefix)?;
        let listed: object_store::Result<Vec<ObjectMeta>> = self.store().list(Some(&path)).try_collect().await;
        let mut objects = listed.map_err(|error| store_error("cannot list", prefix, error))?;
        objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    /// The folders directly below a folder, by their last segment, sorted.
    pub(crate) async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        let path = parse_path(prefix)?;
        let listed = self.store().list_with_delimiter(Some(&path)).await;
        let found = listed.map_err(|error| store_error("cannot list", prefix, error))?;
        let mut names: Vec<String> = found.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The size of an object; `None` when it is not there.
    pub(crate) async fn size(&self, key: &str) -> Result<Option<u64>> {
        match self.store().head(&parse_path(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error("cannot look up", key, error)),
        }
    }
}

/// Reads a key as the store's path, without encoding anything.
pub(crate) fn parse_path(key: &str) -> Result<Path> {
    Path::parse(key).map_err(|error| store_error("not a key", key, error.into()))
}

/// Runs file-system work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal("a blocking task did not finish").caused_by(error))?
}
