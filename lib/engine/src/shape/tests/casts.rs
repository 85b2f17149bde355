use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::*;
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType as D, Field, TimeUnit as U};
use windrow_core::{Code, ErrorKind};

use super::super::cast::{cast_exactly, relaxed, settled};
use super::array;

fn reasons(from: ArrayRef, to: &D) -> (ArrayRef, Vec<(usize, Code)>) {
    let cast = cast_exactly(&from, to).unwrap();
    assert_eq!(cast.array.data_type(), to);
    assert!(cast.broken.iter().all(|broken| cast.array.is_null(broken.row)), "what does not fit is null");
    (cast.array, cast.broken.into_iter().map(|broken| (broken.row, broken.code)).collect())
}

#[test]
fn integers_narrow_and_widen_by_value() {
    let (narrow, broken) = reasons(array(Int64Array::from(vec![Some(127), None, Some(128), Some(-129)])), &D::Int8);
    assert_eq!(broken, [(2, Code::IntegerOverflow), (3, Code::IntegerOverflow)]);
    assert_eq!(narrow.as_primitive::<Int8Type>().iter().collect::<Vec<_>>(), [Some(127), None, None, None]);
    let (_, broken) = reasons(array(Int32Array::from(vec![-1, 1])), &D::UInt64);
    assert_eq!(broken, [(0, Code::IntegerOverflow)]);
    let (wide, broken) = reasons(array(UInt64Array::from(vec![u64::MAX, 7])), &D::Int64);
    assert_eq!((broken.as_slice(), wide.is_null(0)), ([(0, Code::IntegerOverflow)].as_slice(), true));
}

#[test]
fn decimals_rescale_without_rounding() {
    let decimals = |values: Vec<i128>, p, s| array(Decimal128Array::from(values).with_precision_and_scale(p, s).unwrap());
    let (same, broken) = reasons(decimals(vec![1_239, 1_230], 10, 3), &D::Decimal128(10, 2));
    assert_eq!(broken, [(0, Code::DecimalDigits)]);
    assert_eq!(same.as_primitive::<types::Decimal128Type>().value(1), 123);
    let (_, broken) = reasons(decimals(vec![99, 100, -100], 5, 0), &D::Decimal128(4, 2));
    assert_eq!(broken, [(1, Code::DecimalDigits), (2, Code::DecimalDigits)]);
    let (from_integer, broken) = reasons(array(Int64Array::from(vec![5, 1_000])), &D::Decimal128(5, 2));
    assert_eq!(broken, [(1, Code::DecimalDigits)]);
    assert_eq!(from_integer.as_primitive::<types::Decimal128Type>().value(0), 500);
    let (_, broken) = reasons(decimals(vec![i128::MAX / 10, 1], 38, 0), &D::Decimal128(38, 38));
    assert_eq!(broken, [(0, Code::DecimalDigits), (1, Code::DecimalDigits)]);
}

#[test]
fn timestamps_change_unit_exactly() {
    let (seconds, broken) =
        reasons(array(TimestampMicrosecondArray::from(vec![1_000, 1_001])), &D::Timestamp(U::Millisecond, None));
    assert_eq!(broken, [(1, Code::SubUnitDigits)]);
    assert_eq!(seconds.as_primitive::<types::TimestampMillisecondType>().value(0), 1);
    let utc = D::Timestamp(U::Nanosecond, Some("UTC".into()));
    let instants = TimestampMillisecondArray::from(vec![1, i64::MAX]).with_timezone("+00:00");
    let (_, broken) = reasons(array(instants), &utc);
    assert_eq!(broken, [(1, Code::DerivedValue)]);
    let (_, broken) = reasons(array(TimestampNanosecondArray::from(vec![1]).with_timezone("Europe/Berlin")), &utc);
    assert!(broken.is_empty(), "an instant is the same instant in every zone");
}

