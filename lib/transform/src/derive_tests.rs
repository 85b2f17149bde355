//! Derived columns, on values.

use arrow_array::{Array, Date32Array, Int64Array};
use windrow_core::contract::{DataType, OnViolation, Output, TimePattern, ValueRules, WindowRule};
use windrow_core::{Grain as WindowGrain, Layer, Table};
use windrow_engine::schema::arrow_field;

use super::*;
use crate::fixture::{batch, decimals, schema, texts};

fn property(name: &str, data_type: DataType, logic: Option<&str>) -> Property {
    let place = Place::new("orders.clean.odcs.yaml", 7, 22);
    Property {
        name: name.into(),
        place: place.clone(),
        type_place: place.clone(),
        data_type,
        required: false,
        key_position: None,
        partitioned: false,
        rules: ValueRules::default(),
        rules_place: place.clone(),
        source: None,
        logic: logic.map(|logic| (logic.to_owned(), place)),
        classification: None,
    }
}

fn contract(properties: Vec<Property>) -> Contract {
    let place = Place::file("orders.clean.odcs.yaml");
    Contract {
        file: "orders.clean.odcs.yaml".into(),
        text: "".into(),
        sha256: String::new(),
        rows_sha256: String::new(),
        id: "orders".into(),
        version: "1.0.0".into(),
        table: Table { dataset: "orders".parse().unwrap(), layer: Layer::Clean },
        properties,
        window: WindowRule { grain: WindowGrain::Day, zone: "UTC".into(), column: None, place },
        input: None,
        reader: None,
        on_violation: OnViolation::Fail,
        late: windrow_core::contract::Late::Rerun,
        dedupe: None,
        sort: vec![],
        split: None,
        output: Output::default(),
        transform: None,
        checks: vec![],
        sql_checks: vec![],
        sla: None,
    }
}

const I64: DataType = DataType::Integer { bits: 64, signed: true };
const TEXT: DataType = DataType::String { format: None };

fn date() -> DataType {
    DataType::Date { pattern: TimePattern::parse("yyyy-MM-dd").unwrap() }
}

fn one(data_type: DataType, logic: &str) -> Result<ArrayRef, DeriveError> {
    let contract = contract(vec![property("x", data_type, Some(logic))]);
    derive(&contract, &schema(), arrow_field, &batch()).map(|batch| batch.column(0).clone())
}

fn findings(data_type: DataType, logic: &str) -> Vec<String> {
    lint_derive(&contract(vec![property("x", data_type, Some(logic))]), &schema(), arrow_field)
        .iter()
        .map(Diagnostic::one_line)
        .collect()
}

#[test]
fn columns_are_named_and_ordered_as_declared_and_rows_stay() {
    let mut copied = property("amount", DataType::Decimal { precision: 15, scale: 2 }, None);
    copied.source = Some("price".into());
    let mut partition = property("window_day", date(), None);
    partition.partitioned = true;
    let contract =
        contract(vec![property("label", TEXT, Some("id || '-' || tiny")), copied, partition, property("id", I64, None)]);
    let result = derive(&contract, &schema(), arrow_field, &batch()).unwrap();
    let names: Vec<String> = result.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["label", "amount", "id"]);
    assert_eq!(texts(&result, 0), [format!("{}-1", i64::MAX), "2-2".into(), "3-12".into()]);
    assert_eq!(result.column(1), &decimals(vec![100, 205, 333], 15, 2));
    assert_eq!(result.column(2).as_any().downcast_ref::<Int64Array>().unwrap().values(), &[i64::MAX, 2, 3]);
}

#[test]
fn a_date_is_built_from_year_month_and_day() {
    let array = one(date(), "DATE(year || '-' || tiny || '-' || 5, '%Y-%m-%d')").unwrap();
    assert_eq!(array.as_any().downcast_ref::<Date32Array>().unwrap().values(), &[15_710, 16_106, 16_774]);
}

