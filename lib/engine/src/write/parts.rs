//! A window's rows as files of about the target size.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::file::properties::WriterProperties;
use rayon::prelude::*;
use windrow_core::canonical::sha256_hex;
use windrow_core::contract::Output;
use windrow_core::{Contract, Error, Result};

use super::encode::encode;
use super::properties::properties;
use super::sample::{count_rows, sample, slice};
use super::stats::{ColumnStats, column_stats};
use crate::schema::file_schema;

/// How many rows are encoded to learn how large a row becomes.
const SAMPLE_ROWS: usize = 1 << 17;

/// One encoded Parquet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPart {
    /// Its number in the window, from 0, in row order.
    pub index: u32,
    /// The file.
    pub bytes: Bytes,
    /// The file's SHA-256, hex.
    pub sha256: String,
    /// How many rows it has.
    pub rows: u64,
    /// What is known about its columns, in file order.
    pub stats: Vec<ColumnStats>,
}

/// What stays of an encoded file once its bytes are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSummary {
    /// Its number in the window, from 0, in row order.
    pub index: u32,
    /// The size in bytes.
    pub size: u64,
    /// The file's SHA-256, hex.
    pub sha256: String,
    /// How many rows it has.
    pub rows: u64,
    /// What is known about its columns, in file order.
    pub stats: Vec<ColumnStats>,
}

impl EncodedPart {
    fn summary(&self) -> PartSummary {
        let EncodedPart { index, bytes, sha256, rows, stats } = self;
        PartSummary { index: *index, size: bytes.len() as u64, sha256: sha256.clone(), rows: *rows, stats: stats.clone() }
    }
}

/// Encodes a window's batches (sorted, of exactly the contract's file schema) and hands each file to `sink`, in any order and from
/// several threads, at most as many at once as there are threads. No rows give one valid file of no rows.
///
/// Equal batches and contract give equal bytes, whatever the number of threads. Pages end where batches end, so equal rows need equal
/// batches, which [`shape`](crate::shape::shape) sees to.
///
/// # Errors
/// What `sink` answers; `Misconfigured` for a bad compression level; `Internal` when batches do not have the file schema.
pub fn write_parts(
    contract: &Contract,
    batches: &[RecordBatch],
    sink: &(dyn Fn(EncodedPart) -> Result<()> + Sync),
) -> Result<Vec<PartSummary>> {
    let schema = Arc::new(file_schema(contract));
    if batches.iter().any(|batch| batch.schema_ref().fields() != schema.fields()) {
        return Err(Error::internal("batches do not have the contract's file schema").with("table", &contract.table));
    }
    let properties = properties(&schema, &contract.output, &contract.sort, batches)?;
    let writer = Writer {
        contract,
        schema,
        properties,
        row_group_rows: usize::try_from(contract.output.row_group_rows).unwrap_or(usize::MAX),
    };
    let rows = count_rows(batches);
    let sampled = sample(batches, SAMPLE_ROWS);
    let encoded = writer.encode(&sampled)?;
    let count = part_count(encoded.len(), count_rows(&sampled), rows, contract.output.target_file_bytes);
    if count == 1 && rows <= SAMPLE_ROWS {
        return Ok(vec![writer.finish(0, encoded, batches, sink)?]);
    }
    drop((encoded, sampled));
    writer.write_all(batches, rows, count, sink)
}

/// How many files: each may exceed the target by a quarter, because one file of 150 MiB is better than two of 75.
fn part_count(sample_bytes: usize, sample_rows: usize, rows: usize, target_file_bytes: u64) -> usize {
    let estimate = (sample_bytes as u128 * rows as u128) / (sample_rows.max(1) as u128);
    let greatest = u128::from(target_file_bytes.max(1)).saturating_mul(5) / 4;
    usize::try_from(estimate.div_ceil(greatest.max(1))).unwrap_or(usize::MAX).clamp(1, rows.max(1))
}

struct Writer<'a> {
    contract: &'a Contract,
    schema: SchemaRef,
    properties: WriterProperties,
    row_group_rows: usize,
}

impl Writer<'_> {
    fn encode(&self, batches: &[RecordBatch]) -> Result<Bytes> {
        encode(&self.schema, self.properties.clone(), self.row_group_rows, batches)
    }

    fn write_all(
        &self,
        batches: &[RecordBatch],
        rows: usize,
        count: usize,
        sink: &(dyn Fn(EncodedPart) -> Result<()> + Sync),
    ) -> Result<Vec<PartSummary>> {
        let bound = |index: usize| usize::try_from(rows as u128 * index as u128 / count as u128).unwrap_or(rows);
        let indices: Vec<usize> = (0..count).collect();
        let mut summaries = Vec::with_capacity(count);
        // In groups, so that no more files than threads are held in memory: columns inside a file run in parallel as well.
        for group in indices.chunks(rayon::current_num_threads().max(1)) {
            let write = |index: &usize| {
                let part = slice(batches, bound(*index), bound(index + 1) - bound(*index));
                self.finish(*index, self.encode(&part)?, &part, sink)
            };
            summaries.extend(group.par_iter().map(write).collect::<Result<Vec<_>>>()?);
        }
        Ok(summaries)
    }

    fn finish(
        &self,
        index: usize,
        bytes: Bytes,
        batches: &[RecordBatch],
        sink: &(dyn Fn(EncodedPart) -> Result<()> + Sync),
    ) -> Result<PartSummary> {
        let index =
            u32::try_from(index).map_err(|error| Error::misconfigured("targetFileBytes is far too small").caused_by(error))?;
        let stats = column_stats(self.contract, batches);
        let part = EncodedPart { index, sha256: sha256_hex(&bytes), rows: count_rows(batches) as u64, stats, bytes };
        let summary = part.summary();
        sink(part)?;
        Ok(summary)
    }
}

/// Encodes batches of any schema as one Parquet file: evidence, not a table.
///
/// # Errors
/// `Internal` when the batches do not have the schema.
pub fn write_single(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Bytes> {
    let output = Output::default();
    let properties = properties(schema, &output, &[], batches)?;
    encode(schema, properties, usize::try_from(output.row_group_rows).unwrap_or(usize::MAX), batches)
}
