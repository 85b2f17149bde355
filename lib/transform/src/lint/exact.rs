//! Exact decimals: refuses a plan in which polars would round, cut or turn decimals into floats by itself.
//!
//! polars stores decimal × decimal at the larger of both scales and rounds the rest away. Here every expression of the
//! plan carries the digits its values really have: a column those of its type, a cast to a larger scale the smaller
//! ones it came from, a product the sum of both. Where they exceed what the result stores, the query is refused.

use std::collections::BTreeSet;

use polars::polars_utils::arena::{Arena, Node};
use polars::prelude::{AnyValue, DataType, Schema};
use polars_plan::dsl::Operator;
use polars_plan::plans::{AExpr, IRAggExpr, IRFunctionExpr, IRPlan, IRTemporalFunction, LiteralValue, ToFieldContext};

use crate::guard::expressions;

/// How a plan would lose digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// A product needs more digits after the point than it stores.
    Product {
        /// Digits after the point it needs.
        needed: u32,
        /// Digits after the point it stores.
        stored: u32,
    },
    /// A division of decimals.
    Division,
    /// A cast cuts digits after the point: to this many.
    Cut(u32),
    /// A text is read as a decimal, and rounded.
    FromText,
    /// Decimals become floats without a cast in the text, or in a comparison that needs more than 15 digits.
    ToFloat,
    /// A float is cut to an integer.
    Truncated,
    /// A DATE moves by less than a day, which it cannot hold.
    PartOfDay,
}

/// A loss with the columns its expression reads, which lead back to the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// How digits are lost.
    pub(crate) loss: Loss,
    /// The columns read.
    pub(crate) columns: BTreeSet<String>,
}

/// The digits values have at most, before and after the point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digits {
    whole: u32,
    scale: u32,
}

/// Finds every loss of a plan.
pub(crate) fn check(plan: &IRPlan) -> Vec<Finding> {
    let mut found = Vec::new();
    for (roots, schema) in expressions(plan) {
        let mut walk = Walk { arena: &plan.expr_arena, schema: &schema, found: &mut found };
        for root in roots {
            walk.digits(root);
        }
    }
    found.dedup();
    found
}

struct Walk<'a> {
    arena: &'a Arena<AExpr>,
    schema: &'a Schema,
    found: &'a mut Vec<Finding>,
}

