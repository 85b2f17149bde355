//! Runs of neighbours with the same key become one row each.

use polars::prelude::{
    ChunkedArray, Column, DataFrame, DataType, IDX_DTYPE, IdxSize, Int128Type, IntoColumn, IntoSeries, NamedFrom,
    NewChunkedArray, PlSmallStr, PolarsError, PolarsNumericType, PolarsResult, Series,
};

/// The digits of a sum of decimals.
const SUM_DIGITS: usize = 38;

/// What is made of the rows of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// The sum of what is not null, 0 when all is.
    Sum,
    /// The least of what is not null.
    Least,
    /// The greatest of what is not null.
    Greatest,
    /// How many are not null.
    Values,
    /// How many rows there are.
    Rows,
}

/// One column of the result, and the number of the column it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) fold: Fold,
    pub(super) input: Option<usize>,
}

impl Fold {
    /// Whether a column of this type can be folded. Integers are summed in 128 bits, by their guard.
    pub(super) fn takes(self, data_type: &DataType) -> bool {
        use DataType as D;
        match self {
            Fold::Sum => matches!(data_type, D::Int128 | D::Decimal(..)),
            Fold::Least | Fold::Greatest => {
                let is_integer = data_type.is_integer() && !matches!(data_type, D::UInt128);
                is_integer || matches!(data_type, D::Date | D::Datetime(..) | D::Decimal(..))
            }
            Fold::Values | Fold::Rows => true,
        }
    }

    /// The type of the result.
    pub(super) fn result(self, data_type: &DataType) -> DataType {
        match (self, data_type) {
            (Fold::Sum, DataType::Decimal(_, scale)) => DataType::Decimal(SUM_DIGITS, *scale),
            (Fold::Values | Fold::Rows, _) => IDX_DTYPE,
            _ => data_type.clone(),
        }
    }
}

/// The name of what is computed of each row.
pub(super) fn input_name(index: usize) -> PlSmallStr {
    format!("__windrow_row_{index}").into()
}

/// The name of what is computed of each run.
pub(super) fn part_name(index: usize) -> PlSmallStr {
    format!("__windrow_run_{index}").into()
}

/// A batch of rows, the key in its first column, as a batch of runs.
///
/// # Errors
/// When a column is not there or of a type that is not folded.
pub(super) fn collapse(frame: &DataFrame, key: &str, parts: &[Part]) -> PolarsResult<DataFrame> {
    let ends = run_ends(frame.column(key)?.as_materialized_series())?;
    let mut columns: Vec<Column> = vec![key_of_each(frame.column(key)?, &ends)?];
    for (index, part) in parts.iter().enumerate() {
        let name = part_name(index);
        columns.push(match part.input {
            None => row_counts(name, &ends),
            Some(input) => folded(frame.column(&input_name(input))?.as_materialized_series(), part.fold, &ends)?.with_name(name),
        });
    }
    DataFrame::new(ends.len(), columns)
}

/// The end of each run, that is the beginning of the next.
fn run_ends(key: &Series) -> PolarsResult<Vec<IdxSize>> {
    let physical = key.to_physical_repr().rechunk();
    Ok(match physical.dtype() {
        DataType::Int8 => ends_of(physical.i8()?),
        DataType::Int16 => ends_of(physical.i16()?),
        DataType::Int32 => ends_of(physical.i32()?),
        DataType::Int64 => ends_of(physical.i64()?),
        other => return Err(not_folded(other)),
    })
}

fn ends_of<T: PolarsNumericType>(key: &ChunkedArray<T>) -> Vec<IdxSize> {
    let mut ends = Vec::with_capacity(key.len());
    for chunk in key.downcast_iter() {
        let values = chunk.values().as_slice();
        let after = values.get(1..).unwrap_or_default();
        ends.extend((1..).zip(values.iter().zip(after)).filter(|(_, (one, next))| one != next).map(|(end, _)| end));
        ends.extend((!values.is_empty()).then_some(values.len() as IdxSize));
    }
    ends
}

fn key_of_each(key: &Column, ends: &[IdxSize]) -> PolarsResult<Column> {
    let last: Vec<IdxSize> = ends.iter().map(|end| end - 1).collect();
    let series = Series::new(PlSmallStr::EMPTY, last);
    key.take(series.idx()?)
}

