//! The same query on files whose footers name their order, and on the same rows in files that do not: the same result.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;
use polars::prelude::LazyFrame;
use proptest::prelude::*;
use windrow_core::ErrorKind;

use super::{footer, use_order};
use crate::decimal::HasLarge;
use crate::fixture::{params, run};
use crate::guard::{Sums, guard};
use crate::{Inputs, SqlTransform, TableInput, Transform, bridge};

/// A key, and what else stands in the row; nulls for numbers that are divisible by three.
type Row = (i64, i8);

fn batch(rows: &[Row]) -> RecordBatch {
    let number = |(_, number): &Row| (number % 3 != 0).then_some(i32::from(*number));
    let decimals = |precision, scale, factor: i128| {
        let units: Decimal128Array = rows.iter().map(|row| number(row).map(|number| i128::from(number) * factor)).collect();
        Arc::new(units.with_precision_and_scale(precision, scale).unwrap()) as ArrayRef
    };
    let texts: StringArray = rows.iter().map(|row| number(row).map(|number| number.to_string())).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("k", Arc::new(rows.iter().map(|(key, _)| *key).collect::<Int64Array>()), true),
        ("d", decimals(15, 2, 7), true),
        ("huge", decimals(38, 4, 10_i128.pow(30)), true),
        ("n", Arc::new(rows.iter().map(number).collect::<Int32Array>()), true),
        ("day", Arc::new(rows.iter().map(number).collect::<Date32Array>()), true),
        ("t", Arc::new(texts), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn write(folder: &Path, name: &str, batch: &RecordBatch, sorted_by: Option<SortingColumn>) -> PathBuf {
    let path = folder.join(name);
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(5))
        .set_sorting_columns(sorted_by.map(|column| vec![column]))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    path
}

const BY_KEY: SortingColumn = SortingColumn { column_idx: 0, descending: false, nulls_first: true };

/// Two files of a table, split at a row, whose footers tell their order or do not.
fn table(folder: &Path, name: &str, rows: &[Row], is_told: bool) -> TableInput {
    let (head, tail) = rows.split_at(rows.len() / 3);
    let files = [("head", head), ("tail", tail)]
        .map(|(part, rows)| write(folder, &format!("{name}-{part}-{is_told}.parquet"), &batch(rows), is_told.then_some(BY_KEY)));
    TableInput { name: name.into(), schema: batch(&[]).schema(), files: files.to_vec(), partition: None }
}

fn inputs(folder: &Path, t: &[Row], o: &[Row], is_told: bool) -> Inputs {
    Inputs::from_tables(&[table(folder, "t", t, is_told), table(folder, "o", o, is_told)]).unwrap()
}

fn plan(sql: &str, inputs: &Inputs) -> LazyFrame {
    SqlTransform::new("q.sql", sql).plan(inputs, &params()).unwrap()
}

/// The rows of a result as texts, in an order of their own.
fn rows(sql: &str, inputs: &Inputs) -> Result<Vec<String>, ErrorKind> {
    let batches = run(&SqlTransform::new("q.sql", sql), inputs, &params()).map_err(|error| error.kind())?;
    let mut rows: Vec<String> = Vec::new();
    for batch in batches {
        let texts: Vec<ArrayRef> =
            batch.columns().iter().map(|column| arrow_cast::cast(column, &arrow_schema::DataType::Utf8).unwrap()).collect();
        let text = |column: &ArrayRef, row: usize| {
            let column = column.as_any().downcast_ref::<StringArray>().unwrap();
            if arrow_array::Array::is_null(column, row) { "null".to_owned() } else { column.value(row).to_owned() }
        };
        rows.extend((0..batch.num_rows()).map(|row| texts.iter().map(|column| text(column, row)).collect::<Vec<_>>().join("|")));
    }
    rows.sort();
    Ok(rows)
}

/// Groupings of every kind that is split, groupings that are not, joins, and what else looks at order.
const QUERIES: &[&str] = &[
    "SELECT k, sum(d) AS a, sum(n) AS b, count(*) AS c, count(n) AS d, count(t) AS e FROM t GROUP BY k",
    "SELECT k, min(n) AS a, max(n) AS b, min(day) AS c, max(day) AS d, min(d) AS e, max(huge) AS f, max(k) AS g FROM t GROUP BY k",
    "SELECT k, sum(CAST(d AS DECIMAL(38,4)) * CAST(1 - d AS DECIMAL(38,4))) AS a FROM t GROUP BY k",
    "SELECT k, sum(d) + sum(n) AS a, max(n) - min(n) AS b, sum(n + n) AS c FROM t WHERE n > 1 GROUP BY k HAVING count(*) > 1",
    "SELECT k, sum(huge) AS a FROM t GROUP BY k",
    "SELECT k, sum(CASE WHEN n > 4 THEN d END) AS a, sum(n) FILTER (WHERE n > 4) AS b FROM t GROUP BY k",
    "SELECT k, ROUND(avg(d), 6) AS a, median(n) AS b, min(t) AS c, count(DISTINCT n) AS e FROM t GROUP BY k",
    "SELECT k, n, count(*) AS a FROM t GROUP BY k, n",
    "SELECT n, sum(d) AS a FROM t GROUP BY n",
    "SELECT k + 1 AS k, count(*) AS a FROM t GROUP BY k + 1",
    "SELECT k, count(1) AS a, sum(CAST(2 AS BIGINT)) AS b, max(3) AS c FROM t GROUP BY k",
    "SELECT DISTINCT k FROM t",
    "SELECT k, n FROM t ORDER BY k, n, t",
    "SELECT k, row_number() OVER (PARTITION BY k ORDER BY n, t) AS a, sum(d) OVER (PARTITION BY k) AS b FROM t",
    "SELECT t.k AS k, t.n AS a, o.n AS b, o.t AS c FROM t JOIN o ON t.k = o.k",
    "SELECT t.k AS k, t.n AS a, o.n AS b FROM t LEFT JOIN o ON t.k = o.k",
    "SELECT t.k AS k, o.k AS l, t.n AS a, o.n AS b FROM t RIGHT JOIN o ON t.k = o.k",
    "SELECT t.k AS k, o.k AS l, t.n AS a, o.n AS b FROM t FULL JOIN o ON t.k = o.k",
    "SELECT count(*) AS a FROM t ANTI JOIN o ON t.k = o.k",
    "SELECT k FROM t WHERE k IN (SELECT k FROM o)",
    "SELECT t.k AS a, o.k AS b FROM t JOIN o ON t.n = o.n",
    "WITH s AS (SELECT k, sum(d) AS d, count(*) AS c FROM t GROUP BY k) SELECT o.k AS k, o.t AS t, s.d AS d, s.c AS c FROM o JOIN s ON o.k = s.k",
    "WITH s AS (SELECT k, max(n) AS n FROM t GROUP BY k) SELECT o.k AS k, o.n AS o, s.n AS n FROM o LEFT JOIN s ON o.k = s.k",
    "WITH s AS (SELECT k, max(n) AS n FROM t GROUP BY k), u AS (SELECT k, min(n) AS n FROM o GROUP BY k) SELECT s.k AS k, s.n AS a, u.n AS b FROM s JOIN u ON s.k = u.k",
    "WITH s AS (SELECT k, sum(n) AS n FROM t GROUP BY k) SELECT n, count(*) AS c FROM s GROUP BY n",
    "WITH s AS (SELECT k, sum(n) AS n FROM t GROUP BY k) SELECT sum(n) AS n, count(*) AS c FROM s",
    "SELECT k, d FROM t UNION ALL SELECT k, d FROM o",
    "SELECT k, sum(d) AS d FROM (SELECT k, d FROM t UNION ALL SELECT k, d FROM o) AS s GROUP BY k",
    "SELECT sum(d) AS d FROM t WHERE k > 3",
];

fn in_order(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_unstable();
    rows
}

fn few_keys() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((-4_i64..9, 0_i8..12), 0..60).prop_map(in_order)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
    #[test]
    fn the_order_of_files_changes_no_result(t in few_keys(), o in few_keys()) {
        let folder = tempfile::tempdir().unwrap();
        let sorted = inputs(folder.path(), &t, &o, true);
        let plain = inputs(folder.path(), &t, &o, false);
        for sql in QUERIES {
            prop_assert_eq!(rows(sql, &sorted), rows(sql, &plain), "{}", sql);
        }
    }
}

