//! The structural index: where fields and rows end, found 64 bytes at a time without looking at any field.
//!
//! ```text
//! bytes ─▶ simd (one bit a byte) ─▶ inside quotes? ─▶ marks (ends of fields) and rows
//! ```
//!
//! The grammar is RFC 4180 and strict: a quote opens only where a field starts and closes only where it ends, a CR outside
//! quotes is followed by LF. The first byte that breaks this ends the index, because behind it row ends are guesses.

use windrow_core::Code;

use crate::simd::{Level, Masks, Needles, Places, Words, prefix_xor};

/// The bytes with a meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Structure {
    /// Ends a field; `\n` when rows have no fields.
    pub(crate) delimiter: u8,
    /// Encloses a field.
    pub(crate) quote: Option<u8>,
}

impl Structure {
    fn needles(self) -> Needles {
        Needles { delimiter: Some(self.delimiter).filter(|delimiter| *delimiter != b'\n'), quote: self.quote }
    }
}

/// A row: where it starts, and which mark ends its first field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) start: u32,
    pub(crate) first: u32,
}

/// The index of one block.
#[derive(Debug)]
pub(crate) struct Index {
    structure: Structure,
    level: Level,
    /// The end of every field in order: the place of its delimiter, or of its line end (the CR of CR LF).
    pub(crate) marks: Places,
    /// The complete rows.
    pub(crate) rows: Vec<Row>,
    /// The row that has begun and not ended.
    pub(crate) pending: Row,
    /// For each line end inside quotes, the number of its row.
    pub(crate) inner_lines: Vec<u32>,
    /// The first byte that breaks the grammar.
    pub(crate) fault: Option<(u32, Code)>,
    /// Tells whether any quote stands doubled inside quotes; when none does, a quoted field is what its quotes enclose.
    pub(crate) has_doubled: bool,
    scanned: u32,
    carry: Carry,
}

/// What one word leaves to the next.
#[derive(Clone, Copy, Debug)]
struct Carry {
    /// All ones while inside quotes.
    inside: u64,
    /// Bit 0: may a quote open here, did a quote just close, was the last byte a CR.
    may_open: u64,
    closed: u64,
    returned: u64,
}

impl Carry {
    const START: Carry = Carry { inside: 0, may_open: 1, closed: 0, returned: 0 };
}

/// What the bytes of a word mean.
struct Meaning {
    structural: u64,
    /// The line ends among them.
    row_ends: u64,
    /// Line ends inside quotes.
    inner: u64,
    after_return: u64,
}

/// The scan of whole words, see [`Words`].
struct Scan<'a> {
    index: &'a mut Index,
    words: &'a [[u8; 64]],
    /// How much of each word counts: all of it, but of a last word that was filled up.
    valid: u64,
    length: u32,
}

impl Words for Scan<'_> {
    #[inline(always)]
    fn run(self, masks: impl Fn(&[u8; 64]) -> Masks) {
        let index = self.index;
        let mut carry = index.carry;
        for word in self.words {
            let found = masks(word);
            if found.quotes | found.returns | carry.inside | carry.closed | carry.returned == 0 {
                let structural = (found.delimiters | found.newlines) & self.valid;
                carry.may_open = structural >> (self.length - 1);
                let row_ends = found.newlines & self.valid;
                index.emit(Meaning { structural, row_ends, inner: 0, after_return: 0 });
            } else {
                let inside = prefix_xor(found.quotes & self.valid) ^ carry.inside;
                index.emit_quoted(&found, inside, &mut carry, self.valid, self.length);
            }
            index.scanned += self.length;
            if index.fault.is_some() {
                break;
            }
        }
        index.carry = carry;
    }
}

impl Index {
    pub(crate) fn new(structure: Structure) -> Self {
        Index::at_level(structure, Level::detect())
    }

    /// With the instructions of this level.
    pub(crate) fn at_level(structure: Structure, level: Level) -> Self {
        let (marks, rows, inner_lines) = (Places::default(), Vec::new(), Vec::new());
        let (pending, carry) = (Row::default(), Carry::START);
        Index { structure, level, marks, rows, pending, inner_lines, fault: None, has_doubled: false, scanned: 0, carry }
    }

    /// Forgets everything; the next block's first row starts at `start`.
    pub(crate) fn reset(&mut self, start: u32) {
        self.marks.clear();
        self.rows.clear();
        self.inner_lines.clear();
        self.pending = Row { start, first: 0 };
        self.fault = None;
        self.has_doubled = false;
        self.scanned = start;
        self.carry = Carry::START;
    }

    /// How far the bytes have been looked at.
    pub(crate) fn scanned(&self) -> u32 {
        self.scanned
    }

    /// Where the field that has begun and not ended starts.
    pub(crate) fn open_field(&self) -> u32 {
        let fields = self.marks.get(self.pending.first as usize..).unwrap_or_default();
        fields.last().map_or(self.pending.start, |mark| mark + 1)
    }

