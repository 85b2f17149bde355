//! The stage verbs: one state of the state machine each. `windrow run` walks the same functions in one process.

use serde_json::{Value, json};
use windrow_core::ledger::Reason;
use windrow_core::{Epoch, Error, ErrorKind, Layer, PartitionWindow, Result, Table};

use crate::cli::{Common, EpochArgs, TableArgs, TripArgs};
use crate::observe::{self, Facts, Subject};
use crate::report::{RESULT_SCHEMA, Reporter, count};
use crate::session::Session;
use crate::stage::staging::Stage;
use crate::stage::{clean, curated, evidence, gate, publish, walk};
use crate::{alert, lint};

/// Arguments of `windrow raw-to-clean`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windrow raw-to-clean --dataset flights --window 2013-01-01")]
pub struct RawToCleanArgs {
    #[command(flatten)]
    table: TableArgs,
    /// Compute the window again although nothing changed
    #[arg(long, env = "WINDROW_FORCE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    force: bool,
    #[command(flatten)]
    trip: TripArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `windrow clean-to-curated`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windrow clean-to-curated --dataset flights --window 2013-01-01")]
pub struct CleanToCuratedArgs {
    #[command(flatten)]
    table: TableArgs,
    /// Compute the window again although nothing changed
    #[arg(long, env = "WINDROW_FORCE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    force: bool,
    #[command(flatten)]
    trip: TripArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `windrow check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  windrow check --dataset flights --layer clean --window 2013-01-01\n\nA FAIL is a result with exit code 0; `publish` and `run` turn it into exit code 80."
)]
pub struct CheckArgs {
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    epoch: EpochArgs,
    #[command(flatten)]
    trip: TripArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `windrow publish`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windrow publish --dataset flights --layer clean --window 2013-01-01")]
pub struct PublishArgs {
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    epoch: EpochArgs,
    #[command(flatten)]
    trip: TripArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Stages the clean output of a window.
///
/// # Errors
/// As [`clean::raw_to_clean`].
pub fn raw_to_clean(args: &RawToCleanArgs, reporter: &Reporter) -> Result<u8> {
    let mut session = Session::open(reporter, Reason::Schedule, args.force)?.on_trip(&args.trip);
    let table = Table::new(Layer::Clean, args.table.dataset.clone());
    let window = session.window(&table, args.table.window)?;
    let subject = Subject { verb: "raw-to-clean", table: &table, window: &window, is_called: true };
    session.force_failed(std::slice::from_ref(&table), &[window])?;
    let work = || {
        lint::require_clean(&session.project, std::slice::from_ref(&table))?;
        clean::raw_to_clean(&session, session.project.contract(&table)?, &window)
    };
    let stage = observe::stage(&session, subject, work, Facts::staged)?;
    staged(&session, "raw-to-clean", &table, &window, &stage)
}

/// Stages the curated output of a window.
///
/// # Errors
/// As [`curated::clean_to_curated`].
pub fn clean_to_curated(args: &CleanToCuratedArgs, reporter: &Reporter) -> Result<u8> {
    let mut session = Session::open(reporter, Reason::Schedule, args.force)?.on_trip(&args.trip);
    let table = Table::new(Layer::Curated, args.table.dataset.clone());
    let window = session.window(&table, args.table.window)?;
    let subject = Subject { verb: "clean-to-curated", table: &table, window: &window, is_called: true };
    session.force_failed(std::slice::from_ref(&table), &[window])?;
    let work = || {
        lint::require_clean(&session.project, std::slice::from_ref(&table))?;
        curated::clean_to_curated(&session, session.project.contract(&table)?, &window)
    };
    let stage = observe::stage(&session, subject, work, Facts::staged)?;
    staged(&session, "clean-to-curated", &table, &window, &stage)
}

fn staged(session: &Session<'_>, verb: &str, table: &Table, window: &PartitionWindow, stage: &Stage) -> Result<u8> {
    let (text, fields) = match stage {
        Stage::Unchanged(head) => (
            format!("{table} {window}: nothing changed, epoch {} is published", head.epoch.get()),
            json!({"status": "unchanged", "epoch": head.epoch.get(), "rows_out": head.rows, "content_sha256": head.content_sha256()}),
        ),
        Stage::Staged(staged) => (
            format!(
                "{table} {window}: {} staged as epoch {}; next: windrow check --dataset {} --layer {} --window {window}",
                count(staged.rows.written, "row"),
                staged.epoch.get(),
                table.dataset,
                table.layer,
            ),
            json!({
                "status": "staged",
                "epoch": staged.epoch.get(),
                "rows_in": staged.rows.read,
                "rows_out": staged.rows.written,
                "rows_rejected": staged.rows.rejected,
                "files": staged.files,
                "bytes": staged.bytes,
                "memory": session.memory.to_json(),
            }),
        ),
    };
    finish(session, verb, table, window, fields, &text)
}

fn gate_table(table: &TableArgs, epoch: &EpochArgs) -> Table {
    Table::new(epoch.layer, table.dataset.clone())
}

/// Runs the gate on a staged output. PASS and FAIL both are exit code 0: the answer is the result.
///
/// # Errors
/// `Misconfigured` when nothing is staged, else what the store says.
pub fn check(args: &CheckArgs, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Schedule, false)?.on_trip(&args.trip);
    let table = gate_table(&args.table, &args.epoch);
    let window = &session.window(&table, args.table.window)?;
    let subject = Subject { verb: "check", table: &table, window, is_called: true };
    let work = || gate::check(&session, &table, window, args.epoch.epoch);
    let (epoch, answer) = observe::stage(&session, subject, work, |(epoch, answer)| Facts::gate(*epoch, answer))?;
    let failed: Vec<_> = answer.checks.iter().filter(|check| !check.passed).map(evidence::gate_finding).collect();
    reporter.findings(&failed);
    let passed = gate::passed(&answer);
    let word = if passed { "PASS" } else { "FAIL" };
    let text = format!(
        "{table} {window} epoch {}: {word}, {} of {} checks held",
        epoch.get(),
        answer.checks.len() - failed.len(),
        answer.checks.len()
    );
    // A text in any case: the state machine selects it before it looks at the answer.
    let alert = if passed { String::new() } else { alert::not_passed(&reporter.subject(), &answer.failed_checks) };
    let value = json!({"status": word, "alert": alert, "failed_checks": answer.failed_checks, "epoch": epoch.get(), "profile": answer.profile, "checks": answer.checks});
    finish(&session, "check", &table, window, value, &text)
}

/// Publishes a staged output that passed; a FAIL puts it into quarantine and is exit code 80.
///
/// # Errors
/// `QualityFailed`, `Fenced`, `Misconfigured`, or what the store says.
pub fn publish(args: &PublishArgs, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Schedule, false)?.on_trip(&args.trip);
    let table = gate_table(&args.table, &args.epoch);
    let window = &session.window(&table, args.table.window)?;
    let subject = Subject { verb: "publish", table: &table, window, is_called: true };
    let work = || match publish::publish(&session, &table, window, args.epoch.epoch) {
        Err(error) if error.kind() == ErrorKind::QualityFailed => Err(refused(&session, &table, window, args.epoch.epoch)?),
        published => published,
    };
    let published = observe::stage(&session, subject, work, Facts::published)?;
    let view = published.view.as_deref().map(|key| session.shown(key));
    let superseded = published.head > published.epoch;
    let text = if superseded {
        let (epoch, head) = (published.epoch.get(), published.head.get());
        format!("{table} {window}: epoch {epoch} is recorded as published, but epoch {head} was claimed later and stays the head")
    } else {
        let view = view.as_ref().map(|view| format!(", {view}")).unwrap_or_default();
        format!("{table} {window}: epoch {} is published{view}", published.epoch.get())
    };
    finish(
        &session,
        "publish",
        &table,
        window,
        json!({"status": if superseded { "superseded" } else { "published" }, "epoch": published.epoch.get(), "head": published.head.get(), "view": view}),
        &text,
    )
}

/// Evaluates the gate again for its full answer, and puts the epoch aside.
fn refused(session: &Session<'_>, table: &Table, window: &PartitionWindow, epoch: Option<Epoch>) -> Result<Error> {
    let (epoch, answer) = gate::check(session, table, window, epoch)?;
    walk::reject(session, table, window, epoch, &answer)
}

/// Prints what a verb did to one table of one window.
pub(super) fn finish(
    session: &Session<'_>,
    verb: &str,
    table: &Table,
    window: &PartitionWindow,
    fields: Value,
    text: &str,
) -> Result<u8> {
    let mut result = json!({
        "schema": RESULT_SCHEMA,
        "verb": verb,
        "dataset": table.dataset.as_str(),
        "layer": table.layer.as_str(),
        "window": window.to_string(),
        "run_id": session.run_id.as_str(),
        "status": "ok",
        "exit_code": 0,
    });
    if let (Some(result), Value::Object(fields)) = (result.as_object_mut(), fields) {
        result.extend(fields);
    }
    session.reporter.finish();
    session.reporter.result(&result, text)?;
    Ok(0)
}
