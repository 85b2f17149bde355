//! raw-to-clean: read strictly, derive, conform, shape, stage.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use windrow_core::contract::{Late, OnViolation};
use windrow_core::gate::{self, Observation, Status};
use windrow_core::ledger::{ErrorClass, InputEntry, RowCounts, inputs_sha256};
use windrow_core::violation::ViolationReport;
use windrow_core::{Code, Contract, Error, ErrorKind, Layer, PartitionWindow, Result, Table, Violation};
use windrow_engine::read::{self, ReadOptions};
use windrow_engine::shape::{self, Collector, Shaped};
use windrow_engine::{Chunk, Position, form, rejects, schema};
use windrow_lake::{Claimed, Discovery, Head, LakeTable};
use windrow_transform::{Derivation, DeriveError, DeriveFailure};

use crate::session::Session;
use crate::turns::Turn;

use super::staging::{self, Stage};
use super::{HIDDEN, evidence, input};

/// Computes the clean output of a window from its raw files, staged.
///
/// A window whose data breaks the contract is put into quarantine here, and the error says so.
///
/// # Errors
/// `InputMissing`, `SchemaMismatch`, `CorruptInput`, `QualityFailed`, `Misconfigured`, or what the store says.
pub fn raw_to_clean(session: &Session<'_>, clean: &Contract, window: &PartitionWindow) -> Result<Stage> {
    let raw = session.project.contract(&Table::new(Layer::Raw, clean.dataset().clone()))?;
    let found = match input::discover(session, raw, window) {
        Err(error) if error.kind() == ErrorKind::InputMissing => {
            return kept_without_input(session, raw, clean, window)?.map_or(Err(error), |head| Ok(Stage::Unchanged(head)));
        }
        found => found?,
    };
    let table = session.table_for_writing(clean)?;
    let head = session.runtime.block_on(table.resolve(window))?;
    if let Some(head) = late_or_unchanged(session, raw, clean, &found, head.as_ref())? {
        return Ok(Stage::Unchanged(Box::new(head)));
    }
    // Not claimed before it can be computed: others would wait for a window that waits itself.
    let turn = session.turn(window, found.inputs.iter().map(|input| input.entry().size).sum())?;
    let _watched = session.watch_window();
    let claimed = staging::claim(session, &table, window, head.map(|head| head.epoch))?;
    // Listed once more after the claim, so that a later epoch is never made of earlier files.
    let found = input::discover(session, raw, window)?;
    let job = Job { session, raw, clean, window, table: &table, claimed: &claimed, turn: &turn };
    job.run(&found).map(Stage::Staged)
}

/// The head of a window whose raw files are gone, when the contract ignores what becomes of them afterwards.
fn kept_without_input(
    session: &Session<'_>,
    raw: &Contract,
    clean: &Contract,
    window: &PartitionWindow,
) -> Result<Option<Box<Head>>> {
    let Some(table) = session.table(&clean.table)?.filter(|_| raw.late == Late::Ignore) else { return Ok(None) };
    let head = session.runtime.block_on(table.resolve(window))?;
    Ok(match head {
        Some(head) if has_same_rules(session, clean, &head)? => Some(Box::new(head)),
        _ => None,
    })
}

/// The head, when it stays: nothing changed, or late files are to be ignored.
fn late_or_unchanged(
    session: &Session<'_>,
    raw: &Contract,
    clean: &Contract,
    found: &Discovery,
    head: Option<&Head>,
) -> Result<Option<Head>> {
    let Some(head) = head else { return Ok(None) };
    let entries: Vec<_> = found.inputs.iter().map(|input| input.entry()).collect();
    let inputs = inputs_sha256(&entries)?;
    if staging::unchanged(session, &clean.table, head, &inputs)? {
        return Ok(Some(head.clone()));
    }
    let is_late = head.staged.document().inputs_sha256 != inputs;
    let is_forced = session.is_forced(&clean.table, &head.window);
    match raw.late {
        Late::Ignore if is_late && has_same_rules(session, clean, head)? => Ok(Some(head.clone())),
        Late::Fail if is_late && !is_forced => Err(late_files(clean, head, &entries)),
        _ => Ok(None),
    }
}

/// Tells whether nothing but the raw files can be new: what is ignored is a late file, not a corrected contract or program.
fn has_same_rules(session: &Session<'_>, clean: &Contract, head: &Head) -> Result<bool> {
    let config = session.project.config_sha256(&clean.table)?;
    let is_forced = session.is_forced(&clean.table, &head.window);
    Ok(!is_forced && head.is_current(&head.staged.document().inputs_sha256, &config, &session.code))
}

