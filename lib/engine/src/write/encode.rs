//! How the rows of one file become its bytes.

use std::io::Write;
use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use windrow_core::{Error, Result};

use super::pipeline;
use super::stats::ColumnBounds;
use crate::shape::OrderedRows;

/// What is known about the columns of a file beside its bytes, in file order.
pub(crate) type Bounds = Vec<ColumnBounds>;

/// How a file is encoded.
pub(crate) struct Encoding {
    pub(crate) schema: SchemaRef,
    pub(crate) properties: WriterProperties,
    pub(crate) row_group_rows: usize,
    /// The columns whose least and greatest values may be told.
    pub(crate) is_shown: Vec<bool>,
}

impl Encoding {
    /// Encodes some rows as one Parquet file into `out`. No rows give a file of no row group.
    pub(crate) fn encode<W: Write + Send>(&self, rows: &OrderedRows, range: Range<usize>, out: W) -> Result<(W, Bounds)> {
        let step = self.row_group_rows.max(1);
        let groups: Vec<Range<usize>> = range.clone().step_by(step).map(|start| start..range.end.min(start + step)).collect();
        pipeline::encode(self, groups.iter().map(|group| rows.group(std::slice::from_ref(group))), out)
    }
}

pub(crate) fn failed(error: ParquetError) -> Error {
    match error {
        // What the store of the file answers is no defect of the encoder.
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(error) => crate::read::store_error(*error),
            Err(cause) => Error::internal("cannot encode Parquet").caused_by(ParquetError::External(cause)),
        },
        error => Error::internal("cannot encode Parquet").caused_by(error),
    }
}

/// Encodes batches of exactly this schema as one Parquet file of one row group.
pub(crate) fn encode_batches(schema: &SchemaRef, properties: WriterProperties, batches: &[RecordBatch]) -> Result<Bytes> {
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(failed)?;
    batches.iter().try_for_each(|batch| writer.write(batch)).map_err(failed)?;
    writer.into_inner().map(Bytes::from).map_err(failed)
}

/// How many Parquet columns a type becomes.
pub(crate) fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        DataType::List(item) => leaves(item.data_type()),
        _ => 1,
    }
}
