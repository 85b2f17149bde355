//! The rows of a window in the order they are written, gathered column by column when they are needed.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use rayon::prelude::*;
use windrow_core::contract::Split;
use windrow_core::{Error, Result};

use super::gather::{Dictionary, Place, Source, gather};
use super::keys::KeyColumn;
use super::memory::Memory;
use super::run::Run;
use super::split;
use crate::form;

/// How many rows a gathered array has at most: small enough for the cache, large enough for columns.
pub(crate) const BATCH_ROWS: usize = 1 << 16;

/// For how many rows spilled columns are read back at a time.
const PIECE_ROWS: usize = 4 * BATCH_ROWS;

/// How many rows share an entry of the table that finds a row's run.
const STRIDE: usize = 1 << 10;

/// The runs of a window, their rows numbered from the first to the last.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) schema: SchemaRef,
    pub(crate) runs: Vec<Run>,
    /// The number of the first row of each run, and behind the last one the number of rows.
    starts: Vec<usize>,
    /// The run of every [`STRIDE`]th row.
    strides: Vec<u32>,
}

impl Runs {
    /// Numbers the rows of runs that stand in their order.
    ///
    /// # Errors
    /// `Misconfigured` beyond 2^32 rows: such a window wants a finer grain.
    pub(crate) fn new(schema: SchemaRef, runs: Vec<Run>) -> Result<Self> {
        let (mut rows, mut starts, mut strides) = (0, Vec::with_capacity(runs.len() + 1), Vec::new());
        for (number, run) in (0u32..).zip(&runs) {
            starts.push(rows);
            rows += run.rows;
            while strides.len() * STRIDE < rows {
                strides.push(number);
            }
        }
        starts.push(rows);
        if u32::try_from(rows).is_err() {
            let error = Error::misconfigured("more than 4,294,967,295 rows in one window").with("rows", rows);
            return Err(error.help("declare a finer window: hours instead of days"));
        }
        Ok(Runs { schema, runs, starts, strides })
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// All row numbers in order.
    pub(crate) fn all(&self) -> Vec<u32> {
        (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).collect()
    }

    #[inline]
    pub(crate) fn place(&self, row: u32) -> Place {
        let mut run = self.strides.get(row as usize / STRIDE).copied().unwrap_or(0);
        while self.starts.get(run as usize + 1).is_some_and(|start| *start <= row as usize) {
            run += 1;
        }
        let start = self.starts.get(run as usize).copied().unwrap_or(0);
        Place { run, row: u32::try_from(row as usize - start).unwrap_or(0) }
    }

    /// A number by which rows compare in the order of files and lines.
    pub(crate) fn original(&self, row: u32) -> usize {
        let place = self.place(row);
        let start = self.starts.get(place.run as usize).copied().unwrap_or(0);
        start + self.runs.get(place.run as usize).map_or(0, |run| run.original(place.row as usize))
    }

    /// The file and line a row came from.
    pub(crate) fn origin(&self, row: u32) -> (Arc<str>, u64) {
        let place = self.place(row);
        let run = self.runs.get(place.run as usize);
        run.map_or_else(|| ("".into(), 0), |run| (run.origin.file().clone(), run.line(place.row as usize)))
    }

    /// Looks at one value of a key's column.
    ///
    /// # Errors
    /// What the disk of a spilled column says.
    pub(crate) fn value<T>(&self, row: u32, column: &str, look: impl Fn(&dyn Array, usize) -> Option<T>) -> Result<Option<T>> {
        let place = self.place(row);
        let key = self.schema.index_of(column).ok().and_then(|column| self.runs.get(place.run as usize)?.key(column));
        let Some(key) = key else { return Ok(None) };
        let (array, row) = key.around(place.row as usize)?;
        Ok(look(&array, row))
    }

    /// Moves all columns to disk.
    ///
    /// # Errors
    /// As [`Run::spill`].
    pub(crate) fn spill(&mut self, memory: &Memory) -> Result<()> {
        self.runs.par_iter_mut().try_for_each(|run| run.spill(memory))
    }

    /// How many bytes of memory the runs take.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.held_bytes() + run.fixed_bytes()).sum()
    }

