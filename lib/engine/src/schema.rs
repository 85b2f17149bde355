//! The Arrow type of every declared type; each is exact, none is widened for convenience.

use std::sync::Arc;

use arrow_schema::{DataType as Arrow, Field, Fields, Schema, TimeUnit as ArrowUnit};
use windrow_core::Contract;
use windrow_core::contract::{DataType, Property, TimeUnit};

/// The Arrow type of a declared type.
pub fn arrow_type(data_type: &DataType) -> Arrow {
    match data_type {
        DataType::Integer { bits, signed } => match (bits, signed) {
            (8, true) => Arrow::Int8,
            (16, true) => Arrow::Int16,
            (32, true) => Arrow::Int32,
            (_, true) => Arrow::Int64,
            (8, false) => Arrow::UInt8,
            (16, false) => Arrow::UInt16,
            (32, false) => Arrow::UInt32,
            (_, false) => Arrow::UInt64,
        },
        DataType::Decimal { precision, scale } => Arrow::Decimal128(*precision, i8::try_from(*scale).unwrap_or(38)),
        DataType::Float { bits: 32 } => Arrow::Float32,
        DataType::Float { .. } => Arrow::Float64,
        DataType::Boolean { .. } => Arrow::Boolean,
        DataType::Date { .. } => Arrow::Date32,
        DataType::Timestamp { unit, instant, .. } => Arrow::Timestamp(arrow_unit(*unit), instant.then(|| "UTC".into())),
        DataType::String { .. } => Arrow::Utf8,
        DataType::Struct(properties) => Arrow::Struct(properties.iter().map(arrow_field).collect::<Fields>()),
        DataType::List(item) => Arrow::List(Arc::new(arrow_field(item))),
    }
}

/// The Arrow unit of a declared unit.
pub fn arrow_unit(unit: TimeUnit) -> ArrowUnit {
    match unit {
        TimeUnit::Milli => ArrowUnit::Millisecond,
        TimeUnit::Micro => ArrowUnit::Microsecond,
        TimeUnit::Nano => ArrowUnit::Nanosecond,
    }
}

/// The Arrow field of a property.
pub fn arrow_field(property: &Property) -> Field {
    Field::new(property.name.to_string(), arrow_type(&property.data_type), !property.required)
}

/// The schema of all columns of a contract, the partition column included.
pub fn full_schema(contract: &Contract) -> Schema {
    Schema::new(contract.properties.iter().map(arrow_field).collect::<Vec<_>>())
}

/// The schema of the Parquet files of a table: all columns but the partition column, which stands in the path.
pub fn file_schema(contract: &Contract) -> Schema {
    Schema::new(contract.file_properties().map(arrow_field).collect::<Vec<_>>())
}
