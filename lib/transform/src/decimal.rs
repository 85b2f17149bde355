//! Decimal arithmetic of a plan, exact and in one pass.
//!
//! polars brings both sides of every operator to one scale, checks them, computes, rounds and checks again, each time
//! over a whole column. Here an expression of columns, literals, casts, `+`, `-` and `*` is one function over integers
//! at the scales their values really have: a cast to more digits after the point computes nothing, and a product is
//! taken only where it needs no rounding. What cannot be told to be exact stays with polars.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use polars::polars_utils::arena::{Arena, Node};
use polars::prelude::{
    AnyValue, ChunkExpandAtIndex, ChunkedArray, Column, DataType, Field, Int128Type, IntoColumn, IntoSeries, NewChunkedArray,
    PlSmallStr, PolarsError, PolarsResult, Schema,
};
use polars_plan::dsl::{AnonymousColumnsUdf, ColumnsUdf, Operator, new_column_udf};
use polars_plan::plans::expr_ir::ExprIR;
use polars_plan::plans::{AExpr, LiteralValue, ToFieldContext};
use polars_plan::prelude::FunctionOptions;

/// The digits a decimal may have. A number that is cast to as many is checked when the result is there.
pub(crate) const MOST_DIGITS: usize = 38;

/// How many rows are computed at once: their numbers stay in the fastest cache.
const BLOCK: usize = 256;

/// How many digits a decimal may have so that 10^13 of them, more than any window has, sum up to 38 digits at most.
pub(crate) const SUMMED_DIGITS: u32 = 25;

/// Is set when a number to be summed has more than [`SUMMED_DIGITS`].
pub(crate) type HasLarge = Arc<AtomicBool>;

/// An expression over integers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exact {
    Column(usize),
    Constant(i128),
    Times10(Box<Exact>, u32),
    Binary(Box<Exact>, Operator, Box<Exact>),
}

/// An expression and the digits after the point of the integers it yields.
struct Scaled {
    exact: Exact,
    scale: u32,
}

/// What takes the place of an expression in a plan.
#[derive(Clone, Debug)]
struct Function {
    exact: Exact,
    precision: usize,
    scale: usize,
    watched: Option<HasLarge>,
}

/// The one function that a tree of arithmetic on decimals is; `None` when there is none, or polars has to round.
pub(crate) fn fused(root: Node, schema: &Schema, arena: &mut Arena<AExpr>) -> Option<AExpr> {
    let mut reading = Reading { schema, arena, columns: Vec::new() };
    let (precision, scale) = reading.decimal(root)?;
    let Scaled { exact, scale: found } = reading.expression(root)?;
    let columns = reading.columns;
    let has_work = |exact: &Exact| matches!(exact, Exact::Binary(..));
    if columns.is_empty() || !has_work(&exact) {
        return None;
    }
    let exact = exact.times10(u32::try_from(scale).ok()?.checked_sub(found)?);
    Some(call(Function { exact, precision, scale, watched: None }, columns, arena))
}

/// The same values, looked at on their way into a sum.
pub(crate) fn watched(input: Node, data_type: &DataType, has_large: &HasLarge, arena: &mut Arena<AExpr>) -> Option<Node> {
    let DataType::Decimal(precision, scale) = *data_type else { return None };
    let function = Function { exact: Exact::Column(0), precision, scale, watched: Some(has_large.clone()) };
    let call = call(function, vec![input], arena);
    Some(arena.add(call))
}

fn call(function: Function, inputs: Vec<Node>, arena: &Arena<AExpr>) -> AExpr {
    AExpr::AnonymousFunction {
        input: inputs.into_iter().map(|node| ExprIR::from_node(node, arena)).collect(),
        function: new_column_udf(function),
        options: FunctionOptions::elementwise(),
        fmt_str: Box::new(PlSmallStr::from_static("decimals")),
    }
}

struct Reading<'a> {
    schema: &'a Schema,
    arena: &'a Arena<AExpr>,
    columns: Vec<Node>,
}

