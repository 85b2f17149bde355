//! One file's bytes: row group by row group, the columns of each gathered and encoded in parallel, while the bytes of the
//! group before are on their way out.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;
use windrow_core::{Error, Result};

use super::stats::ColumnBounds;
use crate::shape::{Group, OrderedRows};

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
        self.encode_groups(groups.iter().map(|group| rows.group(std::slice::from_ref(group))), out)
    }

    /// Encodes the groups as the row groups of one file.
    pub(crate) fn encode_groups<'r, W: Write + Send>(
        &self,
        groups: impl Iterator<Item = Group<'r>> + Send,
        out: W,
    ) -> Result<(W, Bounds)> {
        let writer = ArrowWriter::try_new(out, self.schema.clone(), Some(self.properties.clone())).map_err(failed)?;
        let (mut file, factory) = writer.into_serialized_writer().map_err(failed)?;
        let mut bounds: Bounds = vec![ColumnBounds::default(); self.schema.fields().len()];
        let mut encoded: Option<Vec<ArrowColumnChunk>> = None;
        for (number, group) in groups.enumerate() {
            let before = encoded.take();
            let (written, next) = rayon::join(
                || before.map_or(Ok(()), |chunks| append(&mut file, chunks)),
                || self.columns(&factory, number, &group),
            );
            written?;
            let (chunks, found) = next?;
            bounds.iter_mut().zip(found).for_each(|(bounds, found)| bounds.widen(found));
            encoded = Some(chunks);
        }
        if let Some(chunks) = encoded {
            append(&mut file, chunks)?;
        }
        Ok((file.into_inner().map_err(failed)?, bounds))
    }

    fn columns(
        &self,
        factory: &ArrowRowGroupWriterFactory,
        number: usize,
        group: &Group<'_>,
    ) -> Result<(Vec<ArrowColumnChunk>, Bounds)> {
        let mut writers = factory.create_column_writers(number).map_err(failed)?.into_iter();
        let jobs: Vec<Job> = self
            .schema
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| {
                let writers = writers.by_ref().take(leaves(field.data_type())).collect();
                Job { index, field: field.clone(), writers, is_shown: self.is_shown.get(index) == Some(&true) }
            })
            .collect();
        let done: Vec<_> = jobs.into_par_iter().with_max_len(1).map(|job| job.run(group)).collect::<Result<_>>()?;
        let (chunks, bounds): (Vec<Vec<ArrowColumnChunk>>, Bounds) = done.into_iter().unzip();
        Ok((chunks.into_iter().flatten().collect(), bounds))
    }
}

/// One column of one row group.
struct Job {
    index: usize,
    field: Arc<Field>,
    writers: Vec<ArrowColumnWriter>,
    is_shown: bool,
}

impl Job {
    fn run(mut self, group: &Group<'_>) -> Result<(Vec<ArrowColumnChunk>, ColumnBounds)> {
        let mut bounds = ColumnBounds::default();
        group.column(self.index, &mut |array| {
            bounds.see(&array, self.is_shown);
            self.write(&array).map_err(failed)
        })?;
        let chunks = self.writers.into_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        Ok((chunks, bounds))
    }

    fn write(&mut self, array: &ArrayRef) -> Result<(), ParquetError> {
        // Levels are made by the form the array has; the column keeps its declared type.
        let form = self.field.as_ref().clone().with_data_type(array.data_type().clone());
        let leaves = compute_leaves(&form, array)?;
        self.writers.iter_mut().zip(&leaves).try_for_each(|(writer, leaf)| writer.write(leaf))
    }
}

fn append<W: Write + Send>(file: &mut SerializedFileWriter<W>, chunks: Vec<ArrowColumnChunk>) -> Result<()> {
    let mut row_group = file.next_row_group().map_err(failed)?;
    for chunk in chunks {
        chunk.append_to_row_group(&mut row_group).map_err(failed)?;
    }
    row_group.close().map(|_| ()).map_err(failed)
}

fn failed(error: ParquetError) -> Error {
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
