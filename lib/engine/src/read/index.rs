//! The structural index: where fields and rows end, found 64 bytes at a time without looking at any field.
//!
//! ```text
//! bytes ─▶ masks (one bit a byte) ─▶ inside quotes? ─▶ marks (ends of fields) and rows
//! ```
//!
//! [`masks`] is the only function that looks at bytes; an index by SIMD replaces it and nothing else. The grammar is
//! RFC 4180 and strict: a quote opens only where a field starts and closes only where it ends, a CR outside quotes is
//! followed by LF. The first byte that breaks this ends the index, because behind it row ends are guesses.

use windrow_core::Code;

/// The bytes with a meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Structure {
    /// Ends a field; `\n` when rows have no fields.
    pub(crate) delimiter: u8,
    /// Encloses a field.
    pub(crate) quote: Option<u8>,
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
    /// The end of every field in order: the place of its delimiter, or of its line end (the CR of CR LF).
    pub(crate) marks: Vec<u32>,
    /// The complete rows.
    pub(crate) rows: Vec<Row>,
    /// The row that has begun and not ended.
    pub(crate) pending: Row,
    /// For each line end inside quotes, the number of its row.
    pub(crate) inner_lines: Vec<u32>,
    /// The first byte that breaks the grammar.
    pub(crate) fault: Option<(u32, Code)>,
    scanned: u32,
    /// All ones while inside quotes.
    inside: u64,
    /// Bit 0: may a quote open here, did a quote just close, was the last byte a CR.
    may_open: u64,
    closed: u64,
    returned: u64,
}

/// One bit for each of 64 bytes.
struct Masks {
    delimiters: u64,
    newlines: u64,
    quotes: u64,
    returns: u64,
}

impl Index {
    pub(crate) fn new(structure: Structure) -> Self {
        let (marks, rows, inner_lines) = (Vec::new(), Vec::new(), Vec::new());
        let pending = Row::default();
        Index {
            structure,
            marks,
            rows,
            pending,
            inner_lines,
            fault: None,
            scanned: 0,
            inside: 0,
            may_open: 1,
            closed: 0,
            returned: 0,
        }
    }

    /// Forgets everything; the next block's first row starts at `start`.
    pub(crate) fn reset(&mut self, start: u32) {
        self.marks.clear();
        self.rows.clear();
        self.inner_lines.clear();
        self.pending = Row { start, first: 0 };
        self.fault = None;
        self.scanned = start;
        (self.inside, self.may_open, self.closed, self.returned) = (0, 1, 0, 0);
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
        for word in words {
            self.word(word, 64);
            if self.fault.is_some() {
                return;
            }
        }
        if is_end {
            let mut word = [0; 64];
            word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.word(&word, u32::try_from(rest.len()).unwrap_or(0));
            self.end();
        }
    }

    /// Drops this row and what follows; it becomes the pending row.
    pub(crate) fn truncate(&mut self, row: usize) {
        if let Some(first) = self.rows.get(row).copied() {
            self.rows.truncate(row);
            self.pending = first;
        }
    }

    fn word(&mut self, word: &[u8; 64], length: u32) {
        let valid = if length == 64 { u64::MAX } else { (1 << length) - 1 };
        let found = masks(word, self.structure, valid);
        if found.quotes | found.returns | self.inside | self.closed | self.returned == 0 {
            let structural = found.delimiters | found.newlines;
            self.emit(structural, found.newlines, 0);
            self.may_open = if length == 0 { self.may_open } else { (structural >> (length - 1)) & 1 };
        } else if length > 0 {
            self.quoted_word(&found, valid, length);
        }
        self.scanned += length;
    }

    /// A word with quotes or CRs in it, or right after them.
    fn quoted_word(&mut self, found: &Masks, valid: u64, length: u32) {
        let inside = prefix_xor(found.quotes) ^ self.inside;
        let structural = (found.delimiters | found.newlines) & !inside;
        let returns = found.returns & !inside;
        let (opening, closing) = (found.quotes & inside, found.quotes & !inside);
        let may_open = ((structural | closing) << 1) | self.may_open | self.closed;
        let after_close = (closing << 1) | self.closed;
        let after_return = (returns << 1) | self.returned;
        let stray = ((opening & !may_open) | (after_close & !(structural | opening | returns))) & valid;
        let lone = after_return & !found.newlines & valid;
        let before_fault = (stray | lone).wrapping_sub(1) & !(stray | lone);
        let inner = found.newlines & inside;
        self.emit_quoted(structural & before_fault, found.newlines, inner & before_fault, after_return);
        if stray | lone != 0 {
            let place = self.scanned + (stray | lone).trailing_zeros();
            let is_lone = lone.trailing_zeros() < stray.trailing_zeros();
            self.fault = Some(if is_lone { (place.saturating_sub(1), Code::CarriageReturn) } else { (place, Code::StrayQuote) });
        }
        let last = length - 1;
        self.inside = if (inside >> last) & 1 == 1 { u64::MAX } else { 0 };
        self.may_open = (structural >> last) & 1;
        self.closed = (closing >> last) & 1;
        self.returned = (returns >> last) & 1;
    }

