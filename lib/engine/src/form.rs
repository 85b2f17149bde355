//! The compact forms in which columns travel from the reader to the writer: same values, less to move.
//!
//! | declared | compact | plain |
//! |---|---|---|
//! | decimal of at most 18 digits | `Decimal64` | `Decimal128` |
//! | string with few distinct values in a chunk | `Dictionary(UInt8, Utf8)` | `Utf8` |
//!
//! Invariant: which form a chunk has never shows in what is published. It may depend on what its thread read before, because a
//! column that turned out to have many values is not tried again.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema};
use windrow_core::{Error, Result};

/// The most digits a decimal of 64 bits always holds.
pub const COMPACT_DIGITS: u8 = 18;

/// Tells whether an array of type `have` holds values of the plain type `declared`, in its plain or its compact form.
pub fn is_form_of(have: &DataType, declared: &DataType) -> bool {
    match (have, declared) {
        (DataType::Decimal64(precision, scale), DataType::Decimal128(declared, declared_scale)) => {
            precision == declared && scale == declared_scale
        }
        (DataType::Dictionary(key, value), DataType::Utf8) => **key == DataType::UInt8 && **value == DataType::Utf8,
        _ => have == declared,
    }
}

/// The plain type behind a compact one.
pub fn plain_type(have: &DataType) -> DataType {
    match have {
        DataType::Decimal64(precision, scale) => DataType::Decimal128(*precision, *scale),
        DataType::Dictionary(_, value) => (**value).clone(),
        other => other.clone(),
    }
}

/// The array in its plain form.
///
/// # Errors
/// `Internal` when a form cannot be undone, which is a defect.
pub fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    let to = plain_type(array.data_type());
    if *array.data_type() == to {
        return Ok(array.clone());
    }
    cast(array, &to).map_err(|error| Error::internal(format!("cannot hold a column as {to}")).caused_by(error))
}

/// The batch with every column in its plain form.
///
/// # Errors
/// As [`plain`].
pub fn plain_batch(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(plain).collect::<Result<Vec<_>>>()?;
    let field = |(field, column): (&Arc<Field>, &ArrayRef)| field.as_ref().clone().with_data_type(column.data_type().clone());
    let schema = Schema::new(batch.schema_ref().fields().iter().zip(&columns).map(field).collect::<Vec<_>>());
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)
        .map_err(|error| Error::internal("plain columns do not make a batch").caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Decimal128Type, UInt8Type};
    use arrow_array::{Array, Decimal64Array, DictionaryArray};

    #[test]
    fn compact_columns_become_plain() {
        let cents: ArrayRef = Arc::new(Decimal64Array::from(vec![Some(-5), None]).with_precision_and_scale(15, 2).unwrap());
        let flags: ArrayRef = Arc::new(DictionaryArray::<UInt8Type>::from_iter([Some("A"), None]));
        let batch = RecordBatch::try_from_iter_with_nullable([("cents", cents, true), ("flag", flags, true)]).unwrap();
        let plain = plain_batch(&batch).unwrap();
        assert_eq!(plain.column(0).data_type(), &DataType::Decimal128(15, 2));
        assert_eq!(plain.column(0).as_primitive::<Decimal128Type>().value(0), -5);
        assert_eq!(plain.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("A"), None]);
        assert!(plain.column(0).is_null(1));
        for (have, plain) in batch.columns().iter().zip(plain.columns()) {
            assert!(is_form_of(have.data_type(), plain.data_type()));
        }
    }

    #[test]
    fn other_types_are_no_forms() {
        assert!(!is_form_of(&DataType::Decimal64(15, 3), &DataType::Decimal128(15, 2)));
        assert!(!is_form_of(&DataType::Int32, &DataType::Int64));
    }
}
