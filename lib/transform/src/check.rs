//! Checks: every metric of the quality gate, evaluated over the staged files of one window.
//!
//! A check that cannot be evaluated is [`Observation::Broken`], never a skip; judging is `windrow_core::gate`'s.

use std::sync::Arc;

use arrow_schema::DataType as Arrow;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use polars::prelude::{AnyValue, DataFrame, DataType, Expr, IntoLazy, LazyFrame, TimeUnit, col, len, lit};
use windrow_core::gate::{Check, Metric, Number, Observation, Unit};
use windrow_core::violation::MAX_VALUE_BYTES;
use windrow_core::{Code, Diagnostic, Error, ErrorKind, Result, suggest};

use crate::check_sql;
use crate::failure::guarded;
use crate::input::TableInput;
use crate::params::Params;
use crate::run::collect;

/// How many offending rows a check shows.
pub(crate) const SAMPLE_ROWS: u32 = 5;

/// Evaluates checks over a staged table: one observation a check, with its index, in order.
pub fn run_checks(checks: &[Check], table: &TableInput, params: &Params) -> Vec<(usize, Observation)> {
    let observe = |check: &Check| {
        let measured = table.scan().and_then(|frame| match &check.metric {
            Metric::SqlNumber(sql) => check_sql::number(check, sql, table, frame, params),
            Metric::SqlRows(sql) => check_sql::rows(check, sql, table, frame, params),
            metric => measure(metric, table, frame, params),
        });
        match measured {
            Ok((number, sample)) => Observation::Measured { number, sample },
            Err(error) => Observation::Broken(error.to_string()),
        }
    };
    checks.iter().map(observe).enumerate().collect()
}

/// Every finding in checks that shows without data: unknown columns, wrong literals, SQL that cannot run.
pub fn lint_checks(checks: &[Check], table: &TableInput, params: &Params) -> Vec<Diagnostic> {
    let empty = TableInput { files: Vec::new(), ..table.clone() };
    let mut findings = Vec::new();
    for check in checks {
        match &check.metric {
            Metric::SqlNumber(sql) => findings.extend(check_sql::lint(check, sql, &empty, params, true)),
            Metric::SqlRows(sql) => findings.extend(check_sql::lint(check, sql, &empty, params, false)),
            metric => {
                let measured = empty.scan().and_then(|frame| measure(metric, &empty, frame, params));
                // A freshness of no rows cannot be measured, and that is no fault of the check.
                if let Err(error) = measured
                    && !error.message().starts_with(NO_ROWS)
                {
                    let finding = Diagnostic::new(Code::CheckBroken, check.place.clone(), error.message());
                    findings.push(finding.help(error.help_text().unwrap_or("correct the check or the contract")));
                }
            }
        }
    }
    findings
}

const NO_ROWS: &str = "no value to measure freshness by";

type Measured = (Number, Vec<String>);

fn measure(metric: &Metric, table: &TableInput, frame: LazyFrame, params: &Params) -> Result<Measured> {
    match metric {
        Metric::RowCount => Ok((Number::whole(i128::from(count(frame, lit(true))?.1)), Vec::new())),
        Metric::NullValues(column, unit) => violating(frame, column_of(table, column)?.is_null(), *unit),
        Metric::MissingValues(column, texts, unit) => {
            let missing = is_one_of(column_of(table, column)?.cast(DataType::String), texts);
            violating(frame, column_of(table, column)?.is_null().or(missing), *unit)
        }
        Metric::DuplicateValues(columns, unit) => duplicates(table, frame, columns, *unit),
        Metric::InvalidValues { column, valid, pattern, unit } => {
            violating(frame, invalid(table, column, valid, pattern.as_deref())?, *unit)
        }
        Metric::OutOfRange { column, minimum, maximum, unit } => {
            violating(frame, out_of_range(table, column, [minimum.as_deref(), maximum.as_deref()])?, *unit)
        }
        Metric::Freshness(column) => freshness(table, frame, column, params),
        Metric::SqlNumber(_) | Metric::SqlRows(_) => Err(Error::new(ErrorKind::Internal, "SQL checks are evaluated elsewhere")),
    }
}

fn column_of(table: &TableInput, name: &str) -> Result<Expr> {
    field_type(table, name).map(|_| col(name))
}

