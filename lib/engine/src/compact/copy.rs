//! A row group that is large enough: its columns as they are.

use parquet::column::writer::ColumnCloseResult;

use super::source::Group;

/// What the footer says of a column, which moves with its bytes; `None` for a column without page index, which is encoded anew.
pub(crate) fn entry(group: &Group, leaf: usize) -> Option<ColumnCloseResult> {
    group.pages(leaf)?;
    let metadata = group.chunk(leaf).clone();
    Some(ColumnCloseResult {
        bytes_written: u64::try_from(metadata.compressed_size()).ok()?,
        rows_written: group.rows() as u64,
        metadata,
        bloom_filter: None,
        column_index: group.column_index(leaf).cloned(),
        offset_index: group.offset_index(leaf).cloned(),
    })
}
