//! One file's bytes: row group by row group, the columns of each in parallel.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use rayon::prelude::*;
use windrow_core::{Error, Result};

use super::sample::{count_rows, slice};

/// Encodes batches of exactly this schema as one Parquet file. No rows give a file of no row group.
pub(crate) fn encode(
    schema: &SchemaRef,
    properties: WriterProperties,
    row_group_rows: usize,
    batches: &[RecordBatch],
) -> Result<Bytes> {
    let failed = |error: ParquetError| Error::internal("cannot encode Parquet").caused_by(error);
    let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(failed)?;
    let (mut file, factory) = writer.into_serialized_writer().map_err(failed)?;
    let rows = count_rows(batches);
    for (group, start) in (0..rows).step_by(row_group_rows.max(1)).enumerate() {
        let part = slice(batches, start, row_group_rows.max(1));
        let columns = factory.create_column_writers(group).map_err(failed)?;
        let chunks = encode_columns(schema, columns, &part).map_err(failed)?;
        let mut row_group = file.next_row_group().map_err(failed)?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut row_group).map_err(failed)?;
        }
        row_group.close().map_err(failed)?;
    }
    file.into_inner().map(Bytes::from).map_err(failed)
}

fn encode_columns(
    schema: &SchemaRef,
    writers: Vec<ArrowColumnWriter>,
    batches: &[RecordBatch],
) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
    let mut writers = writers.into_iter();
    let jobs: Vec<(usize, Arc<Field>, Vec<ArrowColumnWriter>)> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| (index, field.clone(), writers.by_ref().take(leaves(field.data_type())).collect()))
        .collect();
    let encoded = jobs.into_par_iter().map(|(index, field, mut writers)| {
        for batch in batches {
            let leaves = compute_leaves(&field, batch.column(index))?;
            writers.iter_mut().zip(&leaves).try_for_each(|(writer, leaf)| writer.write(leaf))?;
        }
        writers.into_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, _>>()
    });
    Ok(encoded.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// How many Parquet columns a type becomes.
pub(crate) fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        DataType::List(item) => leaves(item.data_type()),
        _ => 1,
    }
}
