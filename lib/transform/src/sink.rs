//! Who takes the rows of a result.

use std::sync::{Mutex, PoisonError};

use arrow_array::RecordBatch;
use windrow_core::{Error, Result};

/// Why a result was not handed over.
#[derive(Debug)]
pub enum QueryError {
    /// What the engine says, which may quote values.
    Engine(Error),
    /// What the sink says.
    Sink(Error),
}

impl QueryError {
    /// The error, whoever says it.
    pub fn into_error(self) -> Error {
        match self {
            QueryError::Engine(error) | QueryError::Sink(error) => error,
        }
    }
}

impl From<Error> for QueryError {
    fn from(error: Error) -> Self {
        QueryError::Engine(error)
    }
}

/// Takes batches in no order, from several threads, while the query runs.
pub trait Sink: Sync {
    /// Takes a batch; no two have the same number. A result without rows is one batch without rows.
    ///
    /// # Errors
    /// Whatever is wrong with it; the query ends then.
    fn take(&self, number: u32, batch: RecordBatch) -> Result<()>;
}

/// Keeps all rows in memory.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Vec<RecordBatch>>);

impl Kept {
    /// The batches.
    pub fn into_batches(self) -> Vec<RecordBatch> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Kept {
    fn take(&self, _: u32, batch: RecordBatch) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
        Ok(())
    }
}
