//! What flows between the steps: a batch of rows that still knows which file and line each row came from.

use std::io::Read;
use std::sync::Arc;

use arrow_array::RecordBatch;
use windrow_core::Result;

/// One raw file of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// The key below the lake, as shown in messages.
    pub key: Arc<str>,
    /// The size in bytes, as listed.
    pub size: u64,
}

/// Opens a raw file for reading from its first byte; called from several threads at once.
pub type Open<'a> = &'a (dyn Fn(&InputFile) -> Result<Box<dyn Read + Send>> + Sync);

/// Where a chunk stands in its window; positions compare in the order of files and lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The file's number in the window.
    pub file: u32,
    /// The chunk's number in the file.
    pub block: u32,
}

/// A batch of rows with their origin.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The rows.
    pub batch: RecordBatch,
    /// Where they came from.
    pub origin: Origin,
}

/// Where the rows of a chunk came from: one file, and a line for each row.
///
/// Lines are kept as jumps, because rows nearly always stand on consecutive lines: a jump `(row, line)` says that this
/// row starts on that line and that the rows after it follow line by line until the next jump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    file: Arc<str>,
    jumps: Vec<(usize, u64)>,
}

impl Origin {
    /// An origin whose first row starts on `line` (from 1).
    pub fn new(file: Arc<str>, line: u64) -> Self {
        Origin { file, jumps: vec![(0, line)] }
    }

    /// The file's key.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// Records that `row` starts on `line`; rows must be recorded in ascending order. Consecutive lines cost nothing.
    pub fn set_line(&mut self, row: usize, line: u64) {
        if self.line(row) != line {
            while self.jumps.last().is_some_and(|(start, _)| *start >= row) {
                self.jumps.pop();
            }
            self.jumps.push((row, line));
        }
    }

    /// The line on which a row starts, from 1.
    pub fn line(&self, row: usize) -> u64 {
        let index = self.jumps.partition_point(|(start, _)| *start <= row).saturating_sub(1);
        self.jumps.get(index).map_or(0, |(start, line)| line + (row - start) as u64)
    }

    /// The origin of the rows that stay when only these rows (ascending) are kept.
    #[must_use]
    pub fn select(&self, kept: impl IntoIterator<Item = usize>) -> Self {
        let mut selected = Origin { file: self.file.clone(), jumps: Vec::new() };
        for (new_row, old_row) in kept.into_iter().enumerate() {
            let line = self.line(old_row);
            if new_row == 0 {
                selected.jumps.push((0, line));
            } else {
                selected.set_line(new_row, line);
            }
        }
        if selected.jumps.is_empty() {
            selected.jumps.push((0, self.line(0)));
        }
        selected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_after_a_jump_count_on() {
        let mut origin = Origin::new("a.csv".into(), 2);
        origin.set_line(1, 3);
        origin.set_line(2, 7);
        assert_eq!((0..5).map(|row| origin.line(row)).collect::<Vec<_>>(), [2, 3, 7, 8, 9]);
    }

    #[test]
    fn selected_rows_keep_their_lines() {
        let origin = Origin::new("a.csv".into(), 2).select([0, 2, 3, 9]);
        assert_eq!((0..4).map(|row| origin.line(row)).collect::<Vec<_>>(), [2, 4, 5, 11]);
    }
}
