//! One column of several row groups as one column chunk, page by page: nothing but dictionaries and their indices is decoded.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow_schema::DataType;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, Type};
use parquet::column::page::{CompressedPage, Page, PageReader, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::PageEncodingStats;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescriptor;
use windrow_core::{Error, Result};

use super::digest::{self, Values};
use super::group::{Merged, PageSizes};
use super::hybrid;
use super::source::{Group, unreadable, unwritable};
use crate::hash::of_bytes;

/// Pages of fewer rows and bytes than these, on average, compress badly, so columns of such pages are encoded anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeastPage {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Default for LeastPage {
    fn default() -> Self {
        LeastPage { rows: 1 << 13, bytes: 1 << 16 }
    }
}

/// Beyond this a dictionary costs more than it saves; the same limit as the writer's.
const MAX_DICTIONARY_BYTES: usize = 1 << 20;

/// A column chunk as bytes, with what the footer says of it; offsets count from its first byte.
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) close: ColumnCloseResult,
    /// Whether every page is the source's, byte for byte.
    pub(crate) is_verbatim: bool,
    /// The digest of the source's values, as [`of_values`](super::digest::of_values) computes it, where it came about on the way.
    pub(crate) values: Option<u64>,
}

/// Joins a column of row groups; `None` when it has to be decoded.
///
/// # Errors
/// `Internal` when a page cannot be read.
pub(crate) fn merge(
    groups: &[Group],
    (leaf, declared): (usize, &DataType),
    level: i32,
    least: LeastPage,
) -> Result<Option<Chunk>> {
    let with_dictionary = groups.iter().filter(|group| group.dictionary(leaf).is_some()).count();
    if !(with_dictionary == 0 || with_dictionary == groups.len()) || !has_large_pages(groups, leaf, least) {
        return Ok(None);
    }
    let is_zstd = |group: &Group| matches!(group.chunk(leaf).compression(), Compression::ZSTD(_));
    if !groups.iter().all(is_zstd) {
        return Ok(None);
    }
    if with_dictionary == 0 { splice(groups, leaf) } else { Remapping::run(groups, (leaf, declared), level) }
}

fn has_large_pages(groups: &[Group], leaf: usize, least: LeastPage) -> bool {
    let (mut rows, mut bytes, mut pages) = (0, 0, 0);
    for group in groups {
        let Some(found) = group.pages(leaf) else { return false };
        rows += group.rows();
        bytes += found.iter().map(ExactSizeIterator::len).sum::<usize>();
        pages += found.len();
    }
    rows >= least.rows * pages || bytes >= least.bytes * pages
}

/// Every page stands for itself, so they follow each other as they are.
fn splice(groups: &[Group], leaf: usize) -> Result<Option<Chunk>> {
    let Some(mut merged) = Merged::new(groups, leaf) else { return Ok(None) };
    let size = groups.iter().map(|group| usize::try_from(group.chunk(leaf).compressed_size()).unwrap_or(0)).sum();
    let mut bytes = Vec::with_capacity(size);
    for group in groups {
        let pages = group.pages(leaf).ok_or_else(no_pages)?;
        let sizes: Vec<usize> = pages.iter().map(ExactSizeIterator::len).collect();
        if let (Some(first), Some(last)) = (pages.first(), pages.last()) {
            bytes.extend_from_slice(group.source.bytes.get(first.start..last.end).ok_or_else(no_pages)?);
        }
        let chunk = group.chunk(leaf);
        let uncompressed = usize::try_from(chunk.uncompressed_size()).unwrap_or(0);
        merged.add(group, leaf, &PageSizes { compressed: sizes, uncompressed })?;
        merged.add_encodings(chunk.encodings());
        merged.add_encoding_stats(chunk.page_encoding_stats());
    }
    let close = merged.finish(0, 0, bytes.len())?;
    Ok(Some(Chunk { bytes: bytes.into(), close, is_verbatim: true, values: None }))
}

fn no_pages() -> Error {
    Error::internal("the page index of a file does not name its pages")
}

struct Remapping<'a> {
    descriptor: &'a ColumnDescriptor,
    dictionary: Dictionary,
    data: TrackedWrite<Vec<u8>>,
    zstd: zstd::bulk::Compressor<'static>,
    indices: Vec<u32>,
    page: Vec<u8>,
    /// What the source holds, by its own dictionaries; `None` for nested columns and types that are not hashed from there.
    values: Option<Values>,
    /// How the values of the column are declared.
    declared: &'a DataType,
}

/// A source's dictionary: where its values are in the merged one, and their hashes.
struct Old {
    new: Vec<u32>,
    hashes: Option<Vec<u64>>,
}

