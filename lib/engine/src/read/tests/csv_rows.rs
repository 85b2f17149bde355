//! Rows of the wrong form, and files that cannot be read to their end.

use windrow_core::Code;
use windrow_core::contract::{Reader, ReaderFormat};

use crate::read::RawWindow;
use crate::read::fixture::*;

fn read_two(rows: impl AsRef<[u8]>) -> RawWindow {
    read_csv(vec![int("id"), text("name")], [b"id,name\n", rows.as_ref()].concat())
}

fn read_with(change: impl Fn(&mut Reader), bytes: &[u8]) -> RawWindow {
    let mut contract = contract(ReaderFormat::Csv, vec![int("id"), text("name")]);
    contract.reader.iter_mut().for_each(change);
    read_files(&contract, &[("a.csv", bytes)], None)
}

#[test]
fn a_short_row_is_one_violation_and_never_padded() {
    let window = read_two("1,a\n2\n3,c\n");
    assert_eq!(found(&window), [(Code::ShortRow, 3, 1)]);
    assert_eq!(window.report.listed()[0].expected, "expected 2 fields, found 1");
    assert_eq!(rows(&window), [["1", "a"], ["3", "c"]]);
    assert_eq!((window.chunks[0].origin.line(0), window.chunks[0].origin.line(1)), (2, 4));
}

#[test]
fn a_long_row_points_at_the_first_field_too_many() {
    let window = read_two("1,a\n2,b,c,d\n");
    assert_eq!(found(&window), [(Code::LongRow, 3, 5)]);
    assert_eq!(window.report.listed()[0].value.as_deref(), Some("c"));
    assert_eq!(window.report.listed()[0].byte_offset, Some(16));
}

#[test]
fn a_blank_line_is_refused_or_skipped() {
    for text in ["1,a\n\n2,b\n", "1,a\r\n\r\n2,b\r\n"] {
        let window = read_two(text);
        assert_eq!(found(&window), [(Code::BlankLine, 3, 1)], "{text:?}");
        assert_eq!((window.rows_in, window.report.rejected_rows()), (3, 1));
        let all = format!("id,name\n{text}");
        let window = read_with(|reader| reader.skip_blank_lines = true, all.as_bytes());
        assert!(window.report.is_empty() && window.rows_in == 2);
        assert_eq!(window.chunks[0].origin.line(1), 4);
    }
}

#[test]
fn a_blank_line_in_a_file_of_one_column_is_no_null() {
    let window = read_csv(vec![text("name")], "name\na\n\n\"\"\nb");
    assert_eq!(found(&window), [(Code::BlankLine, 3, 1)]);
    assert_eq!(rows(&window), [["a"], [""], ["b"]]);
}

#[test]
fn the_last_line_end_may_be_missing() {
    for text in ["1,a\n2,b", "1,a\r\n2,b", "1,a\n2,b\r\n", "1,a\n2,\"b\""] {
        assert_eq!(rows(&read_two(text)), [["1", "a"], ["2", "b"]], "{text:?}");
    }
    assert_eq!(rows(&read_two("1,")), [["1", "-"]]);
    assert_eq!(rows(&read_two("1,a\n2,\"\"")), [["1", "a"], ["2", ""]]);
}

#[test]
fn quotes_enclose_delimiters_line_ends_and_quotes() {
    let window = read_two("1,\"a,b\"\n\"2\",\"c\nd\"\n3,\"e\r\n\"\"f\"\"\"\n4,g\n");
    assert_eq!(rows(&window), [["1", "a,b"], ["2", "c\nd"], ["3", "e\r\n\"f\""], ["4", "g"]]);
    let lines: Vec<u64> = (0..4).map(|row| window.chunks[0].origin.line(row)).collect();
    assert_eq!(lines, [2, 3, 5, 7]);
}

#[test]
fn a_field_after_a_line_end_in_quotes_has_its_own_line() {
    let window = read_csv(vec![text("name"), int("id")], "name,id\n\"a\nbc\",x\n");
    assert_eq!(found(&window), [(Code::WrongType, 3, 5)]);
    assert_eq!(window.report.listed()[0].byte_offset, Some(15));
    assert_eq!(window.report.listed()[0].excerpt.as_ref().unwrap().text, "\"a␊bc\",x");
}

#[test]
fn an_unterminated_quote_is_placed_where_it_opens() {
    let window = read_two("1,a\n2,\"b\n3,c\n4,d\n");
    assert_eq!(found(&window), [(Code::UnterminatedQuote, 3, 3)]);
    assert_eq!(rows(&window), [["1", "a"]]);
}

