//! Rows of different values in different files: the rows of a window, which stand in their order, dealt to the values of one column.
//! The rows of a value keep their order. The rows of each chunk are dealt before, so that those of a file lie together in every run.

use std::cmp::Ordering;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema, TimeUnit};
use rayon::prelude::*;
use windrow_core::contract::{Split, SplitBy};
use windrow_core::{Error, Result};

use super::rows::{BATCH_ROWS, OrderedRows};
use crate::form::plain;
use crate::numbers::each_number;

/// How many files of different values a window may have.
const MOST_VALUES: usize = 1_000;

/// How many bytes dealing takes for every row: the number of its value, and its place in the old and in the new order.
pub(super) const BYTES_PER_ROW: u64 = 10;

/// What rows of one file share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// Deals the rows to their values, in ascending order of these.
///
/// # Errors
/// `Misconfigured` when there are too many values, or the column is not in the table.
pub(super) fn deal(rows: &mut OrderedRows, split: &Split) -> Result<()> {
    let column = Column { rows, index: index_of(split, rows.schema())?, by: split.by };
    let pieces: Vec<Range<usize>> =
        (0..rows.len()).step_by(BATCH_ROWS).map(|start| start..rows.len().min(start + BATCH_ROWS)).collect();
    let values = pieces.par_iter().map(|piece| column.values(piece)).try_reduce(Vec::new, |a, b| Ok(merged(a, b)))?;
    require_few(&values, split)?;
    if values.len() < 2 {
        return Ok(());
    }
    let numbers = pieces.par_iter().map(|piece| column.numbers(piece, &values)).collect::<Result<Vec<_>>>()?;
    rows.deal(&numbers.concat(), values.len());
    Ok(())
}

/// The order of a chunk's rows when they are dealt to their values; `None` when it stays as it is.
///
/// # Errors
/// As [`deal`].
pub(super) fn dealt(chunk: &RecordBatch, split: &Split, order: Option<Vec<u32>>) -> Result<Option<Vec<u32>>> {
    let array = plain(chunk.column(index_of(split, chunk.schema_ref())?))?;
    let mut values = Values::default();
    each_value(&array, split.by, |_, found| values.add(found))?;
    let values = values.0;
    require_few(&values, split)?;
    if values.len() < 2 {
        return Ok(order);
    }
    let mut numbers = vec![u16::MAX; chunk.num_rows()];
    each_value(&array, split.by, |row, found| number(&mut numbers, row, found, &values))?;
    let before = order.unwrap_or_else(|| (0..u32::try_from(chunk.num_rows()).unwrap_or(u32::MAX)).collect());
    let numbers: Vec<u16> = before.iter().filter_map(|row| numbers.get(*row as usize).copied()).collect();
    require_all(&numbers)?;
    Ok(Some(in_order(&before, &numbers, values.len()).0))
}

/// Rows by the number of their value, those of each in the order they are in, and where each begins and ends.
pub(super) fn in_order(rows: &[u32], numbers: &[u16], count: usize) -> (Vec<u32>, Vec<Range<usize>>) {
    let mut rows_of = vec![0_usize; count];
    numbers.iter().for_each(|number| rows_of[usize::from(*number)] += 1);
    let mut end = 0;
    let following = |rows: usize| {
        end += rows;
        end - rows..end
    };
    let ranges: Vec<Range<usize>> = rows_of.into_iter().map(following).collect();
    let mut next: Vec<usize> = ranges.iter().map(|range| range.start).collect();
    let mut order = vec![0; rows.len()];
    for (row, number) in rows.iter().zip(numbers) {
        let next = &mut next[usize::from(*number)];
        order[*next] = *row;
        *next += 1;
    }
    (order, ranges)
}

fn index_of(split: &Split, schema: &Schema) -> Result<usize> {
    let missing =
        |error| Error::misconfigured(format!("column `{}` of the split is not in the table", split.column)).caused_by(error);
    schema.index_of(&split.column).map_err(missing)
}

fn require_few(values: &[Value], split: &Split) -> Result<()> {
    if values.len() <= MOST_VALUES {
        return Ok(());
    }
    let message = format!("`split` by `{split}` would make more than {MOST_VALUES} files of one window");
    Err(Error::misconfigured(message).help("split by a column of fewer values, or by month(…) or year(…) of a date"))
}

/// Nulls were refused before.
fn require_all(numbers: &[u16]) -> Result<()> {
    if numbers.contains(&u16::MAX) { Err(Error::internal("a row has no value to be split by")) } else { Ok(()) }
}

/// Values that were found, ascending, each once; one more than there may be is enough to know of.
#[derive(Default)]
struct Values(Vec<Value>);

impl Values {
    fn add(&mut self, found: Found<'_>) {
        if let Err(place) = self.0.binary_search_by(|value| found.compare(value))
            && self.0.len() <= MOST_VALUES
        {
            self.0.insert(place, found.to_value());
        }
    }
}

/// Notes the number of a row's value.
fn number(numbers: &mut [u16], row: usize, found: Found<'_>, values: &[Value]) {
    let number = values.binary_search_by(|value| found.compare(value)).ok().and_then(|number| u16::try_from(number).ok());
    if let (Some(slot), Some(number)) = (numbers.get_mut(row), number) {
        *slot = number;
    }
}

/// The column that rows are dealt by.
struct Column<'a> {
    rows: &'a OrderedRows,
    index: usize,
    by: SplitBy,
}

impl Column<'_> {
    /// The values of some rows.
    fn values(&self, rows: &Range<usize>) -> Result<Vec<Value>> {
        let mut values = Values::default();
        self.each(rows, |_, found| values.add(found))?;
        Ok(values.0)
    }

    /// For each of some rows the number of its value.
    fn numbers(&self, rows: &Range<usize>, values: &[Value]) -> Result<Vec<u16>> {
        let mut numbers = vec![u16::MAX; rows.len()];
        self.each(rows, |row, found| number(&mut numbers, row, found, values))?;
        require_all(&numbers).map(|()| numbers)
    }

    fn each(&self, rows: &Range<usize>, mut see: impl FnMut(usize, Found<'_>)) -> Result<()> {
        let mut start = 0;
        self.rows.group(std::slice::from_ref(rows)).column(self.index, &mut |array| {
            let array = plain(&array)?;
            each_value(&array, self.by, |row, found| see(start + row, found))?;
            start += array.len();
            Ok(())
        })
    }
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

/// Both, ascending, each value once.
fn merged(mut a: Vec<Value>, b: Vec<Value>) -> Vec<Value> {
    a.extend(b);
    a.sort_unstable();
    a.dedup();
    a
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