impl Reading<'_> {
    fn expression(&mut self, node: Node) -> Option<Scaled> {
        match self.arena.get(node) {
            AExpr::Column(name) => {
                let (_, scale) = self.decimal(node)?;
                let same = |known: &Node| matches!(self.arena.get(*known), AExpr::Column(other) if other == name);
                let index = self.columns.iter().position(same).unwrap_or_else(|| {
                    self.columns.push(node);
                    self.columns.len() - 1
                });
                Some(Scaled { exact: Exact::Column(index), scale: u32::try_from(scale).ok()? })
            }
            AExpr::Literal(literal) => constant(literal),
            AExpr::Cast { expr, dtype: DataType::Decimal(precision, scale), .. } => {
                let inner = self.expression(*expr)?;
                let keeps_all = *precision == MOST_DIGITS || self.widens(*expr, *precision, *scale);
                (keeps_all && inner.scale as usize <= *scale).then_some(inner)
            }
            AExpr::BinaryExpr { left, op, right } => {
                let (_, stored) = self.decimal(node)?;
                let (left, right) = (self.expression(*left)?, self.expression(*right)?);
                let scaled = Scaled::of(left, *op, right)?;
                (scaled.scale as usize <= stored).then_some(scaled)
            }
            _ => None,
        }
    }

    /// Tells whether every value of one type is one of the other.
    fn widens(&self, from: Node, precision: usize, scale: usize) -> bool {
        self.decimal(from).is_some_and(|(digits, point)| point <= scale && digits - point <= precision - scale)
    }

    fn decimal(&self, node: Node) -> Option<(usize, usize)> {
        match self.arena.get(node).to_dtype(&ToFieldContext::new(self.arena, self.schema)).ok()? {
            DataType::Decimal(precision, scale) => Some((precision, scale)),
            _ => None,
        }
    }
}

/// A number as it is written: without zeros at its end.
fn constant(literal: &LiteralValue) -> Option<Scaled> {
    let (mut number, mut scale) = match literal.to_any_value()? {
        AnyValue::Decimal(number, _, scale) => (number, u32::try_from(scale).ok()?),
        value if value.is_integer() => (value.extract::<i128>()?, 0),
        _ => return None,
    };
    while scale > 0 && number % 10 == 0 {
        (number, scale) = (number / 10, scale - 1);
    }
    Some(Scaled { exact: Exact::Constant(number), scale })
}

impl Scaled {
    fn of(left: Scaled, op: Operator, right: Scaled) -> Option<Scaled> {
        let (left, right, scale) = match op {
            Operator::Plus | Operator::Minus => {
                let scale = left.scale.max(right.scale);
                (left.exact.times10(scale - left.scale), right.exact.times10(scale - right.scale), scale)
            }
            Operator::Multiply => (left.exact, right.exact, left.scale + right.scale),
            _ => return None,
        };
        Some(Scaled { exact: Exact::Binary(Box::new(left), op, Box::new(right)), scale })
    }
}

impl Exact {
    /// The same number with so many more digits after the point.
    fn times10(self, digits: u32) -> Exact {
        match self {
            exact if digits == 0 => exact,
            Exact::Constant(number) if power_of_ten(digits).and_then(|factor| number.checked_mul(factor)).is_some() => {
                Exact::Constant(number * 10_i128.pow(digits))
            }
            exact => Exact::Times10(Box::new(exact), digits),
        }
    }

    /// Computes some rows; `None` when a number leaves 128 bits.
    fn compute(&self, columns: &[Numbers], rows: &Range<usize>, out: &mut [i128]) -> Option<()> {
        match self {
            Exact::Column(index) => columns.get(*index)?.read(rows, out)?,
            Exact::Constant(number) => out.fill(*number),
            Exact::Times10(inner, digits) => {
                inner.compute(columns, rows, out)?;
                let factor = power_of_ten(*digits)?;
                each(out, |number| number.checked_mul(factor))?;
            }
            Exact::Binary(left, op, right) => {
                left.compute(columns, rows, out)?;
                let mut buffer = [0; BLOCK];
                let others = buffer.get_mut(..out.len())?;
                right.compute(columns, rows, others)?;
                match op {
                    Operator::Plus => both(out, others, i128::checked_add)?,
                    Operator::Minus => both(out, others, i128::checked_sub)?,
                    _ => multiply(out, others)?,
                }
            }
        }
        Some(())
    }
}

fn power_of_ten(digits: u32) -> Option<i128> {
    10_i128.checked_pow(digits)
}

fn each(out: &mut [i128], of: impl Fn(i128) -> Option<i128>) -> Option<()> {
    out.iter_mut().try_for_each(|number| of(*number).map(|result| *number = result))
}

fn both(out: &mut [i128], others: &[i128], of: impl Fn(i128, i128) -> Option<i128>) -> Option<()> {
    out.iter_mut().zip(others).try_for_each(|(number, other)| of(*number, *other).map(|result| *number = result))
}

