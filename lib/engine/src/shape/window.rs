//! Whether rows lie inside their partition window: by the partition column, and by the contract's window column.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_schema::DataType as Arrow;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use windrow_core::contract::{DataType, Property};
use windrow_core::{Code, Contract, Error, Grain, PartitionWindow, Result};

use crate::numbers::{each_number, ticks_per_second};
use crate::rules::Broken;
use crate::schema::arrow_type;
use crate::text::days_since_epoch;

/// What a column's values must be for its rows to belong to the window.
#[derive(Debug)]
pub(crate) struct Inside {
    range: Range,
    expected: String,
}

#[derive(Debug)]
enum Range {
    /// From (inclusive) to (exclusive), in days or ticks.
    Numbers(i128, i128),
    Text(String),
}

impl Inside {
    /// The partition column: the window's day as a date, or the window's text.
    pub(crate) fn of_partition(contract: &Contract, property: &Property, window: &PartitionWindow) -> Result<Self> {
        match &property.data_type {
            DataType::Date { .. } if window.grain() == Grain::Day => {
                let day = i128::from(days_since_epoch(window.start_date()));
                Ok(Inside { range: Range::Numbers(day, day + 1), expected: format!("expected the window's day, {window}") })
            }
            DataType::String { .. } => {
                Ok(Inside { range: Range::Text(window.to_string()), expected: format!("expected the window, {window}") })
            }
            other => Err(Error::misconfigured(format!(
                "the partition column `{}` of {} windows cannot be {}",
                property.name,
                window.grain(),
                other.describe()
            ))
            .with("contract", &contract.file)
            .help("declare it as a date for daily windows, and as a string otherwise")),
        }
    }

    /// The window column: a date, a local time compared with the window's clock, or an instant compared in the window's zone.
    pub(crate) fn of_column(contract: &Contract, property: &Property, window: &PartitionWindow) -> Result<Self> {
        let (start, end) = (window.start(), window.end()?);
        let zone = &contract.window.zone;
        let expected = format!("expected a time from {start} to before {end} ({zone})");
        let range = match (&property.data_type, arrow_type(&property.data_type)) {
            (DataType::Date { .. }, _) => {
                let first = i128::from(days_since_epoch(start.date()));
                let last = i128::from(days_since_epoch(end.date()));
                Range::Numbers(first, last.max(first + 1))
            }
            (DataType::Timestamp { instant, .. }, Arrow::Timestamp(unit, _)) => {
                let (from, to) =
                    if *instant { window.instants(&time_zone(contract)?)? } else { window.instants(&TimeZone::UTC)? };
                let tick = 1_000_000_000 / ticks_per_second(unit);
                Range::Numbers(first_tick(from, tick), first_tick(to, tick))
            }
            (other, _) => {
                let message =
                    format!("the window column `{}` is {}, neither a date nor a timestamp", property.name, other.describe());
                return Err(Error::misconfigured(message).with("place", &contract.window.place));
            }
        };
        Ok(Inside { range, expected })
    }

    /// Lists the rows outside; null lies in no window.
    pub(crate) fn outside(&self, array: &dyn Array) -> Vec<Broken> {
        let broken = |row: usize| Broken { row, code: Code::OutsideWindow, expected: self.expected.clone() };
        let mut found: Vec<Broken> = (0..array.len()).filter(|row| array.is_null(*row)).map(broken).collect();
        match (&self.range, array.as_string_opt::<i32>()) {
            (Range::Numbers(from, to), _) => {
                each_number(array, |row, value| {
                    if value < *from || value >= *to {
                        found.push(broken(row));
                    }
                });
            }
            (Range::Text(text), Some(texts)) => {
                let others = texts.iter().enumerate().filter(|(_, have)| have.is_some_and(|have| have != text));
                found.extend(others.map(|(row, _)| broken(row)));
            }
            (Range::Text(_), None) => found.extend((0..array.len()).map(broken)),
        }
        found.sort_by_key(|broken| broken.row);
        found
    }
}

/// The first tick that is not before an instant; bounds are whole seconds except in zones with odd old offsets.
fn first_tick(instant: Timestamp, tick: i128) -> i128 {
    instant.as_nanosecond().div_euclid(tick) + i128::from(instant.as_nanosecond().rem_euclid(tick) != 0)
}

fn time_zone(contract: &Contract) -> Result<TimeZone> {
    let zone = &contract.window.zone;
    TimeZone::get(zone).map_err(|error| {
        Error::misconfigured(format!("`{zone}` is not a known time zone")).with("place", &contract.window.place).caused_by(error)
    })
}
