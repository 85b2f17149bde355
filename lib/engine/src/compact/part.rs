//! One file of about the target size from several small ones.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;
use windrow_core::{Contract, Error, Result};

use super::merge::{self, Chunk, LeastPage};
use super::source::{Group, Source, unwritable};
use super::summary::{FileSummary, merge_stats};
use super::{copy, digest, recode};
use crate::schema::file_schema;
use crate::write::{ColumnStats, Facts, Layout, failed, properties, verify_part};

/// How many rows of each sampled file decide about dictionaries.
const SAMPLE_ROWS: usize = 1 << 12;

/// Yields the bytes of a file by its place in the part, verified by the caller; asked from several threads.
pub type ReadFile<'a> = &'a (dyn Fn(usize) -> Result<Bytes> + Sync);

/// A finished file that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactedPart {
    /// The file.
    pub bytes: Bytes,
    /// How many rows it has.
    pub rows: u64,
    /// What is known about its columns, in file order; empty when the ledger did not tell of every source file.
    pub stats: Vec<ColumnStats>,
}

/// How the columns of a file came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Row groups written.
    pub row_groups: u64,
    /// Columns of one source row group, byte for byte.
    pub copied: u64,
    /// Columns whose pages are those of several row groups, byte for byte.
    pub spliced: u64,
    /// Columns of which only dictionaries and indices were decoded.
    pub merged: u64,
    /// Columns that were decoded and encoded.
    pub recoded: u64,
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, more: Work) {
        self.row_groups += more.row_groups;
        self.copied += more.copied;
        self.spliced += more.spliced;
        self.merged += more.merged;
        self.recoded += more.recoded;
    }
}

/// Makes files of a table's target size.
#[derive(Debug)]
pub struct Compactor<'a> {
    contract: &'a Contract,
    schema: SchemaRef,
    properties: WriterProperties,
    full_group_rows: usize,
    least_page: LeastPage,
}

impl<'a> Compactor<'a> {
    /// Prepares the encoding of a window's files from some of them.
    ///
    /// # Errors
    /// `Misconfigured` when a file has other columns or another order than the contract, `Internal` when it cannot be read.
    pub fn new(contract: &'a Contract, samples: &[Bytes]) -> Result<Self> {
        let schema = Arc::new(file_schema(contract));
        let mut batches = Vec::new();
        for sample in samples {
            batches.extend(Source::open(sample.clone(), &schema)?.first_rows(SAMPLE_ROWS)?);
        }
        let properties = properties(&schema, Layout::of(contract), &Facts::of_batches(&schema, &batches))?;
        let full_group_rows = usize::try_from(contract.output.row_group_rows).unwrap_or(usize::MAX).max(1);
        Ok(Compactor { contract, schema, properties, full_group_rows, least_page: LeastPage::default() })
    }

    /// The same with pages that count as large from other sizes on.
    #[cfg(test)]
    pub(crate) fn with_least_page(self, rows: usize) -> Self {
        Compactor { least_page: LeastPage { rows, bytes: usize::MAX / 1_000_000 }, ..self }
    }

    /// What a file of these row groups as one must turn out to hold.
    #[cfg(test)]
    pub(super) fn promises(&self, run: &[Group]) -> Result<Vec<Promise>> {
        (0..self.schema.fields().len()).map(|field| self.promise_of_values(run, field)).collect()
    }

    /// One file of the rows of these files, in order. It was read back and holds them, or there is an error.
    ///
    /// Some row groups of the sources are held in memory at a time, and the finished file. `copy` gets the file's bytes too, while they
    /// are made; they are worth nothing when there is an error.
    ///
    /// # Errors
    /// What `read` and `copy` answer; `Misconfigured` for a file of other columns or another order; `Internal` when a file cannot be read, or the
    /// result does not hold what went in.
    pub fn part(
        &self,
        files: &[FileSummary],
        bytes_before: u64,
        read: ReadFile<'_>,
        copy: &mut (dyn Write + Send),
    ) -> Result<(CompactedPart, Work)> {
        let capacity = usize::try_from(bytes_before.saturating_add(bytes_before / 32)).unwrap_or(0);
        let out = Twice { bytes: Vec::with_capacity(capacity), copy };
        let writer = ArrowWriter::try_new(out, self.schema.clone(), Some(self.properties.clone()));
        let (mut file, factory) = writer.and_then(ArrowWriter::into_serialized_writer).map_err(unwritable)?;
        let mut queue = Queue { files, read, next: 0, waiting: VecDeque::new() };
        let (mut work, mut promised) = (Work::default(), Vec::new());
        self.fill(&mut queue)?;
        loop {
            let run = self.next_run(&mut queue.waiting);
            if run.is_empty() {
                break;
            }
            let (filled, encoded) = rayon::join(|| self.fill(&mut queue), || self.encode(&factory, promised.len(), &run));
            filled?;
            promised.push(self.append(&mut file, &run, encoded?, &mut work)?);
        }
        let bytes = file.into_inner().map(|out| Bytes::from(out.bytes)).map_err(failed)?;
        let rows = files.iter().map(|file| file.rows).sum();
        self.verify(&bytes, rows, &promised)?;
        Ok((CompactedPart { bytes, rows, stats: merge_stats(self.contract, files) }, work))
    }