/// Most numbers have 64 bits, and their products 128.
fn multiply(out: &mut [i128], others: &[i128]) -> Option<()> {
    let product = |a: i128, b: i128| match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a) * i128::from(b)),
        _ => a.checked_mul(b),
    };
    both(out, others, product)
}

/// A column's integers, 0 where it has none.
enum Numbers {
    Dense(ChunkedArray<Int128Type>),
    Sparse(Vec<i128>),
    Single(i128),
}

impl Numbers {
    fn of(column: &ChunkedArray<Int128Type>, rows: usize) -> Numbers {
        if column.len() == 1 && rows != 1 {
            return Numbers::Single(column.get(0).unwrap_or_default());
        }
        if column.null_count() > 0 {
            return Numbers::Sparse(column.iter().map(Option::unwrap_or_default).collect());
        }
        Numbers::Dense(column.rechunk().into_owned())
    }

    fn read(&self, rows: &Range<usize>, out: &mut [i128]) -> Option<()> {
        let numbers = match self {
            Numbers::Dense(column) => column.cont_slice().ok()?,
            Numbers::Sparse(numbers) => numbers,
            Numbers::Single(number) => {
                out.fill(*number);
                return Some(());
            }
        };
        out.copy_from_slice(numbers.get(rows.clone())?);
        Some(())
    }
}

impl Function {
    fn compute(&self, columns: &[ChunkedArray<Int128Type>], rows: usize) -> Option<Vec<i128>> {
        let columns: Vec<Numbers> = columns.iter().map(|column| Numbers::of(column, rows)).collect();
        let most = power_of_ten(u32::try_from(self.precision).ok()?)?.unsigned_abs();
        let mut numbers = vec![0; rows];
        for (index, out) in numbers.chunks_mut(BLOCK).enumerate() {
            let start = index * BLOCK;
            self.exact.compute(&columns, &(start..start + out.len()), out)?;
            if greatest(out) >= most {
                return None;
            }
        }
        Some(numbers)
    }

    fn watch(&self, column: &ChunkedArray<Int128Type>) {
        let Some(has_large) = &self.watched else { return };
        let limit = 10_u128.pow(SUMMED_DIGITS);
        let is_large = column.downcast_iter().any(|piece| {
            // What stands in the place of a null may be large: then a sum is checked in vain.
            greatest(piece.values()) >= limit
        });
        if is_large {
            has_large.store(true, Ordering::Relaxed);
        }
    }
}

fn greatest(numbers: &[i128]) -> u128 {
    numbers.iter().fold(0, |most, number| most.max(number.unsigned_abs()))
}

impl ColumnsUdf for Function {
    fn call_udf(&self, inputs: &mut [Column]) -> PolarsResult<Column> {
        let first = inputs.first().ok_or_else(|| PolarsError::ComputeError("decimals of no column".into()))?;
        if self.watched.is_some() {
            self.watch(first.as_materialized_series().decimal()?.physical());
            return Ok(first.clone());
        }
        let name = first.name().clone();
        let columns: Vec<ChunkedArray<Int128Type>> = inputs
            .iter()
            .map(|input| input.as_materialized_series().decimal().map(|column| column.physical().clone()))
            .collect::<PolarsResult<_>>()?;
        let rows = columns.iter().map(ChunkedArray::len).find(|rows| *rows != 1).unwrap_or(1);
        let numbers = self.compute(&columns, rows);
        let numbers = numbers.ok_or_else(|| PolarsError::ComputeError("overflow in arithmetic on decimals".into()))?;
        let mut valid = columns.iter().filter(|column| column.null_count() > 0).map(ChunkedArray::is_not_null);
        let column = match valid.next() {
            None => ChunkedArray::from_vec(name, numbers),
            Some(first) => {
                let valid = valid.fold(first, |all, more| &all & &more);
                let valid = if valid.len() == rows { valid } else { valid.new_from_index(0, rows) };
                let shown = |(number, valid): (i128, Option<bool>)| (valid == Some(true)).then_some(number);
                ChunkedArray::from_iter_options(name, numbers.into_iter().zip(valid.iter()).map(shown))
            }
        };
        Ok(column.into_decimal_unchecked(self.precision, self.scale).into_series().into_column())
    }
}

impl AnonymousColumnsUdf for Function {
    fn as_column_udf(self: Arc<Self>) -> Arc<dyn ColumnsUdf> {
        self
    }

    fn deep_clone(self: Arc<Self>) -> Arc<dyn AnonymousColumnsUdf> {
        self
    }

