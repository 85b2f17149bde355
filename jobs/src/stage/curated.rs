//! clean-to-curated: run the contract's transform over the published heads of its inputs, conform, shape, stage.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow_array::RecordBatch;
use jiff::tz::TimeZone;
use rayon::prelude::*;
use tempfile::TempDir;
use windrow_core::contract::{OnViolation, TransformKind, TransformSpec};
use windrow_core::ledger::{InputEntry, RowCounts, inputs_sha256};
use windrow_core::{Contract, Error, ErrorKind, PartitionWindow, Result, Table, ViolationReport};
use windrow_engine::shape::{self, Collector, Memory, OrderedRows, Shaped};
use windrow_engine::{Chunk, Origin, Position, rejects, schema};
use windrow_lake::{Claimed, Head, LakeTable};
use windrow_transform::{Inputs, Kept, Params, QueryError, Sink, SqlTransform, TableInput, Transform};

use crate::functions;
use crate::runtime;
use crate::session::Session;

use super::staging::{self, Stage};
use super::{HIDDEN, evidence, parallel, publish};

/// Computes the curated output of a window from its inputs' heads, staged.
///
/// # Errors
/// `InputMissing` when an input is not published, `SchemaMismatch` when the result breaks the contract, `Misconfigured`
/// for a transform that cannot run, or what the store says.
pub fn clean_to_curated(session: &Session<'_>, contract: &Contract, window: &PartitionWindow) -> Result<Stage> {
    let spec = transform_spec(contract)?;
    let heads = input_heads(session, spec, window)?;
    let table = session.table_for_writing(contract)?;
    let head = session.runtime.block_on(table.resolve(window))?;
    if let Some(head) = &head
        && staging::unchanged(session, &contract.table, head, &inputs_sha256(&entries(&heads))?)?
    {
        verify(session, &heads)?;
        return Ok(Stage::Unchanged(Box::new(head.clone())));
    }
    let turn = session.turn(window, entries(&heads).iter().map(|input| input.size).sum())?;
    let _watched = session.watch_window();
    let claimed = staging::claim(session, &table, window, head.map(|head| head.epoch))?;
    // Resolved once more after the claim, so that a later epoch is never made of earlier inputs.
    let heads = input_heads(session, spec, window)?;
    session.reporter.step(&format!("{} {window} computing", contract.table));
    // The bytes are compared while they are computed with. Damage is the cause of whatever else fails.
    let (verified, computed) = std::thread::scope(|scope| {
        let verifying = scope.spawn(|| verify(session, &heads));
        let computed = session.with_room(window, turn, |turn| {
            let memory = session.window_memory(turn).beside_query();
            Computing::new(session, contract, &heads, window, &memory)?.rows()
        });
        (verifying.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), computed)
    });
    verified?;
    // The turn lasts until the rows are stored.
    let (computed, _turn) = computed?;
    finish(session, contract, &table, &claimed, computed, entries(&heads)).map(Stage::Staged)
}

/// The transform a curated contract declares.
///
/// # Errors
/// `Misconfigured` when there is none.
pub fn transform_spec(contract: &Contract) -> Result<&TransformSpec> {
    contract.transform.as_ref().ok_or_else(|| Error::misconfigured(format!("{} declares no transform", contract.file)))
}

/// The published heads of a transform's inputs, in declared order, verified byte by byte.
///
/// # Errors
/// `InputMissing` when one is not published, `Internal` when one is damaged, else what the store says.
fn input_heads(session: &Session<'_>, spec: &TransformSpec, window: &PartitionWindow) -> Result<Vec<(Table, Head)>> {
    let mut heads = Vec::new();
    for input in &spec.inputs {
        let table = session.table(input)?;
        let head = match &table {
            Some(table) => session.runtime.block_on(table.resolve(window))?,
            None => None,
        };
        let head = head.ok_or_else(|| {
            Error::new(ErrorKind::InputMissing, format!("{input} is not published for {window}"))
                .help(format!("run `windrow run --dataset {} --window {window}` first", input.dataset))
        })?;
        heads.push((input.clone(), head));
    }
    Ok(heads)
}

fn entries(heads: &[(Table, Head)]) -> Vec<InputEntry> {
    heads.iter().flat_map(|(_, head)| head_entries(head)).collect()
}

/// Compares every byte of the inputs with what was published.
fn verify(session: &Session<'_>, heads: &[(Table, Head)]) -> Result<()> {
    parallel::try_each(heads, |(input, head)| {
        let Some(table) = session.table(input)? else { return Ok(()) };
        let verified = session.runtime.block_on(table.verify_head(head));
        verified.map_err(|error| publish::damaged(input, &head.window, error))
    })
}

/// One entry for each file of a head: its key holds table, window and epoch, which is the lineage. A compacted head stands for the
/// epoch that computed its rows, so that compaction makes nothing that reads them stale.
pub fn head_entries(head: &Head) -> Vec<InputEntry> {
    if let Some(origin) = &head.origin {
        return origin.entries();
    }
    let entry = |file: &windrow_lake::HeadFile| InputEntry {
        key: file.key.clone(),
        size: file.size,
        etag: Some(file.sha256.clone()),
        last_modified: None,
    };
    head.files.iter().map(entry).collect()
}