    /// Opens further files until a full row group of rows waits.
    fn fill(&self, queue: &mut Queue<'_>) -> Result<()> {
        let mut rows: usize = queue.waiting.iter().map(Group::rows).sum();
        let start = queue.next;
        while let Some(file) = queue.files.get(queue.next).filter(|_| rows < self.full_group_rows) {
            rows += usize::try_from(file.rows).unwrap_or(usize::MAX);
            queue.next += 1;
        }
        let open = |index: usize| {
            let source = Arc::new(Source::open((queue.read)(index)?, &self.schema)?);
            let expected = queue.files.get(index).map_or(0, |file| file.rows);
            if source.metadata().file_metadata().num_rows() != i64::try_from(expected).unwrap_or(-1) {
                return Err(Error::internal("a file of the window has another number of rows than the ledger says"));
            }
            self.require_split(&source)?;
            let groups = source.groups();
            groups.iter().try_for_each(|group| self.require_order(group))?;
            Ok(groups)
        };
        let opened: Vec<Vec<Group>> = (start..queue.next).into_par_iter().map(open).collect::<Result<_>>()?;
        queue.waiting.extend(opened.into_iter().flatten());
        Ok(())
    }

    fn require_order(&self, group: &Group) -> Result<()> {
        if group.meta().sorting_columns() == self.properties.sorting_columns() {
            return Ok(());
        }
        Err(Error::misconfigured("a file of the window is sorted otherwise than the contract declares")
            .help("compaction keeps the order of rows: run the window again, then compact it"))
    }

    fn require_split(&self, source: &Source) -> Result<()> {
        let declared = self.contract.split.as_ref().map(ToString::to_string);
        if source.split() == declared.as_deref() {
            return Ok(());
        }
        Err(Error::misconfigured("a file of the window is split otherwise than the contract declares")
            .help("compaction keeps rows of different values apart: run the window again, then compact it"))
    }

    /// The row groups that become the next one: a large one alone, small ones up to a full one.
    fn next_run(&self, waiting: &mut VecDeque<Group>) -> Vec<Group> {
        let is_large = |group: &Group| group.rows() >= self.full_group_rows.div_ceil(2);
        let mut run: Vec<Group> = Vec::new();
        let mut rows = 0;
        while let Some(next) = waiting.front() {
            let fits = run.is_empty() || !is_large(next) && rows + next.rows() <= self.full_group_rows;
            if !fits || run.first().is_some_and(is_large) {
                break;
            }
            rows += next.rows();
            run.extend(waiting.pop_front());
        }
        run
    }

    /// The columns of a row group, each field by itself and in parallel.
    fn encode(&self, factory: &ArrowRowGroupWriterFactory, group: usize, run: &[Group]) -> Result<Vec<Encoded>> {
        let mut writers = factory.create_column_writers(group).map_err(unwritable)?.into_iter();
        let fields = 0..self.schema.fields().len();
        let jobs: Vec<(usize, Vec<ArrowColumnWriter>)> =
            fields.map(|field| (field, writers.by_ref().take(Source::leaves_of(&self.schema, field).len()).collect())).collect();
        jobs.into_par_iter().with_max_len(1).map(|(field, writers)| self.encode_field(run, field, writers)).collect()
    }

    fn encode_field(&self, run: &[Group], field: usize, writers: Vec<ArrowColumnWriter>) -> Result<Encoded> {
        let leaves = Source::leaves_of(&self.schema, field);
        if let [group] = run
            && let Some(columns) = leaves.clone().map(|leaf| copy::entry(group, leaf)).collect::<Option<Vec<_>>>()
        {
            let columns = columns.into_iter().map(|close| Column::Copied(Box::new(close))).collect();
            return Ok(Encoded { columns, promise: promise_of_pages(run, leaves.clone(), true) });
        }
        let declared = self.schema.fields().get(field).ok_or_else(|| Error::internal("no such column"))?;
        let level = i32::from(self.contract.output.zstd_level);
        let mut chunks: Vec<Chunk> = Vec::new();
        for leaf in leaves.clone().filter(|_| run.len() > 1) {
            match merge::merge(run, (leaf, declared.data_type()), level, self.least_page)? {
                Some(chunk) => chunks.push(chunk),
                None => break,
            }
        }
        if !leaves.is_empty() && chunks.len() == leaves.len() {
            let is_verbatim = chunks.iter().all(|chunk| chunk.is_verbatim);
            let known = if let [chunk] = chunks.as_slice() { chunk.values } else { None };
            let columns = chunks.into_iter().map(|chunk| Column::Joined(Box::new(chunk))).collect();
            let promise = match known {
                _ if is_verbatim => promise_of_pages(run, leaves, false),
                Some(digest) => Promise::Values(digest),
                None => self.promise_of_values(run, field)?,
            };
            return Ok(Encoded { columns, promise });
        }
        let chunks = recode::recode(run, (field, declared), writers, leaves.start)?;
        let columns = chunks.into_iter().map(|chunk| Column::Recoded(Box::new(chunk))).collect();
        Ok(Encoded { columns, promise: self.promise_of_values(run, field)? })
    }

