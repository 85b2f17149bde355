//! Overflow guards: what makes integer arithmetic and sums fail where polars would wrap around.
//!
//! polars multiplies an Int8 column by 100 in 8 bits, and sums 64-bit integers and decimals without looking. The guards
//! are put into the plan after it was optimised: integer arithmetic is done in 128 bits and cast back strictly, decimal
//! arithmetic by `decimal`, and where polars casts to a common type what does not fit is an error and no null. Decimals are
//! looked at on their way into a sum; when one is so large that a sum could leave 38 digits, the plan runs again with a sum
//! of floats beside every sum, whose strict cast fails where that happens.

use std::collections::HashSet;
use std::sync::Arc;

use polars::chunked_array::cast::CastOptions;
use polars::polars_utils::arena::{Arena, Node};
use polars::prelude::{AnyValue, DataType, PolarsError, Scalar, Schema};
use polars_plan::dsl::Operator;
use polars_plan::plans::{AExpr, IR, IRAggExpr, IRFunctionExpr, IRPlan, LiteralValue, ToFieldContext, is_scalar_ae};

use crate::decimal::{self, HasLarge, MOST_DIGITS, SUMMED_DIGITS};

/// How the sums of decimals are kept within 38 digits.
#[derive(Clone, Debug)]
pub(crate) enum Sums {
    /// Large numbers are only noticed.
    Watched(HasLarge),
    /// Each sum is computed a second time, as a float.
    Doubled,
}

/// Puts guards on every arithmetic expression and sum of a plan.
///
/// # Errors
/// Those of polars when an expression has no type.
pub(crate) fn guard(plan: &mut IRPlan, sums: &Sums) -> Result<(), PolarsError> {
    let mut seen = HashSet::new();
    for (roots, schema) in expressions(plan) {
        for root in roots {
            guard_tree(root, &schema, &mut plan.expr_arena, (sums, &mut seen))?;
        }
    }
    Ok(())
}

/// The expressions of every plan node, with the schema they read.
pub(crate) fn expressions(plan: &IRPlan) -> Vec<(Vec<Node>, Arc<Schema>)> {
    let mut found = Vec::new();
    let mut stack = vec![plan.lp_top];
    let mut seen = HashSet::new();
    while let Some(node) = stack.pop() {
        if !seen.insert(node.0) {
            continue;
        }
        let ir = plan.lp_arena.get(node);
        let inputs: Vec<Node> = ir.inputs().collect();
        match ir {
            IR::Join { left_on, right_on, input_left, input_right, .. } => {
                found.push((left_on.iter().map(|key| key.node()).collect(), schema_of(plan, *input_left)));
                found.push((right_on.iter().map(|key| key.node()).collect(), schema_of(plan, *input_right)));
            }
            _ => {
                let schema = inputs.first().map_or_else(|| schema_of(plan, node), |input| schema_of(plan, *input));
                found.push((ir.exprs().map(|expression| expression.node()).collect(), schema));
            }
        }
        stack.extend(inputs);
    }
    found
}

/// Tells whether a plan computes a value over all rows of something, and has steps after that. What is computed last is
/// all asked for.
pub(crate) fn has_total(plan: &IRPlan) -> bool {
    let mut stack: Vec<Node> = plan.lp_arena.get(plan.lp_top).inputs().collect();
    let mut seen = HashSet::new();
    while let Some(node) = stack.pop() {
        let ir = plan.lp_arena.get(node);
        if seen.insert(node.0) {
            stack.extend(ir.inputs());
            if matches!(ir, IR::Select { .. }) && ir.exprs().any(|expression| is_total(expression.node(), &plan.expr_arena)) {
                return true;
            }
        }
    }
    false
}

/// One value whatever the rows, made of more than literals.
fn is_total(root: Node, arena: &Arena<AExpr>) -> bool {
    let mut stack = vec![root];
    let mut looks_at_rows = false;
    while let Some(node) = stack.pop().filter(|_| !looks_at_rows) {
        let expression = arena.get(node);
        looks_at_rows = matches!(expression, AExpr::Column(_) | AExpr::Len | AExpr::Agg(_));
        expression.children_rev(&mut stack);
    }
    looks_at_rows && is_scalar_ae(root, arena)
}

fn schema_of(plan: &IRPlan, node: Node) -> Arc<Schema> {
    plan.lp_arena.get(node).schema(&plan.lp_arena).into_owned()
}

