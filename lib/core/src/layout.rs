//! Every key of the lake, spelled here and nowhere else: built from typed segments, parsed back strictly.
//!
//! ```text
//! {lake}/store/{layer}/{dataset}/format.json
//! {lake}/store/{layer}/{dataset}/ledger/{window}/{epoch}.{claim|staged|check|outcome}.json
//! {lake}/store/{layer}/{dataset}/data/{column}={window}/e{epoch}-{attempt}/part-{nnnnn}-{sha256:16}.parquet
//! {lake}/store/tmp/create/{nonce:16}                                          an object before it is complete, local lakes only
//! {lake}/store/tmp/clock/{nonce:16}                                           asks the store what time it is, deleted at once
//! {lake}/store/tmp/{layer}/{dataset}/{window}/{epoch}-{attempt}-{nonce:16}    a view on its way, local lakes only
//! {lake}/quarantine/{layer}/{dataset}/{window}/{epoch}-{attempt}/{evidence.json|rejects.parquet}
//! {lake}/{layer}/{dataset}/{column}={window}/part-00000.parquet     the live view
//! {lake}/symlink/{layer}/{dataset}/{column}={window}/manifest       the symlink-manifest view
//! {lake}/runs/{dataset}/{window}/{run_id}/{verb}[.{layer}.{dataset}].json                  results
//! {lake}/runs/{dataset}/{window}/{run_id}/{verb}.{layer}.{dataset}.openlineage.jsonl       lineage
//! ```
//!
//! Nothing is ever percent-encoded: a segment that does not fit the grammar is refused. There is no [`Key`] for
//! anything below `raw/`, so what writes keys cannot write there.
//!
//! ```
//! use windrow_core::layout::{Key, RegisterKind};
//! let text = "store/clean/flights/ledger/2013-01-01/00000000000000000007.outcome.json";
//! let Some(Key::Register { kind, epoch, .. }) = Key::parse(text) else { unreachable!() };
//! assert_eq!((kind, epoch.get()), (RegisterKind::Outcome, 7));
//! assert!(Key::parse("raw/flights/2013-01-01/flights.csv").is_none());
//! ```

mod run_file;

use std::fmt;
use std::str::FromStr;

pub use run_file::{RunFile, VerbName};

use crate::error::{Error, ErrorKind, Result};
use crate::id::{Attempt, DatasetName, Epoch, Layer, RunId, Table};
use crate::window::PartitionWindow;

/// The folder of the producers' files; read, never written.
pub const RAW_PREFIX: &str = "raw/";

/// The folders that hold what the ledger decides about: registers, data, evidence and views. `runs/`, what runs say of
/// themselves, is not among them; nothing is ever derived from it.
pub const OUTPUT_PREFIXES: [&str; 5] = ["store/", "quarantine/", "symlink/", "clean/", "curated/"];

/// The name of a partition column as it stands in paths: `^[A-Za-z][A-Za-z0-9_]{0,62}$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionColumn(String);

impl PartitionColumn {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PartitionColumn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let valid = text.len() <= 63
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if valid {
            return Ok(PartitionColumn(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        let message = format!("partition column `{}` does not match ^[A-Za-z][A-Za-z0-9_]{{0,62}}$", shown.escape_debug());
        Err(Error::misconfigured(message))
    }
}

impl fmt::Display for PartitionColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The four write-once registers of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegisterKind {
    /// Who works on the window.
    Claim,
    /// What was made of which inputs.
    Staged,
    /// What the quality gate answered.
    Check,
    /// The decision: the only commit point.
    Outcome,
}

impl RegisterKind {
    /// Every register, in the order they are written.
    pub const ALL: [RegisterKind; 4] = [RegisterKind::Claim, RegisterKind::Staged, RegisterKind::Check, RegisterKind::Outcome];

    /// The name in keys.
    pub fn as_str(self) -> &'static str {
        match self {
            RegisterKind::Claim => "claim",
            RegisterKind::Staged => "staged",
            RegisterKind::Check => "check",
            RegisterKind::Outcome => "outcome",
        }
    }
}

impl fmt::Display for RegisterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One immutable data file, by its path below the table: `data/{column}={window}/e{epoch}-{attempt}/part-…parquet`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartPath {
    /// The table's partition column.
    pub column: PartitionColumn,
    /// The window.
    pub window: PartitionWindow,
    /// The epoch that wrote it.
    pub epoch: Epoch,
    /// The attempt that wrote it.
    pub attempt: Attempt,
    /// The part's number, from 0, at most 99,999.
    pub number: u32,
    /// The first 16 hex digits of the file's SHA-256; of attempt and number, when it went up while it was encoded.
    pub digest: Digest16,
}

/// The first 16 lowercase hex digits of a SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest16(String);

impl Digest16 {
    /// Takes the start of a full hex digest; `None` when there are not 16 lowercase hex digits.
    pub fn of(sha256_hex: &str) -> Option<Self> {
        let start = sha256_hex.get(..16)?;
        start.bytes().all(is_hex).then(|| Digest16(start.to_owned()))
    }
}

impl PartPath {
    /// The highest part number there is.
    pub const MAX_NUMBER: u32 = 99_999;
}

impl fmt::Display for PartPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PartPath { column, window, epoch, attempt, number, digest } = self;
        write!(f, "data/{column}={window}/e{epoch}-{attempt}/part-{number:05}-{}.parquet", digest.0)
    }
}