    /// A column of all runs as part of a key.
    ///
    /// # Errors
    /// `Misconfigured` when the table lacks it.
    pub(crate) fn key_column(&self, name: &str, descending: bool) -> Result<KeyColumn> {
        let missing = || Error::misconfigured(format!("column `{name}` of the key, sort or dedupe rule is not in the table"));
        let column = self.schema.index_of(name).map_err(|_| missing())?;
        let chunks = self.runs.iter().map(|run| run.key(column).cloned().ok_or_else(missing));
        Ok(KeyColumn { chunks: chunks.collect::<Result<_>>()?, descending })
    }
}

/// The rows of a window as they are written.
#[derive(Debug)]
pub struct OrderedRows {
    runs: Runs,
    /// Row numbers in order; `None` when rows stay as they came.
    order: Option<Vec<u32>>,
    /// The rows of each value that has files of its own; empty when rows of all values share them.
    split: Vec<Range<usize>>,
    dictionaries: Vec<Option<Dictionary>>,
}

impl OrderedRows {
    pub(crate) fn new(mut runs: Runs, order: Option<Vec<u32>>) -> Self {
        runs.runs.iter_mut().for_each(Run::forget_lines);
        let dictionary = |column: usize| -> Option<Dictionary> {
            let of_runs: Vec<_> = runs.runs.iter().map(|run| run.dictionary(column)).collect();
            if of_runs.is_empty() { None } else { Dictionary::join(&of_runs) }
        };
        let dictionaries = (0..runs.schema.fields().len()).into_par_iter().map(dictionary).collect();
        OrderedRows { runs, order, split: Vec::new(), dictionaries }
    }

    /// The numbers of the rows in order; none when rows stay as they came.
    pub(crate) fn order(&self) -> &[u32] {
        self.order.as_deref().unwrap_or_default()
    }

    /// Puts the rows of a range into another order, given by their places in it.
    pub(crate) fn permute(&mut self, range: Range<usize>, order: &[usize]) {
        let Some(rows) = self.order.as_mut().and_then(|rows| rows.get_mut(range)) else { return };
        let before = rows.to_vec();
        rows.iter_mut().zip(order).for_each(|(row, at)| *row = before.get(*at).copied().unwrap_or(*row));
    }

    /// Deals the rows, which stay in their order among themselves, to files of one value each.
    ///
    /// # Errors
    /// `Misconfigured` when there are too many values, `OutOfMemory` when there is no room for it.
    pub(super) fn deal(&mut self, split: &Split, memory: &Memory) -> Result<()> {
        memory.require(self.runs.held_bytes() + split::BYTES_PER_ROW * self.len() as u64, self.len())?;
        if let Some((order, rows)) = split::deal(&self.runs, self.order.as_deref(), split)? {
            (self.order, self.split) = (Some(order), rows);
        }
        Ok(())
    }

    /// The rows that may share files: all of them, or those of each value of the contract's split.
    pub(crate) fn sharing(&self) -> Vec<Range<usize>> {
        if self.split.is_empty() { std::iter::once(0..self.len()).collect() } else { self.split.clone() }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.order.as_ref().map_or(self.runs.len(), Vec::len)
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The schema of the rows in their plain forms.
    pub fn schema(&self) -> &SchemaRef {
        &self.runs.schema
    }

    /// The length in bytes of the longest text of a column.
    pub(crate) fn longest_text(&self, column: usize) -> usize {
        self.runs.runs.iter().filter_map(|run| run.longest.get(column)).max().copied().unwrap_or(0)
    }

    /// Finds the rows of some ranges, so that their columns can be gathered.
    pub(crate) fn group(&self, ranges: &[Range<usize>]) -> Group<'_> {
        let mut places = Vec::with_capacity(ranges.iter().map(ExactSizeIterator::len).sum());
        let mut pieces = Vec::new();
        for range in ranges {
            let first = places.len();
            let number = |row: usize| u32::try_from(row).unwrap_or(u32::MAX);
            match &self.order {
                Some(order) => {
                    let rows = order.get(range.clone()).unwrap_or_default();
                    places.extend(rows.iter().map(|row| self.runs.place(*row)));
                }
                None => places.extend(range.clone().map(|row| self.runs.place(number(row)))),
            }
            pieces.extend(pieces_of(first..places.len()));
        }
        self.with_spans(places, pieces)
    }

