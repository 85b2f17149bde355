//! Rows of different values in different files: each chunk's rows are dealt to the values of one column, so that those of a file lie
//! together in every run, and by what the runs say of it the rows of the window, when they stand in their order, which rows of one value
//! keep.

use std::cmp::Ordering;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use windrow_core::contract::{Split, SplitBy};
use windrow_core::{Error, Result};

use super::rows::Runs;
use crate::form::plain;
use crate::numbers::each_number;

/// How many files of different values a window may have.
const MOST_VALUES: usize = 1_000;

/// How many bytes dealing takes for every row: the number of its value, and itself in the old and in the new order.
pub(super) const BYTES_PER_ROW: u64 = 10;

/// What rows of one file share.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i128),
    Text(Box<str>),
}

/// The same of one row.
#[derive(Clone, Copy)]
enum Found<'a> {
    Number(i128),
    Text(&'a str),
}

impl Found<'_> {
    fn compare(&self, value: &Value) -> Ordering {
        match (value, self) {
            (Value::Number(value), Found::Number(found)) => value.cmp(found),
            (Value::Text(value), Found::Text(found)) => (**value).cmp(*found),
            (Value::Number(_), Found::Text(_)) => Ordering::Less,
            (Value::Text(_), Found::Number(_)) => Ordering::Greater,
        }
    }

    fn to_value(self) -> Value {
        match self {
            Found::Number(number) => Value::Number(number),
            Found::Text(text) => Value::Text(text.into()),
        }
    }
}

/// Neighbours of one value in a run.
#[derive(Debug)]
pub(crate) struct Share {
    value: Value,
    rows: usize,
}

/// Rows by value: their order, and the rows of each value in it.
pub(super) type Dealt = (Vec<u32>, Vec<Range<usize>>);

/// The order of a chunk's rows when they are dealt to their values, `None` when it stays as it is; and the shares of the values.
///
/// # Errors
/// `Misconfigured` when there are too many values, or the column is not in the table.
pub(super) fn deal_chunk(chunk: &RecordBatch, split: &Split, order: Option<Vec<u32>>) -> Result<(Option<Vec<u32>>, Vec<Share>)> {
    let missing =
        |error| Error::misconfigured(format!("column `{}` of the split is not in the table", split.column)).caused_by(error);
    let array = plain(chunk.column(chunk.schema_ref().index_of(&split.column).map_err(missing)?))?;
    let mut values: Vec<Value> = Vec::new();
    each_value(&array, split.by, |_, found| {
        // One more than there may be is enough to know of.
        if let Err(place) = values.binary_search_by(|value| found.compare(value))
            && values.len() <= MOST_VALUES
        {
            values.insert(place, found.to_value());
        }
    })?;
    require_few(&values, split)?;
    let mut numbers = vec![u16::MAX; chunk.num_rows()];
    each_value(&array, split.by, |row, found| {
        let number = values.binary_search_by(|value| found.compare(value)).ok().and_then(|number| u16::try_from(number).ok());
        if let (Some(slot), Some(number)) = (numbers.get_mut(row), number) {
            *slot = number;
        }
    })?;
    if numbers.contains(&u16::MAX) {
        // Nulls were refused before.
        return Err(Error::internal("a row has no value to be split by"));
    }
    let (order, ranges) = if values.len() == 1 {
        (order, std::iter::once(0..numbers.len()).collect())
    } else {
        let before = order.unwrap_or_else(|| (0..u32::try_from(chunk.num_rows()).unwrap_or(u32::MAX)).collect());
        let (order, ranges) = in_order(&before, &numbers, values.len());
        (Some(order), ranges)
    };
    Ok((order, values.into_iter().zip(ranges).map(|(value, rows)| Share { value, rows: rows.len() }).collect()))
}

