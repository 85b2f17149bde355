//! The files of a window in their order, each opened before it is needed, so that a store's answers are waited for
//! side by side. Small files that were read whole for their header stay in memory and are not opened again.

use std::collections::VecDeque;

use bytes::Bytes;
use windrow_core::contract::Reader;
use windrow_core::{Code, Contract, Result, Violation};

use super::source::{self, Codec, Stored};
use crate::chunk::{InputFile, Open};

/// How many files are opened and not yet taken at most.
const AHEAD_FILES: usize = 128;

/// How many bytes these files may be asked for: a few large files, or many small ones.
const AHEAD_BYTES: u64 = 32 << 20;

/// What a reader of a store may hold of one file before it is read: more is never counted.
const MOST_OF_A_FILE: u64 = 24 << 20;

/// A file that was opened, or need not be.
pub(super) enum Begun {
    Stored(Codec, Stored),
    /// Its name does not end as declared; it is not opened.
    Misnamed(String),
}

/// What a file's name and first bytes say.
pub(super) enum Opened {
    Ready(Codec, Stored),
    Refused(Violation),
}

impl Begun {
    /// Compares the first bytes with the name.
    pub(super) fn start(self, contract: &Contract, reader: &Reader, input: &InputFile) -> Result<Opened> {
        let refused = |code, expected: String| {
            let mut violation = Violation::of_file(code, input.key.clone(), expected);
            violation.contract = Some(contract.quote(&reader.place));
            Ok(Opened::Refused(violation))
        };
        let (codec, mut stored) = match self {
            Begun::Stored(codec, stored) => (codec, stored),
            Begun::Misnamed(expected) => return refused(Code::WrongExtension, expected),
        };
        let first = stored.peek(8).map_err(source::store_error)?;
        if first.is_empty() {
            return refused(Code::EmptyFile, "expected at least a header, found 0 bytes".to_owned());
        }
        if let Err(expected) = source::check_magic(reader.format, codec, first) {
            return refused(Code::WrongFileType, expected);
        }
        Ok(Opened::Ready(codec, stored))
    }
}

/// The queue of files.
pub(super) struct Ahead<'a> {
    reader: &'a Reader,
    inputs: &'a [InputFile],
    open: Open<'a>,
    kept: Vec<Option<Bytes>>,
    next: usize,
    ready: VecDeque<(usize, Result<Begun>)>,
    ready_bytes: u64,
}

impl<'a> Ahead<'a> {
    /// `kept` holds, for each file or for none, the bytes that are in memory already.
    pub(super) fn new(reader: &'a Reader, inputs: &'a [InputFile], open: Open<'a>, kept: Vec<Option<Bytes>>) -> Self {
        Ahead { reader, inputs, open, kept, next: 0, ready: VecDeque::new(), ready_bytes: 0 }
    }

    /// The next file and its number.
    pub(super) fn take(&mut self) -> Option<(usize, Result<Begun>)> {
        self.fill();
        let (number, begun) = self.ready.pop_front()?;
        self.ready_bytes -= self.cost(number);
        Some((number, begun))
    }

    fn fill(&mut self) {
        while self.ready.is_empty() || self.ready.len() < AHEAD_FILES && self.ready_bytes < AHEAD_BYTES {
            let Some(input) = self.inputs.get(self.next) else { return };
            let begun = self.begin(input);
            self.ready_bytes += self.cost(self.next);
            self.ready.push_back((self.next, begun));
            self.next += 1;
        }
    }

    fn cost(&self, number: usize) -> u64 {
        self.inputs.get(number).map_or(0, |input| input.size.min(MOST_OF_A_FILE))
    }

    fn begin(&mut self, input: &InputFile) -> Result<Begun> {
        let codec = match source::codec(self.reader, &input.key) {
            Ok(codec) => codec,
            Err(expected) => return Ok(Begun::Misnamed(expected)),
        };
        let stored = match self.kept.get_mut(self.next).and_then(Option::take) {
            Some(bytes) => Stored::whole(bytes),
            None => Stored::new((self.open)(input)?, codec),
        };
        Ok(Begun::Stored(codec, stored))
    }
}