/// A result in its final order.
struct Computed {
    /// How many rows the transform yielded.
    rows_in: u64,
    /// What breaks the contract; the window is put aside then.
    refused: ViolationReport,
    shaped: Shaped,
}

/// What a window is computed from.
struct Computing<'a> {
    session: &'a Session<'a>,
    contract: &'a Contract,
    transform: Box<dyn Transform>,
    inputs: Inputs,
    params: Params,
    memory: &'a Memory,
    /// The inputs' files, where the lake is no folder.
    _downloads: Vec<TempDir>,
}

impl<'a> Computing<'a> {
    fn new(
        session: &'a Session<'a>,
        contract: &'a Contract,
        heads: &[(Table, Head)],
        window: &PartitionWindow,
        memory: &'a Memory,
    ) -> Result<Self> {
        let (mut tables, mut downloads) = (Vec::new(), Vec::new());
        for (table, head) in heads {
            let (input, download) = table_input(session, table, head)?;
            tables.push(input);
            downloads.extend(download);
        }
        let (transform, params) = (transform(session, transform_spec(contract)?)?, params(contract, window)?);
        Ok(Computing {
            session,
            contract,
            transform,
            inputs: Inputs::from_tables(&tables)?,
            params,
            memory,
            _downloads: downloads,
        })
    }

    fn rows(&self) -> Result<Computed> {
        let computed = match self.in_any_order()? {
            Some((rows, rows_in)) => {
                let shaped = Shaped { rows, duplicates: ViolationReport::default() };
                Computed { rows_in, refused: ViolationReport::default(), shaped }
            }
            None => self.in_total_order()?,
        };
        self.session.count_spilled(self.memory.spilled());
        Ok(computed)
    }

    /// The rows of a result that breaks nothing, ordered while they come. An SQL engine yields them in whatever order its threads
    /// finish, so a result of which any row has to be spoken of gives `None`.
    fn in_any_order(&self) -> Result<Option<(OrderedRows, u64)>> {
        let (name, is_refused) = (self.name(), AtomicBool::new(false));
        let begin = || {
            let collector = Collector::of_unordered(self.contract, &self.params.window, self.memory)?;
            Ok(Collecting { collector, name: name.clone(), rows: AtomicU64::new(0), is_refused: &is_refused })
        };
        let collected = self.query(begin);
        if is_refused.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Collecting { collector, rows, .. } = collected?;
        self.session.runtime.check_interrupted()?;
        Ok(collector.order_any()?.map(|ordered| (ordered, rows.into_inner())))
    }

    /// The rows of a result in an order that all their columns give, which their numbers follow, so that evidence of equal results is
    /// equal. It is computed once more and held as a whole.
    fn in_total_order(&self) -> Result<Computed> {
        let batches = self.query(|| Ok(Kept::default()))?.into_batches();
        let rows_in = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let collector = Collector::new(self.contract, &self.params.window, self.memory)?;
        let chunks = chunks(&self.name(), shape::in_total_order(&batches)?);
        drop(batches);
        chunks.into_par_iter().try_for_each(|(position, chunk)| collector.add(position, chunk))?;
        Ok(Computed { rows_in, refused: collector.refused(), shaped: collector.order()? })
    }

    fn query<S: Sink>(&self, begin: impl Fn() -> Result<S>) -> Result<S> {
        let watched = self.session.watch_query();
        let done = windrow_transform::run(self.transform.as_ref(), &self.inputs, &self.params, watched.stop(), begin);
        done.map_err(|failed| match failed {
            // What was told to end says nothing of values.
            QueryError::Engine(error) if watched.stop().reason().is_none() => {
                shown_error(self.session, self.contract, error).unwrap_or_else(|error| error)
            }
            QueryError::Engine(error) | QueryError::Sink(error) => error,
        })
    }

    /// What stands for a file where rows are named.
    fn name(&self) -> Arc<str> {
        format!("{} {} (rows of the result)", self.contract.table, self.params.window).into()
    }
}

/// Takes the rows of a result into a collector, until one is refused.
struct Collecting<'a> {
    collector: Collector<'a>,
    name: Arc<str>,
    rows: AtomicU64,
    is_refused: &'a AtomicBool,
}

impl Sink for Collecting<'_> {
    fn take(&self, number: u32, batch: RecordBatch) -> Result<()> {
        self.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        self.collector.add(Position { file: 0, block: number }, Chunk { batch, origin: Origin::new(self.name.clone(), 1) })?;
        if self.collector.has_refused() {
            self.is_refused.store(true, Ordering::Relaxed);
            // Which rows are refused is told from all of them, in their order.
            return Err(Error::new(ErrorKind::SchemaMismatch, "a row of the result breaks the contract"));
        }
        Ok(())
    }
}

