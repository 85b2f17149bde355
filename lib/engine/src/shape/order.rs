//! Dedupe and sort: the rows of a window in the order they are written.

use arrow_schema::Schema;
use windrow_core::contract::{DedupePolicy, SortKey};
use windrow_core::{Contract, Error, Result, ViolationReport};

use super::dedupe::{Dropped, find_duplicates, report};
use super::keys::{self, KeyColumn, Keys, Sorted};
use super::memory::Memory;
use super::rows::{OrderedRows, Runs};

/// The rows of a window in their final order, and what was taken out for it.
#[derive(Debug)]
pub struct Shaped {
    /// The rows.
    pub rows: OrderedRows,
    /// The rows taken out for their key: `W0404` under the policy `fail`, `W0409` records otherwise; each is counted as rejected.
    pub duplicates: ViolationReport,
}

/// By which columns a contract's rows are compared, and how far one sort serves both the key and the order.
#[derive(Debug)]
pub(crate) struct Ordering<'a> {
    contract: &'a Contract,
    sort: Vec<SortKey>,
    /// The key's columns as they are sorted by; empty without a key.
    by_key: Vec<SortKey>,
    has_key: bool,
    /// The sort begins with the key's columns, in any order and direction.
    is_one_sort: bool,
    /// Rows come in no order: the sort is made longer, so that it decides as much as a few columns can.
    is_unordered: bool,
}

impl<'a> Ordering<'a> {
    /// # Errors
    /// `Misconfigured` when a column of the sort is not declared.
    pub(crate) fn new(contract: &'a Contract) -> Result<Self> {
        let sort = sort_keys(contract)?;
        let has_key = !contract.primary_key().is_empty();
        let key: Vec<&str> =
            contract.primary_key().into_iter().filter(|property| !property.partitioned).map(|property| &*property.name).collect();
        let head = sort.get(..key.len()).unwrap_or_default();
        let is_one_sort = !key.is_empty()
            && head.len() == key.len()
            && key.iter().all(|name| head.iter().any(|sorted| &*sorted.column == *name));
        let by_key = match is_one_sort {
            true => head.to_vec(),
            false => key.iter().map(|name| SortKey { column: (*name).into(), descending: false }).collect(),
        };
        Ok(Ordering { contract, sort, by_key, has_key, is_one_sort, is_unordered: false })
    }

    /// For rows that come in no order: a sort is followed by the key, and where there is neither the first column decides.
    ///
    /// # Errors
    /// As [`Ordering::new`].
    pub(crate) fn of_unordered(contract: &'a Contract) -> Result<Self> {
        let mut ordering = Ordering { is_unordered: true, ..Ordering::new(contract)? };
        if !ordering.is_one_sort {
            ordering.sort.extend(ordering.by_key.iter().cloned());
        }
        if ordering.sort.is_empty() {
            let first = contract.file_properties().next();
            ordering.sort.extend(first.map(|property| SortKey { column: property.name.clone(), descending: false }));
        }
        Ok(ordering)
    }

    pub(crate) fn is_unordered(&self) -> bool {
        self.is_unordered
    }

    /// The order in which the rows of a chunk stand among themselves.
    pub(crate) fn of_chunk(&self) -> &[SortKey] {
        if self.is_one_sort { &self.by_key } else { &self.sort }
    }

    /// Which columns are looked at for keys.
    pub(crate) fn key_columns(&self, schema: &Schema) -> Vec<bool> {
        let rank = match self.policy() {
            DedupePolicy::LastBy(column) => Some(&**column),
            DedupePolicy::Fail | DedupePolicy::First => None,
        };
        let names: Vec<&str> = self.sort.iter().chain(&self.by_key).map(|key| &*key.column).chain(rank).collect();
        schema.fields().iter().map(|field| names.contains(&field.name().as_str())).collect()
    }

