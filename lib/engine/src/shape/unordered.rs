//! One order for rows that came in none, without moving them: what the declared sort leaves equal, all columns decide.

use std::ops::Range;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::{RowConverter, SortField};
use rayon::prelude::*;
use windrow_core::{Error, Result};

use super::memory::Memory;
use super::rows::OrderedRows;

/// How many rows are ordered at a time, where no more than so many are equal so far.
const MOST_ROWS: usize = if cfg!(test) { 1 << 4 } else { 1 << 17 };

/// Orders rows that are next to each other and equal so far by all their columns, in the order the contract declares them.
///
/// # Errors
/// `Internal` for a column that has no order, `OutOfMemory` when more rows are equal so far than the limit allows.
pub(crate) fn settle(ordered: &mut OrderedRows, memory: &Memory, is_tie: &(dyn Fn(u32, u32) -> bool + Sync)) -> Result<()> {
    for ties in in_groups(ties(ordered.order(), is_tie)) {
        let sorted = sorted(ordered, memory, &ties)?;
        ties.into_iter().zip(sorted).for_each(|(tie, within)| ordered.permute(tie, &within));
    }
    Ok(())
}

/// The order of the rows of each tie.
fn sorted(ordered: &OrderedRows, memory: &Memory, ties: &[Range<usize>]) -> Result<Vec<Vec<usize>>> {
    let tied: Vec<u32> = ties.iter().flat_map(|tie| ordered.order().get(tie.clone()).unwrap_or_default()).copied().collect();
    let batches = ordered.group_of(&tied).batches()?;
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let held: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    memory.require(2 * held as u64, tied.len())?;
    let failed = |error| Error::internal("the result's rows cannot be ordered").caused_by(error);
    let fields = first.columns().iter().map(|array| SortField::new(array.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(failed)?;
    let mut rows = converter.empty_rows(tied.len(), 0);
    batches
        .iter()
        .map(RecordBatch::columns)
        .try_for_each(|columns: &[ArrayRef]| converter.append(&mut rows, columns))
        .map_err(failed)?;
    drop(batches);
    let mut start = 0;
    let numbered = ties.iter().map(|tie| {
        start += tie.len();
        (start - tie.len(), tie.len())
    });
    let sorted = numbered.collect::<Vec<_>>().into_par_iter().map(|(start, length)| {
        let mut within: Vec<usize> = (0..length).collect();
        within.sort_unstable_by(|a, b| rows.row(start + a).cmp(&rows.row(start + b)).then(a.cmp(b)));
        within
    });
    Ok(sorted.collect())
}

/// Ties, together as many as are ordered at a time, or one that is longer.
fn in_groups(ties: Vec<Range<usize>>) -> Vec<Vec<Range<usize>>> {
    let mut groups: Vec<Vec<Range<usize>>> = Vec::new();
    let mut rows = 0;
    for tie in ties {
        rows += tie.len();
        match groups.last_mut().filter(|_| rows <= MOST_ROWS) {
            Some(group) => group.push(tie),
            None => {
                rows = tie.len();
                groups.push(vec![tie]);
            }
        }
    }
    groups
}

/// The ranges of two and more equal rows.
fn ties(order: &[u32], is_tie: &(dyn Fn(u32, u32) -> bool + Sync)) -> Vec<Range<usize>> {
    let mut start = 0;
    let ranges = order.chunk_by(|a, b| is_tie(*a, *b)).map(|equal| {
        start += equal.len();
        start - equal.len()..start
    });
    ranges.filter(|range| range.len() > 1).collect()
}