impl FromStr for PartPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse_part(text).ok_or_else(|| {
            let shown: String = text.chars().take(200).collect();
            Error::internal(format!("`{}` is not the path of a data file", shown.escape_debug()))
        })
    }
}

/// A file of the evidence kept for a quarantined epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuarantineFile {
    /// What was wrong: violations or failed checks, as JSON.
    Evidence,
    /// The rows that were refused.
    Rejects,
}

impl QuarantineFile {
    fn as_str(self) -> &'static str {
        match self {
            QuarantineFile::Evidence => "evidence.json",
            QuarantineFile::Rejects => "rejects.parquet",
        }
    }
}

/// A key windrow may write. [`fmt::Display`] spells it, [`Key::parse`] reads exactly what is spelled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// What the table is, written once.
    Format(Table),
    /// A register of the ledger, written once.
    Register {
        /// The table.
        table: Table,
        /// The window.
        window: PartitionWindow,
        /// The epoch.
        epoch: Epoch,
        /// Which of the four.
        kind: RegisterKind,
    },
    /// A data file, written once.
    Part(Table, PartPath),
    /// Evidence of a quarantined epoch, or the rejects of any epoch.
    Quarantine {
        /// The table.
        table: Table,
        /// The window.
        window: PartitionWindow,
        /// The epoch.
        epoch: Epoch,
        /// The attempt.
        attempt: Attempt,
        /// Which file.
        file: QuarantineFile,
    },
    /// The window's one file in the view for plain globs, replaced atomically.
    LiveView(Table, PartitionColumn, PartitionWindow),
    /// The window's manifest in the symlink view, replaced atomically.
    SymlinkManifest(Table, PartitionColumn, PartitionWindow),
    /// A view's file before it is renamed into place; outside every folder that a reader globs.
    ViewTemp {
        /// The table.
        table: Table,
        /// The window.
        window: PartitionWindow,
        /// The epoch whose file it is.
        epoch: Epoch,
        /// The attempt whose file it is.
        attempt: Attempt,
        /// Tells apart several processes that set the same view.
        nonce: u64,
    },
    /// What a run says of itself: results and lineage, never read back by windrow.
    RunFile {
        /// The dataset the run was started for, or the table's.
        dataset: DatasetName,
        /// The window.
        window: PartitionWindow,
        /// The run.
        run_id: RunId,
        /// Which file.
        file: RunFile,
    },
    /// An object of a local lake before it is complete and linked to its own name.
    CreateTemp {
        /// Tells apart all writers of the lake.
        nonce: u64,
    },
    /// An object that is written to read the store's time off it, and deleted at once.
    ClockProbe {
        /// Tells apart all who ask.
        nonce: u64,
    },
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Format(table) => write!(f, "{}format.json", table_prefix(table)),
            Key::Register { table, window, epoch, kind } => {
                write!(f, "{}{epoch}.{kind}.json", window_ledger_prefix(table, window))
            }
            Key::Part(table, path) => write!(f, "{}{path}", table_prefix(table)),
            Key::Quarantine { table, window, epoch, attempt, file } => {
                write!(f, "{}{window}/{epoch}-{attempt}/{}", quarantine_prefix(table), file.as_str())
            }
            Key::LiveView(table, column, window) => write!(f, "{}{column}={window}/part-00000.parquet", view_prefix(table)),
            Key::SymlinkManifest(table, column, window) => {
                write!(f, "{}{column}={window}/manifest", symlink_prefix(table))
            }
            Key::ViewTemp { table, window, epoch, attempt, nonce } => {
                write!(f, "store/tmp/{}/{}/{window}/{epoch}-{attempt}-{nonce:016x}", table.layer, table.dataset)
            }
            Key::RunFile { dataset, window, run_id, file } => write!(f, "runs/{dataset}/{window}/{run_id}/{file}"),
            Key::CreateTemp { nonce } => write!(f, "store/tmp/create/{nonce:016x}"),
            Key::ClockProbe { nonce } => write!(f, "store/tmp/clock/{nonce:016x}"),
        }
    }
}

