//! The row groups of one file, their columns gathered and encoded by all threads, their bytes written in order.
//!
//! ```text
//! groups ─▶ [queue: columns of the group begun last, the widest first] ─▶ thread: gather, encode ─┐
//!             ▲ at most three groups are begun and not written              thread: write ◀─ [done] ┘
//! ```
//!
//! A thread takes whatever can be done next, so a wide column of one group is encoded beside the narrow ones of the next.
//! Invariant: whoever holds the queue's lock never waits for work of rayon.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use arrow_array::ArrayRef;
use arrow_schema::Field;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;
use windrow_core::{Error, Result};

use super::encode::{Bounds, Encoding, failed, leaves};
use super::stats::ColumnBounds;
use crate::shape::Group;

/// How many groups are begun and not written at most: one on its way out, one that ends, one that starts.
const GROUPS_IN_WORK: usize = 3;

/// Encodes the groups as the row groups of one file.
pub(super) fn encode<'r, W: Write + Send>(
    encoding: &Encoding,
    groups: impl Iterator<Item = Group<'r>> + Send,
    out: W,
) -> Result<(W, Bounds)> {
    let writer = ArrowWriter::try_new(out, encoding.schema.clone(), Some(encoding.properties.clone())).map_err(failed)?;
    let (file, factory) = writer.into_serialized_writer().map_err(failed)?;
    let bounds: Bounds = vec![ColumnBounds::default(); encoding.schema.fields().len()];
    let queue = Queue {
        groups,
        jobs: VecDeque::new(),
        encoded: BTreeMap::new(),
        begun: 0,
        written: 0,
        is_over: false,
        has_failed: false,
    };
    let output = Mutex::new(Output { file, bounds });
    let pipeline = Pipeline { encoding, factory, queue: Mutex::new(queue), moved: Condvar::new(), output };
    let threads = rayon::current_num_threads().max(1);
    (0..threads).into_par_iter().with_max_len(1).try_for_each(|_| pipeline.work())?;
    let Output { file, bounds } = pipeline.output.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((file.into_inner().map_err(failed)?, bounds))
}

struct Pipeline<'a, 'r, I, W: Write + Send> {
    encoding: &'a Encoding,
    factory: ArrowRowGroupWriterFactory,
    queue: Mutex<Queue<'r, I>>,
    /// A group was written, or something failed.
    moved: Condvar,
    output: Mutex<Output<W>>,
}

struct Queue<'r, I> {
    groups: I,
    jobs: VecDeque<Job<'r>>,
    /// The columns of each group that is not written, as far as they are encoded.
    encoded: BTreeMap<usize, Vec<Option<Column>>>,
    begun: usize,
    written: usize,
    /// All groups are begun.
    is_over: bool,
    has_failed: bool,
}

struct Output<W: Write + Send> {
    file: SerializedFileWriter<W>,
    bounds: Bounds,
}

/// One column of one row group, encoded.
struct Column {
    chunks: Vec<ArrowColumnChunk>,
    bounds: ColumnBounds,
}

/// One column of one row group, to be encoded.
struct Job<'r> {
    group: Arc<Group<'r>>,
    number: usize,
    index: usize,
    field: Arc<Field>,
    writers: Vec<ArrowColumnWriter>,
    is_shown: bool,
}

enum Step<'r> {
    Encode(Job<'r>),
    Write(Vec<Column>),
    Stop,
}

