//! One order for rows that came in none, without moving them: what the declared sort leaves equal, all columns decide.

use std::ops::Range;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::{RowConverter, SortField};
use rayon::prelude::*;
use windrow_core::{Error, Result};

use super::rows::OrderedRows;

/// Orders rows that are next to each other and equal so far by all their columns, in the order the contract declares them.
///
/// # Errors
/// `Internal` for a column that has no order.
pub(crate) fn settle(ordered: &mut OrderedRows, is_tie: &(dyn Fn(u32, u32) -> bool + Sync)) -> Result<()> {
    let ties = ties(ordered.order(), is_tie);
    let tied: Vec<u32> = ties.iter().flat_map(|tie| ordered.order().get(tie.clone()).unwrap_or_default()).copied().collect();
    let batches = ordered.group_of(&tied).batches()?;
    let Some(first) = batches.first() else { return Ok(()) };
    let failed = |error| Error::internal("the result's rows cannot be ordered").caused_by(error);
    let fields = first.columns().iter().map(|array| SortField::new(array.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(failed)?;
    let mut rows = converter.empty_rows(batches.iter().map(RecordBatch::num_rows).sum(), 0);
    batches
        .iter()
        .map(RecordBatch::columns)
        .try_for_each(|columns: &[ArrayRef]| converter.append(&mut rows, columns))
        .map_err(failed)?;
    drop(batches);
    let mut start = 0;
    let numbered = ties.into_iter().map(|tie| {
        start += tie.len();
        (start - tie.len(), tie)
    });
    let sorted = numbered.collect::<Vec<_>>().into_par_iter().map(|(start, tie)| {
        let mut within: Vec<usize> = (0..tie.len()).collect();
        within.sort_unstable_by(|a, b| rows.row(start + a).cmp(&rows.row(start + b)).then(a.cmp(b)));
        (tie, within)
    });
    sorted.collect::<Vec<_>>().into_iter().for_each(|(tie, within)| ordered.permute(tie, &within));
    Ok(())
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
