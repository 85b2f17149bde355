//! One block of CSV rows: widths and encoding first, then column by column.

use std::sync::Arc;

use windrow_core::contract::Property;
use windrow_core::{Code, Result, Violation};

use super::evidence::RowView;
use super::header::Layout;
use super::{Columns, reader_place};
use crate::read::column::{TextColumn, nulls};
use crate::read::index::Row;
use crate::read::outcome::{Fault, FileOutcome, Plan, rejected_rows};
use crate::read::scan::Block;
use crate::read::text::{Lines, decode};

/// What is wrong with a row before any of its fields is looked at.
struct RowFault {
    row: usize,
    code: Code,
    field: usize,
    expected: String,
}

/// The rows of a block that have the right form.
#[derive(Default)]
struct Formed {
    rows: Vec<Row>,
    /// The number of each in the block's index.
    numbers: Vec<usize>,
    faults: Vec<RowFault>,
}

/// Reads the rows from `first` on; the block's first row stands on `line`.
#[expect(clippy::too_many_arguments, reason = "one call site; a struct would only rename the local variables there")]
pub(super) fn read(
    plan: &Plan<'_>,
    file: &Arc<str>,
    columns: &mut Columns,
    layout: &Layout,
    block: &Block<'_>,
    first: usize,
    line: u64,
    outcome: &mut FileOutcome,
) -> Result<()> {
    let complete = block.bytes.get(..block.index.pending.start as usize).unwrap_or_default();
    let (text, damaged) = decode(complete);
    let formed = form(plan, layout, block, first, &damaged);
    let lines = Lines::new(block, line);
    let mut faults = Vec::new();
    let mut arrays = Vec::with_capacity(plan.contract.properties.len());
    for (index, (property, leaf)) in plan.contract.properties.iter().zip(&mut columns.leaves).enumerate() {
        let Some(Some(column)) = layout.columns.get(index).copied() else {
            arrays.push(nulls(property, formed.rows.len()));
            continue;
        };
        let fields = TextColumn { text: &text, marks: &block.index.marks, rows: &formed.rows, column, tokens: &columns.tokens };
        let mut refused = Vec::new();
        leaf.push_column(&fields, property.required, &mut refused);
        faults.extend(refused.into_iter().map(|(row, code)| Fault::of_type(row, index, code)));
        arrays.push(leaf.finish());
    }
    plan.judge(&arrays, &mut faults);
    let rejected = formed.faults.len() as u64 + rejected_rows(&faults);
    outcome.rows += (formed.rows.len() + formed.faults.len()) as u64;
    outcome.report.count_rejected_rows(rejected);
    let origin = lines.origin(file, &formed.numbers);
    outcome.chunks.extend(plan.chunk(arrays, &faults, origin, formed.rows.len())?);
    report(plan, file, layout, block, &lines, &formed, &faults, outcome);
    Ok(())
}

/// Sorts the rows into those of the right form and those that are refused as a whole.
fn form(plan: &Plan<'_>, layout: &Layout, block: &Block<'_>, first: usize, damaged: &[(usize, Code)]) -> Formed {
    let index = block.index;
    let mut formed = Formed { rows: Vec::with_capacity(index.rows.len()), ..Formed::default() };
    let mut damaged = damaged.iter().peekable();
    for (number, row) in index.rows.iter().enumerate().skip(first) {
        let end = index.rows.get(number + 1).map_or(index.pending, |next| *next);
        while damaged.next_if(|(place, _)| *place < row.start as usize).is_some() {}
        let damage = damaged.next_if(|(place, _)| *place < end.start as usize);
        let width = (end.first - row.first) as usize;
        if let Some((place, code)) = damage {
            let field = index.fields(number).partition_point(|end| (*end as usize) < *place);
            let expected = if *code == Code::NulByte { "expected text without NUL" } else { "expected UTF-8 text" };
            formed.faults.push(RowFault { row: number, code: *code, field, expected: expected.to_owned() });
        } else if width == 1 && index.marks.get(row.first as usize) == Some(&row.start) {
            if !plan.reader.skip_blank_lines {
                formed.faults.push(RowFault {
                    row: number,
                    code: Code::BlankLine,
                    field: 0,
                    expected: "expected a row".to_owned(),
                });
            }
        } else if width == layout.width {
            formed.rows.push(*row);
            formed.numbers.push(number);
        } else {
            formed.faults.push(wrong_width(number, width, layout.width));
        }
    }
    formed
}

fn wrong_width(row: usize, width: usize, expected: usize) -> RowFault {
    let fields = if expected == 1 { "field" } else { "fields" };
    let text = format!("expected {expected} {fields}, found {width}");
    if width < expected {
        RowFault { row, code: Code::ShortRow, field: width.saturating_sub(1), expected: text }
    } else {
        RowFault { row, code: Code::LongRow, field: expected, expected: text }
    }
}

/// Reports the faults of rows and of values together, in the order of rows.
#[expect(clippy::too_many_arguments, reason = "one call site; a struct would only rename the local variables there")]
fn report(
    plan: &Plan<'_>,
    file: &Arc<str>,
    layout: &Layout,
    block: &Block<'_>,
    lines: &Lines<'_>,
    formed: &Formed,
    faults: &[Fault],
    outcome: &mut FileOutcome,
) {
    let contract = plan.contract;
    let view = |row: usize| RowView::of(block, row, lines.of(row), contract, file, Some(layout));
    let mut rows = formed.faults.iter().peekable();
    let push_row = |fault: &RowFault, outcome: &mut FileOutcome| {
        outcome.push(file, fault.code, None, || row_violation(plan, &view(fault.row), fault));
    };
    for fault in faults {
        let number = formed.numbers.get(fault.row).copied().unwrap_or_default();
        while let Some(row) = rows.next_if(|row| row.row < number) {
            push_row(row, outcome);
        }
        if let Some(property) = contract.properties.get(fault.property) {
            let field = layout.columns.get(fault.property).copied().flatten();
            outcome.push(file, fault.code, Some(property), || value_violation(&view(number), fault, property, field));
        }
    }
    rows.for_each(|row| push_row(row, outcome));
}

fn row_violation(plan: &Plan<'_>, view: &RowView<'_>, fault: &RowFault) -> Violation {
    let demanded = reader_place(plan.contract);
    match fault.code {
        Code::ShortRow | Code::BlankLine => view.row_violation(fault.code, fault.expected.clone(), &demanded),
        _ => view.violation(fault.code, fault.field, None, fault.expected.clone(), &demanded),
    }
}

fn value_violation(view: &RowView<'_>, fault: &Fault, property: &Property, field: Option<usize>) -> Violation {
    let demanded = if fault.is_rule { &property.rules_place } else { &property.type_place };
    view.violation(fault.code, field.unwrap_or_default(), Some(property), fault.expected(property), demanded)
}
