//! Values that are not of their type, and values that are null.

use windrow_core::Code;
use windrow_core::contract::{DataType, Property, ReaderFormat};

use crate::read::fixture::*;

/// The code a single value gives.
fn code_of(property: Property, value: &str) -> Option<Code> {
    let window = read_csv(vec![property, text("other")], format!("{{}},other\n{value},z\n").replace("{}", "v"));
    let codes: Vec<Code> = window.report.listed().iter().map(|violation| violation.code).collect();
    assert!(codes.len() <= 1, "{codes:?}");
    codes.first().copied()
}

#[test]
fn each_type_refuses_what_it_is_not() {
    let small = || property("v", DataType::Integer { bits: 8, signed: true });
    let cases = [
        (int("v"), "12,5", Some(Code::LongRow)),
        (int("v"), "\"12,5\"", Some(Code::WrongType)),
        (int("v"), "free", Some(Code::WrongType)),
        (int("v"), "\"12\"", None),
        (small(), "300", Some(Code::IntegerOverflow)),
        (money("v"), "1.239", Some(Code::DecimalDigits)),
        (money("v"), "1e3", Some(Code::WrongType)),
        (date("v"), "2023-02-29", Some(Code::ImpossibleDate)),
        (date("v"), "01/02/2024", Some(Code::DatePattern)),
        (float("v"), "NaN", Some(Code::NotFinite)),
        (float("v"), "-inf", Some(Code::NotFinite)),
        (flag("v"), "yes", Some(Code::WrongType)),
        (flag("v"), "true", None),
        (instant("v"), "2024-01-01T00:00:00.1234567Z", Some(Code::SubUnitDigits)),
        (instant("v"), "2024-01-01T00:00:00+02:00", None),
    ];
    for (property, value, code) in cases {
        assert_eq!(code_of(property, value), code, "{value}");
    }
}

#[test]
fn a_wrong_value_has_all_its_evidence() {
    let window = read_csv(vec![text("név"), int("subtotal")], "név,subtotal\nő,12.50\n");
    let violation = &window.report.listed()[0];
    assert_eq!((violation.line, violation.char_column, violation.byte_offset), (2, 3, Some(17)));
    assert_eq!((violation.column.as_deref(), violation.value.as_deref()), (Some("subtotal"), Some("12.50")));
    assert_eq!((violation.expected.as_str(), &*violation.file), ("expected integer (i64)", "raw/a.csv"));
    let excerpt = violation.excerpt.as_ref().unwrap();
    assert_eq!((excerpt.text.as_str(), excerpt.start, excerpt.length), ("ő,12.50", 2, 5));
    assert_eq!(violation.contract.as_ref().unwrap().1, "first");
}

#[test]
fn empty_is_null_and_quoted_empty_is_the_empty_text() {
    let window = read_csv(vec![text("a"), int("b")], "a,b\n,\n\"\",1\n");
    assert_eq!(rows(&window), [["-", "-"], ["", "1"]]);
    let window = read_csv(vec![text("a"), int("b")], "a,b\nx,\"\"\n");
    assert_eq!(found(&window), [(Code::WrongType, 2, 3)]);
}

#[test]
fn only_declared_tokens_are_null() {
    let mut contract = contract(ReaderFormat::Csv, vec![text("a"), int("b"), date("c")]);
    contract.reader.iter_mut().for_each(|reader| reader.null_values = vec!["NA".to_owned(), "-1".to_owned()]);
    let window = read_files(&contract, &[("a.csv", b"a,b,c\nNA,-1,NA\n,1,2024-01-01\n\"NA\",2,\n-1,NULL,NA\n")], None);
    assert_eq!(found(&window), [(Code::WrongType, 4, 8), (Code::WrongType, 5, 4)]);
    assert_eq!(rows(&window), [["-", "-", "-"], ["", "1", "2024-01-01"]]);
}

#[test]
fn a_quoted_token_is_null_only_when_declared() {
    let mut contract = contract(ReaderFormat::Csv, vec![text("a"), int("b")]);
    contract.reader.iter_mut().for_each(|reader| reader.quoted_null = true);
    assert_eq!(rows(&read_files(&contract, &[("a.csv", b"a,b\n\"\",\"\"\n")], None)), [["-", "-"]]);
}

#[test]
fn null_in_a_required_column_is_one_violation() {
    let window = read_csv(vec![required(int("a")), required(text("b"))], "a,b\n,x\n1,\n2,y\n");
    assert_eq!(found(&window), [(Code::NullInRequired, 2, 1), (Code::NullInRequired, 3, 3)]);
    assert_eq!(window.report.listed()[0].expected, "expected a value: `a` is required");
    assert_eq!(rows(&window), [["2", "y"]]);
}

#[test]
fn a_row_with_three_wrong_values_is_one_rejected_row() {
    let window = read_csv(vec![int("a"), int("b"), int("c")], "a,b,c\nx,y,z\n1,2,3\n");
    assert_eq!((window.report.total(), window.report.rejected_rows(), window.rows_in), (3, 1, 2));
}

#[test]
fn every_width_is_its_own_type() {
    let columns = [(8, true), (16, true), (32, true), (64, true), (8, false), (16, false), (32, false), (64, false)];
    let properties: Vec<Property> = columns
        .iter()
        .enumerate()
        .map(|(index, (bits, signed))| property(&format!("c{index}"), DataType::Integer { bits: *bits, signed: *signed }))
        .collect();
    let row = "-128,-32768,-2147483648,-9223372036854775808,255,65535,4294967295,18446744073709551615";
    let window = read_csv(properties, format!("c0,c1,c2,c3,c4,c5,c6,c7\n{row}\n"));
    assert_eq!(rows(&window)[0].join(","), row);
}

#[test]
fn the_list_is_bounded_and_the_count_is_not() {
    let file = format!("a,b\n{}", "x,y\n".repeat(12_000));
    let window = read_csv(vec![int("a"), text("b")], file);
    assert_eq!((window.report.listed().len(), window.report.total(), window.report.rejected_rows()), (10_000, 12_000, 12_000));
}

#[test]
fn a_broken_rule_has_the_same_evidence_and_its_own_contract_line() {
    let mut status = text("status");
    status.rules.allowed = vec!["open".to_owned(), "paid".to_owned()];
    status.rules_place = windrow_core::Place::new("c.yaml", 2, 1);
    let window = read_csv(vec![required(int("id")), status], "id,status\n1,open\n2,lost\n,lost\n");
    assert_eq!(found(&window), [(Code::NotAllowed, 3, 3), (Code::NullInRequired, 4, 1), (Code::NotAllowed, 4, 2)]);
    assert_eq!(window.report.listed()[0].value.as_deref(), Some("lost"));
    assert_eq!(window.report.listed()[0].contract.as_ref().unwrap().1, "reader:");
    assert_eq!((rows(&window), window.report.rejected_rows()), (vec![vec!["1".to_owned(), "open".to_owned()]], 2));
}
