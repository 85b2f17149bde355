//! Raw files to chunks of exactly typed rows, and a report of everything that is not as declared.
//!
//! ```text
//! file ─▶ name, first bytes ─▶ decompress ─▶ [header] ─▶ blocks ─▶ typed columns ─▶ rules ─▶ Chunk
//!              └──────────────── check_headers ─┘            └──── violations ────▶ ViolationReport
//! ```
//!
//! Invariants: nothing is guessed, padded, rounded or trimmed; `rows_in` is the sum of rows in chunks and rejected rows
//! unless damage stopped a file; positions give the order of files and lines, whatever the threads did. `Err` is only
//! for the store and for contracts that cannot be read with: what is wrong with the data is in the report.

mod ahead;
mod column;
mod csv;
mod decompress;
mod dictionary;
mod excerpt;
mod field;
mod flow;
mod headers;
mod index;
mod ndjson;
mod outcome;
mod parquet;
mod scan;
mod source;
mod strings;
mod text;
mod tokens;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windrow_core::contract::{Reader, ReaderFormat};
use windrow_core::{Contract, Error, Result, ViolationReport};

pub use crate::chunk::Position;
use crate::chunk::{Chunk, InputFile, Open};
use ahead::Ahead;
use decompress::Bytes;
use index::Structure;
use outcome::Plan;
use scan::{BLOCK_BYTES, Limits, Scanner};
pub(crate) use source::store_error;
use source::{Codec, Stored, Trouble};

/// How many bytes of small files are kept between the look at their headers and their rows.
const KEPT_BYTES: u64 = 64 << 20;

/// The rows of one window.
#[derive(Debug, Default)]
pub struct RawWindow {
    /// The good rows, in the order of files and lines.
    pub chunks: Vec<Chunk>,
    /// How many data rows were seen, rejected ones included.
    pub rows_in: u64,
    /// How many bytes were read, decompressed.
    pub bytes_in: u64,
    /// Everything that is not as declared.
    pub report: ViolationReport,
    /// What each file gave, in input order.
    pub files: Vec<FileRead>,
}

/// Takes the chunks, in any order and from several rayon threads at once.
pub type Sink<'a> = &'a (dyn Fn(Position, Chunk) -> Result<()> + Sync);

/// How a window is read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// About how many bytes of a file one chunk is made of; at most 8 MiB.
    pub block_bytes: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions { block_bytes: BLOCK_BYTES }
    }
}

/// What was read of a window, without its rows.
#[derive(Debug, Default)]
pub struct RawSummary {
    /// How many data rows were seen, rejected ones included.
    pub rows_in: u64,
    /// How many bytes were read, decompressed.
    pub bytes_in: u64,
    /// Everything that is not as declared.
    pub report: ViolationReport,
    /// What each file gave, in input order.
    pub files: Vec<FileRead>,
}

/// What one file gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// The file's key.
    pub key: Arc<str>,
    /// How many data rows were seen.
    pub rows: u64,
    /// How many bytes were read, decompressed.
    pub bytes_in: u64,
}

/// Checks names, first bytes and headers (Parquet: footers) of all files before any row is read.
///
/// # Errors
/// Failures of `open` and of the store, as they are; `Misconfigured` for a contract without a reader.
pub fn check_headers(contract: &Contract, inputs: &[InputFile], open: Open<'_>) -> Result<ViolationReport> {
    Ok(headers::check(contract, inputs, open, 0)?.report)
}

/// Reads a window and gives each chunk away as soon as it is typed; [`Position`] restores the order.
///
/// When [`check_headers`] finds anything, its report is returned and no row is read. The report is in the order of files
/// and lines, whichever chunk came first.
///
/// # Errors
/// As [`check_headers`], `Misconfigured` for a contract whose rules or types cannot be compiled, and what `sink` returns;
/// after an error no further file is begun.
pub fn read_each(
    contract: &Contract,
    inputs: &[InputFile],
    open: Open<'_>,
    options: &ReadOptions,
    sink: Sink<'_>,
) -> Result<RawSummary> {
    let plan = Plan::new(contract, options.block_bytes)?;
    let headers = headers::check(contract, inputs, open, KEPT_BYTES)?;
    if !headers.report.is_empty() {
        return Ok(RawSummary { report: headers.report, ..RawSummary::default() });
    }
    flow::read(&plan, inputs, Ahead::new(plan.reader, inputs, open, headers.kept), sink)
}

/// Reads a window and keeps all its chunks, in the order of files and lines; else as [`read_each`].
///
/// # Errors
/// As [`read_each`].
pub fn read_window(contract: &Contract, inputs: &[InputFile], open: Open<'_>) -> Result<RawWindow> {
    collect(contract, inputs, open, &ReadOptions::default())
}

fn collect(contract: &Contract, inputs: &[InputFile], open: Open<'_>, options: &ReadOptions) -> Result<RawWindow> {
    let kept: Mutex<Vec<(Position, Chunk)>> = Mutex::new(Vec::new());
    let sink = |position: Position, chunk: Chunk| -> Result<()> {
        lock(&kept).push((position, chunk));
        Ok(())
    };
    let RawSummary { rows_in, bytes_in, report, files } = read_each(contract, inputs, open, options, &sink)?;
    let mut kept = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    kept.sort_unstable_by_key(|(position, _)| *position);
    Ok(RawWindow { chunks: kept.into_iter().map(|(_, chunk)| chunk).collect(), rows_in, bytes_in, report, files })
}

fn reader_of(contract: &Contract) -> Result<&Reader> {
    contract
        .reader
        .as_ref()
        .ok_or_else(|| Error::misconfigured("the contract declares no reader").with("contract", &contract.file))
}

fn at(error: Error, input: &InputFile) -> Error {
    error.with("file", &input.key)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn structure(contract: &Contract, reader: &Reader) -> Structure {
    if reader.format == ReaderFormat::Ndjson { ndjson::STRUCTURE } else { csv::structure(contract) }
}

fn scanner(reader: &Reader, codec: Codec, stored: Stored, block_bytes: usize) -> Result<Scanner> {
    let bytes = match Bytes::new(codec, stored) {
        Ok(bytes) => bytes,
        Err(Trouble::Store(error)) => return Err(error),
        Err(Trouble::Damage(_, expected)) => return Err(Error::internal(expected)),
    };
    let max_field_bytes = if reader.format == ReaderFormat::Ndjson { u64::MAX } else { reader.max_field_bytes };
    let limits = Limits { block_bytes, max_field_bytes, max_row_bytes: reader.max_row_bytes };
    Ok(Scanner::new(bytes, limits))
}
