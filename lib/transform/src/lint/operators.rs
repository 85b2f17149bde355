//! Expressions that polars computes differently from SQL: truth tests, divisors, intervals, windows.

use sqlparser::ast::{BinaryOperator, Expr, Function, Spanned, UnaryOperator, Value, WindowType};

use super::dialect::without_brackets;
use super::joins::Refusal;
use super::shape;

/// What is wrong with one expression, its parts aside.
pub(crate) fn check(expression: &Expr) -> Option<Refusal> {
    let refused = |title: &str, help: &str| Some((expression.span(), title.to_owned(), help.to_owned()));
    match expression {
        Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_) => {
            refused("IS TRUE and IS FALSE are wrong for nulls", "write COALESCE(x, FALSE), or NOT COALESCE(x, TRUE)")
        }
        Expr::Position { .. } => refused("POSITION counts bytes, not characters", "write x LIKE '%a%', or SPLIT_PART"),
        Expr::Tuple(_) => refused("a row of several columns is not a value", "write EXISTS, or compare the columns one by one"),
        Expr::InSubquery { subquery, .. } => shape::check_in(subquery),
        Expr::Exists { subquery, .. } => shape::check_exists(subquery),
        Expr::BinaryOp { op: BinaryOperator::Modulo | BinaryOperator::DuckIntegerDivide, right, .. } => check_divisor(right),
        Expr::BinaryOp { left, op, right } if is_comparison(op) && are_odd_literals(left, right) => {
            refused("a comparison of two literals is folded by their text", "leave it out, or compare a column")
        }
        _ => None,
    }
}

/// What is wrong with a call by its name and arguments.
pub(crate) fn check_call(name: &str, arguments: &[&Expr]) -> Option<Refusal> {
    match (name, arguments) {
        ("mod" | "div", [_, divisor]) => check_divisor(divisor),
        ("replace", [_, pattern, _]) if matches!(text_of(pattern), Some("")) => {
            let title = "polars replaces an empty text between all characters";
            Some((pattern.span(), title.to_owned(), "give the text to replace".to_owned()))
        }
        _ => None,
    }
}

/// What is wrong with a function's OVER.
pub(crate) fn check_window(function: &Function, name: &str, is_aggregate: bool) -> Option<Refusal> {
    let refused = |title: String, help: &str| Some((function.name.span(), title, help.to_owned()));
    let spec = match &function.over {
        Some(WindowType::WindowSpec(spec)) if spec.window_name.is_none() => spec,
        Some(_) => return refused("a named window is not supported".to_owned(), "write OVER (PARTITION BY … ORDER BY …) out"),
        None => return None,
    };
    if is_aggregate && !spec.order_by.is_empty() {
        let help = "drop the ORDER BY for the total of the partition; a running total needs a Rust transform";
        return refused(format!("`{name}` with ORDER BY inside OVER is not computed over the frame of SQL"), help);
    }
    if spec.window_frame.is_some() {
        return refused("window frames are not supported".to_owned(), "LAG and LEAD reach single rows");
    }
    if is_aggregate {
        return None;
    }
    if spec.order_by.is_empty() {
        let help = "add ORDER BY: a replay must yield the same rows";
        return refused(format!("`{name}` without ORDER BY depends on the order of rows"), help);
    }
    if name == "last_value" {
        return refused("`last_value` ends at the current row".to_owned(), "write FIRST_VALUE with the opposite order");
    }
    let is_coalesced = |key: &Expr| matches!(without_brackets(key), Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("coalesce"));
    if matches!(name, "rank" | "dense_rank") && !spec.order_by.iter().all(|key| is_coalesced(&key.expr)) {
        return refused(format!("`{name}` is null where its key is"), "say where nulls go: ORDER BY COALESCE(x, 0)");
    }
    if spec.order_by.iter().any(|key| key.options.nulls_first.is_some()) {
        return refused("NULLS FIRST and NULLS LAST inside OVER are ignored".to_owned(), "order by COALESCE(x, 0)");
    }
    None
}

fn check_divisor(divisor: &Expr) -> Option<Refusal> {
    let is_nonzero = match without_brackets(divisor) {
        Expr::UnaryOp { op: UnaryOperator::Minus, .. } => false,
        Expr::Value(value) => {
            matches!(&value.value, Value::Number(text, _) if text.parse::<f64>().is_ok_and(|number| number > 0.0))
        }
        _ => false,
    };
    let title = "the divisor of %, //, MOD and DIV must be a positive literal: by zero polars answers null";
    let help = "divide by a literal, or write FLOOR(CAST(x AS DOUBLE) / y) with y checked before";
    (!is_nonzero).then(|| (divisor.span(), title.to_owned(), help.to_owned()))
}

fn is_comparison(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// Two literals other than two whole numbers or two texts.
fn are_odd_literals(left: &Expr, right: &Expr) -> bool {
    match (without_brackets(left), without_brackets(right)) {
        (Expr::Value(left), Expr::Value(right)) => match (&left.value, &right.value) {
            (Value::Number(a, _), Value::Number(b, _)) => {
                ![a, b].iter().all(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            }
            (Value::SingleQuotedString(_), Value::SingleQuotedString(_)) => false,
            _ => true,
        },
        _ => false,
    }
}

fn text_of(expression: &Expr) -> Option<&str> {
    match without_brackets(expression) {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}
