//! Columns become exactly what the contract declares, and rows that cannot are taken out and reported.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::filter::filter;
use rayon::prelude::*;
use windrow_core::contract::Property;
use windrow_core::{Code, Contract, Error, PartitionWindow, Place, Result, Violation, ViolationReport};

use super::cast::{Cast, cast_exactly, relaxed, settled};
use super::rows::schema_of;
use super::window::Inside;
use crate::chunk::{Chunk, Origin};
use crate::form::{is_form_of, plain};
use crate::rules::{Broken, Rules};
use crate::schema::{arrow_type, file_schema};
use crate::text::shown_value;

/// Rows that obey the contract one by one, and what was found in those that do not.
#[derive(Debug)]
pub struct Conformed {
    /// The rows that stay, in the order they came in, with exactly the file schema; chunks left without rows are dropped.
    pub chunks: Vec<Chunk>,
    /// The offences in chunk, row and column order, and how many rows were taken out.
    pub report: ViolationReport,
}

/// Casts losslessly to exactly the declared types, checks the rules of single values, null keys and the window, and drops the
/// partition column.
///
/// Columns are found by name, in any order; the partition column may be absent. One row with three offences is one rejected row.
///
/// # Errors
/// `Misconfigured` when a column is missing, undeclared or of a type that is never taken for the declared one.
pub fn conform(contract: &Contract, window: &PartitionWindow, chunks: Vec<Chunk>) -> Result<Conformed> {
    let plan = Plan::new(contract, window)?;
    let done = chunks.into_par_iter().map(|chunk| plan.conform(chunk)).collect::<Result<Vec<_>>>()?;
    let mut conformed = Conformed { chunks: Vec::new(), report: ViolationReport::default() };
    for (chunk, report) in done {
        conformed.report.merge(report);
        conformed.chunks.extend(Some(chunk).filter(|chunk| chunk.batch.num_rows() > 0));
    }
    Ok(conformed)
}

pub(super) struct Plan<'a> {
    contract: &'a Contract,
    columns: Vec<Column<'a>>,
    schema: SchemaRef,
}

struct Column<'a> {
    property: &'a Property,
    data_type: DataType,
    rules: Rules,
    inside: Option<Inside>,
    quotes: Quotes,
}

/// The lines of the contract a column's violations point to.
struct Quotes {
    property: (Place, String),
    data_type: (Place, String),
    rules: (Place, String),
    window: (Place, String),
}

impl<'a> Plan<'a> {
    pub(super) fn new(contract: &'a Contract, window: &PartitionWindow) -> Result<Self> {
        let window_column = contract.window.column.as_deref();
        if let Some(name) = window_column.filter(|name| contract.property(name).is_none()) {
            let message = format!("the window column `{name}` is not declared");
            return Err(Error::misconfigured(message).with("place", &contract.window.place));
        }
        let mut columns = Vec::with_capacity(contract.properties.len());
        for property in &contract.properties {
            let inside = match property {
                property if property.partitioned => Some(Inside::of_partition(contract, property, window)?),
                property if Some(&*property.name) == window_column => Some(Inside::of_column(contract, property, window)?),
                _ => None,
            };
            let quotes = Quotes {
                property: contract.quote(&property.place),
                data_type: contract.quote(&property.type_place),
                rules: contract.quote(&property.rules_place),
                window: contract.quote(&contract.window.place),
            };
            columns.push(Column {
                property,
                data_type: arrow_type(&property.data_type),
                rules: Rules::compile(property)?,
                inside,
                quotes,
            });
        }
        Ok(Plan { contract, columns, schema: Arc::new(file_schema(contract)) })
    }

