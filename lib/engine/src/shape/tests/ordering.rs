use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::*;
use arrow_schema::DataType;
use proptest::prelude::*;
use windrow_core::contract::{Contract, Dedupe, DedupePolicy, SortKey};
use windrow_core::{Code, ErrorKind};

use super::super::{Shaped, shape};
use super::{array, codes};
use crate::chunk::{Chunk, Origin};
use crate::schema::file_schema;
use crate::test_contracts::{I32, TEXT, contract, place, property, with_key};

type Row = (Option<i32>, Option<i32>, i32);

fn table(key: &[&str], sort: &[(&str, bool)], policy: Option<DedupePolicy>) -> Contract {
    let mut contract = with_key(contract(vec![property("a", I32), property("b", I32), property("n", I32)]), key);
    contract.sort =
        sort.iter().map(|(column, descending)| SortKey { column: (*column).into(), descending: *descending }).collect();
    contract.dedupe = policy.map(|policy| Dedupe { policy, place: place(4) });
    contract
}

fn rows_of(contract: &Contract, file: &str, rows: &[Row]) -> Chunk {
    let columns = vec![
        array(rows.iter().map(|row| row.0).collect::<Int32Array>()),
        array(rows.iter().map(|row| row.1).collect::<Int32Array>()),
        array(rows.iter().map(|row| Some(row.2)).collect::<Int32Array>()),
    ];
    let batch = RecordBatch::try_new(Arc::new(file_schema(contract)), columns).unwrap();
    Chunk { batch, origin: Origin::new(file.into(), 2) }
}

fn numbers(shaped: &Shaped) -> Vec<i32> {
    shaped
        .rows
        .batches()
        .unwrap()
        .iter()
        .flat_map(|batch| batch.column(2).as_primitive::<Int32Type>().values().to_vec())
        .collect()
}

const ROWS: [Row; 6] = [
    (Some(2), Some(1), 0),
    (None, Some(9), 1),
    (Some(1), None, 2),
    (Some(2), Some(1), 3),
    (Some(1), Some(5), 4),
    (Some(1), None, 5),
];

fn shaped(contract: &Contract) -> Shaped {
    shape(contract, vec![rows_of(contract, "f.csv", &ROWS[..4]), rows_of(contract, "g.csv", &ROWS[4..])]).unwrap()
}

#[test]
fn sorting_is_stable_with_nulls_first_in_both_directions() {
    let order = |sort: &[(&str, bool)]| numbers(&shaped(&table(&[], sort, None)));
    assert_eq!(order(&[]), [0, 1, 2, 3, 4, 5]);
    assert_eq!(order(&[("a", false)]), [1, 2, 4, 5, 0, 3]);
    assert_eq!(order(&[("a", true)]), [1, 0, 3, 2, 4, 5]);
    assert_eq!(order(&[("a", true), ("b", true)]), [1, 0, 3, 2, 5, 4]);
    assert_eq!(order(&[("b", false), ("a", false)]), [2, 5, 0, 3, 4, 1]);
}

#[test]
fn fail_names_both_lines_and_keeps_the_first() {
    for policy in [Some(DedupePolicy::Fail), None] {
        let found = shaped(&table(&["a", "b"], &[], policy));
        assert_eq!(codes(&found.duplicates), [(5, Code::DuplicateKey), (3, Code::DuplicateKey)]);
        let listed = found.duplicates.listed();
        assert_eq!(listed[0].expected, "expected one row per key; line 2 has the same key");
        assert_eq!(listed[1].expected, "expected one row per key; f.csv:4 has the same key");
        assert_eq!((listed[0].value.as_deref(), listed[1].value.as_deref()), (Some("2, 1"), Some("1, null")));
        assert_eq!((found.rows.len(), found.duplicates.rejected_rows()), (4, 2));
        assert_eq!(numbers(&found), [0, 1, 2, 4]);
    }
}

#[test]
fn first_keeps_the_first_row_of_each_key() {
    let found = shaped(&table(&["a"], &[], Some(DedupePolicy::First)));
    assert_eq!(numbers(&found), [0, 1, 2]);
    assert_eq!(codes(&found.duplicates), [(5, Code::DuplicateDropped), (2, Code::DuplicateDropped), (3, Code::DuplicateDropped)]);
}

