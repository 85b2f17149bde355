use arrow_array::*;
use windrow_core::contract::{Contract, DataType, Property, TimeUnit, ValueRules};
use windrow_core::{Code, ErrorKind, Grain};

use super::super::{conform, project};
use super::{array, chunk, codes, window};
use crate::schema::file_schema;
use crate::test_contracts::{F64, I32, I64, TEXT, contract, date, decimal, property, timestamp, with_key};

fn partitioned(data_type: DataType) -> Property {
    Property { partitioned: true, required: true, ..property("day", data_type) }
}

#[test]
fn columns_are_found_by_name_and_the_partition_column_is_dropped() {
    let contract = contract(vec![property("a", I32), partitioned(date()), property("b", TEXT)]);
    let rows = chunk(
        "f.csv",
        2,
        vec![
            ("b", array(StringViewArray::from(vec!["x", "y"]))),
            ("day", array(Date32Array::from(vec![0, 0]))),
            ("a", array(Int64Array::from(vec![1, 2]))),
        ],
    );
    let done = conform(&contract, &window("1970-01-01"), vec![rows]).unwrap();
    assert!(done.report.is_empty());
    assert_eq!(*done.chunks[0].batch.schema(), file_schema(&contract));
}

#[test]
fn rows_that_break_something_are_taken_out_and_reported_with_their_place() {
    let positive = ValueRules { minimum: Some("1".to_owned()), ..ValueRules::default() };
    let secret = Property { classification: Some("restricted".to_owned()), rules: positive.clone(), ..property("b", I32) };
    let first = Property { rules: positive, required: true, ..property("a", I32) };
    let contract = contract(vec![first, secret, property("c", F64)]);
    let rows = |file| {
        chunk(
            file,
            10,
            vec![
                ("a", array(Int64Array::from(vec![Some(1), Some(0), None, Some(1 << 40), Some(5)]))),
                ("b", array(Int32Array::from(vec![1, -7, 1, 1, 1]))),
                ("c", array(Float64Array::from(vec![0.0, 0.0, 0.0, 0.0, f64::NAN]))),
            ],
        )
    };
    let done = conform(&contract, &window("2024-01-01"), vec![rows("f.csv"), rows("g.csv")]).unwrap();
    let expected = [
        (11, Code::OutOfRange),
        (11, Code::OutOfRange),
        (12, Code::NullInRequired),
        (13, Code::IntegerOverflow),
        (14, Code::NotFinite),
    ];
    assert_eq!(codes(&done.report)[..5], expected);
    assert_eq!((done.report.rejected_rows(), done.report.total()), (8, 10));
    let values: Vec<_> = done.report.listed()[..5].iter().map(|violation| violation.value.as_deref()).collect();
    assert_eq!(values, [Some("0"), Some("***"), None, Some("1099511627776"), Some("NaN")]);
    let places: Vec<_> = done.report.listed()[..5].iter().map(|violation| violation.contract.as_ref().unwrap().0.line).collect();
    assert_eq!(places, [3, 3, 1, 2, 2]);
    assert_eq!(&*done.report.listed()[5].file, "g.csv");
    assert_eq!((done.chunks[1].batch.num_rows(), done.chunks[1].origin.line(0)), (1, 10));
}

#[test]
fn a_null_key_is_named_as_such() {
    let key = Property { required: true, ..property("id", I64) };
    let contract = with_key(contract(vec![key]), &["id"]);
    let rows = chunk("f.csv", 2, vec![("id", array(Int64Array::from(vec![Some(1), None])))]);
    let done = conform(&contract, &window("2024-01-01"), vec![rows]).unwrap();
    assert_eq!(codes(&done.report), [(3, Code::NullKey)]);
}

#[test]
fn chunks_left_without_rows_are_dropped() {
    let contract = contract(vec![Property { required: true, ..property("a", I32) }]);
    let rows = chunk("f.csv", 2, vec![("a", array(Int32Array::from(vec![None, None])))]);
    let done = conform(&contract, &window("2024-01-01"), vec![rows]).unwrap();
    assert!(done.chunks.is_empty() && done.report.rejected_rows() == 2);
}

