//! A data file on its way: it is written while it is encoded, and is there under its name when it is complete.
//!
//! On a folder it is a file in `store/tmp/` that is linked to its name once it is flushed, so its bytes are written once
//! and never held in memory, and it is flushed piece by piece while it is written. For other stores it is held in memory
//! until it is complete; on S3 it goes up meanwhile.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use bytes::Bytes;
use tokio::runtime::Handle;
use windrow_core::canonical::{Sha256Hex, sha256_hex};
use windrow_core::layout::Key;
use windrow_core::ledger::FileEntry;
use windrow_core::{Error, Result};

use crate::classify::io_error;
use crate::flushing::Flushing;
use crate::ledger::Claimed;
use crate::local::{LocalRoot, link_error};
use crate::put_once::PutOnce;
use crate::store::blocking;
use crate::table::LakeTable;
use crate::upload::Uploading;

/// How many bytes are handed to the disk at once.
const BUFFER_BYTES: usize = 1 << 18;

/// After how many bytes they are flushed while more are written: a smaller file is flushed at its end.
const FLUSHED_BYTES: usize = 1 << 23;

/// A data file that is being written.
#[derive(Debug)]
pub struct Spool {
    body: Body,
    hash: Sha256Hex,
    size: u64,
    buffer: Vec<u8>,
    uploading: Option<Uploading>,
}

#[derive(Debug)]
enum Body {
    Memory(Vec<u8>),
    Disk(Temp),
}

/// A file in `store/tmp/`, removed when it is not needed any more.
#[derive(Debug)]
struct Temp {
    file: File,
    path: PathBuf,
    root: LocalRoot,
    /// How many bytes were written since the last flush was asked for.
    unflushed: usize,
    flushing: Option<Flushing>,
}

impl Drop for Temp {
    fn drop(&mut self) {
        // What stays behind when this fails, or after a kill, is never read and is collected.
        let _ = fs::remove_file(&self.path);
    }
}

/// A complete data file that has no name yet.
#[derive(Debug)]
pub struct Spooled {
    body: Sealed,
    sha256: String,
    size: u64,
    uploading: Option<Uploading>,
}

#[derive(Debug)]
enum Sealed {
    Memory(Bytes),
    Disk(Temp),
}

/// The bytes of a complete data file.
#[derive(Debug)]
pub enum SpooledBytes {
    /// In memory.
    Memory(Bytes),
    /// On disk.
    File(File),
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        match &mut self.body {
            Body::Memory(memory) => {
                memory.extend_from_slice(bytes);
                if let Some(uploading) = &mut self.uploading {
                    uploading.offer(memory);
                }
            }
            Body::Disk(temp) if self.buffer.len() + bytes.len() > BUFFER_BYTES => {
                temp.write(&self.buffer)?;
                self.buffer.clear();
                temp.write(bytes)?;
            }
            Body::Disk(_) => self.buffer.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Parquet writers flush after every row group; what counts is that the file is whole when it is sealed.
        Ok(())
    }
}

impl Spool {
    /// Ends the file.
    ///
    /// # Errors
    /// What the disk says.
    pub fn seal(self) -> Result<Spooled> {
        let Spool { body, hash, size, buffer, uploading } = self;
        let body = match body {
            Body::Memory(memory) => Sealed::Memory(memory.into()),
            Body::Disk(mut temp) => {
                let written = temp.write(&buffer);
                written.map_err(|error| io_error("cannot write", &temp.path.display().to_string(), error))?;
                Sealed::Disk(temp)
            }
        };
        Ok(Spooled { body, sha256: hash.finish(), size, uploading })
    }
}

impl Spooled {
    /// The bytes, to be read once more before the file gets its name.
    ///
    /// # Errors
    /// What the disk says.
    pub fn bytes(&self) -> Result<SpooledBytes> {
        match &self.body {
            Sealed::Memory(bytes) => Ok(SpooledBytes::Memory(bytes.clone())),
            Sealed::Disk(temp) => {
                let opened = File::open(&temp.path);
                opened.map(SpooledBytes::File).map_err(|error| io_error("cannot read", &temp.path.display().to_string(), error))
            }
        }
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes of memory it takes until it is staged: none on a folder.
    pub fn held_bytes(&self) -> usize {
        match &self.body {
            Sealed::Memory(bytes) => bytes.len(),
            Sealed::Disk(_) => 0,
        }
    }
}

impl LakeTable {
    /// Opens a data file of about this size.
    ///
    /// # Errors
    /// What the disk says.
    pub fn spool(&self, expected_bytes: usize) -> Result<Spool> {
        let body = match self.lake().local() {
            None => Body::Memory(Vec::with_capacity(expected_bytes + expected_bytes / 16)),
            Some(root) => {
                let (file, path) = root.temp().map_err(|error| io_error("cannot create a file in", "store/tmp", error))?;
                Body::Disk(Temp { file, path, root: root.clone(), unflushed: 0, flushing: None })
            }
        };
        let buffer = Vec::with_capacity(if matches!(body, Body::Disk(_)) { BUFFER_BYTES } else { 0 });
        Ok(Spool { body, hash: Sha256Hex::default(), size: 0, buffer, uploading: None })
    }

    /// The same for a file of an attempt whose number is known: where large files go up in parts, on `runtime`, it goes up
    /// while it is written. It is there under its name when it is staged and not before.
    ///
    /// # Errors
    /// As [`LakeTable::spool`], and `Internal` for a number over [`PartPath::MAX_NUMBER`](windrow_core::layout::PartPath::MAX_NUMBER).
    pub fn spool_part(&self, claimed: &Claimed, number: u32, expected_bytes: usize, runtime: &Handle) -> Result<Spool> {
        let path = self.part_path(claimed, number, &sha256_hex(format!("{} {number}", claimed.attempt()).as_bytes()))?;
        let uploading = Uploading::new(self.lake(), Key::Part(self.name().clone(), path), runtime);
        Ok(Spool { uploading, ..self.spool(expected_bytes)? })
    }

