//! The result's columns against the declared ones, with the cast to write.

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use sqlparser::ast::{Expr, Ident, Query, SelectItem, SetExpr, Spanned};
use sqlparser::tokenizer::Span;
use windrow_core::{Code, suggest};

use super::findings::Findings;

/// Reports missing, extra and wrongly typed columns of a query's result.
pub(crate) fn check(query: &Query, found: &Schema, expected: &[Field], findings: &mut Findings<'_>) {
    let names: Vec<&str> = found.fields().iter().map(|field| field.name().as_str()).collect();
    for field in expected {
        match found.field_with_name(field.name()) {
            Err(_) => {
                let title = format!("the result lacks the declared column `{}`", field.name());
                let help = match suggest::nearest(field.name(), names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`? write AS {}", field.name()),
                    None => format!("select it, or drop `{}` from the contract", field.name()),
                };
                findings.at_start(Code::SqlType, title, Some(help));
            }
            Ok(column) => {
                if let Some((title, help)) = compare(column.data_type(), field) {
                    findings.at(Code::SqlType, span_of(query, field.name()), title, help);
                }
            }
        }
    }
    for name in names.iter().filter(|name| !expected.iter().any(|field| field.name() == *name)) {
        let title = format!("the result has a column `{name}` the contract does not declare");
        findings.at(Code::SqlType, span_of(query, name), title, "declare it, or drop it from the SELECT");
    }
}

/// What is wrong with a result type, and the cast to write; `None` when it is the declared one.
pub(crate) fn compare(found: &DataType, declared: &Field) -> Option<(String, String)> {
    if found == declared.data_type() {
        return None;
    }
    let (name, declared) = (declared.name(), declared.data_type());
    let title = format!("column `{name}` is {}, and {} is declared", sql_type(found), sql_type(declared));
    let digits = |data_type: &DataType| match data_type {
        DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    };
    let help = match (digits(found), digits(declared)) {
        (Some(from), Some(to)) if from > to => format!("CAST(ROUND(…, {to}) AS {}) AS {name}", sql_type(declared)),
        (Some(_), None) if declared.is_integer() => {
            format!("declare `{name}` as {}: a cast would cut its digits", sql_type(found))
        }
        _ if found.is_floating() && declared.is_integer() => {
            format!("CAST(ROUND(…) AS {}) AS {name}, or declare it DOUBLE", sql_type(declared))
        }
        _ if matches!(declared, DataType::Timestamp(_, Some(_))) => "derive it from a column that is an instant".to_owned(),
        _ => format!("CAST(… AS {}) AS {name}", sql_type(declared)),
    };
    Some((title, help))
}

/// A type as SQL names it.
pub(crate) fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "UTINYINT".to_owned(),
        DataType::UInt16 => "USMALLINT".to_owned(),
        DataType::UInt32 => "UINTEGER".to_owned(),
        DataType::UInt64 => "UBIGINT".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})"),
        DataType::Timestamp(unit, zone) => {
            let digits = match unit {
                TimeUnit::Millisecond => "(3)",
                TimeUnit::Nanosecond => "(9)",
                _ => "",
            };
            format!("TIMESTAMP{digits}{}", if zone.is_some() { " WITH TIME ZONE (UTC)" } else { "" })
        }
        other => other.to_string(),
    }
}

fn span_of(query: &Query, name: &str) -> Span {
    let SetExpr::Select(select) = query.body.as_ref() else { return Span::empty() };
    let is_named = |ident: &Ident| ident.value == name;
    let named = select.projection.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } if is_named(alias) => Some(expr.span().union(&alias.span)),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) if is_named(ident) => Some(ident.span),
        SelectItem::UnnamedExpr(expression @ Expr::CompoundIdentifier(parts)) if parts.last().is_some_and(is_named) => {
            Some(expression.span())
        }
        _ => None,
    });
    named.unwrap_or(Span::empty())
}
