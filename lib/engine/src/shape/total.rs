//! One order for rows that come in none: an SQL engine yields groups and joins in whatever order its threads finish.

use arrow_array::{RecordBatch, UInt32Array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::ArrowError;
use arrow_select::take::take_record_batch;
use windrow_core::{Error, Result};

/// The same rows ordered by all their columns, so that what follows (dedupe, a sort with ties) always sees them alike.
///
/// # Errors
/// `Internal` for a column that has no order, or more than 2^32 rows.
pub fn in_total_order(batch: &RecordBatch) -> Result<RecordBatch> {
    if batch.num_rows() < 2 || batch.num_columns() == 0 {
        return Ok(batch.clone());
    }
    let count =
        u32::try_from(batch.num_rows()).map_err(|error| Error::internal("too many rows in one result").caused_by(error))?;
    ordered(batch, count).map_err(|error| Error::internal("the result's rows cannot be ordered").caused_by(error))
}

fn ordered(batch: &RecordBatch, count: u32) -> std::result::Result<RecordBatch, ArrowError> {
    let fields = batch.schema_ref().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(batch.columns())?;
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
    take_record_batch(batch, &UInt32Array::from(order))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn any_order_of_the_same_rows_becomes_one() {
        let batch = |ids: Vec<Option<i64>>, texts: Vec<&str>| {
            let columns: [(&str, ArrayRef); 2] =
                [("id", Arc::new(Int64Array::from(ids))), ("text", Arc::new(StringArray::from(texts)))];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let one = batch(vec![Some(2), None, Some(1), Some(1)], vec!["a", "b", "d", "c"]);
        let other = batch(vec![Some(1), Some(2), Some(1), None], vec!["c", "a", "d", "b"]);
        assert_eq!(in_total_order(&one).unwrap(), in_total_order(&other).unwrap());
        assert_eq!(in_total_order(&one).unwrap(), batch(vec![None, Some(1), Some(1), Some(2)], vec!["b", "c", "d", "a"]));
    }
}
