//! What raw-to-clean and clean-to-curated share: claim an epoch, write the parts, register them as staged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::Schema;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use windrow_core::ledger::{ContractRef, FileEntry, InputEntry, RowCounts};
use windrow_core::{Contract, Epoch, Error, PartitionWindow, Result, Table};
use windrow_engine::schema;
use windrow_engine::shape::OrderedRows;
use windrow_engine::write::{self, ColumnStats, PartStore, PartSummary};
use windrow_lake::{ClaimRequest, Claimed, Head, LakeTable, Output, Spool, SpooledBytes};

use crate::runtime;
use crate::session::Session;

/// How many files get their names while others are encoded.
const FILES_ON_THEIR_WAY: usize = 8;

/// A file that takes more memory than this until it is stored is waited for.
const MOST_HELD_BYTES: usize = 1 << 20;

/// An output that waits for the gate.
#[derive(Clone, Debug)]
pub struct StagedWindow {
    /// The table.
    pub table: Table,
    /// The window.
    pub window: PartitionWindow,
    /// The epoch.
    pub epoch: Epoch,
    /// Rows in, out and rejected.
    pub rows: RowCounts,
    /// How many files.
    pub files: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// The pinned inputs.
    pub inputs: Vec<InputEntry>,
}

/// What a transforming stage did.
#[derive(Clone, Debug)]
pub enum Stage {
    /// The head was made of the same inputs, configuration and code: nothing to do.
    Unchanged(Box<Head>),
    /// A new output waits for the gate.
    Staged(StagedWindow),
}

/// Claims the next epoch of a window.
///
/// # Errors
/// What the store says.
pub fn claim(session: &Session<'_>, table: &LakeTable, window: &PartitionWindow, seen_head: Option<Epoch>) -> Result<Claimed> {
    session.runtime.block_on(table.claim(&request(session, table, window, seen_head)?))
}

/// What this run says when it claims a window.
///
/// # Errors
/// `Misconfigured` when the table has no contract.
pub fn request(
    session: &Session<'_>,
    table: &LakeTable,
    window: &PartitionWindow,
    seen_head: Option<Epoch>,
) -> Result<ClaimRequest> {
    Ok(ClaimRequest {
        window: *window,
        attempt: runtime::new_attempt()?,
        run_id: session.run_id.clone(),
        execution_id: session.execution_id.clone(),
        reason: session.reason,
        code: session.code.clone(),
        config_sha256: session.project.config_sha256(table.name())?,
        seen_head,
    })
}

/// The head, when it was made of exactly these inputs, this configuration and this code.
///
/// # Errors
/// `Internal` when a digest cannot be computed.
pub fn unchanged(session: &Session<'_>, table: &Table, head: &Head, inputs_sha256: &str) -> Result<bool> {
    let config = session.project.config_sha256(table)?;
    Ok(!session.is_forced(table, &head.window) && head.is_current(inputs_sha256, &config, &session.code))
}

/// Writes ordered rows as parts, verifies each by reading its footer back, and registers them as staged.
///
/// # Errors
/// `Internal` when rows do not add up, else what engine and store say.
pub fn stage(
    session: &Session<'_>,
    table: &LakeTable,
    claimed: &Claimed,
    contract: &Contract,
    ordered: &OrderedRows,
    inputs: Vec<InputEntry>,
    rows: RowCounts,
) -> Result<StagedWindow> {
    let parts = Parts {
        session,
        table,
        claimed,
        schema: schema::file_schema(contract),
        staged: Mutex::default(),
        room: Arc::new(Semaphore::new(FILES_ON_THEIR_WAY)),
    };
    write::write_parts(contract, ordered, &parts)?;
    let mut files = parts.files()?;
    files.sort_by_key(|file| file.path.number);
    let (count, bytes) = (files.len(), files.iter().map(|file| file.size).sum());
    let contract_ref =
        ContractRef { id: contract.id.clone(), version: contract.version.clone(), sha256: contract.sha256.clone() };
    let output = Output { inputs: inputs.clone(), contract: contract_ref, rows, files };
    session.runtime.block_on(table.put_staged(claimed, output))?;
    let (table, window, epoch) = (table.name().clone(), claimed.window(), claimed.epoch());
    Ok(StagedWindow { table, window, epoch, rows, files: count, bytes, inputs })
}

/// The files of an attempt, as they are written. A store takes its time to make a file durable, so small files, which are
/// many, get their names while others are encoded.
struct Parts<'a> {
    session: &'a Session<'a>,
    table: &'a LakeTable,
    claimed: &'a Claimed,
    schema: Schema,
    staged: Mutex<Staged>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Staged {
    files: Vec<FileEntry>,
    on_their_way: JoinSet<Result<FileEntry>>,
}

impl Staged {
    fn take(&mut self, file: std::result::Result<Result<FileEntry>, JoinError>) -> Result<()> {
        let file = file.map_err(|error| Error::internal("a file could not be stored").caused_by(error))?;
        self.files.push(file?);
        Ok(())
    }
}

impl Parts<'_> {
    fn staged(&self) -> MutexGuard<'_, Staged> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All files, once each is there under its name.
    fn files(self) -> Result<Vec<FileEntry>> {
        let mut staged = self.staged.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.session.runtime.block_on(async {
            while let Some(file) = staged.on_their_way.join_next().await {
                staged.take(file)?;
            }
            Ok(staged.files)
        })
    }
}

impl PartStore for Parts<'_> {
    type File = Spool;

    fn begin(&self, index: u32, expected_bytes: usize) -> Result<Spool> {
        self.session.runtime.check_interrupted()?;
        self.table.spool_part(self.claimed, index, expected_bytes, self.session.runtime.handle())
    }

    fn finish(&self, file: Spool, part: &PartSummary) -> Result<()> {
        let spooled = file.seal()?;
        let rows = match spooled.bytes()? {
            SpooledBytes::Memory(bytes) => write::verify_part(bytes, &self.schema)?,
            SpooledBytes::File(file) => write::verify_part(file, &self.schema)?,
        };
        if rows != part.rows {
            let error = Error::internal("a written file holds another number of rows");
            return Err(error.with("expected", part.rows).with("found", rows));
        }
        let stats = Value::Array(part.stats.iter().map(stats_json).collect());
        let runtime = self.session.runtime.handle();
        let is_large = spooled.held_bytes() > MOST_HELD_BYTES;
        let (table, claimed, room) = (self.table.clone(), self.claimed.clone(), self.room.clone());
        let (index, rows) = (part.index, part.rows);
        let place =
            runtime.block_on(room.acquire_owned()).map_err(|error| Error::internal("no files are taken").caused_by(error))?;
        let staging = async move {
            let file = table.stage_spooled(&claimed, index, spooled, rows, stats).await;
            drop(place);
            file
        };
        if is_large {
            let file = runtime.block_on(staging);
            return self.staged().take(Ok(file));
        }
        let mut staged = self.staged();
        staged.on_their_way.spawn_on(staging, runtime);
        // What failed is told soon, and not when all is written.
        while let Some(file) = staged.on_their_way.try_join_next() {
            staged.take(file)?;
        }
        Ok(())
    }
}

pub(crate) fn stats_json(stats: &ColumnStats) -> Value {
    json!({"name": stats.name, "nulls": stats.nulls, "min": stats.min, "max": stats.max})
}
