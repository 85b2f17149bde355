//! The whole way from chunks, in any order, to the rows of a window.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use windrow_core::{Contract, PartitionWindow, Result, ViolationReport};

use super::conform::Plan;
use super::memory::Memory;
use super::order::Shaped;
use super::pile::Pile;
use super::rows::OrderedRows;
use crate::chunk::{Chunk, Position};

/// Conforms chunks as they come, from any thread, and orders their rows once all are there.
pub struct Collector<'a> {
    plan: Plan<'a>,
    pile: Pile<'a>,
    reports: Mutex<BTreeMap<Position, ViolationReport>>,
}

impl<'a> Collector<'a> {
    /// Prepares for the chunks of one window.
    ///
    /// # Errors
    /// `Misconfigured` for rules, windows or orders that cannot be.
    pub fn new(contract: &'a Contract, window: &PartitionWindow, memory: &'a Memory) -> Result<Self> {
        Ok(Collector { plan: Plan::new(contract, window)?, pile: Pile::new(contract, memory)?, reports: Mutex::default() })
    }

    /// The same for rows that come in no order, as an SQL engine yields them; see [`Collector::order_any`].
    ///
    /// # Errors
    /// As [`Collector::new`].
    pub fn of_unordered(contract: &'a Contract, window: &PartitionWindow, memory: &'a Memory) -> Result<Self> {
        let pile = Pile::of_unordered(contract, memory)?;
        Ok(Collector { plan: Plan::new(contract, window)?, pile, reports: Mutex::default() })
    }

    /// Takes a chunk: casts losslessly to exactly the declared types, checks the rules of single values, null keys and the
    /// window, drops the partition column, and keeps the rows that pass.
    ///
    /// # Errors
    /// `Misconfigured` when a column is missing, undeclared or of a type that is never taken for the declared one;
    /// `OutOfMemory` when the keys alone exceed the limit.
    pub fn add(&self, position: Position, chunk: Chunk) -> Result<()> {
        let (chunk, report) = self.plan.conform(chunk)?;
        if !report.is_empty() {
            self.reports.lock().unwrap_or_else(PoisonError::into_inner).insert(position, report);
        }
        if chunk.batch.num_rows() == 0 { Ok(()) } else { self.pile.add(position, chunk) }
    }

    /// Tells whether anything was refused so far.
    pub fn has_refused(&self) -> bool {
        !self.reports.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What was refused, in the order of files and lines.
    pub fn refused(&self) -> ViolationReport {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *reports).into_values().fold(ViolationReport::default(), |mut all, report| {
            all.merge(report);
            all
        })
    }

    /// Dedupes by primary key and sorts.
    ///
    /// A primary key without a dedupe rule is held to be unique (policy `fail`). Nulls sort first, ties keep file and line
    /// order, and without a sort order rows stay as they came: the result does not depend on the number of threads. Of
    /// duplicates under `fail` the first row stays, so that diverting the rest leaves a table with unique keys.
    ///
    /// # Errors
    /// `Misconfigured` when a column of the key, the sort or the dedupe rule is not in the files or has no order;
    /// `OutOfMemory` when the keys exceed the limit.
    pub fn order(self) -> Result<Shaped> {
        self.pile.order()
    }

    /// Sorts rows that came in no order; what the sort leaves equal is ordered by the primary key, or where there is none
    /// by all columns as they are declared. The same rows come out alike, whatever order and chunks they came in.
    ///
    /// `None` when rows share their primary key: who must say which of them came first puts them into an order before.
    ///
    /// # Errors
    /// As [`Collector::order`], and `Internal` for a column that has no order.
    pub fn order_any(self) -> Result<Option<OrderedRows>> {
        self.pile.order_any()
    }
}

/// Orders chunks that are conformed already; see [`Collector::order`].
///
/// # Errors
/// As [`Collector::order`], and `Internal` for chunks that were not conformed.
pub fn shape(contract: &Contract, chunks: Vec<Chunk>) -> Result<Shaped> {
    let memory = Memory::unlimited();
    shape_within(contract, chunks, &memory)
}

/// The same within a memory limit.
///
/// # Errors
/// As [`shape`].
pub fn shape_within(contract: &Contract, chunks: Vec<Chunk>, memory: &Memory) -> Result<Shaped> {
    let pile = Pile::new(contract, memory)?;
    for (block, chunk) in (0..).zip(chunks) {
        if chunk.batch.num_rows() > 0 {
            pile.add(Position { file: 0, block }, chunk)?;
        }
    }
    pile.order()
}
