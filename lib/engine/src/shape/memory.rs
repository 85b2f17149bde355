//! How much memory a window may take, and where its columns go when they take more.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use windrow_core::{Error, ErrorKind};

use super::spill::SpillFile;

/// The bound of one window.
#[derive(Debug, Default)]
pub struct Memory {
    limit: Option<u64>,
    is_beside_query: bool,
    folder: PathBuf,
    spilled: AtomicU64,
    file: OnceLock<Arc<SpillFile>>,
}

/// What reading, encoding and the program itself need beside the rows.
const WORKING_BYTES: u64 = 64 << 20;

impl Memory {
    /// At most about `limit` bytes in all; columns that do not fit are written to an unnamed file in `folder`.
    pub fn limited(limit: u64, folder: PathBuf) -> Self {
        Memory { limit: Some(limit), folder, ..Memory::default() }
    }

    /// The same for rows that a query yields, which needs memory itself as long as they come.
    #[must_use]
    pub fn beside_query(self) -> Self {
        Memory { is_beside_query: true, ..self }
    }

    /// No bound: everything stays in memory.
    pub fn unlimited() -> Self {
        Memory::default()
    }

    /// The bound in bytes.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// The folder of spilled columns.
    pub fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// How many bytes were spilled so far.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// The file of spilled columns, made when it is first needed.
    ///
    /// # Errors
    /// As [`SpillFile::create`].
    pub(crate) fn file(&self) -> Result<Arc<SpillFile>, Error> {
        if let Some(file) = self.file.get() {
            return Ok(file.clone());
        }
        let file = Arc::new(SpillFile::create(&self.folder)?);
        Ok(self.file.get_or_init(|| file).clone())
    }

    pub(crate) fn count_spilled(&self, bytes: u64) {
        self.spilled.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many bytes of columns may be held while they come: half of what is left, since an allocator does not give
    /// back all that was freed, and half of that beside a query.
    pub(crate) fn for_columns(&self) -> u64 {
        let part = if self.is_beside_query { 4 } else { 2 };
        self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(2 * WORKING_BYTES) / part)
    }

    /// Tells whether that many bytes fit beside what is always needed.
    pub(crate) fn fits(&self, bytes: u64) -> bool {
        self.limit.is_none_or(|limit| bytes.saturating_add(WORKING_BYTES) <= limit)
    }

    /// Insists that so many bytes of keys fit.
    ///
    /// # Errors
    /// `OutOfMemory` with the limit that would do.
    pub(crate) fn require(&self, bytes: u64, rows: usize) -> Result<(), Error> {
        let need = bytes.saturating_add(WORKING_BYTES);
        let Some(limit) = self.limit.filter(|limit| need > *limit) else { return Ok(()) };
        let would_do = mebibytes(need.saturating_mul(5) / 4);
        let message = format!(
            "the keys of {rows} rows need {} MiB, and the limit is {} MiB: rows spill to disk, their keys do not",
            mebibytes(need),
            mebibytes(limit)
        );
        Err(Error::new(ErrorKind::OutOfMemory, message)
            .with("would_do_mib", would_do)
            .help(format!("give the worker more memory and `--memory-limit {would_do}MiB` or none, or declare a finer window")))
    }
}

fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