fn field_type<'t>(table: &'t TableInput, name: &str) -> Result<&'t Arrow> {
    table.schema.field_with_name(name).map(|field| field.data_type()).map_err(|_| {
        let names: Vec<&str> = table.schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::new(ErrorKind::Misconfigured, format!("unknown column `{name}`")).help(suggest::hint(name, &names))
    })
}

fn invalid(table: &TableInput, name: &str, valid: &[String], pattern: Option<&str>) -> Result<Expr> {
    let column = column_of(table, name)?;
    let mut is_valid: Option<Expr> = None;
    if !valid.is_empty() {
        let mut allowed = lit(false);
        for text in valid {
            allowed = allowed.or(column.clone().eq(literal(table, name, text)?));
        }
        is_valid = Some(allowed);
    }
    if let Some(pattern) = pattern {
        let whole = format!("^(?:{pattern})$");
        regex::Regex::new(&whole)
            .map_err(|error| Error::new(ErrorKind::Misconfigured, "bad pattern").with("pattern", pattern).caused_by(error))?;
        let matches = column.clone().cast(DataType::String).str().contains(lit(whole), true);
        is_valid = Some(is_valid.map_or(matches.clone(), |allowed| allowed.and(matches)));
    }
    let nothing = || Error::new(ErrorKind::Misconfigured, "neither valid values nor a pattern");
    Ok(column.is_not_null().and(is_valid.ok_or_else(nothing)?.not()))
}

fn out_of_range(table: &TableInput, name: &str, [minimum, maximum]: [Option<&str>; 2]) -> Result<Expr> {
    let column = column_of(table, name)?;
    let mut outside = lit(false);
    if let Some(text) = minimum {
        outside = outside.or(column.clone().lt(literal(table, name, text)?));
    }
    if let Some(text) = maximum {
        outside = outside.or(column.clone().gt(literal(table, name, text)?));
    }
    // polars orders NaN above every number, so it exceeds any maximum; with only a minimum it must be said.
    if field_type(table, name)?.is_floating() {
        outside = outside.or(column.clone().is_nan());
    }
    Ok(column.is_not_null().and(outside))
}

fn is_one_of(column: Expr, texts: &[String]) -> Expr {
    texts.iter().fold(lit(false), |any, text| any.or(column.clone().eq(lit(text.as_str()))))
}

/// A literal of the column's type; it must be exactly representable.
fn literal(table: &TableInput, name: &str, text: &str) -> Result<Expr> {
    let wrong = |why: &str| {
        let message = format!("`{text}` is no value of column `{name}`: {why}");
        Error::new(ErrorKind::Misconfigured, message)
    };
    let field = table.schema.field_with_name(name).map_err(|_| wrong("it does not exist"))?;
    if matches!(field.data_type(), Arrow::Utf8) {
        return Ok(lit(text));
    }
    if matches!(field.data_type(), Arrow::Boolean) {
        return text.parse::<bool>().map(lit).map_err(|_| wrong("write true or false"));
    }
    if let Arrow::Decimal128(_, scale) = field.data_type() {
        let digits = text.split_once('.').map_or("", |(_, fraction)| fraction.trim_end_matches('0')).len();
        if i64::try_from(digits).is_ok_and(|digits| digits > i64::from(*scale)) {
            return Err(wrong("it has too many digits after the point"));
        }
    }
    let one = arrow_schema::Schema::new(vec![field.clone()]);
    let data_type = crate::bridge::empty_frame(&Arc::new(one))?.schema().iter_values().next().cloned().unwrap_or(DataType::Null);
    let parsed = parsed(text, &data_type).ok_or_else(|| wrong("write it in ISO 8601"))?;
    collect(DataFrame::empty().lazy().select([parsed.clone().alias("x")])).map_err(|error| wrong(error.message()))?;
    Ok(parsed)
}

fn parsed(text: &str, data_type: &DataType) -> Option<Expr> {
    match data_type {
        DataType::Datetime(unit, zone) => {
            let civil = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
            let instant = if zone.is_some() { text.parse::<Timestamp>().ok().or_else(civil) } else { civil() }?;
            let units = match unit {
                TimeUnit::Milliseconds => instant.as_millisecond(),
                TimeUnit::Microseconds => instant.as_microsecond(),
                TimeUnit::Nanoseconds => i64::try_from(instant.as_nanosecond()).ok()?,
            };
            Some(lit(units).cast(data_type.clone()))
        }
        DataType::Date => {
            let days = Date::constant(1970, 1, 1).until(text.parse::<Date>().ok()?).ok()?.get_days();
            Some(lit(days).cast(DataType::Date))
        }
        other => Some(lit(text).strict_cast(other.clone())),
    }
}

