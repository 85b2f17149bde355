//! The object store of the simulation: a map of keys, where every operation waits for its turn.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::MutexGuard;
use std::task::Poll;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::world::{Answer, Change, Effect, Fate, Object, Operation, Shared, World, Write};

/// The store as one actor reaches it.
#[derive(Clone)]
pub(crate) struct SimStore {
    world: Shared,
    actor: usize,
}

impl SimStore {
    pub(crate) fn new(world: Shared, actor: usize) -> SimStore {
        SimStore { world, actor }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Waits until the scheduler gives this actor a turn.
    async fn turn(&self, operation: Operation, key: &str) -> Fate {
        poll_fn(|context| match self.world().take_turn(self.actor, operation, key) {
            Some(fate) => Poll::Ready(fate),
            None => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    }

    async fn read(&self, operation: Operation, key: &str) -> Result<()> {
        match self.turn(operation, key).await.answer {
            Answer::Dead => std::future::pending().await,
            Answer::True => Ok(()),
            Answer::Lost | Answer::Exists => Err(lost()),
        }
    }

    async fn write(&self, operation: Operation, key: &str, change: Change) -> Result<PutResult> {
        let begun = self.world().actors[self.actor].call_began;
        let write = Write { actor: self.actor, key: key.to_owned(), change, begun };
        let fate = self.turn(operation, key).await;
        let is_done = self.effect(write, fate.effect);
        match fate.answer {
            Answer::Dead => std::future::pending().await,
            Answer::Lost => Err(lost()),
            Answer::True if is_done => Ok(PutResult { e_tag: None, version: None }),
            Answer::True if operation == Operation::Copy && !self.world().objects.contains_key(key) => Err(not_found(key)),
            Answer::True | Answer::Exists => Err(self.exists(key)),
        }
    }

    fn effect(&self, write: Write, effect: Effect) -> bool {
        let mut world = self.world();
        world.check_issued(&write);
        match effect {
            Effect::Now => world.perform(&write),
            Effect::Late => {
                world.postpone(write);
                false
            }
            Effect::Never => false,
        }
    }

    /// Stores say it in two ways.
    fn exists(&self, key: &str) -> Error {
        let (path, source) = (key.to_owned(), "simulated".into());
        match self.world().rng.chance(500) {
            true => Error::AlreadyExists { path, source },
            false => Error::Precondition { path, source },
        }
    }

    /// One page of a listing: the first keys after `after`, and whether there may be more.
    async fn page(&self, folder: &str, after: Option<&str>) -> Result<(Vec<ObjectMeta>, bool)> {
        self.read(Operation::List, folder).await?;
        let world = self.world();
        let start = after.unwrap_or(folder).to_owned();
        let keys = world.objects.range(start..).filter(|(key, _)| Some(key.as_str()) != after);
        let below = keys.take_while(|(key, _)| key.starts_with(folder));
        let found: Vec<ObjectMeta> = below.take(world.page).map(|(key, object)| meta(key, object)).collect();
        let is_full = found.len() == world.page;
        Ok((found, is_full))
    }
}

fn lost() -> Error {
    Error::Generic { store: "simulated", source: "connection reset".into() }
}

fn not_found(key: &str) -> Error {
    Error::NotFound { path: key.to_owned(), source: "simulated".into() }
}

fn meta(key: &str, object: &Object) -> ObjectMeta {
    ObjectMeta {
        location: Path::parse(key).unwrap(),
        last_modified: (UNIX_EPOCH + Duration::from_secs(object.written)).into(),
        size: object.bytes.len() as u64,
        e_tag: Some(format!("\"v{}\"", object.version)),
        version: None,
    }
}

fn folder_of(prefix: Option<&Path>) -> String {
    prefix.filter(|path| !path.as_ref().is_empty()).map(|path| format!("{path}/")).unwrap_or_default()
}

impl std::fmt::Debug for SimStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimStore({})", self.actor)
    }
}

impl std::fmt::Display for SimStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("simulated store")
    }
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let bytes: Bytes = payload.into();
        match options.mode {
            PutMode::Create => self.write(Operation::Create, location.as_ref(), Change::Create(bytes)).await,
            PutMode::Overwrite => self.write(Operation::Overwrite, location.as_ref(), Change::Overwrite(bytes)).await,
            PutMode::Update(_) => Err(Error::NotImplemented { operation: "update".into(), implementer: "simulated".into() }),
        }
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "multipart".into(), implementer: "simulated".into() })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { Operation::Head } else { Operation::Get };
        self.read(operation, location.as_ref()).await?;
        let world = self.world();
        let object = world.objects.get(location.as_ref()).ok_or_else(|| not_found(location.as_ref()))?;
        let meta = meta(location.as_ref(), object);
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            None => 0..meta.size,
            Some(range) => {
                range.as_range(meta.size).map_err(|error| Error::Generic { store: "simulated", source: Box::new(error) })?
            }
        };
        let bytes = object.bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap());
        let payload = GetResultPayload::Stream(futures::stream::once(async move { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let whole = self.get_opts(location, GetOptions::default()).await?.bytes().await?;
        Ok(ranges.iter().map(|range| whole.slice(range.start as usize..range.end as usize)).collect())
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = locations.then(move |location| {
            let store = store.clone();
            async move {
                let location = location?;
                store.write(Operation::Delete, location.as_ref(), Change::Delete).await?;
                Ok(location)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, folder) = (self.clone(), folder_of(prefix));
        let pages =
            futures::stream::try_unfold((store, folder, None::<String>, false), |(store, folder, after, is_over)| async move {
                if is_over {
                    return Ok(None);
                }
                let (found, is_full) = store.page(&folder, after.as_deref()).await?;
                let last = found.last().map(|meta| meta.location.to_string());
                let listed = futures::stream::iter(found.into_iter().map(Ok));
                Ok::<_, Error>(Some((listed, (store, folder, last, !is_full))))
            });
        pages.try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = folder_of(prefix);
        self.read(Operation::List, &folder).await?;
        let world = self.world();
        let mut found = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        for (key, object) in world.objects.range(folder.clone()..).take_while(|(key, _)| key.starts_with(&folder)) {
            match key[folder.len()..].split_once('/') {
                None => found.objects.push(meta(key, object)),
                Some((first, _)) => {
                    let path = Path::parse(format!("{folder}{first}")).unwrap();
                    if found.common_prefixes.last() != Some(&path) {
                        found.common_prefixes.push(path);
                    }
                }
            }
        }
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let is_create = options.mode == CopyMode::Create;
        if is_create && !self.world().has_copy_if_absent {
            return Err(Error::NotSupported { source: "no copy-if-absent".into() });
        }
        let change = Change::Copy { from: from.to_string(), is_create };
        self.write(Operation::Copy, to.as_ref(), change).await.map(|_| ())
    }
}