/// Children first, so that a guarded child is typed as before.
fn guard_tree(
    node: Node,
    schema: &Schema,
    arena: &mut Arena<AExpr>,
    (sums, seen): (&Sums, &mut HashSet<usize>),
) -> Result<(), PolarsError> {
    if !seen.insert(node.0) {
        return Ok(());
    }
    if let Some(fused) = decimal::fused(node, schema, arena) {
        arena.replace(node, fused);
        return Ok(());
    }
    let mut children = Vec::new();
    arena.get(node).children_rev(&mut children);
    for child in children {
        guard_tree(child, schema, arena, (sums, seen))?;
    }
    let guarded = match *arena.get(node) {
        AExpr::BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus | Operator::Multiply), right } => {
            guarded_arithmetic((left, op, right), type_of(node, schema, arena)?, schema, arena)?
        }
        AExpr::Function { function: IRFunctionExpr::CumSum { .. }, .. } => guarded_running_sum(node, schema, arena)?,
        AExpr::Cast { expr, dtype: ref dtype @ DataType::Decimal(MOST_DIGITS, _), options: CastOptions::NonStrict } => {
            let source = type_of(expr, schema, arena)?;
            (source.is_integer() || source.is_decimal()).then(|| cast(expr, dtype.clone()))
        }
        AExpr::Agg(IRAggExpr::Sum(input)) => guarded_sum(input, (type_of(node, schema, arena)?, sums), schema, arena)?,
        _ => None,
    };
    if let Some(guarded) = guarded {
        arena.replace(node, guarded);
    }
    Ok(())
}

fn guarded_arithmetic(
    (left, op, right): (Node, Operator, Node),
    result: DataType,
    schema: &Schema,
    arena: &mut Arena<AExpr>,
) -> Result<Option<AExpr>, PolarsError> {
    let operands = [type_of(left, schema, arena)?, type_of(right, schema, arena)?];
    let narrow = |data_type: &DataType| data_type.is_integer() && !matches!(data_type, DataType::Int128 | DataType::UInt128);
    if !narrow(&result) || !operands.iter().all(narrow) {
        return Ok(None);
    }
    let left = arena.add(cast(left, DataType::Int128));
    let right = arena.add(cast(right, DataType::Int128));
    let wide = arena.add(AExpr::BinaryExpr { left, op, right });
    Ok(Some(cast(wide, result)))
}

/// `sum(x) OVER (ORDER BY y)` is a running sum.
fn guarded_running_sum(node: Node, schema: &Schema, arena: &mut Arena<AExpr>) -> Result<Option<AExpr>, PolarsError> {
    let result = type_of(node, schema, arena)?;
    let mut wide = arena.get(node).clone();
    let AExpr::Function { input, .. } = &mut wide else { return Ok(None) };
    let Some(first) = input.first_mut().filter(|_| result.is_integer()) else { return Ok(None) };
    let argument = arena.add(cast(first.node(), DataType::Int128));
    first.set_node(argument);
    Ok(Some(cast(arena.add(wide), result)))
}

fn guarded_sum(
    input: Node,
    (result, sums): (DataType, &Sums),
    schema: &Schema,
    arena: &mut Arena<AExpr>,
) -> Result<Option<AExpr>, PolarsError> {
    let input_type = type_of(input, schema, arena)?;
    if result.is_integer() && input_type.is_integer() && !matches!(input_type, DataType::Int128 | DataType::UInt128) {
        let wide = arena.add(cast(input, DataType::Int128));
        let sum = arena.add(AExpr::Agg(IRAggExpr::Sum(wide)));
        return Ok(Some(cast(sum, result)));
    }
    let (DataType::Decimal(digits, _), DataType::Decimal(precision, scale)) = (&input_type, &result) else {
        return Ok(None);
    };
    if *digits <= SUMMED_DIGITS as usize {
        return Ok(None);
    }
    if let Sums::Watched(has_large) = sums {
        let watched = decimal::watched(input, &input_type, has_large, arena);
        return Ok(watched.map(|input| AExpr::Agg(IRAggExpr::Sum(input))));
    }
    let exact = arena.add(AExpr::Agg(IRAggExpr::Sum(input)));
    let float = arena.add(cast(input, DataType::Float64));
    let float_sum = arena.add(AExpr::Agg(IRAggExpr::Sum(float)));
    let shadow = arena.add(cast(float_sum, result.clone()));
    let zero = Scalar::new(result.clone(), AnyValue::Decimal(0, *precision, *scale));
    let zero = arena.add(AExpr::Literal(LiteralValue::Scalar(zero)));
    let nothing = arena.add(AExpr::BinaryExpr { left: shadow, op: Operator::Multiply, right: zero });
    Ok(Some(AExpr::BinaryExpr { left: exact, op: Operator::Plus, right: nothing }))
}

fn cast(expr: Node, dtype: DataType) -> AExpr {
    AExpr::Cast { expr, dtype, options: CastOptions::Strict }
}

fn type_of(node: Node, schema: &Schema, arena: &Arena<AExpr>) -> Result<DataType, PolarsError> {
    arena.get(node).to_dtype(&ToFieldContext::new(arena, schema))?.materialize_unknown(true)
}
