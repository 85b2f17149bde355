//! Overflow guards: what makes integer arithmetic and sums fail where polars would wrap around.
//!
//! polars multiplies an Int8 column by 100 in 8 bits, and sums 64-bit integers and decimals without looking. The guards
//! are put into the plan after it was optimised: integer arithmetic is done in 128 bits and cast back strictly, decimal
//! arithmetic by `decimal`, and where polars casts to a common type what does not fit is an error and no null. Decimals are
//! looked at on their way into a sum; when one is so large that a sum could leave 38 digits, the plan runs again with a sum
//! of floats beside every sum, whose strict cast fails where that happens. Of the two counts polars takes to tell whether a
//! sum is of anything, one remains.

use std::collections::HashSet;
use std::sync::Arc;

use polars::chunked_array::cast::CastOptions;
use polars::polars_utils::arena::{Arena, Node};
use polars::prelude::{AnyValue, DataType, IdxSize, PolarsError, Scalar, Schema};
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
    let sum_or_null = sum_or_null(node, arena);
    let mut children = Vec::new();
    arena.get(node).children_rev(&mut children);
    for child in children {
        guard_tree(child, schema, arena, (sums, seen))?;
    }
    if let Some((predicate, sum)) = sum_or_null
        && let Some(summed) = summed(sum, arena)
    {
        let has_any = has_any_value(summed, arena);
        arena.replace(predicate, has_any);
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

/// A sum of nothing is null: what SQL's `SUM` is lowered to, `CASE WHEN null_count(x) < len(x) THEN sum(x) END`. Gives the
/// condition and the sum.
fn sum_or_null(node: Node, arena: &Arena<AExpr>) -> Option<(Node, Node)> {
    let AExpr::Ternary { predicate, truthy, .. } = *arena.get(node) else { return None };
    let AExpr::BinaryExpr { left, op: Operator::Lt, right } = arena.get(predicate) else { return None };
    let AExpr::Function { input: nulls, function: IRFunctionExpr::NullCount, .. } = arena.get(*left) else { return None };
    let AExpr::Agg(IRAggExpr::Count { input: all, include_nulls: true }) = arena.get(*right) else { return None };
    let AExpr::Agg(IRAggExpr::Sum(summed)) = arena.get(truthy) else { return None };
    let summed = arena.get(*summed);
    let is_summed = |other: Node| arena.get(other).is_expr_equal_to(summed, arena);
    (is_summed(nulls.first()?.node()) && is_summed(*all)).then_some((predicate, truthy))
}

/// What a guarded sum sums up.
fn summed(sum: Node, arena: &Arena<AExpr>) -> Option<Node> {
    match arena.get(sum) {
        AExpr::Agg(IRAggExpr::Sum(input)) => Some(*input),
        AExpr::Cast { expr, .. } => summed(*expr, arena),
        AExpr::BinaryExpr { left, .. } => summed(*left, arena),
        _ => None,
    }
}

/// The same condition in one count instead of two, over the very column that is summed.
fn has_any_value(column: Node, arena: &mut Arena<AExpr>) -> AExpr {
    let left = arena.add(AExpr::Agg(IRAggExpr::Count { input: column, include_nulls: false }));
    let right = arena.add(AExpr::Literal(LiteralValue::Scalar(Scalar::from(0 as IdxSize))));
    AExpr::BinaryExpr { left, op: Operator::Gt, right }
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

#[cfg(test)]
mod tests {
    use polars::prelude::{DataFrame, Expr, IntoLazy, LazyFrame, NULL, NamedFrom, Series, SortMultipleOptions, col, lit, when};
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::query;
    use crate::fixture::whole;

    /// As polars lowers SQL's `SUM`.
    fn sql_sum(of: Expr) -> Expr {
        when(of.clone().null_count().lt(of.clone().len())).then(of.sum()).otherwise(lit(NULL))
    }

    fn frame(numbers: &[(Option<i32>, i8)]) -> LazyFrame {
        let numbers_of = |scale: usize| {
            let units = numbers
                .iter()
                .map(|(number, _)| number.map_or(AnyValue::Null, |number| AnyValue::Decimal(number.into(), 38, scale)));
            Series::from_any_values_and_dtype("a".into(), &units.collect::<Vec<_>>(), &DataType::Decimal(38, scale), true)
                .unwrap()
        };
        DataFrame::new_infer_height(vec![
            numbers_of(2).into(),
            Series::new("i".into(), numbers.iter().map(|(number, _)| *number).collect::<Vec<_>>()).into(),
            Series::new("f".into(), numbers.iter().map(|(number, _)| number.map(f64::from)).collect::<Vec<_>>()).into(),
            Series::new("g".into(), numbers.iter().map(|(_, group)| *group).collect::<Vec<_>>()).into(),
        ])
        .unwrap()
        .lazy()
    }

    fn null_counts(plan: LazyFrame) -> usize {
        let mut plan = plan.to_alp_optimized().unwrap();
        guard(&mut plan, &Sums::Watched(HasLarge::default())).unwrap();
        let mut stack: Vec<Node> = expressions(&plan).into_iter().flat_map(|(roots, _)| roots).collect();
        let mut found = 0;
        while let Some(node) = stack.pop() {
            let expression = plan.expr_arena.get(node);
            found += usize::from(matches!(expression, AExpr::Function { function: IRFunctionExpr::NullCount, .. }));
            expression.children_rev(&mut stack);
        }
        found
    }

    fn sums() -> Vec<Expr> {
        let product = col("a") * lit(3).cast(DataType::Decimal(38, 0));
        vec![
            sql_sum(col("a")).alias("sa"),
            sql_sum(product).alias("sp"),
            sql_sum(col("i")).alias("si"),
            sql_sum(col("f")).alias("sf"),
            (sql_sum(col("i")) + sql_sum(col("i") + col("i"))).alias("st"),
        ]
    }

    #[test]
    fn a_sum_asks_once_whether_it_is_of_anything() {
        let frame = frame(&[(Some(1), 0), (None, 1)]);
        assert_eq!(null_counts(frame.clone().group_by([col("g")]).agg(sums())), 0);
        for sum in sums() {
            assert_eq!(null_counts(frame.clone().select([sum.clone()])), 0, "{sum:?}");
        }
        let other = when(col("a").null_count().lt(col("i").len())).then(col("a").sum()).otherwise(lit(NULL));
        assert_eq!(null_counts(frame.select([other])), 1, "a condition on another column stays");
    }

    #[test]
    fn what_stands_in_for_a_sum_of_nothing_is_guarded_too() {
        let sum_or = |other: Expr| when(col("i").null_count().lt(col("i").len())).then(col("i").sum()).otherwise(other);
        let product = |factor: i32| frame(&[(Some(3), 0), (None, 1)]).select([sum_or(col("i").max() * lit(factor))]);
        assert_eq!(null_counts(product(1)), 0);
        assert_eq!(whole(product(1)).unwrap().height(), 1);
        assert!(whole(product(i32::MAX)).is_err());
    }

    #[test]
    fn a_sum_of_nothing_is_null_in_sql() {
        for (sql, nulls) in [
            ("SELECT sum(id) AS x FROM t WHERE tiny > 99", 1),
            ("SELECT sum(huge) AS x FROM t WHERE tiny > 99", 1),
            ("SELECT sum(price * CAST(2 AS DECIMAL(38,2))) AS x FROM t WHERE tiny > 99", 1),
            ("SELECT sum(ratio) AS x FROM t WHERE tiny > 99", 1),
            ("SELECT sum(CASE WHEN tiny > 99 THEN price END) AS x FROM t GROUP BY flag", 2),
            ("SELECT sum(CASE WHEN tiny = 2 THEN year END) AS x FROM t GROUP BY flag", 1),
            ("SELECT sum(year) FILTER (WHERE tiny = 2) AS x FROM t GROUP BY flag", 1),
            ("SELECT sum(CASE WHEN tiny = 2 THEN year END) OVER (PARTITION BY flag) AS x FROM t", 2),
            ("SELECT sum(year) AS x FROM t GROUP BY flag HAVING sum(CASE WHEN tiny = 2 THEN year END) IS NULL", 0),
        ] {
            let found = query(sql).unwrap();
            assert_eq!(found.column(0).null_count(), nulls, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn guarded_sums_are_those_of_polars(numbers in prop::collection::vec((prop::option::weighted(0.5, -1000..1000), 0_i8..5), 0..60)) {
            let by_group = |frame: LazyFrame| frame.group_by([col("g")]).agg(sums()).sort(["g"], SortMultipleOptions::default());
            for asked in [by_group(frame(&numbers)), frame(&numbers).select(sums()), frame(&numbers).select([sql_sum(col("i")).over([col("g")]).unwrap()])] {
                let (found, expected) = (whole(asked.clone()).unwrap(), asked.collect().unwrap());
                prop_assert!(found.equals_missing(&expected), "{found} {expected}");
            }
        }
    }
}