/// Deals all rows to their values, in ascending order of these: their order, and which of them are of one value. `None` for rows of one
/// value, which stay as they are.
///
/// # Errors
/// `Misconfigured` when there are too many values.
pub(super) fn deal(runs: &Runs, order: Option<&[u32]>, split: &Split) -> Result<Option<Dealt>> {
    let shares = || runs.runs.iter().flat_map(|run| &run.shares);
    let mut values: Vec<&Value> = shares().map(|share| &share.value).collect();
    values.sort_unstable();
    values.dedup();
    require_few(&values, split)?;
    if values.len() < 2 {
        return Ok(None);
    }
    let mut numbers: Vec<u16> = Vec::with_capacity(runs.len());
    for share in shares() {
        let number = values.binary_search(&&share.value).ok().and_then(|number| u16::try_from(number).ok());
        numbers.extend(std::iter::repeat_n(number.unwrap_or_default(), share.rows));
    }
    let (order, mut ranges) = match order {
        Some(order) => in_order(order, &numbers, values.len()),
        None => in_order(&runs.all(), &numbers, values.len()),
    };
    // All rows of a value may have been dropped for their key.
    ranges.retain(|rows| !rows.is_empty());
    Ok(Some((order, ranges)))
}

/// Rows by the number of their value, those of each in the order they are in, and where each begins and ends.
fn in_order(rows: &[u32], numbers: &[u16], count: usize) -> Dealt {
    let number = |row: u32| numbers.get(row as usize).map_or(0, |number| usize::from(*number));
    let mut rows_of = vec![0_usize; count];
    rows.iter().for_each(|row| rows_of[number(*row)] += 1);
    let mut end = 0;
    let following = |rows: usize| {
        end += rows;
        end - rows..end
    };
    let ranges: Vec<Range<usize>> = rows_of.into_iter().map(following).collect();
    let mut next: Vec<usize> = ranges.iter().map(|range| range.start).collect();
    let mut order = vec![0; rows.len()];
    for row in rows {
        let next = &mut next[number(*row)];
        order[*next] = *row;
        *next += 1;
    }
    (order, ranges)
}

fn require_few<T>(values: &[T], split: &Split) -> Result<()> {
    if values.len() <= MOST_VALUES {
        return Ok(());
    }
    let message = format!("`split` by `{split}` would make more than {MOST_VALUES} files of one window");
    Err(Error::misconfigured(message).help("split by a column of fewer values, or by month(…) or year(…) of a date"))
}

fn each_value(array: &ArrayRef, by: SplitBy, mut see: impl FnMut(usize, Found<'_>)) -> Result<()> {
    match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>().iter().enumerate();
            texts.for_each(|(row, text)| text.into_iter().for_each(|text| see(row, Found::Text(text))));
        }
        DataType::Boolean => {
            let values = array.as_boolean().iter().enumerate();
            values.for_each(|(row, value)| value.into_iter().for_each(|value| see(row, Found::Number(value.into()))));
        }
        data_type => {
            let ticks = ticks_per_day(data_type);
            if !each_number(array, |row, number| see(row, Found::Number(part(number, by, ticks)))) {
                return Err(Error::misconfigured(format!("cannot split by a column of the type {data_type}")));
            }
        }
    }
    Ok(())
}

fn ticks_per_day(data_type: &DataType) -> i64 {
    let ticks_per_second = match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => 1,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 1_000_000_000,
        _ => return 1,
    };
    86_400 * ticks_per_second
}

/// What counts of a number: all of it, or the day, month or year of a time.
fn part(number: i128, by: SplitBy, ticks_per_day: i64) -> i128 {
    // Times have 64 bits and less.
    let day = || i64::try_from(number).unwrap_or_default().div_euclid(ticks_per_day);
    match by {
        SplitBy::Value => number,
        SplitBy::Day => day().into(),
        SplitBy::Month => month_of(day()).into(),
        SplitBy::Year => month_of(day()).div_euclid(12).into(),
    }
}

/// The month of a day since 1970, in months since the year 0. The year is thought to begin in March, so that a leap day is its last.
fn month_of(day: i64) -> i64 {
    let day = day + 719_468;
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    12 * (400 * day.div_euclid(146_097) + year) + (5 * of_year + 2) / 153 + 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_of_days_are_those_of_the_calendar(day in -719_528_i32..2_932_896, second in 0_i64..86_400) {
            let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
            let micros = (i128::from(day) * 86_400 + i128::from(second)) * 1_000_000;
            let ticks = 86_400_000_000;
            prop_assert_eq!(part(micros, SplitBy::Day, ticks), i128::from(day));
            prop_assert_eq!(part(micros, SplitBy::Month, ticks), 12 * i128::from(date.year()) + i128::from(date.month()) - 1);
            prop_assert_eq!(part(day.into(), SplitBy::Year, 1), i128::from(date.year()));
        }
    }
}
