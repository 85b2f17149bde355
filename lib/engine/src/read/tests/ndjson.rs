//! NDJSON: values by type, objects and lists, and lines that are no objects.

use windrow_core::Code;
use windrow_core::contract::{ColumnCase, DataType, ExtraColumns, Property, Reader, ReaderFormat};

use crate::read::RawWindow;
use crate::read::fixture::*;

fn read_with(properties: Vec<Property>, change: impl Fn(&mut Reader), bytes: &[u8]) -> RawWindow {
    let mut contract = contract(ReaderFormat::Ndjson, properties);
    contract.reader.iter_mut().for_each(change);
    let window = read_files(&contract, &[("a.ndjson", bytes)], None);
    let cut = read_files(&contract, &[("a.ndjson", bytes)], Some(7));
    assert_eq!((rows(&cut), &cut.report), (rows(&window), &window.report));
    window
}

fn read(properties: Vec<Property>, text: &str) -> RawWindow {
    read_with(properties, |_| (), text.as_bytes())
}

fn code_of(property: Property, value: &str) -> Option<Code> {
    let window = read(vec![property], &format!("{{\"v\":{value}}}\n"));
    window.report.listed().first().map(|violation| violation.code)
}

fn address() -> Property {
    property("address", DataType::Struct(vec![required(text("city")), int("zip")]))
}

fn items() -> Property {
    property("items", DataType::List(Box::new(property("item", DataType::Struct(vec![text("sku"), money("price")])))))
}