/// Counts the rows where a condition holds, and shows the first few.
fn violating(frame: LazyFrame, condition: Expr, unit: Unit) -> Result<Measured> {
    let (part, whole) = count(frame.clone(), condition.clone())?;
    let sample = if part == 0 { Vec::new() } else { rendered_rows(&collect(frame.filter(condition).limit(SAMPLE_ROWS))?)? };
    Ok((in_unit(part, whole, unit), sample))
}

/// How many rows satisfy a condition, of how many.
fn count(frame: LazyFrame, condition: Expr) -> Result<(u64, u64)> {
    let whole_numbers = |expression: Expr| expression.cast(DataType::Int64);
    let part = whole_numbers(condition.fill_null(lit(false))).sum().alias("part");
    let counted = collect(frame.select([part, whole_numbers(len()).alias("whole")]))?;
    Ok((cell_u64(&counted, "part")?, cell_u64(&counted, "whole")?))
}

fn duplicates(table: &TableInput, frame: LazyFrame, columns: &[Arc<str>], unit: Unit) -> Result<Measured> {
    let keys = columns.iter().map(|column| column_of(table, column)).collect::<Result<Vec<_>>>()?;
    if keys.is_empty() {
        return Err(Error::new(ErrorKind::Misconfigured, "no columns to look for duplicates in"));
    }
    let rows = "__windrow_rows";
    let grouped = frame.clone().group_by(keys).agg([len().cast(DataType::Int64).alias(rows)]).filter(col(rows).gt(lit(1_i64)));
    let surplus = collect(grouped.clone().select([(col(rows) - lit(1_i64)).sum().alias("part")]))?;
    let (_, whole) = count(frame, lit(true))?;
    let part = cell_u64(&surplus, "part")?;
    let sample = if part == 0 { Vec::new() } else { rendered_rows(&collect(grouped.limit(SAMPLE_ROWS))?)? };
    Ok((in_unit(part, whole, unit), sample.into_iter().map(|row| row.replace(rows, "rows")).collect()))
}

/// Seconds from the newest value to the end of the window; a date counts from its midnight.
fn freshness(table: &TableInput, frame: LazyFrame, name: &str, params: &Params) -> Result<Measured> {
    let end = match field_type(table, name)? {
        Arrow::Timestamp(_, Some(_)) => params.end,
        // What the wall clock showed is compared with what it shows at the window's end.
        Arrow::Timestamp(_, None) | Arrow::Date32 => params.window.instants(&jiff::tz::TimeZone::UTC)?.1,
        _ => return Err(Error::new(ErrorKind::Misconfigured, format!("column `{name}` is neither a timestamp nor a date"))),
    };
    let newest = col(name).cast(DataType::Datetime(TimeUnit::Microseconds, None)).max().cast(DataType::Int64);
    let frame = collect(frame.select([newest.alias("newest")]))?;
    let micros = match cell(&frame, "newest")? {
        AnyValue::Int64(micros) => i128::from(micros),
        _ => return Err(Error::new(ErrorKind::Misconfigured, format!("{NO_ROWS} in column `{name}`"))),
    };
    let lag = i128::from(end.as_microsecond()) - micros;
    let number = Number::new(lag, 6).ok_or_else(|| Error::new(ErrorKind::Internal, "a lag has a scale of 6"))?;
    Ok((number, Vec::new()))
}

fn in_unit(part: u64, whole: u64, unit: Unit) -> Number {
    match unit {
        Unit::Rows => Number::whole(i128::from(part)),
        Unit::Percent => Number::percent(part, whole),
    }
}

/// Rows as `column=value, …`.
pub(crate) fn rendered_rows(frame: &DataFrame) -> Result<Vec<String>> {
    guarded(|| {
        let mut rows = Vec::new();
        for index in 0..frame.height().min(SAMPLE_ROWS as usize) {
            let cells = frame.columns().iter().map(|column| Ok(format!("{}={}", column.name(), shown(&column.get(index)?))));
            rows.push(cells.collect::<polars::prelude::PolarsResult<Vec<_>>>()?.join(", "));
        }
        Ok(rows)
    })
}

