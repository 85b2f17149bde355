//! Tables that are read in the order of their rows: what a sort in a contract is worth to SQL.
//!
//! ```text
//! plan ─▶ [footers: which scans are in order] ─▶ [proof and hint above each] ─▶ [groupings of runs] ─▶ engine: merge joins, sorted groupings
//! ```
//!
//! The engine joins two tables that are in the order of their keys by merging them, and groups such a table run by run, without a
//! hash table; the result comes in that order. It takes a hint at its word, so every batch of such a table is looked at as it is
//! read (`proof`). Invariant: rows and values are those of the plan without hints.

mod collapse;
mod footer;
mod grouping;
mod proof;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use polars::polars_utils::arena::Node;
use polars::prelude::{DataType, PlSmallStr, PolarsResult, Schema};
use polars_plan::dsl::ScanSources;
use polars_plan::plans::{FunctionIR, HintIR, IR, IRPlan, Sorted};

use crate::step::add_step;
use proof::Proof;
pub(crate) use proof::Proofs;

/// Lets a plan that was optimised make use of the order of its files, where its groupings and joins can.
///
/// # Errors
/// Those of polars when an expression has no type.
pub(crate) fn use_order(plan: &mut IRPlan) -> PolarsResult<Proofs> {
    let nodes = below_first(plan);
    let mut proofs = Proofs::default();
    if !nodes.iter().any(|node| matches!(plan.lp_arena.get(*node), IR::GroupBy { .. } | IR::Join { .. })) {
        return Ok(proofs);
    }
    for node in &nodes {
        if let Some((column, files)) = sorted_scan(plan.lp_arena.get(*node)) {
            proofs.push(hint(plan, *node, &column, files));
        }
    }
    if !proofs.is_empty() {
        nodes.iter().try_for_each(|node| grouping::by_runs(plan, *node))?;
    }
    Ok(proofs)
}

/// The nodes of a plan, inputs before what reads them; where a node is read twice, before one of its readers at least.
pub(crate) fn below_first(plan: &IRPlan) -> Vec<Node> {
    let (mut stack, mut seen, mut found) = (vec![plan.lp_top], HashSet::new(), Vec::new());
    while let Some(node) = stack.pop() {
        if seen.insert(node.0) {
            found.push(node);
            stack.extend(plan.lp_arena.get(node).inputs());
        }
    }
    found.reverse();
    found
}

/// The column that the rows of a scan are in the order of, and its files.
fn sorted_scan(node: &IR) -> Option<(String, Vec<PathBuf>)> {
    let IR::Scan { sources: ScanSources::Paths(paths), file_info, output_schema, .. } = node else { return None };
    let files: Vec<PathBuf> = paths.iter().map(|path| PathBuf::from(path.as_str())).collect();
    let read: &Schema = output_schema.as_deref().unwrap_or(&file_info.schema);
    let column = footer::sorted_by(&files)?;
    read.get(&column).is_some_and(is_followed).then_some((column, files))
}

/// The types whose order is followed: integers, and what is stored as one.
fn is_followed(data_type: &DataType) -> bool {
    use DataType as D;
    matches!(data_type, D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Date | D::Datetime(..))
}

/// Puts the proof of its order and the hint above a scan, in its place.
fn hint(plan: &mut IRPlan, scan: Node, column: &str, files: Vec<PathBuf>) -> Arc<Proof> {
    let proof = Arc::new(Proof::new(column, files));
    let moved = plan.lp_arena.get(scan).clone();
    let moved = plan.lp_arena.add(moved);
    let looking = proof.clone();
    let looked_at = add_step(plan, ("file order", moved), None, move |frame| looking.look(frame));
    plan.lp_arena.replace(scan, in_order(looked_at, column.into()));
    proof
}

/// Tells polars that rows are in ascending order of a column without nulls.
fn in_order(input: Node, column: PlSmallStr) -> IR {
    let ascending = Sorted { column, descending: Some(false), nulls_last: Some(false) };
    IR::MapFunction { input, function: FunctionIR::Hint(HintIR::Sorted(Arc::new([ascending]))) }
}
