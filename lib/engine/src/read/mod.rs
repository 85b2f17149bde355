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

mod column;
mod csv;
mod decompress;
mod excerpt;
mod index;
mod ndjson;
mod outcome;
mod parquet;
mod scan;
mod source;
mod text;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use windrow_core::contract::{Reader, ReaderFormat};
use windrow_core::{Code, Contract, Error, Result, Violation, ViolationReport};

pub use crate::chunk::Position;
use crate::chunk::{Chunk, InputFile, Open};
use decompress::Bytes;
use outcome::{FileOutcome, Outlet, Plan};
use scan::{BLOCK_BYTES, Limits, Scanner};
pub(crate) use source::store_error;
use source::{Codec, Stored, Trouble};

/// How much of a file is looked at for its header.
const HEADER_BYTES: usize = 1 << 16;

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
    let reader = reader_of(contract)?;
    let reports: Vec<ViolationReport> = inputs
        .par_iter()
        .map(|input| check_header(contract, reader, input, open).map_err(|error| at(error, input)))
        .collect::<Result<_>>()?;
    Ok(merged(reports))
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
    let report = check_headers(contract, inputs, open)?;
    if !report.is_empty() {
        return Ok(RawSummary { report, ..RawSummary::default() });
    }
    let outcomes: Vec<FileOutcome> = inputs
        .par_iter()
        .enumerate()
        .map(|(file, input)| {
            let mut outlet = Outlet { next: Position { file: u32::try_from(file).unwrap_or(u32::MAX), block: 0 }, sink };
            read_file(&plan, input, open, &mut outlet).map_err(|error| at(error, input))
        })
        .collect::<Result<_>>()?;
    let mut summary = RawSummary::default();
    for (input, outcome) in inputs.iter().zip(outcomes) {
        summary.rows_in += outcome.rows;
        summary.bytes_in += outcome.bytes;
        summary.files.push(FileRead { key: input.key.clone(), rows: outcome.rows, bytes_in: outcome.bytes });
        summary.report.merge(outcome.report);
    }
    Ok(summary)
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
        kept.lock().unwrap_or_else(PoisonError::into_inner).push((position, chunk));
        Ok(())
    };
    let RawSummary { rows_in, bytes_in, report, files } = read_each(contract, inputs, open, options, &sink)?;
    let mut kept = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    kept.sort_unstable_by_key(|(position, _)| *position);
    Ok(RawWindow { chunks: kept.into_iter().map(|(_, chunk)| chunk).collect(), rows_in, bytes_in, report, files })
}

fn merged(reports: Vec<ViolationReport>) -> ViolationReport {
    reports.into_iter().fold(ViolationReport::default(), |mut all, report| {
        all.merge(report);
        all
    })
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

/// The start of a file whose name and first bytes are as declared.
enum Opened {
    Ready(Codec, Stored),
    Refused(Violation),
}

fn open_file(contract: &Contract, reader: &Reader, input: &InputFile, open: Open<'_>) -> Result<Opened> {
    let refused = |code, expected: String| {
        let mut violation = Violation::of_file(code, input.key.clone(), expected);
        violation.contract = Some(contract.quote(&reader.place));
        Ok(Opened::Refused(violation))
    };
    let codec = match source::codec(reader, &input.key) {
        Ok(codec) => codec,
        Err(expected) => return refused(Code::WrongExtension, expected),
    };
    let mut stored = Stored::new(open(input)?);
    let first = stored.peek(8).map_err(source::store_error)?;
    if first.is_empty() {
        return refused(Code::EmptyFile, "expected at least a header, found 0 bytes".to_owned());
    }
    if let Err(expected) = source::check_magic(reader.format, codec, first) {
        return refused(Code::WrongFileType, expected);
    }
    Ok(Opened::Ready(codec, stored))
}

fn check_header(contract: &Contract, reader: &Reader, input: &InputFile, open: Open<'_>) -> Result<ViolationReport> {
    let mut report = ViolationReport::default();
    match open_file(contract, reader, input, open)? {
        Opened::Refused(violation) => report.push(violation),
        Opened::Ready(_, stored) if reader.format == ReaderFormat::Parquet => {
            report.merge(parquet::check_footer(contract, &input.key, stored)?);
        }
        Opened::Ready(codec, stored) => {
            let mut scanner = scanner(contract, reader, codec, stored, HEADER_BYTES)?;
            report.merge(match reader.format {
                ReaderFormat::Ndjson => ndjson::check_start(contract, &input.key, &mut scanner)?,
                _ => csv::check_header(contract, &input.key, &mut scanner)?,
            });
        }
    }
    Ok(report)
}

fn read_file(plan: &Plan<'_>, input: &InputFile, open: Open<'_>, outlet: &mut Outlet<'_>) -> Result<FileOutcome> {
    match open_file(plan.contract, plan.reader, input, open)? {
        Opened::Refused(violation) => {
            let mut outcome = FileOutcome::default();
            outcome.report.push(violation);
            Ok(outcome)
        }
        Opened::Ready(_, stored) if plan.reader.format == ReaderFormat::Parquet => {
            parquet::read_file(plan, &input.key, stored, outlet)
        }
        Opened::Ready(codec, stored) => {
            let scanner = scanner(plan.contract, plan.reader, codec, stored, plan.block_bytes)?;
            match plan.reader.format {
                ReaderFormat::Ndjson => ndjson::read_file(plan, &input.key, scanner, outlet),
                _ => csv::read_file(plan, &input.key, scanner, outlet),
            }
        }
    }
}

fn scanner(contract: &Contract, reader: &Reader, codec: Codec, stored: Stored, block_bytes: usize) -> Result<Scanner> {
    let bytes = match Bytes::new(codec, stored) {
        Ok(bytes) => bytes,
        Err(Trouble::Store(error)) => return Err(error),
        Err(Trouble::Damage(_, expected)) => return Err(Error::internal(expected)),
    };
    let (structure, max_field_bytes) = match reader.format {
        ReaderFormat::Ndjson => (ndjson::STRUCTURE, u64::MAX),
        _ => (csv::structure(contract), reader.max_field_bytes),
    };
    let limits = Limits { block_bytes, max_field_bytes, max_row_bytes: reader.max_row_bytes };
    Ok(Scanner::new(bytes, structure, limits))
}