#[test]
fn the_needed_expressions_work() {
    for (data_type, logic) in [
        (I64, "CAST(year AS BIGINT) * 2 -- twice"),
        (TEXT, "CASE WHEN flag THEN 'y' ELSE 'n' END"),
        (TEXT, "COALESCE(NULLIF(text, 'a'), 'none')"),
        (TEXT, "LPAD(CAST(tiny AS VARCHAR), 2, '0')"),
        (TEXT, "UPPER(TRIM(SUBSTRING(text FROM 1 FOR 2))) || LOWER('X')"),
        (date(), "CAST(at AS DATE)"),
        (DataType::Integer { bits: 32, signed: true }, "EXTRACT(year FROM at)"),
        (TEXT, "'constant'"),
        (DataType::Decimal { precision: 38, scale: 4 }, "CAST(price AS DECIMAL(38,4)) * CAST(discount AS DECIMAL(38,4))"),
    ] {
        assert_eq!(findings(data_type.clone(), logic), [""; 0], "{logic}");
        assert_eq!(one(data_type, logic).unwrap().len(), 3, "{logic}");
    }
}

#[test]
fn the_first_failing_row_is_named() {
    let Err(DeriveError::Row(failure)) = one(DataType::Integer { bits: 8, signed: true }, "CAST(tiny * 11 AS TINYINT)") else {
        panic!()
    };
    assert_eq!((failure.row, failure.column.as_str()), (2, "x"));
    let Err(DeriveError::Row(failure)) = one(date(), "CAST(text AS DATE)") else { panic!() };
    assert_eq!(failure.row, 0);
    assert!(failure.message.contains("conversion from `str` to `date` failed"), "{}", failure.message);
    assert_eq!(Error::from(DeriveError::Row(failure)).kind(), ErrorKind::SchemaMismatch);
}

#[test]
fn findings_stand_inside_the_contract() {
    assert_eq!(findings(TEXT, "UPPER(txt)"), ["orders.clean.odcs.yaml:7:28: W0703: unknown column `txt`"]);
    assert_eq!(findings(I64, "sum(id)"), ["orders.clean.odcs.yaml:7:22: W0702: `sum` looks at more than one row"]);
    assert_eq!(
        findings(I64, "row_number() OVER (ORDER BY id)"),
        ["orders.clean.odcs.yaml:7:22: W0702: `row_number` looks at more than one row"]
    );
    assert_eq!(findings(I64, "id +"), ["orders.clean.odcs.yaml:7:26: W0701: expected: an expression, found: EOF"]);
    assert_eq!(findings(TEXT, "id"), ["orders.clean.odcs.yaml:7:22: W0705: column `x` is BIGINT, and VARCHAR is declared"]);
    assert!(findings(I64, "(SELECT max(id) FROM raw)")[0].contains("W0702: a subquery in a row-wise expression"));
    let decimal = DataType::Decimal { precision: 38, scale: 2 };
    assert!(findings(decimal, "price * discount")[0].contains(":7:22: W0704"));
}

#[test]
fn a_copy_of_a_missing_or_other_typed_column_is_refused() {
    let list = lint_derive(&contract(vec![property("pricee", I64, None), property("price", I64, None)]), &schema(), arrow_field);
    let lines: Vec<String> =
        list.iter().map(|finding| format!("{} | {}", finding.title, finding.help.clone().unwrap())).collect();
    assert_eq!(
        lines,
        [
            "no raw column `pricee` to copy `pricee` from | did you mean `price`?",
            "column `price` is DECIMAL(15,2), and BIGINT is declared | declare `price` as DECIMAL(15,2): a cast would cut its digits",
        ]
    );
}

#[test]
fn a_large_batch_keeps_its_order() {
    let ids = Int64Array::from_iter_values((0..600_000).map(|row| (row * 7_919) % 600_000));
    let expected = Int64Array::from_iter_values(ids.values().iter().map(|id| id * 2));
    let raw = RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef)]).unwrap();
    let contract = contract(vec![property("x", I64, Some("id * 2"))]);
    let result = derive(&contract, &raw.schema(), arrow_field, &raw).unwrap();
    assert_eq!(result.column(0).as_any().downcast_ref::<Int64Array>().unwrap(), &expected);
}