#[test]
fn texts_become_plain_texts() {
    let sources: [ArrayRef; 4] = [
        array(StringViewArray::from(vec![Some("a"), None])),
        array(LargeStringArray::from(vec![Some("a"), None])),
        array(vec![Some("a"), None].into_iter().collect::<DictionaryArray<Int32Type>>()),
        array(StringArray::from(vec![Some("a"), None])),
    ];
    for source in sources {
        let (texts, _) = reasons(source, &D::Utf8);
        assert_eq!(texts.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None]);
    }
    let (nothing, _) = reasons(array(NullArray::new(2)), &D::Date32);
    assert_eq!(nothing.null_count(), 2);
    let (wide, _) = reasons(array(Float32Array::from(vec![0.5])), &D::Float64);
    assert_eq!(wide.as_primitive::<types::Float64Type>().value(0), 0.5);
}

#[test]
fn doubtful_pairs_are_refused_with_the_cast_to_write() {
    let timestamp = |zone: Option<&str>| D::Timestamp(U::Millisecond, zone.map(Into::into));
    let pairs = [
        (D::Float64, D::Decimal128(10, 2)),
        (D::Decimal128(10, 2), D::Float64),
        (D::Float64, D::Float32),
        (D::Float64, D::Int64),
        (D::Int64, D::Float64),
        (D::Decimal128(10, 0), D::Int64),
        (D::Date32, timestamp(None)),
        (timestamp(None), D::Date32),
        (timestamp(None), timestamp(Some("UTC"))),
        (timestamp(Some("UTC")), timestamp(None)),
        (D::Utf8, D::Int64),
        (D::Int64, D::Utf8),
        (D::Boolean, D::Int8),
        (D::Int8, D::Boolean),
        (D::Date64, D::Date32),
        (D::Binary, D::Utf8),
    ];
    for (from, to) in pairs {
        let error = cast_exactly(&new_null_array(&from, 1), &to).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{from} to {to}");
        assert!(error.message().contains(&from.to_string()) && error.message().contains(&to.to_string()), "{error}");
        assert!(error.help_text().unwrap().contains("CAST"));
    }
}

#[test]
fn nested_columns_are_cast_inside_and_settled_after_filtering() {
    let item = |data_type: D, nullable| std::sync::Arc::new(Field::new("item", data_type, nullable));
    let inner = Int64Array::from(vec![Some(9), Some(1), Some(300), None, Some(2)]);
    let offsets = OffsetBuffer::<i64>::from_lengths([1, 2, 1, 1]);
    let lists = LargeListArray::new(item(D::Int64, true), offsets, array(inner), Some(NullBuffer::from(vec![true; 4])));
    let declared = D::List(item(D::Int8, false));
    let cast = cast_exactly(&array(lists), &relaxed(&declared)).unwrap();
    assert_eq!(cast.broken.iter().map(|broken| (broken.row, broken.code)).collect::<Vec<_>>(), [(1, Code::IntegerOverflow)]);
    let kept = arrow_select::concat::concat(&[&cast.array.slice(0, 1), &cast.array.slice(3, 1)]).unwrap();
    assert_eq!(settled(&kept, &declared).unwrap().data_type(), &declared);
    assert_eq!(
        settled(&cast.array.slice(0, 1), &declared).unwrap().data_type(),
        &declared,
        "a slice hides the null it left behind"
    );

    let fields: arrow_schema::Fields = vec![Field::new("n", D::Int64, true)].into();
    let objects = StructArray::new(
        fields,
        vec![array(Int64Array::from(vec![1, 300, 300]))],
        Some(NullBuffer::from(vec![true, true, false])),
    );
    let declared = D::Struct(vec![Field::new("n", D::Int8, false)].into());
    let cast = cast_exactly(&array(objects.clone()), &relaxed(&declared)).unwrap();
    assert_eq!(cast.broken.len(), 1, "a field of a null object is absent");
    let other = D::Struct(vec![Field::new("m", D::Int8, false)].into());
    assert_eq!(cast_exactly(&array(objects), &other).unwrap_err().kind(), ErrorKind::Misconfigured);
}
