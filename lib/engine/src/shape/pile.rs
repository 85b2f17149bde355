//! Where the chunks of a window pile up: each sorted in itself, held in memory or spilled, until all are there.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::take::take;
use windrow_core::contract::SortKey;
use windrow_core::{Contract, Error, Result};

use super::keys::{KeyColumn, Keys};
use super::memory::Memory;
use super::order::{Ordering, Shaped};
use super::rows::{OrderedRows, Runs, schema_of};
use super::run::Run;
use super::split;
use super::unordered;
use crate::chunk::{Chunk, Position};
use crate::form::is_form_of;
use crate::schema::file_schema;

/// The chunks of a window, taken in any order from any thread.
#[derive(Debug)]
pub(crate) struct Pile<'a> {
    contract: &'a Contract,
    memory: &'a Memory,
    schema: SchemaRef,
    ordering: Ordering<'a>,
    is_key: Vec<bool>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    runs: Vec<Run>,
    /// What could be spilled.
    bytes: u64,
}

impl<'a> Pile<'a> {
    /// # Errors
    /// `Misconfigured` for a sort by a column that is not declared.
    pub(crate) fn new(contract: &'a Contract, memory: &'a Memory) -> Result<Self> {
        Pile::of(contract, Ordering::new(contract)?, memory)
    }

    /// For chunks of rows that come in no order.
    ///
    /// # Errors
    /// As [`Pile::new`].
    pub(crate) fn of_unordered(contract: &'a Contract, memory: &'a Memory) -> Result<Self> {
        Pile::of(contract, Ordering::of_unordered(contract)?, memory)
    }

    fn of(contract: &'a Contract, ordering: Ordering<'a>, memory: &'a Memory) -> Result<Self> {
        let schema = Arc::new(file_schema(contract));
        let is_key = ordering.key_columns(&schema);
        Ok(Pile { contract, memory, schema, ordering, is_key, held: Mutex::default() })
    }

    /// Takes a conformed chunk.
    ///
    /// # Errors
    /// `Internal` for a chunk that was not conformed, `OutOfMemory` when the disk takes no more.
    pub(crate) fn add(&self, position: Position, chunk: Chunk) -> Result<()> {
        let Chunk { batch, origin } = chunk;
        let (have, declared) = (batch.schema_ref().fields(), self.schema.fields());
        let fits = |(have, declared): (&Arc<arrow_schema::Field>, &Arc<arrow_schema::Field>)| {
            have.name() == declared.name() && is_form_of(have.data_type(), declared.data_type())
        };
        if have.len() != declared.len() || !have.iter().zip(declared).all(fits) {
            return Err(Error::internal("chunks were not conformed to the contract").with("table", &self.contract.table));
        }
        // Rows of no order are sorted all together; only what goes to disk must be near what it is written with.
        let before = if self.ordering.is_unordered() && self.fits(&batch) { None } else { self.sorted(&batch)? };
        let (before, shares) = match &self.contract.split {
            Some(split) => split::deal_chunk(&batch, split, before)?,
            None => (before, Vec::new()),
        };
        let batch = match &before {
            Some(order) => reordered(&self.schema, &batch, order)?,
            None => batch,
        };
        self.push(Run::new(position, &batch, origin, before, &self.is_key)?.with_shares(shares))
    }

    fn fits(&self, batch: &RecordBatch) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).bytes;
        held.saturating_add(batch.get_array_memory_size() as u64) <= self.memory.for_columns()
    }

    /// The order of a chunk's rows among themselves; `None` when they stand in it.
    fn sorted(&self, batch: &RecordBatch) -> Result<Option<Vec<u32>>> {
        let sort = self.ordering.of_chunk();
        if sort.is_empty() {
            return Ok(None);
        }
        let missing = |name: &str| Error::misconfigured(format!("column `{name}` of the key or sort is not in the table"));
        let column = |name: &str| batch.column_by_name(name).cloned().ok_or_else(|| missing(name));
        let columns = sort.iter().map(|key| Ok(KeyColumn::of([column(&key.column)?], key.descending)));
        let keys = Keys::new(&columns.collect::<Result<Vec<_>>>()?, batch.num_rows())?;
        let sorted = keys.sort_all(false).rows;
        Ok(if sorted.is_sorted() { None } else { Some(sorted) })
    }

    fn push(&self, mut run: Run) -> Result<()> {
        let bytes = run.held_bytes();
        let must_spill = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let must_spill = held.bytes.saturating_add(bytes) > self.memory.for_columns();
            held.bytes += if must_spill { 0 } else { bytes };
            must_spill
        };
        if must_spill {
            run.spill(self.memory)?;
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).runs.push(run);
        Ok(())
    }

    /// All rows in their final order.
    ///
    /// # Errors
    /// `Misconfigured` for columns without an order, `OutOfMemory` when keys exceed the limit.
    pub(crate) fn order(self) -> Result<Shaped> {
        let mut runs = self.runs()?;
        let (order, duplicates) = self.ordering.order(&mut runs, self.memory)?;
        Ok(Shaped { rows: self.dealt(OrderedRows::new(runs, order))?, duplicates })
    }

    /// All rows in one order, whatever order they came in; `None` when rows share a primary key.
    ///
    /// # Errors
    /// As [`Pile::order`], and `Internal` for a column that has no order.
    pub(crate) fn order_any(self) -> Result<Option<OrderedRows>> {
        let mut runs = self.runs()?;
        let Some((order, ties)) = self.ordering.order_any(&mut runs, self.memory)? else { return Ok(None) };
        let mut ordered = OrderedRows::new(runs, Some(order));
        if let Some(keys) = ties {
            unordered::settle(&mut ordered, self.memory, &|a, b| keys.compare(a, b).is_eq())?;
        }
        self.dealt(ordered).map(Some)
    }

    /// Ordered rows, dealt to files where the contract says so.
    fn dealt(&self, mut rows: OrderedRows) -> Result<OrderedRows> {
        self.contract.split.as_ref().map_or(Ok(()), |split| rows.deal(split, self.memory)).map(|()| rows)
    }

    fn runs(&self) -> Result<Runs> {
        let mut runs = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner)).runs;
        runs.sort_unstable_by_key(|run| run.position);
        if self.ordering.is_unordered() {
            self.nearly_sort(&mut runs);
        }
        Runs::new(self.schema.clone(), runs)
    }

    /// Puts runs whose order means nothing in that of the numbers they begin with: what is nearly sorted is quickly sorted, and
    /// gathered in stretches.
    fn nearly_sort(&self, runs: &mut [Run]) {
        let Some(SortKey { column, descending }) = self.ordering.of_chunk().first() else { return };
        let Ok(column) = self.schema.index_of(column) else { return };
        let bounds = |run: &Run| run.key(column).and_then(|key| key.bounds.flatten());
        match descending {
            false => runs.sort_by_cached_key(|run| bounds(run).map(|(least, _)| least)),
            true => runs.sort_by_cached_key(|run| bounds(run).map(|(_, greatest)| Reverse(greatest))),
        }
    }
}

fn reordered(schema: &SchemaRef, batch: &RecordBatch, order: &[u32]) -> Result<RecordBatch> {
    let order = UInt32Array::from(order.to_vec());
    let columns = batch.columns().iter().map(|column| take(column, &order, None)).collect::<Result<Vec<ArrayRef>, _>>();
    columns
        .and_then(|columns| RecordBatch::try_new(schema_of(schema, &columns), columns))
        .map_err(|error| Error::internal("cannot sort a chunk").caused_by(error))
}
