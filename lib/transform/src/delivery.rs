//! The rows of a result as they come out of a plan: each batch becomes an Arrow batch while it is in the cache, on the thread that
//! made it.
//!
//! ```text
//! plan ─▶ [take a batch over, keep it, give its number on] ─▶ sink: the numbers in order
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{Array, Decimal128Array, RecordBatch};
use arrow_select::concat::concat_batches;
use polars::prelude::{DataFrame, DataType, Field, IntoColumn, NamedFrom, PlSmallStr, PolarsResult, Schema, Series};
use polars_plan::plans::IRPlan;
use windrow_core::{Error, ErrorKind, Result};

use crate::columns;
use crate::step::add_step;

/// The column of the numbers.
const NUMBER: &str = "number";

/// A batch of fewer rows is joined with its neighbours: what follows takes batch by batch.
const SMALL_ROWS: usize = 1 << 13;

/// How many rows joined batches have at most.
const JOINED_ROWS: usize = 1 << 16;

/// And how many bytes, which is far from where the offsets of texts end.
const JOINED_BYTES: usize = 1 << 26;

/// The batches that were made so far, in the order in which threads finished.
#[derive(Clone, Default)]
pub(crate) struct Delivery(Arc<Mutex<Vec<Result<Vec<RecordBatch>>>>>);

impl Delivery {
    /// Puts itself at the end of a plan, which yields numbers of batches from now on. Its columns must be plain ones.
    pub(crate) fn end(&self, plan: &mut IRPlan) {
        let taking = self.clone();
        let schema: Schema = std::iter::once(Field::new(NUMBER.into(), DataType::UInt64)).collect();
        plan.lp_top = add_step(plan, ("deliver", plan.lp_top), Some(schema), move |frame| taking.take(&frame));
    }

    fn take(&self, frame: &DataFrame) -> PolarsResult<DataFrame> {
        let batches = if frame.height() == 0 { Ok(Vec::new()) } else { columns::batches(frame).and_then(within_digits) };
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push(batches);
        let number = Series::new(PlSmallStr::from_static(NUMBER), [taken.len() as u64 - 1]);
        DataFrame::new(1, vec![number.into_column()])
    }

    /// The batches in the order of their numbers.
    ///
    /// # Errors
    /// What is wrong with the first of them that something is wrong with.
    pub(crate) fn batches(self, numbers: &DataFrame) -> Result<Vec<RecordBatch>> {
        let mut taken: Vec<Option<Result<Vec<RecordBatch>>>> =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().map(Some).collect();
        let unreadable = || Error::internal("the batches of a result are not numbered");
        let numbers = numbers.column(NUMBER).and_then(|column| column.u64()).map_err(|error| unreadable().caused_by(error))?;
        let mut batches = Vec::with_capacity(taken.len());
        for number in numbers.iter() {
            let place = number.and_then(|number| taken.get_mut(usize::try_from(number).ok()?));
            batches.extend(place.and_then(Option::take).ok_or_else(unreadable)??);
        }
        joined(batches)
    }
}

/// Joins small neighbours.
fn joined(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let mut joined = Vec::new();
    let mut small: Vec<RecordBatch> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for batch in batches {
        let (more_rows, more_bytes) = (batch.num_rows(), batch.get_array_memory_size());
        let is_small = more_rows < SMALL_ROWS && more_bytes < JOINED_BYTES;
        if rows > 0 && (!is_small || rows + more_rows > JOINED_ROWS || bytes + more_bytes > JOINED_BYTES) {
            joined.push(one(&mut small)?);
            (rows, bytes) = (0, 0);
        }
        if is_small {
            (rows, bytes) = (rows + more_rows, bytes + more_bytes);
            small.push(batch);
        } else {
            joined.push(batch);
        }
    }
    if rows > 0 {
        joined.push(one(&mut small)?);
    }
    Ok(joined)
}

fn one(small: &mut Vec<RecordBatch>) -> Result<RecordBatch> {
    let batches = std::mem::take(small);
    let failed = |error| Error::internal("the batches of a result cannot be joined").caused_by(error);
    match batches.as_slice() {
        [batch] => Ok(batch.clone()),
        [first, ..] => concat_batches(&first.schema(), &batches).map_err(failed),
        [] => Err(Error::internal("no batches to join")),
    }
}