    #[inline]
    fn emit(&mut self, mut structural: u64, newlines: u64, after_return: u64) {
        if newlines == 0 {
            while structural != 0 {
                self.marks.push(self.scanned + structural.trailing_zeros());
                structural &= structural - 1;
            }
            return;
        }
        while structural != 0 {
            let bit = structural.trailing_zeros();
            self.mark(bit, (newlines >> bit) & 1 == 1, (after_return >> bit) & 1 == 1);
            structural &= structural - 1;
        }
    }

    fn emit_quoted(&mut self, structural: u64, newlines: u64, mut inner: u64, after_return: u64) {
        if inner == 0 {
            return self.emit(structural, newlines & structural, after_return);
        }
        // Line ends inside and outside quotes are taken in order, so that each inner one finds its row.
        let mut all = structural | inner;
        while all != 0 {
            let bit = all.trailing_zeros();
            if (inner >> bit) & 1 == 1 {
                self.inner_lines.push(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
                inner &= inner - 1;
            } else {
                self.mark(bit, (newlines >> bit) & 1 == 1, (after_return >> bit) & 1 == 1);
            }
            all &= all - 1;
        }
    }

    #[inline]
    fn mark(&mut self, bit: u32, is_row_end: bool, after_return: bool) {
        let place = self.scanned + bit;
        if !is_row_end {
            self.marks.push(place);
            return;
        }
        self.marks.push(place - u32::from(after_return));
        self.close_row(place + 1);
    }

    fn close_row(&mut self, next_start: u32) {
        self.rows.push(self.pending);
        self.pending = Row { start: next_start, first: u32::try_from(self.marks.len()).unwrap_or(u32::MAX) };
    }

    /// The file ends here: the last row may lack its line end.
    fn end(&mut self) {
        if self.fault.is_some() {
            return;
        }
        if self.inside != 0 {
            self.fault = Some((self.open_field(), Code::UnterminatedQuote));
        } else if self.returned != 0 {
            self.fault = Some((self.scanned.saturating_sub(1), Code::CarriageReturn));
        } else if self.scanned > self.pending.start {
            self.marks.push(self.scanned);
            self.close_row(self.scanned);
        }
    }
}

fn masks(word: &[u8; 64], structure: Structure, valid: u64) -> Masks {
    let newlines = matches(word, b'\n') & valid;
    let delimiters = if structure.delimiter == b'\n' { 0 } else { matches(word, structure.delimiter) & valid };
    // Quotes and CRs are rare: one look for any of them costs less than their masks.
    let quote = structure.quote.unwrap_or(b'\r');
    let is_special = word.iter().fold(0, |any, byte| any | u8::from(*byte == quote) | u8::from(*byte == b'\r'));
    if is_special == 0 {
        return Masks { delimiters, newlines, quotes: 0, returns: 0 };
    }
    let quotes = structure.quote.map_or(0, |quote| matches(word, quote) & valid);
    Masks { delimiters, newlines, quotes, returns: matches(word, b'\r') & valid }
}

/// One bit for each of 64 bytes: is it this byte? Eight bytes at a time in a machine word.
#[inline]
fn matches(word: &[u8; 64], byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let pattern = u64::from(byte).wrapping_mul(0x0101_0101_0101_0101);
    let mut bits = 0;
    for (lane, bytes) in word.as_chunks::<8>().0.iter().enumerate() {
        let difference = u64::from_le_bytes(*bytes) ^ pattern;
        let equal = !(((difference & LOW) + LOW) | difference | LOW);
        // The eight high bits are gathered into one byte by a multiplication.
        bits |= ((equal >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * lane);
    }
    bits
}

/// Each bit becomes the parity of itself and all lower bits: all ones between an opening and its closing quote.
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
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
            let mut found = Index::new(CSV);
            found.scan(&text.as_bytes()[..cut.min(text.len())], false);
            if found.fault.is_none() {
                found.scan(text.as_bytes(), true);
            }
            prop_assert_eq!(spans(&found), rows);
            prop_assert_eq!(found.fault, fault);
        }
    }
}
