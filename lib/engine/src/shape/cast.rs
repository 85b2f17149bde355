//! Casts that lose nothing: from what an expression yielded to exactly the declared type, or a reason for each value that does not fit.

use std::sync::Arc;

use arrow_array::builder::BooleanBufferBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ListArray, PrimitiveArray, StructArray, new_null_array};
use arrow_buffer::NullBuffer;
use arrow_cast::cast;
use arrow_schema::{DataType, Field, TimeUnit};
use windrow_core::{Code, Error, Result};

use crate::numbers::{each_number, ticks_per_second};
use crate::rules::Broken;

/// A column of the declared type; values that do not fit are null in it and listed with their reason.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) array: ArrayRef,
    pub(crate) broken: Vec<Broken>,
}

impl Cast {
    fn exact(array: ArrayRef) -> Self {
        Cast { array, broken: Vec::new() }
    }
}

/// Casts a column. Nullability inside nested types is taken from `to`; use a relaxed type and settle it after filtering.
///
/// # Errors
/// `Misconfigured` when the pair of types has no cast that can be trusted.
pub(crate) fn cast_exactly(array: &ArrayRef, to: &DataType) -> Result<Cast> {
    use DataType as D;
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(Cast::exact(array.clone())),
        (D::Null, to) => Ok(Cast::exact(new_null_array(to, array.len()))),
        (D::Utf8View | D::LargeUtf8, D::Utf8) => arrow_cast(array, to),
        (D::Dictionary(_, values), to) => cast_exactly(&arrow_cast(array, values)?.array, to),
        (D::Float32, D::Float64) => {
            Ok(Cast::exact(Arc::new(array.as_primitive::<arrow_array::types::Float32Type>().unary::<_, Float64Type>(f64::from))))
        }
        (D::Timestamp(_, from_zone), D::Timestamp(..)) if from_zone.is_some() != is_instant(to) => {
            Err(impossible(array.data_type(), to))
        }
        (D::Timestamp(from, _), D::Timestamp(unit, _)) => cast_number(array, to, &unit_change(*from, *unit)),
        (from, D::Decimal128(precision, scale)) if from.is_integer() => cast_number(array, to, &rescale(0, *precision, *scale)),
        (D::Decimal32(_, from) | D::Decimal64(_, from) | D::Decimal128(_, from), D::Decimal128(precision, scale)) => {
            cast_number(array, to, &rescale(*from, *precision, *scale))
        }
        (from, to) if from.is_integer() && to.is_integer() => cast_number(array, to, &Ok),
        (D::Struct(_), D::Struct(fields)) => cast_struct(array, fields),
        (D::List(_), D::List(item)) => cast_list(array.as_list::<i32>(), item),
        (D::LargeList(item), D::List(_)) => cast_exactly(&arrow_cast(array, &D::List(item.clone()))?.array, to),
        (from, to) => Err(impossible(from, to)),
    }
}

fn impossible(from: &DataType, to: &DataType) -> Error {
    Error::misconfigured(format!("a value of type {from} is never taken for {to}")).help(format!(
        "write a CAST in transformLogic (or in the SQL) that says how {from} becomes {to}, or declare the type that is there"
    ))
}

fn arrow_cast(array: &ArrayRef, to: &DataType) -> Result<Cast> {
    let array = cast(array, to).map_err(|error| Error::internal(format!("cannot hold a column as {to}")).caused_by(error))?;
    Ok(Cast::exact(array))
}

fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

/// A number in the target's representation, or why there is none.
type Convert<'a> = dyn Fn(i128) -> Result<i128, (Code, String)> + 'a;

