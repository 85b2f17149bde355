//! The rows of a window, read by all threads: files side by side, and blocks of one file side by side at its end.
//!
//! ```text
//! queue of files ─▶ thread: file ─▶ [its lock: next block, its lines] ─▶ parse ─▶ sink
//!                   idle thread: a file that is being read ─▶ [its lock: next block] ─▶ parse ─▶ sink
//! ```
//!
//! A file's lock is held while a block is read, decompressed and indexed, which is little beside parsing it. So any
//! thread takes the next block when it is free, no block waits for a thread, and as many blocks are in memory as there
//! are threads. Invariant: whoever holds a lock never waits for work of rayon.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use rayon::prelude::*;
use windrow_core::contract::ReaderFormat;
use windrow_core::{Error, Result, Violation, ViolationReport};

use super::ahead::{Ahead, Opened};
use super::csv::{self, header::Layout};
use super::outcome::{FileOutcome, Outlet, Plan};
use super::scan::{Block, Room, Scanner};
use super::{FileRead, Position, RawSummary, Sink, at, lock, ndjson, parquet, scanner, structure};
use crate::chunk::InputFile;

/// Reads all files of the queue.
pub(super) fn read(plan: &Plan<'_>, inputs: &[InputFile], ahead: Ahead<'_>, sink: Sink<'_>) -> Result<RawSummary> {
    let tallies = inputs.iter().map(|_| Mutex::default()).collect();
    let flow =
        Flow { plan, inputs, ahead: Mutex::new(ahead), begun: Mutex::default(), tallies, sink, failed: AtomicBool::new(false) };
    let blocks = |input: &InputFile| 1 + usize::try_from(input.size).unwrap_or(usize::MAX) / plan.block_bytes.max(1);
    let work: usize = inputs.iter().map(blocks).fold(0, usize::saturating_add);
    let threads = rayon::current_num_threads().min(work);
    (0..threads).into_par_iter().with_max_len(1).try_for_each(|_| flow.work())?;
    let mut summary = RawSummary::default();
    for (input, tally) in inputs.iter().zip(flow.tallies) {
        let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        summary.rows_in += tally.rows;
        summary.bytes_in += tally.bytes;
        summary.files.push(FileRead { key: input.key.clone(), rows: tally.rows, bytes_in: tally.bytes });
        summary.report.merge(tally.report);
    }
    Ok(summary)
}

struct Flow<'a> {
    plan: &'a Plan<'a>,
    inputs: &'a [InputFile],
    ahead: Mutex<Ahead<'a>>,
    /// The files that may have blocks left for idle threads.
    begun: Mutex<Vec<Arc<TextFile<'a>>>>,
    tallies: Vec<Mutex<Tally>>,
    sink: Sink<'a>,
    failed: AtomicBool,
}

/// What one file has given so far. Blocks are added in their order, whichever was parsed first.
#[derive(Default)]
struct Tally {
    report: ViolationReport,
    rows: u64,
    bytes: u64,
    next: u32,
    waiting: BTreeMap<u32, FileOutcome>,
}

impl Tally {
    fn add(&mut self, block: u32, outcome: FileOutcome) {
        self.waiting.insert(block, outcome);
        while let Some(outcome) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.rows += outcome.rows;
            self.bytes += outcome.bytes;
            self.report.merge(outcome.report);
        }
    }
}

/// A text file that is being read.
struct TextFile<'a> {
    number: usize,
    input: &'a InputFile,
    cut: Mutex<Cut>,
}

/// How far a text file is cut into blocks.
struct Cut {
    scanner: Scanner,
    layout: Option<Arc<Layout>>,
    /// The line on which the next block starts.
    line: u64,
    block: u32,
    is_over: bool,
}

/// What comes next in a file.
enum Piece<'a> {
    Rows(Rows<'a>),
    /// The header is not as declared.
    Refused(Vec<Violation>),
}

/// A block on its way to the parser.
pub(super) struct Rows<'a> {
    pub(super) block: Block<'a>,
    /// The columns of a CSV file.
    pub(super) layout: Arc<Layout>,
    /// The first row that is data.
    pub(super) first: usize,
    /// The line on which the block starts.
    pub(super) line: u64,
}

impl Rows<'_> {
    /// The line on which what follows the block starts.
    pub(super) fn end_line(&self) -> u64 {
        self.line + self.block.lines()
    }
}

impl Cut {
    /// The next block and its number; `None` at the end.
    fn next<'r>(&mut self, plan: &Plan<'_>, input: &InputFile, room: &'r mut Room) -> Result<Option<(u32, Piece<'r>)>> {
        let Some(block) = self.scanner.next(room)? else { return Ok(None) };
        let (number, line) = (self.block, self.line);
        (self.block, self.line) = (number + 1, line + block.lines());
        let mut first = 0;
        if self.layout.is_none() && !block.index.rows.is_empty() {
            match csv::read_layout(plan.contract, &input.key, &block) {
                Ok(found) => self.layout = Some(Arc::new(found)),
                Err(violations) => {
                    self.scanner.stop();
                    return Ok(Some((number, Piece::Refused(violations))));
                }
            }
            first = 1;
        }
        let layout = self.layout.clone().unwrap_or_else(|| Arc::new(Layout::positional(plan.contract)));
        Ok(Some((number, Piece::Rows(Rows { block, layout, first, line }))))
    }
}

/// What one thread reads with.
struct Hands<'a> {
    room: Room,
    parser: Parser<'a>,
}

enum Parser<'a> {
    Csv(csv::Columns),
    Ndjson(ndjson::Fields<'a>),
    Parquet,
}

