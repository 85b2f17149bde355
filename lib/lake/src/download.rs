//! Large objects come down in ranges, several at once, all of one version.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, GetResult, ObjectStoreExt, Result};

use crate::store::Lake;

/// Enough to keep a connection to S3 busy.
const IN_FLIGHT: usize = 4;

/// How often an object is read anew because it was replaced meanwhile.
const MAX_VERSIONS: usize = 5;

impl Lake {
    /// Reads a whole object, on S3 in ranges: a request has one timeout for all its bytes.
    ///
    /// The first range is asked for before the size is known, so a small object takes one request. The others are
    /// asked for by the entity tag of the first, so the bytes are of one version.
    pub(crate) async fn read_whole(&self, path: &Path) -> Result<Bytes> {
        let Some(policy) = self.uploads() else { return self.read_at_once(path).await };
        let range_bytes = u64::try_from(policy.part_bytes()).unwrap_or(u64::MAX);
        for _ in 0..MAX_VERSIONS {
            if let Some(bytes) = self.read_version(path, range_bytes).await? {
                return Ok(bytes);
            }
        }
        Err(incomplete("the object was replaced again and again while it was read"))
    }

    async fn read_at_once(&self, path: &Path) -> Result<Bytes> {
        self.store().get(path).await?.bytes().await
    }

    /// Reads the version that is there now; `None` when it is replaced before all of it is read.
    async fn read_version(&self, path: &Path, range_bytes: u64) -> Result<Option<Bytes>> {
        let first = match self.get_range_of(path, 0..range_bytes, None).await {
            // An empty object has no ranges.
            Err(Error::Precondition { .. }) => return self.read_at_once(path).await.map(Some),
            first => first?,
        };
        let (size, version) = (first.meta.size, first.meta.e_tag.clone());
        let first = first.bytes().await?;
        if size <= range_bytes {
            return Ok(Some(first));
        }
        if version.is_none() {
            return self.read_at_once(path).await.map(Some);
        }
        let capacity = usize::try_from(size).map_err(|_| incomplete("the object is too large for this machine"))?;
        let mut bytes = BytesMut::with_capacity(capacity);
        bytes.extend_from_slice(&first);
        let starts = std::iter::successors(Some(range_bytes), |start| start.checked_add(range_bytes));
        let ranges = starts.take_while(|start| *start < size).map(|start| start..size.min(start.saturating_add(range_bytes)));
        let reads = ranges.map(|range| async { self.get_range_of(path, range, version.clone()).await?.bytes().await });
        let mut parts = futures::stream::iter(reads).buffered(IN_FLIGHT);
        while let Some(part) = parts.next().await {
            match part {
                Err(Error::Precondition { .. }) => return Ok(None),
                part => bytes.extend_from_slice(&part?),
            }
        }
        if bytes.len() == capacity { Ok(Some(bytes.freeze())) } else { Err(incomplete("the ranges are not the object")) }
    }

    async fn get_range_of(&self, path: &Path, range: Range<u64>, if_match: Option<String>) -> Result<GetResult> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), if_match, ..GetOptions::default() };
        self.store().get_opts(path, options).await
    }
}

fn incomplete(why: &'static str) -> Error {
    Error::Generic { store: "S3", source: why.into() }
}
