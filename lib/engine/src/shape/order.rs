//! Dedupe and sort: the rows of a window in the order they are written.

use std::sync::Arc;

use arrow_array::RecordBatch;
use windrow_core::contract::{DedupePolicy, SortKey};
use windrow_core::{Contract, Error, Result, ViolationReport};

use super::dedupe::{Dropped, find_duplicates, report};
use super::keys::Keys;
use super::rows::RowMap;
use crate::chunk::Chunk;
use crate::schema::file_schema;

/// The rows of a window as they are written.
#[derive(Debug)]
pub struct Shaped {
    /// Sorted batches of about 64 Ki rows with exactly the file schema; empty when there is no row.
    pub batches: Vec<RecordBatch>,
    /// The rows taken out for their key: `W0404` under the policy `fail`, `W0409` records otherwise; each is counted as rejected.
    pub duplicates: ViolationReport,
    /// How many rows the batches have.
    pub rows: u64,
}

/// Dedupes conformed chunks by primary key and sorts them.
///
/// A primary key without a dedupe rule is held to be unique (policy `fail`). Nulls sort first, ties keep file and line order, and
/// without a sort order rows stay as they came: the result does not depend on the number of threads. Of duplicates under `fail` the
/// first row stays, so that diverting the rest leaves a table with unique keys.
///
/// # Errors
/// `Misconfigured` when a column of the key, the sort or the dedupe rule is not in the files; `Internal` for chunks that were not conformed.
pub fn shape(contract: &Contract, chunks: Vec<Chunk>) -> Result<Shaped> {
    let schema = Arc::new(file_schema(contract));
    if chunks.iter().any(|chunk| chunk.batch.schema_ref().fields() != schema.fields()) {
        return Err(Error::internal("chunks were not conformed to the contract").with("table", &contract.table));
    }
    let rows = RowMap::new(&chunks)?;
    let (order, duplicates) = order_rows(contract, &rows)?;
    let batches = rows.gather(&order, &schema)?;
    Ok(Shaped { batches, duplicates, rows: order.len() as u64 })
}

fn order_rows(contract: &Contract, rows: &RowMap<'_>) -> Result<(Vec<u32>, ViolationReport)> {
    let sort = sort_keys(contract)?;
    let key: Vec<&str> =
        contract.primary_key().into_iter().filter(|property| !property.partitioned).map(|property| &*property.name).collect();
    if contract.primary_key().is_empty() {
        return Ok((sort_rows(&sort, rows, rows.all())?, ViolationReport::default()));
    }
    // Where the sort begins with the key's columns, in any order and direction, one sort serves both.
    let head = sort.get(..key.len()).unwrap_or_default();
    let one_sort =
        !key.is_empty() && head.len() == key.len() && key.iter().all(|name| head.iter().any(|sorted| &*sorted.column == *name));
    let by_key: Vec<SortKey> = match one_sort {
        true => head.to_vec(),
        false => key.iter().map(|name| SortKey { column: (*name).into(), descending: false }).collect(),
    };
    let keys = keys_of(&by_key, rows)?;
    let sorted = keys.sort(rows.all());
    let policy = contract.dedupe.as_ref().map_or(&DedupePolicy::Fail, |dedupe| &dedupe.policy);
    let rank = match policy {
        DedupePolicy::LastBy(column) => Some(Keys::new(&[rows.key_column(column, false)?], rows.len())?),
        DedupePolicy::Fail | DedupePolicy::First => None,
    };
    let dropped = find_duplicates(&sorted, &keys, rank.as_ref());
    let duplicates = report(contract, policy, &dropped, rows);
    if one_sort {
        return Ok((without(sorted, &dropped, rows.len()), duplicates));
    }
    drop((keys, sorted));
    let kept = without(rows.all(), &dropped, rows.len());
    Ok((sort_rows(&sort, rows, kept)?, duplicates))
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

fn keys_of(sort: &[SortKey], rows: &RowMap<'_>) -> Result<Keys> {
    let columns = sort.iter().map(|sort| rows.key_column(&sort.column, sort.descending)).collect::<Result<Vec<_>>>()?;
    Keys::new(&columns, rows.len())
}

fn sort_rows(sort: &[SortKey], rows: &RowMap<'_>, order: Vec<u32>) -> Result<Vec<u32>> {
    if sort.is_empty() { Ok(order) } else { Ok(keys_of(sort, rows)?.sort(order)) }
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