    /// The marks of a complete row.
    pub(crate) fn fields(&self, row: usize) -> &[u32] {
        let first = self.rows.get(row).map_or(self.pending.first, |row| row.first);
        let end = self.rows.get(row + 1).map_or(self.pending.first, |row| row.first);
        self.marks.get(first as usize..end as usize).unwrap_or_default()
    }

    /// Goes on where the last call stopped, in whole words; the rest too when `bytes` ends the file.
    pub(crate) fn scan(&mut self, bytes: &[u8], is_end: bool) {
        let (words, rest) = bytes.get(self.scanned as usize..).unwrap_or_default().as_chunks::<64>();
        self.scan_words(words, 64);
        if is_end && self.fault.is_none() {
            let mut word = [0; 64];
            word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            if !rest.is_empty() {
                self.scan_words(&[word], u32::try_from(rest.len()).unwrap_or(0));
            }
            self.end();
        }
    }

    fn scan_words(&mut self, words: &[[u8; 64]], length: u32) {
        let (level, needles) = (self.level, self.structure.needles());
        let valid = u64::MAX >> (64 - length);
        level.run(needles, Scan { index: self, words, valid, length });
    }

    /// Drops this row and what follows; it becomes the pending row.
    pub(crate) fn truncate(&mut self, row: usize) {
        if let Some(first) = self.rows.get(row).copied() {
            self.rows.truncate(row);
            self.pending = first;
        }
    }

    /// A word with quotes or CRs in it, or right after them.
    #[inline(always)]
    fn emit_quoted(&mut self, found: &Masks, inside: u64, carry: &mut Carry, valid: u64, length: u32) {
        let (newlines, quotes) = (found.newlines & valid, found.quotes & valid);
        let structural = ((found.delimiters & valid) | newlines) & !inside;
        let returns = found.returns & valid & !inside;
        let (opening, closing) = (quotes & inside, quotes & !inside);
        let may_open = ((structural | closing) << 1) | carry.may_open | carry.closed;
        let after_close = (closing << 1) | carry.closed;
        let after_return = (returns << 1) | carry.returned;
        let stray = ((opening & !may_open) | (after_close & !(structural | opening | returns))) & valid;
        let lone = after_return & !newlines & valid;
        self.has_doubled |= opening & after_close != 0;
        let meaning = Meaning { structural, row_ends: newlines & !inside, inner: newlines & inside, after_return };
        if stray | lone == 0 {
            self.emit(meaning);
        } else {
            self.emit_up_to_fault(meaning, stray, lone);
        }
        let last = length - 1;
        carry.inside = 0u64.wrapping_sub((inside >> last) & 1);
        carry.may_open = (structural >> last) & 1;
        carry.closed = (closing >> last) & 1;
        carry.returned = (returns >> last) & 1;
    }

    #[cold]
    #[inline(never)]
    fn emit_up_to_fault(&mut self, meaning: Meaning, stray: u64, lone: u64) {
        let before_fault = (stray | lone).wrapping_sub(1) & !(stray | lone);
        let Meaning { structural, row_ends, inner, after_return } = meaning;
        let (structural, row_ends, inner) = (structural & before_fault, row_ends & before_fault, inner & before_fault);
        self.emit(Meaning { structural, row_ends, inner, after_return });
        let place = self.scanned + (stray | lone).trailing_zeros();
        let is_lone = lone.trailing_zeros() < stray.trailing_zeros();
        self.fault = Some(if is_lone { (place.saturating_sub(1), Code::CarriageReturn) } else { (place, Code::StrayQuote) });
    }

    /// Takes the marks of a word and closes its rows.
    #[inline(always)]
    fn emit(&mut self, meaning: Meaning) {
        let Meaning { structural, mut row_ends, inner, after_return } = meaning;
        if inner != 0 {
            self.note_inner_lines(row_ends, inner);
        }
        let marks_before = self.marks.len();
        self.marks.push_bits(self.scanned, structural);
        while row_ends != 0 {
            let end = row_ends.trailing_zeros();
            let marks = marks_before + (structural & (row_ends ^ row_ends.wrapping_sub(1))).count_ones() as usize;
            if (after_return >> end) & 1 == 1
                && let Some(mark) = self.marks.get_mut(marks - 1)
            {
                *mark = mark.saturating_sub(1);
            }
            self.rows.push(self.pending);
            self.pending = Row { start: self.scanned + end + 1, first: u32::try_from(marks).unwrap_or(u32::MAX) };
            row_ends &= row_ends - 1;
        }
    }

    /// Line ends inside and outside quotes are taken in order, so that each inner one finds its row.
    #[cold]
    #[inline(never)]
    fn note_inner_lines(&mut self, row_ends: u64, mut inner: u64) {
        while inner != 0 {
            let before = row_ends & (inner ^ inner.wrapping_sub(1));
            let row = self.rows.len() + before.count_ones() as usize;
            self.inner_lines.push(u32::try_from(row).unwrap_or(u32::MAX));
            inner &= inner - 1;
        }
    }