impl Walk<'_> {
    fn digits(&mut self, node: Node) -> Digits {
        let stored = self.stored(node);
        match self.arena.get(node) {
            AExpr::Literal(literal) => literal_digits(literal).unwrap_or(stored),
            AExpr::Cast { expr, dtype, .. } => self.cast(node, *expr, dtype),
            AExpr::BinaryExpr { left, op, right } => self.binary(node, *left, *op, *right),
            AExpr::Ternary { predicate, truthy, falsy } => {
                self.digits(*predicate);
                self.digits(*truthy).wider(self.digits(*falsy))
            }
            AExpr::Agg(IRAggExpr::Sum(input)) => {
                let digits = self.digits(*input);
                Digits { whole: digits.whole + 10, scale: digits.scale }
            }
            AExpr::Agg(
                IRAggExpr::Min { input, .. } | IRAggExpr::Max { input, .. } | IRAggExpr::First(input) | IRAggExpr::Last(input),
            ) => self.digits(*input),
            AExpr::Function { input, function, .. } => {
                if matches!(function, IRFunctionExpr::TemporalExpr(IRTemporalFunction::OffsetBy)) {
                    self.offset(node, input.iter().map(|argument| argument.node()).collect());
                }
                let inputs: Vec<Digits> = input.iter().map(|argument| self.digits(argument.node())).collect();
                function_digits(function, &inputs).unwrap_or(stored)
            }
            other => {
                let mut children = Vec::new();
                other.children_rev(&mut children);
                for child in children {
                    self.digits(child);
                }
                stored
            }
        }
    }

    fn binary(&mut self, node: Node, left: Node, op: Operator, right: Node) -> Digits {
        if op.is_comparison() || matches!(op, Operator::And | Operator::Or | Operator::Xor) {
            self.compared(left);
            self.compared(right);
            return Digits::default();
        }
        let (a, b) = (self.digits(left), self.digits(right));
        let decimals = [left, right].map(|side| matches!(self.type_of(side), Some(DataType::Decimal(..))));
        let floats = [left, right].map(|side| self.type_of(side).is_some_and(|data_type| data_type.is_float()));
        if decimals.contains(&true) && floats.contains(&true) {
            self.report(node, Loss::ToFloat);
            return Digits::default();
        }
        if !decimals.contains(&true) {
            return self.stored(node);
        }
        match op {
            Operator::Plus | Operator::Minus => Digits { whole: a.whole.max(b.whole) + 1, scale: a.scale.max(b.scale) },
            Operator::Multiply => self.product(node, a, b),
            _ => {
                self.report(node, Loss::Division);
                self.stored(node)
            }
        }
    }

    fn product(&mut self, node: Node, a: Digits, b: Digits) -> Digits {
        let (needed, stored) = (a.scale + b.scale, self.stored(node).scale);
        if needed > stored {
            self.report(node, Loss::Product { needed, stored });
        }
        Digits { whole: a.whole + b.whole, scale: needed.min(stored) }
    }

    /// Decimals of at most 15 digits stay apart as floats, so a comparison of those is exact.
    fn compared(&mut self, node: Node) {
        if let AExpr::Cast { expr, dtype, .. } = self.arena.get(node)
            && dtype.is_float()
            && matches!(self.type_of(*expr), Some(DataType::Decimal(..)))
        {
            let digits = self.digits(*expr);
            if digits.whole + digits.scale > 15 {
                self.report(node, Loss::ToFloat);
            }
            return;
        }
        self.digits(node);
    }

    fn cast(&mut self, node: Node, inner: Node, target: &DataType) -> Digits {
        let digits = self.digits(inner);
        let Some(source) = self.type_of(inner) else { return Digits::default() };
        let is_literal = matches!(self.arena.get(inner), AExpr::Literal(_));
        match (&source, target) {
            (DataType::Decimal(..), DataType::Decimal(precision, scale)) => {
                let (precision, scale) = (small(*precision), small(*scale));
                if digits.scale > scale {
                    self.report(node, Loss::Cut(scale));
                }
                Digits { whole: digits.whole.min(precision.saturating_sub(scale)), scale: digits.scale.min(scale) }
            }
            (DataType::Decimal(..), target) if target.is_integer() && digits.scale > 0 => {
                self.report(node, Loss::Cut(0));
                Digits { scale: 0, ..digits }
            }
            (DataType::Decimal(..), target) if target.is_float() => {
                self.report(node, Loss::ToFloat);
                Digits::default()
            }
            (DataType::String, DataType::Decimal(..)) if !is_literal => {
                self.report(node, Loss::FromText);
                self.stored(node)
            }
            (source, target) if source.is_float() && target.is_integer() => {
                if !self.is_whole(inner) {
                    self.report(node, Loss::Truncated);
                }
                self.stored(node)
            }
            (source, DataType::Decimal(..)) if source.is_integer() => digits,
            _ => self.stored(node),
        }
    }

    /// Rounded to no digit by the text, or a sum of nothing but whole numbers.
    fn is_whole(&self, node: Node) -> bool {
        match self.arena.get(node) {
            AExpr::Cast { expr, .. } => {
                self.is_whole(*expr) || self.type_of(*expr).is_some_and(|data_type| data_type.is_integer())
            }
            AExpr::Function { function: IRFunctionExpr::Floor | IRFunctionExpr::Ceil, .. } => true,
            AExpr::Function {
                function: IRFunctionExpr::Round { decimals: 0, .. } | IRFunctionExpr::Truncate { decimals: 0 },
                ..
            } => true,
            AExpr::Function {
                input,
                function: IRFunctionExpr::Coalesce | IRFunctionExpr::FillNull | IRFunctionExpr::Abs,
                ..
            } => input.iter().all(|argument| self.is_whole(argument.node())),
            AExpr::Agg(IRAggExpr::Sum(inner) | IRAggExpr::Min { input: inner, .. } | IRAggExpr::Max { input: inner, .. }) => {
                self.is_whole(*inner)
            }
            AExpr::Literal(literal) => {
                literal.to_any_value().and_then(|value| value.extract::<f64>()).is_some_and(|number| number.fract() == 0.0)
            }
            _ => self.type_of(node).is_some_and(|data_type| data_type.is_integer()),
        }
    }

    /// `INTERVAL '1 hour'` arrives as the text `1h`, `3600000000000ns`, `-1d2h`.
    fn offset(&mut self, node: Node, input: Vec<Node>) {
        let [date, by] = input.as_slice() else { return };
        let AExpr::Literal(literal) = self.arena.get(*by) else { return };
        let value = literal.to_any_value();
        let text = value.as_ref().and_then(AnyValue::get_str);
        if self.type_of(*date) == Some(DataType::Date) && text.is_some_and(has_part_of_day) {
            self.report(node, Loss::PartOfDay);
        }
    }

    fn report(&mut self, node: Node, loss: Loss) {
        let mut columns = BTreeSet::new();
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            let expression = self.arena.get(node);
            if let AExpr::Column(name) = expression {
                // A joined column is called `name:table`.
                columns.insert(name.split(':').next().unwrap_or_default().to_owned());
            }
            expression.children_rev(&mut stack);
        }
        let finding = Finding { loss, columns };
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    /// What the type can hold.
    fn stored(&self, node: Node) -> Digits {
        match self.type_of(node) {
            Some(DataType::Decimal(precision, scale)) => {
                Digits { whole: small(precision.saturating_sub(scale)), scale: small(scale) }
            }
            Some(DataType::Int8 | DataType::UInt8) => Digits { whole: 3, scale: 0 },
            Some(DataType::Int16 | DataType::UInt16) => Digits { whole: 5, scale: 0 },
            Some(DataType::Int32 | DataType::UInt32) => Digits { whole: 10, scale: 0 },
            Some(data_type) if data_type.is_integer() => Digits { whole: 20, scale: 0 },
            _ => Digits::default(),
        }
    }

    fn type_of(&self, node: Node) -> Option<DataType> {
        self.arena.get(node).to_dtype(&ToFieldContext::new(self.arena, self.schema)).ok()
    }
}

