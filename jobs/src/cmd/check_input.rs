//! `windrow check-input`: the raw files of everything a dataset's output is made of, all of them and all findings at once.

use serde_json::{Map, Value, json};
use windrow_core::ledger::Reason;
use windrow_core::{Contract, Diagnostic, Error, ErrorKind, Layer, PartitionWindow, Result, Table};
use windrow_lake::Discovery;

use crate::cli::{Common, TableArgs, TripArgs};
use crate::observe::{self, Facts, Subject};
use crate::plan;
use crate::report::{Reporter, bytes, count};
use crate::session::Session;
use crate::stage::{evidence, input};

use super::stage::finish;

/// Arguments of `windrow check-input`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windrow check-input --dataset orders --window 2019-03-12
  windrow check-input --dataset orders --window last@2019-03-13T02:00:00Z     # as a scheduler asks")]
pub struct Args {
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    trip: TripArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What was found of the raw files of all inputs.
#[derive(Default)]
struct Found {
    /// Files that are there and have the declared shape so far as it shows in names and headers.
    complete: Vec<(Table, Discovery)>,
    missing: Vec<Error>,
    /// Which inputs have findings, how many, and the failure they amount to.
    refused: Vec<(Table, u64, ErrorKind)>,
    findings: Vec<Diagnostic>,
}

/// Answers whether a window's raw files are there and have the declared shape, for every table the output reads.
///
/// # Errors
/// `SchemaMismatch` or `CorruptInput` with every finding of every input, else `InputMissing` naming every input that is
/// not complete, else what the store says.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Schedule, false)?.on_trip(&args.trip);
    let tables = plan::tables(&session.project, &args.table.dataset)?;
    let target = tables.last().ok_or_else(|| Error::internal("a dataset without any table"))?;
    let window = session.window(target, args.table.window)?;
    let raws = raw_contracts(&session, &tables)?;
    let table = Table::new(Layer::Raw, args.table.dataset.clone());
    let subject = Subject { verb: "check-input", table: &table, window: &window, is_called: true };
    let work = || {
        let mut found = Found::default();
        for raw in &raws {
            look(&session, raw, &window, &mut found)?;
        }
        require_all(&window, found)
    };
    let found = observe::stage(&session, subject, work, |found| Facts::found(found.iter().map(|(_, found)| found)))?;
    let sources: Vec<String> = raws.iter().filter_map(|raw| source(&session, raw, &window)).collect();
    let fields = fields(&tables, &sources, &found);
    finish(&session, "check-input", &table, &window, fields, &text(&window, &found))
}

/// The raw contracts of the clean tables among these, in their order.
fn raw_contracts<'s>(session: &'s Session<'_>, tables: &[Table]) -> Result<Vec<&'s Contract>> {
    let clean = tables.iter().filter(|table| table.layer == Layer::Clean);
    clean.map(|table| session.project.contract(&Table::new(Layer::Raw, table.dataset.clone()))).collect()
}

fn look(session: &Session<'_>, raw: &Contract, window: &PartitionWindow, found: &mut Found) -> Result<()> {
    let discovery = match input::discover(session, raw, window) {
        Err(error) if error.kind() == ErrorKind::InputMissing => {
            found.missing.push(error);
            return Ok(());
        }
        discovered => discovered?,
    };
    let report = input::check_headers(session, raw, &discovery.inputs)?;
    match report.kind() {
        None => found.complete.push((raw.table.clone(), discovery)),
        Some(kind) => {
            found.refused.push((raw.table.clone(), report.total(), kind));
            found.findings.extend(evidence::findings(session, &report, 0, ""));
        }
    }
    Ok(())
}

/// Where a raw table's files of a window are, as people find them.
fn source(session: &Session<'_>, raw: &Contract, window: &PartitionWindow) -> Option<String> {
    raw.input.as_ref().map(|input| session.shown(&format!("raw/{}", window.fill(&input.path))))
}

/// What waiting cannot heal outranks what is not there yet; both are told.
fn require_all(window: &PartitionWindow, found: Found) -> Result<Vec<(Table, Discovery)>> {
    let Found { complete, missing, refused, findings } = found;
    let missing_text = missing.iter().map(Error::message).collect::<Vec<_>>().join("; ");
    let is_damaged = |(_, _, kind): &&(Table, u64, ErrorKind)| *kind == ErrorKind::CorruptInput;
    if let Some((_, _, kind)) = refused.iter().find(is_damaged).or(refused.first()) {
        let each = refused.iter().map(|(table, total, _)| format!("{} in {table}", count(*total, "finding")));
        let mut told: Vec<String> = each.collect();
        told.extend((!missing.is_empty()).then_some(missing_text));
        return Err(Error::new(*kind, told.join("; ")).with("window", window).with_diagnostics(findings));
    }
    let mut missing = missing.into_iter();
    match (missing.next(), missing.len()) {
        (None, _) => Ok(complete),
        (Some(only), 0) => Err(only),
        (Some(_), more) => {
            let message = format!("{} inputs are not complete: {missing_text}", more + 1);
            let help = "wait for the files, or correct `input` in the raw contracts";
            Err(Error::new(ErrorKind::InputMissing, message).with("window", window).help(help))
        }
    }
}

fn fields(tables: &[Table], sources: &[String], found: &[(Table, Discovery)]) -> Value {
    let names =
        |layer| tables.iter().filter(|table| table.layer == layer).map(|table| table.dataset.as_str()).collect::<Vec<_>>();
    let mut files = Map::new();
    for (table, discovery) in found {
        let listed = discovery.inputs.iter().map(|file| json!({"key": file.key, "size": file.size, "etag": file.etag}));
        files.insert(table.to_string(), listed.collect());
    }
    let hidden: Vec<&String> = found.iter().flat_map(|(_, discovery)| &discovery.hidden).collect();
    json!({
        "source": sources.join(", "),
        "clean": names(Layer::Clean),
        "curated": names(Layer::Curated),
        "files": files,
        "bytes": found.iter().map(|(_, discovery)| size(discovery)).sum::<u64>(),
        "hidden": hidden,
    })
}

fn text(window: &PartitionWindow, found: &[(Table, Discovery)]) -> String {
    let line = |(table, discovery): &(Table, Discovery)| {
        format!("{table} {window}: {} {} as declared", count(discovery.inputs.len() as u64, "file"), bytes(size(discovery)))
    };
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn size(discovery: &Discovery) -> u64 {
    discovery.inputs.iter().map(|file| file.size).sum()
}