    /// The file ends here: the last row may lack its line end.
    fn end(&mut self) {
        if self.fault.is_some() {
            return;
        }
        if self.carry.inside != 0 {
            self.fault = Some((self.open_field(), Code::UnterminatedQuote));
        } else if self.carry.returned != 0 {
            self.fault = Some((self.scanned.saturating_sub(1), Code::CarriageReturn));
        } else if self.scanned > self.pending.start {
            self.marks.push(self.scanned);
            self.rows.push(self.pending);
            self.pending = Row { start: self.scanned, first: u32::try_from(self.marks.len()).unwrap_or(u32::MAX) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::tests::levels;
    use proptest::prelude::*;

    const CSV: Structure = Structure { delimiter: b',', quote: Some(b'"') };

    fn index(text: &[u8]) -> Index {
        let mut index = Index::new(CSV);
        index.scan(text, true);
        index
    }

    type Spans = Vec<Vec<(usize, usize)>>;

    /// The same grammar, a byte at a time.
    fn slow(text: &[u8]) -> (Spans, Option<(u32, Code)>) {
        let (mut rows, mut row, mut start, mut at) = (Vec::new(), Vec::new(), 0, 0);
        let fault = |at: usize, code| Some((u32::try_from(at).unwrap(), code));
        while at < text.len() {
            if text[at] == b'"' && at == start {
                at += 1;
                loop {
                    match (text.get(at), text.get(at + 1)) {
                        (None, _) => return (rows, fault(start, Code::UnterminatedQuote)),
                        (Some(b'"'), Some(b'"')) => at += 2,
                        (Some(b'"'), None | Some(b',' | b'\n' | b'\r')) => break,
                        (Some(b'"'), _) => return (rows, fault(at + 1, Code::StrayQuote)),
                        _ => at += 1,
                    }
                }
            } else if text[at] == b'"' {
                return (rows, fault(at, Code::StrayQuote));
            } else if text[at] == b',' || text[at] == b'\n' {
                let is_crlf = text[at] == b'\n' && at > 0 && text[at - 1] == b'\r' && at > start;
                row.push((start, at - usize::from(is_crlf)));
                start = at + 1;
                if text[at] == b'\n' {
                    rows.push(std::mem::take(&mut row));
                }
            } else if text[at] == b'\r' && text.get(at + 1) != Some(&b'\n') {
                return (rows, fault(at, Code::CarriageReturn));
            }
            at += 1;
        }
        if start < text.len() || !row.is_empty() {
            row.push((start, text.len()));
            rows.push(row);
        }
        (rows, None)
    }

    fn spans(index: &Index) -> Spans {
        (0..index.rows.len())
            .map(|row| {
                let mut start = index.rows[row].start as usize;
                let span = |end: &u32| (std::mem::replace(&mut start, *end as usize + 1), *end as usize);
                index.fields(row).iter().map(span).collect()
            })
            .collect()
    }

    #[test]
    fn line_ends_inside_quotes_are_counted_for_their_row() {
        let found = index(b"a,\"b\n\n\"\nc,d\n\"e\n\",f\n");
        assert_eq!((found.rows.len(), found.inner_lines.as_slice()), (3, &[0, 0, 2][..]));
    }

    #[test]
    fn faults_have_their_place() {
        for (text, fault) in [
            (&b"a,b\"c\n"[..], (3, Code::StrayQuote)),
            (b"\"a\"b,c\n", (3, Code::StrayQuote)),
            (b"a\nb,\"c\n", (4, Code::UnterminatedQuote)),
            (b"a\rb\n", (1, Code::CarriageReturn)),
            (b"a\nb\r", (3, Code::CarriageReturn)),
            (b"\"a\"\rb", (3, Code::CarriageReturn)),
        ] {
            assert_eq!(index(text).fault, Some(fault), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn words_agree_with_single_bytes(text in "[a,\"\n]{0,200}|([ab]{0,9}[,\n]|\"[a,\n]{0,30}\"[,\n]|\"\"\"\"\r\n|a\r\n){0,40}\r?", cut in 0usize..200) {
            let (rows, fault) = slow(text.as_bytes());
            for level in levels() {
                let mut found = Index::at_level(CSV, level);
                found.scan(&text.as_bytes()[..cut.min(text.len())], false);
                if found.fault.is_none() {
                    found.scan(text.as_bytes(), true);
                }
                prop_assert_eq!(&spans(&found), &rows, "{:?}", level);
                prop_assert_eq!(found.fault, fault);
                let quoted = rows.iter().flatten().filter(|(start, _)| text.as_bytes().get(*start) == Some(&b'"'));
                let mut inside = quoted.map(|(start, end)| &text.as_bytes()[start + 1..end - 1]);
                prop_assert!(found.has_doubled || !inside.any(|inside| inside.contains(&b'"')));
            }
        }
    }
}
