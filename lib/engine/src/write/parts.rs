//! A window's rows as files of about the target size.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use rayon::prelude::*;
use windrow_core::contract::Output;
use windrow_core::{Contract, Error, Result};

use super::encode::{Bounds, Encoding, encode_batches};
use super::pipeline;
use super::properties::{Facts, Layout, properties};
use super::stats::ColumnStats;
use crate::schema::file_schema;
use crate::shape::{BATCH_ROWS, OrderedRows};
use crate::text::may_be_shown;

/// How many rows are looked at to choose encodings; a window of no more is encoded at once, and that is its file.
const SAMPLE_ROWS: usize = BATCH_ROWS;

/// Of a larger window one row in so many is encoded to learn how large a row becomes, but not more than the sample.
const ROWS_PER_MEASURED: usize = 8;

/// What is known about a written file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSummary {
    /// Its number in the window, from 0, in row order.
    pub index: u32,
    /// How many rows it has.
    pub rows: u64,
    /// What is known about its columns, in file order.
    pub stats: Vec<ColumnStats>,
}

/// Where the files of a window go; called from several threads, at most as many at once as there are threads.
pub trait PartStore: Sync {
    /// A file that is being written.
    type File: Write + Send;

    /// Opens the file of this number, which will have about this size.
    ///
    /// # Errors
    /// What the store says.
    fn begin(&self, index: u32, expected_bytes: usize) -> Result<Self::File>;

    /// Takes a complete file.
    ///
    /// # Errors
    /// What the store says.
    fn finish(&self, file: Self::File, part: &PartSummary) -> Result<()>;
}

/// Encodes a window's rows and gives each file to `store`, while it is encoded. Where the contract splits, a file holds rows of one value.
/// No rows give one valid file of no rows.
///
/// Equal rows and contract give equal bytes, whatever the number of threads, the form of the columns or the memory limit.
///
/// # Errors
/// What `store` answers; `Misconfigured` for a bad compression level.
pub fn write_parts(contract: &Contract, rows: &OrderedRows, store: &impl PartStore) -> Result<Vec<PartSummary>> {
    let schema = Arc::new(file_schema(contract));
    let facts = Facts::of(&rows.group(&sample(rows.len(), SAMPLE_ROWS)), rows, &schema)?;
    let encoding = Encoding {
        properties: properties(&schema, Layout::of(contract), &facts)?,
        row_group_rows: usize::try_from(contract.output.row_group_rows).unwrap_or(usize::MAX),
        is_shown: contract.file_properties().map(may_be_shown).collect(),
        schema,
    };
    let measured = rows.group(&sample(rows.len(), measured_rows(rows.len())));
    let measured_rows = measured.len();
    let (encoded, bounds) = pipeline::encode(&encoding, (measured_rows > 0).then_some(measured).into_iter(), Vec::new())?;
    let estimate = encoded.len() as u128 * rows.len() as u128 / measured_rows.max(1) as u128;
    let bytes_of = |part: usize| estimate * part as u128 / rows.len().max(1) as u128;
    let of_value = |rows: Range<usize>| {
        let count = part_count(bytes_of(rows.len()), rows.len(), contract.output.target_file_bytes);
        evenly(rows, count)
    };
    let parts: Vec<Range<usize>> = rows.sharing().into_iter().flat_map(of_value).collect();
    let writer = Writer { contract, rows, expected_bytes: &|part| usize::try_from(bytes_of(part)).unwrap_or(0), store, encoding };
    if parts.len() == 1 && rows.len() <= measured_rows.min(writer.encoding.row_group_rows) {
        return Ok(vec![writer.keep(&encoded, bounds)?]);
    }
    drop(encoded);
    writer.write(&parts)
}

fn measured_rows(rows: usize) -> usize {
    if rows <= SAMPLE_ROWS { rows } else { (rows / ROWS_PER_MEASURED).clamp(SAMPLE_ROWS / ROWS_PER_MEASURED, SAMPLE_ROWS) }
}

