//! What all formats share: the plan of a window's read, and the way from parsed columns with faults to a chunk.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::filter::FilterBuilder;
use windrow_core::contract::{Property, Reader};
use windrow_core::violation::MAX_LISTED;
use windrow_core::{Code, Contract, Error, Result, Violation, ViolationReport};

use super::{Position, Sink};
use crate::chunk::{Chunk, Origin};
use crate::form::is_form_of;
use crate::rules::Rules;
use crate::schema::full_schema;

/// What is decided once for all files of a window.
pub(crate) struct Plan<'a> {
    pub(crate) contract: &'a Contract,
    pub(crate) reader: &'a Reader,
    pub(crate) schema: SchemaRef,
    pub(crate) block_bytes: usize,
    rules: Vec<Rules>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(contract: &'a Contract, block_bytes: usize) -> Result<Self> {
        let reader = contract.reader.as_ref().ok_or_else(|| Error::misconfigured("the contract declares no reader"))?;
        let rules = contract.properties.iter().map(Rules::compile).collect::<Result<_>>()?;
        Ok(Plan { contract, reader, schema: Arc::new(full_schema(contract)), block_bytes, rules })
    }

    /// Adds what the contract's rules say about the columns; a value that is already refused is not judged again.
    pub(crate) fn judge(&self, arrays: &[ArrayRef], faults: &mut Vec<Fault>) {
        faults.sort_by_key(|fault| (fault.row, fault.property));
        let known = faults.len();
        for (property, (rules, array)) in self.rules.iter().zip(arrays).enumerate() {
            for broken in rules.broken(array) {
                let is_known = |fault: &Fault| (fault.row, fault.property).cmp(&(broken.row, property));
                if faults.get(..known).unwrap_or_default().binary_search_by(is_known).is_err() {
                    let expected = Some(broken.expected);
                    faults.push(Fault { row: broken.row, property, code: broken.code, expected, is_rule: true });
                }
            }
        }
        faults.sort_by_key(|fault| (fault.row, fault.property));
    }

    /// Keeps the rows without a fault; `None` when none is left.
    pub(crate) fn chunk(&self, arrays: Vec<ArrayRef>, faults: &[Fault], origin: Origin, rows: usize) -> Result<Option<Chunk>> {
        let batch = |arrays: Vec<ArrayRef>| {
            let fields = self.schema.fields().iter();
            let exact = arrays.into_iter().zip(fields).map(|(array, field)| exactly(array, field)).collect::<Result<Vec<_>>>()?;
            RecordBatch::try_new(self.schema_of(&exact), exact).map_err(defect)
        };
        if faults.is_empty() {
            return if rows == 0 { Ok(None) } else { Ok(Some(Chunk { batch: batch(arrays)?, origin })) };
        }
        let mut kept = vec![true; rows];
        for fault in faults {
            if let Some(kept) = kept.get_mut(fault.row) {
                *kept = false;
            }
        }
        if !kept.contains(&true) {
            return Ok(None);
        }
        let origin = origin.select(kept.iter().enumerate().filter(|(_, kept)| **kept).map(|(row, _)| row));
        let filter = FilterBuilder::new(&BooleanArray::from(kept)).optimize().build();
        let arrays = arrays.iter().map(|array| filter.filter(array).map_err(defect)).collect::<Result<_>>()?;
        Ok(Some(Chunk { batch: batch(arrays)?, origin }))
    }

    /// The declared schema with the forms these columns have.
    fn schema_of(&self, columns: &[ArrayRef]) -> SchemaRef {
        let fields = self.schema.fields().iter().zip(columns);
        if fields.clone().all(|(field, column)| field.data_type() == column.data_type()) {
            return self.schema.clone();
        }
        let in_form = fields.map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()));
        Arc::new(Schema::new(in_form.collect::<Vec<_>>()))
    }
}

/// Nested Parquet columns arrive with every child nullable; without the refused rows they fit the declared type.
fn exactly(array: ArrayRef, field: &Field) -> Result<ArrayRef> {
    if is_form_of(array.data_type(), field.data_type()) { Ok(array) } else { cast(&array, field.data_type()).map_err(defect) }
}

fn defect(error: arrow_schema::ArrowError) -> Error {
    Error::internal("columns do not fit the contract").caused_by(error)
}

/// One refused value: the row in the block's arrays, and the property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) row: usize,
    pub(crate) property: usize,
    pub(crate) code: Code,
    /// What was expected, when the type alone does not say it.
    pub(crate) expected: Option<String>,
    /// Tells whether a rule was broken and not the type.
    pub(crate) is_rule: bool,
}

impl Fault {
    pub(crate) fn of_type(row: usize, property: usize, code: Code) -> Self {
        Fault { row, property, code, expected: None, is_rule: false }
    }

    /// The words beside the caret.
    pub(crate) fn expected(&self, property: &Property) -> String {
        self.expected.clone().unwrap_or_else(|| expected(self.code, property))
    }
}

/// What the property's type expects.
pub(crate) fn expected(code: Code, property: &Property) -> String {
    match code {
        Code::NullInRequired => format!("expected a value: `{}` is required", property.name),
        Code::InvalidUtf8 => "expected UTF-8 text".to_owned(),
        Code::NulByte => "expected text without NUL".to_owned(),
        _ => format!("expected {}", property.data_type.describe()),
    }
}

/// How many rows of a block have a fault; faults are sorted by row.
pub(crate) fn rejected_rows(faults: &[Fault]) -> u64 {
    let mut rows: Vec<usize> = faults.iter().map(|fault| fault.row).collect();
    rows.dedup();
    rows.len() as u64
}

/// What one file gave, or one block of it.
#[derive(Debug, Default)]
pub(crate) struct FileOutcome {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) report: ViolationReport,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// How many violations are listed of what stands before.
    pub(crate) listed_before: usize,
}

impl FileOutcome {
    /// Adds a violation; beyond the bound it is only counted, so its evidence is not even made.
    pub(crate) fn push(&mut self, file: &Arc<str>, code: Code, column: Option<&Property>, evidence: impl FnOnce() -> Violation) {
        if self.listed_before + self.report.listed().len() < MAX_LISTED {
            self.report.push(evidence());
            return;
        }
        let mut counted = Violation::of_file(code, file.clone(), "");
        counted.column = column.map(|property| property.name.clone());
        self.report.push(counted);
    }
}

/// Gives the chunks of one file away.
pub(crate) struct Outlet<'a> {
    /// Where the next chunk stands.
    pub(crate) next: Position,
    pub(crate) sink: Sink<'a>,
}

impl Outlet<'_> {
    /// Gives away what the outcome holds.
    pub(crate) fn send(&mut self, outcome: &mut FileOutcome) -> Result<()> {
        for chunk in outcome.chunks.drain(..) {
            (self.sink)(self.next, chunk)?;
            self.next.block += 1;
        }
        Ok(())
    }
}
