//! What a metric is over a table: an expression that one pass over the rows answers, together with those of other checks.

use std::sync::Arc;

use arrow_schema::DataType as Arrow;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use polars::prelude::{DataType, Expr, NamedFrom, Series, TimeUnit, col, lit};
use windrow_core::gate::{Metric, Unit};
use windrow_core::{Error, ErrorKind, Result, suggest};

use crate::failure::guarded;
use crate::input::TableInput;
use crate::params::Params;
use polars::chunked_array::cast::CastOptions;

/// How a metric is measured.
pub(crate) enum Reading {
    /// The number of rows; the files' footers tell.
    Rows,
    /// The rows where a condition holds.
    Violations(Expr, Unit),
    /// The newest value of a column, in microseconds, and the instant it is compared with.
    Newest(Expr, Timestamp),
    /// A query of its own.
    Alone,
}

impl Reading {
    /// How a metric is measured on a table.
    ///
    /// # Errors
    /// `Misconfigured` for an unknown column, a wrong literal or pattern.
    pub(crate) fn of(metric: &Metric, table: &TableInput, params: &Params) -> Result<Reading> {
        match metric {
            Metric::RowCount => Ok(Reading::Rows),
            Metric::NullValues(column, unit) => Ok(Reading::Violations(column_of(table, column)?.is_null(), *unit)),
            Metric::MissingValues(column, texts, unit) => {
                let missing = is_one_of(column_of(table, column)?.cast(DataType::String), texts);
                Ok(Reading::Violations(column_of(table, column)?.is_null().or(missing), *unit))
            }
            Metric::InvalidValues { column, valid, pattern, unit } => {
                Ok(Reading::Violations(invalid(table, column, valid, pattern.as_deref())?, *unit))
            }
            Metric::OutOfRange { column, minimum, maximum, unit } => {
                let outside = out_of_range(table, column, [minimum.as_deref(), maximum.as_deref()])?;
                Ok(Reading::Violations(outside, *unit))
            }
            Metric::Freshness(column) => newest(table, column, params),
            Metric::DuplicateValues(..) | Metric::SqlNumber(_) | Metric::SqlRows(_) => Ok(Reading::Alone),
        }
    }
}

/// A date counts from its midnight.
fn newest(table: &TableInput, name: &str, params: &Params) -> Result<Reading> {
    let end = match field_type(table, name)? {
        Arrow::Timestamp(_, Some(_)) => params.end,
        // What the wall clock showed is compared with what it shows at the window's end.
        Arrow::Timestamp(_, None) | Arrow::Date32 => params.window.instants(&TimeZone::UTC)?.1,
        _ => return Err(Error::new(ErrorKind::Misconfigured, format!("column `{name}` is neither a timestamp nor a date"))),
    };
    let micros = col(name).cast(DataType::Datetime(TimeUnit::Microseconds, None)).max().cast(DataType::Int64);
    Ok(Reading::Newest(micros, end))
}

pub(crate) fn column_of(table: &TableInput, name: &str) -> Result<Expr> {
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
    // Cast here as the engine will, so that a value that is none is told before any row is read.
    let cast = guarded(|| Series::new("x".into(), [text]).cast_with_options(&checked_type(&data_type), CastOptions::Strict));
    cast.map(|_| parsed).map_err(|error| wrong(error.message()))
}

/// The type whose cast from text tells whether a literal is one; dates and timestamps are parsed before.
fn checked_type(data_type: &DataType) -> DataType {
    if matches!(data_type, DataType::Date | DataType::Datetime(..)) { DataType::String } else { data_type.clone() }
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