fn row_counts(name: PlSmallStr, ends: &[IdxSize]) -> Column {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let counts: Vec<IdxSize> = ends.iter().zip(starts).map(|(end, start)| end - start).collect();
    Series::new(name, counts).into_column()
}

fn folded(column: &Series, fold: Fold, ends: &[IdxSize]) -> PolarsResult<Column> {
    let physical = column.to_physical_repr().rechunk();
    let folded = match (fold, physical.dtype()) {
        (Fold::Values, _) => return Ok(value_counts(column, ends)),
        (Fold::Sum, DataType::Int128) => sums(physical.i128()?, ends).into_series(),
        (_, DataType::Int8) => extremes(physical.i8()?, fold, ends),
        (_, DataType::Int16) => extremes(physical.i16()?, fold, ends),
        (_, DataType::Int32) => extremes(physical.i32()?, fold, ends),
        (_, DataType::Int64) => extremes(physical.i64()?, fold, ends),
        (_, DataType::Int128) => extremes(physical.i128()?, fold, ends),
        (_, DataType::UInt8) => extremes(physical.u8()?, fold, ends),
        (_, DataType::UInt16) => extremes(physical.u16()?, fold, ends),
        (_, DataType::UInt32) => extremes(physical.u32()?, fold, ends),
        (_, DataType::UInt64) => extremes(physical.u64()?, fold, ends),
        (_, other) => return Err(not_folded(other)),
    };
    logical(&folded, fold.result(column.dtype()))
}

/// Numbers as what they stand for.
fn logical(numbers: &Series, data_type: DataType) -> PolarsResult<Column> {
    let series = match data_type {
        DataType::Decimal(precision, scale) => numbers.i128()?.clone().into_decimal_unchecked(precision, scale).into_series(),
        _ => numbers.cast(&data_type)?,
    };
    Ok(series.into_column())
}

fn sums(column: &ChunkedArray<Int128Type>, ends: &[IdxSize]) -> ChunkedArray<Int128Type> {
    let add = |sum: i128, number: &i128| sum.wrapping_add(*number);
    if let Ok(numbers) = column.cont_slice() {
        return ChunkedArray::from_vec(PlSmallStr::EMPTY, runs(numbers, ends).map(|run| run.iter().fold(0, add)).collect());
    }
    let numbers: Vec<i128> = column.iter().map(Option::unwrap_or_default).collect();
    ChunkedArray::from_vec(PlSmallStr::EMPTY, runs(&numbers, ends).map(|run| run.iter().fold(0, add)).collect())
}

fn extremes<T: PolarsNumericType<Native: Ord>>(column: &ChunkedArray<T>, fold: Fold, ends: &[IdxSize]) -> Series
where
    ChunkedArray<T>: IntoSeries,
{
    let choose = if fold == Fold::Least { Ord::min } else { Ord::max };
    let extreme = |run: &[T::Native]| run.iter().copied().reduce(choose);
    let extremes: ChunkedArray<T> = if let Ok(numbers) = column.cont_slice() {
        ChunkedArray::from_vec(PlSmallStr::EMPTY, runs(numbers, ends).filter_map(extreme).collect())
    } else {
        let values: Vec<Option<T::Native>> = column.iter().collect();
        let extreme = |run: &[Option<T::Native>]| run.iter().copied().flatten().reduce(choose);
        ChunkedArray::from_iter_options(PlSmallStr::EMPTY, runs(&values, ends).map(extreme))
    };
    extremes.into_series()
}

fn value_counts(column: &Series, ends: &[IdxSize]) -> Column {
    if column.null_count() == 0 {
        return row_counts(PlSmallStr::EMPTY, ends);
    }
    let are_valid: Vec<IdxSize> = column.is_not_null().iter().map(|is_valid| IdxSize::from(is_valid == Some(true))).collect();
    let counts: Vec<IdxSize> = runs(&are_valid, ends).map(|run| run.iter().sum()).collect();
    Series::new(PlSmallStr::EMPTY, counts).into_column()
}

/// The values of each run. No run is empty.
fn runs<'a, T>(values: &'a [T], ends: &'a [IdxSize]) -> impl Iterator<Item = &'a [T]> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| values.get(start as usize..*end as usize).unwrap_or_default())
}

fn not_folded(data_type: &DataType) -> PolarsError {
    PolarsError::AssertionError(format!("runs of {data_type} are not folded").into())
}