#[test]
fn values_are_read_by_their_declared_type() {
    let columns = vec![int("i"), money("d"), float("f"), flag("b"), date("t"), text("s")];
    let line = r#"{"i":9007199254740993,"d":0.10,"f":1e3,"b":true,"t":"2024-02-29","s":"a\"é\n"}"#;
    let window = read(columns, &format!("{line}\n{}", r#"{"s":"x","d":"12.5","i":null}"#));
    assert_eq!(rows(&window)[0], ["9007199254740993", "0.10", "1000.0", "true", "2024-02-29", "a\"é\n"]);
    assert_eq!(rows(&window)[1], ["-", "12.50", "-", "-", "-", "x"]);
}

#[test]
fn another_json_kind_is_a_wrong_type() {
    for (property, value) in [
        (int("v"), "\"12\""),
        (int("v"), "1.0"),
        (int("v"), "1e3"),
        (int("v"), "true"),
        (float("v"), "\"1\""),
        (money("v"), "1e2"),
        (text("v"), "12"),
        (text("v"), "{}"),
        (date("v"), "20240101"),
        (flag("v"), "1"),
        (flag("v"), "\"true\""),
        (money("v"), "[1]"),
    ] {
        assert_eq!(code_of(property, value), Some(Code::WrongType), "{value}");
    }
    assert_eq!(code_of(instant("v"), "\"2024-01-01T00:00:00Z\""), None);
    assert_eq!(code_of(money("v"), "1.239"), Some(Code::DecimalDigits));
    assert_eq!(code_of(int("v"), "9223372036854775808"), Some(Code::IntegerOverflow));
    assert_eq!(code_of(date("v"), "\"2023-02-29\""), Some(Code::ImpossibleDate));
    assert_eq!(code_of(text("v"), "\"a\\u0000b\""), Some(Code::NulByte));
}

#[test]
fn declared_boolean_texts_are_strings() {
    let tokens = DataType::Boolean { true_tokens: vec!["Y".to_owned()], false_tokens: vec!["N".to_owned()] };
    assert_eq!(code_of(property("v", tokens.clone()), "\"Y\""), None);
    assert_eq!(code_of(property("v", tokens.clone()), "false"), None);
    assert_eq!(code_of(property("v", tokens), "\"X\""), Some(Code::WrongType));
}

#[test]
fn lines_that_are_no_objects_are_bad_json() {
    for line in ["{", "[1]", "1", "{\"a\":NaN}", "{\"a\":1}}", "{\"a\":1} {\"a\":2}", "{'a':1}", "{\"a\":1,}", "{\"a\":01}", " "]
    {
        let window = read(vec![int("a")], &format!("{{\"a\":1}}\n{line}\n{{\"a\":3}}\n"));
        assert_eq!(
            window.report.listed().iter().map(|found| (found.code, found.line)).collect::<Vec<_>>(),
            [(Code::BadJson, 2)],
            "{line}"
        );
        assert_eq!(rows(&window), [["1"], ["3"]], "{line}");
    }
}

#[test]
fn keys_are_checked() {
    let window = read(vec![int("id"), text("name")], "{\"id\":1,\"nmae\":\"a\"}\n{\"id\":1,\"id\":2}\n{\"Name\":\"b\"}\n");
    assert_eq!(found(&window), [(Code::UnknownKey, 1, 16), (Code::DuplicateObjectKey, 2, 14), (Code::UnknownKey, 3, 9)]);
    assert_eq!(window.report.listed()[0].expected, "did you mean `name`?");
    let ignore = |reader: &mut Reader| (reader.extra_columns, reader.column_case) = (ExtraColumns::Ignore, ColumnCase::Ignore);
    let window = read_with(vec![int("id"), text("name")], ignore, b"{\"other\":[{}],\"NAME\":\"a\"}\n");
    assert_eq!(rows(&window), [["-", "a"]]);
}

#[test]
fn a_missing_or_null_required_key_is_one_violation() {
    let window = read(vec![required(int("id")), text("name")], "{\"name\":\"a\"}\n{\"id\":null}\n{\"id\":3}\n{\"idd\":3}\n");
    assert_eq!(found(&window), [(Code::NullInRequired, 1, 1), (Code::NullInRequired, 2, 7), (Code::UnknownKey, 4, 8)]);
    assert_eq!(rows(&window), [["3", "-"]]);
}

#[test]
fn objects_and_lists_are_nested() {
    let text = concat!(
        r#"{"address":{"city":"Győr","zip":9021},"items":[{"sku":"a","price":1.50},{"sku":"b"}]}"#,
        "\n",
        r#"{"address":null,"items":[]}"#,
        "\n",
        r#"{}"#,
        "\n",
        r#"{"address":{"city":"x"},"items":[null]}"#,
        "\n",
    );
    let window = read(vec![address(), items()], text);
    assert!(window.report.is_empty(), "{:?}", window.report);
    assert_eq!(rows(&window)[0], ["{city: Győr, zip: 9021}", "[{sku: a, price: 1.50}, {sku: b, price: }]"]);
    assert_eq!(rows(&window)[2], ["-", "-"]);
}

#[test]
fn nested_faults_name_their_path() {
    let text = concat!(
        r#"{"address":{"zip":1},"items":[]}"#,
        "\n",
        r#"{"items":[{"sku":"a"},{"sku":"b","price":"x"}]}"#,
        "\n",
        r#"{"address":{"city":"a","street":1}}"#,
        "\n",
        r#"{"address":[],"items":{}}"#,
        "\n",
        r#"{"address":{"city":"ok"}}"#,
    );
    let window = read(vec![address(), items()], text);
    let paths: Vec<(Code, &str)> =
        window.report.listed().iter().map(|found| (found.code, found.column.as_deref().unwrap())).collect();
    let expected = [
        (Code::NullInRequired, "address.city"),
        (Code::WrongType, "items[1].price"),
        (Code::UnknownKey, "address.street"),
        (Code::WrongType, "address"),
        (Code::WrongType, "items"),
    ];
    assert_eq!(paths, expected);
    assert_eq!((rows(&window).len(), window.report.rejected_rows()), (1, 4));
    let excerpt = window.report.listed()[1].excerpt.as_ref().unwrap();
    let marked: String = excerpt.text.chars().skip(excerpt.start).take(excerpt.length).collect();
    assert_eq!((marked.as_str(), window.report.listed()[1].value.as_deref()), ("\"x\"", Some("x")));
}

#[test]
fn blank_and_damaged_lines_are_refused_alone() {
    let window = read_with(vec![int("id")], |_| (), b"{\"id\":1}\r\n\n{\"id\":\xff}\n{\"id\":2}");
    assert_eq!(found(&window), [(Code::BlankLine, 2, 1), (Code::InvalidUtf8, 3, 7)]);
    assert_eq!(rows(&window), [["1"], ["2"]]);
    let window = read_with(vec![int("id")], |reader| reader.skip_blank_lines = true, b"{\"id\":1}\n\n{\"id\":2}\n");
    assert_eq!(
        (window.rows_in, window.chunks.iter().map(|chunk| chunk.origin.line(chunk.batch.num_rows() - 1)).max()),
        (2, Some(3))
    );
}

#[test]
fn classified_values_are_never_shown() {
    let mut name = text("name");
    name.classification = Some("pii".to_owned());
    let file = concat!(
        r#"{"id":"x","name":"secret"}"#,
        "\n",
        r#"{"name":{"secret":1}}"#,
        "\n",
        r#"{"name":"secret"#,
        "\n",
        r#"{"id":1,"other":"secret","name":"secret"}"#,
        "\n",
        r#"{"name":"a","name":"secret"}"#,
        "\n",
    );
    let window = read(vec![int("id"), name], file);
    assert_eq!(window.report.total(), 5);
    assert!(!format!("{:?}", window.report).contains("secret"), "{:?}", window.report);
    assert_eq!(window.report.listed()[0].excerpt.as_ref().unwrap().text, r#"{"id":"x","name":***}"#);
}

#[test]
fn an_empty_file_and_a_large_row_are_refused() {
    assert_eq!(found(&read(vec![int("id")], "")), [(Code::EmptyFile, 0, 0)]);
    let window = read_with(vec![int("id")], |reader| reader.max_row_bytes = 10, b"{\"id\":1}\n{\"id\":12345}\n");
    assert_eq!(found(&window), [(Code::RowTooLarge, 2, 1)]);
}

#[test]
fn deep_nesting_in_ignored_values_is_no_danger() {
    let deep = format!("{{\"id\":1,\"x\":{}{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    let mut contract = contract(ReaderFormat::Ndjson, vec![int("id")]);
    contract.reader.iter_mut().for_each(|reader| reader.extra_columns = ExtraColumns::Ignore);
    let window = read_files(&contract, &[("a.jsonl", deep.as_bytes())], None);
    assert_eq!(window.rows_in, 1);
}

#[test]
fn a_broken_rule_points_at_its_value() {
    let mut status = text("status");
    status.rules.allowed = vec!["open".to_owned()];
    let window = read(vec![int("id"), status], "{\"id\":1,\"status\":\"lost\"}\n{\"status\":\"open\"}\nnull\n");
    assert_eq!(found(&window)[0], (Code::NotAllowed, 1, 18));
    assert_eq!((window.report.total(), rows(&window).len()), (2, 1));
}
