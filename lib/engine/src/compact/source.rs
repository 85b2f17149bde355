//! A Parquet file as compaction reads it: its bytes, its footer and its page index.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, FieldRef, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Encoding, PageType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats, PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use windrow_core::{Error, Result};

use crate::write::{SPLIT_KEY, leaves};

/// An open file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) bytes: Bytes,
    reader: ArrowReaderMetadata,
}

/// One row group of an open file.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) source: Arc<Source>,
    pub(crate) index: usize,
}

impl Source {
    /// Opens a file and requires exactly these columns.
    ///
    /// # Errors
    /// `Misconfigured` for other columns, `Internal` when it cannot be read.
    pub(crate) fn open(bytes: Bytes, schema: &Schema) -> Result<Source> {
        let options =
            ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional).with_encoding_stats_as_mask(false);
        let reader = ArrowReaderMetadata::load(&bytes, options).map_err(unreadable)?;
        if reader.schema().fields() != schema.fields() {
            return Err(Error::misconfigured("a file of the window has other columns than the contract declares")
                .with("declared", schema)
                .with("found", reader.schema())
                .help("compaction changes no column: run the window again, then compact it"));
        }
        Ok(Source { bytes, reader })
    }

    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.reader.metadata()
    }

    /// By what rows were split to files, as the file says.
    pub(crate) fn split(&self) -> Option<&str> {
        let of_file = self.metadata().file_metadata().key_value_metadata()?;
        of_file.iter().find(|entry| entry.key == SPLIT_KEY)?.value.as_deref()
    }

    /// Decodes the first rows of all columns.
    pub(crate) fn first_rows(&self, rows: usize) -> Result<Vec<RecordBatch>> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.reader.clone());
        let reader = builder.with_limit(rows).build().map_err(unreadable)?;
        reader.map(|batch| batch.map_err(|error| Error::internal("cannot read Parquet").caused_by(error))).collect()
    }

    /// The row groups that have rows, in order.
    pub(crate) fn groups(self: &Arc<Self>) -> Vec<Group> {
        let all = (0..self.metadata().num_row_groups()).map(|index| Group { source: self.clone(), index });
        all.filter(|group| group.rows() > 0).collect()
    }

    /// The Parquet columns of a field of the schema.
    pub(crate) fn leaves_of(schema: &Schema, field: usize) -> Range<usize> {
        let before: usize = schema.fields().iter().take(field).map(|field| leaves(field.data_type())).sum();
        let own = schema.fields().get(field).map_or(0, |field| leaves(field.data_type()));
        before..before + own
    }
}

impl Group {
    pub(crate) fn meta(&self) -> &RowGroupMetaData {
        self.source.metadata().row_group(self.index)
    }

    pub(crate) fn rows(&self) -> usize {
        usize::try_from(self.meta().num_rows()).unwrap_or(0)
    }

    pub(crate) fn chunk(&self, leaf: usize) -> &ColumnChunkMetaData {
        self.meta().column(leaf)
    }

    pub(crate) fn column_index(&self, leaf: usize) -> Option<&ColumnIndexMetaData> {
        self.source.metadata().page_index()?.column_index(self.index, leaf)
    }

    pub(crate) fn offset_index(&self, leaf: usize) -> Option<&OffsetIndexMetaData> {
        self.source.metadata().page_index()?.offset_index(self.index, leaf)
    }

    /// The byte range of each data page of a column, header included; `None` without a page index, or with one that does not cover the
    /// column chunk from its first data page to its end without a gap.
    pub(crate) fn pages(&self, leaf: usize) -> Option<Vec<Range<usize>>> {
        let chunk = self.chunk(leaf);
        let locations = self.offset_index(leaf)?.page_locations();
        let mut at = chunk.data_page_offset();
        let mut pages = Vec::with_capacity(locations.len());
        for location in locations {
            if location.offset != at || location.compressed_page_size <= 0 {
                return None;
            }
            at += i64::from(location.compressed_page_size);
            pages.push(usize::try_from(location.offset).ok()?..usize::try_from(at).ok()?);
        }
        let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        let is_whole = at == start + chunk.compressed_size() && usize::try_from(at).is_ok_and(|at| at <= self.source.bytes.len());
        (is_whole && !pages.is_empty()).then_some(pages)
    }

    /// The byte range of the dictionary page, header included.
    pub(crate) fn dictionary(&self, leaf: usize) -> Option<Range<usize>> {
        let chunk = self.chunk(leaf);
        let start = usize::try_from(chunk.dictionary_page_offset()?).ok()?;
        let end = usize::try_from(chunk.data_page_offset()).ok()?;
        (start < end).then_some(start..end)
    }

    /// Decodes one field, batch by batch.
    pub(crate) fn decode(&self, field: usize, batch_rows: usize, mut see: impl FnMut(&ArrayRef) -> Result<()>) -> Result<()> {
        self.decode_as(&self.source.reader, field, batch_rows, &mut see)
    }

    /// The same, but texts of which all are in the dictionary come as a dictionary.
    pub(crate) fn decode_compact(
        &self,
        field: usize,
        batch_rows: usize,
        mut see: impl FnMut(&ArrayRef) -> Result<()>,
    ) -> Result<()> {
        let reader = self.dictionary_reader(field)?;
        self.decode_as(reader.as_ref().unwrap_or(&self.source.reader), field, batch_rows, &mut see)
    }

    fn dictionary_reader(&self, field: usize) -> Result<Option<ArrowReaderMetadata>> {
        let schema = self.source.reader.schema();
        let leaf = Source::leaves_of(schema, field).start;
        let is_text = schema.fields().get(field).is_some_and(|field| *field.data_type() == DataType::Utf8);
        if !is_text || !self.is_dictionary_only(leaf) {
            return Ok(None);
        }
        let compact = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let change = |(index, declared): (usize, &FieldRef)| match index == field {
            true => Arc::new(declared.as_ref().clone().with_data_type(compact.clone())),
            false => declared.clone(),
        };
        let fields: Vec<FieldRef> = schema.fields().iter().enumerate().map(change).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        let options = ArrowReaderOptions::new().with_schema(schema);
        ArrowReaderMetadata::try_new(self.source.reader.metadata().clone(), options).map(Some).map_err(unreadable)
    }

    fn is_dictionary_only(&self, leaf: usize) -> bool {
        let indices = [Encoding::RLE_DICTIONARY, Encoding::PLAIN_DICTIONARY];
        let is_compact =
            |page: &PageEncodingStats| page.page_type == PageType::DICTIONARY_PAGE || indices.contains(&page.encoding);
        self.chunk(leaf).page_encoding_stats().is_some_and(|stats| !stats.is_empty() && stats.iter().all(is_compact))
    }

    fn decode_as(
        &self,
        reader: &ArrowReaderMetadata,
        field: usize,
        batch_rows: usize,
        see: &mut dyn FnMut(&ArrayRef) -> Result<()>,
    ) -> Result<()> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.source.bytes.clone(), reader.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), [field]);
        let reader = builder.with_projection(mask).with_row_groups(vec![self.index]).with_batch_size(batch_rows).build();
        for batch in reader.map_err(unreadable)? {
            let batch = batch.map_err(|error| Error::internal("cannot read Parquet").caused_by(error))?;
            batch.columns().iter().try_for_each(&mut *see)?;
        }
        Ok(())
    }
}

pub(crate) fn unreadable(error: ParquetError) -> Error {
    Error::internal("cannot read a Parquet file of the window").caused_by(error)
}

pub(crate) fn unwritable(error: ParquetError) -> Error {
    Error::internal("cannot write Parquet").caused_by(error)
}
