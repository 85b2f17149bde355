//! What a contract, its SQL and its checks get wrong together, found before a window is touched.

use std::sync::Arc;

use arrow_schema::{Field, SchemaRef};
use windrow_core::contract::TransformKind;
use windrow_core::id::{Layer, Table};
use windrow_core::{Code, Contract, Diagnostic, Error, ErrorKind, PartitionWindow, Result, yaml};
use windrow_engine::schema;
use windrow_transform::TableInput;

use crate::functions;
use crate::project::Project;
use crate::stage::curated;

/// Every finding of a project whose files have been read without one.
pub fn all(project: &Project) -> Vec<Diagnostic> {
    let mut findings: Vec<Diagnostic> = project.contracts().flat_map(|contract| table(project, contract)).collect();
    findings.sort_by(|a, b| (&a.place, &a.title).cmp(&(&b.place, &b.title)));
    findings
}

/// Fails when the tables of a run have findings.
///
/// # Errors
/// `Misconfigured` with all of them.
pub fn require_clean(project: &Project, tables: &[Table]) -> Result<()> {
    let mut findings = Vec::new();
    for name in tables {
        findings.extend(table(project, project.contract(name)?));
    }
    if findings.is_empty() { Ok(()) } else { Err(Error::from_diagnostics(ErrorKind::Misconfigured, findings)) }
}

fn table(project: &Project, contract: &Contract) -> Vec<Diagnostic> {
    let mut findings = match contract.layer() {
        Layer::Raw => Vec::new(),
        Layer::Clean => clean(project, contract),
        Layer::Curated => transform(project, contract),
    };
    findings.extend(checks(project, contract));
    findings
}

/// The clean columns: where each comes from, and whether its type can hold it exactly.
fn clean(project: &Project, contract: &Contract) -> Vec<Diagnostic> {
    let Some(raw) = project.contract_of(Layer::Raw, contract.dataset()) else { return Vec::new() };
    windrow_transform::lint_derive(contract, &schema::full_schema(raw), schema::arrow_field)
}

fn transform(project: &Project, contract: &Contract) -> Vec<Diagnostic> {
    let Some(spec) = &contract.transform else { return Vec::new() };
    match &spec.kind {
        TransformKind::Rust(name) => match functions::registry().get(name) {
            Ok(_) => Vec::new(),
            Err(error) => {
                let finding = Diagnostic::new(Code::ContractReference, spec.place.clone(), error.message().to_owned());
                vec![yaml::with_line(finding, &contract.text, 1).help(error.help_text().unwrap_or_default())]
            }
        },
        TransformKind::Sql(file) => sql(project, contract, file),
    }
}

fn sql(project: &Project, contract: &Contract, file: &str) -> Vec<Diagnostic> {
    let (Some(text), Some(spec)) = (project.sql(file), &contract.transform) else { return Vec::new() };
    let tables: Vec<(String, SchemaRef)> = spec
        .inputs
        .iter()
        .filter_map(|input| Some((curated::sql_name(input), Arc::new(schema::full_schema(project.contract(input).ok()?)))))
        .collect();
    let expected: Vec<Field> = result_fields(contract);
    match sample_params(contract) {
        Ok(params) => windrow_transform::lint_select(text, &format!("jobs/sql/{file}"), &tables, &params, Some(&expected))
            .err()
            .unwrap_or_default(),
        Err(error) => vec![Diagnostic::new(Code::ContractValue, spec.place.clone(), error.to_string())],
    }
}

/// What a transform must yield. The partition column may be left out: it is the window.
fn result_fields(contract: &Contract) -> Vec<Field> {
    contract.properties.iter().map(schema::arrow_field).collect()
}

fn checks(project: &Project, contract: &Contract) -> Vec<Diagnostic> {
    if contract.layer() == Layer::Raw {
        return Vec::new();
    }
    let schema = Arc::new(schema::full_schema(contract));
    let table = TableInput { name: curated::sql_name(&contract.table), schema, files: Vec::new(), partition: None };
    match sample_params(contract) {
        Ok(params) => windrow_transform::lint_checks(project.checks(&contract.table), &table, &params),
        Err(error) => vec![Diagnostic::new(Code::ContractValue, contract.window.place.clone(), error.to_string())],
    }
}

/// Some window of the contract's grain: lint plans with it, and reads no data.
fn sample_params(contract: &Contract) -> Result<windrow_transform::Params> {
    let window = PartitionWindow::containing(contract.window.grain, jiff::civil::DateTime::constant(2024, 1, 1, 0, 0, 0, 0));
    curated::params(contract, &window)
}
