//! Derived columns: what a clean contract copies or computes, row by row, from the raw columns.
//!
//! Rows are neither added, dropped nor moved: copied columns do not pass through polars at all, and expressions see
//! one row. A value that cannot be computed (a cast that fails, a number that outgrows its type) names its row.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use windrow_core::contract::Property;
use windrow_core::{Code, Contract, Diagnostic, Error, ErrorKind, Place, Result, suggest};

use crate::bridge;
use crate::input::Inputs;
use crate::lint::{Findings, Grain, check_plan, check_tree, columns_of, compare};
use crate::parse::parse_expression;
use crate::run::collect;
use crate::stop::Stop;
use crate::text::SqlText;
use crate::transform::plan_text;

/// The table name expressions stand in; they need not use it.
const RAW: &str = "raw";

/// The Arrow field of a declared property, as the engine stores it: `windrow_engine::schema::arrow_field`.
pub type Declare = fn(&Property) -> Field;

/// A value that could not be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeriveFailure {
    /// The first offending row of the batch, from 0.
    pub row: usize,
    /// The column of the clean contract.
    pub column: String,
    /// Where its expression is declared.
    pub place: Place,
    /// What went wrong.
    pub message: String,
}

/// Why a batch could not be derived.
#[derive(Debug)]
pub enum DeriveError {
    /// A row's value could not be computed; the data or the expression is wrong.
    Row(DeriveFailure),
    /// Anything else.
    Other(Error),
}

impl From<Error> for DeriveError {
    fn from(error: Error) -> Self {
        DeriveError::Other(error)
    }
}

impl From<DeriveError> for Error {
    fn from(error: DeriveError) -> Self {
        match error {
            DeriveError::Other(error) => error,
            DeriveError::Row(failure) => {
                let title = format!("column `{}` cannot be computed: {}", failure.column, failure.message);
                let finding = Diagnostic::new(Code::DerivedValue, failure.place, title);
                Error::from_diagnostics(ErrorKind::SchemaMismatch, vec![finding]).with("row", failure.row)
            }
        }
    }
}

/// A clean contract compiled against a raw schema; applied to any number of batches.
#[derive(Clone, Debug)]
pub struct Derivation {
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    field: Field,
    origin: Origin,
}

/// Where a column's values come from.
#[derive(Clone, Debug)]
enum Origin {
    Copy(String),
    Compute { query: String, reads: Vec<String>, place: Place },
}

impl Derivation {
    /// Compiles the expressions of a contract.
    ///
    /// # Errors
    /// `Misconfigured` with every finding of [`lint_derive`].
    pub fn compile(contract: &Contract, raw: &Schema, declare: Declare) -> Result<Self> {
        let mut columns = Vec::new();
        let mut findings = Vec::new();
        for property in derived_properties(contract) {
            match compile_column(contract, property, raw, declare) {
                Ok(column) => columns.push(column),
                Err(list) => findings.extend(list),
            }
        }
        if findings.is_empty() {
            Ok(Derivation { columns })
        } else {
            Err(Error::from_diagnostics(ErrorKind::Misconfigured, findings))
        }
    }

    /// Computes the clean columns of a batch, in contract order; the same rows in the same order.
    ///
    /// # Errors
    /// [`DeriveError::Row`] for the first row, in row order, that some expression fails on.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, DeriveError> {
        let mut arrays = Vec::new();
        let mut first: Option<DeriveFailure> = None;
        for column in &self.columns {
            match column.values(batch) {
                Ok(array) => arrays.push(array),
                Err(DeriveError::Row(failure)) if first.as_ref().is_none_or(|first| failure.row < first.row) => {
                    first = Some(failure)
                }
                Err(DeriveError::Row(_)) => {}
                Err(other) => return Err(other),
            }
        }
        if let Some(failure) = first {
            return Err(DeriveError::Row(failure));
        }
        let typed = self
            .columns
            .iter()
            .zip(&arrays)
            .map(|(column, array)| Field::new(column.field.name(), array.data_type().clone(), true));
        let schema = Arc::new(Schema::new(typed.collect::<Vec<_>>()));
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(schema, arrays, &options).map_err(|error| {
            Error::new(ErrorKind::Internal, "derived columns have different numbers of rows").caused_by(error).into()
        })
    }
}

/// Derives one batch; [`Derivation`] serves many.
///
/// # Errors
/// Those of [`Derivation::compile`] and [`Derivation::apply`].
pub fn derive(contract: &Contract, raw: &Schema, declare: Declare, batch: &RecordBatch) -> Result<RecordBatch, DeriveError> {
    Derivation::compile(contract, raw, declare)?.apply(batch)
}

/// Every finding in the sources and expressions of a clean contract, at places inside the contract.
pub fn lint_derive(contract: &Contract, raw: &Schema, declare: Declare) -> Vec<Diagnostic> {
    let columns = derived_properties(contract).map(|property| compile_column(contract, property, raw, declare));
    columns.filter_map(std::result::Result::err).flatten().collect()
}

/// All properties but a partition column that is neither copied nor computed.
fn derived_properties(contract: &Contract) -> impl Iterator<Item = &Property> {
    contract.properties.iter().filter(|property| !property.partitioned || property.logic.is_some() || property.source.is_some())
}

fn compile_column(contract: &Contract, property: &Property, raw: &Schema, declare: Declare) -> Result<Column, Vec<Diagnostic>> {
    let field = declare(property);
    let origin = match &property.logic {
        Some((text, place)) => compile_expression(text, place, raw, &field)?,
        None => compile_copy(contract, property, raw, &field)?,
    };
    Ok(Column { field, origin })
}

