//! Chunks given away one by one: each once, with its place, and no more after a refusal.

use std::io::{Cursor, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use windrow_core::contract::ReaderFormat;
use windrow_core::{Error, ErrorKind, Result};

use crate::chunk::{Chunk, InputFile};
use crate::read::fixture::*;
use crate::read::{Position, RawSummary, ReadOptions, Sink, read_each};

/// An index is made in words of 64 bytes, so a file of several blocks has some hundred.
fn csv() -> Vec<u8> {
    let rows: String = (0..100).map(|row| format!("{row}\n")).collect();
    format!("id\n{rows}").into_bytes()
}

fn read(files: usize, block_bytes: usize, sink: Sink<'_>) -> Result<RawSummary> {
    let inputs: Vec<InputFile> =
        (0..files).map(|file| InputFile { key: format!("{file}.csv").into(), size: csv().len() as u64 }).collect();
    let open = |_: &InputFile| -> Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(csv()))) };
    read_each(&contract(ReaderFormat::Csv, vec![int("id")]), &inputs, &open, &ReadOptions { block_bytes }, sink)
}

#[test]
fn each_chunk_comes_once_with_its_place() {
    let given: Mutex<Vec<(Position, String, u64)>> = Mutex::default();
    let sink = |position, chunk: Chunk| -> Result<()> {
        let mut given = given.lock().unwrap();
        given.push((position, chunk.origin.file().to_string(), chunk.origin.line(0)));
        Ok(())
    };
    let summary = read(9, 4, &sink).unwrap();
    assert_eq!((summary.rows_in, summary.bytes_in, summary.files.len()), (900, 9 * csv().len() as u64, 9));
    let mut given = given.into_inner().unwrap();
    given.sort();
    assert!(given.len() >= 18, "{given:?}");
    assert!(given.windows(2).all(|pair| pair[0].0 < pair[1].0), "{given:?}");
    assert!(given.iter().all(|(position, file, _)| *file == format!("{}.csv", position.file)), "{given:?}");
    assert!(given.windows(2).all(|pair| pair[0].1 != pair[1].1 || pair[0].2 < pair[1].2), "{given:?}");
}

#[test]
fn what_the_sink_refuses_ends_the_reading() {
    let asked = AtomicUsize::new(0);
    let sink = |_, _| -> Result<()> {
        asked.fetch_add(1, Ordering::Relaxed);
        Err(Error::new(ErrorKind::Transient, "full"))
    };
    let error = read(500, 4, &sink).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Transient, "full"));
    assert!(asked.into_inner() < 500);
}
