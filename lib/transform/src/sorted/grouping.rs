//! A grouping by the column its rows are in the order of: neighbours of one key are one row before the engine groups.
//!
//! ```text
//! rows ─▶ SELECT key, what is summed, … ─▶ [collapse: a row for each run of a key, in each batch] ─▶ GROUP BY key in order
//! ```
//!
//! A key whose rows lie in two batches has two rows after that, which the engine adds up.

use std::sync::Arc;

use polars::polars_utils::arena::{Arena, Node};
use polars::prelude::{DataType, Field, IDX_DTYPE, PlSmallStr, PolarsResult, Schema};
use polars_plan::plans::expr_ir::{ExprIR, OutputName};
use polars_plan::plans::{AExpr, ArenaExprIter, IR, IRAggExpr, IRPlan, IRPlanSorted, ToFieldContext, is_elementwise_rec};

use super::collapse::{self, Fold, Part};
use super::in_order;
use crate::step::add_step;

/// Rewrites a grouping whose rows are in the order of its key; leaves every other node as it is.
///
/// # Errors
/// Those of polars when an expression has no type.
pub(super) fn by_runs(plan: &mut IRPlan, node: Node) -> PolarsResult<()> {
    let Some((input, key)) = sorted_key(plan, node) else { return Ok(()) };
    let schema = plan.lp_arena.get(input).schema(&plan.lp_arena).into_owned();
    // The result comes in the order of the key, and says so.
    let IR::GroupBy { aggs, maintain_order, .. } = plan.lp_arena.get_mut(node) else { return Ok(()) };
    *maintain_order = true;
    let mut splitting = Splitting { schema: &schema, arena: &mut plan.expr_arena, inputs: Vec::new(), parts: Vec::new() };
    let split: Option<Vec<Node>> = aggs.iter().map(|whole| splitting.split(whole.node())).collect();
    let Some(split) = split else { return Ok(()) };
    aggs.iter_mut().zip(split).for_each(|(whole, split)| whole.set_node(split));
    let Splitting { inputs, parts, .. } = splitting;
    let collapsed = collapsed(plan, (input, &schema), key, (&inputs, parts))?;
    if let IR::GroupBy { input, .. } = plan.lp_arena.get_mut(node) {
        *input = collapsed;
    }
    Ok(())
}

/// The input of a grouping by one column, when it is in ascending order of that column.
fn sorted_key(plan: &IRPlan, node: Node) -> Option<(Node, PlSmallStr)> {
    let IR::GroupBy { input, keys, apply: None, options, .. } = plan.lp_arena.get(node) else { return None };
    let [key] = keys.as_slice() else { return None };
    let AExpr::Column(name) = plan.expr_arena.get(key.node()) else { return None };
    if options.is_rolling() || options.is_dynamic() || options.slice.is_some() || key.output_name() != name {
        return None;
    }
    let order = IRPlanSorted::resolve(*input, &plan.lp_arena, &plan.expr_arena);
    let first = order.get(*input)?.0.first()?;
    (first.column == *name && first.descending == Some(false)).then(|| (*input, name.clone()))
}

/// Splits aggregates into what is computed of each run and what is made of the runs of a key.
struct Splitting<'a> {
    schema: &'a Schema,
    arena: &'a mut Arena<AExpr>,
    /// What is computed of each row.
    inputs: Vec<Node>,
    parts: Vec<Part>,
}

