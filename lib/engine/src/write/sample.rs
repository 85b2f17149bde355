//! Looking at some rows of many batches: zero-copy slices, and an even sample that any run takes alike.

use arrow_array::RecordBatch;

/// The number of rows in batches.
pub(crate) fn count_rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// The rows from `start` on, `length` of them, without copying.
pub(crate) fn slice(batches: &[RecordBatch], start: usize, length: usize) -> Vec<RecordBatch> {
    let mut found = Vec::new();
    let (mut skip, mut left) = (start, length);
    for batch in batches {
        let rows = batch.num_rows();
        if skip >= rows {
            skip -= rows;
            continue;
        }
        let taken = left.min(rows - skip);
        if taken > 0 {
            found.push(batch.slice(skip, taken));
        }
        left -= taken;
        skip = 0;
        if left == 0 {
            break;
        }
    }
    found
}

/// Up to `limit` rows in evenly spaced runs; all of them when there are no more.
pub(crate) fn sample(batches: &[RecordBatch], limit: usize) -> Vec<RecordBatch> {
    const RUNS: usize = 16;
    let rows = count_rows(batches);
    if rows <= limit {
        return batches.to_vec();
    }
    let run = limit.div_ceil(RUNS);
    let gap = (rows - run) / (RUNS - 1);
    (0..RUNS).flat_map(|index| slice(batches, index * gap, run)).collect()
}