#[test]
fn missing_undeclared_and_impossible_columns_are_mistakes_of_the_contract() {
    let declared = contract(vec![property("a", I32), property("m", decimal(10, 2))]);
    let integers = || array(Int32Array::from(vec![1]));
    let money = || array(Decimal128Array::from(vec![1]).with_precision_and_scale(10, 2).unwrap());
    let cases = [
        (vec![("a", integers())], "the declared column `m` is missing"),
        (vec![("a", integers()), ("m", money()), ("z", integers())], "column `z` is not declared"),
        (vec![("a", integers()), ("m", array(Float64Array::from(vec![0.1])))], "Float64"),
    ];
    for (columns, expected) in cases {
        let error = conform(&declared, &window("2024-01-01"), vec![chunk("f", 1, columns)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn the_partition_column_must_name_the_window() {
    let daily = contract(vec![partitioned(date()), property("a", I32)]);
    let days = array(Date32Array::from(vec![Some(0), Some(1), None]));
    let rows = chunk("f", 1, vec![("day", days), ("a", array(Int32Array::from(vec![1, 2, 3])))]);
    let done = conform(&daily, &window("1970-01-01"), vec![rows]).unwrap();
    assert_eq!(codes(&done.report), [(2, Code::OutsideWindow), (3, Code::NullInRequired)]);

    let hourly = contract(vec![partitioned(TEXT), property("a", I32)]);
    let hours = array(StringArray::from(vec!["1970-01-01T07", "1970-01-01T08"]));
    let rows = chunk("f", 1, vec![("day", hours), ("a", array(Int32Array::from(vec![1, 2])))]);
    let done = conform(&hourly, &window("1970-01-01T07"), vec![rows]).unwrap();
    assert_eq!(codes(&done.report), [(2, Code::OutsideWindow)]);
    assert_eq!(conform(&daily, &window("1970-01"), vec![]).unwrap_err().kind(), ErrorKind::Misconfigured);
}

fn windowed(data_type: DataType, grain: Grain, zone: &str) -> Contract {
    let mut contract = contract(vec![property("at", data_type)]);
    contract.window.grain = grain;
    contract.window.zone = zone.to_owned();
    contract.window.column = Some("at".into());
    contract
}

fn outside(contract: &Contract, name: &str, values: ArrayRef) -> Vec<u64> {
    let done = conform(contract, &window(name), vec![chunk("f", 0, vec![("at", values)])]).unwrap();
    assert!(done.report.listed().iter().all(|violation| violation.code == Code::OutsideWindow));
    done.report.listed().iter().map(|violation| violation.line).collect()
}

#[test]
fn windows_hold_their_start_and_not_their_end() {
    let daily = windowed(date(), Grain::Day, "UTC");
    assert_eq!(outside(&daily, "1970-01-02", array(Date32Array::from(vec![Some(0), Some(1), Some(2), None]))), [0, 2, 3]);
    let monthly = windowed(date(), Grain::Month, "UTC");
    assert_eq!(outside(&monthly, "1970-02", array(Date32Array::from(vec![30, 31, 58, 59]))), [0, 3]);
    let hourly = windowed(date(), Grain::Hour, "UTC");
    assert_eq!(outside(&hourly, "1970-01-01T23", array(Date32Array::from(vec![-1, 0, 1]))), [0, 2]);
    let day = 86_400_000;
    let local = windowed(timestamp(TimeUnit::Milli, false), Grain::Day, "America/New_York");
    let times = TimestampMillisecondArray::from(vec![day - 1, day, 2 * day - 1, 2 * day]);
    assert_eq!(outside(&local, "1970-01-02", array(times)), [0, 3], "a local time is compared with the local clock");
}

#[test]
fn instants_are_compared_in_the_zone_even_on_a_short_day() {
    let contract = windowed(timestamp(TimeUnit::Milli, true), Grain::Day, "America/New_York");
    // 2013-03-10 runs from 05:00Z (EST) to 04:00Z of the next day (EDT): 23 hours.
    let start = 1_362_891_600_000;
    let end = start + 23 * 3_600_000;
    let times = TimestampMillisecondArray::from(vec![start - 1, start, end - 1, end]).with_timezone("UTC");
    assert_eq!(outside(&contract, "2013-03-10", array(times)), [0, 3]);
    let nowhere = windowed(timestamp(TimeUnit::Milli, true), Grain::Day, "Mars/Olympus");
    assert_eq!(conform(&nowhere, &window("2013-03-10"), vec![]).unwrap_err().kind(), ErrorKind::Misconfigured);
}

#[test]
fn projecting_picks_and_renames() {
    let renamed = Property { source: Some("raw_a".into()), ..property("a", I64) };
    let clean = contract(vec![renamed, partitioned(date()), property("b", I32)]);
    let raw = chunk(
        "f",
        2,
        vec![
            ("b", array(Int32Array::from(vec![1]))),
            ("raw_a", array(Int32Array::from(vec![2]))),
            ("z", array(Int32Array::from(vec![3]))),
        ],
    );
    let picked = project(&clean, &raw).unwrap();
    let schema = picked.batch.schema();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!((names.as_slice(), picked.origin.line(0)), (["a", "b"].as_slice(), 2));
    let done = conform(&clean, &window("2024-01-01"), vec![picked]).unwrap();
    assert_eq!(*done.chunks[0].batch.schema(), file_schema(&clean));
    let error = project(&contract(vec![property("gone", I32)]), &raw).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}
