//! SQL checks: one number, or the rows that violate the rule. `{object}` is the table.

use polars::prelude::{AnyValue, DataFrame, DataType, LazyFrame, len};
use windrow_core::gate::{Check, Metric, Number};
use windrow_core::{Code, Diagnostic, Error, ErrorKind, Result};

use crate::check::{SAMPLE_ROWS, cell, rendered_rows};
use crate::input::{Inputs, TableInput};
use crate::lint::{Findings, is_total, lint_text};
use crate::params::Params;
use crate::parse::parse_query;
use crate::run::collect;
use crate::stop::Stop;
use crate::text::SqlText;
use crate::transform::plan_sql;

/// The one number a query yields.
pub(crate) fn number(
    check: &Check,
    sql: &str,
    table: &TableInput,
    frame: LazyFrame,
    params: &Params,
    stop: &Stop,
) -> Result<(Number, Vec<String>)> {
    let placed = |error: Error| error.with("check", &check.place);
    let result = collect(plan(check, sql, table, frame, params)?, stop).map_err(placed)?;
    let shape = (result.height(), result.width());
    let (1, [column]) = (result.height(), result.columns()) else {
        let message = format!("the query must yield one row with one column, and yields {} with {}", shape.0, shape.1);
        return Err(Error::new(ErrorKind::Misconfigured, message));
    };
    let name = column.name().to_string();
    Ok((exact(&result, &name)?, Vec::new()))
}

/// How many rows a query yields, with the first few.
pub(crate) fn rows(
    check: &Check,
    sql: &str,
    table: &TableInput,
    frame: LazyFrame,
    params: &Params,
    stop: &Stop,
) -> Result<(Number, Vec<String>)> {
    let violations = plan(check, sql, table, frame, params)?;
    let counted = collect(violations.clone().select([len().cast(DataType::Int64).alias("rows")]), stop)
        .map_err(|error| error.with("check", &check.place))?;
    let number = exact(&counted, "rows")?;
    let sample =
        if number == Number::whole(0) { Vec::new() } else { rendered_rows(&collect(violations.limit(SAMPLE_ROWS), stop)?)? };
    Ok((number, sample))
}

/// The findings of a check's query.
pub(crate) fn lint(check: &Check, sql: &str, table: &TableInput, params: &Params, is_number: bool) -> Vec<Diagnostic> {
    let text = text_of(check, sql);
    if let Err(error) = enforce_check(&text, table, params, is_number) {
        return error;
    }
    let tables = [(table.name.clone(), table.schema.clone())];
    match lint_text(&text, &tables, params, &objects(table), None) {
        Err(findings) => findings,
        Ok(schema) => {
            let numeric = schema.fields().first().is_some_and(|field| field.data_type().is_numeric());
            if !is_number || (schema.fields().len() == 1 && numeric) {
                return Vec::new();
            }
            let finding = Diagnostic::new(Code::CheckBroken, check.place.clone(), "the query must yield one number");
            vec![finding.help("SELECT count(*) FROM {object} WHERE …")]
        }
    }
}

/// What holds for checks only: they read the checked table, and those of rows select rows.
fn enforce_check(
    sql: &SqlText<'_>,
    table: &TableInput,
    params: &Params,
    is_number: bool,
) -> std::result::Result<(), Vec<Diagnostic>> {
    let rendered = params.render(sql, &objects(table))?;
    let query = parse_query(sql, &rendered)?;
    let mut findings = Findings::new(sql, &rendered);
    if !sql.placeholders().iter().any(|(_, name)| name == "object") {
        let help = "SELECT … FROM {object}: the table whose contract names the check";
        findings.at_start(Code::SqlUnsupported, "the check never reads {object}", Some(help.to_owned()));
    }
    if !is_number && is_total(&query) {
        let help = "a check selects the rows that are wrong; for a number write a quality rule of type sql";
        findings.at_start(
            Code::SqlUnsupported,
            "an aggregate without GROUP BY is one row, right or wrong",
            Some(help.to_owned()),
        );
    }
    if findings.is_empty() { Ok(()) } else { Err(findings.into_list()) }
}

fn plan(check: &Check, sql: &str, table: &TableInput, frame: LazyFrame, params: &Params) -> Result<LazyFrame> {
    let is_number = matches!(check.metric, Metric::SqlNumber(_));
    enforce_check(&text_of(check, sql), table, params, is_number)
        .map_err(|findings| Error::from_diagnostics(ErrorKind::Misconfigured, findings))?;
    let inputs = Inputs::new().with_frame(&table.name, frame);
    plan_sql(&text_of(check, sql), &inputs, params, &objects(table))
}

fn text_of<'c>(check: &'c Check, sql: &'c str) -> SqlText<'c> {
    SqlText { text: sql, file: &check.place.file, origin: (check.place.line.max(1), check.place.column.max(1)) }
}

fn objects(table: &TableInput) -> [(&'static str, String); 1] {
    [("object", format!("\"{}\"", table.name))]
}

/// A cell as an exact number; a float by its shortest decimal text.
fn exact(frame: &DataFrame, name: &str) -> Result<Number> {
    let refused = |why: String| Error::new(ErrorKind::Misconfigured, why);
    let value = cell(frame, name)?;
    let number = match &value {
        AnyValue::Null => return Err(refused("the query yields null, not a number".to_owned())),
        AnyValue::Decimal(units, _, scale) => u32::try_from(*scale).ok().and_then(|scale| trimmed(*units, scale)),
        AnyValue::Float64(float) => Number::parse(&format!("{float:.9}")).filter(|_| float.is_finite()),
        AnyValue::Float32(float) => Number::parse(&format!("{float:.9}")).filter(|_| float.is_finite()),
        integer if integer.is_integer() => integer.extract::<i128>().map(Number::whole),
        _ => None,
    };
    number.ok_or_else(|| refused(format!("the query yields `{value}`, not a number")))
}

fn trimmed(mut units: i128, mut scale: u32) -> Option<Number> {
    while scale > 0 && units % 10 == 0 {
        (units, scale) = (units / 10, scale - 1);
    }
    Number::new(units, scale)
}
