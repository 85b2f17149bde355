//! compact: the rows of a published window in files of the contract's size, as a new epoch through the whole ledger.

use std::ops::Range;

use rayon::prelude::*;
use serde_json::Value;
use windrow_core::contract::Split;
use windrow_core::ledger::FileEntry;
use windrow_core::{Contract, Epoch, Error, ErrorKind, PartitionWindow, Result, Table};
use windrow_engine::compact::{CompactedPart, Compactor, FileSummary, Work, plan_parts};
use windrow_engine::write::ColumnStats;
use windrow_lake::{Claimed, Head, LakeTable};

use crate::session::Session;

use super::publish::Published;
use super::{gate, publish, staging, walk};

/// How many files of a window decide about dictionaries.
const SAMPLED_FILES: usize = 16;

/// How many files are written at once: each is held in memory until it is stored, and uses every core by itself.
const FILES_AT_ONCE: usize = 2;

/// What became of a window.
#[derive(Debug)]
pub struct Compaction {
    /// The head before.
    pub source: Head,
    /// How many files there are afterwards; as many as before when nothing is to be done.
    pub files: usize,
    /// Their size in bytes; an estimate until they are written.
    pub bytes: u64,
    /// The new version; `None` when nothing was to be done, or only planned.
    pub done: Option<Done>,
}

/// A published compaction.
#[derive(Debug)]
pub struct Done {
    /// What was committed.
    pub published: Published,
    /// How the columns came about.
    pub work: Work,
}

impl Compaction {
    /// Tells whether the window's files are far from the contract's size.
    pub fn is_needed(&self) -> bool {
        self.files < self.source.files.len()
    }
}

/// What compaction would do with a window. Nothing is written.
///
/// # Errors
/// `InputMissing` when the window is not published, `Transient` while another run works on it, `Fenced` when a later epoch failed, else
/// what the store says.
pub fn plan(session: &Session<'_>, contract: &Contract, window: &PartitionWindow) -> Result<Compaction> {
    let table = published_table(session, &contract.table, window)?;
    let head = session.runtime.block_on(table.compactable(window))?;
    let files = parts(contract, &head).map_or(head.files.len(), |parts| parts.len());
    let bytes = sizes(&head).iter().sum();
    Ok(Compaction { source: head, files, bytes, done: None })
}

/// Compacts a window that needs it: claims, writes, asks the gate, publishes.
///
/// # Errors
/// As [`plan`]; `Misconfigured` when the files are not of the contract, `QualityFailed` when the gate refuses them, `Internal` when a
/// file is damaged. The head changes only when all of it succeeded.
pub fn compact(session: &Session<'_>, contract: &Contract, window: &PartitionWindow) -> Result<Compaction> {
    let planned = plan(session, contract, window)?;
    if !planned.is_needed() {
        return Ok(planned);
    }
    let table = session.table_for_writing(contract)?;
    let request = staging::request(session, &table, window, Some(planned.source.epoch))?;
    // The head is resolved once more after the claim, so that a later epoch is never made of earlier rows.
    let (claimed, head) = session.runtime.block_on(table.claim_to_compact(&request))?;
    let job = Job { session, contract, table: &table, claimed: &claimed, head: &head };
    let done = job.run();
    if !matches!(done, Ok(Some(_))) {
        // An epoch that is decided stays as it is.
        session.runtime.block_on(async {
            table.give_up(&claimed).await;
            Ok(())
        })?;
    }
    let Some((written, published)) = done? else { return plan(session, contract, window) };
    let (files, bytes) = (written.files.len(), written.files.iter().map(|file| file.size).sum());
    Ok(Compaction { source: head, files, bytes, done: Some(Done { published, work: written.work }) })
}

fn published_table(session: &Session<'_>, table: &Table, window: &PartitionWindow) -> Result<LakeTable> {
    session.table(table)?.ok_or_else(|| {
        Error::new(ErrorKind::InputMissing, format!("{table} is not published for {window}"))
            .help(format!("run `windrow run --dataset {} --window {window}` first", table.dataset))
    })
}

fn sizes(head: &Head) -> Vec<u64> {
    head.files.iter().map(|file| file.size).collect()
}

/// Which files become one; where the contract splits, only neighbours of one value. `None` when nothing is to be done.
fn parts(contract: &Contract, head: &Head) -> Option<Vec<Range<usize>>> {
    let sizes = sizes(head);
    let target = contract.output.target_file_bytes;
    let Some(split) = &contract.split else { return plan_parts(&sizes, target) };
    let values: Vec<Option<String>> = head.staged.document().files.iter().map(|file| value_of(split, file)).collect();
    let (mut parts, mut start, mut is_worth) = (Vec::new(), 0, false);
    for together in values.chunk_by(|a, b| a.is_some() && a == b) {
        let end = start + together.len();
        let planned = plan_parts(sizes.get(start..end).unwrap_or_default(), target);
        is_worth |= planned.is_some();
        match planned {
            Some(planned) => parts.extend(planned.into_iter().map(|part| start + part.start..start + part.end)),
            None => parts.extend((start..end).map(|index| index..index + 1)),
        }
        start = end;
    }
    is_worth.then_some(parts)
}

