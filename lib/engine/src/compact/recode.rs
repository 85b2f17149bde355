//! One field of several row groups decoded and encoded as one.

use std::sync::Arc;

use arrow_schema::Field;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use windrow_core::Result;

use super::source::{Group, unwritable};

/// How many rows are decoded at once.
const BATCH_ROWS: usize = 1 << 15;

/// Encodes a field of these row groups with its column writers, in order.
///
/// # Errors
/// `Internal` when the rows cannot be read or written.
pub(crate) fn recode(
    groups: &[Group],
    field: (usize, &Arc<Field>),
    mut writers: Vec<ArrowColumnWriter>,
    first_leaf: usize,
) -> Result<Vec<ArrowColumnChunk>> {
    let (index, field) = field;
    for group in groups {
        group.decode(index, BATCH_ROWS, |array| {
            let leaves = compute_leaves(field, array).map_err(unwritable)?;
            writers.iter_mut().zip(&leaves).try_for_each(|(writer, leaf)| writer.write(leaf)).map_err(unwritable)
        })?;
    }
    let chunks = writers.into_iter().map(ArrowColumnWriter::close).collect::<std::result::Result<Vec<_>, _>>();
    let mut chunks = chunks.map_err(unwritable)?;
    for (leaf, chunk) in (first_leaf..).zip(&mut chunks) {
        // Long texts have no statistics, which the writer of a source file knew; see `write::properties`.
        if groups.iter().any(|group| group.chunk(leaf).statistics().is_none()) {
            let close = chunk.close_mut();
            let metadata = close.metadata.clone().into_builder().clear_statistics();
            close.metadata = metadata.build().map_err(unwritable)?;
            close.column_index = None;
        }
    }
    Ok(chunks)
}