    fn policy(&self) -> &'a DedupePolicy {
        self.contract.dedupe.as_ref().map_or(&DedupePolicy::Fail, |dedupe| &dedupe.policy)
    }

    /// Dedupes and sorts all rows; `None` for rows that stay as they came.
    ///
    /// # Errors
    /// `Misconfigured` for columns without an order, `OutOfMemory` when keys exceed the limit.
    pub(crate) fn order(&self, rows: &mut Runs, memory: &Memory) -> Result<(Option<Vec<u32>>, ViolationReport)> {
        if !self.has_key {
            return Ok((self.sort_rows(rows, None, memory)?, ViolationReport::default()));
        }
        let sorted = sort_all(&self.by_key, rows, memory)?;
        if !sorted.has_ties {
            let order = if self.is_one_sort {
                Some(sorted.rows)
            } else {
                drop(sorted);
                self.sort_rows(rows, None, memory)?
            };
            return Ok((order, ViolationReport::default()));
        }
        // The sort used the keys up; few windows need them again.
        let keys = Keys::new(&columns(&self.by_key, rows)?, rows.len())?;
        let policy = self.policy();
        let rank = match policy {
            DedupePolicy::LastBy(column) => Some(Keys::new(&[rows.key_column(column, false)?], rows.len())?),
            DedupePolicy::Fail | DedupePolicy::First => None,
        };
        let dropped = find_duplicates(&sorted.rows, &keys, rank.as_ref(), rows);
        let duplicates = report(self.contract, policy, &dropped, rows)?;
        if self.is_one_sort {
            return Ok((Some(without(sorted.rows, &dropped, rows.len())), duplicates));
        }
        drop((keys, sorted));
        let kept = without(rows.all(), &dropped, rows.len());
        Ok((self.sort_rows(rows, Some(kept), memory)?, duplicates))
    }

    /// Sorts rows that came in no order, by as many columns as a key or a sort has; with the keys when some are equal in
    /// them. `None` when rows share their primary key: which of them came first is not known.
    ///
    /// # Errors
    /// As [`Ordering::order`].
    pub(crate) fn order_any(&self, rows: &mut Runs, memory: &Memory) -> Result<Option<(Vec<u32>, Option<Keys>)>> {
        if self.has_key && !self.is_one_sort && sort_all(&self.by_key, rows, memory)?.has_ties {
            return Ok(None);
        }
        let sorted = sort_all(self.of_chunk(), rows, memory)?;
        if sorted.has_ties && self.has_key {
            return Ok(None);
        }
        // The sort used the keys up; few windows need them again.
        let keys = sorted.has_ties.then(|| Keys::new(&columns(self.of_chunk(), rows)?, rows.len()));
        Ok(Some((sorted.rows, keys.transpose()?)))
    }

    fn sort_rows(&self, rows: &mut Runs, kept: Option<Vec<u32>>, memory: &Memory) -> Result<Option<Vec<u32>>> {
        if self.sort.is_empty() {
            return Ok(kept);
        }
        let sorted = match kept {
            None => sort_all(&self.sort, rows, memory)?,
            Some(kept) => {
                let (_, best) = make_room(&self.sort, rows, memory)?;
                memory.require(best + rows.held_bytes(), rows.len())?;
                Keys::new(&columns(&self.sort, rows)?, rows.len())?.sort(kept)
            }
        };
        Ok(Some(sorted.rows))
    }
}

/// The declared sort without the partition column, which is the same in every row.
fn sort_keys(contract: &Contract) -> Result<Vec<SortKey>> {
    let partition = contract.partition().map(|property| &property.name);
    if let Some(unknown) = contract.sort.iter().find(|sort| contract.property(&sort.column).is_none()) {
        return Err(Error::misconfigured(format!("the sort column `{}` is not declared", unknown.column))
            .with("contract", &contract.file));
    }
    Ok(contract.sort.iter().filter(|sort| Some(&sort.column) != partition).cloned().collect())
}

fn columns(sort: &[SortKey], rows: &Runs) -> Result<Vec<KeyColumn>> {
    sort.iter().map(|sort| rows.key_column(&sort.column, sort.descending)).collect()
}

/// Sorts all rows, with as much room as there is.
fn sort_all(sort: &[SortKey], rows: &mut Runs, memory: &Memory) -> Result<Sorted> {
    let (least, best) = make_room(sort, rows, memory)?;
    let held = rows.held_bytes();
    memory.require(least + held, rows.len())?;
    let keys = Keys::new(&columns(sort, rows)?, rows.len())?;
    Ok(keys.sort_all(!memory.fits(best + held)))
}

/// Moves columns to disk that are in the way of sorting, and says how much that takes at the least and at best.
fn make_room(sort: &[SortKey], rows: &mut Runs, memory: &Memory) -> Result<(u64, u64)> {
    let (least, best) = keys::estimate(&columns(sort, rows)?, rows.len());
    if !memory.fits(best + rows.held_bytes()) {
        rows.spill(memory)?;
    }
    Ok((least, best))
}

fn without(mut order: Vec<u32>, dropped: &[Dropped], rows: usize) -> Vec<u32> {
    if dropped.is_empty() {
        return order;
    }
    let mut gone = vec![false; rows];
    for Dropped { row, .. } in dropped {
        gone.get_mut(*row as usize).into_iter().for_each(|slot| *slot = true);
    }
    order.retain(|row| gone.get(*row as usize) == Some(&false));
    order
}
