//! Raw files to chunks of exactly typed rows, and a report of everything that is not as declared.
//!
//! ```text
//! file ─▶ name, first bytes ─▶ decompress ─▶ [header] ─▶ blocks ─▶ typed columns ─▶ rules ─▶ Chunk
//!              └──────────────── check_headers ─┘            └──── violations ────▶ ViolationReport
//! ```
//!
//! Invariants: nothing is guessed, padded, rounded or trimmed; `rows_in` is the sum of rows in chunks and rejected rows
//! unless damage stopped a file; chunks stand in the order of files and lines, whatever the threads did. `Err` is only
//! for the store and for contracts that cannot be read with: what is wrong with the data is in the report.

mod column;
mod csv;
mod decompress;
mod dictionary;
mod excerpt;
mod field;
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

use std::sync::Arc;

use rayon::prelude::*;
use windrow_core::contract::{Reader, ReaderFormat};
use windrow_core::{Code, Contract, Error, Result, Violation, ViolationReport};

use crate::chunk::{Chunk, InputFile, Open};
use decompress::Bytes;
use outcome::{FileOutcome, Plan};
use scan::{BLOCK_BYTES, Limits, Scanner};
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

/// Reads a window: all files in parallel, each in blocks.
///
/// When [`check_headers`] finds anything, its report is returned and no row is read.
///
/// # Errors
/// As [`check_headers`], and `Misconfigured` for a contract whose rules or types cannot be compiled.
pub fn read_window(contract: &Contract, inputs: &[InputFile], open: Open<'_>) -> Result<RawWindow> {
    read_in_blocks(contract, inputs, open, BLOCK_BYTES)
}

fn read_in_blocks(contract: &Contract, inputs: &[InputFile], open: Open<'_>, block_bytes: usize) -> Result<RawWindow> {
    let plan = Plan::new(contract, block_bytes)?;
    let report = check_headers(contract, inputs, open)?;
    if !report.is_empty() {
        return Ok(RawWindow { report, ..RawWindow::default() });
    }
    let outcomes: Vec<FileOutcome> =
        inputs.par_iter().map(|input| read_file(&plan, input, open).map_err(|error| at(error, input))).collect::<Result<_>>()?;
    let mut window = RawWindow::default();
    for (input, outcome) in inputs.iter().zip(outcomes) {
        window.rows_in += outcome.rows;
        window.bytes_in += outcome.bytes;
        window.files.push(FileRead { key: input.key.clone(), rows: outcome.rows, bytes_in: outcome.bytes });
        window.chunks.extend(outcome.chunks);
        window.report.merge(outcome.report);
    }
    Ok(window)
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

fn read_file(plan: &Plan<'_>, input: &InputFile, open: Open<'_>) -> Result<FileOutcome> {
    match open_file(plan.contract, plan.reader, input, open)? {
        Opened::Refused(violation) => {
            let mut outcome = FileOutcome::default();
            outcome.report.push(violation);
            Ok(outcome)
        }
        Opened::Ready(_, stored) if plan.reader.format == ReaderFormat::Parquet => parquet::read_file(plan, &input.key, stored),
        Opened::Ready(codec, stored) => {
            let scanner = scanner(plan.contract, plan.reader, codec, stored, plan.block_bytes)?;
            match plan.reader.format {
                ReaderFormat::Ndjson => ndjson::read_file(plan, &input.key, scanner),
                _ => csv::read_file(plan, &input.key, scanner),
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