    fn get_field(&self, _: &Schema, inputs: &[Field]) -> PolarsResult<Field> {
        let name = inputs.first().map(|input| input.name().clone()).unwrap_or_default();
        Ok(Field::new(name, DataType::Decimal(self.precision, self.scale)))
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::{DataFrame, Expr, IntoLazy, LazyFrame, LiteralValue as Literal, NamedFrom, Scalar, Series, col};
    use proptest::prelude::*;

    use super::*;
    use crate::guard::{Sums, expressions, guard};
    use crate::run::collect;

    fn decimals(name: &str, numbers: &[Option<i128>], scale: usize, precision: usize) -> Column {
        let values =
            numbers.iter().map(|number| number.map_or(AnyValue::Null, |number| AnyValue::Decimal(number, precision, scale)));
        let data_type = DataType::Decimal(precision, scale);
        Series::from_any_values_and_dtype(name.into(), &values.collect::<Vec<_>>(), &data_type, true).unwrap().into()
    }

    fn frame(numbers: &[Option<i64>]) -> DataFrame {
        let of = |factor: i128| {
            numbers.iter().rev().map(|number| number.map(|number| i128::from(number) * factor)).collect::<Vec<_>>()
        };
        let shuffled = |skip: usize| {
            let mut all = of(1);
            all.rotate_left(skip % numbers.len().max(1));
            all
        };
        let dense: Vec<Option<i128>> = shuffled(2).into_iter().map(|number| number.or(Some(7))).collect();
        DataFrame::new_infer_height(vec![
            decimals("a", &shuffled(0), 2, 15),
            decimals("b", &dense, 4, 20),
            decimals("c", &of(1_000_003), 0, 38),
            Series::new("i".into(), (0..numbers.len() as i64).collect::<Vec<_>>()).into(),
        ])
        .unwrap()
    }

    fn literal(number: i128, scale: usize) -> Expr {
        let data_type = DataType::Decimal(38, scale);
        Expr::Literal(Literal::Scalar(Scalar::new(data_type, AnyValue::Decimal(number, 38, scale))))
    }

    fn expression() -> impl Strategy<Value = Expr> {
        let leaf = prop_oneof![
            prop::sample::select(vec!["a", "b", "c"]).prop_map(col),
            (-1000_i128..1000, 0_usize..4).prop_map(|(number, scale)| literal(number, scale)),
            Just(col("i").cast(DataType::Decimal(38, 0))),
        ];
        leaf.prop_recursive(4, 12, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone(), 0..3).prop_map(|(a, b, op)| match op {
                    0 => a + b,
                    1 => a - b,
                    _ => a * b,
                }),
                (inner, prop::sample::select(vec![(38, 0), (38, 2), (38, 6), (22, 4), (15, 2)]), any::<bool>()).prop_map(
                    |(inner, (precision, scale), is_strict)| {
                        let data_type = DataType::Decimal(precision, scale);
                        if is_strict { inner.strict_cast(data_type) } else { inner.cast(data_type) }
                    }
                ),
            ]
        })
    }

    /// How many functions of ours the plan of an expression holds that compute.
    fn fusions(frame: LazyFrame) -> usize {
        let mut plan = frame.to_alp_optimized().unwrap();
        guard(&mut plan, &Sums::Doubled).unwrap();
        let roots: Vec<Node> = expressions(&plan).into_iter().flat_map(|(roots, _)| roots).collect();
        let mut stack = roots;
        let mut found = 0;
        while let Some(node) = stack.pop() {
            let expression = plan.expr_arena.get(node);
            found += usize::from(matches!(expression, AExpr::AnonymousFunction { .. }));
            expression.children_rev(&mut stack);
        }
        found
    }

    fn select(expression: Expr) -> LazyFrame {
        frame(&[Some(150), None, Some(-3)]).lazy().select([expression.alias("x")])
    }

    #[test]
    fn arithmetic_that_needs_no_rounding_is_one_function() {
        let wide = |expression: Expr| expression.strict_cast(DataType::Decimal(38, 4));
        let revenue = wide(col("a")) * wide(literal(1, 0) - col("a"));
        assert_eq!(fusions(select(revenue.clone())), 1);
        assert_eq!(fusions(select(wide(col("a")) * (literal(100, 2) - col("a")))), 1, "1.00 has no digits after the point");
        let result = collect(select(revenue)).unwrap();
        let found: Vec<AnyValue<'_>> = result.columns()[0].as_materialized_series().iter().collect();
        // -0.03 x 1.03, null, 1.50 x -0.50
        assert_eq!(found, [AnyValue::Decimal(-309, 38, 4), AnyValue::Null, AnyValue::Decimal(-7500, 38, 4)]);
    }

    #[test]
    fn no_rows_and_a_single_value_beside_rows_are_computed_too() {
        let doubled = || col("a") + col("a");
        assert_eq!(collect(frame(&[]).lazy().select([doubled()])).unwrap().height(), 0);
        assert_eq!(collect(frame(&[]).lazy().select([doubled().sum()])).unwrap().height(), 1);
        for (single, expected) in [(Some(5), [Some(6), None]), (None, [None, None])] {
            let (rows, one) = (decimals("a", &[Some(1), None], 0, 38), decimals("a", &[single], 0, 38));
            let sum = Exact::Binary(Box::new(Exact::Column(0)), Operator::Plus, Box::new(Exact::Column(1)));
            let function = Function { exact: sum, precision: 38, scale: 0, watched: None };
            let found = function.call_udf(&mut [rows, one]).unwrap();
            let found: Vec<Option<i128>> = found.as_materialized_series().decimal().unwrap().physical().iter().collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_rounds_cuts_or_turns_into_null_stays_with_polars() {
        let a = || col("a");
        for kept in [
            a() * a(),
            a() * literal(5, 1),
            a().strict_cast(DataType::Decimal(38, 1)) + a().strict_cast(DataType::Decimal(38, 1)),
            (a() + a()).strict_cast(DataType::Decimal(10, 2)),
            col("i") + col("i"),
            a().cast(DataType::Decimal(38, 4)),
            a(),
        ] {
            let computed = fusions(select(kept.clone()));
            let is_inner_sum = kept.to_string().contains("strict_cast");
            assert!(computed <= usize::from(is_inner_sum), "{kept}");
        }
    }

    #[test]
    fn a_result_of_more_than_38_digits_is_an_error() {
        let most = 10_i128.pow(38) - 1;
        let frame = |numbers: &[Option<i128>]| DataFrame::new_infer_height(vec![decimals("a", numbers, 0, 38)]).unwrap().lazy();
        let twice = col("a") + col("a");
        assert!(collect(frame(&[Some(1), Some(most)]).select([twice.clone()])).is_err());
        assert!(collect(frame(&[Some(1), Some(-most)]).select([twice.clone()])).is_err());
        assert!(collect(frame(&[Some(most), None]).select([col("a") * col("a")])).is_err());
        assert_eq!(collect(frame(&[Some(most / 2), None]).select([twice])).unwrap().height(), 2);
    }

    #[test]
    fn large_numbers_are_summed_exactly_or_not_at_all() {
        let most = 10_i128.pow(38) - 1;
        let sums = |numbers: [i128; 4]| {
            let numbers = numbers.map(Some);
            let group = Series::new("g".into(), [1_i64, 1, 2, 2]).into();
            let frame = DataFrame::new_infer_height(vec![decimals("a", &numbers, 0, 38), group]).unwrap().lazy();
            let sums = collect(frame.group_by([col("g")]).agg([col("a").sum()]).sort(["g"], Default::default()));
            sums.map(|sums| {
                sums.columns()[1].as_materialized_series().iter().map(|sum| sum.extract::<i128>().unwrap()).collect::<Vec<_>>()
            })
        };
        assert_eq!(sums([1, 2, 3, 4]).unwrap(), [3, 7]);
        let much = 10_i128.pow(37) * 9;
        assert_eq!(sums([much, 1, -much, 1]).unwrap(), [much + 1, 1 - much]);
        assert!(sums([1, 2, most, most]).is_err());
        assert!(sums([1, 2, -most, -most]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn what_polars_computes_is_what_is_computed(
            expression in expression(),
            numbers in prop::collection::vec(prop::option::weighted(0.8, -2_000_000_000_i64..2_000_000_000), 0..700),
        ) {
            let asked = frame(&numbers).lazy().select([expression.alias("x"), col("i")]);
            let Ok(expected) = asked.clone().collect() else { return Ok(()) };
            match collect(asked) {
                Ok(found) => prop_assert!(found.equals_missing(&expected), "{found} {expected}"),
                // What polars makes null of because it does not fit is an error.
                Err(error) => prop_assert!(expected.columns()[0].null_count() > 0, "{error}"),
            }
        }
    }
}
