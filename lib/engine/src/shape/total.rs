//! One order for rows that come in none: an SQL engine yields groups and joins in whatever order its threads finish.
//!
//! The first column decides nearly all of it, and integers of it are sorted as such; only rows it leaves equal are
//! compared by all the others.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, Schema};
use arrow_select::interleave::interleave;
use rayon::prelude::*;
use windrow_core::{Error, Result};

use super::keys::{KeyColumn, Keys};

/// What an Arrow kernel answers.
type Outcome<T, E = ArrowError> = std::result::Result<T, E>;

/// How many rows a batch of the result has at most.
const BATCH_ROWS: usize = 1 << 16;

/// The same rows ordered by all their columns, so that what follows (dedupe, a sort with ties) always sees them alike.
///
/// # Errors
/// `Internal` for a column that has no order, or more than 2^32 rows.
pub fn in_total_order(batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let columns = batches.first().map_or(0, RecordBatch::num_columns);
    if rows < 2 || columns == 0 {
        return Ok(batches.to_vec());
    }
    let count = u32::try_from(rows).map_err(|error| Error::internal("too many rows in one result").caused_by(error))?;
    let failed = |error| Error::internal("the result's rows cannot be ordered").caused_by(error);
    let places = Places::new(batches);
    let first = KeyColumn { chunks: batches.iter().map(|batch| batch.column(0).clone()).collect(), descending: false };
    let keys = Keys::new(&[first], rows)?;
    let mut order = keys.sort((0..count).collect()).rows;
    settle_ties(&mut order, &keys, &places).map_err(failed)?;
    drop(keys);
    order.par_chunks(BATCH_ROWS).map(|rows| places.gather(rows).map_err(failed)).collect()
}

/// Orders the rows of equal keys by all columns but the first.
fn settle_ties(order: &mut [u32], keys: &Keys, places: &Places<'_>) -> Outcome<()> {
    let mut tied: Vec<(u32, usize)> = Vec::new();
    let mut start = 0;
    for group in order.chunk_by(|a, b| keys.compare(*a, *b).is_eq()) {
        if group.len() > 1 {
            tied.extend(group.iter().enumerate().map(|(index, row)| (*row, start + index)));
        }
        start += group.len();
    }
    if tied.is_empty() {
        return Ok(());
    }
    let rows: Vec<u32> = tied.iter().map(|(row, _)| *row).collect();
    let others = places.rows_without_first(&rows)?;
    let mut sorted: Vec<u32> = (0..u32::try_from(tied.len()).unwrap_or(u32::MAX)).collect();
    let key = |at: u32| rows.get(at as usize).copied().unwrap_or_default();
    sorted.par_sort_unstable_by(|a, b| {
        keys.compare(key(*a), key(*b)).then_with(|| others.row(*a as usize).cmp(&others.row(*b as usize)))
    });
    for (at, (_, position)) in sorted.into_iter().zip(&tied) {
        if let Some(slot) = order.get_mut(*position) {
            *slot = key(at);
        }
    }
    Ok(())
}

/// Rows of several batches under one number each.
struct Places<'a> {
    batches: &'a [RecordBatch],
    starts: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(batches: &'a [RecordBatch]) -> Self {
        let starts = batches.iter().scan(0, |next, batch| {
            let start = *next;
            *next += batch.num_rows();
            Some(start)
        });
        Places { batches, starts: starts.collect() }
    }

    fn locate(&self, row: u32) -> (usize, usize) {
        let row = row as usize;
        let batch = self.starts.partition_point(|start| *start <= row).saturating_sub(1);
        (batch, row - self.starts.get(batch).copied().unwrap_or(0))
    }

    fn column(&self, index: usize, places: &[(usize, usize)]) -> Outcome<ArrayRef> {
        let arrays: Vec<&dyn Array> = self.batches.iter().map(|batch| batch.column(index).as_ref()).collect();
        interleave(&arrays, places)
    }

    fn columns(&self) -> usize {
        self.batches.first().map_or(0, RecordBatch::num_columns)
    }

    fn gather(&self, rows: &[u32]) -> Outcome<RecordBatch> {
        let places: Vec<(usize, usize)> = rows.iter().map(|row| self.locate(*row)).collect();
        let columns = (0..self.columns()).map(|index| self.column(index, &places)).collect::<Outcome<Vec<_>, _>>()?;
        let schema = self.batches.first().map(RecordBatch::schema).unwrap_or_else(|| Schema::empty().into());
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(schema, columns, &options)
    }

    /// The comparable form of rows without their first column.
    fn rows_without_first(&self, rows: &[u32]) -> Outcome<arrow_row::Rows> {
        let places: Vec<(usize, usize)> = rows.iter().map(|row| self.locate(*row)).collect();
        let others: Vec<ArrayRef> =
            (1..self.columns()).into_par_iter().map(|index| self.column(index, &places)).collect::<Outcome<_, _>>()?;
        // Rows of one column are equal where their first is; any constant says so.
        let others = match others.is_empty() {
            true => vec![Arc::new(BooleanArray::from(vec![true; rows.len()])) as ArrayRef],
            false => others,
        };
        let fields = others.iter().map(|array| SortField::new(array.data_type().clone())).collect();
        RowConverter::new(fields)?.convert_columns(&others)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int64Array, StringArray};
    use arrow_select::concat::concat_batches;
    use proptest::prelude::*;

    use super::*;

    fn batch(rows: &[(Option<i64>, &str)]) -> RecordBatch {
        let (ids, texts): (Vec<Option<i64>>, Vec<&str>) = rows.iter().copied().unzip();
        let columns: [(&str, ArrayRef); 2] =
            [("id", Arc::new(Int64Array::from(ids))), ("text", Arc::new(StringArray::from(texts)))];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
    }

    fn ordered(batches: &[RecordBatch]) -> RecordBatch {
        concat_batches(&batches[0].schema(), &in_total_order(batches).unwrap()).unwrap()
    }

    #[test]
    fn any_order_of_the_same_rows_becomes_one() {
        let one = [batch(&[(Some(2), "a"), (None, "b"), (Some(1), "d"), (Some(1), "c")])];
        let other = [batch(&[(Some(1), "c")]), batch(&[]), batch(&[(Some(2), "a"), (Some(1), "d"), (None, "b")])];
        let expected = batch(&[(None, "b"), (Some(1), "c"), (Some(1), "d"), (Some(2), "a")]);
        assert_eq!(ordered(&one), expected);
        assert_eq!(ordered(&other), expected);
    }

    #[test]
    fn one_column_is_ordered_too() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![3, 1, 3]));
        let one = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let sorted: ArrayRef = Arc::new(Int64Array::from(vec![1, 3, 3]));
        assert_eq!(in_total_order(&[one]).unwrap(), [RecordBatch::try_from_iter([("n", sorted)]).unwrap()]);
    }

    proptest! {
        #[test]
        fn rows_come_as_tuples_compare(rows in prop::collection::vec((prop::option::of(-2_i64..3), "[ab]{0,2}"), 1..60), cut in 0_usize..60) {
            let rows: Vec<(Option<i64>, &str)> = rows.iter().map(|(id, text)| (*id, text.as_str())).collect();
            let (head, tail) = rows.split_at(cut.min(rows.len()));
            let mut expected = rows.clone();
            expected.sort();
            prop_assert_eq!(ordered(&[batch(head), batch(tail)]), batch(&expected));
        }
    }
}
