//! What the footer says of a column chunk that was joined from several, added up from theirs.

use parquet::basic::Encoding;
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::AsBytes;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, LevelHistogram, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use windrow_core::{Error, Result};

use super::source::{Group, unwritable};
use super::statistics::MergedStatistics;

/// The data pages of one source chunk as they are written, headers included.
#[derive(Default)]
pub(crate) struct PageSizes {
    pub(crate) compressed: Vec<usize>,
    /// Of all of them.
    pub(crate) uncompressed: usize,
}

/// A column chunk's footer entry in the making.
pub(crate) struct Merged {
    template: ColumnChunkMetaData,
    rows: usize,
    values: i64,
    uncompressed: usize,
    encodings: Vec<Encoding>,
    /// `None` when a source does not tell; so below.
    encoding_stats: Option<Vec<PageEncodingStats>>,
    statistics: MergedStatistics,
    text_bytes: Option<i64>,
    repetition: Option<Vec<i64>>,
    definition: Option<Vec<i64>>,
    pages: OffsetIndexBuilder,
    offset: usize,
    column_index: Option<ColumnIndexBuilder>,
}

impl Merged {
    /// `None` for no row group at all.
    pub(crate) fn new(groups: &[Group], leaf: usize) -> Option<Self> {
        let template = groups.first()?.chunk(leaf).clone();
        let shape = |group: &Group| group.column_index(leaf).map(index_shape);
        let shapes: Vec<_> = groups.iter().map(shape).collect();
        let is_alike = shapes.iter().all(|shape| shape.is_some() && *shape == shapes[0]);
        Some(Merged {
            rows: 0,
            values: 0,
            uncompressed: 0,
            encodings: Vec::new(),
            encoding_stats: Some(Vec::new()),
            statistics: MergedStatistics::new(template.column_descr_ptr()),
            text_bytes: Some(0),
            repetition: Some(Vec::new()),
            definition: Some(Vec::new()),
            pages: OffsetIndexBuilder::new(),
            offset: 0,
            column_index: is_alike.then(|| ColumnIndexBuilder::new(template.column_type())),
            template,
        })
    }

    /// The next source chunk, whose pages were written with these sizes.
    pub(crate) fn add(&mut self, group: &Group, leaf: usize, sizes: &PageSizes) -> Result<()> {
        let chunk = group.chunk(leaf);
        self.values += chunk.num_values();
        self.uncompressed += sizes.uncompressed;
        self.statistics.add(chunk.statistics());
        self.text_bytes = self.text_bytes.zip(chunk.unencoded_byte_array_data_bytes()).map(|(sum, more)| sum + more);
        add_histogram(&mut self.repetition, chunk.repetition_level_histogram());
        add_histogram(&mut self.definition, chunk.definition_level_histogram());
        let index = group.offset_index(leaf).filter(|index| index.page_locations().len() == sizes.compressed.len());
        self.add_pages(index.ok_or_else(pages_differ)?, sizes, group.rows())?;
        if let (Some(builder), Some(index)) = (&mut self.column_index, group.column_index(leaf)) {
            if index.num_pages() != sizes.compressed.len() as u64 {
                return Err(pages_differ());
            }
            (0..sizes.compressed.len()).for_each(|page| add_page_statistics(builder, index, page));
        }
        self.rows += group.rows();
        Ok(())
    }

    fn add_pages(&mut self, index: &OffsetIndexMetaData, sizes: &PageSizes, rows: usize) -> Result<()> {
        let locations = index.page_locations();
        let starts = locations.iter().map(|page| page.first_row_index);
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let ends = starts.clone().skip(1).chain([rows]);
        let texts = index.unencoded_byte_array_data_bytes();
        for (page, ((start, end), size)) in starts.zip(ends).zip(&sizes.compressed).enumerate() {
            let (offset, size_32) = (i64::try_from(self.offset), i32::try_from(*size));
            let (Ok(offset), Ok(size_32)) = (offset, size_32) else { return Err(pages_differ()) };
            self.pages.append_row_count(end - start);
            self.pages.append_offset_and_size(offset, size_32);
            self.pages.append_unencoded_byte_array_data_bytes(texts.and_then(|texts| texts.get(page).copied()));
            self.offset += size;
        }
        Ok(())
    }

    pub(crate) fn add_encodings(&mut self, encodings: impl Iterator<Item = Encoding>) {
        for encoding in encodings {
            if !self.encodings.contains(&encoding) {
                self.encodings.push(encoding);
            }
        }
    }

