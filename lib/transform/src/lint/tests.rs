//! The lint on whole statements, and docs/sql.md against what really happens.

use windrow_core::Diagnostic;

use super::lint_select;
use crate::fixture::{params, query, schema};

fn lint(sql: &str) -> Result<arrow_schema::Schema, Vec<Diagnostic>> {
    lint_select(sql, "q.sql", &[("t".into(), schema()), ("o".into(), schema())], &params(), None)
}

fn lines(sql: &str) -> Vec<String> {
    lint(sql).err().unwrap_or_default().iter().map(Diagnostic::one_line).collect()
}

/// Place, excerpt with caret and help, as a person reads them.
fn shown(sql: &str) -> String {
    let render = |finding: &Diagnostic| {
        let excerpt = finding.excerpt.clone().unwrap();
        let caret = format!("{}{}", " ".repeat(excerpt.start), "^".repeat(excerpt.length));
        format!("{}\n{}\n{caret}\n{}", finding.one_line(), excerpt.text, finding.help.clone().unwrap_or_default())
    };
    lint(sql).err().unwrap_or_default().iter().map(render).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_inexact_product_is_refused_with_the_cast_to_write() {
    insta::assert_snapshot!(shown("SELECT id,\n  sum(price * (1 - discount)) AS revenue\nFROM t WHERE day = {window} GROUP BY id"), @r"
    q.sql:2:7: W0704: the product needs 4 digits after the point, and polars keeps 2: it would be rounded
      sum(price * (1 - discount)) AS revenue
          ^^^^^^^^^^^^^^^^^^^^^
    write CAST(price AS DECIMAL(38,4)) * CAST(1 - discount AS DECIMAL(38,4))
    ");
    let rewritten = "SELECT sum(CAST(price AS DECIMAL(38,4)) * CAST(1 - discount AS DECIMAL(38,4))) AS revenue FROM t";
    assert_eq!(lines(rewritten), [""; 0]);
    assert_eq!(crate::fixture::one_decimal(&query(rewritten).unwrap()), (100 * 95 + 205 * 93 + 333 * 91, 4));
}

#[test]
fn every_way_to_lose_digits_is_refused() {
    for sql in [
        "SELECT price * discount AS x FROM t",
        "SELECT price / 3 AS x FROM t",
        "SELECT price * 0.9 AS x FROM t",
        "SELECT price + ratio AS x FROM t",
        "SELECT CASE WHEN flag THEN price ELSE 0.5 END AS x FROM t",
        "SELECT COALESCE(price, 0.0) AS x FROM t",
        "SELECT CAST(price AS DECIMAL(15,1)) AS x FROM t",
        "SELECT CAST(price AS BIGINT) AS x FROM t",
        "SELECT CAST(text AS DECIMAL(15,2)) AS x FROM t",
        "SELECT CAST(0.055 AS DECIMAL(15,2)) AS x FROM t",
        "SELECT id FROM t WHERE huge > 0.5",
        "SELECT price FROM t UNION ALL SELECT ratio FROM t",
        "SELECT id FROM t WHERE id IN (SELECT id FROM o WHERE price * discount > 1)",
        "WITH r AS (SELECT id, sum(price) AS p FROM t GROUP BY id) SELECT r.p * o.discount AS x FROM r JOIN o ON r.id = o.id",
        "SELECT sum(price * discount) OVER (PARTITION BY year) AS x FROM t",
        "SELECT id FROM t GROUP BY id HAVING sum(price * discount) > 0",
    ] {
        let found = lines(sql);
        assert!(found.len() == 1 && found[0].contains("W0704"), "{sql}: {found:?}");
    }
}

#[test]
fn what_is_exact_is_accepted() {
    for sql in [
        "SELECT price * 3 AS x, price + discount AS y, -price AS z, ABS(price - 1) AS w FROM t",
        "SELECT sum(price) AS x, avg(price) AS y, max(price) AS z FROM t WHERE price > 0.5",
        "SELECT CAST(ROUND(price, 1) AS DECIMAL(15,1)) AS x, CAST(FLOOR(price) AS BIGINT) AS y FROM t",
        "SELECT CAST(price AS DOUBLE) / CAST(discount AS DOUBLE) AS x FROM t",
        "SELECT price * CAST(0.9 AS DECIMAL(5,2)) AS x FROM t WHERE 1 = 0 OR CAST(price AS DECIMAL(38,3)) > 0",
        "SELECT COALESCE(price, 0) AS x, CASE WHEN flag THEN price ELSE 0 END AS y FROM t WHERE price IN (0.5, 1.25)",
    ] {
        let found = lines(sql);
        let refused_on_purpose = sql.contains("CAST(0.9");
        assert_eq!(found.is_empty(), !refused_on_purpose, "{sql}: {found:?}");
    }
}

#[test]
fn a_join_on_more_than_equalities_is_refused_at_the_term() {
    insta::assert_snapshot!(shown("SELECT t.id AS i FROM t\nLEFT JOIN o ON t.id = o.id AND o.tiny = 1"), @r"
    q.sql:2:32: W0702: ON takes equalities of one column of each table only, a.x = b.x
    LEFT JOIN o ON t.id = o.id AND o.tiny = 1
                                   ^^^^^^^^^^
    filter the input first in a WITH step, and join that; compute a key that is an expression there too
    ");
    for sql in [
        "SELECT t.id AS i FROM t FULL JOIN o ON t.id = o.id OR t.tiny = o.tiny",
        "SELECT t.id AS i FROM t SEMI JOIN o ON t.id = o.id AND o.flag",
        "SELECT t.id AS i FROM t RIGHT JOIN o ON t.id = o.id + 1",
        "SELECT t.id AS i FROM t JOIN o ON t.id = t.tiny",
        "SELECT t.id AS i FROM t JOIN o ON t.id = o.id JOIN t AS u ON u.id = o.id",
        "SELECT o.* FROM t JOIN o ON t.id = o.id",
    ] {
        let found = lines(sql);
        assert!(found.len() == 1 && found[0].contains("W0702"), "{sql}: {found:?}");
    }
}

#[test]
fn messages_are_ours_and_hints_are_right() {
    let help =
        |sql: &str| lint(sql).err().unwrap_or_default().iter().map(|f| f.help.clone().unwrap_or_default()).collect::<String>();
    assert_eq!(help("SELECT id FROM {windw}"), "did you mean `{window}`?");
    assert!(help("SELECT id FROM {zzzzzz}").starts_with("allowed: {window}, "));
    for sql in [
        "SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM o WHERE o.id = t.id AND o.day > t.day)",
        "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM o WHERE o.id = t.id) OR id = 5",
        "SELECT o.id AS k, count(*) AS n FROM t JOIN o ON t.id = o.id GROUP BY o.id",
    ] {
        let found = lines(sql);
        assert!(found.len() == 1 && found[0].contains("W0702") && found[0].len() < 150, "{sql}: {found:?}");
    }
    let declared = |name: &str| [arrow_schema::Field::new(name, arrow_schema::DataType::Int64, true)];
    for (sql, name, advice) in [
        ("SELECT ratio AS x FROM t", "x", "CAST(ROUND(…) AS BIGINT) AS x, or declare it DOUBLE"),
        ("SELECT price AS x FROM t", "x", "declare `x` as DECIMAL(15,2): a cast would cut its digits"),
    ] {
        let found = lint_select(sql, "q.sql", &[("t".into(), schema())], &params(), Some(&declared(name))).unwrap_err();
        assert_eq!(found[0].help.as_deref(), Some(advice));
    }
}

#[test]
fn unknown_names_are_found_all_at_once() {
    insta::assert_snapshot!(shown("SELECT idd, t.pricee FROM t JOIN oo AS o ON t.id = o.id"), @r"
    q.sql:1:8: W0703: unknown column `idd`
    SELECT idd, t.pricee FROM t JOIN oo AS o ON t.id = o.id
           ^^^
    did you mean `id`?
    q.sql:1:15: W0703: unknown column `pricee`
    SELECT idd, t.pricee FROM t JOIN oo AS o ON t.id = o.id
                  ^^^^^^
    did you mean `price`?
    q.sql:1:34: W0703: unknown table `oo`
    SELECT idd, t.pricee FROM t JOIN oo AS o ON t.id = o.id
                                     ^^
    did you mean `o`?
    ");
    assert_eq!(lines("SELECT id FROM (SELECT price FROM t) AS s"), ["q.sql:1:8: W0703: not found: unable to find column \"id\""]);
}

#[test]
fn result_columns_must_be_the_declared_ones() {
    use arrow_schema::{DataType, Field};
    let expected = [
        Field::new("id", DataType::Int64, false),
        Field::new("rows", DataType::Int64, false),
        Field::new("revenue", DataType::Decimal128(18, 1), false),
    ];
    let sql = "SELECT id, count(*) AS rows, sum(price) AS revenu FROM t GROUP BY id";
    let found = lint_select(sql, "q.sql", &[("t".into(), schema())], &params(), Some(&expected)).unwrap_err();
    let text: Vec<String> =
        found.iter().map(|finding| format!("{} | {}", finding.one_line(), finding.help.clone().unwrap())).collect();
    assert_eq!(
        text,
        [
            "q.sql:1:1: W0705: the result lacks the declared column `revenue` | did you mean `revenu`? write AS revenue",
            "q.sql:1:12: W0705: column `rows` is UINTEGER, and BIGINT is declared | CAST(… AS BIGINT) AS rows",
            "q.sql:1:30: W0705: the result has a column `revenu` the contract does not declare | declare it, or drop it from the SELECT",
        ]
    );
}

/// Every example of docs/sql.md is linted, and run when it is supported.
#[test]
fn the_documented_dialect_is_the_real_one() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sql.md")).unwrap();
    let mut examples = 0;
    for row in text.lines().filter(|line| line.starts_with("| `SELECT") || line.starts_with("| `WITH")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let sql = cells[0].trim_matches('`').replace("\\|", "|");
        let found = lines(&sql);
        match cells[1] {
            "yes" => assert!(found.is_empty() && query_both(&sql).is_ok(), "{sql}: {found:?} {:?}", query_both(&sql).err()),
            code => assert!(found.iter().any(|line| line.contains(code)), "{sql}: {found:?}"),
        }
        examples += 1;
    }
    assert!(examples > 60, "{examples}");
}

fn query_both(sql: &str) -> windrow_core::Result<Vec<arrow_array::RecordBatch>> {
    // Row 1 of the fixture would overflow BIGINT and DECIMAL(38,4) on purpose.
    let batch = crate::fixture::batch().slice(2, 1);
    let inputs = crate::Inputs::new().with_batches("t", &schema(), std::slice::from_ref(&batch))?.with_batches(
        "o",
        &schema(),
        std::slice::from_ref(&batch),
    )?;
    crate::fixture::run(&crate::SqlTransform::new("q.sql", sql), &inputs, &params())
}
