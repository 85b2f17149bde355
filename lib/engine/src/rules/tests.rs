use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::types::UInt8Type;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal64Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array, Int64Array,
    StringArray, StructArray, TimestampMillisecondArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::Field;
use proptest::prelude::*;
use windrow_core::ErrorKind;
use windrow_core::contract::{StringFormat, TimeUnit, ValueRules};

use super::*;
use crate::test_contracts::{F64, I32, I64, TEXT, boolean, date, decimal, property, timestamp};

fn rules_of(data_type: DataType, rules: ValueRules) -> Property {
    Property { rules, ..property("x", data_type) }
}

fn breaks(property: &Property, array: &dyn Array) -> Vec<(usize, Code)> {
    let rules = Rules::compile(property).unwrap();
    rules.broken(array).into_iter().map(|broken| (broken.row, broken.code)).collect()
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn nothing_declared_demands_nothing() {
    let rules = Rules::compile(&property("x", I64)).unwrap();
    assert!(!rules.demand_something() && rules.broken(&Int64Array::from(vec![None, Some(1)])).is_empty());
}

#[test]
fn null_breaks_required_only() {
    let array = Int32Array::from(vec![Some(1), None, Some(0)]);
    let range = rules_of(I32, ValueRules { minimum: text("1"), ..ValueRules::default() });
    assert_eq!(breaks(&range, &array), [(2, Code::OutOfRange)]);
    let required = Property { required: true, ..range };
    assert_eq!(breaks(&required, &array), [(1, Code::NullInRequired), (2, Code::OutOfRange)]);
}

#[test]
fn bounds_are_typed_per_column() {
    let closed = |low: &str, high: &str| ValueRules { minimum: text(low), maximum: text(high), ..ValueRules::default() };
    let open = |low: &str, high: &str| ValueRules {
        exclusive_minimum: text(low),
        exclusive_maximum: text(high),
        ..ValueRules::default()
    };
    let money: ArrayRef = Arc::new(Decimal128Array::from(vec![149, 150, 250, 251]).with_precision_and_scale(5, 2).unwrap());
    let days: ArrayRef = Arc::new(Date32Array::from(vec![-1, 0, 1, 2]));
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![999, 1_000, 2_000, 2_001]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.9, 1.0, 2.0, 2.1]));
    let wide: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]));
    let cases = [
        (decimal(5, 2), "1.5", "2.50", money),
        (date(), "1970-01-01", "1970-01-02", days),
        (timestamp(TimeUnit::Milli, false), "1970-01-01T00:00:01", "1970-01-01T00:00:02", times),
        (F64, "1", "2", floats),
        (I64, "-9223372036854775807", "9223372036854775806", wide),
    ];
    for (data_type, low, high, array) in cases {
        let outside = |rows: &[usize]| rows.iter().map(|row| (*row, Code::OutOfRange)).collect::<Vec<_>>();
        assert_eq!(breaks(&rules_of(data_type.clone(), closed(low, high)), &array), outside(&[0, 3]), "{data_type:?}");
        assert_eq!(breaks(&rules_of(data_type.clone(), open(low, high)), &array), outside(&[0, 1, 2, 3]), "{data_type:?}");
    }
}

#[test]
fn steps_are_exact() {
    let rule = rules_of(decimal(5, 2), ValueRules { multiple_of: text("0.05"), ..ValueRules::default() });
    let array = Decimal128Array::from(vec![0, 5, 7, -10, 10_001]).with_precision_and_scale(5, 2).unwrap();
    assert_eq!(breaks(&rule, &array), [(2, Code::NotMultiple), (4, Code::NotMultiple)]);
}

#[test]
fn allowed_values_are_values_of_the_type() {
    let allow = |values: &[&str]| ValueRules { allowed: strings(values), ..ValueRules::default() };
    let bad = vec![(1, Code::NotAllowed)];
    assert_eq!(breaks(&rules_of(I32, allow(&["3", "1"])), &Int32Array::from(vec![1, 2, 3])), bad);
    assert_eq!(breaks(&rules_of(F64, allow(&["0.5"])), &Float64Array::from(vec![0.5, 0.25])), bad);
    assert_eq!(breaks(&rules_of(boolean(), allow(&["Y", "true"])), &BooleanArray::from(vec![true, false])), bad);
    assert_eq!(breaks(&rules_of(TEXT, allow(&["a", "b"])), &StringArray::from(vec!["a", "A"])), bad);
    let many: Vec<String> = (0..100).map(|index| index.to_string()).collect();
    let rule = rules_of(TEXT, ValueRules { allowed: many, ..ValueRules::default() });
    assert_eq!(breaks(&rule, &StringArray::from(vec!["99", "100"])), bad);
    let expected = Rules::compile(&rule).unwrap().broken(&StringArray::from(vec!["x"])).pop().unwrap().expected;
    assert!(expected.ends_with("… (100 values)"), "{expected}");
}

