//! Nulls, least and greatest value of each column of a file, as text, for the ledger.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use windrow_core::Contract;
use windrow_core::contract::Property;

use crate::numbers::each_number;
use crate::text::{may_be_shown, number_text};

/// What is known about a column of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnStats {
    /// The column.
    pub name: String,
    /// How many values are null.
    pub nulls: u64,
    /// The exact least value in ISO or decimal form; `None` when there is no value, the column is nested or classified, or the text is
    /// too long to stand in the ledger (it is never cut).
    pub min: Option<String>,
    /// The exact greatest value, likewise.
    pub max: Option<String>,
}

/// The longest text that stands in the ledger.
const MAX_TEXT_BYTES: usize = 256;

/// The statistics of all columns of a contract's file.
pub(crate) fn column_stats(contract: &Contract, batches: &[RecordBatch]) -> Vec<ColumnStats> {
    contract.file_properties().enumerate().map(|(index, property)| column(property, index, batches)).collect()
}

fn column(property: &Property, index: usize, batches: &[RecordBatch]) -> ColumnStats {
    let arrays: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(index).as_ref()).collect();
    let nulls = arrays.iter().map(|array| array.null_count() as u64).sum();
    let bounds = if may_be_shown(property) { bounds(&arrays) } else { None };
    let (min, max) = bounds.unzip();
    let short = |text: &String| text.len() <= MAX_TEXT_BYTES;
    ColumnStats { name: property.name.to_string(), nulls, min: min.filter(short), max: max.filter(short) }
}

fn bounds(arrays: &[&dyn Array]) -> Option<(String, String)> {
    let data_type = arrays.first()?.data_type();
    match data_type {
        DataType::Utf8 => {
            let texts =
                || arrays.iter().filter_map(|array| array.as_string_opt::<i32>()).flat_map(|texts| texts.iter().flatten());
            Some((texts().min()?.to_owned(), texts().max()?.to_owned()))
        }
        DataType::Boolean => {
            let values = || arrays.iter().filter_map(|array| array.as_boolean_opt()).flat_map(|values| values.iter().flatten());
            Some((values().min()?.to_string(), values().max()?.to_string()))
        }
        DataType::Float64 => {
            let columns = arrays.iter().filter_map(|array| array.as_primitive_opt::<Float64Type>());
            float_bounds(columns.flat_map(|values| values.iter().flatten())).map(|(min, max)| (min.to_string(), max.to_string()))
        }
        DataType::Float32 => {
            let columns = arrays.iter().filter_map(|array| array.as_primitive_opt::<Float32Type>());
            float_bounds(columns.flat_map(|values| values.iter().flatten())).map(|(min, max)| (min.to_string(), max.to_string()))
        }
        _ => {
            let mut bounds: Option<(i128, i128)> = None;
            for array in arrays {
                each_number(*array, |_, value| {
                    bounds = Some(bounds.map_or((value, value), |(min, max)| (min.min(value), max.max(value))))
                });
            }
            bounds.map(|(min, max)| (number_text(min, data_type), number_text(max, data_type)))
        }
    }
}

/// NaN has no place in an order, so a column that holds one has no bounds.
fn float_bounds<T: PartialOrd + Copy>(values: impl Iterator<Item = T>) -> Option<(T, T)> {
    let mut bounds: Option<(T, T)> = None;
    for value in values {
        value.partial_cmp(&value)?;
        bounds =
            Some(bounds.map_or((value, value), |(min, max)| {
                (if value < min { value } else { min }, if value > max { value } else { max })
            }));
    }
    bounds
}