fn late_files(clean: &Contract, head: &Head, today: &[InputEntry]) -> Error {
    let before = &head.staged.document().inputs;
    let is_known = |input: &InputEntry, list: &[InputEntry]| list.contains(input);
    let mut keys: Vec<&str> = today.iter().filter(|input| !is_known(input, before)).map(|input| input.key.as_str()).collect();
    keys.extend(before.iter().filter(|input| !today.iter().any(|now| now.key == input.key)).map(|input| input.key.as_str()));
    let shown = keys.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    let more = if keys.len() > 3 { format!(" and {} more", keys.len() - 3) } else { String::new() };
    let (dataset, window) = (clean.dataset(), head.window);
    Error::new(ErrorKind::SchemaMismatch, "raw files of a published window changed, and the contract says `late: fail`")
        .with("table", &clean.table)
        .with("changed", format!("{shown}{more}"))
        .help(format!(
            "nothing is put aside: take the files away, or take them in with `windrow run --dataset {dataset} --window {window} --force`"
        ))
}

/// How many rows that an expression fails on are looked for; the first few show what is wrong.
const MAX_FAILED_ROWS: u64 = 20;

struct Job<'a> {
    session: &'a Session<'a>,
    raw: &'a Contract,
    clean: &'a Contract,
    window: &'a PartitionWindow,
    table: &'a LakeTable,
    claimed: &'a Claimed,
    turn: &'a Turn<'a>,
}

impl Job<'_> {
    fn run(&self, found: &Discovery) -> Result<staging::StagedWindow> {
        let session = self.session;
        session.reporter.step(&format!("{} {} reading", self.clean.table, self.window));
        let memory = session.window_memory(self.turn);
        let collector = Collector::new(self.clean, self.window, &memory)?;
        let (rows_in, mut refused) = self.read(found, &collector)?;
        let late = collector.refused();
        self.require_tolerable(&late, rows_in, self.clean.on_violation)?;
        refused.merge(late);
        session.runtime.check_interrupted()?;
        session.reporter.step(&format!("{} {} shaping", self.clean.table, self.window));
        let Shaped { rows: ordered, duplicates } = collector.order()?;
        if !duplicates.counts().all(|(code, ..)| code == Code::DuplicateDropped) {
            self.require_tolerable(&duplicates, rows_in, OnViolation::Fail)?;
        }
        refused.merge(duplicates);
        if !refused.is_empty() {
            let bytes = rejects::rejects_parquet(&refused)?;
            session.runtime.block_on(self.table.put_rejects(self.claimed, bytes))?;
        }
        session.runtime.check_interrupted()?;
        let rows = RowCounts { read: rows_in, written: ordered.len() as u64, rejected: refused.rejected_rows() };
        let entries = found.inputs.iter().map(|input| input.entry()).collect();
        session.reporter.step(&format!("{} {} writing", self.clean.table, self.window));
        let staged = staging::stage(session, self.table, self.claimed, self.clean, &ordered, entries, rows);
        session.count_spilled(memory.spilled());
        staged
    }

    /// Reads all files into the collector. What was refused on the way is tolerable, or the error says that it was not.
    fn read(&self, found: &Discovery, collector: &Collector<'_>) -> Result<(u64, ViolationReport)> {
        let session = self.session;
        let files = input::engine_files(&found.inputs);
        let deriving = Deriving::new(self)?;
        let sink = |position: Position, chunk: Chunk| -> Result<()> {
            session.runtime.check_interrupted()?;
            deriving.derive(position, chunk)?.map_or(Ok(()), |chunk| collector.add(position, chunk))
        };
        let options = ReadOptions { block_bytes: session.block_bytes(self.turn) };
        let raw = input::with_open(session, &found.inputs, |open| read::read_each(self.raw, &files, open, &options, &sink))?;
        let mut refused = raw.report;
        self.require_tolerable(&refused, raw.rows_in, self.raw.on_violation)?;
        self.count_rules(raw.rows_in)?;
        let derived = deriving.refused();
        self.require_tolerable(&derived, raw.rows_in, self.clean.on_violation)?;
        refused.merge(derived);
        Ok((raw.rows_in, refused))
    }

    /// How many rows may fail before the window is beyond saving: each costs several passes over its chunk to find.
    fn most_failed_rows(&self) -> u64 {
        match self.clean.on_violation {
            OnViolation::Fail => MAX_FAILED_ROWS,
            OnViolation::QuarantineRows { max_rows, .. } => max_rows.saturating_add(1),
        }
    }

    /// Goes on only when the policy tolerates what was refused; otherwise the window is quarantined and the error says so.
    fn require_tolerable(&self, report: &ViolationReport, rows_in: u64, policy: OnViolation) -> Result<()> {
        if report.is_empty() || tolerates(policy, report, rows_in) {
            return Ok(());
        }
        let error = evidence::quarantine_data(self.session, self.table, self.claimed, report, rows_in)?;
        Err(match policy {
            OnViolation::Fail => error,
            OnViolation::QuarantineRows { max_rows, max_per_million } => {
                let percent =
                    gate::Number::new(i128::from(max_per_million), 4).map(|number| number.to_string()).unwrap_or_default();
                error.with("budget", format!("at most {max_rows} rows and {percent} percent"))
            }
        })
    }

    /// The raw contract's own rules: how many rows there must be.
    fn count_rules(&self, rows_in: u64) -> Result<()> {
        let checks = self.session.project.checks(&self.raw.table);
        if checks.is_empty() {
            return Ok(());
        }
        let number = gate::Number::whole(i128::from(rows_in));
        let observe = |check| gate::judge(check, Observation::Measured { number, sample: Vec::new() });
        let verdict =
            gate::verdict(&self.session.run_id, &self.session.project.profile.name, checks.iter().map(observe).collect());
        if verdict.status == Status::Pass {
            return Ok(());
        }
        let class = ErrorClass { kind: ErrorKind::QualityFailed, code: Some(Code::CheckFailed.as_str().to_owned()) };
        Err(evidence::quarantine_gate(self.session, self.table, self.claimed, &verdict, Some(&class))?)
    }
}

