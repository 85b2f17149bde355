//! How each column is encoded, decided from the contract and a sample of the rows.

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};
use rayon::prelude::*;
use windrow_core::contract::{Output, SortKey, Split};
use windrow_core::{Contract, Error, Result};

use super::distinct::is_mostly_distinct;
use super::encode::leaves;
use crate::shape::{Group, OrderedRows};

/// Names the writer in every file. It changes only together with the bytes the writer produces, never with a release, and has the
/// form `name version number`, because parquet-mr warns about any other on each file it opens.
const CREATED_BY: &str = "windrow version 4";

/// Texts longer than this get no statistics: the footer would carry them whole, and cut ones would not be the minimum and maximum.
const MAX_STATISTICS_BYTES: usize = 1 << 10;

/// What the metadata of a file names by what rows were split to files, so that compaction joins no others.
pub(crate) const SPLIT_KEY: &str = "windrow.split";

/// What the contract says of files.
pub(crate) struct Layout<'a> {
    pub(crate) output: &'a Output,
    pub(crate) sort: &'a [SortKey],
    pub(crate) split: Option<&'a Split>,
}

impl<'a> Layout<'a> {
    pub(crate) fn of(contract: &'a Contract) -> Self {
        Layout { output: &contract.output, sort: &contract.sort, split: contract.split.as_ref() }
    }
}

/// Decides the encoding of all files of a table's window.
///
/// # Errors
/// `Misconfigured` for a compression level zstd does not have.
pub(crate) fn properties(schema: &SchemaRef, layout: Layout<'_>, facts: &Facts) -> Result<WriterProperties> {
    let Layout { output, sort, split } = layout;
    let level = ZstdLevel::try_new(i32::from(output.zstd_level))
        .map_err(|error| Error::misconfigured(format!("no zstd level {}", output.zstd_level)).caused_by(error))?;
    let parquet =
        ArrowSchemaConverter::new().convert(schema).map_err(|error| Error::internal("no Parquet schema").caused_by(error))?;
    let mut builder = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(None)
        .set_sorting_columns(sorting_columns(schema, &parquet, sort))
        .set_key_value_metadata(split.map(|split| vec![KeyValue::new(SPLIT_KEY.to_owned(), split.to_string())]));
    for (index, field) in schema.fields().iter().enumerate() {
        let path = ColumnPath::new(vec![field.name().clone()]);
        if facts.has_long_text.get(index) == Some(&true) {
            builder = builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        }
        if field.data_type().is_nested() || facts.is_mostly_distinct.get(index) != Some(&true) {
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

/// What a window's columns are like, as far as it decides about their encoding.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// More than half of the sampled values are different ones.
    is_mostly_distinct: Vec<bool>,
    /// Any row has a text beyond [`MAX_STATISTICS_BYTES`].
    has_long_text: Vec<bool>,
}

impl Facts {
    /// Looks at a sample for what is likely, and at all rows for what must hold.
    ///
    /// # Errors
    /// `Internal` when a type cannot be gathered.
    pub(crate) fn of(sampled: &Group<'_>, rows: &OrderedRows, schema: &SchemaRef) -> Result<Self> {
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        let distinct = |column: &usize| -> Result<bool> {
            let mut arrays = Vec::new();
            sampled.column(*column, &mut |array| {
                arrays.push(array);
                Ok(())
            })?;
            Ok(is_mostly_distinct(&arrays))
        };
        Ok(Facts {
            is_mostly_distinct: columns.par_iter().map(distinct).collect::<Result<_>>()?,
            has_long_text: columns.iter().map(|column| rows.longest_text(*column) > MAX_STATISTICS_BYTES).collect(),
        })
    }

    /// The same of plain batches, without a sample.
    pub(crate) fn of_batches(schema: &SchemaRef, batches: &[RecordBatch]) -> Self {
        let arrays = |column: usize| -> Vec<ArrayRef> { batches.iter().map(|batch| batch.column(column).clone()).collect() };
        let is_long = |array: &ArrayRef| {
            let text = array.as_string_opt::<i32>();
            text.is_some_and(|text| text.iter().flatten().any(|value| value.len() > MAX_STATISTICS_BYTES))
        };
        let columns = 0..schema.fields().len();
        Facts {
            is_mostly_distinct: columns.clone().map(|column| is_mostly_distinct(&arrays(column))).collect(),
            has_long_text: columns.map(|column| arrays(column).iter().any(is_long)).collect(),
        }
    }
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
