//! CSV by RFC 4180 and the declared dialect.
//!
//! ```text
//! Scanner ─▶ block + index ─▶ [this module] rows of the right width ─▶ typed columns ─▶ rules ─▶ chunk + violations
//! ```
//!
//! Invariants: a row of the wrong width is one violation and never padded; rows in = rows in chunks + rejected rows,
//! unless damage stopped the file, and then the report says so.

mod block;
mod evidence;
pub(crate) mod header;

use std::sync::Arc;

use windrow_core::{Code, Contract, Place, Result, Violation, ViolationReport};

use super::column::{Leaf, compact_leaf};
use super::excerpt;
use super::flow::Rows;
use super::index::Structure;
use super::outcome::{FileOutcome, Plan};
use super::scan::{Block, Room, Scanner, Stop};
use super::tokens::{Tokens, unquote};
use evidence::RowView;
use header::{HeaderFault, Layout};

/// The structure of the declared dialect.
pub(crate) fn structure(contract: &Contract) -> Structure {
    let reader = contract.reader.as_ref();
    Structure { delimiter: reader.map_or(b',', |reader| reader.delimiter), quote: reader.and_then(|reader| reader.quote) }
}

/// Checks that the file has a header as declared; without a declared header, that it has any byte.
pub(crate) fn check_header(
    contract: &Contract,
    file: &Arc<str>,
    scanner: &mut Scanner,
    room: &mut Room,
) -> Result<ViolationReport> {
    let mut report = ViolationReport::default();
    let has_header = contract.reader.as_ref().is_some_and(|reader| reader.header);
    match scanner.next(room)? {
        None => report.push(Violation::of_file(Code::EmptyFile, file.clone(), "expected a header")),
        Some(block) if block.index.rows.is_empty() => {
            if let Some(stop) = &block.stop {
                report.push(stopped(contract, file, &Layout::positional(contract), &block, 1, stop));
            }
        }
        Some(block) if has_header => {
            if let Err(violations) = read_layout(contract, file, &block) {
                violations.into_iter().for_each(|violation| report.push(violation));
            }
        }
        Some(_) => {}
    }
    Ok(report)
}

/// Reads one block.
///
/// # Errors
/// `Internal` for columns that do not fit the contract.
pub(crate) fn read_block(
    plan: &Plan<'_>,
    file: &Arc<str>,
    columns: &mut Columns,
    rows: &Rows<'_>,
    outcome: &mut FileOutcome,
) -> Result<()> {
    let (layout, block) = (&rows.layout, &rows.block);
    block::read(plan, file, columns, layout, block, rows.first, rows.line, outcome)?;
    if let Some(stop) = &block.stop {
        outcome.report.push(stopped(plan.contract, file, layout, block, rows.end_line(), stop));
    }
    Ok(())
}

/// The typed columns of a window, and what is a null.
pub(crate) struct Columns {
    leaves: Vec<Box<dyn Leaf>>,
    tokens: Tokens,
}

impl Columns {
    pub(crate) fn new(plan: &Plan<'_>) -> Result<Self> {
        let leaves = plan.contract.properties.iter().map(compact_leaf).collect::<Result<_>>()?;
        Ok(Columns { leaves, tokens: Tokens::new(plan.reader) })
    }
}

/// Understands the first row as a header.
pub(crate) fn read_layout(contract: &Contract, file: &Arc<str>, block: &Block<'_>) -> Result<Layout, Vec<Violation>> {
    let row = RowView::of(block, 0, 1, contract, file, None);
    let quote = contract.reader.as_ref().and_then(|reader| reader.quote);
    let mut names = Vec::new();
    for field in 0..row.width() {
        let raw = row.raw(field);
        let Ok(text) = std::str::from_utf8(raw) else {
            let demanded = reader_place(contract);
            return Err(vec![row.violation(Code::InvalidUtf8, field, None, "expected UTF-8 text".to_owned(), &demanded)]);
        };
        if text.contains('\0') {
            let demanded = reader_place(contract);
            return Err(vec![row.violation(Code::NulByte, field, None, "expected text without NUL".to_owned(), &demanded)]);
        }
        names.push(match quote {
            Some(quote) if raw.first() == Some(&quote) => unquote(text, quote).into_owned(),
            _ => text.to_owned(),
        });
    }
    header::layout(contract, &names)
        .map_err(|faults| faults.iter().map(|fault| header_violation(contract, file, block, fault)).collect())
}

fn header_violation(contract: &Contract, file: &Arc<str>, block: &Block<'_>, fault: &HeaderFault) -> Violation {
    let property = fault.property.and_then(|property| contract.properties.get(property));
    let demanded = property.map_or_else(|| reader_place(contract), |property| property.place.clone());
    // What stands in place of a missing header is data, and masked like data.
    let positional = Layout::positional(contract);
    let layout = (fault.code == Code::MissingHeader).then_some(&positional);
    let row = RowView::of(block, 0, 1, contract, file, layout);
    let mut violation = match fault.place {
        Some(field) => row.violation(fault.code, field, property, fault.expected.clone(), &demanded),
        None => row.row_violation(fault.code, fault.expected.clone(), &demanded),
    };
    if fault.code == Code::ExtraColumn {
        violation.column = violation.value.as_deref().map(Into::into);
    } else {
        violation.column = property.map(|property| property.name.clone());
    }
    violation
}

/// The violation by which a file could not be read further.
fn stopped(contract: &Contract, file: &Arc<str>, layout: &Layout, block: &Block<'_>, line: u64, stop: &Stop) -> Violation {
    let demanded = reader_place(contract);
    let Some(place) = stop.place else {
        let mut violation = Violation::of_file(stop.code, file.clone(), stop.expected.clone());
        violation.byte_offset = Some(block.offset + block.bytes.len() as u64);
        return violation;
    };
    let row = RowView::pending(block, line, contract, file, Some(layout));
    let mut violation = row.violation(stop.code, row.field_at(place), None, stop.expected.clone(), &demanded);
    if !contract.properties.iter().all(windrow_core::contract::Property::may_be_shown) {
        // Where a row is damaged, it is not sure which text belongs to which column.
        (violation.excerpt, violation.value) = (None, Some(excerpt::MASK.to_owned()));
    }
    violation
}

/// The line of the contract that demands a row's form.
pub(crate) fn reader_place(contract: &Contract) -> Place {
    contract.reader.as_ref().map_or_else(|| Place::file(contract.file.clone()), |reader| reader.place.clone())
}
