//! From a loss of digits in the plan back to the expression in the text, and to the cast to write.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, DataType, ExactNumberInfo, Expr, Spanned, UnaryOperator, Value, Visit};
use windrow_core::Code::{SqlInexact, SqlUnsupported};

use super::dialect::without_brackets;
use super::exact::{Finding, Loss};
use super::findings::Findings;
use super::names::columns_of;

/// Reports the losses of a plan at the expressions that cause them.
pub(crate) fn report(tree: &impl Visit, losses: Vec<Finding>, findings: &mut Findings<'_>) {
    let mut written = Vec::new();
    let _ = sqlparser::ast::visit_expressions(tree, |expression| {
        written.push(expression.clone());
        ControlFlow::<()>::Continue(())
    });
    for finding in losses {
        let causes: Vec<&Expr> = written.iter().filter(|expression| causes(expression, &finding)).collect();
        if finding.loss == Loss::ToFloat && causes.iter().any(|cause| matches!(cause, Expr::Cast { .. })) {
            continue;
        }
        let fallback = written.iter().rfind(|expression| columns_of(*expression).is_superset(&finding.columns));
        let narrowest = causes.iter().min_by_key(|cause| cause.to_string().len()).copied();
        match narrowest.or(fallback) {
            Some(cause) => findings.at(code(&finding.loss), cause.span(), title(&finding.loss), help(Some(cause), &finding.loss)),
            None => findings.at_start(code(&finding.loss), title(&finding.loss), Some(help(None, &finding.loss))),
        }
    }
    literals(&written, findings);
}

fn decimal_scale(data_type: &DataType) -> Option<i64> {
    let (DataType::Decimal(info) | DataType::Numeric(info) | DataType::Dec(info)) = data_type else { return None };
    Some(match info {
        ExactNumberInfo::PrecisionAndScale(_, scale) => *scale,
        ExactNumberInfo::Precision(_) => 0,
        ExactNumberInfo::None => 9,
    })
}

fn causes(expression: &Expr, finding: &Finding) -> bool {
    let kind_fits = match (&finding.loss, expression) {
        (Loss::Product { .. }, Expr::BinaryOp { op, .. }) => *op == BinaryOperator::Multiply,
        (Loss::Division, Expr::BinaryOp { op, .. }) => is_division(op),
        (Loss::Division, Expr::Function(function)) => matches!(function.name.to_string().to_lowercase().as_str(), "div" | "mod"),
        (Loss::Cut(scale), Expr::Cast { data_type, .. }) => match decimal_scale(data_type) {
            Some(written) => written == i64::from(*scale),
            None => *scale == 0 && !is_float(data_type),
        },
        (Loss::Truncated, Expr::Cast { data_type, .. }) => decimal_scale(data_type).is_none() && !is_float(data_type),
        (Loss::PartOfDay, Expr::BinaryOp { op: BinaryOperator::Plus | BinaryOperator::Minus, .. }) => true,
        (Loss::FromText, Expr::Cast { data_type, .. }) => decimal_scale(data_type).is_some(),
        (Loss::ToFloat, Expr::Cast { data_type, .. }) => is_float(data_type),
        (Loss::ToFloat, Expr::BinaryOp { .. } | Expr::Case { .. } | Expr::Function(_) | Expr::Between { .. }) => true,
        _ => false,
    };
    kind_fits && same_columns(&columns_of(expression), &finding.columns, &finding.loss)
}

/// The plan names one decimal that became a float; the text may name the other operand too.
fn same_columns(written: &BTreeSet<String>, read: &BTreeSet<String>, loss: &Loss) -> bool {
    if matches!(loss, Loss::ToFloat) { written.is_superset(read) } else { written == read }
}

fn is_division(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::Divide | BinaryOperator::Modulo | BinaryOperator::DuckIntegerDivide)
}

fn is_float(data_type: &DataType) -> bool {
    let text = data_type.to_string().to_uppercase();
    ["FLOAT", "DOUBLE", "REAL"].iter().any(|word| text.starts_with(word))
}

fn code(loss: &Loss) -> windrow_core::Code {
    if matches!(loss, Loss::Truncated | Loss::PartOfDay) { SqlUnsupported } else { SqlInexact }
}