impl Digits {
    fn wider(self, other: Digits) -> Digits {
        Digits { whole: self.whole.max(other.whole), scale: self.scale.max(other.scale) }
    }
}

fn function_digits(function: &IRFunctionExpr, inputs: &[Digits]) -> Option<Digits> {
    let first = *inputs.first()?;
    match function {
        IRFunctionExpr::Round { decimals, .. } | IRFunctionExpr::Truncate { decimals } => {
            Some(Digits { whole: first.whole + 1, scale: first.scale.min(*decimals) })
        }
        IRFunctionExpr::Floor | IRFunctionExpr::Ceil => Some(Digits { whole: first.whole + 1, scale: 0 }),
        IRFunctionExpr::Abs => Some(first),
        IRFunctionExpr::Coalesce | IRFunctionExpr::MinHorizontal | IRFunctionExpr::MaxHorizontal | IRFunctionExpr::FillNull => {
            Some(inputs.iter().fold(first, |widest, digits| widest.wider(*digits)))
        }
        _ => None,
    }
}

/// A literal has the digits it is written with, whatever type it was given.
fn literal_digits(literal: &LiteralValue) -> Option<Digits> {
    match literal.to_any_value()? {
        AnyValue::Decimal(units, _, scale) => {
            let mut scale = small(scale);
            let mut units = units.unsigned_abs();
            while scale > 0 && units % 10 == 0 {
                (units, scale) = (units / 10, scale - 1);
            }
            let digits = units.checked_ilog10().map_or(1, |log| log + 1);
            Some(Digits { whole: digits.saturating_sub(scale), scale })
        }
        value => {
            let units = value.extract::<i128>().filter(|_| value.is_integer())?;
            Some(Digits { whole: units.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1), scale: 0 })
        }
    }
}

fn has_part_of_day(offset: &str) -> bool {
    let units = offset.split(|c: char| c.is_ascii_digit() || c == '-').filter(|unit| !unit.is_empty());
    units.into_iter().any(|unit| matches!(unit, "h" | "m" | "s" | "ms" | "us" | "µs" | "ns"))
}

fn small(digits: usize) -> u32 {
    u32::try_from(digits).unwrap_or(u32::MAX)
}
