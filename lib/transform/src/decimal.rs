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
#[path = "decimal_tests.rs"]
mod tests;