/// Up to so many rows in evenly spaced ranges; all of them when there are no more.
fn sample(rows: usize, most: usize) -> Vec<Range<usize>> {
    const RANGES: usize = 16;
    if rows <= most {
        return std::iter::once(0..rows).collect();
    }
    let length = most / RANGES;
    let gap = (rows - length) / (RANGES - 1);
    (0..RANGES).map(|index| index * gap..index * gap + length).collect()
}

/// How many files: each may exceed the target by a quarter, because one file of 150 MiB is better than two of 75.
fn part_count(estimate: u128, rows: usize, target_file_bytes: u64) -> usize {
    let greatest = u128::from(target_file_bytes.max(1)).saturating_mul(5) / 4;
    usize::try_from(estimate.div_ceil(greatest.max(1))).unwrap_or(usize::MAX).clamp(1, rows.max(1))
}

/// Some rows in so many parts of about the same number of rows.
fn evenly(rows: Range<usize>, count: usize) -> impl Iterator<Item = Range<usize>> {
    let bound = move |index: usize| {
        let offset = usize::try_from(rows.len() as u128 * index as u128 / count as u128).unwrap_or(rows.len());
        rows.start + offset
    };
    (0..count).map(move |index| bound(index)..bound(index + 1))
}

struct Writer<'a, S> {
    contract: &'a Contract,
    encoding: Encoding,
    rows: &'a OrderedRows,
    /// About how large a file of so many rows becomes.
    expected_bytes: &'a (dyn Fn(usize) -> usize + Sync),
    store: &'a S,
}

impl<S: PartStore> Writer<'_, S> {
    fn write(&self, parts: &[Range<usize>]) -> Result<Vec<PartSummary>> {
        let numbered: Vec<(usize, &Range<usize>)> = parts.iter().enumerate().collect();
        let mut summaries = Vec::with_capacity(parts.len());
        // In groups, so that no more files than threads are in work: columns inside a file run in parallel as well.
        for group in numbered.chunks(rayon::current_num_threads().max(1)) {
            let write = |(index, part): &(usize, &Range<usize>)| self.part(*index, (*part).clone());
            summaries.extend(group.par_iter().map(write).collect::<Result<Vec<_>>>()?);
        }
        Ok(summaries)
    }

    fn part(&self, index: usize, range: Range<usize>) -> Result<PartSummary> {
        let index =
            u32::try_from(index).map_err(|error| Error::misconfigured("targetFileBytes is far too small").caused_by(error))?;
        let rows = range.len() as u64;
        let file = self.store.begin(index, (self.expected_bytes)(range.len()))?;
        let (file, bounds) = self.encoding.encode(self.rows, range, file)?;
        let part = PartSummary { index, rows, stats: self.stats(bounds) };
        self.store.finish(file, &part)?;
        Ok(part)
    }

    /// The sample is all there is: its bytes are the file.
    fn keep(&self, encoded: &[u8], bounds: Bounds) -> Result<PartSummary> {
        let part = PartSummary { index: 0, rows: self.rows.len() as u64, stats: self.stats(bounds) };
        let mut file = self.store.begin(part.index, encoded.len())?;
        file.write_all(encoded).map_err(crate::read::store_error)?;
        self.store.finish(file, &part)?;
        Ok(part)
    }

    fn stats(&self, bounds: Bounds) -> Vec<ColumnStats> {
        let properties = self.contract.file_properties();
        properties.zip(bounds).map(|(property, bounds)| bounds.into_stats(property)).collect()
    }
}

/// Encodes batches of any schema as one Parquet file: evidence, not a table.
///
/// # Errors
/// `Internal` when the batches do not have the schema.
pub fn write_single(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Bytes> {
    let layout = Layout { output: &Output::default(), sort: &[], split: None };
    let properties = properties(schema, layout, &Facts::of_batches(schema, batches))?;
    encode_batches(schema, properties, batches)
}
