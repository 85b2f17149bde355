//! A run: the rows of one chunk in their final order among themselves, in memory or on disk.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StringArray, new_empty_array};
use arrow_schema::DataType;
use windrow_core::{Error, Result};

use super::gather::Source;
use super::key_part::KeyPart;
use super::memory::Memory;
use super::spill::SpilledColumn;
use super::split::Share;
use crate::chunk::{Origin, Position};
use crate::form::plain;

/// The rows of one chunk.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) position: Position,
    pub(crate) rows: usize,
    pub(crate) origin: Origin,
    /// For each row its number in the chunk, where sorting moved rows.
    pub(crate) before: Option<Vec<u32>>,
    columns: Vec<Column>,
    /// The columns of keys, which are looked at before all others; others are `None`.
    keys: Vec<Option<KeyPart>>,
    /// The length in bytes of the longest text of each column.
    pub(crate) longest: Vec<usize>,
    /// The rows by the value they are split by, from the first to the last; empty when the contract splits nothing.
    pub(crate) shares: Vec<Share>,
}

#[derive(Debug)]
enum Column {
    Held(ArrayRef),
    /// With the values, when the rows are the keys of a dictionary.
    Spilled(Arc<SpilledColumn>, Option<Arc<StringArray>>),
}

impl Run {
    /// Takes a chunk's sorted rows; `is_key` tells which columns are looked at again for keys.
    ///
    /// # Errors
    /// `Internal` when a form cannot be undone.
    pub(crate) fn new(
        position: Position,
        batch: &RecordBatch,
        origin: Origin,
        before: Option<Vec<u32>>,
        is_key: &[bool],
    ) -> Result<Self> {
        // Runs are compared with each other, so keys have one form.
        let keys =
            batch.columns().iter().zip(is_key).map(|(array, is_key)| is_key.then(|| plain(array).map(KeyPart::new)).transpose());
        let keys = keys.collect::<Result<_>>()?;
        let longest = batch.columns().iter().map(longest_text).collect();
        let columns = batch.columns().iter().cloned().map(Column::Held).collect();
        Ok(Run { position, rows: batch.num_rows(), origin, before, columns, keys, longest, shares: Vec::new() })
    }

    /// The same with rows that were dealt to values.
    pub(crate) fn with_shares(self, shares: Vec<Share>) -> Self {
        Run { shares, ..self }
    }

    /// How many bytes spilling gives back.
    pub(crate) fn held_bytes(&self) -> u64 {
        let held = self.columns.iter().zip(&self.keys).map(|(column, key)| match column {
            Column::Held(array) => array.get_array_memory_size() + own_bytes(array, key.as_ref()),
            Column::Spilled(..) => 0,
        });
        held.sum::<usize>() as u64
    }

    /// How many bytes stay in memory whatever happens.
    pub(crate) fn fixed_bytes(&self) -> u64 {
        self.before.as_ref().map_or(0, |before| before.len() * size_of::<u32>()) as u64
    }

    /// Moves all columns to disk.
    ///
    /// # Errors
    /// As [`SpilledColumn::write`].
    pub(crate) fn spill(&mut self, memory: &Memory) -> Result<()> {
        for (column, key) in self.columns.iter_mut().zip(&mut self.keys) {
            let Column::Held(array) = column else { continue };
            if let Some((key, values)) = key.as_mut().and_then(|key| key.held().cloned().map(|values| (key, values))) {
                let spilled = Arc::new(SpilledColumn::write(memory, &values)?);
                key.spilled_to(spilled.clone());
                *column = Column::Spilled(spilled, None);
                continue;
            }
            *column = match array.as_dictionary_opt::<UInt8Type>() {
                Some(coded) => {
                    let keys: ArrayRef = Arc::new(coded.keys().clone());
                    let values = coded.values().as_string_opt::<i32>().map(|values| Arc::new(values.clone()));
                    Column::Spilled(Arc::new(SpilledColumn::write(memory, &keys)?), values)
                }
                None => Column::Spilled(Arc::new(SpilledColumn::write(memory, array)?), None),
            };
        }
        Ok(())
    }

    /// The original number of a row in its chunk.
    pub(crate) fn original(&self, row: usize) -> usize {
        self.before.as_ref().and_then(|before| before.get(row)).map_or(row, |before| *before as usize)
    }

    /// From here on nobody asks which lines the rows were.
    pub(crate) fn forget_lines(&mut self) {
        self.before = None;
    }

    /// The line of a row in its file.
    pub(crate) fn line(&self, row: usize) -> u64 {
        self.origin.line(self.original(row))
    }

    /// A column that is part of a key.
    pub(crate) fn key(&self, column: usize) -> Option<&KeyPart> {
        self.keys.get(column).and_then(Option::as_ref)
    }

    /// The dictionary of a text column that has one.
    pub(crate) fn dictionary(&self, column: usize) -> Option<&StringArray> {
        match self.columns.get(column)? {
            Column::Held(array) => array.as_dictionary_opt::<UInt8Type>()?.values().as_string_opt::<i32>(),
            Column::Spilled(_, values) => values.as_deref(),
        }
    }

    /// Tells whether a column must be read from disk.
    pub(crate) fn is_spilled(&self) -> bool {
        self.columns.iter().any(|column| matches!(column, Column::Spilled(..)))
    }

    /// A column's rows in this range, at least.
    ///
    /// # Errors
    /// As [`SpilledColumn::read`].
    pub(crate) fn source(&self, column: usize, rows: Option<Range<usize>>) -> Result<Source> {
        let missing = || Error::internal("a run lacks a column").with("column", column);
        match self.columns.get(column).ok_or_else(missing)? {
            Column::Held(array) => Ok(Source { array: array.clone(), base: 0 }),
            Column::Spilled(spilled, values) => {
                let (base, array) = spilled.read(rows.unwrap_or(0..0))?;
                let array = match values {
                    None => array,
                    Some(values) => coded(&array, values)?,
                };
                Ok(Source { array, base })
            }
        }
    }
}

/// What a key takes beside its column: nothing, where they are the same array.
fn own_bytes(column: &ArrayRef, key: Option<&KeyPart>) -> usize {
    let own = key.and_then(KeyPart::held).filter(|key| key.data_type() != column.data_type());
    own.map_or(0, |key| key.get_array_memory_size())
}

fn dictionary_of(values: &DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt8), Box::new(values.clone()))
}

fn coded(keys: &ArrayRef, values: &Arc<StringArray>) -> Result<ArrayRef> {
    if keys.is_empty() {
        return Ok(new_empty_array(&dictionary_of(values.data_type())));
    }
    let array = DictionaryArray::<UInt8Type>::try_new(keys.as_primitive::<UInt8Type>().clone(), values.clone());
    Ok(Arc::new(array.map_err(|error| Error::internal("spilled keys do not fit their dictionary").caused_by(error))?))
}

fn longest_text(array: &ArrayRef) -> usize {
    let texts = match array.as_dictionary_opt::<UInt8Type>() {
        Some(dictionary) => dictionary.values().as_string_opt::<i32>(),
        None => array.as_string_opt::<i32>(),
    };
    let lengths = texts.map(|texts| texts.value_offsets().array_windows().map(|[start, end]| end - start));
    lengths.and_then(Iterator::max).and_then(|length| usize::try_from(length).ok()).unwrap_or(0)
}