#[test]
fn keyed_texts_are_judged_as_texts() {
    let rule = rules_of(TEXT, ValueRules { allowed: strings(&["a", "b"]), ..ValueRules::default() });
    let texts = [Some("a"), None, Some("x"), Some("b"), Some("x")];
    let keyed = DictionaryArray::<UInt8Type>::from_iter(texts);
    assert_eq!(breaks(&rule, &keyed), [(2, Code::NotAllowed), (4, Code::NotAllowed)]);
    assert_eq!(breaks(&rule, &keyed), breaks(&rule, &StringArray::from(texts.to_vec())));
    let required = Property { required: true, ..rule };
    assert_eq!(breaks(&required, &keyed), [(1, Code::NullInRequired), (2, Code::NotAllowed), (4, Code::NotAllowed)]);
    let unused = DictionaryArray::new(vec![0u8, 0].into(), Arc::new(StringArray::from(vec!["a", "x"])) as ArrayRef);
    assert_eq!(breaks(&required, &unused), []);
}

#[test]
fn lengths_count_characters() {
    let rule = rules_of(TEXT, ValueRules { min_length: Some(2), max_length: Some(3), ..ValueRules::default() });
    let array = StringArray::from(vec![Some("é"), Some("éé"), Some("ééé"), Some("abcd"), Some(""), None, Some("😀")]);
    assert_eq!(breaks(&rule, &array).iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0, 3, 4, 6]);
}

#[test]
fn patterns_match_the_whole_value() {
    let rule = rules_of(TEXT, ValueRules { pattern: text("[A-Z]{2}|x"), ..ValueRules::default() });
    let array = StringArray::from(vec!["AB", "x", "ABC", "xx", "AB\n", ""]);
    assert_eq!(breaks(&rule, &array).iter().map(|(row, _)| *row).collect::<Vec<_>>(), [2, 3, 4, 5]);
    let format = property("x", DataType::String { format: Some(StringFormat::Ipv4) });
    assert_eq!(breaks(&format, &StringArray::from(vec!["1.2.3.4", "1.2.3"])), [(1, Code::PatternMismatch)]);
}

#[test]
fn floats_are_finite_without_any_rule() {
    let array = Float64Array::from(vec![Some(f64::NAN), None, Some(f64::INFINITY), Some(-0.0)]);
    assert_eq!(breaks(&property("x", F64), &array), [(0, Code::NotFinite), (2, Code::NotFinite)]);
}

#[test]
fn one_value_breaks_once_and_the_type_is_not_taken_on_trust() {
    let rule = rules_of(TEXT, ValueRules { pattern: text("a+"), max_length: Some(2), ..ValueRules::default() });
    assert_eq!(breaks(&rule, &StringArray::from(vec!["bbb"])), [(0, Code::LengthOutOfRange)]);
    assert_eq!(breaks(&rule, &Int32Array::from(vec![Some(1), None])), [(0, Code::WrongType)]);
}

#[test]
fn rules_reach_into_objects_and_lists() {
    let inner = Property { required: true, ..property("zip", I32) };
    let object = property("x", DataType::Struct(vec![inner]));
    let zips: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, None]));
    let fields = vec![Arc::new(Field::new("zip", arrow_schema::DataType::Int32, true))];
    let nulls = Some(NullBuffer::from(vec![true, true, false]));
    let array = StructArray::new(fields.into(), vec![zips], nulls);
    let found = Rules::compile(&object).unwrap().broken(&array);
    assert_eq!((found.len(), found[0].row, found[0].code), (1, 1, Code::NullInRequired));
    assert!(found[0].expected.ends_with("in `zip`"), "{}", found[0].expected);

    let item = rules_of(I32, ValueRules { minimum: text("0"), ..ValueRules::default() });
    let rules = ValueRules { max_length: Some(2), ..ValueRules::default() };
    let list = rules_of(DataType::List(Box::new(item)), rules);
    let mut builder = ListBuilder::new(Int32Builder::new());
    builder.append_value([Some(1), Some(-1)]);
    builder.append_null();
    builder.append_value([]);
    builder.append_value([Some(1), Some(1), Some(1)]);
    builder.append_value([Some(-1), Some(-1)]);
    let array = builder.finish();
    let expected = [(0, Code::OutOfRange), (3, Code::LengthOutOfRange), (4, Code::OutOfRange)];
    assert_eq!(breaks(&list, &array), expected);
    assert_eq!(breaks(&list, &array.slice(3, 2)), [(0, Code::LengthOutOfRange), (1, Code::OutOfRange)]);
}