/// polars counts in 128 bits, which hold a little more than the 38 digits a decimal may have.
///
/// # Errors
/// `Misconfigured` for a decimal of more digits than its type has.
pub(crate) fn within_digits(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    for batch in &batches {
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let decimals = column.as_any().downcast_ref::<Decimal128Array>();
            let Some(decimals) = decimals.filter(|decimals| !all_within(decimals)) else { continue };
            decimals.validate_decimal_precision(decimals.precision()).map_err(|error| {
                let message = "a decimal has more digits than its type holds";
                Error::new(ErrorKind::Misconfigured, message).with("column", field.name()).caused_by(error)
            })?;
        }
    }
    Ok(batches)
}

/// Tells whether all numbers have the digits of their type, whatever stands where a null is as well: mostly so, and quickly seen.
fn all_within(decimals: &Decimal128Array) -> bool {
    let bound = 10_u128.pow(u32::from(decimals.precision()));
    decimals.values().iter().fold(true, |all, number| all & (number.unsigned_abs() < bound))
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;

    use super::*;

    fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(range)) as _)]).unwrap()
    }

    fn frame(range: std::ops::Range<i64>) -> DataFrame {
        crate::bridge::to_polars(&numbers(0..0).schema(), &[numbers(range)]).unwrap()
    }

    fn rows(batches: &[RecordBatch]) -> Vec<usize> {
        batches.iter().map(RecordBatch::num_rows).collect()
    }

    #[test]
    fn batches_come_in_the_order_of_their_numbers_whoever_was_first() {
        let delivery = Delivery::default();
        let later = delivery.take(&frame(3..5)).unwrap();
        let mut order = delivery.take(&frame(0..3)).unwrap();
        order.vstack_mut_owned(delivery.take(&frame(0..0)).unwrap()).unwrap();
        order.vstack_mut_owned(later).unwrap();
        let batches = delivery.batches(&order).unwrap();
        assert_eq!(rows(&batches), [5], "small ones are joined");
        assert_eq!(batches[0].column(0), numbers(0..5).column(0));
    }

    #[test]
    fn a_batch_that_is_numbered_twice_or_never_made_is_a_defect() {
        for numbers in [[0_u64, 0], [0, 1]] {
            let delivery = Delivery::default();
            delivery.take(&frame(0..3)).unwrap();
            let order = DataFrame::new(2, vec![Series::new(NUMBER.into(), numbers).into_column()]).unwrap();
            assert_eq!(delivery.batches(&order).unwrap_err().kind(), ErrorKind::Internal);
        }
    }

    #[test]
    fn digits_are_counted_where_there_is_a_value() {
        let most = 10_i128.pow(5) - 1;
        let of = |values: Vec<i128>, is_valid: Vec<bool>| {
            let array = Decimal128Array::new(values.into(), Some(is_valid.into())).with_precision_and_scale(5, 2).unwrap();
            within_digits(vec![RecordBatch::try_from_iter([("d", Arc::new(array) as _)]).unwrap()])
        };
        assert!(of(vec![most, -most, most + 1], vec![true, true, false]).is_ok());
        for too_many in [most + 1, -most - 1, i128::MIN] {
            assert_eq!(of(vec![0, too_many], vec![true, true]).unwrap_err().kind(), ErrorKind::Misconfigured);
        }
    }

    #[test]
    fn large_batches_stay_as_they_are_and_small_ones_are_joined_up_to_a_bound() {
        let large = SMALL_ROWS as i64;
        let batches = vec![numbers(0..large), numbers(0..2), numbers(2..5), numbers(0..large)];
        assert_eq!(rows(&joined(batches).unwrap()), [SMALL_ROWS, 5, SMALL_ROWS]);
        let half = large / 2;
        let many = (0..33).map(|start| numbers(start * half..(start + 1) * half)).collect();
        let joined = joined(many).unwrap();
        assert_eq!(rows(&joined), [JOINED_ROWS, JOINED_ROWS, SMALL_ROWS / 2]);
        assert_eq!(concat_batches(&joined[0].schema(), &joined).unwrap(), numbers(0..33 * half));
        assert!(super::joined(Vec::new()).unwrap().is_empty());
    }
}
