//! The local store with a create that is whole or absent, also after a power cut.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use windrow_core::layout::Key;

use crate::local::LocalRoot;

/// How many names are tried for a file on its way; each is free unless a killed process of the same id left it.
const MAX_NAMES: u64 = 100_000;

/// Passes everything on to the local store but creates.
#[derive(Debug)]
pub(crate) struct DurableStore {
    inner: LocalFileSystem,
    root: LocalRoot,
    nonce: Arc<AtomicU64>,
}

impl DurableStore {
    pub(crate) fn new(inner: LocalFileSystem, root: LocalRoot) -> Self {
        let nonce = Arc::new(AtomicU64::new(u64::from(std::process::id()) << 32));
        DurableStore { inner, root, nonce }
    }

    async fn create(&self, location: &Path, payload: PutPayload) -> Result<PutResult> {
        let parts: Vec<Bytes> = payload.into_iter().collect();
        self.put_whole(location, move |root, key, names| root.create(key, &parts, names)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    /// Runs what makes a file in one step, with free names for the file on its way.
    async fn put_whole(
        &self,
        location: &Path,
        work: impl FnOnce(&LocalRoot, &str, &mut dyn Iterator<Item = String>) -> io::Result<()> + Send + 'static,
    ) -> Result<()> {
        let (root, nonce, key) = (self.root.clone(), self.nonce.clone(), location.to_string());
        let shown = key.clone();
        let work = move || {
            let mut names = (0..MAX_NAMES).map(|_| Key::CreateTemp { nonce: nonce.fetch_add(1, Ordering::Relaxed) }.to_string());
            work(&root, &key, &mut names)
        };
        let done = tokio::task::spawn_blocking(work).await?;
        done.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: shown, source: Box::new(error) },
            io::ErrorKind::NotFound => Error::NotFound { path: shown, source: Box::new(error) },
            _ => Error::Generic { store: "local disk", source: Box::new(error) },
        })
    }
}

impl fmt::Display for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "durable {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match options.mode {
            PutMode::Create => self.create(location, payload).await,
            PutMode::Overwrite | PutMode::Update(_) => self.inner.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        match options.mode {
            CopyMode::Create => {
                let source = from.to_string();
                self.put_whole(to, move |root, key, names| root.copy(&source, key, names)).await
            }
            CopyMode::Overwrite => self.inner.copy_opts(from, to, options).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;

    fn store(folder: &std::path::Path) -> DurableStore {
        DurableStore::new(LocalFileSystem::new_with_prefix(folder).unwrap(), LocalRoot::new(folder.to_owned()))
    }

    async fn create(store: &DurableStore, key: &str, bytes: &'static str) -> Result<PutResult> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&Path::parse(key).unwrap(), PutPayload::from_static(bytes.as_bytes()), options).await
    }

    #[tokio::test]
    async fn a_create_is_whole_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        create(&store, "store/a/b.json", "one").await.unwrap();
        assert!(matches!(create(&store, "store/a/b.json", "two").await, Err(Error::AlreadyExists { .. })));
        let read = store.get(&Path::parse("store/a/b.json").unwrap()).await.unwrap().bytes().await.unwrap();
        assert_eq!(&read[..], b"one");
        assert_eq!(std::fs::read_dir(folder.path().join("store/tmp/create")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn names_left_by_a_killed_process_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let first = store.nonce.load(Ordering::Relaxed);
        let left = folder.path().join(Key::CreateTemp { nonce: first }.to_string());
        std::fs::create_dir_all(left.parent().unwrap()).unwrap();
        std::fs::write(&left, "half").unwrap();
        create(&store, "store/a.json", "one").await.unwrap();
        assert_eq!(std::fs::read_to_string(left).unwrap(), "half");
    }
}