impl Key {
    /// Reads a key relative to the lake; `None` for whatever is not exactly a key of the grammar.
    pub fn parse(text: &str) -> Option<Key> {
        let segments: Vec<&str> = text.split('/').collect();
        match segments.as_slice() {
            ["store", "tmp", "create", nonce] => Some(Key::CreateTemp { nonce: parse_nonce(nonce)? }),
            ["store", "tmp", "clock", nonce] => Some(Key::ClockProbe { nonce: parse_nonce(nonce)? }),
            ["store", "tmp", layer, dataset, window, name] => {
                let (attempt, nonce) = name.rsplit_once('-')?;
                let ((epoch, attempt), nonce) = (parse_attempt_dir(attempt)?, parse_nonce(nonce)?);
                Some(Key::ViewTemp { table: parse_table(layer, dataset)?, window: window.parse().ok()?, epoch, attempt, nonce })
            }
            ["store", layer, dataset, "format.json"] => Some(Key::Format(parse_table(layer, dataset)?)),
            ["store", layer, dataset, "ledger", window, file] => {
                let (epoch, kind) = parse_register_file(file)?;
                Some(Key::Register { table: parse_table(layer, dataset)?, window: window.parse().ok()?, epoch, kind })
            }
            ["store", layer, dataset, "data", rest @ ..] => {
                Some(Key::Part(parse_table(layer, dataset)?, parse_part(&format!("data/{}", rest.join("/")))?))
            }
            ["quarantine", layer, dataset, window, attempt, file] => {
                let (epoch, attempt) = parse_attempt_dir(attempt)?;
                let file =
                    [QuarantineFile::Evidence, QuarantineFile::Rejects].into_iter().find(|known| known.as_str() == *file)?;
                Some(Key::Quarantine { table: parse_table(layer, dataset)?, window: window.parse().ok()?, epoch, attempt, file })
            }
            ["runs", dataset, window, run_id, file] => Some(Key::RunFile {
                dataset: dataset.parse().ok()?,
                window: window.parse().ok()?,
                run_id: run_id.parse().ok()?,
                file: RunFile::parse(file)?,
            }),
            ["symlink", layer, dataset, partition, "manifest"] => {
                let (column, window) = parse_partition(partition)?;
                Some(Key::SymlinkManifest(parse_table(layer, dataset)?, column, window))
            }
            [layer, dataset, partition, "part-00000.parquet"] => {
                let (column, window) = parse_partition(partition)?;
                Some(Key::LiveView(parse_table(layer, dataset)?, column, window))
            }
            _ => None,
        }
    }

    /// Tells whether the key may be written only once.
    pub fn is_write_once(&self) -> bool {
        matches!(self, Key::Format(_) | Key::Register { .. } | Key::Part(..) | Key::Quarantine { .. })
    }
}

/// Reads a register's key of one table.
pub fn parse_register(table: &Table, key: &str) -> Option<(PartitionWindow, Epoch, RegisterKind)> {
    match Key::parse(key)? {
        Key::Register { table: found, window, epoch, kind } if found == *table => Some((window, epoch, kind)),
        _ => None,
    }
}

/// The folder of a layer's tables: `store/{layer}/`.
pub fn layer_prefix(layer: Layer) -> String {
    format!("store/{layer}/")
}

/// The folder of a table's ledger and data: `store/{layer}/{dataset}/`.
pub fn table_prefix(table: &Table) -> String {
    format!("store/{}/{}/", table.layer, table.dataset)
}

/// The folder of a table's ledger.
pub fn ledger_prefix(table: &Table) -> String {
    format!("{}ledger/", table_prefix(table))
}