    /// Gives a complete data file its name, and returns its entry for [`Output::files`](crate::Output::files). Idempotent.
    ///
    /// # Errors
    /// `Internal` for a number over [`PartPath::MAX_NUMBER`](windrow_core::layout::PartPath::MAX_NUMBER), else what the store says.
    pub async fn stage_spooled(
        &self,
        claimed: &Claimed,
        number: u32,
        spooled: Spooled,
        rows: u64,
        stats: serde_json::Value,
    ) -> Result<FileEntry> {
        let Spooled { body, sha256, size, uploading } = spooled;
        let uploading = uploading.filter(|uploading| uploading.begun().is_some());
        let path = match uploading.as_ref().and_then(Uploading::begun) {
            Some(Key::Part(_, path)) => path.clone(),
            _ => self.part_path(claimed, number, &sha256)?,
        };
        let key = Key::Part(self.name().clone(), path.clone());
        self.require_create_once().await?;
        let put = match (body, uploading) {
            (Sealed::Memory(bytes), Some(uploading)) => uploading.finish(&bytes).await?,
            (Sealed::Memory(bytes), None) => self.lake().put_file(&key, &bytes).await?,
            (Sealed::Disk(temp), _) => self.link(&key, temp, &sha256).await?,
        };
        match put {
            PutOnce::Mine => Ok(FileEntry { path, size, sha256, rows, stats }),
            PutOnce::Theirs(_) => Err(Error::internal("a data file of this name holds other bytes").with("key", key)),
            PutOnce::Unknown(error) => Err(error),
        }
    }

    async fn link(&self, key: &Key, temp: Temp, sha256: &str) -> Result<PutOnce> {
        self.lake().writable(key)?;
        let (text, wanted) = (key.to_string(), sha256.to_owned());
        let linked = blocking(move || temp.link(&text, &wanted)).await?;
        if let Some(theirs) = linked {
            return Ok(PutOnce::Theirs(theirs));
        }
        self.lake().make_durable(key).await?;
        self.lake().keep_digest(&key.to_string(), sha256);
        Ok(PutOnce::Mine)
    }
}

impl Temp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.unflushed += bytes.len();
        if self.unflushed >= FLUSHED_BYTES {
            self.unflushed = 0;
            self.flushing = self.flushing.take().or_else(|| Flushing::begin(&self.file));
            self.flushing.iter().for_each(Flushing::ask);
        }
        Ok(())
    }

    /// Flushes the file and gives it a name; the bytes of the file that has the name already, when they are others.
    fn link(mut self, key: &str, sha256: &str) -> Result<Option<Bytes>> {
        let failed = |error| io_error("cannot write", key, error);
        self.flushing.take().map_or(Ok(()), Flushing::end).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        let target = self.root.file(key);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        match fs::hard_link(&self.path, &target).map_err(link_error) {
            Ok(()) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = fs::read(&target).map_err(failed)?;
                let is_same = windrow_core::canonical::sha256_hex(&found) == sha256;
                Ok((!is_same).then(|| Bytes::from(found)))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(root: &LocalRoot, file: File, path: PathBuf) -> Spool {
        let temp = Temp { file, path, root: root.clone(), unflushed: 0, flushing: None };
        Spool { body: Body::Disk(temp), hash: Sha256Hex::default(), size: 0, buffer: Vec::new(), uploading: None }
    }

    fn is_flushing(spool: &Spool) -> bool {
        matches!(&spool.body, Body::Disk(temp) if temp.flushing.is_some())
    }

    fn link(spooled: Spooled) -> Result<Option<Bytes>> {
        let Sealed::Disk(temp) = spooled.body else { panic!("a file on disk") };
        temp.link("store/x", &spooled.sha256)
    }

    #[test]
    fn a_large_file_is_flushed_while_it_is_written_and_whole_when_it_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = LocalRoot::new(folder.path().to_owned());
        let (file, path) = root.temp().unwrap();
        let mut spool = spool(&root, file, path);
        let bytes: Vec<u8> = (0..FLUSHED_BYTES * 2 + 5).map(|at| (at % 251) as u8).collect();
        for (number, piece) in bytes.chunks(BUFFER_BYTES + 3).enumerate() {
            spool.write_all(piece).unwrap();
            let is_large = (number + 1) * (BUFFER_BYTES + 3) >= FLUSHED_BYTES;
            assert!(is_flushing(&spool) || !is_large, "piece {number}");
        }
        assert_eq!(link(spool.seal().unwrap()).unwrap(), None);
        assert_eq!(fs::read(folder.path().join("store/x")).unwrap(), bytes);
    }

    #[test]
    fn a_flush_that_fails_while_a_file_is_written_leaves_it_without_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = LocalRoot::new(folder.path().to_owned());
        let (file, path) = root.temp().unwrap();
        // A device that cannot be flushed stands for a disk that failed meanwhile; the last flush is one of a sound file.
        let flushing = Flushing::begin(&File::open("/dev/null").unwrap()).unwrap();
        flushing.ask();
        let temp = Temp { file, path, root: root.clone(), unflushed: 0, flushing: Some(flushing) };
        assert!(temp.link("store/x", "").unwrap_err().to_string().contains("cannot write"));
        assert!(!folder.path().join("store/x").exists());
    }
}