impl Remapping<'_> {
    fn run(groups: &[Group], (leaf, declared): (usize, &DataType), level: i32) -> Result<Option<Chunk>> {
        let (Some(first), Some(mut merged)) = (groups.first(), Merged::new(groups, leaf)) else { return Ok(None) };
        let descriptor = first.chunk(leaf).column_descr();
        let is_flat = descriptor.max_rep_level() == 0 && descriptor.max_def_level() <= 1 && !declared.is_nested();
        let mut this = Remapping {
            descriptor,
            dictionary: Dictionary::default(),
            data: TrackedWrite::new(Vec::new()),
            zstd: zstd::bulk::Compressor::new(level).map_err(unpacked)?,
            indices: Vec::new(),
            page: Vec::new(),
            values: is_flat.then(Values::default),
            declared,
        };
        let mut pages = 0;
        for group in groups {
            let Some(sizes) = this.add(group, leaf)? else { return Ok(None) };
            pages += sizes.compressed.len();
            merged.add(group, leaf, &sizes)?;
        }
        this.finish(merged, pages).map(Some)
    }

    /// `None` when the column chunk has other pages than a dictionary and indices into it, or the dictionary grows too large.
    fn add(&mut self, group: &Group, leaf: usize) -> Result<Option<PageSizes>> {
        let chunk = group.chunk(leaf);
        let bytes = Arc::new(group.source.bytes.clone());
        let mut reader = SerializedPageReader::new(bytes, chunk, group.rows(), None).map_err(unreadable)?;
        let Some(Page::DictionaryPage { buf, num_values, encoding, .. }) = reader.get_next_page().map_err(unreadable)? else {
            return Ok(None);
        };
        let is_plain = matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY);
        let intern = || self.dictionary.intern(&buf, num_values, (self.descriptor, self.declared));
        let Some(old) = is_plain.then(intern).flatten() else { return Ok(None) };
        let mut sizes = PageSizes::default();
        while let Some(page) = reader.get_next_page().map_err(unreadable)? {
            let Some((compressed, uncompressed)) = self.remap(page, &old)? else { return Ok(None) };
            sizes.compressed.push(compressed);
            sizes.uncompressed += uncompressed;
        }
        Ok(Some(sizes))
    }

    /// Writes a page with the indices of the merged dictionary; the sizes with header, compressed and not.
    fn remap(&mut self, page: Page, old: &Old) -> Result<Option<(usize, usize)>> {
        let Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, statistics } = page else {
            return Ok(None);
        };
        let is_indices = matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
        let has_known_levels = [def_level_encoding, rep_level_encoding].iter().all(|encoding| *encoding == Encoding::RLE);
        if !is_indices || !has_known_levels || self.rewrite(&buf, num_values, old).is_none() {
            return Ok(None);
        }
        let compressed = self.zstd.compress(&self.page).map_err(unpacked)?;
        let page = Page::DataPage {
            buf: compressed.into(),
            num_values,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding,
            rep_level_encoding,
            statistics,
        };
        let spec = SerializedPageWriter::new(&mut self.data)
            .write_page(CompressedPage::new(page, self.page.len()))
            .map_err(unwritable)?;
        Ok(Some((spec.compressed_size, spec.uncompressed_size)))
    }

    /// Leaves the page's body with new indices in `self.page`; `None` for bytes that are no such page.
    fn rewrite(&mut self, body: &[u8], num_values: u32, old: &Old) -> Option<()> {
        let rows = usize::try_from(num_values).ok()?;
        let levels = [self.descriptor.max_rep_level(), self.descriptor.max_def_level()];
        let (mut at, mut definition) = (0, None);
        for _ in levels.iter().filter(|level| **level > 0) {
            let length = u32::from_le_bytes(*body.get(at..)?.first_chunk::<4>()?);
            let end = at.checked_add(4)?.checked_add(usize::try_from(length).ok()?)?;
            definition = Some(body.get(at + 4..end)?);
            at = end;
        }
        self.page.clear();
        self.page.extend_from_slice(body.get(..at)?);
        // A page of nulls alone may have no indices at all.
        let Some((width, indices)) = body.get(at..)?.split_first() else {
            self.indices.clear();
            return self.digest(definition, rows, old);
        };
        hybrid::decode(indices, u32::from(*width), rows, &mut self.indices)?;
        self.digest(definition, rows, old)?;
        for index in &mut self.indices {
            // Padding behind the last value can be anything; it is never read.
            *index = old.new.get(usize::try_from(*index).ok()?).copied().unwrap_or(0);
        }
        let width = self.dictionary.width();
        self.page.push(u8::try_from(width).ok()?);
        hybrid::encode(&self.indices, width, &mut self.page);
        Some(())
    }

    /// Takes the page's values into the digest, by the source's own indices and dictionary; `None` when there are too few of them.
    fn digest(&mut self, definition: Option<&[u8]>, rows: usize, old: &Old) -> Option<()> {
        let (Some(values), Some(hashes)) = (&mut self.values, &old.hashes) else {
            self.values = None;
            return Some(());
        };
        let hash_of = |index: &u32| usize::try_from(*index).ok().and_then(|index| hashes.get(index)).copied();
        let Some(definition) = definition else {
            let hashes = self.indices.get(..rows)?;
            values.each(None, hashes.iter().map(|index| hash_of(index).unwrap_or_default()));
            return Some(());
        };
        let mut levels = Vec::with_capacity(rows);
        hybrid::decode(definition, 1, rows, &mut levels)?;
        let mut indices = self.indices.iter();
        for level in levels.get(..rows)? {
            match level {
                0 => values.null(),
                _ => values.each(None, std::iter::once(hash_of(indices.next()?)?)),
            }
        }
        Some(())
    }

    fn finish(mut self, mut merged: Merged, pages: usize) -> Result<Chunk> {
        let Dictionary { bytes: values, count, .. } = self.dictionary;
        let page = Page::DictionaryPage {
            buf: self.zstd.compress(&values).map_err(unpacked)?.into(),
            num_values: count,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let mut out = TrackedWrite::new(Vec::new());
        let spec = SerializedPageWriter::new(&mut out).write_page(CompressedPage::new(page, values.len())).map_err(unwritable)?;
        let data = self.data.into_inner().map_err(unwritable)?;
        let mut bytes = out.into_inner().map_err(unwritable)?;
        let dictionary = bytes.len();
        bytes.extend_from_slice(&data);
        merged.add_encodings([Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY].into_iter());
        let pages = i32::try_from(pages).unwrap_or(i32::MAX);
        merged.add_encoding_stats(Some(&vec![
            PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 },
            PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: Encoding::RLE_DICTIONARY, count: pages },
        ]));
        let close = merged.finish(dictionary, spec.uncompressed_size, bytes.len())?;
        let values = self.values.map(|values| values.finish());
        Ok(Chunk { bytes: bytes.into(), close, is_verbatim: false, values })
    }
}

