//! Checks: every metric of the quality gate, evaluated over the staged files of one window.
//!
//! ```text
//! row counts ─▶ footers      counts over rows, newest values ─▶ one pass      duplicates, SQL ─▶ a query each
//! ```
//!
//! A check that cannot be evaluated is [`Observation::Broken`], never a skip, and breaks no other; judging is
//! `windrow_core::gate`'s.

use std::sync::Arc;

use polars::prelude::{AnyValue, DataFrame, DataType, Expr, col, len, lit};
use windrow_core::gate::{Check, Metric, Number, Observation, Unit};
use windrow_core::violation::MAX_VALUE_BYTES;
use windrow_core::{Code, Diagnostic, Error, ErrorKind, Result};

use crate::check_sql;
use crate::failure::guarded;
use crate::input::TableInput;
use crate::metric::{Reading, column_of};
use crate::params::Params;
use crate::run::collect;
use crate::stop::Stop;

/// How many offending rows a check shows.
pub(crate) const SAMPLE_ROWS: u32 = 5;

/// Evaluates checks over a staged table: one observation a check, with its index, in order.
///
/// # Errors
/// `OutOfMemory` and `Interrupted` for a query that was told to end, which says nothing of the table.
pub fn run_checks(checks: &[Check], table: &TableInput, params: &Params, stop: &Stop) -> Result<Vec<(usize, Observation)>> {
    let gate = Gate::new(checks, table, params, stop);
    let pass = gate.one_pass().ok();
    let observe = |(index, check)| match gate.measure(index, check, pass.as_ref()) {
        Ok((number, sample)) => Ok((index, Observation::Measured { number, sample })),
        // An engine's own words may quote values; those of the stop do not.
        Err(error) => stop.error().map_or(Ok((index, Observation::Broken(error.to_string()))), Err),
    };
    checks.iter().enumerate().map(observe).collect()
}