/// A value of a sample, of bounded length: samples stand in results and evidence.
fn shown(value: &AnyValue<'_>) -> String {
    let text = value.get_str().map_or_else(|| value.to_string(), str::to_owned);
    let end = text.floor_char_boundary(MAX_VALUE_BYTES.min(text.len()));
    let more = if end < text.len() { "…" } else { "" };
    let shown = text.get(..end).unwrap_or_default();
    let shown = if value.get_str().is_some() { shown.escape_debug().to_string() } else { shown.to_owned() };
    format!("{shown}{more}")
}

/// The value of a column of a frame of one row.
pub(crate) fn cell(frame: &DataFrame, name: &str) -> Result<AnyValue<'static>> {
    guarded(|| Ok(frame.column(name)?.get(0)?.into_static()))
}

fn cell_u64(frame: &DataFrame, name: &str) -> Result<u64> {
    let value = cell(frame, name)?;
    if value == AnyValue::Null {
        return Ok(0);
    }
    value.extract::<u64>().ok_or_else(|| Error::new(ErrorKind::Internal, "a count is no number"))
}

#[cfg(test)]
mod tests {
    use windrow_core::Place;
    use windrow_core::gate::{Severity, Threshold};

    use super::*;
    use crate::fixture::{batch, params, schema, write_parquet};

    fn check(metric: Metric) -> Check {
        let place = Place::new("orders.clean.odcs.yaml", 40, 12);
        Check { id: "c".into(), metric, threshold: Threshold::MustBe(Number::whole(0)), severity: Severity::Error, place }
    }

    fn observe(metric: Metric) -> Observation {
        let folder = tempfile::tempdir().unwrap();
        let twice = [
            write_parquet(folder.path(), "a.parquet", &batch()),
            write_parquet(folder.path(), "b.parquet", &batch().slice(0, 1)),
        ];
        let table = TableInput { name: "clean_orders".into(), schema: schema(), files: twice.to_vec(), partition: None };
        run_checks(&[check(metric)], &table, &params()).remove(0).1
    }

    fn measured(metric: Metric) -> (String, Vec<String>) {
        match observe(metric.clone()) {
            Observation::Measured { number, sample } => (number.to_string(), sample),
            Observation::Broken(why) => panic!("{metric:?}: {why}"),
        }
    }

    fn broken(metric: Metric) -> String {
        match observe(metric) {
            Observation::Broken(why) => why,
            other => panic!("{other:?}"),
        }
    }

    fn range(column: &str, minimum: Option<&str>, maximum: Option<&str>) -> Metric {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Metric::OutOfRange { column: column.into(), minimum: own(minimum), maximum: own(maximum), unit: Unit::Rows }
    }

    fn values(column: &str, valid: &[&str], pattern: Option<&str>) -> Metric {
        let valid = valid.iter().map(|text| (*text).to_owned()).collect();
        Metric::InvalidValues { column: column.into(), valid, pattern: pattern.map(str::to_owned), unit: Unit::Rows }
    }

    #[test]
    fn every_metric_measures() {
        let missing = Metric::MissingValues("text".into(), vec!["a".into()], Unit::Rows);
        for (metric, expected) in [
            (Metric::RowCount, "4"),
            (Metric::NullValues("text".into(), Unit::Rows), "1"),
            (Metric::NullValues("text".into(), Unit::Percent), "25"),
            (missing, "3"),
            (Metric::DuplicateValues(vec!["id".into(), "tiny".into()], Unit::Rows), "1"),
            (Metric::DuplicateValues(vec!["flag".into()], Unit::Percent), "50"),
            (values("text", &["a"], None), "1"),
            (values("text", &[], Some("[a-z]")), "1"),
            (values("price", &["1.00", "2.05"], None), "1"),
            (range("price", Some("1.01"), Some("3.32")), "3"),
            (range("day", Some("2013-01-02"), None), "2"),
            (range("at", None, Some("1970-01-01T00:00:00.000001Z")), "1"),
            (range("ratio", Some("0"), None), "1"),
            (range("huge", None, Some("9999999999999999999999999999999999.9999")), "0"),
            (Metric::Freshness("day".into()), "0"),
            (Metric::SqlNumber("SELECT count(*) FROM {object} WHERE text IS NULL".into()), "1"),
            (Metric::SqlNumber("SELECT sum(price) FROM {object}".into()), "7.38"),
            (Metric::SqlRows("SELECT id, price FROM {object} WHERE price > 2".into()), "2"),
        ] {
            assert_eq!(measured(metric.clone()).0, expected, "{metric:?}");
        }
    }

