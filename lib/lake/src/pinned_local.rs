//! Pinned reads of a local file: opened once, looked at before its first and after its last byte.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use windrow_core::{Error, Result};

use crate::classify::io_error;
use crate::discovery::RawInput;
use crate::pinned::changed;

/// Reads a file of the lake's own folder, without a detour over the store and the runtime.
#[derive(Debug)]
pub(crate) struct LocalReader {
    path: PathBuf,
    input: RawInput,
    file: Option<File>,
    read: u64,
}

impl LocalReader {
    /// Nothing is opened before the first read, so that many readers can be made ahead.
    pub(crate) fn new(path: PathBuf, input: &RawInput) -> Self {
        LocalReader { path, input: input.clone(), file: None, read: 0 }
    }

    /// Reads some bytes; 0 says that all were read, and that the file under this name is still the listed one.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.file.is_none() {
            let file = File::open(&self.path).map_err(|error| self.failed(error))?;
            let found = file.metadata().map_err(|error| self.failed(error))?;
            self.require_listed(&found)?;
            self.file = Some(file);
        }
        let left = usize::try_from(self.input.size - self.read).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let (Some(file), Some(target)) = (&mut self.file, buffer.get_mut(..length)) else { return Ok(0) };
        let read = loop {
            match file.read(target) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
                Ok(read) => break read,
            }
        };
        self.read += read as u64;
        if read == 0 && !buffer.is_empty() {
            self.confirm()?;
        }
        Ok(read)
    }

    /// The name is looked up again, and not the open file: one that was replaced has changed too.
    fn confirm(&self) -> Result<()> {
        if self.read < self.input.size {
            return Err(changed(&self.input));
        }
        let found = fs::metadata(&self.path).map_err(|error| self.failed(error))?;
        self.require_listed(&found)
    }

    fn require_listed(&self, found: &Metadata) -> Result<()> {
        let is_same = found.len() == self.input.size && self.input.etag.as_ref().is_none_or(|etag| *etag == tag(found));
        if is_same { Ok(()) } else { Err(changed(&self.input)) }
    }

    fn failed(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::NotFound {
            return changed(&self.input).caused_by(error);
        }
        io_error("cannot read", &self.input.key, error)
    }
}

/// The entity tag that the store lists a local file with: inode, microseconds of the last write, size.
fn tag(found: &Metadata) -> String {
    let written = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or(Duration::ZERO);
    format!("{:x}-{:x}-{:x}", found.ino(), written.as_micros(), found.len())
}