fn rescale(from: i8, precision: u8, scale: i8) -> impl Fn(i128) -> Result<i128, (Code, String)> {
    let power = 10_i128.checked_pow(u32::from(from.abs_diff(scale)));
    let limit = 10_i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    move |value| {
        let digits = || (Code::DecimalDigits, format!("expected decimal({precision},{scale})"));
        let power = power.ok_or_else(digits)?;
        let scaled = if scale >= from { value.checked_mul(power) } else { (value % power == 0).then_some(value / power) };
        scaled.filter(|scaled| -limit < *scaled && *scaled < limit).ok_or_else(digits)
    }
}

fn unit_change(from: TimeUnit, to: TimeUnit) -> impl Fn(i128) -> Result<i128, (Code, String)> {
    let (from_ticks, to_ticks) = (ticks_per_second(from), ticks_per_second(to));
    move |value| {
        if to_ticks >= from_ticks {
            return Ok(value.saturating_mul(to_ticks / from_ticks));
        }
        let step = from_ticks / to_ticks;
        if value % step == 0 {
            Ok(value / step)
        } else {
            Err((Code::SubUnitDigits, format!("expected a time in whole {to:?}s").to_lowercase()))
        }
    }
}

fn cast_number(array: &ArrayRef, to: &DataType, convert: &Convert<'_>) -> Result<Cast> {
    use DataType as D;
    match to {
        D::Int8 => rebuild::<Int8Type>(array, to, convert),
        D::Int16 => rebuild::<Int16Type>(array, to, convert),
        D::Int32 => rebuild::<Int32Type>(array, to, convert),
        D::Int64 => rebuild::<Int64Type>(array, to, convert),
        D::UInt8 => rebuild::<UInt8Type>(array, to, convert),
        D::UInt16 => rebuild::<UInt16Type>(array, to, convert),
        D::UInt32 => rebuild::<UInt32Type>(array, to, convert),
        D::UInt64 => rebuild::<UInt64Type>(array, to, convert),
        D::Decimal128(..) => rebuild::<Decimal128Type>(array, to, convert),
        D::Timestamp(TimeUnit::Millisecond, _) => rebuild::<TimestampMillisecondType>(array, to, convert),
        D::Timestamp(TimeUnit::Microsecond, _) => rebuild::<TimestampMicrosecondType>(array, to, convert),
        D::Timestamp(TimeUnit::Nanosecond, _) => rebuild::<TimestampNanosecondType>(array, to, convert),
        _ => Err(impossible(array.data_type(), to)),
    }
}

