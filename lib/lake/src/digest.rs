//! What a file's bytes are, told without holding them all.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use windrow_core::Result;
use windrow_core::canonical::{Sha256Hex, sha256_hex};

use crate::classify::io_error;
use crate::store::{Lake, blocking};

/// Small enough to stay in the cache, large enough that a system call costs nothing beside it.
const PIECE_BYTES: usize = 256 * 1024;

impl Lake {
    /// The size and the SHA-256 of an object. A local file is read piece by piece, any other at once.
    ///
    /// # Errors
    /// `InputMissing` when it is not there, else what the store says.
    pub async fn digest(&self, key: &str) -> Result<(u64, String)> {
        let Some(local) = self.direct() else {
            let bytes = self.get_bytes(key).await?;
            return Ok((bytes.len() as u64, sha256_hex(&bytes)));
        };
        let (path, key) = (local.file(key), key.to_owned());
        blocking(move || of_file(&path).map_err(|error| io_error("cannot read", &key, error))).await
    }
}

fn of_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
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
}