/// The folder of one window's registers.
pub fn window_ledger_prefix(table: &Table, window: &PartitionWindow) -> String {
    format!("{}{window}/", ledger_prefix(table))
}

/// The folder of one window's data files, of all attempts.
pub fn window_data_prefix(table: &Table, column: &PartitionColumn, window: &PartitionWindow) -> String {
    format!("{}data/{column}={window}/", table_prefix(table))
}

/// The last segment of [`attempt_prefix`]: it occurs in the location of no other attempt.
pub fn attempt_folder(epoch: Epoch, attempt: &Attempt) -> String {
    format!("e{epoch}-{attempt}")
}

/// The folder of one attempt's data files.
pub fn attempt_prefix(
    table: &Table,
    column: &PartitionColumn,
    window: &PartitionWindow,
    epoch: Epoch,
    attempt: &Attempt,
) -> String {
    format!("{}{}/", window_data_prefix(table, column, window), attempt_folder(epoch, attempt))
}

/// The folder of a table's quarantine.
pub fn quarantine_prefix(table: &Table) -> String {
    format!("quarantine/{}/{}/", table.layer, table.dataset)
}

/// The folder of one window's quarantine.
pub fn window_quarantine_prefix(table: &Table, window: &PartitionWindow) -> String {
    format!("{}{window}/", quarantine_prefix(table))
}

/// The folder of a table's symlink manifests: `symlink/{layer}/{dataset}/`.
pub fn symlink_prefix(table: &Table) -> String {
    format!("symlink/{}/{}/", table.layer, table.dataset)
}

/// The folder of a table's live view: `{layer}/{dataset}/`.
pub fn view_prefix(table: &Table) -> String {
    format!("{}/{}/", table.layer, table.dataset)
}

/// The window in whose folder of the live view a key stands, whatever its name; `None` for a key elsewhere.
pub fn live_view_window(table: &Table, column: &PartitionColumn, key: &str) -> Option<PartitionWindow> {
    let (partition, _) = key.strip_prefix(&view_prefix(table))?.split_once('/')?;
    let (found, window) = parse_partition(partition)?;
    (found == *column).then_some(window)
}

/// Refuses a table that is not ours to write.
///
/// # Errors
/// `Usage` for the raw layer.
pub fn require_output(table: &Table) -> Result<()> {
    if table.layer == Layer::Raw {
        let message = format!("table {table} is raw: it is read, never written");
        return Err(Error::new(ErrorKind::Usage, message).help("name the clean or the curated layer"));
    }
    Ok(())
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn parse_table(layer: &str, dataset: &str) -> Option<Table> {
    let table = Table { layer: layer.parse().ok()?, dataset: dataset.parse::<DatasetName>().ok()? };
    require_output(&table).ok().map(|()| table)
}

fn parse_nonce(text: &str) -> Option<u64> {
    (text.len() == 16 && text.bytes().all(is_hex)).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

fn parse_register_file(file: &str) -> Option<(Epoch, RegisterKind)> {
    let (epoch, kind) = file.strip_suffix(".json")?.split_once('.')?;
    let kind = RegisterKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    Some((epoch.parse().ok()?, kind))
}

fn parse_partition(segment: &str) -> Option<(PartitionColumn, PartitionWindow)> {
    let (column, window) = segment.split_once('=')?;
    Some((column.parse().ok()?, window.parse().ok()?))
}

fn parse_attempt_dir(segment: &str) -> Option<(Epoch, Attempt)> {
    let (epoch, attempt) = segment.split_once('-')?;
    Some((epoch.parse().ok()?, attempt.parse().ok()?))
}

fn parse_part(text: &str) -> Option<PartPath> {
    let segments: Vec<&str> = text.split('/').collect();
    let ["data", partition, directory, file] = segments.as_slice() else { return None };
    let (column, window) = parse_partition(partition)?;
    let (epoch, attempt) = parse_attempt_dir(directory.strip_prefix('e')?)?;
    let (number, digest) = file.strip_prefix("part-")?.strip_suffix(".parquet")?.split_once('-')?;
    if number.len() != 5 || digest.len() != 16 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(PartPath { column, window, epoch, attempt, number: number.parse().ok()?, digest: Digest16::of(digest)? })
}

#[cfg(test)]
mod tests;