fn unpacked(error: std::io::Error) -> Error {
    Error::internal("cannot compress a page").caused_by(error)
}

/// Values in the order of their first row, as a dictionary page holds them.
#[derive(Default)]
struct Dictionary {
    known: HashMap<Vec<u8>, u32, BuildHasherDefault<Digest>>,
    bytes: Vec<u8>,
    count: u32,
}

impl Dictionary {
    /// A page's values, in its order; `None` for a damaged page or one value too many.
    fn intern(&mut self, mut page: &[u8], count: u32, of: (&ColumnDescriptor, &DataType)) -> Option<Old> {
        let (descriptor, declared) = of;
        let mut new = Vec::with_capacity(usize::try_from(count).ok()?);
        let mut hashes = Some(Vec::with_capacity(new.capacity()));
        for _ in 0..count {
            let length = match descriptor.physical_type() {
                Type::INT32 | Type::FLOAT => 4,
                Type::INT64 | Type::DOUBLE => 8,
                Type::FIXED_LEN_BYTE_ARRAY => usize::try_from(descriptor.type_length()).ok()?,
                Type::BYTE_ARRAY => usize::try_from(u32::from_le_bytes(*page.first_chunk::<4>()?)).ok()?.checked_add(4)?,
                Type::BOOLEAN | Type::INT96 => return None,
            };
            let (value, rest) = page.split_at_checked(length)?;
            page = rest;
            new.push(self.index_of(value));
            match (&mut hashes, digest::of_plain(value, declared)) {
                (Some(hashes), Some(hash)) => hashes.push(hash),
                _ => hashes = None,
            }
        }
        (self.bytes.len() <= MAX_DICTIONARY_BYTES).then_some(Old { new, hashes })
    }

    fn index_of(&mut self, value: &[u8]) -> u32 {
        if let Some(index) = self.known.get(value) {
            return *index;
        }
        let index = self.count;
        self.known.insert(value.to_vec(), index);
        self.bytes.extend_from_slice(value);
        self.count += 1;
        index
    }

    /// The bits of an index; one at least, because not every reader knows indices of no bits.
    fn width(&self) -> u32 {
        (u32::BITS - self.count.saturating_sub(1).leading_zeros()).max(1)
    }
}

#[derive(Default)]
struct Digest(u64);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = self.0.rotate_left(5) ^ of_bytes(bytes);
    }

    fn write_usize(&mut self, _length: usize) {
        // The bytes' digest holds their number already.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
