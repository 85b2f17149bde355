//! Columns on disk: written once in small blocks, read back by ranges of rows.

use std::fs::File;
use std::io::Cursor;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{ArrayRef, RecordBatch, new_empty_array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::concat::concat;
use windrow_core::{Error, ErrorKind, Result};

use super::memory::Memory;

/// How many rows a block has: a range of a few thousand rows should cost little more than itself.
const BLOCK_ROWS: usize = 1 << 10;

/// An unnamed file that is gone with the process, whatever ends it.
#[derive(Debug)]
pub(crate) struct SpillFile {
    file: File,
    end: AtomicU64,
}

/// A column of a run in the spill file.
#[derive(Debug)]
pub(crate) struct SpilledColumn {
    file: Arc<SpillFile>,
    data_type: DataType,
    /// Where each block of [`BLOCK_ROWS`] rows stands.
    blocks: Vec<Range<u64>>,
}

impl SpillFile {
    /// # Errors
    /// `Misconfigured` when the folder takes no file.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|error| {
            Error::misconfigured("columns that exceed the memory limit cannot be written to disk")
                .with("folder", folder.display())
                .help("set TMPDIR to a writable folder with room for the window, or give more memory")
                .caused_by(error)
        })?;
        Ok(SpillFile { file, end: AtomicU64::new(0) })
    }

    fn append(&self, bytes: &[u8]) -> Result<Range<u64>> {
        let length = bytes.len() as u64;
        let start = self.end.fetch_add(length, Ordering::Relaxed);
        self.file.write_all_at(bytes, start).map_err(|error| {
            Error::new(ErrorKind::OutOfMemory, "the disk takes no more spilled columns")
                .with("spilled_bytes", start)
                .help("give the worker more disk or more memory, or set TMPDIR to a larger disk")
                .caused_by(error)
        })?;
        Ok(start..start + length)
    }
}

impl SpilledColumn {
    /// Writes a column.
    ///
    /// # Errors
    /// `OutOfMemory` when the disk is full.
    pub(crate) fn write(memory: &Memory, array: &ArrayRef) -> Result<Self> {
        let file = memory.file()?;
        let mut blocks = Vec::with_capacity(array.len().div_ceil(BLOCK_ROWS));
        for start in (0..array.len()).step_by(BLOCK_ROWS) {
            let bytes = encode(&array.slice(start, BLOCK_ROWS.min(array.len() - start))).map_err(defect)?;
            memory.count_spilled(bytes.len() as u64);
            blocks.push(file.append(&bytes)?);
        }
        Ok(SpilledColumn { file, data_type: array.data_type().clone(), blocks })
    }

    /// Reads the blocks that hold these rows; the number is that of the first row that was read.
    ///
    /// # Errors
    /// `Transient` when the disk fails.
    pub(crate) fn read(&self, rows: Range<usize>) -> Result<(usize, ArrayRef)> {
        let first = rows.start / BLOCK_ROWS;
        let wanted = self.blocks.get(first..rows.end.div_ceil(BLOCK_ROWS)).unwrap_or_default();
        let arrays = wanted.iter().map(|block| self.read_block(block)).collect::<Result<Vec<_>>>()?;
        let array = match arrays.as_slice() {
            [] => new_empty_array(&self.data_type),
            [one] => one.clone(),
            many => concat(&many.iter().map(|array| array.as_ref()).collect::<Vec<_>>()).map_err(defect)?,
        };
        Ok((first * BLOCK_ROWS, array))
    }

    fn read_block(&self, block: &Range<u64>) -> Result<ArrayRef> {
        let mut bytes = vec![0; usize::try_from(block.end - block.start).unwrap_or(0)];
        self.file
            .file
            .read_exact_at(&mut bytes, block.start)
            .map_err(|error| Error::new(ErrorKind::Transient, "cannot read spilled columns back").caused_by(error))?;
        decode(&bytes).map_err(defect)
    }
}

fn encode(array: &ArrayRef) -> Result<Vec<u8>, ArrowError> {
    let schema = Arc::new(Schema::new(vec![Field::new("c", array.data_type().clone(), true)]));
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&RecordBatch::try_new(schema, vec![array.clone()])?)?;
    writer.into_inner()
}

fn decode(bytes: &[u8]) -> Result<ArrayRef, ArrowError> {
    let missing = || ArrowError::IpcError("a block without its rows".to_owned());
    let mut reader = StreamReader::try_new(Cursor::new(bytes), None)?;
    let batch = reader.next().ok_or_else(missing)??;
    batch.columns().first().cloned().ok_or_else(missing)
}

fn defect(error: ArrowError) -> Error {
    Error::internal("spilled columns do not come back").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Array, Int32Array, StringArray};

    #[test]
    fn ranges_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::limited(0, folder.path().to_owned());
        let numbers: ArrayRef = Arc::new((0..20_000).map(|n| (n % 7 != 0).then_some(n)).collect::<Int32Array>());
        let texts: ArrayRef = Arc::new((0..20_000).map(|n| (n % 5 != 0).then(|| "x".repeat(n % 11))).collect::<StringArray>());
        for array in [numbers, texts] {
            let column = SpilledColumn::write(&memory, &array).unwrap();
            for rows in [0..1, 8_191..8_193, 0..20_000, 19_999..20_000, 16_384..16_384] {
                let (base, read) = column.read(rows.clone()).unwrap();
                let length = rows.len();
                assert_eq!(read.slice(rows.start - base, length).as_ref(), array.slice(rows.start, length).as_ref());
            }
        }
        assert!(memory.spilled() > 80_000);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = SpillFile::create("/nowhere/at/all".as_ref()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.help_text().unwrap().contains("TMPDIR"));
    }
}