    fn promise_of_values(&self, run: &[Group], field: usize) -> Result<Promise> {
        digest::of_values(run, field).map(Promise::Values)
    }

    fn append(
        &self,
        file: &mut SerializedFileWriter<Twice<'_>>,
        run: &[Group],
        encoded: Vec<Encoded>,
        work: &mut Work,
    ) -> Result<Vec<Promise>> {
        let mut row_group = file.next_row_group().map_err(unwritable)?;
        let mut promises = Vec::with_capacity(encoded.len());
        work.row_groups += 1;
        for Encoded { columns, promise } in encoded {
            for column in columns {
                let count = match &column {
                    Column::Copied(_) => &mut work.copied,
                    Column::Joined(chunk) if chunk.is_verbatim => &mut work.spliced,
                    Column::Joined(_) => &mut work.merged,
                    Column::Recoded(_) => &mut work.recoded,
                };
                *count += 1;
                match (column, run.first()) {
                    (Column::Copied(close), Some(group)) => row_group.append_column(&group.source.bytes, *close),
                    (Column::Joined(chunk), _) => row_group.append_column(&chunk.bytes, chunk.close),
                    (Column::Recoded(chunk), _) => chunk.append_to_row_group(&mut row_group),
                    (Column::Copied(_), None) => return Err(Error::internal("a row group of no source")),
                }
                .map_err(failed)?;
            }
            promises.push(promise);
        }
        row_group.close().map_err(failed)?;
        Ok(promises)
    }

    /// Opens the finished file and finds in it what went in.
    pub(super) fn verify(&self, bytes: &Bytes, rows: u64, promised: &[Vec<Promise>]) -> Result<()> {
        let found = verify_part(bytes.clone(), &self.schema)?;
        let source = Arc::new(Source::open(bytes.clone(), &self.schema)?);
        let groups = source.groups();
        if found != rows || groups.len() != promised.len() {
            return Err(Error::internal("a compacted file has another number of rows than went in")
                .with("expected", rows)
                .with("found", found));
        }
        let columns: Vec<(&Group, usize, Promise)> = groups
            .iter()
            .zip(promised)
            .flat_map(|(group, fields)| fields.iter().enumerate().map(move |(field, promise)| (group, field, *promise)))
            .collect();
        columns.into_par_iter().with_max_len(1).try_for_each(|(group, field, promise)| self.verify_field(group, field, promise))
    }

    fn verify_field(&self, group: &Group, field: usize, promise: Promise) -> Result<()> {
        let one = std::slice::from_ref(group);
        let found = match promise {
            Promise::Pages { with_dictionary, .. } => {
                promise_of_pages(one, Source::leaves_of(&self.schema, field), with_dictionary)
            }
            Promise::Values(_) => self.promise_of_values(one, field)?,
        };
        let is_known = !matches!(promise, Promise::Pages { digest: None, .. });
        if found == promise && is_known {
            return Ok(());
        }
        let name = self.schema.fields().get(field).map(|field| field.name().clone()).unwrap_or_default();
        Err(Error::internal("a compacted file does not hold the values that went in; nothing was published")
            .with("column", name)
            .with("row_group", group.index))
    }
}

/// Keeps what is written and hands it on.
struct Twice<'a> {
    bytes: Vec<u8>,
    copy: &'a mut (dyn Write + Send),
}

impl Write for Twice<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.copy.write_all(bytes)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Queue<'a> {
    files: &'a [FileSummary],
    read: ReadFile<'a>,
    next: usize,
    waiting: VecDeque<Group>,
}

/// A field of a row group, encoded.
struct Encoded {
    columns: Vec<Column>,
    promise: Promise,
}

enum Column {
    Copied(Box<ColumnCloseResult>),
    Joined(Box<Chunk>),
    Recoded(Box<ArrowColumnChunk>),
}

/// What a field of a row group must turn out to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// The pages of its sources, byte for byte; `None`, for pages that cannot be found, is never met.
    Pages { digest: Option<u64>, values: i64, with_dictionary: bool },
    /// The values of its sources.
    Values(u64),
}

fn promise_of_pages(groups: &[Group], leaves: std::ops::Range<usize>, with_dictionary: bool) -> Promise {
    let (mut digest, mut values) = (Some(0), 0);
    for leaf in leaves {
        for group in groups {
            if with_dictionary {
                digest = digest.map(|digest| digest ^ digest::of_dictionary(group, leaf));
            }
            digest = digest.and_then(|digest| digest::of_pages(group, leaf, digest));
            values += group.chunk(leaf).num_values();
        }
    }
    Promise::Pages { digest, values, with_dictionary }
}
