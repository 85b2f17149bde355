//! Typed columns: the type is looked up once per column and file, the loop over the fields of a block knows it.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use arrow_schema::DataType as Arrow;
use windrow_core::contract::{DataType, Property, TimeUnit};
use windrow_core::{Code, Error, Result};

use super::field::{Field, TextColumn};
use super::strings::StringLeaf;
use super::tokens::{FieldValue, Tokens};
use crate::form::COMPACT_DIGITS;
use crate::parse::{
    Booleans, Dates, Tail, Timestamps, decimal, float32, float64, integer, short_decimal, short_integer, short_iso_date,
};
use crate::schema::arrow_type;

/// What is wrong with one row of a column.
pub(crate) type Faults = Vec<(usize, Code)>;

/// A column that takes texts of one type. What is refused is replaced by [`Leaf::push_default`], so that arrays of
/// required columns never hold a null; the caller drops the row.
pub(crate) trait Leaf: Send {
    /// Says how many rows the next array will have.
    fn reserve(&mut self, rows: usize);
    /// Takes one text; nothing is added when it is refused.
    fn push(&mut self, text: &str) -> Result<(), Code>;
    /// Takes a null.
    fn push_null(&mut self);
    /// Takes a stand-in for a refused value.
    fn push_default(&mut self);
    /// Takes one column of some rows; faults are numbered from the first row of the array.
    fn push_column(&mut self, column: &TextColumn<'_>, is_required: bool, faults: &mut Faults);
    /// Gives the values since the last call.
    fn finish(&mut self) -> ArrayRef;
}

/// Makes the column of a property without nested types, in its plain form.
///
/// # Errors
/// `Misconfigured` for a nested type or an impossible time declaration.
pub(crate) fn leaf(property: &Property) -> Result<Box<dyn Leaf>> {
    let leaf: Box<dyn Leaf> = match &property.data_type {
        DataType::Integer { bits, signed } => integer_leaf(*bits, *signed),
        DataType::Decimal { precision, scale } => decimal_leaf(property, *precision, *scale),
        DataType::Float { bits: 32 } => typed::<Float32Type>(property, no_short, float32),
        DataType::Float { .. } => typed::<Float64Type>(property, no_short, float64),
        DataType::Boolean { true_tokens, false_tokens } => boolean_leaf(Booleans::new(true_tokens, false_tokens)),
        DataType::Date { pattern } => {
            let dates = Dates::new(pattern);
            let is_iso = dates.is_iso();
            let short = move |tail: Tail<'_>| if is_iso { short_iso_date(tail) } else { None };
            typed::<Date32Type>(property, short, move |text| dates.parse(text))
        }
        DataType::Timestamp { unit, instant, default_zone, pattern } => {
            let times = Timestamps::new(*unit, *instant, default_zone.as_deref(), pattern);
            let times = times.map_err(|error| error.with("column", &property.name))?;
            match unit {
                TimeUnit::Milli => typed::<TimestampMillisecondType>(property, no_short, move |text| times.parse(text)),
                TimeUnit::Micro => typed::<TimestampMicrosecondType>(property, no_short, move |text| times.parse(text)),
                TimeUnit::Nano => typed::<TimestampNanosecondType>(property, no_short, move |text| times.parse(text)),
            }
        }
        DataType::String { .. } => Box::new(StringLeaf::plain()),
        DataType::Struct(_) | DataType::List(_) => {
            return Err(Error::misconfigured("nested types need NDJSON or Parquet").with("column", &property.name));
        }
    };
    Ok(leaf)
}

/// Makes the column of a property without nested types, in its compact form where it has one.
///
/// # Errors
/// As [`leaf`].
pub(crate) fn compact_leaf(property: &Property) -> Result<Box<dyn Leaf>> {
    match &property.data_type {
        DataType::Decimal { precision, scale } if *precision <= COMPACT_DIGITS => Ok(compact_decimal_leaf(*precision, *scale)),
        DataType::String { .. } => Ok(Box::new(StringLeaf::compact())),
        _ => leaf(property),
    }
}

fn integer_leaf(bits: u8, signed: bool) -> Box<dyn Leaf> {
    match (bits, signed) {
        (8, true) => integers::<Int8Type>(),
        (16, true) => integers::<Int16Type>(),
        (32, true) => integers::<Int32Type>(),
        (_, true) => integers::<Int64Type>(),
        (8, false) => integers::<UInt8Type>(),
        (16, false) => integers::<UInt16Type>(),
        (32, false) => integers::<UInt32Type>(),
        (_, false) => integers::<UInt64Type>(),
    }
}

fn integers<T: ArrowPrimitiveType>() -> Box<dyn Leaf>
where
    T::Native: TryFrom<i64> + TryFrom<i128>,
{
    let short = |tail: Tail<'_>| T::Native::try_from(short_integer(tail)?).ok();
    primitive::<T>(T::DATA_TYPE, short, integer)
}

fn decimal_leaf(property: &Property, precision: u8, scale: u8) -> Box<dyn Leaf> {
    let short = move |tail: Tail<'_>| short_decimal(tail, precision, scale).map(i128::from);
    typed::<Decimal128Type>(property, short, move |text| decimal(text, precision, scale))
}

fn compact_decimal_leaf(precision: u8, scale: u8) -> Box<dyn Leaf> {
    let data_type = Arrow::Decimal64(precision, i8::try_from(scale).unwrap_or(i8::MAX));
    let short = move |tail: Tail<'_>| short_decimal(tail, precision, scale);
    let parse = move |text: &[u8]| i64::try_from(decimal(text, precision, scale)?).map_err(|_| Code::DecimalDigits);
    primitive::<Decimal64Type>(data_type, short, parse)
}

fn boolean_leaf(tokens: Booleans) -> Box<dyn Leaf> {
    let build = |values: Vec<bool>, nulls| Arc::new(BooleanArray::new(values.into(), nulls)) as ArrayRef;
    Box::new(ValueLeaf {
        values: Vec::new(),
        null_rows: Vec::new(),
        short: no_short,
        parse: move |text: &[u8]| tokens.parse(text),
        build,
    })
}

/// For types without a faster way for short texts.
fn no_short<V>(_: Tail<'_>) -> Option<V> {
    None
}

fn typed<T: ArrowPrimitiveType>(
    property: &Property,
    short: impl Fn(Tail<'_>) -> Option<T::Native> + Send + 'static,
    parse: impl Fn(&[u8]) -> Result<T::Native, Code> + Send + 'static,
) -> Box<dyn Leaf> {
    primitive::<T>(arrow_type(&property.data_type), short, parse)
}

fn primitive<T: ArrowPrimitiveType>(
    data_type: Arrow,
    short: impl Fn(Tail<'_>) -> Option<T::Native> + Send + 'static,
    parse: impl Fn(&[u8]) -> Result<T::Native, Code> + Send + 'static,
) -> Box<dyn Leaf> {
    let build = move |values: Vec<T::Native>, nulls| {
        Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(data_type.clone())) as ArrayRef
    };
    Box::new(ValueLeaf { values: Vec::new(), null_rows: Vec::new(), short, parse, build })
}

/// Numbers, booleans, dates and times.
struct ValueLeaf<V, S, P, B> {
    values: Vec<V>,
    null_rows: Vec<usize>,
    /// Parses most short texts; `None` sends a text to `parse`.
    short: S,
    /// Parses every text, or says what is wrong with it.
    parse: P,
    build: B,
}

impl<V, S, P, B> Leaf for ValueLeaf<V, S, P, B>
where
    V: Copy + Default + Send,
    S: Fn(Tail<'_>) -> Option<V> + Send,
    P: Fn(&[u8]) -> Result<V, Code> + Send,
    B: Fn(Vec<V>, Option<NullBuffer>) -> ArrayRef + Send,
{
    fn reserve(&mut self, rows: usize) {
        self.values.reserve_exact(rows);
    }

    fn push(&mut self, text: &str) -> Result<(), Code> {
        self.values.push(not_empty(text.as_bytes(), &self.parse)?);
        Ok(())
    }

    fn push_null(&mut self) {
        self.null_rows.push(self.values.len());
        self.push_default();
    }

    fn push_default(&mut self) {
        self.values.push(V::default());
    }

    fn push_column(&mut self, column: &TextColumn<'_>, is_required: bool, faults: &mut Faults) {
        // Most fields are plain values, so they are parsed before they are compared with the null tokens; unless a
        // token is itself a value of the type (`-1`, `1900-01-01`).
        let is_null_a_value = column.tokens.any_null(|token| (self.parse)(token).is_ok());
        let first = self.values.len();
        self.values.resize(first + column.rows.len(), V::default());
        let (short, parse, null_rows) = (&self.short, &self.parse, &mut self.null_rows);
        column.each(self.values.get_mut(first..).unwrap_or_default(), |slot, row, field| {
            if !is_null_a_value && let Some(value) = field.tail().and_then(short) {
                *slot = value;
                return;
            }
            match any_form(column.tokens, field, is_required, parse) {
                Ok(Some(value)) => *slot = value,
                Ok(None) => null_rows.push(first + row),
                Err(code) => faults.push((first + row, code)),
            }
        });
    }

    fn finish(&mut self) -> ArrayRef {
        let values = std::mem::take(&mut self.values);
        let nulls = null_buffer(&mut self.null_rows, values.len());
        (self.build)(values, nulls)
    }
}

/// An empty text is no value of any type but text, whatever the type's own parser would call it.
#[inline]
fn not_empty<V>(text: &[u8], parse: impl Fn(&[u8]) -> Result<V, Code>) -> Result<V, Code> {
    if text.is_empty() { Err(Code::WrongType) } else { parse(text) }
}

/// The value of a field of any form, `None` for null.
#[inline(never)]
fn any_form<V>(
    tokens: &Tokens,
    field: Field<'_>,
    is_required: bool,
    parse: impl Fn(&[u8]) -> Result<V, Code>,
) -> Result<Option<V>, Code> {
    match tokens.value(field.text()) {
        FieldValue::Null if is_required => Err(Code::NullInRequired),
        FieldValue::Null => Ok(None),
        FieldValue::Text(text) => not_empty(text.as_bytes(), parse).map(Some),
    }
}

/// The null buffer of an array with nulls in these rows, which are forgotten.
pub(super) fn null_buffer(null_rows: &mut Vec<usize>, rows: usize) -> Option<NullBuffer> {
    if null_rows.is_empty() {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(rows);
    valid.append_n(rows, true);
    null_rows.drain(..).for_each(|row| valid.set_bit(row, false));
    Some(NullBuffer::new(valid.finish()))
}

/// A column of nulls, for what the file does not have.
pub(crate) fn nulls(property: &Property, rows: usize) -> ArrayRef {
    arrow_array::new_null_array(&arrow_type(&property.data_type), rows)
}