fn numbered(rows: i64) -> Vec<Row> {
    (0..rows).map(|row| (row / 4, (row % 11) as i8)).collect()
}

/// How the nodes of a plan are called that make use of order.
fn used(sql: &str, inputs: &Inputs) -> Vec<String> {
    let mut plan = plan(sql, inputs).with_streaming(true).to_alp_optimized().unwrap();
    guard(&mut plan, &Sums::Watched(HasLarge::default())).unwrap();
    let proofs = use_order(&mut plan).unwrap();
    assert_eq!(proofs.is_empty(), !plan.describe().contains("file order"), "{}", plan.describe());
    ["file order", "key runs"].into_iter().filter(|word| plan.describe().contains(word)).map(str::to_owned).collect()
}

#[test]
fn sums_counts_and_extremes_of_runs_are_computed_before_grouping() {
    let folder = tempfile::tempdir().unwrap();
    let sorted = inputs(folder.path(), &numbered(30), &numbered(30), true);
    for (sql, expected) in [
        ("SELECT k, sum(d) AS a, count(*) AS c, max(n) AS m FROM t GROUP BY k", &["file order", "key runs"][..]),
        ("SELECT k, avg(n) AS a FROM t GROUP BY k", &["file order"]),
        ("SELECT n, sum(d) AS a FROM t GROUP BY n", &[]),
        ("SELECT k, n FROM t", &[]),
        ("SELECT t.k AS k FROM t JOIN o ON t.k = o.k", &["file order"]),
    ] {
        assert_eq!(used(sql, &sorted), expected, "{sql}");
    }
    let plain = inputs(folder.path(), &numbered(30), &numbered(30), false);
    assert!(used("SELECT k, count(*) AS c FROM t GROUP BY k", &plain).is_empty());
}

