//! `windrow contract lint|schema`: every finding before a run makes it, and the JSON Schema for editors.

use clap::Subcommand;
use serde_json::json;
use windrow_core::{Error, ErrorKind, Result, contract};

use crate::cli::Common;
use crate::project::{self, Project};
use crate::report::{RESULT_SCHEMA, Reporter, count, error_json, finding_json};
use crate::{lint, runtime};

/// Arguments of `windrow contract`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windrow contract lint
  windrow contract schema > odcs.schema.json     # then name it in your editor's YAML settings")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check contracts, SQL, checks and profiles of the project
    Lint,
    /// Print the JSON Schema of contracts
    Schema,
}

/// Lints the project or prints the schema.
///
/// # Errors
/// `Misconfigured` when there is no project; findings are the result, with exit code 78.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    match args.action {
        Action::Lint => lint_project(reporter),
        Action::Schema => {
            let schema = contract::json_schema();
            let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
            reporter.result(&schema, &text)?;
            Ok(0)
        }
    }
}

fn lint_project(reporter: &Reporter) -> Result<u8> {
    let common = reporter.common();
    let root = project::find_root(common.project.as_deref(), &runtime::current_dir()?)?;
    let (project, mut findings) = Project::load_with_findings(&root, common.lake.as_deref(), common.profile.as_deref())?;
    if findings.is_empty() {
        findings = lint::all(&project);
    }
    reporter.findings(&findings);
    let contracts = project.contracts().count() as u64;
    let code = if findings.is_empty() { 0 } else { ErrorKind::Misconfigured.exit_code() };
    let text = if findings.is_empty() {
        format!("{} and their SQL and checks: no finding", count(contracts, "contract"))
    } else {
        format!("{} (exit {code})", count(findings.len() as u64, "finding"))
    };
    let found: Vec<_> = findings.iter().map(finding_json).collect();
    let failure = (!findings.is_empty()).then(|| Error::from_diagnostics(ErrorKind::Misconfigured, findings));
    let result = json!({
        "schema": RESULT_SCHEMA,
        "verb": "contract lint",
        "contracts": contracts,
        "findings": found,
        "exit_code": code,
        "error": failure.as_ref().map(error_json),
        "alert": failure.as_ref().map(|error| reporter.alert(error)),
    });
    reporter.result(&result, &text)?;
    Ok(code)
}
