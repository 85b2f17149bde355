//! Numbers for rows that have none: an SQL engine yields groups and joins in whatever order its threads finish.

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, Schema};
use arrow_select::interleave::interleave;
use rayon::prelude::*;
use windrow_core::{Error, Result};

/// What an Arrow kernel answers.
type Outcome<T, E = ArrowError> = std::result::Result<T, E>;

/// How many rows a batch of the result has at most.
const BATCH_ROWS: usize = 1 << 16;

/// The same rows ordered by all their columns, so that rows that have to be spoken of always have the same numbers.
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
    ordered(batches, count).map_err(|error| Error::internal("the result's rows cannot be ordered").caused_by(error))
}

fn ordered(batches: &[RecordBatch], count: u32) -> Outcome<Vec<RecordBatch>> {
    let columns = batches.first().map(RecordBatch::columns).unwrap_or_default();
    let fields = columns.iter().map(|array| SortField::new(array.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let mut keys = converter.empty_rows(count as usize, 0);
    batches.iter().try_for_each(|batch| converter.append(&mut keys, batch.columns()))?;
    let mut order: Vec<u32> = (0..count).collect();
    order.par_sort_unstable_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
    drop(keys);
    let places = Places::new(batches);
    order.par_chunks(BATCH_ROWS).map(|rows| places.gather(rows)).collect()
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
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