fn rebuild<T: ArrowPrimitiveType>(array: &ArrayRef, to: &DataType, convert: &Convert<'_>) -> Result<Cast>
where
    T::Native: TryFrom<i128>,
{
    let mut values = vec![T::Native::default(); array.len()];
    let mut broken = Vec::new();
    let narrow = |value: i128| T::Native::try_from(value).map_err(|_| out_of_range(to));
    let known = each_number(array, |row, value| match convert(value).and_then(narrow) {
        Ok(value) => values.iter_mut().skip(row).take(1).for_each(|slot| *slot = value),
        Err((code, expected)) => broken.push(Broken { row, code, expected }),
    });
    if !known {
        return Err(impossible(array.data_type(), to));
    }
    let nulls = without(array.nulls(), array.len(), &broken);
    let array = PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(to.clone());
    Ok(Cast { array: Arc::new(array), broken })
}

fn out_of_range(to: &DataType) -> (Code, String) {
    match to {
        DataType::Timestamp(..) => (Code::DerivedValue, format!("expected a time that {to} can hold")),
        _ => (Code::IntegerOverflow, format!("expected an integer that {to} can hold")),
    }
}

/// The null buffer with the broken rows made null as well.
fn without(nulls: Option<&NullBuffer>, len: usize, broken: &[Broken]) -> Option<NullBuffer> {
    if broken.is_empty() {
        return nulls.cloned();
    }
    let mut valid = BooleanBufferBuilder::new(len);
    valid.append_n(len, true);
    broken.iter().for_each(|broken| valid.set_bit(broken.row, false));
    NullBuffer::union(nulls, Some(&NullBuffer::new(valid.finish())))
}

fn cast_struct(array: &ArrayRef, fields: &arrow_schema::Fields) -> Result<Cast> {
    let structs = array.as_struct();
    if let Some(extra) = structs.fields().iter().find(|have| !fields.iter().any(|field| field.name() == have.name())) {
        return Err(Error::misconfigured(format!(
            "the object has a field `{}` that the contract does not declare",
            extra.name()
        )));
    }
    let mut columns = Vec::with_capacity(fields.len());
    let mut broken = Vec::new();
    for field in fields {
        let column = structs.column_by_name(field.name());
        let column =
            column.ok_or_else(|| Error::misconfigured(format!("the object lacks the declared field `{}`", field.name())))?;
        let cast = cast_exactly(column, field.data_type())?;
        broken.extend(cast.broken.into_iter().filter(|broken| structs.is_valid(broken.row)).map(|broken| within(broken, field)));
        columns.push(cast.array);
    }
    broken.sort_by_key(|broken| broken.row);
    broken.dedup_by_key(|broken| broken.row);
    let array = StructArray::try_new_with_length(fields.clone(), columns, structs.nulls().cloned(), structs.len());
    Ok(Cast { array: Arc::new(array.map_err(unfit)?), broken })
}

fn cast_list(lists: &ListArray, item: &Arc<Field>) -> Result<Cast> {
    let cast = cast_exactly(lists.values(), item.data_type())?;
    let offsets = lists.offsets();
    let row_of = |index: usize| {
        let position = offsets.partition_point(|offset| usize::try_from(*offset).is_ok_and(|offset| offset <= index));
        position.checked_sub(1).filter(|row| *row < lists.len() && lists.is_valid(*row))
    };
    let rows = cast.broken.into_iter().filter_map(|broken| Some(within(Broken { row: row_of(broken.row)?, ..broken }, item)));
    let mut broken: Vec<Broken> = rows.collect();
    broken.dedup_by_key(|broken| broken.row);
    let array = ListArray::try_new(item.clone(), offsets.clone(), cast.array, lists.nulls().cloned());
    Ok(Cast { array: Arc::new(array.map_err(unfit)?), broken })
}

fn within(mut broken: Broken, field: &Field) -> Broken {
    broken.expected = format!("{} in `{}`", broken.expected, field.name());
    broken
}

fn unfit(error: arrow_schema::ArrowError) -> Error {
    Error::internal("cannot rebuild a nested column").caused_by(error)
}

/// The type with every field and item inside it nullable, so that broken values can stand as null until their rows are removed.
pub(crate) fn relaxed(data_type: &DataType) -> DataType {
    let nullable = |field: &Arc<Field>| Arc::new(Field::new(field.name(), relaxed(field.data_type()), true));
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nullable).collect()),
        DataType::List(item) => DataType::List(nullable(item)),
        other => other.clone(),
    }
}

/// Gives a relaxed column its declared type again, once no null stands where none may.
pub(crate) fn settled(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    match to {
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let first = lists.value_offsets().first().copied().unwrap_or(0);
            let last = lists.value_offsets().last().copied().unwrap_or(0);
            let (start, end) = (usize::try_from(first).unwrap_or(0), usize::try_from(last).unwrap_or(0));
            let offsets = arrow_buffer::OffsetBuffer::new(lists.offsets().iter().map(|offset| offset - first).collect());
            let item = lists.values().slice(start, end.saturating_sub(start));
            let DataType::List(relaxed_item) = lists.data_type() else { return Err(impossible(array.data_type(), to)) };
            let tight = ListArray::try_new(relaxed_item.clone(), offsets, item, lists.nulls().cloned()).map_err(unfit)?;
            Ok(cast_exactly(&(Arc::new(tight) as ArrayRef), to)?.array)
        }
        _ => Ok(cast_exactly(array, to)?.array),
    }
}
