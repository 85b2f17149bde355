//! How each column is encoded, decided from the contract and a sample of the rows.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_row::{Row, RowConverter, SortField};
use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};
use windrow_core::contract::{Output, SortKey};
use windrow_core::{Error, Result};

use super::encode::leaves;
use super::sample::sample;

/// Names the writer in every file. It changes only together with the bytes the writer produces, never with a release, and has the
/// form `name version number`, because parquet-mr warns about any other on each file it opens.
const CREATED_BY: &str = "windrow version 1";

/// How many rows decide about dictionaries.
const SAMPLE_ROWS: usize = 1 << 16;

/// Below this many values a dictionary costs nothing worth deciding about.
const FEW_VALUES: usize = 1 << 10;

/// Texts longer than this get no statistics: the footer would carry them whole, and cut ones would not be the minimum and maximum.
const MAX_STATISTICS_BYTES: usize = 1 << 10;

/// Decides the encoding of all files of a table's window.
///
/// # Errors
/// `Misconfigured` for a compression level zstd does not have.
pub(crate) fn properties(
    schema: &SchemaRef,
    output: &Output,
    sort: &[SortKey],
    batches: &[RecordBatch],
) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(i32::from(output.zstd_level))
        .map_err(|error| Error::misconfigured(format!("no zstd level {}", output.zstd_level)).caused_by(error))?;
    let parquet =
        ArrowSchemaConverter::new().convert(schema).map_err(|error| Error::internal("no Parquet schema").caused_by(error))?;
    let mut builder = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(None)
        .set_sorting_columns(sorting_columns(schema, &parquet, sort));
    let sampled = sample(batches, SAMPLE_ROWS);
    for (index, field) in schema.fields().iter().enumerate() {
        let path = ColumnPath::new(vec![field.name().clone()]);
        if has_long_text(batches, index) {
            builder = builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        }
        if field.data_type().is_nested() || !is_mostly_distinct(&sampled, index) {
            continue;
        }
        builder = builder.set_column_dictionary_enabled(path.clone(), false);
        if sort.first().is_some_and(|first| *first.column == **field.name()) && packs_by_difference(field.data_type()) {
            builder = builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(without_nested_text_statistics(builder, &parquet).build())
}

/// Neighbours in a sorted column differ little, and every current reader knows this encoding for integers.
fn packs_by_difference(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
}

fn has_long_text(batches: &[RecordBatch], index: usize) -> bool {
    let is_long = |array: &dyn Array| {
        let text = array.as_string_opt::<i32>();
        text.is_some_and(|text| text.iter().flatten().any(|value| value.len() > MAX_STATISTICS_BYTES))
    };
    batches.iter().any(|batch| is_long(batch.column(index)))
}

fn is_mostly_distinct(sampled: &[RecordBatch], index: usize) -> bool {
    let Some(data_type) = sampled.first().map(|batch| batch.column(index).data_type().clone()) else { return false };
    let Ok(converter) = RowConverter::new(vec![SortField::new(data_type)]) else { return false };
    let mut rows = converter.empty_rows(0, 0);
    for batch in sampled {
        if converter.append(&mut rows, &[batch.column(index).clone()]).is_err() {
            return false;
        }
    }
    let nulls: usize = sampled.iter().map(|batch| batch.column(index).null_count()).sum();
    let values = rows.num_rows() - nulls;
    let distinct = rows.iter().collect::<HashSet<Row<'_>>>().len();
    values >= FEW_VALUES && distinct > values / 2
}

/// Texts inside objects and lists are not searched for long ones, so they get no statistics at all.
fn without_nested_text_statistics(builder: WriterPropertiesBuilder, parquet: &SchemaDescriptor) -> WriterPropertiesBuilder {
    let nested =
        parquet.columns().iter().filter(|column| column.path().parts().len() > 1 && column.physical_type() == Type::BYTE_ARRAY);
    nested.fold(builder, |builder, column| builder.set_column_statistics_enabled(column.path().clone(), EnabledStatistics::None))
}

/// The declared order as the footer names it, up to the first column that is not in the file as itself.
fn sorting_columns(schema: &SchemaRef, parquet: &SchemaDescriptor, sort: &[SortKey]) -> Option<Vec<SortingColumn>> {
    let position = |key: &SortKey| {
        let (index, field) = schema.column_with_name(&key.column)?;
        let before: usize = schema.fields().iter().take(index).map(|field| leaves(field.data_type())).sum();
        let column_idx =
            i32::try_from(before).ok().filter(|_| before < parquet.num_columns() && !field.data_type().is_nested())?;
        Some(SortingColumn { column_idx, descending: key.descending, nulls_first: true })
    };
    let columns: Vec<SortingColumn> = sort.iter().map_while(position).collect();
    (!columns.is_empty()).then_some(columns)
}