/// Every finding in checks that shows without data: unknown columns, wrong literals, SQL that cannot run.
pub fn lint_checks(checks: &[Check], table: &TableInput, params: &Params) -> Vec<Diagnostic> {
    let empty = TableInput { files: Vec::new(), ..table.clone() };
    let never = Stop::default();
    let gate = Gate::new(checks, &empty, params, &never);
    let pass = gate.one_pass().ok();
    let mut findings = Vec::new();
    for (index, check) in checks.iter().enumerate() {
        match &check.metric {
            Metric::SqlNumber(sql) => findings.extend(check_sql::lint(check, sql, &empty, params, true)),
            Metric::SqlRows(sql) => findings.extend(check_sql::lint(check, sql, &empty, params, false)),
            _ => {
                // A freshness of no rows cannot be measured, and that is no fault of the check.
                if let Err(error) = gate.measure(index, check, pass.as_ref())
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

/// The checks of one table, and how each is measured.
struct Gate<'a> {
    table: &'a TableInput,
    params: &'a Params,
    stop: &'a Stop,
    readings: Vec<Result<Reading>>,
}

impl<'a> Gate<'a> {
    fn new(checks: &[Check], table: &'a TableInput, params: &'a Params, stop: &'a Stop) -> Self {
        let readings = checks.iter().map(|check| Reading::of(&check.metric, table, params)).collect();
        Gate { table, params, stop, readings }
    }

    /// One row with a column for each check that one pass over the rows can answer; only the columns they name are read.
    fn one_pass(&self) -> Result<DataFrame> {
        let asked = self.readings.iter().enumerate().filter_map(|(index, reading)| {
            let reading = reading.as_ref().ok()?;
            question(reading).map(|question| question.alias(name(index)))
        });
        let asked: Vec<Expr> = asked.collect();
        if asked.is_empty() {
            return Ok(DataFrame::empty());
        }
        collect(self.table.scan()?.select(asked), self.stop)
    }

    /// What a check sees; asked alone where the common pass failed, so that a broken check breaks no other.
    fn measure(&self, index: usize, check: &Check, pass: Option<&DataFrame>) -> Result<Measured> {
        let reading = self.readings.get(index).ok_or_else(|| Error::internal("a check without a reading"))?;
        let reading = reading.as_ref().map_err(copied)?;
        let answer = |question: Expr| match pass {
            Some(pass) => cell(pass, &name(index)),
            None => cell(&collect(self.table.scan()?.select([question.alias(name(index))]), self.stop)?, &name(index)),
        };
        match (reading, question(reading)) {
            (Reading::Violations(condition, unit), Some(question)) => {
                let part = whole_number(&answer(question)?)?;
                let whole = if *unit == Unit::Percent { self.table.rows()? } else { 0 };
                Ok((in_unit(part, whole, *unit), self.sample(condition, part)?))
            }
            (Reading::Newest(_, end), Some(question)) => lag(&answer(question)?, *end, check),
            (Reading::Rows, _) => Ok((Number::whole(i128::from(self.table.rows()?)), Vec::new())),
            _ => self.alone(check),
        }
    }

    fn alone(&self, check: &Check) -> Result<Measured> {
        match &check.metric {
            Metric::SqlNumber(sql) => check_sql::number(check, sql, self.table, self.table.scan()?, self.params, self.stop),
            Metric::SqlRows(sql) => check_sql::rows(check, sql, self.table, self.table.scan()?, self.params, self.stop),
            Metric::DuplicateValues(columns, unit) => duplicates(self.table, columns, *unit, self.stop),
            _ => Err(Error::internal("a check that no query answers")),
        }
    }

    /// The first few rows where a condition holds, when there are any.
    fn sample(&self, condition: &Expr, part: u64) -> Result<Vec<String>> {
        if part == 0 {
            return Ok(Vec::new());
        }
        rendered_rows(&collect(self.table.scan()?.filter(condition.clone()).limit(SAMPLE_ROWS), self.stop)?)
    }
}

/// What the one pass computes for a reading.
fn question(reading: &Reading) -> Option<Expr> {
    match reading {
        // A condition is summed as the bits it is. polars counts rows in 32 bits, and refuses a table with more.
        Reading::Violations(condition, _) => Some(condition.clone().fill_null(lit(false)).sum().cast(DataType::Int64)),
        Reading::Newest(micros, _) => Some(micros.clone()),
        Reading::Rows | Reading::Alone => None,
    }
}

fn name(index: usize) -> String {
    format!("check {index}")
}

/// The same error once more: a reading is made once and may be asked for several times.
fn copied(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message().to_owned());
    match error.help_text() {
        Some(help) => copy.help(help),
        None => copy,
    }
}

fn duplicates(table: &TableInput, columns: &[Arc<str>], unit: Unit, stop: &Stop) -> Result<Measured> {
    let keys = columns.iter().map(|column| column_of(table, column)).collect::<Result<Vec<_>>>()?;
    if keys.is_empty() {
        return Err(Error::new(ErrorKind::Misconfigured, "no columns to look for duplicates in"));
    }
    let rows = "__windrow_rows";
    let counted = table.scan()?.group_by(keys).agg([len().cast(DataType::Int64).alias(rows)]);
    let grouped = counted.filter(col(rows).gt(lit(1_i64)));
    let surplus = collect(grouped.clone().select([(col(rows) - lit(1_i64)).sum().alias("part")]), stop)?;
    let part = whole_number(&cell(&surplus, "part")?)?;
    let sample = if part == 0 { Vec::new() } else { rendered_rows(&collect(grouped.limit(SAMPLE_ROWS), stop)?)? };
    Ok((in_unit(part, table.rows()?, unit), sample.into_iter().map(|row| row.replace(rows, "rows")).collect()))
}

/// Seconds from the newest value to the end of the window.
fn lag(newest: &AnyValue<'_>, end: jiff::Timestamp, check: &Check) -> Result<Measured> {
    let AnyValue::Int64(micros) = newest else {
        let column = if let Metric::Freshness(column) = &check.metric { column } else { "" };
        return Err(Error::new(ErrorKind::Misconfigured, format!("{NO_ROWS} in column `{column}`")));
    };
    let lag = i128::from(end.as_microsecond()) - i128::from(*micros);
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

/// A count; the sum of nothing is null, and no rows.
fn whole_number(value: &AnyValue<'_>) -> Result<u64> {
    if *value == AnyValue::Null {
        return Ok(0);
    }
    value.extract::<u64>().ok_or_else(|| Error::new(ErrorKind::Internal, "a count is no number"))
}

#[cfg(test)]
mod tests {
    use arrow_array::RecordBatch;
    use arrow_schema::DataType as Arrow;
    use windrow_core::Place;
    use windrow_core::gate::{Severity, Threshold};

    use super::*;
    use crate::fixture::{batch, keep_only, params, schema, write_parquet};

    fn check(metric: Metric) -> Check {
        let place = Place::new("orders.clean.odcs.yaml", 40, 12);
        Check { id: "c".into(), metric, threshold: Threshold::MustBe(Number::whole(0)), severity: Severity::Error, place }
    }

    fn observed(checks: &[Check], table: &TableInput) -> Vec<(usize, Observation)> {
        run_checks(checks, table, &params(), &Stop::default()).unwrap()
    }

    fn observe(metric: Metric) -> Observation {
        let folder = tempfile::tempdir().unwrap();
        let twice = [
            write_parquet(folder.path(), "a.parquet", &batch()),
            write_parquet(folder.path(), "b.parquet", &batch().slice(0, 1)),
        ];
        let table = TableInput { name: "clean_orders".into(), schema: schema(), files: twice.to_vec(), partition: None };
        observed(&[check(metric)], &table).remove(0).1
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
    fn checks_asked_together_see_what_each_sees_alone() {
        let metrics = [
            Metric::RowCount,
            Metric::NullValues("text".into(), Unit::Percent),
            range("price", Some("1.01"), Some("3.32")),
            Metric::NullValues("txt".into(), Unit::Rows),
            values("text", &["a"], None),
            Metric::SqlNumber("SELECT count(*) FROM {object}".into()),
            Metric::Freshness("id".into()),
            Metric::Freshness("at".into()),
            Metric::DuplicateValues(vec!["flag".into()], Unit::Rows),
        ];
        let folder = tempfile::tempdir().unwrap();
        let twice = [
            write_parquet(folder.path(), "a.parquet", &batch()),
            write_parquet(folder.path(), "b.parquet", &batch().slice(0, 1)),
        ];
        let table = TableInput { name: "clean_orders".into(), schema: schema(), files: twice.to_vec(), partition: None };
        let checks: Vec<Check> = metrics.iter().cloned().map(check).collect();
        let together = observed(&checks, &table);
        assert_eq!(together.len(), metrics.len());
        for (metric, (_, seen)) in metrics.into_iter().zip(together) {
            assert_eq!(format!("{seen:?}"), format!("{:?}", observe(metric)));
        }
    }

    /// A file whose column `text` is of another type than declared: whoever reads that column fails.
    fn with_a_misfit(folder: &std::path::Path) -> TableInput {
        let declared = schema();
        let texts = declared.index_of("text").unwrap();
        let mut fields: Vec<_> = declared.fields().iter().map(|field| field.as_ref().clone()).collect();
        fields[texts] = arrow_schema::Field::new("text", Arrow::Int64, true);
        let mut columns = batch().columns().to_vec();
        columns[texts] = columns[declared.index_of("id").unwrap()].clone();
        let other = RecordBatch::try_new(Arc::new(arrow_schema::Schema::new(fields)), columns).unwrap();
        let file = write_parquet(folder, "a.parquet", &other);
        TableInput { name: "clean_orders".into(), schema: declared, files: vec![file], partition: None }
    }

    #[test]
    fn a_broken_check_breaks_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let table = with_a_misfit(folder.path());
        let metrics =
            [Metric::NullValues("id".into(), Unit::Rows), Metric::NullValues("text".into(), Unit::Rows), Metric::RowCount];
        let seen = observed(&metrics.map(check), &table);
        let shown: Vec<String> = seen.iter().map(|(_, seen)| format!("{seen:?}")).collect();
        assert!(shown[0].starts_with("Measured"), "{shown:?}");
        assert!(shown[1].starts_with("Broken"), "{shown:?}");
        assert!(shown[2].starts_with("Measured"), "{shown:?}");
    }

    #[test]
    fn rows_are_counted_without_reading_any_and_other_checks_read_their_columns_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = write_parquet(folder.path(), "a.parquet", &batch());
        keep_only(&file, &["price", "text"]);
        let table = TableInput { name: "t".into(), schema: schema(), files: vec![file], partition: None };
        let metrics =
            [Metric::RowCount, range("price", None, Some("3.33")), Metric::MissingValues("price".into(), Vec::new(), Unit::Rows)];
        let seen = observed(&metrics.map(check), &table);
        let numbers: Vec<String> = seen
            .into_iter()
            .map(|(_, seen)| match seen {
                Observation::Measured { number, .. } => number.to_string(),
                Observation::Broken(why) => why,
            })
            .collect();
        assert_eq!(numbers, ["3", "0", "0"]);
        let unread = observed(&[check(Metric::NullValues("id".into(), Unit::Rows))], &table);
        assert!(matches!(unread[0].1, Observation::Broken(_)), "{unread:?}");
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
        assert!(matches!(observed(&[check(Metric::RowCount)], &table)[0], (0, Observation::Broken(_))));
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