#[test]
fn last_by_keeps_the_greatest_and_among_equals_the_last() {
    let last_by = |column: &str| Some(DedupePolicy::LastBy(column.into()));
    let found = shaped(&table(&["a"], &[("a", false)], last_by("b")));
    assert_eq!(numbers(&found), [1, 4, 3], "null is the least; of two equal ones the later row stays");
    let found = shaped(&table(&["a"], &[("n", true)], last_by("n")));
    assert_eq!(numbers(&found), [5, 3, 1]);
    let error = shape(&table(&["a"], &[], last_by("gone")), vec![rows_of(&table(&[], &[], None), "f", &ROWS)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}

#[test]
fn classified_keys_are_masked() {
    let mut contract = table(&["a", "b"], &[], None);
    contract.properties[0].classification = Some("confidential".to_owned());
    assert_eq!(shaped(&contract).duplicates.listed()[0].value.as_deref(), Some("***, 1"));
}

#[test]
fn no_rows_are_no_batches() {
    let contract = table(&["a"], &[("a", false)], None);
    let empty = shape(&contract, vec![]).unwrap();
    assert!(empty.rows.batches().unwrap().is_empty() && empty.rows.is_empty() && empty.duplicates.is_empty());
}

#[test]
fn what_was_not_conformed_is_refused() {
    let chunk = rows_of(&table(&[], &[], None), "f", &ROWS);
    let other = contract(vec![property("a", TEXT)]);
    assert_eq!(shape(&other, vec![chunk]).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn texts_sort_by_their_bytes() {
    let mut contract = with_key(contract(vec![property("t", TEXT)]), &["t"]);
    contract.sort = vec![SortKey { column: "t".into(), descending: false }];
    let texts = vec!["b", "abcdefghij", "", "abcdefghi", "é", "abcdefgh", "b"];
    let batch = RecordBatch::try_new(Arc::new(file_schema(&contract)), vec![array(StringArray::from(texts))]).unwrap();
    let found = shape(&contract, vec![Chunk { batch, origin: Origin::new("f".into(), 2) }]).unwrap();
    let batches = found.rows.batches().unwrap();
    let sorted: Vec<_> = batches[0].column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(sorted, ["", "abcdefgh", "abcdefghi", "abcdefghij", "b", "é"]);
    assert_eq!(codes(&found.duplicates), [(8, Code::DuplicateKey)]);
    assert_eq!(contract.properties[0].data_type, TEXT);
    assert_eq!(batches[0].column(0).data_type(), &DataType::Utf8);
}

fn reference(rows: &[Row], policy: &DedupePolicy, down: bool) -> Vec<i32> {
    let mut kept: BTreeMap<(Option<i32>, Option<i32>), i32> = BTreeMap::new();
    for row in rows {
        let key = (row.0, row.1.map(|b| if down { -b } else { b }));
        kept.entry(key)
            .and_modify(|n| {
                if matches!(policy, DedupePolicy::LastBy(_)) && row.2 >= *n {
                    *n = row.2
                }
            })
            .or_insert(row.2);
    }
    kept.into_values().collect()
}

proptest! {
    #[test]
    fn any_split_into_chunks_gives_the_reference(
        rows in prop::collection::vec((prop::option::of(-3..3), prop::option::of(-3..3), -9..9), 0..80),
        cuts in prop::collection::vec(0_usize..80, 0..6),
        last: bool,
        down: bool,
    ) {
        let policy = if last { DedupePolicy::LastBy("n".into()) } else { DedupePolicy::First };
        let contract = table(&["b", "a"], &[("a", false), ("b", down)], Some(policy.clone()));
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).chain([0, rows.len()]).collect();
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| rows_of(&contract, "f", &rows[pair[0]..pair[1]])).collect();
        let found = shape(&contract, chunks).unwrap();
        let expected = reference(&rows, &policy, down);
        prop_assert_eq!(numbers(&found), expected.clone());
        prop_assert_eq!(found.rows.len() as u64 + found.duplicates.rejected_rows(), rows.len() as u64);
        // The general way (a sort that does not begin with the key) agrees with the short one.
        let other = table(&["b", "a"], &[("a", false)], Some(policy));
        let found = shape(&other, vec![rows_of(&other, "f", &rows)]).unwrap();
        prop_assert_eq!(found.rows.len(), expected.len());
    }
}
