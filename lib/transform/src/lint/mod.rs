//! The lint: refuses at desk time, with the place, what would fail or lie at night.
//!
//! ```text
//! text ─▶ placeholders ─▶ syntax ─▶ dialect, names ─▶ plan ─▶ exact decimals ─▶ trial on a row of nulls ─▶ result types
//!         W0703           W0701     W0702    W0703    W0702   W0704             W0702                      W0705
//! ```

mod dialect;
mod exact;
mod findings;
mod joins;
mod names;
mod operators;
mod place;
mod shape;
#[cfg(test)]
mod tests;
mod types;

use arrow_array::{RecordBatch, new_null_array};
use arrow_schema::{Field, Schema, SchemaRef};
use polars::prelude::{DataFrame, LazyFrame};
use polars_plan::plans::IRPlan;
use sqlparser::ast::{Query, Spanned, Visit};
use windrow_core::{Code, Diagnostic, Error, ErrorKind, Result};

pub(crate) use dialect::Grain;
pub(crate) use findings::Findings;
pub(crate) use names::columns_of;
pub(crate) use shape::is_total;
pub(crate) use types::compare;

use crate::failure::guarded;
use crate::input::Inputs;
use crate::params::Params;
use crate::parse::parse_query;
use crate::run::collect;
use crate::stop::Stop;
use crate::text::{Rendered, SqlText};
use crate::transform::plan_text;

/// Lints one query over declared tables, and tells the schema of its result.
///
/// `expected` are the columns a contract declares: names, order and types must agree.
///
/// # Errors
/// Every finding of the first step that has any, in the order of their places.
pub fn lint_select(
    text: &str,
    file: &str,
    tables: &[(String, SchemaRef)],
    params: &Params,
    expected: Option<&[Field]>,
) -> std::result::Result<Schema, Vec<Diagnostic>> {
    lint_text(&SqlText::whole(text, file), tables, params, &[], expected)
}

/// Lints a query that may use further placeholders, `{object}` for one.
pub(crate) fn lint_text(
    sql: &SqlText<'_>,
    tables: &[(String, SchemaRef)],
    params: &Params,
    extra: &[(&str, String)],
    expected: Option<&[Field]>,
) -> std::result::Result<Schema, Vec<Diagnostic>> {
    let rendered = params.render(sql, extra)?;
    let query = parse_query(sql, &rendered)?;
    let mut findings = Findings::new(sql, &rendered);
    check_tree(&query, Grain::Query, tables, &mut findings);
    let schema = if findings.is_empty() { check_plan(&query, &rendered.text, tables, &mut findings) } else { None };
    if let (Some(schema), Some(expected)) = (&schema, expected) {
        types::check(&query, schema, expected, &mut findings);
    }
    match schema {
        Some(schema) if findings.is_empty() => Ok(schema),
        _ => Err(findings.into_list()),
    }
}

/// Plans what will run, lint or no lint: inside the dialect, and with no loss of digits in the very plan.
///
/// # Errors
/// `Misconfigured` with the findings.
pub(crate) fn plan_strictly(sql: &SqlText<'_>, rendered: &Rendered, query: &Query, inputs: &Inputs) -> Result<LazyFrame> {
    let mut findings = Findings::new(sql, rendered);
    dialect::check(query, Grain::Query, &mut findings);
    let planned = if findings.is_empty() { Some(plan_and_compile(&rendered.text, inputs)) } else { None };
    match planned {
        Some(Ok((frame, plan))) => {
            place::report(query, exact::check(&plan), &mut findings);
            if findings.is_empty() {
                return Ok(frame);
            }
        }
        Some(Err(error)) if error.kind() == ErrorKind::Misconfigured => planner_refused(query, error.message(), &mut findings),
        Some(Err(error)) => return Err(error.with("file", sql.file)),
        None => {}
    }
    Err(Error::from_diagnostics(ErrorKind::Misconfigured, findings.into_list()))
}

/// Checks a syntax tree before anything is planned.
pub(crate) fn check_tree(tree: &impl Visit, grain: Grain, tables: &[(String, SchemaRef)], findings: &mut Findings<'_>) {
    dialect::check(tree, grain, findings);
    names::check(tree, tables, findings);
}

