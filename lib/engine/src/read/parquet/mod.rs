//! Raw Parquet: the file's own types must be the declared ones or narrower; places are row numbers.
//!
//! The whole file is held in memory, because its footer stands at the end and stores read from the start.

mod footer;
mod types;

use std::io::Read;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::cast::{CastOptions, cast_with_options};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType as Arrow, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use windrow_core::contract::{DataType, Property};
use windrow_core::{Code, Contract, Result, Violation, ViolationReport};

use super::column::nulls;
use super::excerpt::{self, MASK};
use super::outcome::{Fault, FileOutcome, Outlet, Plan, rejected_rows};
use super::source::{Stored, store_error};
use crate::chunk::Origin;
use crate::schema::arrow_type;
use types::relaxed;

/// How many rows a chunk has.
const BATCH_ROWS: usize = 1 << 16;

type Builder = ParquetRecordBatchReaderBuilder<Bytes>;

/// Checks footer and schema.
pub(crate) fn check_footer(contract: &Contract, file: &Arc<str>, stored: Stored) -> Result<ViolationReport> {
    let mut report = ViolationReport::default();
    if let Err(violations) = open(contract, file, load(stored)?) {
        violations.into_iter().for_each(|violation| report.push(violation));
    }
    Ok(report)
}

/// Reads a whole file.
///
/// # Errors
/// Failures of the store and of the sink.
pub(crate) fn read_file(plan: &Plan<'_>, file: &Arc<str>, stored: Stored, outlet: &mut Outlet<'_>) -> Result<FileOutcome> {
    let mut outcome = FileOutcome::default();
    let bytes = load(stored)?;
    outcome.bytes = bytes.len() as u64;
    let (builder, columns) = match open(plan.contract, file, bytes) {
        Ok(opened) => opened,
        Err(violations) => {
            violations.into_iter().for_each(|violation| outcome.report.push(violation));
            return Ok(outcome);
        }
    };
    let mut batches = match builder.with_batch_size(BATCH_ROWS).build() {
        Ok(batches) => batches,
        Err(error) => {
            outcome.report.push(damaged(file, 0, &error.to_string()));
            return Ok(outcome);
        }
    };
    let mut first = 1;
    loop {
        match batches.next() {
            None => break,
            Some(Ok(batch)) => {
                read_batch(plan, file, &batch, &columns, first, &mut outcome)?;
                outlet.send(&mut outcome)?;
                first += batch.num_rows() as u64;
            }
            Some(Err(error)) => {
                outcome.report.push(damaged(file, first, &error.to_string()));
                break;
            }
        }
    }
    Ok(outcome)
}

fn load(mut stored: Stored) -> Result<Bytes> {
    if let Some(bytes) = stored.as_whole() {
        return Ok(bytes);
    }
    let mut bytes = Vec::new();
    match stored.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes.into()),
        Err(error) => Err(stored.take_failure().unwrap_or_else(|| store_error(error))),
    }
}

/// Opens a file and maps its columns; `None` is null in every row.
fn open(contract: &Contract, file: &Arc<str>, bytes: Bytes) -> Result<(Builder, Vec<Option<usize>>), Vec<Violation>> {
    // Without the embedded Arrow schema a column has the one type that Parquet itself declares.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = Builder::try_new_with_options(bytes, options).map_err(|error| vec![damaged(file, 0, &error.to_string())])?;
    let columns = footer::map_columns(contract, file, builder.schema())?;
    Ok((builder, columns))
}

fn damaged(file: &Arc<str>, row: u64, reason: &str) -> Violation {
    let mut violation = Violation::of_file(Code::BadParquet, file.clone(), format!("expected an intact Parquet file: {reason}"));
    violation.line = row;
    violation
}

fn read_batch(
    plan: &Plan<'_>,
    file: &Arc<str>,
    batch: &RecordBatch,
    columns: &[Option<usize>],
    first: u64,
    outcome: &mut FileOutcome,
) -> Result<()> {
    let rows = batch.num_rows();
    let mut faults = Vec::new();
    let mut arrays = Vec::with_capacity(columns.len());
    for (index, (property, column)) in plan.contract.properties.iter().zip(columns).enumerate() {
        let Some(column) = column.and_then(|column| batch.columns().get(column)) else {
            arrays.push(nulls(property, rows));
            continue;
        };
        match widened(column, &arrow_type(&property.data_type)) {
            Ok(array) => {
                let codes = refused(&array, property);
                faults.extend(codes.into_iter().map(|(row, code)| Fault::of_type(row, index, code)));
                arrays.push(array);
            }
            Err(error) => {
                outcome.report.push(damaged(file, first, &error.to_string()));
                return Ok(());
            }
        }
    }
    plan.judge(&arrays, &mut faults);
    faults.dedup_by_key(|fault| (fault.row, fault.property, fault.code));
    outcome.rows += rows as u64;
    outcome.report.count_rejected_rows(rejected_rows(&faults));
    for fault in &faults {
        if let (Some(property), Some(array)) = (plan.contract.properties.get(fault.property), arrays.get(fault.property)) {
            outcome.push(file, fault.code, Some(property), || violation(plan.contract, file, fault, property, array, first));
        }
    }
    outcome.chunks.extend(plan.chunk(arrays, &faults, Origin::new(file.clone(), first), rows)?);
    Ok(())
}

