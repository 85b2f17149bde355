//! One chunk's part of a key's column, in memory or on disk.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use windrow_core::Result;

use super::spill::SpilledColumn;
use crate::numbers::number_bounds;

/// The values of a key's column in one chunk, and what is known of them wherever they are.
#[derive(Clone, Debug)]
pub(crate) struct KeyPart {
    values: Values,
    pub(crate) data_type: DataType,
    pub(crate) rows: usize,
    /// What the values take in memory.
    pub(crate) bytes: usize,
    /// The least and the greatest number, when there is any; `None` outside for other types than numbers.
    pub(crate) bounds: Option<Option<(i128, i128)>>,
}

#[derive(Clone, Debug)]
enum Values {
    Held(ArrayRef),
    Spilled(Arc<SpilledColumn>),
}

impl KeyPart {
    pub(crate) fn new(array: ArrayRef) -> Self {
        let bounds = if *array.data_type() == DataType::Null { Some(None) } else { number_bounds(&array) };
        let (data_type, rows, bytes) = (array.data_type().clone(), array.len(), array.get_array_memory_size());
        KeyPart { values: Values::Held(array), data_type, rows, bytes, bounds }
    }

    /// The values, when they are in memory.
    pub(crate) fn held(&self) -> Option<&ArrayRef> {
        match &self.values {
            Values::Held(array) => Some(array),
            Values::Spilled(_) => None,
        }
    }

    /// From here on the values are on disk.
    pub(crate) fn spilled_to(&mut self, column: Arc<SpilledColumn>) {
        self.values = Values::Spilled(column);
    }

    /// All values.
    ///
    /// # Errors
    /// As [`SpilledColumn::read`].
    pub(crate) fn load(&self) -> Result<ArrayRef> {
        match &self.values {
            Values::Held(array) => Ok(array.clone()),
            Values::Spilled(column) => Ok(column.read(0..self.rows)?.1),
        }
    }

    /// An array that holds one row's value, and its number there.
    ///
    /// # Errors
    /// As [`SpilledColumn::read`].
    pub(crate) fn around(&self, row: usize) -> Result<(ArrayRef, usize)> {
        match &self.values {
            Values::Held(array) => Ok((array.clone(), row)),
            Values::Spilled(column) => column.read(row..row + 1).map(|(base, array)| (array, row - base)),
        }
    }
}