/// How the clean columns come from the raw ones: copied, or computed where a column has an expression.
struct Deriving<'a> {
    job: &'a Job<'a>,
    derivation: Option<Derivation>,
    reports: Mutex<BTreeMap<Position, ViolationReport>>,
}

impl<'a> Deriving<'a> {
    fn new(job: &'a Job<'a>) -> Result<Self> {
        let is_copied = job.clean.properties.iter().all(|property| property.logic.is_none());
        let compile = || Derivation::compile(job.clean, &schema::full_schema(job.raw), schema::arrow_field);
        let derivation = if is_copied { None } else { Some(compile()?) };
        Ok(Deriving { job, derivation, reports: Mutex::default() })
    }

    /// What was refused, in the order of files and lines: the same first rows, whichever thread came first.
    fn refused(self) -> ViolationReport {
        let most = self.job.most_failed_rows();
        let mut all = ViolationReport::default();
        for report in self.reports.into_inner().unwrap_or_else(PoisonError::into_inner).into_values() {
            if all.rejected_rows() >= most {
                break;
            }
            all.merge(report);
        }
        all
    }

    /// How many rows of chunks before this one are known to fail.
    fn failed_before(&self, position: Position) -> u64 {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.range(..position).map(|(_, report)| report.rejected_rows()).sum()
    }

    /// Copies or computes the clean columns. A row whose expression fails is refused like one that cannot be read; `None` when
    /// so many did that the window fails whatever follows.
    fn derive(&self, position: Position, chunk: Chunk) -> Result<Option<Chunk>> {
        let Some(derivation) = &self.derivation else { return shape::project(self.job.clean, &chunk).map(Some) };
        let mut refused = ViolationReport::default();
        let mut chunk = Chunk { batch: form::plain_batch(&chunk.batch)?, origin: chunk.origin };
        let derived = loop {
            if self.failed_before(position) + refused.rejected_rows() >= self.job.most_failed_rows() {
                break None;
            }
            let failure = match derivation.apply(&chunk.batch) {
                Ok(batch) => break Some(Chunk { batch, origin: chunk.origin }),
                Err(DeriveError::Row(failure)) => failure,
                Err(DeriveError::Other(error)) => return Err(error),
            };
            let row = failure.row;
            refused.push(self.violation(failure, &chunk));
            refused.count_rejected_rows(1);
            let kept: Vec<usize> = (0..chunk.batch.num_rows()).filter(|index| *index != row).collect();
            let origin = chunk.origin.select(kept);
            chunk = Chunk { batch: without_row(&chunk.batch, row)?, origin };
        };
        if !refused.is_empty() {
            self.reports.lock().unwrap_or_else(PoisonError::into_inner).insert(position, refused);
        }
        Ok(derived)
    }

    fn violation(&self, failure: DeriveFailure, chunk: &Chunk) -> Violation {
        let clean = self.job.clean;
        let is_hidden = self.job.raw.has_classified() || clean.has_classified();
        let message = if is_hidden { HIDDEN.to_owned() } else { failure.message };
        let mut violation = Violation::of_file(Code::DerivedValue, chunk.origin.file().clone(), message);
        violation.line = chunk.origin.line(failure.row);
        violation.column = Some(failure.column.as_str().into());
        violation.contract = Some(clean.quote(&failure.place));
        violation
    }
}

/// Tells whether a policy lets a window go on without its refused rows. Damage to a file as a whole never passes, nor do
/// more violations than can be listed: every refused row has its reason in rejects.parquet.
fn tolerates(policy: OnViolation, report: &ViolationReport, rows_in: u64) -> bool {
    let OnViolation::QuarantineRows { max_rows, max_per_million } = policy else { return false };
    let whole_file = report.counts().any(|(code, ..)| code.kind() == ErrorKind::CorruptInput || code.as_str().starts_with("W01"));
    let rejected = report.rejected_rows();
    let share_ok = u128::from(rejected) * 1_000_000 <= u128::from(rows_in) * u128::from(max_per_million);
    let is_listed = report.listed().len() as u64 == report.total();
    !whole_file && is_listed && rejected <= max_rows && share_ok
}

fn without_row(batch: &arrow_array::RecordBatch, row: usize) -> Result<arrow_array::RecordBatch> {
    let mask: arrow_array::BooleanArray = (0..batch.num_rows()).map(|index| Some(index != row)).collect();
    arrow_select::filter::filter_record_batch(batch, &mask)
        .map_err(|error| Error::internal("cannot drop a refused row").caused_by(error))
}