#[test]
fn a_stray_quote_ends_the_file() {
    assert_eq!(found(&read_two("1,a\n2,b\"c\n3,d\n")), [(Code::StrayQuote, 3, 3)]);
    assert_eq!(found(&read_two("1,a\n2,\"b\"c\n3,d\n")), [(Code::StrayQuote, 3, 3)]);
    assert_eq!(found(&read_two("1,\"a\" \n")), [(Code::StrayQuote, 2, 3)]);
}

#[test]
fn without_a_quote_quotes_are_text() {
    let window = read_with(|reader| reader.quote = None, b"id,name\n1,a\"b\n2,\"c\n");
    assert_eq!(rows(&window), [["1", "a\"b"], ["2", "\"c"]]);
}

#[test]
fn a_lone_carriage_return_is_damage() {
    assert_eq!(found(&read_two("1,a\n2,b\rc\n")), [(Code::CarriageReturn, 3, 3)]);
    assert_eq!(found(&read_two("1,a\r")), [(Code::CarriageReturn, 2, 3)]);
    assert!(read_two("1,\"a\rb\"\n").report.is_empty());
}

#[test]
fn other_delimiters_and_quotes_are_read() {
    let change = |reader: &mut Reader| (reader.delimiter, reader.quote) = (b'\t', Some(b'\''));
    assert_eq!(rows(&read_with(change, b"id\tname\n1\t'a\tb''c'\n")), [["1", "a\tb'c"]]);
}

#[test]
fn invalid_utf8_refuses_its_row_only() {
    let window = read_two(b"1,a\n2,b\xe9c\n3,d\n\xff\xff,e\n5,\xf0\x9f\x98\x80");
    assert_eq!(found(&window), [(Code::InvalidUtf8, 3, 3), (Code::InvalidUtf8, 5, 1)]);
    assert_eq!(window.report.listed()[0].value.as_deref(), Some("b\u{fffd}c"));
    assert_eq!(window.report.listed()[0].column.as_deref(), Some("name"));
    assert_eq!(rows(&window), [["1", "a"], ["3", "d"], ["5", "😀"]]);
}

#[test]
fn a_nul_byte_refuses_its_row_only() {
    let window = read_two(b"1,a\n2,b\0\0c\n3,d\n");
    assert_eq!(found(&window), [(Code::NulByte, 3, 3)]);
    assert_eq!(window.report.rejected_rows(), 1);
}

#[test]
fn a_field_of_20_megabytes_is_read_when_the_limit_allows() {
    let large = "x".repeat(20 << 20);
    let file = format!("id,name\n1,{large}\n2,b\n");
    let window = read_with(|reader| reader.max_field_bytes = 32 << 20, file.as_bytes());
    assert_eq!(window.chunks.iter().map(|chunk| chunk.batch.num_rows()).sum::<usize>(), 2);
    let window = read_with(|_| (), file.as_bytes());
    assert_eq!(found(&window), [(Code::FieldTooLarge, 2, 3)]);
    let unclosed = format!("id,name\n1,a\n2,\"{large}\n");
    assert_eq!(found(&read_with(|_| (), unclosed.as_bytes())), [(Code::FieldTooLarge, 3, 3)]);
}

#[test]
fn fields_and_rows_over_their_limits_end_the_file() {
    let change = |reader: &mut Reader| (reader.max_field_bytes, reader.max_row_bytes) = (10, 12);
    let window = read_with(change, b"id,name\n1,a\n2,bbbbbbbbbb\n");
    assert_eq!(found(&window), [(Code::BlankLine, 0, 0); 0]);
    assert_eq!(found(&read_with(change, b"id,name\n1,a\n2,bbbbbbbbbbb\n3,c\n")), [(Code::FieldTooLarge, 3, 3)]);
    assert_eq!(found(&read_with(change, b"id,name\n1,a\n222,bbbbbbbbb\n3,c\n")), [(Code::RowTooLarge, 3, 1)]);
}

#[test]
fn classified_values_are_never_shown() {
    let mut name = text("name");
    name.classification = Some("restricted".to_owned());
    let contract = contract(ReaderFormat::Csv, vec![int("id"), name]);
    let file = b"id,name\nx,secret\n1,secret,secret\nsecret\n2,\"secret\xff\"\n3,secret\"";
    let window = read_files(&contract, &[("a.csv", file)], None);
    assert_eq!(window.report.total(), 5);
    assert!(!format!("{:?}", window.report).contains("secret"), "{:?}", window.report);
    assert_eq!(window.report.listed()[0].excerpt.as_ref().unwrap().text, "x,***");
}