/// Plans a rendered query, checks the plan and tries it on one row of nulls; `None` when there was a finding.
pub(crate) fn check_plan(
    tree: &(impl Visit + Spanned),
    text: &str,
    tables: &[(String, SchemaRef)],
    findings: &mut Findings<'_>,
) -> Option<Schema> {
    let frame = match plan_over(text, tables, 1) {
        Ok(plan) => plan,
        Err(error) => {
            planner_refused(tree, error.message(), findings);
            return None;
        }
    };
    match guarded(|| frame.clone().to_alp()) {
        Ok(plan) => place::report(tree, exact::check(&plan), findings),
        Err(error) => planner_refused(tree, error.message(), findings),
    }
    if !findings.is_empty() {
        return None;
    }
    let whole = |plan| collect(plan, &Stop::default());
    let tried = match whole(frame) {
        // A cast that refuses what an expression makes of nulls says nothing about the query: plan it over no rows.
        Err(error) if error.message().starts_with("conversion from") => plan_over(text, tables, 0).and_then(whole),
        tried => tried,
    };
    match tried.and_then(result_schema) {
        Ok(schema) => Some(schema),
        Err(error) => {
            planner_refused(tree, error.message(), findings);
            None
        }
    }
}

fn plan_and_compile(text: &str, inputs: &Inputs) -> Result<(LazyFrame, IRPlan)> {
    let frame = plan_text(text, inputs)?;
    let plan = guarded(|| frame.clone().to_alp())?;
    Ok((frame, plan))
}

/// Plans a query over tables of so many rows of nulls.
fn plan_over(text: &str, tables: &[(String, SchemaRef)], rows: usize) -> Result<LazyFrame> {
    let mut inputs = Inputs::new();
    for (name, schema) in tables {
        inputs = inputs.with_batches(name, &nullable(schema), &[null_rows(&nullable(schema), rows)?])?;
    }
    plan_text(text, &inputs)
}

fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    std::sync::Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn null_rows(schema: &SchemaRef, rows: usize) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|field| new_null_array(field.data_type(), rows)).collect();
    RecordBatch::try_new(schema.clone(), columns)
        .map_err(|error| Error::new(ErrorKind::Internal, "no rows of nulls for a schema").caused_by(error))
}

fn result_schema(frame: DataFrame) -> Result<Schema> {
    crate::bridge::arrow_schema(frame)
}

/// What the steps before did not foresee: placed at the identifier the message quotes, if the text has it.
fn planner_refused(tree: &(impl Visit + Spanned), message: &str, findings: &mut Findings<'_>) {
    let quoted: Vec<&str> = message.split(['"', '\'', '`']).skip(1).step_by(2).collect();
    let mut span = None;
    let _ = sqlparser::ast::visit_expressions(tree, |expression| {
        if let sqlparser::ast::Expr::Identifier(ident) = expression
            && quoted.contains(&ident.value.as_str())
        {
            span = Some(ident.span);
            return std::ops::ControlFlow::Break(());
        }
        std::ops::ControlFlow::Continue(())
    });
    let (message, help) = in_our_words(message);
    let unknown = help.is_none() && message.contains("unable to find column") || message.contains("no column named");
    let code = if unknown { Code::SqlColumn } else { Code::SqlUnsupported };
    let help = help.unwrap_or_else(|| advice(&message));
    match span {
        Some(span) => findings.at(code, span, message, help),
        None => findings.at_start(code, message, Some(help.to_owned())),
    }
}

/// One sentence of a message of polars, with what to do if the message misleads.
fn in_our_words(message: &str) -> (String, Option<&'static str>) {
    let message = message.split("; valid columns").next().unwrap_or(message);
    let message = message.split(". It's possible").next().unwrap_or(message);
    let column = message.split_once("unable to find column \"").and_then(|(_, rest)| rest.split_once('"')).map(|(name, _)| name);
    if let Some((name, table)) = column.and_then(|name| name.split_once(':')) {
        let title = format!("`{table}.{name}`, a column both tables have, is not supported here");
        return (title, Some("select it with an alias in a WITH step first: WITH j AS (SELECT b.x AS b_x …) SELECT … FROM j"));
    }
    if column.is_some_and(|name| name.starts_with("_POLARS_TMP")) {
        return ("IN (SELECT …) is supported in WHERE only".to_owned(), Some("write a LEFT JOIN of a DISTINCT step"));
    }
    if message.contains("Exists {") {
        let help = "EXISTS stands alone or behind AND in WHERE, with terms b.x = a.x only: filter b first in a WITH step";
        return ("this EXISTS is not supported".to_owned(), Some(help));
    }
    if message.contains("Span(Location") || message.contains("Ident {") {
        return ("this construct is not supported".to_owned(), Some("docs/sql.md lists what is supported"));
    }
    (message.to_owned(), None)
}

fn advice(message: &str) -> &'static str {
    if message.contains("duplicate") {
        "give each column its own name: expression AS name"
    } else if message.contains("comparison") && message.contains("'UTC'") {
        "CAST(x AS TIMESTAMP) makes an instant the clock of UTC, which TIMESTAMP literals are"
    } else {
        "docs/sql.md lists what is supported"
    }
}
