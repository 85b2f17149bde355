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

/// The memory of one block. Whoever reads block after block brings the same room along.
pub(crate) struct Room {
    buffer: Vec<u8>,
    filled: usize,
    index: Index,
}

impl Room {
    pub(crate) fn new(structure: Structure) -> Self {
        Room { buffer: Vec::new(), filled: 0, index: Index::new(structure) }
    }

    /// Begins a block with the bytes that the last one left over.
    fn begin(&mut self, rest: &[u8], block_bytes: usize) {
        if self.buffer.len() > block_bytes.saturating_mul(4).max(FIRST_BYTES) {
            // A row of many megabytes was here.
            self.buffer = Vec::new();
        }
        if self.buffer.len() < rest.len() {
            self.buffer.resize(rest.len(), 0);
        }
        self.buffer.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.filled = rest.len();
        self.index.reset(0);
    }
}

/// Cuts a stream into blocks.
///
/// Between two blocks only the beginning of a row is kept, so that blocks can be taken by several threads in turn.
pub(crate) struct Scanner {
    bytes: Bytes,
    limits: Limits,
    rest: Vec<u8>,
    /// Where `rest` stands in the file.
    offset: u64,
    is_started: bool,
    is_end: bool,
    is_stopped: bool,
}

impl Scanner {
    pub(crate) fn new(bytes: Bytes, limits: Limits) -> Self {
        let limits = Limits {
            max_row_bytes: limits.max_row_bytes.min(MAX_ROW_BYTES),
            max_field_bytes: limits.max_field_bytes.min(MAX_ROW_BYTES),
            block_bytes: limits.block_bytes.clamp(1, BLOCK_BYTES),
        };
        Scanner { bytes, limits, rest: Vec::new(), offset: 0, is_started: false, is_end: false, is_stopped: false }
    }

    /// How many bytes have been read in all.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.offset + self.rest.len() as u64
    }

    /// Ends the file here.
    pub(crate) fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// The next block: at least one row or a stop; `None` at the end.
    ///
    /// # Errors
    /// Failures of the store.
    pub(crate) fn next<'a>(&mut self, room: &'a mut Room) -> Result<Option<Block<'a>>> {
        if self.is_stopped {
            return Ok(None);
        }
        room.begin(&self.rest, self.limits.block_bytes);
        let mut target = self.limits.block_bytes;
        let stop = loop {
            if let Some(stop) = self.fill(room, target)? {
                break Some(stop);
            }
            room.index.scan(room.buffer.get(..room.filled).unwrap_or_default(), self.is_end);
            if let Some(stop) = self.limits.oversize(&mut room.index).or_else(|| fault(&room.index)) {
                break Some(stop);
            }
            if !room.index.rows.is_empty() || self.is_end {
                break None;
            }
            target = room.filled.saturating_add(self.limits.block_bytes);
        };
        self.is_stopped = stop.is_some();
        let offset = self.advance(room);
        if room.index.rows.is_empty() && stop.is_none() {
            return Ok(None);
        }
        let bytes = room.buffer.get(..room.filled).unwrap_or_default();
        Ok(Some(Block { bytes, index: &room.index, offset, stop }))
    }

    /// Keeps what stands behind the rows; gives the offset of the block.
    fn advance(&mut self, room: &Room) -> u64 {
        let used = if self.is_stopped { room.filled } else { room.index.pending.start as usize };
        self.rest.clear();
        self.rest.extend_from_slice(room.buffer.get(used..room.filled).unwrap_or_default());
        let next = self.offset + used as u64;
        std::mem::replace(&mut self.offset, next)
    }

    /// Reads up to `target` bytes, the byte order mark of the first block skipped.
    fn fill(&mut self, room: &mut Room, target: usize) -> Result<Option<Stop>> {
        let target = if self.is_started { target } else { target.max(BYTE_ORDER_MARK.len()) };
        while room.filled < target && !self.is_end {
            if room.buffer.len() == room.filled {
                // The buffer grows with the file: a window of small files must not cost a block each.
                room.buffer.resize((2 * room.filled).max(FIRST_BYTES).min(target), 0);
            }
            let end = room.buffer.len().min(target);
            let free = room.buffer.get_mut(room.filled..end).unwrap_or_default();
            match self.bytes.read(free) {
                Ok(0) => self.is_end = true,
                Ok(read) => room.filled += read,
                Err(Trouble::Store(error)) => return Err(error),
                Err(Trouble::Damage(code, expected)) => return Ok(Some(Stop { code, place: None, expected })),
            }
        }
        let start = room.buffer.get(..room.filled).unwrap_or_default();
        if !std::mem::replace(&mut self.is_started, true) && start.starts_with(BYTE_ORDER_MARK) {
            room.index.reset(3);
        }
        Ok(None)
    }
}

fn fault(index: &Index) -> Option<Stop> {
    let (place, code) = index.fault?;
    let expected = match code {
        Code::UnterminatedQuote => "expected a closing quote before the end of the file",
        Code::CarriageReturn => "expected CR LF or LF at the end of a line",
        _ => "expected quotes around the whole field, and doubled inside it",
    };
    Some(Stop { code, place: Some(place as usize), expected: expected.to_owned() })
}

impl Limits {
    /// Finds the first row or field over its limit and ends the index before it.
    fn oversize(&self, index: &mut Index) -> Option<Stop> {
        let limit = self.max_field_bytes.min(self.max_row_bytes);
        let starts = index.rows.iter().skip(1).map(|row| row.start).chain([index.pending.start]);
        let is_long = |(row, end): (&super::index::Row, u32)| u64::from(end - row.start) > limit;
        let long: Vec<usize> =
            index.rows.iter().zip(starts).enumerate().filter(|(_, pair)| is_long(*pair)).map(|(row, _)| row).collect();
        for row in long {
            if let Some(stop) = self.oversize_row(index, row) {
                index.truncate(row);
                return Some(stop);
            }
        }
        let (scanned, row, field) = (index.scanned(), index.pending.start, index.open_field());
        self.stop_for(field, scanned.saturating_sub(field), row, scanned.saturating_sub(row))
    }

    fn oversize_row(&self, index: &Index, row: usize) -> Option<Stop> {
        let start = index.rows.get(row)?.start;
        let mut field = start;
        for end in index.fields(row) {
            if let Some(stop) = self.stop_for(field, end - field, start, end - start) {
                return Some(stop);
            }
            field = end + 1;
        }
        None
    }

    fn stop_for(&self, field: u32, field_bytes: u32, row: u32, row_bytes: u32) -> Option<Stop> {
        if u64::from(field_bytes) > self.max_field_bytes {
            let expected = format!("expected at most {} bytes in a field", self.max_field_bytes);
            return Some(Stop { code: Code::FieldTooLarge, place: Some(field as usize), expected });
        }
        let expected = || format!("expected at most {} bytes in a row", self.max_row_bytes);
        (u64::from(row_bytes) > self.max_row_bytes).then(|| Stop {
            code: Code::RowTooLarge,
            place: Some(row as usize),
            expected: expected(),
        })
    }
}