/// Batches as the engine takes them: the rows are the lines of what is named.
fn chunks(name: &Arc<str>, batches: Vec<RecordBatch>) -> Vec<(Position, Chunk)> {
    let mut line: u64 = 1;
    let chunk = |(block, batch): (u32, RecordBatch)| {
        let origin = Origin::new(name.clone(), line);
        line += batch.num_rows() as u64;
        (Position { file: 0, block }, Chunk { batch, origin })
    };
    (0..).zip(batches).map(chunk).collect()
}

/// The engine's error; without its words when a table it speaks of has classified columns.
fn shown_error(session: &Session<'_>, contract: &Contract, error: Error) -> Result<Error> {
    let mut is_hidden = contract.has_classified();
    for input in &transform_spec(contract)?.inputs {
        is_hidden |= session.project.contract(input)?.has_classified();
    }
    Ok(if is_hidden { Error::new(error.kind(), HIDDEN).with("table", &contract.table) } else { error })
}

/// The files of a head as SQL reads them; a lake that is no folder is read through a temporary copy.
///
/// # Errors
/// What the store says.
pub fn table_input(session: &Session<'_>, table: &Table, head: &Head) -> Result<(TableInput, Option<TempDir>)> {
    let keys: Vec<&str> = head.files.iter().map(|file| file.key.as_str()).collect();
    files_input(session, table, &head.window, &keys)
}

/// Files of a table, given by key, as SQL reads them.
///
/// # Errors
/// What the store says.
pub fn files_input(
    session: &Session<'_>,
    table: &Table,
    window: &PartitionWindow,
    keys: &[&str],
) -> Result<(TableInput, Option<TempDir>)> {
    let contract = session.project.contract(table)?;
    let (files, download) = match session.lake.local_folder() {
        Some(folder) => (keys.iter().map(|key| folder.join(key)).collect(), None),
        None => download(session, keys)?,
    };
    let partition = contract.partition().map(|property| (property.name.to_string(), *window));
    let schema = Arc::new(schema::full_schema(contract));
    Ok((TableInput { name: sql_name(table), schema, files, partition }, download))
}

fn download(session: &Session<'_>, keys: &[&str]) -> Result<(Vec<PathBuf>, Option<TempDir>)> {
    let failed = |error| Error::new(ErrorKind::Transient, "cannot write a temporary copy").caused_by(error);
    let folder = TempDir::new().map_err(failed)?;
    let mut files = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let path = folder.path().join(format!("{index}.parquet"));
        let bytes = session.runtime.block_on(session.lake.get_bytes(key))?;
        std::fs::write(&path, bytes).map_err(failed)?;
        files.push(path);
    }
    Ok((files, Some(folder)))
}

/// The name of a table in SQL: `clean_orders`.
pub fn sql_name(table: &Table) -> String {
    format!("{}_{}", table.layer, table.dataset)
}

/// The transform as it can be run.
///
/// # Errors
/// `Misconfigured` when SQL file or function do not exist.
pub fn transform(session: &Session<'_>, spec: &TransformSpec) -> Result<Box<dyn Transform>> {
    match &spec.kind {
        TransformKind::Sql(file) => {
            let text =
                session.project.sql(file).ok_or_else(|| Error::misconfigured(format!("jobs/sql/{file} does not exist")))?;
            Ok(Box::new(SqlTransform::new(format!("jobs/sql/{file}"), text)))
        }
        TransformKind::Rust(name) => Ok(Box::new(functions::registry().get(name)?)),
    }
}

/// The run's own facts for SQL.
///
/// # Errors
/// `Misconfigured` for an unknown zone, `Usage` for a window outside the calendar.
pub fn params(contract: &Contract, window: &PartitionWindow) -> Result<Params> {
    let zone = TimeZone::get(&contract.window.zone).map_err(|error| Error::misconfigured("unknown zone").caused_by(error))?;
    Params::new(*window, &zone, runtime::now())
}

fn finish(
    session: &Session<'_>,
    contract: &Contract,
    table: &LakeTable,
    claimed: &Claimed,
    computed: Computed,
    inputs: Vec<InputEntry>,
) -> Result<staging::StagedWindow> {
    debug_assert!(contract.on_violation == OnViolation::Fail, "only raw and clean contracts divert rows");
    let Computed { rows_in, refused, shaped } = computed;
    if !refused.is_empty() {
        return Err(evidence::quarantine_data(session, table, claimed, &refused, rows_in)?);
    }
    if shaped.duplicates.counts().any(|(code, ..)| code != windrow_core::Code::DuplicateDropped) {
        return Err(evidence::quarantine_data(session, table, claimed, &shaped.duplicates, rows_in)?);
    }
    if !shaped.duplicates.is_empty() {
        let bytes = rejects::rejects_parquet(&shaped.duplicates)?;
        session.runtime.block_on(table.put_rejects(claimed, bytes))?;
    }
    session.runtime.check_interrupted()?;
    let rows = RowCounts { read: rows_in, written: shaped.rows.len() as u64, rejected: shaped.duplicates.rejected_rows() };
    staging::stage(session, table, claimed, contract, &shaped.rows, inputs, rows)
}
