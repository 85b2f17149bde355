//! Blocks of whole rows from a stream of bytes, in bounded memory.
//!
//! A block holds about [`BLOCK_BYTES`], extended to the end of its last row. What cannot be a row (a field over the
//! limit, a quote that never closes, a damaged stream) ends the file: the last block says so in [`Block::stop`].

use windrow_core::{Code, Result};

use super::decompress::Bytes;
use super::index::{Index, Structure};
use super::source::Trouble;

/// About how many bytes a block has. Eight megabytes keep parsing in the caches' reach and the arrays worth their cost.
pub(crate) const BLOCK_BYTES: usize = 8 << 20;

/// No block may outgrow the 32-bit offsets of Arrow's strings, whatever the contract allows.
const MAX_ROW_BYTES: u64 = 1 << 30;

/// How large a buffer starts.
const FIRST_BYTES: usize = 64 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The sizes that bound a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) block_bytes: usize,
    pub(crate) max_field_bytes: u64,
    pub(crate) max_row_bytes: u64,
}

/// Why a file cannot be read further.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) code: Code,
    /// Where in the block's bytes; `None` for the file as a whole.
    pub(crate) place: Option<usize>,
    pub(crate) expected: String,
}

/// Complete rows.
pub(crate) struct Block<'a> {
    /// The bytes; the rows end where `index.pending` starts, behind it stands the beginning of the next row.
    pub(crate) bytes: &'a [u8],
    pub(crate) index: &'a Index,
    /// Offset of the first byte from the start of the file.
    pub(crate) offset: u64,
    pub(crate) stop: Option<Stop>,
}

impl Block<'_> {
    /// How many lines the rows span.
    pub(crate) fn lines(&self) -> u64 {
        let rows = self.index.rows.len();
        (rows + self.index.inner_lines.partition_point(|row| (*row as usize) < rows)) as u64
    }
}

/// Cuts a stream into blocks.
pub(crate) struct Scanner {
    bytes: Bytes,
    limits: Limits,
    index: Index,
    buffer: Vec<u8>,
    filled: usize,
    offset: u64,
    is_started: bool,
    is_end: bool,
    is_stopped: bool,
}

impl Scanner {
    pub(crate) fn new(bytes: Bytes, structure: Structure, limits: Limits) -> Self {
        let limits = Limits {
            max_row_bytes: limits.max_row_bytes.min(MAX_ROW_BYTES),
            max_field_bytes: limits.max_field_bytes.min(MAX_ROW_BYTES),
            block_bytes: limits.block_bytes.clamp(1, BLOCK_BYTES),
        };
        let index = Index::new(structure);
        Scanner {
            bytes,
            limits,
            index,
            buffer: Vec::new(),
            filled: 0,
            offset: 0,
            is_started: false,
            is_end: false,
            is_stopped: false,
        }
    }

    /// How many bytes have been read in all.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.offset + self.filled as u64
    }

    /// The next block: at least one row or a stop; `None` at the end.
    ///
    /// # Errors
    /// Failures of the store.
    pub(crate) fn next(&mut self) -> Result<Option<Block<'_>>> {
        if self.is_stopped {
            return Ok(None);
        }
        self.advance();
        let mut target = self.limits.block_bytes;
        let stop = loop {
            if let Some(stop) = self.fill(target)? {
                break Some(stop);
            }
            self.index.scan(self.buffer.get(..self.filled).unwrap_or_default(), self.is_end);
            if let Some(stop) = self.oversize().or_else(|| self.fault()) {
                break Some(stop);
            }
            if !self.index.rows.is_empty() {
                break None;
            }
            if self.is_end {
                return Ok(None);
            }
            target = self.filled.saturating_add(self.limits.block_bytes);
        };
        self.is_stopped = stop.is_some();
        Ok(Some(Block {
            bytes: self.buffer.get(..self.filled).unwrap_or_default(),
            index: &self.index,
            offset: self.offset,
            stop,
        }))
    }

    /// Drops the rows of the last block and moves what is left to the front.
    fn advance(&mut self) {
        let used = self.index.pending.start as usize;
        if self.is_started && used > 0 {
            self.buffer.copy_within(used..self.filled, 0);
            self.filled -= used;
            self.offset += used as u64;
            self.index.reset(0);
        }
    }

    /// Reads up to `target` bytes, the byte order mark of the first block skipped.
    fn fill(&mut self, target: usize) -> Result<Option<Stop>> {
        let target = if self.is_started { target } else { target.max(BYTE_ORDER_MARK.len()) };
        while self.filled < target && !self.is_end {
            if self.buffer.len() == self.filled {
                // The buffer grows with the file: a window of many small files must not cost a block each.
                self.buffer.resize((2 * self.filled).max(FIRST_BYTES).min(target), 0);
            }
            let end = self.buffer.len().min(target);
            let room = self.buffer.get_mut(self.filled..end).unwrap_or_default();
            match self.bytes.read(room) {
                Ok(0) => self.is_end = true,
                Ok(read) => self.filled += read,
                Err(Trouble::Store(error)) => return Err(error),
                Err(Trouble::Damage(code, expected)) => return Ok(Some(Stop { code, place: None, expected })),
            }
        }
        if !std::mem::replace(&mut self.is_started, true) && self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.index.reset(3);
        }
        Ok(None)
    }

    fn fault(&self) -> Option<Stop> {
        let (place, code) = self.index.fault?;
        let expected = match code {
            Code::UnterminatedQuote => "expected a closing quote before the end of the file",
            Code::CarriageReturn => "expected CR LF or LF at the end of a line",
            _ => "expected quotes around the whole field, and doubled inside it",
        };
        Some(Stop { code, place: Some(place as usize), expected: expected.to_owned() })
    }

    /// Finds the first row or field over its limit and ends the index before it.
    fn oversize(&mut self) -> Option<Stop> {
        let limit = self.limits.max_field_bytes.min(self.limits.max_row_bytes);
        let starts = self.index.rows.iter().skip(1).map(|row| row.start).chain([self.index.pending.start]);
        let is_long = |(row, end): (&super::index::Row, u32)| u64::from(end - row.start) > limit;
        let long: Vec<usize> =
            self.index.rows.iter().zip(starts).enumerate().filter(|(_, pair)| is_long(*pair)).map(|(row, _)| row).collect();
        for row in long {
            if let Some(stop) = self.oversize_row(row) {
                self.index.truncate(row);
                return Some(stop);
            }
        }
        let (scanned, row, field) = (self.index.scanned(), self.index.pending.start, self.index.open_field());
        self.stop_for(field, scanned.saturating_sub(field), row, scanned.saturating_sub(row))
    }

    fn oversize_row(&self, row: usize) -> Option<Stop> {
        let start = self.index.rows.get(row)?.start;
        let mut field = start;
        for end in self.index.fields(row) {
            if let Some(stop) = self.stop_for(field, end - field, start, end - start) {
                return Some(stop);
            }
            field = end + 1;
        }
        None
    }

    fn stop_for(&self, field: u32, field_bytes: u32, row: u32, row_bytes: u32) -> Option<Stop> {
        if u64::from(field_bytes) > self.limits.max_field_bytes {
            let expected = format!("expected at most {} bytes in a field", self.limits.max_field_bytes);
            return Some(Stop { code: Code::FieldTooLarge, place: Some(field as usize), expected });
        }
        let expected = || format!("expected at most {} bytes in a row", self.limits.max_row_bytes);
        (u64::from(row_bytes) > self.limits.max_row_bytes).then(|| Stop {
            code: Code::RowTooLarge,
            place: Some(row as usize),
            expected: expected(),
        })
    }
}
