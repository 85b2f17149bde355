//! Headers that are not as declared.

use windrow_core::Code;
use windrow_core::contract::{ColumnCase, ColumnOrder, Contract, ExtraColumns, MissingColumns, Reader, ReaderFormat};

use crate::read::RawWindow;
use crate::read::fixture::*;

fn columns() -> Vec<windrow_core::contract::Property> {
    vec![int("id"), text("name"), money("price")]
}

fn read_with(change: impl Fn(&mut Reader), bytes: &str) -> RawWindow {
    let mut contract = contract(ReaderFormat::Csv, columns());
    contract.reader.iter_mut().for_each(change);
    read_files(&contract, &[("a.csv", bytes.as_bytes())], None)
}

fn first(window: &RawWindow) -> (Code, Option<&str>, &str) {
    let violation = &window.report.listed()[0];
    (violation.code, violation.column.as_deref(), violation.expected.as_str())
}

#[test]
fn a_header_as_declared_is_read() {
    let window = read_csv(columns(), "id,name,price\n1,a,2.50\n");
    assert_eq!(rows(&window), [["1", "a", "2.50"]]);
    assert!(window.report.is_empty());
}

#[test]
fn a_header_alone_is_no_rows() {
    for text in ["id,name,price\n", "id,name,price", "id,name,price\r\n", "\u{feff}id,name,price\n"] {
        let window = read_csv(columns(), text);
        assert!(window.report.is_empty() && window.rows_in == 0 && window.chunks.is_empty(), "{text:?}");
        assert_eq!(window.bytes_in, text.len() as u64);
    }
}

#[test]
fn a_missing_column_is_named() {
    let window = read_csv(columns(), "id,name\n1,a\n");
    assert_eq!(first(&window), (Code::MissingColumn, Some("price"), "expected a column `price`"));
    assert_eq!((window.report.total(), window.rows_in), (1, 0));
}

#[test]
fn a_missing_column_is_null_when_declared_so_and_not_required() {
    let window = read_with(|reader| reader.missing_columns = MissingColumns::Null, "id,name\n1,a\n");
    assert_eq!(rows(&window), [["1", "a", "-"]]);
    let mut contract = contract(ReaderFormat::Csv, vec![int("id"), required(money("price"))]);
    contract.reader.iter_mut().for_each(|reader| reader.missing_columns = MissingColumns::Null);
    let window = read_files(&contract, &[("a.csv", b"id\n1\n")], None);
    assert_eq!(found(&window), [(Code::MissingColumn, 1, 1)]);
}

#[test]
fn an_extra_column_is_refused_or_ignored() {
    let text = "id,colour,name,price\n1,red,a,2.50\n";
    let window = read_csv(columns(), text);
    assert_eq!(first(&window), (Code::ExtraColumn, Some("colour"), "expected no such column"));
    assert_eq!(found(&window), [(Code::ExtraColumn, 1, 4)]);
    let window = read_with(|reader| reader.extra_columns = ExtraColumns::Ignore, text);
    assert_eq!(rows(&window), [["1", "a", "2.50"]]);
}

#[test]
fn a_misspelt_column_is_one_violation_with_the_name_that_was_meant() {
    let window = read_csv(columns(), "id,nmae,price\n1,a,2.50\n");
    assert_eq!(first(&window), (Code::ExtraColumn, Some("nmae"), "did you mean `name`?"));
    assert_eq!(window.report.total(), 1);
    let excerpt = window.report.listed()[0].excerpt.clone().unwrap();
    assert_eq!((excerpt.text.as_str(), excerpt.start, excerpt.length), ("id,nmae,price", 3, 4));
}

#[test]
fn reordered_columns_are_refused_or_followed() {
    let text = "price,id,name\n2.50,1,a\n";
    assert_eq!(found(&read_csv(columns(), text)), [(Code::ReorderedColumns, 1, 1)]);
    assert_eq!(rows(&read_with(|reader| reader.column_order = ColumnOrder::Any, text)), [["1", "a", "2.50"]]);
}

#[test]
fn a_duplicate_column_is_refused() {
    let window = read_csv(columns(), "id,name,name,price\n1,a,b,2.50\n");
    assert_eq!(first(&window), (Code::DuplicateColumn, Some("name"), "expected `name` only once"));
    assert_eq!(found(&window), [(Code::DuplicateColumn, 1, 9)]);
}

#[test]
fn a_column_in_another_case_is_refused_or_taken() {
    let text = "id,Name,price\n1,a,2.50\n";
    let window = read_csv(columns(), text);
    assert_eq!(first(&window), (Code::ColumnCase, Some("name"), "expected `name`"));
    assert_eq!(rows(&read_with(|reader| reader.column_case = ColumnCase::Ignore, text)), [["1", "a", "2.50"]]);
}

#[test]
fn data_in_place_of_a_header_is_no_header() {
    assert_eq!(first(&read_csv(columns(), "1,a,2.50\n2,b,3\n")).0, Code::MissingHeader);
    assert_eq!(first(&read_csv(columns(), "\nid,name,price\n")).0, Code::MissingHeader);
    let mut contract = contract(ReaderFormat::Csv, columns());
    contract.properties[1].classification = Some("confidential".to_owned());
    let window = read_files(&contract, &[("a.csv", b"1,secret,2.50\n")], None);
    assert!(!format!("{:?}", window.report).contains("secret"));
}

#[test]
fn without_a_declared_header_columns_stand_as_declared() {
    let window = read_with(|reader| reader.header = false, "1,a,2.50\n2,b,3\n");
    assert_eq!(rows(&window), [["1", "a", "2.50"], ["2", "b", "3.00"]]);
}

#[test]
fn quoted_names_are_names() {
    assert_eq!(rows(&read_csv(columns(), "\"id\",\"name\",price\n1,a,2.50\n")), [["1", "a", "2.50"]]);
}

#[test]
fn a_blank_around_a_name_is_another_name() {
    assert_eq!(
        first(&read_csv(columns(), "id, name,price\n1,a,2.50\n")),
        (Code::ExtraColumn, Some(" name"), "did you mean `name`?")
    );
}

#[test]
fn a_header_that_is_no_text_is_damage() {
    assert_eq!(first(&read_csv(columns(), b"id,n\xe4me,price\n")).0, Code::InvalidUtf8);
    assert_eq!(first(&read_csv(columns(), b"\xff\xfei\0d\0\n\0")).0, Code::InvalidUtf8);
    assert_eq!(first(&read_csv(columns(), b"i\0d\0\n\0")).0, Code::NulByte);
    assert_eq!(first(&read_csv(columns(), b"id,\"name\n1,2,3")).0, Code::UnterminatedQuote);
    assert_eq!(first(&read_csv(columns(), b"id,name,price\r1,a,2\r")).0, Code::CarriageReturn);
}

#[test]
fn all_files_are_checked_before_any_row_is_read() {
    let contract: Contract = contract(ReaderFormat::Csv, columns());
    let files: [(&str, &[u8]); 3] = [("a.csv", b"id,name,price\nx,a,1\n"), ("b.csv", b"id,name\n"), ("c.csv", b"")];
    let window = read_files(&contract, &files, None);
    assert_eq!(found(&window), [(Code::MissingColumn, 1, 4), (Code::EmptyFile, 0, 0)]);
    assert_eq!(window.rows_in, 0);
}