    pub(crate) fn add_encoding_stats(&mut self, more: Option<&Vec<PageEncodingStats>>) {
        let (Some(all), Some(more)) = (&mut self.encoding_stats, more) else {
            self.encoding_stats = None;
            return;
        };
        for one in more {
            let same = all.iter_mut().find(|known| (known.page_type, known.encoding) == (one.page_type, one.encoding));
            match same {
                Some(known) => known.count += one.count,
                None => all.push(one.clone()),
            }
        }
    }

    /// The entry of a chunk of `length` bytes that begins with a dictionary page of `dictionary` bytes.
    pub(crate) fn finish(self, dictionary: usize, dictionary_uncompressed: usize, length: usize) -> Result<ColumnCloseResult> {
        let signed = |size: usize| i64::try_from(size).map_err(|error| Error::internal("a column is too large").caused_by(error));
        let mut builder = ColumnChunkMetaData::builder(self.template.column_descr_ptr())
            .set_compression_codec(self.template.compression_codec())
            .set_encodings(self.encodings)
            .set_num_values(self.values)
            .set_total_compressed_size(signed(length)?)
            .set_total_uncompressed_size(signed(self.uncompressed + dictionary_uncompressed)?)
            .set_data_page_offset(signed(dictionary)?)
            .set_dictionary_page_offset((dictionary > 0).then_some(0))
            .set_unencoded_byte_array_data_bytes(self.text_bytes)
            .set_repetition_level_histogram(histogram(self.repetition))
            .set_definition_level_histogram(histogram(self.definition));
        if let Some(statistics) = self.statistics.finish() {
            builder = builder.set_statistics(statistics);
        }
        if let Some(stats) = self.encoding_stats {
            builder = builder.set_page_encoding_stats(stats);
        }
        let mut offsets = self.pages.build();
        for page in &mut offsets.page_locations {
            page.offset += signed(dictionary)?;
        }
        Ok(ColumnCloseResult {
            bytes_written: length as u64,
            rows_written: self.rows as u64,
            metadata: builder.build().map_err(unwritable)?,
            bloom_filter: None,
            column_index: self.column_index.map(ColumnIndexBuilder::build).transpose().map_err(unwritable)?,
            offset_index: Some(offsets),
        })
    }
}

fn pages_differ() -> Error {
    Error::internal("a file has other pages than its page index says")
}

fn histogram(levels: Option<Vec<i64>>) -> Option<LevelHistogram> {
    levels.filter(|levels| !levels.is_empty()).map(LevelHistogram::from)
}

fn add_histogram(sum: &mut Option<Vec<i64>>, more: Option<&LevelHistogram>) {
    let Some(all) = sum else { return };
    let more = more.map(LevelHistogram::values).unwrap_or_default();
    if all.is_empty() {
        all.extend(more);
    } else if all.len() == more.len() {
        all.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    } else {
        *sum = None;
    }
}

/// Which of the optional parts a column index has; only indices that have the same can be joined.
fn index_shape(index: &ColumnIndexMetaData) -> [bool; 4] {
    [
        index.null_counts().is_some(),
        index.nan_counts().is_some(),
        index.repetition_level_histogram(0).is_some(),
        index.definition_level_histogram(0).is_some(),
    ]
}

fn add_page_statistics(builder: &mut ColumnIndexBuilder, index: &ColumnIndexMetaData, page: usize) {
    macro_rules! bounds {
        ($index:ident) => {
            (
                $index.min_value(page).map(|value| value.as_bytes().to_vec()),
                $index.max_value(page).map(|value| value.as_bytes().to_vec()),
            )
        };
    }
    let (min, max) = match index {
        ColumnIndexMetaData::BOOLEAN(index) => bounds!(index),
        ColumnIndexMetaData::INT32(index) => bounds!(index),
        ColumnIndexMetaData::INT64(index) => bounds!(index),
        ColumnIndexMetaData::INT96(index) => bounds!(index),
        ColumnIndexMetaData::FLOAT(index) => bounds!(index),
        ColumnIndexMetaData::DOUBLE(index) => bounds!(index),
        ColumnIndexMetaData::BYTE_ARRAY(index) | ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index) => {
            (index.min_value(page).map(<[u8]>::to_vec), index.max_value(page).map(<[u8]>::to_vec))
        }
    };
    let nulls = index.null_count(page).unwrap_or(0);
    let is_null_page = index.is_null_page(page);
    builder.append(is_null_page, min.unwrap_or_default(), max.unwrap_or_default(), nulls, index.nan_count(page));
    let levels = |levels: Option<&[i64]>| levels.map(|levels| LevelHistogram::from(levels.to_vec()));
    builder.append_histograms(&levels(index.repetition_level_histogram(page)), &levels(index.definition_level_histogram(page)));
}