#[test]
fn many_rows_in_many_batches_are_grouped_and_joined_as_without_order() {
    let folder = tempfile::tempdir().unwrap();
    let (t, o) = (numbered(1_200), (0..400).map(|key| (key, (key % 7) as i8)).collect::<Vec<_>>());
    let (sorted, plain) = (inputs(folder.path(), &t, &o, true), inputs(folder.path(), &t, &o, false));
    for sql in QUERIES {
        assert_eq!(rows(sql, &sorted), rows(sql, &plain), "{sql}");
    }
}

#[test]
fn a_footer_that_names_a_false_order_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let grouping = "SELECT k, count(*) AS c FROM t GROUP BY k";
    let mut broken = numbered(30);
    broken.swap(0, 4);
    assert_eq!(rows(grouping, &inputs(folder.path(), &broken, &[], true)), Err(ErrorKind::Internal), "in a batch");
    let table = table(folder.path(), "t", &numbered(30), true);
    let frame = bridge::to_polars(&batch(&[]).schema(), &[batch(&[(5, 1), (6, 1)]), batch(&[(1, 1), (6, 1)])]).unwrap();
    let proof = super::Proof::new("k", table.files);
    for (first, is_right) in [(0, true), (2, false)] {
        proof.look(frame.slice(first, 2)).unwrap();
        assert_eq!(proof.is_right(), is_right, "beside other batches");
    }
    assert!(proof.look(frame).is_err(), "chunks of one batch");
}

#[test]
fn an_order_is_told_only_by_footers_that_leave_no_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let file = |name: &str, rows: &[Row], sorted_by| write(path, name, &batch(rows), sorted_by);
    let (low, high) = (file("low", &numbered(30), Some(BY_KEY)), file("high", &[(7, 1), (8, 2)], Some(BY_KEY)));
    let unsorted = file("unsorted", &numbered(30), None);
    let descending = file("descending", &[(3, 1)], Some(SortingColumn { descending: true, ..BY_KEY }));
    let nulls = file("nulls", &[(3, 0)], Some(SortingColumn { column_idx: 3, ..BY_KEY }));
    let texts = file("texts", &[(3, 1)], Some(SortingColumn { column_idx: 5, ..BY_KEY }));
    let numbers = file("numbers", &[(9, 1)], Some(SortingColumn { column_idx: 3, ..BY_KEY }));
    let nowhere = file("nowhere", &[(9, 1)], Some(SortingColumn { column_idx: 99, ..BY_KEY }));
    let empty = file("empty", &[], Some(BY_KEY));
    let sorted_by = |files: &[&PathBuf]| footer::sorted_by(files);
    assert_eq!(sorted_by(&[&low]).as_deref(), Some("k"));
    assert_eq!(sorted_by(&[&low, &high, &empty]).as_deref(), Some("k"));
    assert_eq!(sorted_by(&[&numbers]).as_deref(), Some("n"));
    let doubtful: [&[&PathBuf]; 10] = [
        &[&high, &low],
        &[&low, &unsorted],
        &[&high, &numbers],
        &[&unsorted],
        &[&descending],
        &[&nulls],
        &[&texts],
        &[&nowhere],
        &[&empty],
        &[],
    ];
    for files in doubtful {
        assert_eq!(sorted_by(files), None, "{files:?}");
    }
    std::fs::write(path.join("garbage"), b"PAR1").unwrap();
    assert_eq!(sorted_by(&[&path.join("garbage")]), None);
    assert_eq!(sorted_by(&[&path.join("missing")]), None);
}
