//! One block of CSV rows: widths and encoding first, then column by column.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::ArrayRef;
use windrow_core::contract::Property;
use windrow_core::{Code, Result, Violation};

use super::evidence::RowView;
use super::header::Layout;
use super::{Columns, reader_place};
use crate::chunk::Origin;
use crate::read::column::{Leaf, nulls};
use crate::read::field::TextColumn;
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
struct Formed<'a> {
    rows: Cow<'a, [Row]>,
    /// The marks of these rows and no others, as many for each.
    marks: Cow<'a, [u32]>,
    /// The number of the first in the block's index.
    first: usize,
    /// The number of each in the block's index; `None` when they follow each other.
    numbers: Option<Vec<usize>>,
    faults: Vec<RowFault>,
}

impl Formed<'_> {
    fn number(&self, row: usize) -> usize {
        self.numbers.as_ref().map_or(self.first + row, |numbers| numbers.get(row).copied().unwrap_or_default())
    }

    fn origin(&self, file: &Arc<str>, lines: &Lines<'_>, block: &Block<'_>) -> Origin {
        match &self.numbers {
            Some(numbers) => lines.origin(file, numbers),
            None if block.index.inner_lines.is_empty() => Origin::new(file.clone(), lines.of(self.first)),
            None => lines.origin(file, &(self.first..self.first + self.rows.len()).collect::<Vec<_>>()),
        }
    }
}

/// About how many bytes of rows are parsed column by column before the next: they and their marks stay in the nearest cache.
const TILE_BYTES: usize = 32 << 10;

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
    let arrays = parse(plan, columns, layout, block, &text, &formed, &mut faults);
    plan.judge(&arrays, &mut faults);
    let rejected = formed.faults.len() as u64 + rejected_rows(&faults);
    outcome.rows += (formed.rows.len() + formed.faults.len()) as u64;
    outcome.report.count_rejected_rows(rejected);
    let origin = formed.origin(file, &lines, block);
    outcome.chunks.extend(plan.chunk(arrays, &faults, origin, formed.rows.len())?);
    report(plan, file, layout, block, &lines, &formed, &faults, outcome);
    Ok(())
}

/// Parses some rows of all columns, then the next rows.
fn parse(
    plan: &Plan<'_>,
    columns: &mut Columns,
    layout: &Layout,
    block: &Block<'_>,
    text: &str,
    formed: &Formed<'_>,
    faults: &mut Vec<Fault>,
) -> Vec<ArrayRef> {
    let (properties, rows) = (&plan.contract.properties, formed.rows.len());
    let mut placed: Vec<_> = columns.leaves.iter_mut().zip(layout.columns.iter().copied()).collect();
    placed.iter_mut().filter(|(_, column)| column.is_some()).for_each(|(leaf, _)| leaf.reserve(rows));
    let tile_rows = (rows * TILE_BYTES / text.len().max(1)).clamp(16, 4096);
    let tiles = formed.rows.chunks(tile_rows).zip(formed.marks.chunks(tile_rows * layout.width.max(1)));
    let (tokens, has_doubled, mut refused) = (&columns.tokens, block.index.has_doubled, Vec::new());
    for (rows, marks) in tiles {
        for (index, (property, (leaf, column))) in properties.iter().zip(&mut placed).enumerate() {
            let Some(column) = *column else { continue };
            let fields = TextColumn { text, marks, rows, width: layout.width, column, tokens, has_doubled };
            leaf.push_column(&fields, property.required, &mut refused);
            faults.extend(refused.drain(..).map(|(row, code)| Fault::of_type(row, index, code)));
        }
    }
    let array = |(property, (leaf, column)): (&Property, &mut (&mut Box<dyn Leaf>, Option<usize>))| match column {
        Some(_) => leaf.finish(),
        None => nulls(property, rows),
    };
    properties.iter().zip(&mut placed).map(array).collect()
}

/// Tells whether all rows from `first` on have this width, which is nearly always so.
fn is_uniform(block: &Block<'_>, width: usize, first: usize) -> bool {
    let rows = block.index.rows.get(first..).unwrap_or_default();
    let start = rows.first().map_or(0, |row| row.first as usize);
    let stands = |(number, row): (usize, &Row)| row.first as usize == start + number * width;
    // A blank line has one field, too.
    width > 1 && block.index.pending.first as usize == start + rows.len() * width && rows.iter().enumerate().all(stands)
}

/// Sorts the rows into those of the right form and those that are refused as a whole.
fn form<'a>(plan: &Plan<'_>, layout: &Layout, block: &Block<'a>, first: usize, damaged: &[(usize, Code)]) -> Formed<'a> {
    let index = block.index;
    if damaged.is_empty() && is_uniform(block, layout.width, first) {
        let rows = index.rows.get(first..).unwrap_or_default();
        let marks = rows.first().map_or(0, |row| row.first as usize)..index.pending.first as usize;
        let marks = index.marks.get(marks).unwrap_or_default();
        return Formed { rows: rows.into(), marks: marks.into(), first, ..Formed::default() };
    }
    let (mut rows, mut marks, mut numbers, mut faults) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut damaged = damaged.iter().peekable();
    for (number, row) in index.rows.iter().enumerate().skip(first) {
        let end = index.rows.get(number + 1).map_or(index.pending, |next| *next);
        while damaged.next_if(|(place, _)| *place < row.start as usize).is_some() {}
        let damage = damaged.next_if(|(place, _)| *place < end.start as usize);
        let width = (end.first - row.first) as usize;
        if let Some((place, code)) = damage {
            let field = index.fields(number).partition_point(|end| (*end as usize) < *place);
            let expected = if *code == Code::NulByte { "expected text without NUL" } else { "expected UTF-8 text" };
            faults.push(RowFault { row: number, code: *code, field, expected: expected.to_owned() });
        } else if width == 1 && index.marks.get(row.first as usize) == Some(&row.start) {
            if !plan.reader.skip_blank_lines {
                faults.push(RowFault { row: number, code: Code::BlankLine, field: 0, expected: "expected a row".to_owned() });
            }
        } else if width == layout.width {
            rows.push(*row);
            marks.extend_from_slice(index.fields(number));
            numbers.push(number);
        } else {
            faults.push(wrong_width(number, width, layout.width));
        }
    }
    Formed { rows: rows.into(), marks: marks.into(), first, numbers: Some(numbers), faults }
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
    formed: &Formed<'_>,
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
        let number = formed.number(fault.row);
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
