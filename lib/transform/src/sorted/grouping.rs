//! A grouping by the column its rows are in the order of: neighbours of one key are one row before the engine groups.
//!
//! ```text
//! rows ─▶ SELECT key, what is summed, … ─▶ [collapse: a row for each run of a key, in each batch] ─▶ GROUP BY key in order
//! ```
//!
//! A key whose rows lie in two batches has two rows after that, which the engine adds up.

use polars::polars_utils::arena::{Arena, Node};
use polars::prelude::{DataFrame, DataType, Field, IDX_DTYPE, PlSmallStr, PolarsResult, Schema};
use polars_plan::plans::expr_ir::{ExprIR, OutputName};
use polars_plan::plans::{
    AExpr, ArenaExprIter, FunctionIR, HintIR, IR, IRAggExpr, IRPlan, IRPlanSorted, Sorted, ToFieldContext, is_elementwise_rec,
};
use std::sync::Arc;

use super::collapse::{self, Fold, Part};

/// Rewrites a grouping whose rows are in the order of its key; leaves every other node as it is.
///
/// # Errors
/// Those of polars when an expression has no type.
pub(super) fn by_runs(plan: &mut IRPlan, node: Node) -> PolarsResult<()> {
    let Some((input, key)) = sorted_key(plan, node) else { return Ok(()) };
    let schema = plan.lp_arena.get(input).schema(&plan.lp_arena).into_owned();
    let IR::GroupBy { aggs, .. } = plan.lp_arena.get(node) else { return Ok(()) };
    let mut splitting = Splitting { schema: &schema, arena: &mut plan.expr_arena, inputs: Vec::new(), parts: Vec::new() };
    let split: Option<Vec<Node>> = aggs.iter().map(|whole| splitting.split(whole.node())).collect();
    let Splitting { inputs, parts, .. } = splitting;
    let collapsed = match &split {
        Some(_) => Some(collapsed(plan, input, &key, (&inputs, parts))?),
        None => None,
    };
    let IR::GroupBy { input, aggs, maintain_order, .. } = plan.lp_arena.get_mut(node) else { return Ok(()) };
    *maintain_order = true;
    if let (Some(split), Some(collapsed)) = (split, collapsed) {
        *input = collapsed;
        aggs.iter_mut().zip(split).for_each(|(whole, split)| whole.set_node(split));
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
            AExpr::Agg(IRAggExpr::Count { input, include_nulls }) if is_elementwise_rec(*input, self.arena) => {
                let fold = if *include_nulls { Fold::Rows } else { Fold::Values };
                return self.sum_of(fold, (fold == Fold::Values).then_some(*input));
            }
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

    /// The number of what is computed of each row.
    fn input(&mut self, fold: Fold, node: Node) -> Option<usize> {
        let data_type = self.arena.get(node).to_dtype(&ToFieldContext::new(self.arena, self.schema)).ok()?;
        let mut leaves = self.arena.iter(node);
        let has_column = leaves.any(|(_, leaf)| matches!(leaf, AExpr::Column(_)));
        if !has_column || !is_elementwise_rec(node, self.arena) || !fold.takes(&data_type) {
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
fn collapsed(plan: &mut IRPlan, input: Node, key: &PlSmallStr, (inputs, parts): (&[Node], Vec<Part>)) -> PolarsResult<Node> {
    let schema = plan.lp_arena.get(input).schema(&plan.lp_arena).into_owned();
    let key_node = plan.expr_arena.add(AExpr::Column(key.clone()));
    let mut selected = vec![ExprIR::new(key_node, OutputName::ColumnLhs(key.clone()))];
    selected.extend((0..).zip(inputs).map(|(index, node)| ExprIR::new(*node, OutputName::Alias(collapse::input_name(index)))));
    let fields = selected.iter().map(|expression| -> PolarsResult<Field> {
        let data_type = plan.expr_arena.get(expression.node()).to_dtype(&ToFieldContext::new(&plan.expr_arena, &schema))?;
        Ok(Field::new(expression.output_name().clone(), data_type))
    });
    let rows: Schema = fields.collect::<PolarsResult<Vec<_>>>()?.into_iter().collect();
    let runs = Arc::new(runs_schema(&rows, &parts));
    let select = IR::Select { input, expr: selected, schema: Arc::new(rows), options: Default::default() };
    let select = plan.lp_arena.add(select);
    let name = key.clone();
    let collapse = FunctionIR::Opaque {
        function: Arc::new(move |frame: DataFrame| collapse::collapse(&frame, &name, &parts)),
        schema: Some(Arc::new(move |_: &Schema| Ok(runs.clone()))),
        predicate_pd: false,
        projection_pd: false,
        streamable: true,
        fmt_str: "key runs".into(),
    };
    let collapse = plan.lp_arena.add(IR::MapFunction { input: select, function: collapse });
    let ascending = Sorted { column: key.clone(), descending: Some(false), nulls_last: Some(false) };
    let hint = FunctionIR::Hint(HintIR::Sorted(Arc::new([ascending])));
    Ok(plan.lp_arena.add(IR::MapFunction { input: collapse, function: hint }))
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