#[test]
fn what_is_no_value_of_the_type_is_refused() {
    let none = ValueRules::default;
    let cases = [
        (I32, ValueRules { minimum: text("1.5"), ..none() }),
        (I32, ValueRules { maximum: text("9999999999"), ..none() }),
        (decimal(5, 2), ValueRules { minimum: text("0.001"), ..none() }),
        (decimal(5, 2), ValueRules { multiple_of: text("0"), ..none() }),
        (date(), ValueRules { minimum: text("01/02/2024"), ..none() }),
        (timestamp(TimeUnit::Micro, true), ValueRules { minimum: text("2024-01-01T00:00:00"), ..none() }),
        (F64, ValueRules { allowed: strings(&["NaN"]), ..none() }),
        (boolean(), ValueRules { allowed: strings(&["maybe"]), ..none() }),
        (TEXT, ValueRules { pattern: text("("), ..none() }),
        (TEXT, ValueRules { pattern: text("a)(b"), ..none() }),
        (TEXT, ValueRules { minimum: text("a"), ..none() }),
        (TEXT, ValueRules { min_length: Some(3), max_length: Some(2), ..none() }),
        (I32, ValueRules { pattern: text("1"), ..none() }),
        (F64, ValueRules { multiple_of: text("0.1"), ..none() }),
        (I32, ValueRules { max_length: Some(1), ..none() }),
    ];
    for (data_type, rules) in cases {
        let error = Rules::compile(&rules_of(data_type, rules.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{rules:?}");
        assert_eq!(error.diagnostics()[0].place.line, 3);
    }
}

proptest! {
    #[test]
    fn the_quick_look_and_the_slow_one_agree(
        values in prop::collection::vec(prop::option::of(-30i64..30), 0..40), low in -40i64..0, high in 0i64..40,
        allowed in prop::option::of(prop::collection::vec(-30i64..30, 1..60)), step in prop::option::of(1i64..4),
    ) {
        let texts = |values: Vec<i64>| values.iter().map(|value| format!("{}.{:02}", value / 100, value % 100).replace(".-", ".")).collect::<Vec<String>>();
        let allowed = allowed.map(|allowed| allowed.into_iter().map(i64::abs).collect::<Vec<_>>());
        let rules = |as_texts: &dyn Fn(Vec<i64>) -> Vec<String>| ValueRules {
            minimum: text(&(if low < -30 { String::new() } else { as_texts(vec![high - high]).remove(0) })).filter(|text| !text.is_empty()),
            maximum: text(&as_texts(vec![high]).remove(0)),
            allowed: allowed.clone().map(as_texts).unwrap_or_default(),
            multiple_of: step.map(|step| as_texts(vec![step]).remove(0)),
            ..ValueRules::default()
        };
        let holds = |value: i64| (low < -30 || value >= 0) && value <= high
            && allowed.as_ref().is_none_or(|allowed| allowed.contains(&value)) && step.is_none_or(|step| value % step == 0);
        let expected: Vec<usize> = (0..values.len()).filter(|row| values[*row].is_some_and(|value| !holds(value))).collect();
        let rows = |property: Property, array: &dyn Array| breaks(&property, array).iter().map(|(row, _)| *row).collect::<Vec<_>>();
        let plain = |values: Vec<i64>| values.iter().map(i64::to_string).collect::<Vec<_>>();
        prop_assert_eq!(rows(rules_of(I64, rules(&plain)), &Int64Array::from(values.clone())), expected.clone());
        let cents = Decimal64Array::from(values.clone()).with_precision_and_scale(9, 2).unwrap();
        prop_assert_eq!(rows(rules_of(decimal(9, 2), rules(&texts)), &cents), expected.clone());
        let narrow = Int32Array::from(values.iter().map(|value| value.map(|value| i32::try_from(value).unwrap())).collect::<Vec<_>>());
        prop_assert_eq!(rows(rules_of(I32, rules(&plain)), &narrow), expected);
    }

    #[test]
    fn ranges_agree_with_plain_comparison(values in prop::collection::vec(prop::option::of(any::<i64>()), 0..50), low: i64, high: i64) {
        let rule = rules_of(I64, ValueRules { minimum: text(&low.to_string()), maximum: text(&high.to_string()), ..ValueRules::default() });
        let broken: Vec<usize> = breaks(&rule, &Int64Array::from(values.clone())).iter().map(|(row, _)| *row).collect();
        let plain: Vec<usize> = (0..values.len()).filter(|row| values[*row].is_some_and(|value| value < low || value > high)).collect();
        prop_assert_eq!(broken, plain);
    }
}
