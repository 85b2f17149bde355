//! Whether rows that were said to be in order were: each batch by itself, and at the end all batches beside each other.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use polars::prelude::{ChunkedArray, DataFrame, DataType, PolarsError, PolarsNumericType, PolarsResult, Series};
use windrow_core::{Error, Result};

/// The proofs of all scans of a plan.
#[derive(Debug, Default)]
pub(crate) struct Proofs(Vec<Arc<Proof>>);

/// The batches of one scan.
#[derive(Debug)]
pub(super) struct Proof {
    column: String,
    files: Vec<PathBuf>,
    /// The first and the last value of each batch.
    spans: Mutex<Vec<(i64, i64)>>,
}

impl Proofs {
    pub(super) fn push(&mut self, proof: Arc<Proof>) {
        self.0.push(proof);
    }

    /// How many scans are read in order.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all that was read was in order.
    ///
    /// # Errors
    /// `Internal` when it was not: a result must not be made of it.
    pub(crate) fn check(&self) -> Result<()> {
        self.0.iter().find(|proof| !proof.is_right()).map_or(Ok(()), |proof| Err(proof.broken()))
    }
}

impl Proof {
    pub(super) fn new(column: &str, files: Vec<PathBuf>) -> Self {
        Proof { column: column.to_owned(), files, spans: Mutex::default() }
    }

    /// Takes a batch and gives it on.
    ///
    /// # Errors
    /// When it is out of order.
    pub(super) fn look(&self, frame: DataFrame) -> PolarsResult<DataFrame> {
        if frame.height() > 0 {
            let span = ordered_span(frame.column(&self.column)?.as_materialized_series())?;
            let span = span.ok_or_else(|| PolarsError::AssertionError(self.broken().to_string().into()))?;
            self.spans.lock().unwrap_or_else(PoisonError::into_inner).push(span);
        }
        Ok(frame)
    }

    /// Tells whether the batches stand beside each other.
    pub(super) fn is_right(&self) -> bool {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.sort_unstable();
        spans.is_sorted_by(|before, after| before.1 <= after.0)
    }

    fn broken(&self) -> Error {
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        Error::internal("rows are not in the order that their file's footer names")
            .with("column", &self.column)
            .with("files", files.join(", "))
    }
}

/// The first and the last value of a column of one row or more in ascending order; `None` when it is in no order.
fn ordered_span(column: &Series) -> PolarsResult<Option<(i64, i64)>> {
    let physical = column.to_physical_repr();
    Ok(match physical.dtype() {
        DataType::Int8 => span(physical.i8()?),
        DataType::Int16 => span(physical.i16()?),
        DataType::Int32 => span(physical.i32()?),
        DataType::Int64 => span(physical.i64()?),
        _ => None,
    })
}

fn span<T: PolarsNumericType<Native: Into<i64>>>(column: &ChunkedArray<T>) -> Option<(i64, i64)> {
    let mut bounds: Option<(i64, i64)> = None;
    if column.null_count() > 0 {
        return None;
    }
    for chunk in column.downcast_iter() {
        let values = chunk.values().as_slice();
        let (Some(first), Some(last)) = (values.first(), values.last()) else { continue };
        let (first, last): (i64, i64) = ((*first).into(), (*last).into());
        if bounds.is_some_and(|bounds| bounds.1 > first) || !is_ascending(values) {
            return None;
        }
        bounds = Some((bounds.map_or(first, |bounds| bounds.0), last));
    }
    bounds
}

/// Without a way out in the middle, so that it is done many values at a time.
fn is_ascending<T: PartialOrd + Copy>(values: &[T]) -> bool {
    let after = values.get(1..).unwrap_or_default();
    values.iter().zip(after).fold(true, |is_ascending, (before, after)| is_ascending & (before <= after))
}