impl Splitting<'_> {
    /// The same expression over the results of the runs; `None` for one that is not made of sums, counts and extremes.
    fn split(&mut self, node: Node) -> Option<Node> {
        let expression = self.arena.get(node).clone();
        match &expression {
            AExpr::Literal(_) => return Some(node),
            AExpr::Len => return self.sum_of(Fold::Rows, None),
            AExpr::Agg(IRAggExpr::Count { input, include_nulls: true }) if self.is_of_each_row(*input) => {
                return self.sum_of(Fold::Rows, None);
            }
            AExpr::Agg(IRAggExpr::Count { input, include_nulls: false }) => return self.sum_of(Fold::Values, Some(*input)),
            AExpr::Agg(IRAggExpr::Sum(input)) => return self.sum_of(Fold::Sum, Some(*input)),
            AExpr::Agg(IRAggExpr::Min { input, propagate_nans }) => {
                let (column, propagate_nans) = (self.part(Fold::Least, Some(*input))?, *propagate_nans);
                return Some(self.arena.add(AExpr::Agg(IRAggExpr::Min { input: column, propagate_nans })));
            }
            AExpr::Agg(IRAggExpr::Max { input, propagate_nans }) => {
                let (column, propagate_nans) = (self.part(Fold::Greatest, Some(*input))?, *propagate_nans);
                return Some(self.arena.add(AExpr::Agg(IRAggExpr::Max { input: column, propagate_nans })));
            }
            AExpr::BinaryExpr { .. } | AExpr::Cast { .. } | AExpr::Ternary { .. } => {}
            _ => return None,
        }
        let mut children = Vec::new();
        expression.children_rev(&mut children);
        children.reverse();
        let children = children.into_iter().map(|child| self.split(child)).collect::<Option<Vec<_>>>()?;
        Some(self.arena.add(expression.replace_children(&children)))
    }

    fn sum_of(&mut self, fold: Fold, input: Option<Node>) -> Option<Node> {
        let column = self.part(fold, input)?;
        Some(self.arena.add(AExpr::Agg(IRAggExpr::Sum(column))))
    }

    /// The column that will hold the result of every run.
    fn part(&mut self, fold: Fold, input: Option<Node>) -> Option<Node> {
        let input = match input {
            Some(input) => Some(self.input(fold, input)?),
            None => None,
        };
        let known = self.parts.iter().position(|part| part.fold == fold && part.input == input);
        let index = known.unwrap_or_else(|| {
            self.parts.push(Part { fold, input });
            self.parts.len() - 1
        });
        Some(self.arena.add(AExpr::Column(collapse::part_name(index))))
    }

    /// Tells whether an expression has a value for each row: one of literals alone has a single one.
    fn is_of_each_row(&self, node: Node) -> bool {
        self.arena.iter(node).any(|(_, leaf)| matches!(leaf, AExpr::Column(_))) && is_elementwise_rec(node, self.arena)
    }

    /// The number of what is computed of each row.
    fn input(&mut self, fold: Fold, node: Node) -> Option<usize> {
        let data_type = self.arena.get(node).to_dtype(&ToFieldContext::new(self.arena, self.schema)).ok()?;
        if !self.is_of_each_row(node) || !fold.takes(&data_type) {
            return None;
        }
        let arena = &*self.arena;
        let same = |known: &Node| *known == node || arena.get(*known).is_expr_equal_to(arena.get(node), arena);
        Some(self.inputs.iter().position(same).unwrap_or_else(|| {
            self.inputs.push(node);
            self.inputs.len() - 1
        }))
    }
}

/// The nodes between the rows and the grouping.
fn collapsed(
    plan: &mut IRPlan,
    (input, schema): (Node, &Schema),
    key: PlSmallStr,
    (inputs, parts): (&[Node], Vec<Part>),
) -> PolarsResult<Node> {
    let key_node = plan.expr_arena.add(AExpr::Column(key.clone()));
    let mut selected = vec![ExprIR::new(key_node, OutputName::ColumnLhs(key.clone()))];
    selected.extend((0..).zip(inputs).map(|(index, node)| ExprIR::new(*node, OutputName::Alias(collapse::input_name(index)))));
    let fields = selected.iter().map(|expression| -> PolarsResult<Field> {
        let data_type = plan.expr_arena.get(expression.node()).to_dtype(&ToFieldContext::new(&plan.expr_arena, schema))?;
        Ok(Field::new(expression.output_name().clone(), data_type))
    });
    let rows: Schema = fields.collect::<PolarsResult<Vec<_>>>()?.into_iter().collect();
    let runs = runs_schema(&rows, &parts);
    let select = IR::Select { input, expr: selected, schema: Arc::new(rows), options: Default::default() };
    let select = plan.lp_arena.add(select);
    let name = key.clone();
    let collapse = move |frame| collapse::collapse(&frame, &name, &parts);
    let collapsed = add_step(plan, ("key runs", select), Some(runs), collapse);
    Ok(plan.lp_arena.add(in_order(collapsed, key)))
}

/// The key first, then a column for each part.
fn runs_schema(rows: &Schema, parts: &[Part]) -> Schema {
    let key = rows.iter().take(1).map(|(name, data_type)| (name.clone(), data_type.clone()));
    let type_of = |part: &Part| match part.input.and_then(|input| rows.get_at_index(input + 1)) {
        Some((_, data_type)) => part.fold.result(data_type),
        None => IDX_DTYPE,
    };
    let parts = (0..).zip(parts).map(|(index, part)| (collapse::part_name(index), type_of(part)));
    key.chain(parts).map(|(name, data_type): (PlSmallStr, DataType)| Field::new(name, data_type)).collect()
}
