//! One row per primary key: which rows go, and the report that names both lines.

use std::sync::Arc;

use rayon::prelude::*;
use windrow_core::contract::{DedupePolicy, Property};
use windrow_core::{Code, Contract, Place, Result, Violation, ViolationReport};

use super::keys::Keys;
use super::rows::Runs;
use crate::text::{MASK, may_be_shown, value_text};

/// A dropped row and the row with the same key that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dropped {
    pub(crate) row: u32,
    pub(crate) kept: u32,
}

/// Finds the rows to drop, in row order, from rows sorted by key; `rank` orders the rows of one key for [`DedupePolicy::LastBy`].
pub(crate) fn find_duplicates(sorted: &[u32], keys: &Keys, rank: Option<&Keys>, rows: &Runs) -> Vec<Dropped> {
    let mut dropped = Vec::new();
    for group in sorted.chunk_by(|a, b| keys.compare(*a, *b).is_eq()).filter(|group| group.len() > 1) {
        // Runs may be sorted by other columns than these: only the original order tells which row came first.
        let mut group = group.to_vec();
        group.sort_by_key(|row| rows.original(*row));
        let kept = match rank {
            None => group.first(),
            // `max_by` answers the last of equals.
            Some(rank) => group.iter().max_by(|a, b| rank.compare(**a, **b)),
        };
        let Some(kept) = kept.copied() else { continue };
        dropped.extend(group.iter().filter(|row| **row != kept).map(|row| Dropped { row: *row, kept }));
    }
    dropped.par_sort_by_cached_key(|dropped| rows.original(dropped.row));
    dropped
}

/// Reports the dropped rows, each counted as one rejected row.
pub(crate) fn report(contract: &Contract, policy: &DedupePolicy, dropped: &[Dropped], rows: &Runs) -> Result<ViolationReport> {
    let key: Vec<&Property> = contract.primary_key().into_iter().filter(|property| !property.partitioned).collect();
    let code = if *policy == DedupePolicy::Fail { Code::DuplicateKey } else { Code::DuplicateDropped };
    let quote = contract.quote(quoted_place(contract, &key));
    let names: Arc<str> = key.iter().map(|property| &*property.name).collect::<Vec<_>>().join(", ").into();
    let mut report = ViolationReport::default();
    for Dropped { row, kept } in dropped {
        let (file, line) = rows.origin(*row);
        let (kept_file, kept_line) = rows.origin(*kept);
        let place = if file == kept_file { format!("line {kept_line}") } else { format!("{kept_file}:{kept_line}") };
        let expected = match policy {
            DedupePolicy::Fail => format!("expected one row per key; {place} has the same key"),
            DedupePolicy::First => format!("kept the first row, {place}"),
            DedupePolicy::LastBy(column) => format!("kept the row with the greatest `{column}`, {place}"),
        };
        report.push(Violation {
            line,
            column: Some(names.clone()),
            value: Some(key_text(&key, *row, rows)?),
            contract: Some(quote.clone()),
            ..Violation::of_file(code, file, expected)
        });
        report.count_rejected_rows(1);
    }
    Ok(report)
}

fn quoted_place<'a>(contract: &'a Contract, key: &[&'a Property]) -> &'a Place {
    let declared = contract.dedupe.as_ref().map(|dedupe| &dedupe.place);
    declared.or_else(|| key.first().map(|property| &property.place)).unwrap_or(&contract.window.place)
}

fn key_text(key: &[&Property], row: u32, rows: &Runs) -> Result<String> {
    let part = |property: &&Property| -> Result<String> {
        if !may_be_shown(property) {
            return Ok(MASK.to_owned());
        }
        let value = rows.value(row, &property.name, |array, row| value_text(array, row))?;
        Ok(value.unwrap_or_else(|| "null".to_owned()))
    };
    let text = key.iter().map(part).collect::<Result<Vec<_>>>()?.join(", ");
    let end = text.floor_char_boundary(windrow_core::violation::MAX_VALUE_BYTES.min(text.len()));
    Ok(text.get(..end).unwrap_or_default().to_owned())
}
