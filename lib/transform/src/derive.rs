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
use crate::declared;
use crate::input::Inputs;
use crate::lint::{Findings, Grain, check_plan, check_tree, columns_of, compare};
use crate::parse::parse_expression;
use crate::run::collect;
use crate::text::SqlText;
use crate::transform::plan_text;

/// The table name expressions stand in; they need not use it.
const RAW: &str = "raw";

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
    pub fn compile(contract: &Contract, raw: &Schema) -> Result<Self> {
        let mut columns = Vec::new();
        let mut findings = Vec::new();
        for property in derived_properties(contract) {
            match compile_column(contract, property, raw) {
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
pub fn derive(contract: &Contract, raw: &Schema, batch: &RecordBatch) -> Result<RecordBatch, DeriveError> {
    Derivation::compile(contract, raw)?.apply(batch)
}

/// Every finding in the sources and expressions of a clean contract, at places inside the contract.
pub fn lint_derive(contract: &Contract, raw: &Schema) -> Vec<Diagnostic> {
    let columns = derived_properties(contract).map(|property| compile_column(contract, property, raw));
    columns.filter_map(std::result::Result::err).flatten().collect()
}

/// All properties but a partition column that is neither copied nor computed.
fn derived_properties(contract: &Contract) -> impl Iterator<Item = &Property> {
    contract.properties.iter().filter(|property| !property.partitioned || property.logic.is_some() || property.source.is_some())
}

fn compile_column(contract: &Contract, property: &Property, raw: &Schema) -> Result<Column, Vec<Diagnostic>> {
    let field = declared::field(property);
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
            Err(finding(Code::SqlType, title, format!("write transformLogic: {}", as_logic(&help, source, field))))
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
    help.strip_suffix(&alias).unwrap_or(help).replace('…', inner)
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
    let mut frame = collect(plan_text(query, &inputs)?)?;
    frame.rechunk_mut();
    let wrong = || Error::new(ErrorKind::Internal, "an expression changed the number of rows").with("query", query);
    if frame.height() != batch.num_rows() {
        return Err(wrong());
    }
    let batches = bridge::from_polars_whole(frame)?;
    batches.columns().first().cloned().ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, Date32Array, Int64Array};
    use windrow_core::contract::{DataType, OnViolation, Output, TimePattern, ValueRules, WindowRule};
    use windrow_core::{Grain as WindowGrain, Layer, Table};

    use super::*;
    use crate::fixture::{batch, decimals, schema, texts};

    fn property(name: &str, data_type: DataType, logic: Option<&str>) -> Property {
        let place = Place::new("orders.clean.odcs.yaml", 7, 22);
        Property {
            name: name.into(),
            place: place.clone(),
            type_place: place.clone(),
            data_type,
            required: false,
            key_position: None,
            partitioned: false,
            rules: ValueRules::default(),
            rules_place: place.clone(),
            source: None,
            logic: logic.map(|logic| (logic.to_owned(), place)),
            classification: None,
        }
    }

    fn contract(properties: Vec<Property>) -> Contract {
        let place = Place::file("orders.clean.odcs.yaml");
        Contract {
            file: "orders.clean.odcs.yaml".into(),
            text: "".into(),
            sha256: String::new(),
            id: "orders".into(),
            version: "1.0.0".into(),
            table: Table { dataset: "orders".parse().unwrap(), layer: Layer::Clean },
            properties,
            window: WindowRule { grain: WindowGrain::Day, zone: "UTC".into(), column: None, place },
            input: None,
            reader: None,
            on_violation: OnViolation::Fail,
            late: windrow_core::contract::Late::Rerun,
            dedupe: None,
            sort: vec![],
            output: Output::default(),
            transform: None,
            checks: vec![],
            sql_checks: vec![],
            sla: None,
        }
    }

    const I64: DataType = DataType::Integer { bits: 64, signed: true };
    const TEXT: DataType = DataType::String { format: None };

    fn date() -> DataType {
        DataType::Date { pattern: TimePattern::parse("yyyy-MM-dd").unwrap() }
    }

    fn one(data_type: DataType, logic: &str) -> Result<ArrayRef, DeriveError> {
        let contract = contract(vec![property("x", data_type, Some(logic))]);
        derive(&contract, &schema(), &batch()).map(|batch| batch.column(0).clone())
    }

    fn findings(data_type: DataType, logic: &str) -> Vec<String> {
        lint_derive(&contract(vec![property("x", data_type, Some(logic))]), &schema()).iter().map(Diagnostic::one_line).collect()
    }

    #[test]
    fn columns_are_named_and_ordered_as_declared_and_rows_stay() {
        let mut copied = property("amount", DataType::Decimal { precision: 15, scale: 2 }, None);
        copied.source = Some("price".into());
        let mut partition = property("window_day", date(), None);
        partition.partitioned = true;
        let contract =
            contract(vec![property("label", TEXT, Some("id || '-' || tiny")), copied, partition, property("id", I64, None)]);
        let result = derive(&contract, &schema(), &batch()).unwrap();
        let names: Vec<String> = result.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["label", "amount", "id"]);
        assert_eq!(texts(&result, 0), [format!("{}-1", i64::MAX), "2-2".into(), "3-12".into()]);
        assert_eq!(result.column(1), &decimals(vec![100, 205, 333], 15, 2));
        assert_eq!(result.column(2).as_any().downcast_ref::<Int64Array>().unwrap().values(), &[i64::MAX, 2, 3]);
    }

    #[test]
    fn a_date_is_built_from_year_month_and_day() {
        let array = one(date(), "DATE(year || '-' || tiny || '-' || 5, '%Y-%m-%d')").unwrap();
        assert_eq!(array.as_any().downcast_ref::<Date32Array>().unwrap().values(), &[15_710, 16_106, 16_774]);
    }

    #[test]
    fn the_needed_expressions_work() {
        for (data_type, logic) in [
            (I64, "CAST(year AS BIGINT) * 2 -- twice"),
            (TEXT, "CASE WHEN flag THEN 'y' ELSE 'n' END"),
            (TEXT, "COALESCE(NULLIF(text, 'a'), 'none')"),
            (TEXT, "LPAD(CAST(tiny AS VARCHAR), 2, '0')"),
            (TEXT, "UPPER(TRIM(SUBSTRING(text FROM 1 FOR 2))) || LOWER('X')"),
            (date(), "CAST(at AS DATE)"),
            (DataType::Integer { bits: 32, signed: true }, "EXTRACT(year FROM at)"),
            (TEXT, "'constant'"),
            (DataType::Decimal { precision: 38, scale: 4 }, "CAST(price AS DECIMAL(38,4)) * CAST(discount AS DECIMAL(38,4))"),
        ] {
            assert_eq!(findings(data_type.clone(), logic), [""; 0], "{logic}");
            assert_eq!(one(data_type, logic).unwrap().len(), 3, "{logic}");
        }
    }

    #[test]
    fn the_first_failing_row_is_named() {
        let Err(DeriveError::Row(failure)) = one(DataType::Integer { bits: 8, signed: true }, "CAST(tiny * 11 AS TINYINT)")
        else {
            panic!()
        };
        assert_eq!((failure.row, failure.column.as_str()), (2, "x"));
        let Err(DeriveError::Row(failure)) = one(date(), "CAST(text AS DATE)") else { panic!() };
        assert_eq!(failure.row, 0);
        assert!(failure.message.contains("conversion from `str` to `date` failed"), "{}", failure.message);
        assert_eq!(Error::from(DeriveError::Row(failure)).kind(), ErrorKind::SchemaMismatch);
    }

    #[test]
    fn findings_stand_inside_the_contract() {
        assert_eq!(findings(TEXT, "UPPER(txt)"), ["orders.clean.odcs.yaml:7:28: W0703: unknown column `txt`"]);
        assert_eq!(findings(I64, "sum(id)"), ["orders.clean.odcs.yaml:7:22: W0702: `sum` looks at more than one row"]);
        assert_eq!(
            findings(I64, "row_number() OVER (ORDER BY id)"),
            ["orders.clean.odcs.yaml:7:22: W0702: `row_number` looks at more than one row"]
        );
        assert_eq!(findings(I64, "id +"), ["orders.clean.odcs.yaml:7:26: W0701: expected: an expression, found: EOF"]);
        assert_eq!(findings(TEXT, "id"), ["orders.clean.odcs.yaml:7:22: W0705: column `x` is BIGINT, and VARCHAR is declared"]);
        assert!(findings(I64, "(SELECT max(id) FROM raw)")[0].contains("W0702: a subquery in a row-wise expression"));
        let decimal = DataType::Decimal { precision: 38, scale: 2 };
        assert!(findings(decimal, "price * discount")[0].contains(":7:22: W0704"));
    }

    #[test]
    fn a_copy_of_a_missing_or_other_typed_column_is_refused() {
        let list = lint_derive(&contract(vec![property("pricee", I64, None), property("price", I64, None)]), &schema());
        let lines: Vec<String> =
            list.iter().map(|finding| format!("{} | {}", finding.title, finding.help.clone().unwrap())).collect();
        assert_eq!(
            lines,
            [
                "no raw column `pricee` to copy `pricee` from | did you mean `price`?",
                "column `price` is DECIMAL(15,2), and BIGINT is declared | write transformLogic: CAST(price AS BIGINT)",
            ]
        );
    }
}
