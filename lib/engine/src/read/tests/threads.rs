//! Blocks of one file side by side: the same chunks and the same report as one thread gives, in the same order.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use windrow_core::contract::ReaderFormat;
use windrow_core::{Contract, Result};

use crate::chunk::InputFile;
use crate::read::fixture::*;
use crate::read::{RawWindow, ReadOptions, collect, headers};

fn inputs(files: &[(String, Vec<u8>)]) -> Vec<InputFile> {
    files.iter().map(|(key, bytes)| InputFile { key: key.as_str().into(), size: bytes.len() as u64 }).collect()
}

fn read_on(threads: usize, contract: &Contract, files: &[(String, Vec<u8>)], block_bytes: usize) -> RawWindow {
    let stored: BTreeMap<Arc<str>, Vec<u8>> = files.iter().map(|(key, bytes)| (key.as_str().into(), bytes.clone())).collect();
    let open = |input: &InputFile| -> Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(stored[&input.key].clone()))) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| collect(contract, &inputs(files), &open, &ReadOptions { block_bytes })).unwrap()
}

fn require_same(one: &RawWindow, many: &RawWindow) {
    assert_eq!((&one.report, one.rows_in, one.bytes_in, &one.files), (&many.report, many.rows_in, many.bytes_in, &many.files));
    assert_eq!(one.chunks.len(), many.chunks.len());
    for (one, many) in one.chunks.iter().zip(&many.chunks) {
        let plain = |chunk: &crate::Chunk| crate::form::plain_batch(&chunk.batch).unwrap();
        assert_eq!((&one.origin, plain(one)), (&many.origin, plain(many)));
    }
}

/// A row that is good, or wrong in some way that leaves the file readable.
fn row() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[0-9]{1,6},[a-z]{0,9}",
        1 => "[a-z]{1,3},[a-z]{0,9}",
        1 => "[0-9]{1,6},\"[a-z\n,]{0,40}\"",
        1 => "[0-9]{1,4}",
        1 => "[0-9]{1,4},x,y",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn four_threads_give_what_one_gives(
        tables in prop::collection::vec(prop::collection::vec(row(), 0..200), 1..4),
        block_bytes in 1usize..400,
        packing in 0usize..3,
        end in prop_oneof![Just(""), Just("1,\"a\n2,b\n"), Just("1,a\"b\n3,c\n")],
    ) {
        let suffix = ["", ".gz", ".zst"][packing];
        let pack = |bytes: &[u8]| match packing {
            0 => bytes.to_vec(),
            1 => gzip(bytes),
            _ => zstd(bytes),
        };
        let file = |rows: &Vec<String>| pack(format!("id,name\n{}\n{end}", rows.join("\n")).as_bytes());
        let files: Vec<(String, Vec<u8>)> =
            tables.iter().enumerate().map(|(number, rows)| (format!("{number}.csv{suffix}"), file(rows))).collect();
        let contract = contract(ReaderFormat::Csv, vec![int("id"), text("name")]);
        let one = read_on(1, &contract, &files, block_bytes);
        for _ in 0..3 {
            require_same(&one, &read_on(4, &contract, &files, block_bytes));
        }
    }
}

#[test]
fn lines_of_objects_are_read_side_by_side_too() {
    let line = |row: usize| if row % 97 == 5 { "{\"id\":\"x\"}\n".to_owned() } else { format!("{{\"id\":{row}}}\n") };
    let files = vec![("a.ndjson".to_owned(), (0..5_000).map(line).collect::<String>().into_bytes())];
    let contract = contract(ReaderFormat::Ndjson, vec![int("id")]);
    let one = read_on(1, &contract, &files, 700);
    assert!(one.chunks.len() > 50 && one.report.total() > 50);
    require_same(&one, &read_on(4, &contract, &files, 700));
}

#[test]
fn the_first_violations_are_listed_whichever_block_was_parsed_first() {
    let rows: String = (0..25_000).map(|row| format!("x{row}\n")).collect();
    let files = vec![("a.csv".to_owned(), format!("id\n{rows}").into_bytes())];
    let contract = contract(ReaderFormat::Csv, vec![int("id")]);
    let one = read_on(1, &contract, &files, 4_096);
    assert_eq!((one.report.total(), one.report.listed().len()), (25_000, 10_000));
    assert_eq!(one.report.listed()[9_999].line, 10_001);
    require_same(&one, &read_on(4, &contract, &files, 4_096));
}

#[test]
fn small_files_are_opened_once_while_there_is_room() {
    let files: Vec<(String, Vec<u8>)> = (0..40).map(|file| (format!("{file}.csv"), b"id\n1\n2\n".to_vec())).collect();
    let contract = contract(ReaderFormat::Csv, vec![int("id")]);
    let opened: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let open = |input: &InputFile| -> Result<Box<dyn Read + Send>> {
        *opened.lock().unwrap().entry(input.key.to_string()).or_default() += 1;
        Ok(Box::new(Cursor::new(b"id\n1\n2\n")))
    };
    let window = collect(&contract, &inputs(&files), &open, &ReadOptions::default()).unwrap();
    assert_eq!(window.rows_in, 80);
    assert!(opened.lock().unwrap().values().all(|times| *times == 1), "{opened:?}");

    let kept = headers::check(&contract, &inputs(&files), &open, 7 * 25 + 6).unwrap().kept;
    assert_eq!(kept.iter().flatten().map(bytes::Bytes::len).sum::<usize>(), 7 * 25);
    let large = [InputFile { key: "a.csv".into(), size: 1 << 20 }];
    assert_eq!(headers::check(&contract, &large, &open, 1 << 30).unwrap().kept, [None]);
}
