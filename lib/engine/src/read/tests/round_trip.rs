//! Whatever a plain RFC 4180 writer writes is read back, wherever the blocks are cut.

use proptest::prelude::*;
use windrow_core::contract::ReaderFormat;

use crate::read::fixture::*;

/// Quotes what must be quoted, and the empty text, which unquoted would be null.
fn write(table: &[Vec<String>], line_end: &str, ends_with_line_end: bool) -> String {
    let field = |value: &String| {
        let needs_quotes = value.is_empty() || value.contains(['"', ',', '\n', '\r']);
        if needs_quotes { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.clone() }
    };
    let lines: Vec<String> = table.iter().map(|row| row.iter().map(field).collect::<Vec<_>>().join(",")).collect();
    let mut text = lines.join(line_end);
    if ends_with_line_end {
        text.push_str(line_end);
    }
    text
}

fn table() -> impl Strategy<Value = Vec<Vec<String>>> {
    let value = prop_oneof!["[a-c,\"\r\n é😀]{0,12}", "\"{0,4}", "[a-z]{0,80}"];
    (1usize..4).prop_flat_map(move |width| prop::collection::vec(prop::collection::vec(value.clone(), width), 0..12))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_is_written_is_read(table in table(), is_crlf: bool, ends: bool, block_bytes in 1usize..200) {
        let width = table.first().map_or(1, Vec::len);
        let names: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
        let properties = names.iter().map(|name| text(name)).collect();
        let mut all = vec![names];
        all.extend(table.iter().cloned());
        let file = write(&all, if is_crlf { "\r\n" } else { "\n" }, ends);
        let window = read_files(&contract(ReaderFormat::Csv, properties), &[("a.csv", file.as_bytes())], Some(block_bytes));
        prop_assert!(window.report.is_empty(), "{:?}", window.report);
        prop_assert_eq!(rows(&window), table);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), Just(b'1'), any::<u8>()], 0..300), block_bytes in 1usize..100) {
        let file = [&b"a,b\n"[..], &bytes].concat();
        let contract = contract(ReaderFormat::Csv, vec![int("a"), text("b")]);
        let whole = read_files(&contract, &[("a.csv", &file)], None);
        let cut = read_files(&contract, &[("a.csv", &file)], Some(block_bytes));
        prop_assert_eq!(rows(&cut), rows(&whole), "rows");
        // How much of a broken line is at hand for the excerpt depends on the block; its place must not.
        let places = |window: &crate::read::RawWindow| -> Vec<_> { window.report.listed().iter().map(|found| (found.code, found.line, found.char_column, found.byte_offset)).collect() };
        prop_assert_eq!(places(&cut), places(&whole));
        prop_assert_eq!(cut.report.rejected_rows(), whole.report.rejected_rows());
    }
}

#[test]
fn every_block_size_gives_the_same_rows_lines_and_places() {
    let file = "a,b\n1,\"x\n\"\"y\"\"\"\nq,z\n2,\r\n\"3\",\"\"\n,,\n\n4,é";
    let contract = contract(ReaderFormat::Csv, vec![int("a"), text("b")]);
    let whole = read_files(&contract, &[("a.csv", file.as_bytes())], None);
    assert_eq!(whole.report.total(), 3);
    for block_bytes in 1..file.len() + 2 {
        let cut = read_files(&contract, &[("a.csv", file.as_bytes())], Some(block_bytes));
        assert_eq!((rows(&cut), &cut.report), (rows(&whole), &whole.report), "{block_bytes}");
        let lines = |window: &crate::read::RawWindow| -> Vec<u64> {
            window.chunks.iter().flat_map(|chunk| (0..chunk.batch.num_rows()).map(|row| chunk.origin.line(row))).collect()
        };
        assert_eq!(lines(&cut), lines(&whole), "{block_bytes}");
    }
}
