//! Typed columns: the type is looked up once per column and file, the loop over the fields of a block knows it.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use windrow_core::contract::{DataType, Property, Reader, TimeUnit};
use windrow_core::{Code, Error, Result};

use super::index::Row;
use crate::parse::{Booleans, Dates, Timestamps, decimal, float32, float64, integer};
use crate::schema::arrow_type;

/// What is wrong with one row of a column.
pub(crate) type Faults = Vec<(usize, Code)>;

/// A column that takes texts of one type. What is refused is replaced by [`Leaf::push_default`], so that arrays of
/// required columns never hold a null; the caller drops the row.
pub(crate) trait Leaf: Send {
    /// Takes one text; nothing is added when it is refused.
    fn push(&mut self, text: &str) -> Result<(), Code>;
    /// Takes a null.
    fn push_null(&mut self);
    /// Takes a stand-in for a refused value.
    fn push_default(&mut self);
    /// Takes one column of a block of text.
    fn push_column(&mut self, column: &TextColumn<'_>, is_required: bool, faults: &mut Faults);
    /// Gives the values since the last call.
    fn finish(&mut self) -> ArrayRef;
}

/// Which fields are null, and how fields are quoted.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    nulls: Vec<Box<str>>,
    is_null_when_quoted: bool,
    quote: Option<u8>,
}

/// A field with its quotes off.
pub(crate) enum FieldValue<'a> {
    Null,
    Text(Cow<'a, str>),
}

impl Tokens {
    pub(crate) fn new(reader: &Reader) -> Self {
        let nulls = reader.null_values.iter().map(|token| token.as_str().into()).collect();
        Tokens { nulls, is_null_when_quoted: reader.quoted_null, quote: reader.quote }
    }

    #[inline]
    fn is_null(&self, text: &str) -> bool {
        self.nulls.iter().any(|token| **token == *text)
    }

    /// Takes quotes off and recognises nulls.
    #[inline]
    pub(crate) fn value<'a>(&self, field: &'a str) -> FieldValue<'a> {
        let is_quoted = self.quote.is_some() && field.as_bytes().first().copied() == self.quote;
        if !is_quoted {
            return if self.is_null(field) { FieldValue::Null } else { FieldValue::Text(Cow::Borrowed(field)) };
        }
        let inner = unquote(field, self.quote.unwrap_or(b'"'));
        if self.is_null_when_quoted && self.is_null(&inner) { FieldValue::Null } else { FieldValue::Text(inner) }
    }
}

/// Takes the quotes off a quoted field; doubled quotes inside become single ones.
pub(crate) fn unquote(field: &str, quote: u8) -> Cow<'_, str> {
    let inner = field.get(1..field.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(quote, inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    let quote = char::from(quote);
    let mut text = String::with_capacity(inner.len());
    let mut is_second = false;
    for letter in inner.chars() {
        is_second = letter == quote && !is_second;
        if !is_second {
            text.push(letter);
        }
    }
    Cow::Owned(text)
}

/// One column of a block: the field at `column` of each row. Every row has that many fields.
pub(crate) struct TextColumn<'a> {
    pub(crate) text: &'a str,
    pub(crate) marks: &'a [u32],
    pub(crate) rows: &'a [Row],
    pub(crate) column: usize,
    pub(crate) tokens: &'a Tokens,
}

impl<'a> TextColumn<'a> {
    /// The fields as they stand in the file.
    #[inline]
    fn fields(&self) -> impl Iterator<Item = &'a str> {
        let (text, marks, column) = (self.text, self.marks, self.column);
        self.rows.iter().map(move |row| {
            let last = row.first as usize + column;
            let end = marks.get(last).copied().unwrap_or_default();
            let start = if column == 0 { row.start } else { marks.get(last - 1).map_or(end, |mark| mark + 1) };
            text.get(start as usize..end as usize).unwrap_or_default()
        })
    }
}

/// Makes the column of a property without nested types.
///
/// # Errors
/// `Misconfigured` for a nested type or an impossible time declaration.
pub(crate) fn leaf(property: &Property) -> Result<Box<dyn Leaf>> {
    let leaf: Box<dyn Leaf> = match &property.data_type {
        DataType::Integer { bits, signed } => integer_leaf(*bits, *signed),
        DataType::Decimal { precision, scale } => {
            let (precision, scale) = (*precision, *scale);
            typed::<Decimal128Type>(property, move |text| decimal(text, precision, scale))
        }
        DataType::Float { bits: 32 } => typed::<Float32Type>(property, float32),
        DataType::Float { .. } => typed::<Float64Type>(property, float64),
        DataType::Boolean { true_tokens, false_tokens } => {
            Box::new(BooleanLeaf { builder: BooleanBuilder::new(), tokens: Booleans::new(true_tokens, false_tokens) })
        }
        DataType::Date { pattern } => {
            let dates = Dates::new(pattern);
            typed::<Date32Type>(property, move |text| dates.parse(text))
        }
        DataType::Timestamp { unit, instant, default_zone, pattern } => {
            let times = Timestamps::new(*unit, *instant, default_zone.as_deref(), pattern);
            let times = times.map_err(|error| error.with("column", &property.name))?;
            match unit {
                TimeUnit::Milli => typed::<TimestampMillisecondType>(property, move |text| times.parse(text)),
                TimeUnit::Micro => typed::<TimestampMicrosecondType>(property, move |text| times.parse(text)),
                TimeUnit::Nano => typed::<TimestampNanosecondType>(property, move |text| times.parse(text)),
            }
        }
        DataType::String { .. } => Box::new(StringLeaf { builder: StringBuilder::new() }),
        DataType::Struct(_) | DataType::List(_) => {
            return Err(Error::misconfigured("nested types need NDJSON or Parquet").with("column", &property.name));
        }
    };
    Ok(leaf)
}