impl<'a> Parser<'a> {
    fn new(plan: &Plan<'a>) -> Result<Self> {
        Ok(match plan.reader.format {
            ReaderFormat::Csv => Parser::Csv(csv::Columns::new(plan)?),
            ReaderFormat::Ndjson => Parser::Ndjson(ndjson::Fields::of_line(&plan.contract.properties)?),
            ReaderFormat::Parquet => Parser::Parquet,
        })
    }

    fn read(&mut self, plan: &Plan<'_>, file: &Arc<str>, rows: &Rows<'_>, outcome: &mut FileOutcome) -> Result<()> {
        match self {
            Parser::Csv(columns) => csv::read_block(plan, file, columns, rows, outcome),
            Parser::Ndjson(fields) => ndjson::read_block(plan, file, fields, rows, outcome),
            Parser::Parquet => Err(Error::internal("a Parquet file has no lines")),
        }
    }
}

impl<'a> Flow<'a> {
    /// What each thread does: files while there are any, then blocks of the files that others read.
    fn work(&self) -> Result<()> {
        let result = self.read_all();
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn read_all(&self) -> Result<()> {
        let mut hands =
            Hands { room: Room::new(structure(self.plan.contract, self.plan.reader)), parser: Parser::new(self.plan)? };
        while !self.has_failed() {
            let taken = lock(&self.ahead).take();
            let Some((number, file)) = taken else { break };
            let Some(input) = self.inputs.get(number) else { break };
            let opened = file.and_then(|file| file.start(self.plan.contract, self.plan.reader, input));
            self.read_file(number, input, opened.map_err(|error| at(error, input))?, &mut hands)?;
        }
        while let Some(file) = self.unfinished() {
            self.read_blocks(&file, &mut hands)?;
        }
        Ok(())
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    fn read_file(&self, number: usize, input: &'a InputFile, opened: Opened, hands: &mut Hands<'_>) -> Result<()> {
        let mut outcome = FileOutcome::default();
        match opened {
            Opened::Refused(violation) => outcome.report.push(violation),
            Opened::Ready(_, stored) if self.plan.reader.format == ReaderFormat::Parquet => {
                let mut outlet = Outlet { next: position(number, 0), sink: self.sink };
                outcome = parquet::read_file(self.plan, &input.key, stored, &mut outlet).map_err(|error| at(error, input))?;
            }
            Opened::Ready(codec, stored) => {
                let scanner = scanner(self.plan.reader, codec, stored, self.plan.block_bytes)?;
                let has_header = self.plan.reader.header && self.plan.reader.format == ReaderFormat::Csv;
                let layout = (!has_header).then(|| Arc::new(Layout::positional(self.plan.contract)));
                let cut = Cut { scanner, layout, line: 1, block: 0, is_over: false };
                let file = Arc::new(TextFile { number, input, cut: Mutex::new(cut) });
                lock(&self.begun).push(Arc::clone(&file));
                return self.read_blocks(&file, hands);
            }
        }
        self.tally(number)?.add(0, outcome);
        Ok(())
    }

    /// A file with blocks left, best one that nobody is cutting at this moment.
    fn unfinished(&self) -> Option<Arc<TextFile<'a>>> {
        let begun = lock(&self.begun);
        let free = begun.iter().find(|file| !matches!(file.cut.try_lock(), Err(TryLockError::WouldBlock)));
        free.or_else(|| begun.first()).filter(|_| !self.has_failed()).cloned()
    }

    /// Takes block after block of a file, until there is none left to take.
    fn read_blocks(&self, file: &TextFile<'a>, hands: &mut Hands<'_>) -> Result<()> {
        while !self.has_failed() {
            let Hands { room, parser } = hands;
            let mut cut = lock(&file.cut);
            let (number, piece) = match cut.next(self.plan, file.input, room) {
                Ok(Some(piece)) => piece,
                Ok(None) => return self.close(file, cut),
                Err(error) => return Err(at(error, file.input)),
            };
            drop(cut);
            let mut outcome =
                FileOutcome { listed_before: self.tally(file.number)?.report.listed().len(), ..FileOutcome::default() };
            match (piece, parser) {
                (Piece::Refused(violations), _) => violations.into_iter().for_each(|violation| outcome.report.push(violation)),
                (Piece::Rows(rows), parser) => {
                    parser.read(self.plan, &file.input.key, &rows, &mut outcome).map_err(|error| at(error, file.input))?;
                }
            }
            Outlet { next: position(file.number, number), sink: self.sink }.send(&mut outcome)?;
            self.tally(file.number)?.add(number, outcome);
        }
        Ok(())
    }

    /// The first to find no block left says how many bytes there were; the file ends there.
    fn close(&self, file: &TextFile<'a>, mut cut: MutexGuard<'_, Cut>) -> Result<()> {
        if !std::mem::replace(&mut cut.is_over, true) {
            let outcome = FileOutcome { bytes: cut.scanner.bytes_read(), ..FileOutcome::default() };
            self.tally(file.number)?.add(cut.block, outcome);
            lock(&self.begun).retain(|begun| begun.number != file.number);
        }
        Ok(())
    }

    /// Every file of the queue has a tally.
    fn tally(&self, file: usize) -> Result<MutexGuard<'_, Tally>> {
        self.tallies.get(file).map(lock).ok_or_else(|| Error::internal("a file was read that was not listed"))
    }
}

fn position(file: usize, block: u32) -> Position {
    Position { file: u32::try_from(file).unwrap_or(u32::MAX), block }
}
