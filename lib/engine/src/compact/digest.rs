//! Digests that tell whether two row groups hold the same values in the same order. Not cryptographic: they guard against defects.

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, TimeUnit};
use windrow_core::{Error, Result};

use super::source::Group;
use crate::hash::{mix, of_bytes};

const NULL: u64 = 0x1656_67b1_9e37_79f9;

/// How many rows are decoded at once.
const BATCH_ROWS: usize = 1 << 16;

/// The digest of a column's pages as they stand in a file; `None` when they cannot be told apart there.
pub(crate) fn of_pages(group: &Group, leaf: usize, from: u64) -> Option<u64> {
    let bytes = |range| group.source.bytes.get::<std::ops::Range<usize>>(range);
    group.pages(leaf)?.into_iter().try_fold(from, |digest, page| Some(mix(digest, of_bytes(bytes(page)?))))
}

/// The digest of a column's dictionary page; 0 without one.
pub(crate) fn of_dictionary(group: &Group, leaf: usize) -> u64 {
    group.dictionary(leaf).and_then(|page| group.source.bytes.get(page)).map_or(0, of_bytes)
}

/// The digest of a field's values in row groups, in order, whatever their pages and batches are.
///
/// # Errors
/// `Internal` when they cannot be decoded.
pub(crate) fn of_values(groups: &[Group], field: usize) -> Result<u64> {
    let mut digest = Values::default();
    for group in groups {
        group.decode_compact(field, BATCH_ROWS, |array| digest.add(array))?;
    }
    Ok(digest.finish())
}

/// A sum over rows of a hash of position and value, so that equal values in another order give another sum.
#[derive(Default)]
pub(crate) struct Values {
    sum: u64,
    rows: u64,
    /// The values of the last dictionary with their hashes: the batches of a row group share one.
    dictionary: Option<(ArrayRef, Vec<u64>)>,
}

/// The hash of a value as a plain page holds it; the same as [`Values::add`] takes of the decoded value. `None` for what is not hashed
/// from there.
pub(crate) fn of_plain(value: &[u8], declared: &DataType) -> Option<u64> {
    use DataType::{Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Timestamp, UInt8, UInt16, UInt32, UInt64};
    let number = match (declared, value.len()) {
        (DataType::Utf8, _) => return Some(of_bytes(value.get(4..)?)),
        (Int8 | Int16 | Int32 | Date32 | UInt8 | UInt16 | Decimal128(..), 4) => {
            i128::from(i32::from_le_bytes(*value.first_chunk()?))
        }
        (UInt32 | Float32, 4) => i128::from(u32::from_le_bytes(*value.first_chunk()?)),
        (Int64 | Decimal128(..), 8) => i128::from(i64::from_le_bytes(*value.first_chunk()?)),
        (Timestamp(unit, _), 8) if *unit != TimeUnit::Second => i128::from(i64::from_le_bytes(*value.first_chunk()?)),
        (UInt64 | Float64, 8) => i128::from(u64::from_le_bytes(*value.first_chunk()?)),
        _ => return None,
    };
    Some(of_number(number))
}

macro_rules! by_width {
    ($self:ident, $array:ident, $($type:pat => $native:ident),+ $(,)?) => {
        match $array.data_type() {
            $($type => {
                let data = $array.to_data();
                let values = data.buffers().first().map(|buffer| buffer.typed_data::<$native>()).unwrap_or_default();
                let values = values.get(data.offset()..data.offset() + data.len()).unwrap_or_default();
                $self.each($array.nulls(), values.iter().map(|value| of_number(*value as i128)));
            })+
            DataType::Boolean => {
                let values = $array.as_boolean().values();
                $self.each($array.nulls(), values.iter().map(u64::from));
            }
            DataType::Utf8 => {
                let texts = $array.as_string::<i32>();
                $self.each($array.nulls(), (0..texts.len()).map(|row| of_bytes(texts.value(row).as_bytes())));
            }
            DataType::Dictionary(..) => $self.add_dictionary($array),
            _ => $self.add_rows($array)?,
        }
    };
}

fn of_number(value: i128) -> u64 {
    (value as u64) ^ ((value >> 64) as u64).rotate_left(32)
}

impl Values {
    fn add(&mut self, array: &ArrayRef) -> Result<()> {
        use DataType::{
            Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Timestamp, UInt8, UInt16, UInt32, UInt64,
        };
        by_width!(self, array,
            Int8 => i8, Int16 => i16, Int32 | Date32 => i32, Int64 | Timestamp(..) => i64,
            UInt8 => u8, UInt16 => u16, UInt32 | Float32 => u32, UInt64 | Float64 => u64,
            Decimal128(..) => i128,
        );
        Ok(())
    }

    /// Texts by their places in a dictionary, each of which is hashed once.
    fn add_dictionary(&mut self, array: &ArrayRef) {
        let texts = array.as_dictionary::<Int32Type>();
        let known = self.dictionary.take().filter(|(values, _)| values.to_data().ptr_eq(&texts.values().to_data()));
        let (values, hashes) = known.unwrap_or_else(|| {
            let values = texts.values().as_string::<i32>();
            let hash = |row| of_bytes(values.value(row).as_bytes());
            (texts.values().clone(), (0..values.len()).map(hash).collect())
        });
        let at = |key: &i32| usize::try_from(*key).ok().and_then(|key| hashes.get(key)).copied().unwrap_or_default();
        self.each(texts.nulls(), texts.keys().values().iter().map(at));
        self.dictionary = Some((values, hashes));
    }

    /// The digest of all that was added.
    pub(crate) fn finish(&self) -> u64 {
        mix(self.sum, self.rows)
    }

    /// One row that is null.
    pub(crate) fn null(&mut self) {
        self.each(None, std::iter::once(NULL));
    }

    /// The hashes of values, in the order of their rows.
    pub(crate) fn each(&mut self, nulls: Option<&NullBuffer>, values: impl Iterator<Item = u64>) {
        let (mut sum, mut position) = (self.sum, self.rows);
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => {
                for value in values {
                    sum = sum.wrapping_add(mix(value, position.wrapping_mul(NULL)));
                    position += 1;
                }
            }
            Some(nulls) => {
                for (value, is_valid) in values.zip(nulls.iter()) {
                    let value = if is_valid { value } else { NULL };
                    sum = sum.wrapping_add(mix(value, position.wrapping_mul(NULL)));
                    position += 1;
                }
            }
        }
        (self.sum, self.rows) = (sum, position);
    }

    /// Objects and lists, in a form in which equal rows are equal bytes.
    fn add_rows(&mut self, array: &ArrayRef) -> Result<()> {
        let rows = RowConverter::new(vec![SortField::new(array.data_type().clone())])
            .and_then(|converter| converter.convert_columns(std::slice::from_ref(array)))
            .map_err(|error| Error::internal("cannot compare a nested column").caused_by(error))?;
        self.each(None, rows.iter().map(|row| of_bytes(row.as_ref())));
        Ok(())
    }
}