    pub(super) fn conform(&self, chunk: Chunk) -> Result<(Chunk, ViolationReport)> {
        let Chunk { batch, origin } = chunk;
        self.refuse_undeclared(&batch)?;
        let mut kept = Vec::with_capacity(self.columns.len());
        let mut found: Vec<(usize, Violation)> = Vec::new();
        for column in &self.columns {
            let Some(source) = self.source(&batch, column)? else { continue };
            let (array, broken) = column.check(self.contract, source)?;
            found.extend(broken.into_iter().map(|broken| (broken.row, column.violation(broken, source, &origin))));
            if !column.property.partitioned {
                kept.push((column, array));
            }
        }
        found.sort_by_key(|(row, _)| *row);
        // A row of another window is so in its partition column and its window column alike: one cause, said once.
        found.dedup_by(|(row, next), (first_row, first)| {
            row == first_row && next.code == Code::OutsideWindow && first.code == Code::OutsideWindow
        });
        let (mask, rejected) = keep_mask(batch.num_rows(), &found);
        let mut report = ViolationReport::default();
        report.count_rejected_rows(rejected);
        found.into_iter().for_each(|(_, violation)| report.push(violation));
        let (rows, origin) = match &mask {
            None => (batch.num_rows(), origin),
            Some(mask) => (mask.true_count(), origin.select(mask.values().set_indices())),
        };
        let finished = kept.into_iter().map(|(column, array)| column.finish(array, mask.as_ref())).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema_of(&self.schema, &finished), finished, &options)
            .map_err(|error| Error::internal("conformed columns do not fit the contract").caused_by(error))?;
        Ok((Chunk { batch, origin }, report))
    }

    fn refuse_undeclared(&self, batch: &RecordBatch) -> Result<()> {
        let schema = batch.schema_ref();
        for (index, field) in schema.fields().iter().enumerate() {
            let twice = schema.fields().iter().skip(index + 1).any(|other| other.name() == field.name());
            if twice || self.contract.property(field.name()).is_none() {
                let what = if twice { "appears twice in the result" } else { "is not declared" };
                let message = format!("column `{}` {what}", field.name());
                return Err(Error::misconfigured(message).with("contract", &self.contract.file));
            }
        }
        Ok(())
    }

    fn source<'b>(&self, batch: &'b RecordBatch, column: &Column<'_>) -> Result<Option<&'b ArrayRef>> {
        let source = batch.column_by_name(&column.property.name);
        if source.is_none() && !column.property.partitioned {
            let message = format!("the declared column `{}` is missing", column.property.name);
            return Err(Error::misconfigured(message).with("place", &column.property.place));
        }
        Ok(source)
    }
}

impl Column<'_> {
    /// The column in its declared type (still relaxed where nested), and its broken values in row order, one a row.
    fn check(&self, contract: &Contract, source: &ArrayRef) -> Result<(ArrayRef, Vec<Broken>)> {
        let cast = self.cast(source).map_err(|error| {
            error.with("column", &self.property.name).with("place", &self.property.type_place).with("table", &contract.table)
        })?;
        let mut broken = cast.broken;
        if self.property.key_position.is_some() && cast.array.null_count() > 0 {
            let nulls = (0..source.len()).filter(|row| source.is_null(*row));
            let expected = "expected a value, not null, in the primary key";
            broken.extend(nulls.map(|row| Broken { row, code: Code::NullKey, expected: expected.to_owned() }));
        }
        broken.extend(self.rules.broken(&cast.array));
        if let Some(inside) = &self.inside {
            broken.extend(inside.outside(&cast.array));
        }
        // Stable: of several reasons for one value the first found stays, and a failed cast is the root cause.
        broken.sort_by_key(|broken| broken.row);
        broken.dedup_by_key(|broken| broken.row);
        Ok((cast.array, broken))
    }

    /// A compact form of the declared type stays as it is; decimals that were computed become compact.
    fn cast(&self, source: &ArrayRef) -> Result<Cast> {
        if self.inside.is_none() && is_form_of(source.data_type(), &self.data_type) && !self.data_type.is_nested() {
            return Ok(Cast { array: source.clone(), broken: Vec::new() });
        }
        cast_exactly(&plain(source)?, &relaxed(&self.data_type))
    }

    fn violation(&self, broken: Broken, source: &ArrayRef, origin: &Origin) -> Violation {
        let quote = match broken.code {
            Code::NullInRequired | Code::NullKey => &self.quotes.property,
            Code::OutsideWindow => &self.quotes.window,
            code if code >= Code::NotAllowed && code != Code::DerivedValue => &self.quotes.rules,
            _ => &self.quotes.data_type,
        };
        Violation {
            line: origin.line(broken.row),
            column: Some(self.property.name.clone()),
            value: shown_value(self.property, source, broken.row),
            contract: Some(quote.clone()),
            ..Violation::of_file(broken.code, origin.file().clone(), broken.expected)
        }
    }

    fn finish(&self, array: ArrayRef, mask: Option<&BooleanArray>) -> Result<ArrayRef> {
        let array = match mask {
            None => array,
            Some(mask) => filter(&array, mask).map_err(|error| Error::internal("cannot take rows out").caused_by(error))?,
        };
        if is_form_of(array.data_type(), &self.data_type) { Ok(array) } else { settled(&array, &self.data_type) }
    }
}

/// Which rows stay (`None`: all) and how many do not; `found` is in row order.
fn keep_mask(rows: usize, found: &[(usize, Violation)]) -> (Option<BooleanArray>, u64) {
    if found.is_empty() {
        return (None, 0);
    }
    let mut keep = vec![true; rows];
    let mut rejected = 0;
    for (row, _) in found {
        if let Some(slot) = keep.get_mut(*row) {
            rejected += u64::from(*slot);
            *slot = false;
        }
    }
    (Some(BooleanArray::from(keep)), rejected)
}
