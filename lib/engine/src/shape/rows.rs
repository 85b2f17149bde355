//! Rows of many chunks under one number each, in chunk order, and batches gathered from them in any order.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::interleave::interleave;
use rayon::prelude::*;
use windrow_core::{Error, Result};

use super::keys::KeyColumn;
use crate::chunk::Chunk;

/// How many rows a gathered batch has at most: small enough for the cache, large enough for columns.
const BATCH_ROWS: usize = 1 << 16;

/// The rows of a window, numbered across its chunks.
#[derive(Debug)]
pub(crate) struct RowMap<'a> {
    chunks: &'a [Chunk],
    /// The number of the first row of each chunk.
    starts: Vec<usize>,
    rows: usize,
}

impl<'a> RowMap<'a> {
    /// Numbers the rows.
    ///
    /// # Errors
    /// `Misconfigured` beyond 2^32 rows: such a window wants a finer grain.
    pub(crate) fn new(chunks: &'a [Chunk]) -> Result<Self> {
        let mut rows = 0;
        let mut starts = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            starts.push(rows);
            rows += chunk.batch.num_rows();
        }
        if u32::try_from(rows).is_err() {
            let error = Error::misconfigured("more than 4,294,967,295 rows in one window").with("rows", rows);
            return Err(error.help("declare a finer window: hours instead of days"));
        }
        Ok(RowMap { chunks, starts, rows })
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// All row numbers in order.
    pub(crate) fn all(&self) -> Vec<u32> {
        (0..u32::try_from(self.rows).unwrap_or(u32::MAX)).collect()
    }

    fn locate(&self, row: u32) -> (usize, usize) {
        let row = row as usize;
        let chunk = self.starts.partition_point(|start| *start <= row).saturating_sub(1);
        (chunk, row - self.starts.get(chunk).copied().unwrap_or(0))
    }

    /// The file and line a row came from.
    pub(crate) fn origin(&self, row: u32) -> (Arc<str>, u64) {
        let (chunk, inner) = self.locate(row);
        let origin = self.chunks.get(chunk).map(|chunk| &chunk.origin);
        origin.map_or_else(|| ("".into(), 0), |origin| (origin.file().clone(), origin.line(inner)))
    }

    /// Looks at one value.
    pub(crate) fn value<T>(&self, row: u32, column: &str, look: impl Fn(&dyn Array, usize) -> Option<T>) -> Option<T> {
        let (chunk, inner) = self.locate(row);
        look(self.chunks.get(chunk)?.batch.column_by_name(column)?, inner)
    }

    /// A column of all chunks as part of a key.
    ///
    /// # Errors
    /// `Misconfigured` when a chunk lacks it.
    pub(crate) fn key_column(&self, name: &str, descending: bool) -> Result<KeyColumn> {
        let missing = || Error::misconfigured(format!("column `{name}` of the key, sort or dedupe rule is not in the table"));
        let chunks = self.chunks.iter().map(|chunk| chunk.batch.column_by_name(name).cloned().ok_or_else(missing));
        Ok(KeyColumn { chunks: chunks.collect::<Result<_>>()?, descending })
    }

    /// Gathers rows in the given order into batches of about 64 Ki rows; fewer where their texts would exceed 2 GiB.
    ///
    /// # Errors
    /// `Internal` when a type cannot be gathered.
    pub(crate) fn gather(&self, order: &[u32], schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let failed = |error| Error::internal("cannot gather rows").caused_by(error);
        let gathered = order.par_chunks(BATCH_ROWS).map(|rows| self.gather_rows(rows, schema).map_err(failed));
        Ok(gathered.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn gather_rows(&self, rows: &[u32], schema: &SchemaRef) -> Result<Vec<RecordBatch>, ArrowError> {
        match self.gather_batch(rows, schema) {
            Err(ArrowError::OffsetOverflowError(_)) if rows.len() > 1 => {
                let (first, second) = rows.split_at(rows.len() / 2);
                let mut batches = self.gather_rows(first, schema)?;
                batches.extend(self.gather_rows(second, schema)?);
                Ok(batches)
            }
            one => Ok(vec![one?]),
        }
    }

    fn gather_batch(&self, rows: &[u32], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let places: Vec<(usize, usize)> = rows.iter().map(|row| self.locate(*row)).collect();
        let column = |index: usize| -> Result<ArrayRef, ArrowError> {
            let arrays: Vec<&dyn Array> = self.chunks.iter().map(|chunk| chunk.batch.column(index).as_ref()).collect();
            interleave(&arrays, &places)
        };
        let columns = (0..schema.fields().len()).map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(schema.clone(), columns, &options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Origin;
    use arrow_array::StringArray;

    #[test]
    #[ignore = "allocates 2.5 GiB; a step of its own in tests/run.sh"]
    fn texts_beyond_two_gibibytes_are_split_over_batches() {
        let text = "x".repeat(64 << 20);
        let array: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
        let batch = RecordBatch::try_from_iter_with_nullable([("t", array, true)]).unwrap();
        let chunks = [Chunk { batch: batch.clone(), origin: Origin::new("f".into(), 1) }];
        let gathered = RowMap::new(&chunks).unwrap().gather(&[0; 40], &batch.schema()).unwrap();
        assert_eq!(gathered.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [20, 20]);
    }
}