    #[test]
    fn offending_rows_are_shown() {
        let rows = measured(Metric::SqlRows("SELECT id, text FROM {object} WHERE id = 2".into())).1;
        assert_eq!(rows, ["id=2, text=2013-01-02"]);
        let rows = measured(Metric::DuplicateValues(vec!["tiny".into()], Unit::Rows)).1;
        assert_eq!(rows, ["tiny=1, rows=2"]);
    }

    #[test]
    fn what_cannot_be_evaluated_is_broken_and_never_skipped() {
        assert!(broken(Metric::NullValues("txt".into(), Unit::Rows)).contains("unknown column `txt`"));
        assert!(broken(range("price", Some("1.001"), None)).contains("too many digits"));
        assert!(broken(range("day", Some("2013-02-31"), None)).contains("is no value of column `day`"));
        assert!(broken(values("text", &[], Some("["))).contains("bad pattern"));
        assert!(broken(Metric::Freshness("id".into())).contains("neither a timestamp nor a date"));
        assert!(broken(Metric::SqlNumber("SELECT id FROM {object}".into())).contains("yields 4 with 1"));
        assert!(broken(Metric::SqlNumber("SELECT max(text) AS t FROM {object}".into())).contains("not a number"));
        assert!(broken(Metric::SqlNumber("SELECT count(*) FROM clean_orders".into())).contains("never reads {object}"));
        assert!(broken(Metric::SqlNumber("SELECT sum(id) FROM {object}".into())).contains("orders.clean.odcs.yaml:40:12"));
        assert!(broken(Metric::SqlRows("SELECT idd FROM {object}".into())).contains("idd"));
        assert!(broken(Metric::SqlRows("SELECT id FROM {objct}".into())).contains("unknown placeholder"));
        let table = TableInput { name: "t".into(), schema: schema(), files: vec!["/nowhere.parquet".into()], partition: None };
        assert!(matches!(run_checks(&[check(Metric::RowCount)], &table, &params())[0], (0, Observation::Broken(_))));
    }

    #[test]
    fn lint_finds_what_shows_without_data() {
        let table = TableInput { name: "t".into(), schema: schema(), files: vec![], partition: None };
        let lines = |metric: Metric| -> Vec<String> {
            lint_checks(&[check(metric)], &table, &params()).iter().map(Diagnostic::one_line).collect()
        };
        assert_eq!(lines(Metric::Freshness("day".into())), [""; 0]);
        assert_eq!(
            lines(Metric::NullValues("txt".into(), Unit::Rows)),
            ["orders.clean.odcs.yaml:40:12: W0802: unknown column `txt`"]
        );
        assert_eq!(
            lines(Metric::SqlRows("SELECT idd FROM {object}".into())),
            ["orders.clean.odcs.yaml:40:19: W0703: unknown column `idd`"]
        );
        for (sql, title) in [
            ("SELECT count(DISTINCT text) AS n FROM {object}", "an aggregate without GROUP BY is one row, right or wrong"),
            ("SELECT max(id) AS m FROM {object} WHERE id > 99", "an aggregate without GROUP BY is one row, right or wrong"),
            ("SELECT id FROM clean_orders", "the check never reads {object}"),
        ] {
            assert!(broken(Metric::SqlRows(sql.into())).contains(title), "{sql}");
            assert!(
                lines(Metric::SqlRows(sql.into())).iter().any(|line| line.contains("W0702") && line.contains(title)),
                "{sql}"
            );
        }
        assert_eq!(lines(Metric::SqlNumber("SELECT id, price FROM {object}".into())).len(), 1);
        assert_eq!(lines(Metric::SqlNumber("SELECT count(*) FROM {object}".into())), [""; 0]);
    }
}
