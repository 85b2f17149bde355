//! The headers of all files, before any row is read.

use std::io::Read;
use std::sync::Mutex;

use bytes::Bytes;
use rayon::prelude::*;
use windrow_core::contract::{Reader, ReaderFormat};
use windrow_core::{Contract, Result, ViolationReport};

use super::ahead::{Ahead, Begun, Opened};
use super::scan::Room;
use super::source::{Codec, Stored, store_error};
use super::{at, csv, lock, ndjson, parquet, reader_of, scanner, structure};
use crate::chunk::{InputFile, Open};

/// How much of a file is looked at for its header. Unpacking costs more than reading, and shows damage early.
const HEADER_BYTES: usize = 8 << 10;
const PACKED_HEADER_BYTES: usize = 64 << 10;

/// Up to this size a file is read whole at once: that costs less than opening it again.
const SMALL_FILE_BYTES: u64 = 64 << 10;

/// What the headers say.
pub(super) struct Headers {
    pub(super) report: ViolationReport,
    /// For each file its bytes, when it is small and there was room.
    pub(super) kept: Vec<Option<Bytes>>,
}

/// Checks all files; of small ones up to `kept_bytes` are kept.
pub(super) fn check(contract: &Contract, inputs: &[InputFile], open: Open<'_>, kept_bytes: u64) -> Result<Headers> {
    let reader = reader_of(contract)?;
    let ahead = Mutex::new(Ahead::new(reader, inputs, open, Vec::new()));
    let (reports, kept) = (Mutex::new(Vec::new()), Mutex::new(Kept { files: vec![None; inputs.len()], room: kept_bytes }));
    let threads = rayon::current_num_threads().min(inputs.len());
    (0..threads).into_par_iter().with_max_len(1).try_for_each(|_| -> Result<()> {
        let mut room = Room::new(structure(contract, reader));
        loop {
            let taken = lock(&ahead).take();
            let Some((number, begun)) = taken else { return Ok(()) };
            let Some(input) = inputs.get(number) else { return Ok(()) };
            let begun = begun.and_then(|begun| keep(begun, number, input, &kept));
            let report = begun.and_then(|begun| check_file(contract, reader, input, begun, &mut room));
            let report = report.map_err(|error| at(error, input))?;
            if !report.is_empty() {
                lock(&reports).push((number, report));
            }
        }
    })?;
    let mut reports = lock(&reports).split_off(0);
    reports.sort_by_key(|(number, _)| *number);
    let mut report = ViolationReport::default();
    reports.into_iter().for_each(|(_, found)| report.merge(found));
    let files = std::mem::take(&mut lock(&kept).files);
    Ok(Headers { report, kept: files })
}

struct Kept {
    files: Vec<Option<Bytes>>,
    room: u64,
}

/// Reads a small file whole and keeps it, when there is room.
fn keep(begun: Begun, number: usize, input: &InputFile, kept: &Mutex<Kept>) -> Result<Begun> {
    let Begun::Stored(codec, mut stored) = begun else { return Ok(begun) };
    {
        let mut kept = lock(kept);
        if input.size > SMALL_FILE_BYTES || input.size > kept.room {
            return Ok(Begun::Stored(codec, stored));
        }
        kept.room -= input.size;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(input.size).unwrap_or(0) + 1);
    if let Err(error) = stored.read_to_end(&mut bytes) {
        return Err(stored.take_failure().unwrap_or_else(|| store_error(error)));
    }
    let bytes = Bytes::from(bytes);
    lock(kept).files.iter_mut().skip(number).take(1).for_each(|file| *file = Some(bytes.clone()));
    Ok(Begun::Stored(codec, Stored::whole(bytes)))
}

fn check_file(contract: &Contract, reader: &Reader, input: &InputFile, begun: Begun, room: &mut Room) -> Result<ViolationReport> {
    match begun.start(contract, reader, input)? {
        Opened::Refused(violation) => {
            let mut report = ViolationReport::default();
            report.push(violation);
            Ok(report)
        }
        Opened::Ready(_, stored) if reader.format == ReaderFormat::Parquet => parquet::check_footer(contract, &input.key, stored),
        Opened::Ready(codec, stored) => {
            let header_bytes = if codec == Codec::Plain { HEADER_BYTES } else { PACKED_HEADER_BYTES };
            let mut scanner = scanner(reader, codec, stored, header_bytes)?;
            match reader.format {
                ReaderFormat::Ndjson => ndjson::check_start(contract, &input.key, &mut scanner, room),
                _ => csv::check_header(contract, &input.key, &mut scanner, room),
            }
        }
    }
}