    /// Finds rows given by their numbers.
    pub(crate) fn group_of(&self, rows: &[u32]) -> Group<'_> {
        let places: Vec<Place> = rows.par_iter().map(|row| self.runs.place(*row)).collect();
        let pieces = pieces_of(0..places.len()).collect();
        self.with_spans(places, pieces)
    }

    fn with_spans(&self, places: Vec<Place>, mut pieces: Vec<Piece>) -> Group<'_> {
        if self.runs.runs.iter().any(Run::is_spilled) {
            for piece in &mut pieces {
                piece.spans = self.spans(places.get(piece.places.clone()).unwrap_or_default());
            }
        }
        Group { rows: self, places, pieces }
    }

    /// The part of each run that places lie in.
    fn spans(&self, places: &[Place]) -> Vec<Option<Range<usize>>> {
        let mut spans: Vec<Option<Range<usize>>> = vec![None; self.runs.runs.len()];
        for place in places {
            let row = place.row as usize;
            if let Some(span) = spans.get_mut(place.run as usize) {
                let (start, end) = span.as_ref().map_or((row, row + 1), |span| (span.start.min(row), span.end.max(row + 1)));
                *span = Some(start..end);
            }
        }
        spans
    }

    /// All rows as plain batches of at most 64 Ki rows.
    ///
    /// # Errors
    /// `Internal` when a type cannot be gathered.
    pub fn batches(&self) -> Result<Vec<RecordBatch>> {
        let starts: Vec<usize> = (0..self.len()).step_by(BATCH_ROWS).collect();
        let batches = starts.into_par_iter().map(|start| {
            let rows = start..self.len().min(start + BATCH_ROWS);
            let group = self.group(std::slice::from_ref(&rows));
            group.batches()
        });
        Ok(batches.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

/// Some rows of a window, ready to be gathered column by column.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    rows: &'a OrderedRows,
    places: Vec<Place>,
    pieces: Vec<Piece>,
}

/// Neighbouring rows of a group.
#[derive(Debug)]
struct Piece {
    places: Range<usize>,
    /// The part of each run the places lie in; empty when nothing is on disk.
    spans: Vec<Option<Range<usize>>>,
}

fn pieces_of(places: Range<usize>) -> impl Iterator<Item = Piece> {
    let end = places.end;
    places.step_by(PIECE_ROWS).map(move |start| Piece::new(start..end.min(start + PIECE_ROWS)))
}

impl Piece {
    fn new(places: Range<usize>) -> Self {
        Piece { places, spans: Vec::new() }
    }
}

impl Group<'_> {
    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// What a value of a column takes to gather and encode, roughly, to compare columns with.
    pub(crate) fn width(&self, column: usize) -> usize {
        if self.rows.dictionaries.get(column).is_some_and(Option::is_some) { 1 } else { self.rows.longest_text(column).max(8) }
    }

    /// Gathers a column in arrays of at most 64 Ki rows, in the form the runs have it in.
    ///
    /// # Errors
    /// `Internal` when a type cannot be gathered, and what `see` answers.
    pub(crate) fn column(&self, column: usize, see: &mut dyn FnMut(ArrayRef) -> Result<()>) -> Result<()> {
        let dictionary = self.rows.dictionaries.get(column).and_then(Option::as_ref);
        let mut sources: Vec<Source> = Vec::new();
        for piece in &self.pieces {
            if sources.is_empty() || !piece.spans.is_empty() {
                sources = self.sources(column, &piece.spans)?;
            }
            let places = self.places.get(piece.places.clone()).unwrap_or_default();
            places.chunks(BATCH_ROWS).try_for_each(|places| gather(&sources, dictionary, places, see))?;
        }
        Ok(())
    }

    /// A column of all runs, those on disk as far as `spans` says.
    fn sources(&self, column: usize, spans: &[Option<Range<usize>>]) -> Result<Vec<Source>> {
        let source = |(number, run): (usize, &Run)| run.source(column, spans.get(number).cloned().flatten());
        let mut sources: Vec<Source> = self.rows.runs.runs.iter().enumerate().map(source).collect::<Result<_>>()?;
        if self.rows.dictionaries.get(column).is_none_or(Option::is_none) {
            unite_forms(&mut sources)?;
        }
        Ok(sources)
    }

    /// Gathers all columns in their plain forms.
    ///
    /// # Errors
    /// As [`Group::column`].
    pub(crate) fn batches(&self) -> Result<Vec<RecordBatch>> {
        let schema = &self.rows.runs.schema;
        let mut columns: Vec<Vec<ArrayRef>> = Vec::with_capacity(schema.fields().len());
        for column in 0..schema.fields().len() {
            let mut arrays = Vec::new();
            self.column(column, &mut |array| {
                arrays.push(form::plain(&array)?);
                Ok(())
            })?;
            columns.push(arrays);
        }
        if columns.iter().all(|arrays| arrays.len() == 1) {
            let arrays = columns.into_iter().flatten().collect();
            return Ok(vec![batch(schema, arrays, self.len())?]);
        }
        self.halves(&columns)
    }

    /// Texts that had to be split: all columns are cut where any of them is.
    fn halves(&self, columns: &[Vec<ArrayRef>]) -> Result<Vec<RecordBatch>> {
        let schema = &self.rows.runs.schema;
        let ends = |arrays: &Vec<ArrayRef>| -> Vec<usize> {
            arrays
                .iter()
                .scan(0, |end, array| {
                    *end += array.len();
                    Some(*end)
                })
                .collect()
        };
        let mut cuts: Vec<usize> = columns.iter().flat_map(ends).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut start = 0;
        let mut batches = Vec::with_capacity(cuts.len());
        for end in cuts {
            let arrays = columns.iter().filter_map(|arrays| part(arrays, start..end)).collect();
            batches.push(batch(schema, arrays, end - start)?);
            start = end;
        }
        Ok(batches)
    }
}

