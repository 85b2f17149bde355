//! The Arrow type of every declared type, as the engine stores it.

use std::sync::Arc;

use arrow_schema::{DataType as Arrow, Field, TimeUnit as ArrowUnit};
use windrow_core::contract::{DataType, Property, TimeUnit};

/// The Arrow field of a property.
pub(crate) fn field(property: &Property) -> Field {
    Field::new(property.name.to_string(), arrow_type(&property.data_type), !property.required)
}

fn arrow_type(data_type: &DataType) -> Arrow {
    match data_type {
        DataType::Integer { bits, signed } => integer(*bits, *signed),
        DataType::Decimal { precision, scale } => Arrow::Decimal128(*precision, i8::try_from(*scale).unwrap_or(38)),
        DataType::Float { bits: 32 } => Arrow::Float32,
        DataType::Float { .. } => Arrow::Float64,
        DataType::Boolean { .. } => Arrow::Boolean,
        DataType::Date { .. } => Arrow::Date32,
        DataType::Timestamp { unit, instant, .. } => Arrow::Timestamp(unit_of(*unit), instant.then(|| "UTC".into())),
        DataType::String { .. } => Arrow::Utf8,
        DataType::Struct(properties) => Arrow::Struct(properties.iter().map(field).collect()),
        DataType::List(item) => Arrow::List(Arc::new(field(item))),
    }
}

fn integer(bits: u8, signed: bool) -> Arrow {
    match (bits, signed) {
        (8, true) => Arrow::Int8,
        (16, true) => Arrow::Int16,
        (32, true) => Arrow::Int32,
        (_, true) => Arrow::Int64,
        (8, false) => Arrow::UInt8,
        (16, false) => Arrow::UInt16,
        (32, false) => Arrow::UInt32,
        (_, false) => Arrow::UInt64,
    }
}

fn unit_of(unit: TimeUnit) -> ArrowUnit {
    match unit {
        TimeUnit::Milli => ArrowUnit::Millisecond,
        TimeUnit::Micro => ArrowUnit::Microsecond,
        TimeUnit::Nano => ArrowUnit::Nanosecond,
    }
}
