//! What a file's bytes are, told without holding them all, and once for each version of a local file.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use windrow_core::Result;
use windrow_core::canonical::{Sha256Hex, sha256_hex};

use crate::classify::io_error;
use crate::store::{Lake, blocking};

/// Small enough to stay in the cache, large enough that a system call costs nothing beside it.
const PIECE_BYTES: usize = 256 * 1024;

/// The digests of local files this process has seen all bytes of.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    by_key: Mutex<HashMap<String, (Version, String)>>,
}

/// Whatever writes to a file, replaces it or sets its times changes this. What does so within one tick of the file system's
/// clock, some milliseconds, is told no better than what does so right after the file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Lake {
    /// The size and the SHA-256 of an object. A local file is read piece by piece, and not again until it changes; any other at
    /// once.
    ///
    /// # Errors
    /// `InputMissing` when it is not there, else what the store says.
    pub async fn digest(&self, key: &str) -> Result<(u64, String)> {
        let Some(local) = self.direct() else {
            let bytes = self.get_bytes(key).await?;
            return Ok((bytes.len() as u64, sha256_hex(&bytes)));
        };
        let (lake, path, key) = (self.clone(), local.file(key), key.to_owned());
        blocking(move || lake.digests().of_file(&key, &path).map_err(|error| io_error("cannot read", &key, error))).await
    }

    /// Keeps the digest of a local file that was just written; what cannot be looked at is read when it is asked for.
    pub(crate) fn keep_digest(&self, key: &str, sha256: &str) {
        if let Some(version) = self.direct().and_then(|local| fs::metadata(local.file(key)).ok()).map(|found| Version::of(&found))
        {
            self.digests().keep(key, version, sha256);
        }
    }
}

impl Digests {
    fn of_file(&self, key: &str, path: &Path) -> io::Result<(u64, String)> {
        let mut file = File::open(path)?;
        let version = Version::of(&file.metadata()?);
        if let Some((_, sha256)) = self.known().get(key).filter(|(known, _)| *known == version) {
            return Ok((version.size, sha256.clone()));
        }
        let (size, sha256) = of_bytes(&mut file)?;
        if Version::of(&file.metadata()?) == version {
            self.keep(key, version, &sha256);
        }
        Ok((size, sha256))
    }

    fn keep(&self, key: &str, version: Version, sha256: &str) {
        self.known().insert(key.to_owned(), (version, sha256.to_owned()));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, (Version, String)>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Version {
    fn of(found: &Metadata) -> Self {
        Version {
            device: found.dev(),
            inode: found.ino(),
            size: found.len(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

fn of_bytes(file: &mut File) -> io::Result<(u64, String)> {
    let (mut size, mut sha256, mut piece) = (0, Sha256Hex::default(), vec![0; PIECE_BYTES]);
    loop {
        let read = match file.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { return Ok((size, sha256.finish())) };
        sha256.update(bytes);
        size += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use windrow_core::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn a_local_file_is_told_as_its_bytes_are_and_a_missing_one_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open_local(folder.path()).unwrap();
        for length in [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            std::fs::write(folder.path().join("file"), &bytes).unwrap();
            assert_eq!(lake.digest("file").await.unwrap(), (length as u64, sha256_hex(&bytes)));
        }
        assert_eq!(lake.digest("none").await.unwrap_err().kind(), ErrorKind::InputMissing);
        assert_eq!(Lake::in_memory().digest("none").await.unwrap_err().kind(), ErrorKind::InputMissing);
    }

    #[tokio::test]
    async fn a_file_is_read_once_for_each_version() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open_local(folder.path()).unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let one = (3, sha256_hex(b"one"));
        assert_eq!(lake.digest("file").await.unwrap(), one);
        lake.keep_digest("file", "a digest that nobody computes");
        assert_eq!(lake.digest("file").await.unwrap().1, "a digest that nobody computes", "not read again");

        // The same size, and the time of the last write set back: written in place, and replaced.
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        let set_back = || File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::fs::write(&path, "two").unwrap();
        set_back();
        assert_eq!(lake.digest("file").await.unwrap().1, sha256_hex(b"two"));
        std::fs::write(folder.path().join("other"), "six").unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        set_back();
        assert_eq!(lake.digest("file").await.unwrap().1, sha256_hex(b"six"));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(lake.digest("file").await.unwrap_err().kind(), ErrorKind::InputMissing);
    }
}