/// The one value of the split that a file holds, as far as its statistics tell; a file that was written before the contract split may
/// hold several.
fn value_of(split: &Split, file: &FileEntry) -> Option<String> {
    let stats = stats_of(&file.stats).into_iter().find(|stats| *stats.name == *split.column)?;
    let (min, max) = (stats.min?, stats.max?);
    let label = split.by.label(&min);
    (label == split.by.label(&max)).then(|| label.to_owned())
}

struct Written {
    files: Vec<FileEntry>,
    work: Work,
}

struct Job<'a> {
    session: &'a Session<'a>,
    contract: &'a Contract,
    table: &'a LakeTable,
    claimed: &'a Claimed,
    head: &'a Head,
}

impl Job<'_> {
    /// All of it; `None` when the head that was found after the claim needs nothing.
    fn run(&self) -> Result<Option<(Written, Published)>> {
        let Some(parts) = parts(self.contract, self.head) else { return Ok(None) };
        let written = self.write_parts(&parts)?;
        self.session.runtime.block_on(self.table.put_compacted(self.claimed, self.head, written.files.clone()))?;
        let published = self.publish(self.claimed.epoch())?;
        Ok(Some((written, published)))
    }

    fn write_parts(&self, parts: &[Range<usize>]) -> Result<Written> {
        self.session.reporter.step(&format!("{} {} compacting", self.contract.table, self.head.window));
        let count = self.head.files.len();
        let gap = count.div_ceil(SAMPLED_FILES).max(1);
        let samples = (0..count).step_by(gap).collect::<Vec<_>>().into_par_iter().map(|index| self.read(index));
        let compactor = Compactor::new(self.contract, &samples.collect::<Result<Vec<_>>>()?)?;
        let (mut files, mut work) = (Vec::new(), Work::default());
        let numbered: Vec<(u32, &Range<usize>)> = (0..).zip(parts).collect();
        for together in numbered.chunks(FILES_AT_ONCE) {
            let written = together.par_iter().map(|(number, part)| self.write(&compactor, *number, part));
            for (file, more) in written.collect::<Result<Vec<_>>>()? {
                files.push(file);
                work += more;
            }
        }
        Ok(Written { files, work })
    }

    fn write(&self, compactor: &Compactor<'_>, number: u32, part: &Range<usize>) -> Result<(FileEntry, Work)> {
        let of_head = self.head.staged.document().files.get(part.clone()).unwrap_or_default();
        let summaries: Vec<FileSummary> =
            of_head.iter().map(|file| FileSummary { rows: file.rows, stats: stats_of(&file.stats) }).collect();
        let bytes_before = of_head.iter().map(|file| file.size).sum();
        let read = |index| self.read(part.start + index);
        let written = |made: &CompactedPart| Value::Array(made.stats.iter().map(staging::stats_json).collect());
        let handle = self.session.runtime.handle();
        // In a folder the file is on disk when it is finished; a store of objects gets it whole.
        if self.session.lake.local_folder().is_none() {
            let (made, work) = compactor.part(&summaries, bytes_before, &read, &mut std::io::sink())?;
            let stats = written(&made);
            let stored = self.table.stage_part(self.claimed, number, made.bytes, made.rows, stats);
            return Ok((handle.block_on(stored)?, work));
        }
        let mut spool = self.table.spool(0)?;
        let (made, work) = compactor.part(&summaries, bytes_before, &read, &mut spool)?;
        let stored = self.table.stage_spooled(self.claimed, number, spool.seal()?, made.rows, written(&made));
        Ok((handle.block_on(stored)?, work))
    }

    /// A file of the head, every byte compared with what was published.
    fn read(&self, index: usize) -> Result<bytes::Bytes> {
        self.session.runtime.check_interrupted()?;
        let file = self.head.files.get(index).ok_or_else(|| Error::internal("no such file in the head"))?;
        let read = self.session.runtime.handle().block_on(self.table.get_verified(file));
        read.map_err(|error| publish::damaged(self.table.name(), &self.head.window, error))
    }

    fn publish(&self, epoch: Epoch) -> Result<Published> {
        let (session, table, window) = (self.session, self.table.name(), &self.head.window);
        session.runtime.check_interrupted()?;
        let (epoch, answer) = gate::check(session, table, window, Some(epoch))?;
        if !gate::passed(&answer) {
            let help =
                "the window does not pass today's checks, so the version before stays; its evidence: `windrow quarantine show`";
            return Err(walk::reject(session, table, window, epoch, &answer)?.help(help));
        }
        publish::publish(session, table, window, Some(epoch))
    }
}

/// What the staged document says of a file's columns; nothing when it is in another form.
fn stats_of(stats: &Value) -> Vec<ColumnStats> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let one = |stats: &Value| {
        Some(ColumnStats {
            name: text(stats.get("name")?)?,
            nulls: stats.get("nulls")?.as_u64()?,
            min: text(stats.get("min")?),
            max: text(stats.get("max")?),
        })
    };
    stats.as_array().and_then(|all| all.iter().map(one).collect()).unwrap_or_default()
}