fn integer_leaf(bits: u8, signed: bool) -> Box<dyn Leaf> {
    match (bits, signed) {
        (8, true) => plain::<Int8Type>(integer),
        (16, true) => plain::<Int16Type>(integer),
        (32, true) => plain::<Int32Type>(integer),
        (_, true) => plain::<Int64Type>(integer),
        (8, false) => plain::<UInt8Type>(integer),
        (16, false) => plain::<UInt16Type>(integer),
        (32, false) => plain::<UInt32Type>(integer),
        (_, false) => plain::<UInt64Type>(integer),
    }
}

fn plain<T: ArrowPrimitiveType>(parse: impl Fn(&[u8]) -> Result<T::Native, Code> + Send + 'static) -> Box<dyn Leaf> {
    Box::new(TypedLeaf { builder: PrimitiveBuilder::<T>::new(), parse })
}

fn typed<T: ArrowPrimitiveType>(
    property: &Property,
    parse: impl Fn(&[u8]) -> Result<T::Native, Code> + Send + 'static,
) -> Box<dyn Leaf> {
    Box::new(TypedLeaf { builder: PrimitiveBuilder::<T>::new().with_data_type(arrow_type(&property.data_type)), parse })
}

/// An empty text is no value of any type but text, whatever the type's own parser would call it.
#[inline]
fn not_empty<T>(text: &str, parse: impl Fn(&[u8]) -> Result<T, Code>) -> Result<T, Code> {
    if text.is_empty() { Err(Code::WrongType) } else { parse(text.as_bytes()) }
}

/// Numbers, dates and times.
struct TypedLeaf<T: ArrowPrimitiveType, P> {
    builder: PrimitiveBuilder<T>,
    parse: P,
}

impl<T: ArrowPrimitiveType, P: Fn(&[u8]) -> Result<T::Native, Code> + Send> Leaf for TypedLeaf<T, P> {
    fn push(&mut self, text: &str) -> Result<(), Code> {
        self.builder.append_value(not_empty(text, &self.parse)?);
        Ok(())
    }

    fn push_null(&mut self) {
        self.builder.append_null();
    }

    fn push_default(&mut self) {
        self.builder.append_value(T::Native::default());
    }

    fn push_column(&mut self, column: &TextColumn<'_>, is_required: bool, faults: &mut Faults) {
        // Most fields are plain values, so they are parsed before they are compared with the null tokens; unless a
        // token is itself a value of the type (`-1`, `1900-01-01`).
        let is_null_a_value = column.tokens.nulls.iter().any(|token| (self.parse)(token.as_bytes()).is_ok());
        for (row, field) in column.fields().enumerate() {
            match (self.parse)(field.as_bytes()) {
                Ok(value) if !is_null_a_value => self.builder.append_value(value),
                _ => push_field(self, column.tokens, field, is_required).unwrap_or_else(|code| faults.push((row, code))),
            }
        }
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

/// Takes one field of any form. A refused one leaves the stand-in.
fn push_field(leaf: &mut dyn Leaf, tokens: &Tokens, field: &str, is_required: bool) -> Result<(), Code> {
    let result = match tokens.value(field) {
        FieldValue::Null if is_required => Err(Code::NullInRequired),
        FieldValue::Null => {
            leaf.push_null();
            return Ok(());
        }
        FieldValue::Text(text) => leaf.push(&text),
    };
    result.inspect_err(|_| leaf.push_default())
}

struct BooleanLeaf {
    builder: BooleanBuilder,
    tokens: Booleans,
}

impl Leaf for BooleanLeaf {
    fn push(&mut self, text: &str) -> Result<(), Code> {
        self.builder.append_value(not_empty(text, |text| self.tokens.parse(text))?);
        Ok(())
    }

    fn push_null(&mut self) {
        self.builder.append_null();
    }

    fn push_default(&mut self) {
        self.builder.append_value(false);
    }

    fn push_column(&mut self, column: &TextColumn<'_>, is_required: bool, faults: &mut Faults) {
        for (row, field) in column.fields().enumerate() {
            push_field(self, column.tokens, field, is_required).unwrap_or_else(|code| faults.push((row, code)));
        }
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

struct StringLeaf {
    builder: StringBuilder,
}

impl Leaf for StringLeaf {
    fn push(&mut self, text: &str) -> Result<(), Code> {
        if text.contains('\0') {
            return Err(Code::NulByte);
        }
        self.builder.append_value(text);
        Ok(())
    }

    fn push_null(&mut self) {
        self.builder.append_null();
    }

    fn push_default(&mut self) {
        self.builder.append_value("");
    }

    fn push_column(&mut self, column: &TextColumn<'_>, is_required: bool, faults: &mut Faults) {
        // Blocks hold no NUL: the rows that did are gone.
        for (row, field) in column.fields().enumerate() {
            match column.tokens.value(field) {
                FieldValue::Text(text) => self.builder.append_value(text),
                FieldValue::Null if !is_required => self.builder.append_null(),
                FieldValue::Null => {
                    self.push_default();
                    faults.push((row, Code::NullInRequired));
                }
            }
        }
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

/// A column of nulls, for what the file does not have.
pub(crate) fn nulls(property: &Property, rows: usize) -> ArrayRef {
    arrow_array::new_null_array(&arrow_type(&property.data_type), rows)
}