fn title(loss: &Loss) -> String {
    match loss {
        Loss::Product { needed, stored } => {
            format!("the product needs {needed} digits after the point, and polars keeps {stored}: it would be rounded")
        }
        Loss::Division => "a division of decimals would be rounded".to_owned(),
        Loss::Cut(scale) => format!("the cast keeps {scale} digits after the point and would round the rest"),
        Loss::FromText => "a cast of text to a decimal rounds what has too many digits".to_owned(),
        Loss::Truncated => "the cast cuts what is behind the point".to_owned(),
        Loss::PartOfDay => "a DATE cannot move by less than a day".to_owned(),
        Loss::ToFloat => "a decimal would silently become a binary float".to_owned(),
    }
}

fn help(cause: Option<&Expr>, loss: &Loss) -> String {
    match (loss, cause) {
        (Loss::Product { needed, .. }, Some(Expr::BinaryOp { left, right, .. })) => {
            format!("write {} * {}", cast_of(left, *needed), cast_of(right, *needed))
        }
        (Loss::Product { needed, .. }, _) => format!("CAST both factors AS DECIMAL(38,{needed})"),
        (Loss::Division, Some(Expr::BinaryOp { left, op, right })) => {
            let float = |side| format!("CAST({} AS DOUBLE)", without_brackets(side));
            format!("write {} {op} {} and declare the result a float, or multiply instead", float(left), float(right))
        }
        (Loss::Division, _) => "CAST both sides AS DOUBLE, and declare the result a float".to_owned(),
        (Loss::Cut(scale), Some(Expr::Cast { expr, data_type, .. })) => {
            format!("say so: CAST(ROUND({}, {scale}) AS {data_type})", without_brackets(expr))
        }
        (Loss::Cut(scale), _) => format!("say so: ROUND(x, {scale}) inside the cast"),
        (Loss::FromText, _) => "declare the column as a decimal in the raw contract: the reader never rounds".to_owned(),
        (Loss::Truncated, Some(Expr::Cast { expr, data_type, .. })) => {
            format!("say so: CAST(ROUND({}) AS {data_type}); FLOOR, CEIL and TRUNC do too", without_brackets(expr))
        }
        (Loss::Truncated, _) => "say so: CAST(ROUND(x) AS BIGINT)".to_owned(),
        (Loss::PartOfDay, _) => "CAST(d AS TIMESTAMP) + INTERVAL '1 hour'".to_owned(),
        (Loss::ToFloat, _) => {
            "CAST the number to the decimal's type, CAST(0.9 AS DECIMAL(15,2)); or the decimal AS DOUBLE".to_owned()
        }
    }
}

fn cast_of(side: &Expr, scale: u32) -> String {
    let inner = match without_brackets(side) {
        Expr::Cast { expr, data_type, .. } if data_type.to_string().to_uppercase().starts_with("DECIMAL") => {
            without_brackets(expr)
        }
        other => other,
    };
    format!("CAST({inner} AS DECIMAL(38,{scale}))")
}

/// `CAST(0.055 AS DECIMAL(5,2))` is folded before the plan can be looked at.
fn literals(written: &[Expr], findings: &mut Findings<'_>) {
    for expression in written {
        let Expr::Cast { expr, data_type, .. } = expression else { continue };
        let Some(scale) = decimal_scale(data_type) else { continue };
        let Some(text) = number_text(expr) else { continue };
        let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction.trim_end_matches('0'));
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        if i64::try_from(fraction.len()).is_ok_and(|length| length > scale) {
            let help = format!("write a scale of {} or a shorter number", fraction.len());
            findings.at(
                SqlInexact,
                expression.span(),
                format!("`{text}` has more digits after the point than {data_type}"),
                help,
            );
        } else if digits > 15
            && text.contains('.')
            && !matches!(without_brackets(expr), Expr::Value(value) if is_text(&value.value))
        {
            let title = format!("`{text}` has more digits than a binary float, which it passes through");
            findings.at(SqlInexact, expression.span(), title, format!("write CAST('{text}' AS {data_type})"));
        }
    }
}

fn number_text(expression: &Expr) -> Option<String> {
    match without_brackets(expression) {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) | Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => number_text(expr),
        _ => None,
    }
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::SingleQuotedString(_))
}