/// The rows of a range that lies within one of these arrays.
fn part(arrays: &[ArrayRef], rows: Range<usize>) -> Option<ArrayRef> {
    let mut before = 0;
    for array in arrays {
        if rows.start < before + array.len() {
            return Some(array.slice(rows.start - before, rows.len()));
        }
        before += array.len();
    }
    None
}

fn batch(schema: &SchemaRef, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
        .map_err(|error| Error::internal("gathered columns do not fit the contract").caused_by(error))
}

/// Brings the runs of a column to one form: decimals of mixed width become plain.
fn unite_forms(sources: &mut [Source]) -> Result<()> {
    let is_decimal = |source: &Source| matches!(source.array.data_type(), DataType::Decimal64(..) | DataType::Decimal128(..));
    let first = sources.first().map(|source| source.array.data_type().clone());
    if sources.iter().all(|source| Some(source.array.data_type()) == first.as_ref() || !is_decimal(source)) {
        return Ok(());
    }
    for source in sources {
        source.array = form::plain(&source.array)?;
    }
    Ok(())
}

/// The schema of a batch whose columns may be in compact forms.
pub(crate) fn schema_of(declared: &Schema, columns: &[ArrayRef]) -> SchemaRef {
    let field = |(field, column): (&Arc<Field>, &ArrayRef)| {
        if field.data_type() == column.data_type() {
            return field.clone();
        }
        Arc::new(field.as_ref().clone().with_data_type(column.data_type().clone()))
    };
    Arc::new(Schema::new(declared.fields().iter().zip(columns).map(field).collect::<Vec<_>>()))
}
