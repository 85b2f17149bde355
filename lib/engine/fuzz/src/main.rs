//! Any bytes, cut anywhere, have the same structural index by every set of instructions, and no path touches memory it
//! does not own (the address sanitizer watches).
//!
//! The sources of the engine are compiled in here as they are, so what is fuzzed needs no door in the engine's interface.
#![no_main]
#![allow(dead_code, reason = "the sources hold what only the engine uses")]

#[path = "../../src/read/index.rs"]
mod index;
#[path = "../../src/simd/mod.rs"]
mod simd;

use index::{Index, Structure};
use libfuzzer_sys::fuzz_target;
use simd::Level;

const DELIMITERS: [u8; 8] = [b',', b';', b'\t', b'|', b'\n', 0, 0x80, 0xff];
const QUOTES: [Option<u8>; 4] = [None, Some(b'"'), Some(b'\''), Some(0x80)];

fuzz_target!(|data: &[u8]| {
    let [how, cuts, text @ ..] = data else { return };
    let delimiter = DELIMITERS[usize::from(how % 8)];
    let quote = QUOTES[usize::from(how / 8 % 4)].filter(|quote| *quote != delimiter);
    let structure = Structure { delimiter, quote };
    let whole = scanned(structure, Level::Portable, text, text.len().max(1));
    for level in [Level::Portable, Level::detect()] {
        let pieces = scanned(structure, level, text, usize::from(*cuts) + 1);
        assert_eq!(*pieces.marks, *whole.marks);
        assert_eq!(pieces.rows, whole.rows);
        assert_eq!(pieces.pending, whole.pending);
        assert_eq!(pieces.inner_lines, whole.inner_lines);
        assert_eq!(pieces.fault, whole.fault);
        assert_eq!(pieces.has_doubled, whole.has_doubled);
    }
});

/// The index of a text that comes in pieces.
fn scanned(structure: Structure, level: Level, text: &[u8], piece: usize) -> Index {
    let mut index = Index::at_level(structure, level);
    let mut end = 0;
    while end < text.len() && index.fault.is_none() {
        end = text.len().min(end + piece);
        // A slice of its own, so that the sanitizer sees every byte that is read behind its end.
        let seen = text[..end].to_vec();
        index.scan(&seen, end == text.len());
    }
    index
}