fn compile_copy(contract: &Contract, property: &Property, raw: &Schema, field: &Field) -> Result<Origin, Vec<Diagnostic>> {
    let source = property.source.as_ref().unwrap_or(&property.name);
    let finding = |code, title: String, help: String| {
        let line = contract.line(&property.place);
        let length = line.chars().count();
        vec![Diagnostic::new(code, property.place.clone(), title).excerpt(line, 0, length).help(help)]
    };
    let names: Vec<&str> = raw.fields().iter().map(|field| field.name().as_str()).collect();
    let Ok(found) = raw.field_with_name(source) else {
        let title = format!("no raw column `{source}` to copy `{}` from", property.name);
        return Err(finding(Code::ContractReference, title, suggest::hint(source, &names)));
    };
    match compare(found.data_type(), field) {
        Some((title, help)) => {
            let cast = as_logic(&help, source, field);
            let help = if cast.starts_with("CAST") { format!("write transformLogic: {cast}") } else { cast };
            Err(finding(Code::SqlType, title, help))
        }
        None => Ok(Origin::Copy(source.to_string())),
    }
}

fn compile_expression(text: &str, place: &Place, raw: &Schema, field: &Field) -> Result<Origin, Vec<Diagnostic>> {
    let sql = SqlText { text, file: &place.file, origin: (place.line, place.column) };
    let expression = parse_expression(&sql)?;
    let rendered = sql.replaced(Vec::new());
    let mut findings = Findings::new(&sql, &rendered);
    let tables = [(RAW.to_owned(), Arc::new(raw.clone()))];
    check_tree(&expression, Grain::Row, &tables, &mut findings);
    // The closing bracket stands on its own line: the expression may end in a comment.
    let query = format!("SELECT (\n{text}\n) AS \"{}\" FROM {RAW}", field.name().replace('"', "\"\""));
    if findings.is_empty() {
        let schema = check_plan(&expression, &query, &tables, &mut findings);
        let found = schema.and_then(|schema| schema.fields().first().cloned());
        if let Some((title, help)) = found.and_then(|found| compare(found.data_type(), field)) {
            findings.at_start(Code::SqlType, title, Some(as_logic(&help, text.trim(), field)));
        }
    }
    if !findings.is_empty() {
        return Err(findings.into_list());
    }
    let used = columns_of(&expression);
    let mut reads: Vec<String> =
        raw.fields().iter().map(|field| field.name().clone()).filter(|name| used.contains(name)).collect();
    if reads.is_empty() {
        // An expression of literals still needs rows.
        reads.extend(raw.fields().first().map(|field| field.name().clone()));
    }
    Ok(Origin::Compute { query, reads, place: place.clone() })
}

impl Column {
    fn values(&self, batch: &RecordBatch) -> Result<ArrayRef, DeriveError> {
        match &self.origin {
            Origin::Copy(source) => Ok(column_named(batch, source)?),
            Origin::Compute { query, reads, place } => {
                let needed = needed(batch, reads)?;
                compute(query, &needed).map_err(|error| self.locate(query, &needed, place, error))
            }
        }
    }

    /// The first failing row: the shortest failing prefix ends with it.
    fn locate(&self, query: &str, batch: &RecordBatch, place: &Place, error: Error) -> DeriveError {
        if !matches!(error.kind(), ErrorKind::Misconfigured | ErrorKind::SchemaMismatch) || batch.num_rows() == 0 {
            return DeriveError::Other(error);
        }
        let (mut good, mut bad) = (0, batch.num_rows());
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if compute(query, &batch.slice(0, middle)).is_ok() { good = middle } else { bad = middle }
        }
        let message = compute(query, &batch.slice(bad - 1, 1)).err().map_or_else(|| error.to_string(), |error| error.to_string());
        DeriveError::Row(DeriveFailure { row: bad - 1, column: self.field.name().clone(), place: place.clone(), message })
    }
}

/// The advice for a SELECT as an expression of its own.
fn as_logic(help: &str, inner: &str, field: &Field) -> String {
    let alias = format!(" AS {}", field.name());
    help.replace(&alias, "").replace('…', inner)
}

fn needed(batch: &RecordBatch, reads: &[String]) -> Result<RecordBatch> {
    let arrays = reads.iter().map(|name| column_named(batch, name)).collect::<Result<Vec<_>>>()?;
    let columns = reads.iter().map(String::as_str).zip(arrays).map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|error| Error::new(ErrorKind::Internal, "raw columns of different lengths").caused_by(error))
}

fn column_named(batch: &RecordBatch, name: &str) -> Result<ArrayRef> {
    let missing = || Error::new(ErrorKind::Internal, "the batch lacks a column of the raw schema").with("column", name);
    batch.column_by_name(name).cloned().ok_or_else(missing)
}

fn compute(query: &str, batch: &RecordBatch) -> Result<ArrayRef> {
    let inputs = Inputs::new().with_batches(RAW, &batch.schema(), std::slice::from_ref(batch))?;
    let mut frame = collect(plan_text(query, &inputs)?, &Stop::default())?;
    frame.rechunk_mut();
    let wrong = || Error::new(ErrorKind::Internal, "an expression changed the number of rows").with("query", query);
    if frame.height() != batch.num_rows() {
        return Err(wrong());
    }
    let batches = bridge::from_polars_whole(frame)?;
    batches.columns().first().cloned().ok_or_else(wrong)
}

#[cfg(test)]
#[path = "derive_tests.rs"]
mod tests;