/// The values in the declared type. A zone's name is dropped: an instant is the same in every zone.
fn widened(array: &ArrayRef, to: &Arrow) -> Result<ArrayRef, arrow_schema::ArrowError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let (Arrow::Timestamp(_, from_zone), Arrow::Timestamp(unit, zone)) = (array.data_type(), to) else {
        return cast_with_options(array, &relaxed(to), &strict);
    };
    let array = cast_with_options(array, &Arrow::Timestamp(*unit, from_zone.clone()), &strict)?;
    Ok(match unit {
        TimeUnit::Millisecond => {
            Arc::new(array.as_primitive::<TimestampMillisecondType>().clone().with_timezone_opt(zone.clone()))
        }
        TimeUnit::Microsecond => {
            Arc::new(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(zone.clone()))
        }
        TimeUnit::Nanosecond => Arc::new(array.as_primitive::<TimestampNanosecondType>().clone().with_timezone_opt(zone.clone())),
        TimeUnit::Second => array,
    })
}

/// The rows whose value is none: nulls where none are allowed, numbers that are not finite, texts with NUL.
fn refused(array: &ArrayRef, property: &Property) -> Vec<(usize, Code)> {
    let mut refused = Vec::new();
    if property.required && array.null_count() > 0 {
        refused.extend((0..array.len()).filter(|row| array.is_null(*row)).map(|row| (row, Code::NullInRequired)));
    }
    let is_wrong: Box<dyn Fn(usize) -> Option<Code> + '_> = match array.data_type() {
        Arrow::Float32 => {
            Box::new(|row| (!array.as_primitive::<Float32Type>().value(row).is_finite()).then_some(Code::NotFinite))
        }
        Arrow::Float64 => {
            Box::new(|row| (!array.as_primitive::<Float64Type>().value(row).is_finite()).then_some(Code::NotFinite))
        }
        Arrow::Utf8 => Box::new(|row| array.as_string::<i32>().value(row).contains('\0').then_some(Code::NulByte)),
        Arrow::Struct(_) | Arrow::List(_) => return [refused, refused_inside(array, property)].concat(),
        _ => return refused,
    };
    refused.extend((0..array.len()).filter(|row| !array.is_null(*row)).filter_map(|row| is_wrong(row).map(|code| (row, code))));
    refused
}

/// The rows of a nested column that hold a refused value somewhere below, only where the parents are not null.
fn refused_inside(array: &ArrayRef, property: &Property) -> Vec<(usize, Code)> {
    let mut found = match (&property.data_type, array.data_type()) {
        (DataType::Struct(properties), Arrow::Struct(_)) => {
            let children = array.as_struct().columns().iter().zip(properties);
            children.flat_map(|(child, property)| refused(child, property)).filter(|(row, _)| !array.is_null(*row)).collect()
        }
        (DataType::List(item), Arrow::List(_)) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            let row_of = |place: usize| {
                offsets.partition_point(|offset| usize::try_from(*offset).is_ok_and(|offset| offset <= place)).saturating_sub(1)
            };
            refused(list.values(), item)
                .into_iter()
                .map(|(place, code)| (row_of(place), code))
                .filter(|(row, _)| *row < array.len() && !array.is_null(*row))
                .collect()
        }
        _ => Vec::new(),
    };
    found.sort_unstable();
    found.dedup();
    found
}

fn violation(
    contract: &Contract,
    file: &Arc<str>,
    fault: &Fault,
    property: &Property,
    array: &ArrayRef,
    first: u64,
) -> Violation {
    let demanded = if fault.is_rule { &property.rules_place } else { &property.type_place };
    let mut violation = Violation::of_file(fault.code, file.clone(), fault.expected(property));
    violation.line = first + fault.row as u64;
    violation.column = Some(property.name.clone());
    violation.contract = Some(contract.quote(demanded));
    if !array.is_null(fault.row) {
        let shown = || array_value_to_string(array, fault.row).ok().map(|text| excerpt::value(text.as_bytes()));
        let is_public = property.may_be_shown() && !property.data_type.is_nested();
        violation.value = if is_public { shown() } else { Some(MASK.to_owned()) };
    }
    violation
}
