//! In which form columns leave the reader, and that the form never changes a value or a violation.

use arrow_array::Array;
use arrow_schema::DataType;
use proptest::prelude::*;
use windrow_core::Code;
use windrow_core::contract::{DataType as Declared, ReaderFormat};

use crate::form::plain_batch;
use crate::read::RawWindow;
use crate::read::fixture::{rows as rows_of, *};

fn types(window: &RawWindow) -> Vec<String> {
    window.chunks.iter().flat_map(|chunk| chunk.batch.columns()).map(|column| column.data_type().to_string()).collect()
}

fn keyed() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
}

#[test]
fn short_decimals_and_few_texts_are_compact() {
    let wide = property("wide", Declared::Decimal { precision: 19, scale: 2 });
    let rows = "s,m,wide\nA,1.50,1\nB,-2,2.5\nA,,3\nA,4.1,\n,0,0\n";
    let window = read_csv(vec![text("s"), money("m"), wide], rows);
    assert_eq!(types(&window), [keyed().to_string(), "Decimal64(15, 2)".to_owned(), "Decimal128(19, 2)".to_owned()]);
    let texts: Vec<Vec<String>> = rows_of(&window);
    assert_eq!(texts[0], ["A", "1.50", "1.00"]);
    assert_eq!(texts[2], ["A", "-", "3.00"]);
    assert_eq!(texts[4], ["-", "0.00", "0.00"]);
    assert!(window.chunks[0].batch.schema().field(0).is_nullable());
}

#[test]
fn many_or_long_texts_are_plain_from_then_on() {
    let many: String = (0..1000).map(|row| format!("v{}\n", row % 300)).collect();
    let few = "v\n".repeat(5_000);
    let long = format!("{}\n", "x".repeat(33)).repeat(10);
    let contract = contract(ReaderFormat::Csv, vec![text("s")]);
    for (texts, form) in [(&many, DataType::Utf8), (&few, keyed()), (&long, DataType::Utf8)] {
        let window = read_files(&contract, &[("a.csv", format!("s\n{texts}").as_bytes())], None);
        assert_eq!(types(&window), [form.to_string()]);
        let read: Vec<String> = rows(&window).into_iter().flatten().collect();
        assert_eq!(read, texts.lines().collect::<Vec<_>>());
    }
    // Each thread has columns of its own: one thread has seen it all.
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let both = format!("s\n{many}{few}");
    let window = one.install(|| read_files(&contract, &[("a.csv", both.as_bytes())], Some(2_000)));
    assert!(window.chunks.len() > 3 && types(&window).last() == Some(&"Utf8".to_owned()), "{:?}", types(&window));
}

#[test]
fn the_rules_see_through_the_form() {
    let mut flag = required(text("s"));
    flag.rules.allowed = vec!["A".to_owned(), "B".to_owned()];
    let rows = format!("s,n\n{}x,1\n,2\nB,z\n\"A\",4\n", "A,0\n".repeat(20));
    let window = read_csv(vec![flag, int("n")], rows);
    assert_eq!(found(&window), [(Code::NotAllowed, 22, 1), (Code::NullInRequired, 23, 1), (Code::WrongType, 24, 3)]);
    assert_eq!((types(&window), window.chunks[0].batch.num_rows()), (vec![keyed().to_string(), "Int64".to_owned()], 21));
}

fn field() -> impl Strategy<Value = String> {
    let texts = prop::sample::select(vec![
        "",
        "A",
        "B",
        "\"A\"",
        "\"\"",
        "\"a\"\"b\"",
        "NA",
        "TAKE BACK RETURN",
        "\"DELIVER IN PERSON\"",
        "é",
    ]);
    prop_oneof![20 => texts.prop_map(str::to_owned), 1 => "[a-z]{1,40}"]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,12}",
        "-?[0-9]{1,6}\\.[0-9]{1,3}",
        "\"[0-9]\"",
        Just(String::new()),
        Just("x".to_owned()),
        "[0-9]{4}-[01][0-9]-[0-3][0-9]"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    /// Rows of one block are read as a whole and each in a file of its own, where no column is ever keyed.
    #[test]
    fn a_row_means_the_same_in_any_block(table in prop::collection::vec((field(), number(), number(), number()), 1..400), crlf: bool, null_na: bool) {
        let mut contract = contract(ReaderFormat::Csv, vec![text("s"), money("m"), int("i"), date("d")]);
        if null_na {
            contract.reader.as_mut().unwrap().null_values = vec!["NA".to_owned(), "0".to_owned()];
        }
        let end = if crlf { "\r\n" } else { "\n" };
        let line = |(s, m, i, d): &(String, String, String, String)| format!("{s},{m},{i},{d}{end}");
        let header = format!("s,m,i,d{end}");
        let whole = read_files(&contract, &[("a.csv", (header.clone() + &table.iter().map(line).collect::<String>()).as_bytes())], None);
        let (mut singles, mut refused) = (Vec::new(), 0);
        for row in &table {
            let one = read_files(&contract, &[("a.csv", (header.clone() + &line(row)).as_bytes())], None);
            singles.extend(rows(&one));
            refused += one.report.total();
        }
        prop_assert_eq!(rows(&whole), singles);
        prop_assert_eq!(whole.report.total(), refused);
        for chunk in &whole.chunks {
            let plain = plain_batch(&chunk.batch).unwrap();
            prop_assert!(plain.columns().iter().zip(chunk.batch.columns()).all(|(plain, form)| plain.null_count() == form.null_count()));
        }
    }
}