impl<'r, I: Iterator<Item = Group<'r>> + Send, W: Write + Send> Pipeline<'_, 'r, I, W> {
    /// What each thread does until nothing is left to take.
    fn work(&self) -> Result<()> {
        loop {
            let done = match self.next() {
                Ok(Step::Stop) => return Ok(()),
                Ok(Step::Encode(job)) => self.encode(job),
                Ok(Step::Write(columns)) => self.write(columns),
                Err(error) => Err(error),
            };
            if done.is_err() {
                self.queue().has_failed = true;
                self.moved.notify_all();
                return done;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<'r, I>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writing comes before encoding: it makes room for another group.
    fn next(&self) -> Result<Step<'r>> {
        let mut queue = self.queue();
        loop {
            if queue.has_failed {
                return Ok(Step::Stop);
            }
            if let Some(columns) = queue.complete() {
                return Ok(Step::Write(columns));
            }
            if queue.jobs.is_empty() && !queue.is_over && queue.begun - queue.written < GROUPS_IN_WORK {
                self.begin(&mut queue)?;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Ok(Step::Encode(job));
            }
            // Whoever encodes the last columns writes them too.
            if queue.is_over {
                return Ok(Step::Stop);
            }
            queue = self.moved.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts the columns of the next group into the queue.
    fn begin(&self, queue: &mut Queue<'r, I>) -> Result<()> {
        let Some(group) = queue.groups.next() else {
            queue.is_over = true;
            self.moved.notify_all();
            return Ok(());
        };
        let (group, number) = (Arc::new(group), queue.begun);
        let mut writers = self.factory.create_column_writers(number).map_err(failed)?.into_iter();
        let fields = self.encoding.schema.fields();
        let mut jobs: Vec<Job<'r>> = Vec::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            let writers = writers.by_ref().take(leaves(field.data_type())).collect();
            let is_shown = self.encoding.is_shown.get(index) == Some(&true);
            jobs.push(Job { group: group.clone(), number, index, field: field.clone(), writers, is_shown });
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(group.width(job.index)));
        queue.jobs.extend(jobs);
        queue.encoded.insert(number, fields.iter().map(|_| None).collect());
        queue.begun += 1;
        Ok(())
    }

    fn encode(&self, job: Job<'r>) -> Result<()> {
        let (number, index) = (job.number, job.index);
        let column = job.run()?;
        let mut queue = self.queue();
        let place = queue.encoded.get_mut(&number).and_then(|columns| columns.get_mut(index));
        *place.ok_or_else(|| Error::internal("a row group was written before all its columns"))? = Some(column);
        Ok(())
    }

    fn write(&self, columns: Vec<Column>) -> Result<()> {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let Output { file, bounds } = &mut *output;
        let mut row_group = file.next_row_group().map_err(failed)?;
        for (column, bounds) in columns.into_iter().zip(bounds) {
            bounds.widen(column.bounds);
            column.chunks.into_iter().try_for_each(|chunk| chunk.append_to_row_group(&mut row_group)).map_err(failed)?;
        }
        row_group.close().map_err(failed)?;
        drop(output);
        self.queue().written += 1;
        self.moved.notify_all();
        Ok(())
    }
}

impl<I> Queue<'_, I> {
    /// Takes the next group to be written, when all its columns are encoded and the group before is written.
    fn complete(&mut self) -> Option<Vec<Column>> {
        let first = self.encoded.first_entry()?;
        if *first.key() != self.written || first.get().iter().any(Option::is_none) {
            return None;
        }
        Some(first.remove().into_iter().flatten().collect())
    }
}

impl Job<'_> {
    fn run(mut self) -> Result<Column> {
        let mut bounds = ColumnBounds::default();
        let group = Arc::clone(&self.group);
        group.column(self.index, &mut |array| {
            bounds.see(&array, self.is_shown);
            self.write(&array).map_err(failed)
        })?;
        let chunks = self.writers.into_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        Ok(Column { chunks, bounds })
    }

    fn write(&mut self, array: &ArrayRef) -> Result<(), ParquetError> {
        // Levels are made by the form the array has; the column keeps its declared type.
        let form = self.field.as_ref().clone().with_data_type(array.data_type().clone());
        let leaves = compute_leaves(&form, array)?;
        self.writers.iter_mut().zip(&leaves).try_for_each(|(writer, leaf)| writer.write(leaf))
    }
}
