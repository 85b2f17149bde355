//! NDJSON: one object a line, typed by the contract, nested objects and lists included.
//!
//! ```text
//! Scanner ─▶ lines ─▶ [this module] raw keys and values ─▶ the same text parsers as CSV ─▶ rules ─▶ chunk + violations
//! ```
//!
//! Invariant: no number passes through a floating-point number on its way to an integer or a decimal.

mod node;
mod object;
mod plain;

use std::sync::Arc;

use windrow_core::contract::{DataType, Property};
use windrow_core::{Code, Contract, Result, Violation, ViolationReport};

use super::csv::reader_place;
use super::excerpt::{self, MASK};
use super::flow::Rows;
use super::index::Structure;
use super::outcome::{Fault, FileOutcome, Plan};
use super::scan::{Block, Room, Scanner, Stop};
use super::text::{Lines, decode};
pub(crate) use node::Fields;
use node::{JsonFault, Line, Path};
use object::offset_in;

/// Lines and nothing else.
pub(crate) const STRUCTURE: Structure = Structure { delimiter: b'\n', quote: None };

/// How many bytes on each side of a value are looked at for the excerpt.
const AROUND_BYTES: usize = 600;

/// Checks that the file has a first line that can be read.
pub(crate) fn check_start(
    contract: &Contract,
    file: &Arc<str>,
    scanner: &mut Scanner,
    room: &mut Room,
) -> Result<ViolationReport> {
    let mut report = ViolationReport::default();
    match scanner.next(room)? {
        None => report.push(Violation::of_file(Code::EmptyFile, file.clone(), "expected at least one line")),
        Some(block) if block.index.rows.is_empty() => {
            if let Some(stop) = &block.stop {
                report.push(stopped(contract, file, &block, 1, stop));
            }
        }
        Some(_) => {}
    }
    Ok(report)
}

/// The faults of one line.
struct LineFaults {
    number: usize,
    faults: Vec<JsonFault>,
}

/// Reads one block.
///
/// # Errors
/// `Internal` for columns that do not fit the contract.
pub(crate) fn read_block(
    plan: &Plan<'_>,
    file: &Arc<str>,
    fields: &mut Fields<'_>,
    rows: &Rows<'_>,
    outcome: &mut FileOutcome,
) -> Result<()> {
    read_lines(plan, file, fields, &rows.block, rows.line, outcome)?;
    if let Some(stop) = &rows.block.stop {
        outcome.report.push(stopped(plan.contract, file, &rows.block, rows.end_line(), stop));
    }
    Ok(())
}

fn read_lines(
    plan: &Plan<'_>,
    file: &Arc<str>,
    fields: &mut Fields<'_>,
    block: &Block<'_>,
    line: u64,
    outcome: &mut FileOutcome,
) -> Result<()> {
    let (text, damaged) = decode(block.bytes.get(..block.index.pending.start as usize).unwrap_or_default());
    let mut numbers = Vec::with_capacity(block.index.rows.len());
    let mut refused: Vec<LineFaults> = Vec::new();
    let mut faults: Vec<Fault> = Vec::new();
    for number in 0..block.index.rows.len() {
        let span = span(block, number);
        let row = text.get(span.0..span.1).unwrap_or_default();
        if row.is_empty() && plan.reader.skip_blank_lines {
            continue;
        }
        let found = match damage_of(plan.contract, &damaged, span).or_else(|| blank(plan.contract, row)) {
            Some(fault) => {
                fields.push_default();
                vec![fault]
            }
            None => read_line(plan, fields, row),
        };
        if !found.is_empty() {
            faults.extend(
                found.iter().map(|fault| Fault::of_type(numbers.len(), top_property(plan.contract, &fault.path), fault.code)),
            );
            refused.push(LineFaults { number, faults: found });
        }
        numbers.push(number);
    }
    let arrays = fields.nodes.iter_mut().map(node::Node::finish).collect::<Result<Vec<_>>>()?;
    // A line that is refused as a whole has stand-ins only: no rule judges them.
    let whole: Vec<usize> = faults.iter().filter(|fault| fault.property == usize::MAX).map(|fault| fault.row).collect();
    plan.judge(&arrays, &mut faults);
    faults.retain(|fault| !fault.is_rule || whole.binary_search(&fault.row).is_err());
    let rows = numbers.len();
    outcome.rows += rows as u64;
    outcome.report.count_rejected_rows(super::outcome::rejected_rows(&faults));
    let lines = Lines::new(block, line);
    add_rule_faults(plan.contract, &text, block, &numbers, &faults, &mut refused);
    for line_faults in &refused {
        report_line(plan.contract, file, &text, block, lines.of(line_faults.number), line_faults, outcome);
    }
    outcome.chunks.extend(plan.chunk(arrays, &faults, lines.origin(file, &numbers), rows)?);
    Ok(())
}

fn span(block: &Block<'_>, number: usize) -> (usize, usize) {
    let start = block.index.rows.get(number).map_or(0, |row| row.start as usize);
    (start, block.index.fields(number).first().map_or(start, |end| *end as usize))
}

fn damage_of(contract: &Contract, damaged: &[(usize, Code)], span: (usize, usize)) -> Option<JsonFault> {
    let first = damaged.partition_point(|(place, _)| *place < span.0);
    let (place, code) = damaged.get(first).filter(|(place, _)| *place < span.1)?;
    let expected = if *code == Code::NulByte { "expected text without NUL" } else { "expected UTF-8 text" };
    Some(whole_line(contract, *code, (place - span.0, place - span.0 + 1), expected.to_owned()))
}

fn blank(contract: &Contract, row: &str) -> Option<JsonFault> {
    row.is_empty().then(|| whole_line(contract, Code::BlankLine, (0, 0), "expected an object".to_owned()))
}

fn whole_line(contract: &Contract, code: Code, span: (usize, usize), expected: String) -> JsonFault {
    JsonFault { code, path: String::new(), span, expected, demanded: reader_place(contract) }
}

fn read_line(plan: &Plan<'_>, fields: &mut Fields<'_>, row: &str) -> Vec<JsonFault> {
    match object::entries(row) {
        Ok(entries) => {
            let mut line = Line { text: row, reader: plan.reader, faults: Vec::new() };
            fields.push(row, &entries, &Path::Root, &mut line);
            line.faults
        }
        Err(error) => {
            fields.push_default();
            let place = error.column().saturating_sub(1).min(row.len());
            let text = error.to_string();
            // Of a value of another kind the parser's message quotes the value, which may be classified.
            let reason =
                if error.is_data() { "found another kind of value" } else { text.split(" at line ").next().unwrap_or_default() };
            vec![whole_line(plan.contract, Code::BadJson, (place, place), format!("expected a JSON object: {reason}"))]
        }
    }
}

/// The top-level property a path belongs to; `usize::MAX` for the line as a whole and for undeclared keys.
fn top_property(contract: &Contract, path: &str) -> usize {
    let is_prefix = |name: &str| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    contract.properties.iter().position(|property| is_prefix(&property.name)).unwrap_or(usize::MAX)
}

/// Gives the broken rules a place in their lines.
fn add_rule_faults(
    contract: &Contract,
    text: &str,
    block: &Block<'_>,
    numbers: &[usize],
    faults: &[Fault],
    refused: &mut Vec<LineFaults>,
) {
    for fault in faults.iter().filter(|fault| fault.is_rule) {
        let (Some(number), Some(property)) = (numbers.get(fault.row), contract.properties.get(fault.property)) else {
            continue;
        };
        let (start, end) = span(block, *number);
        let row = text.get(start..end).unwrap_or_default();
        let place = top_spans(row).into_iter().find(|(key, _)| *key == *property.name).map_or((0, row.len()), |(_, span)| span);
        let expected = fault.expected(property);
        let fault = JsonFault {
            code: fault.code,
            path: property.name.to_string(),
            span: place,
            expected,
            demanded: property.rules_place.clone(),
        };
        match refused.binary_search_by_key(number, |line| line.number) {
            Ok(found) => refused.iter_mut().skip(found).take(1).for_each(|line| line.faults.push(fault.clone())),
            Err(place) => refused.insert(place, LineFaults { number: *number, faults: vec![fault] }),
        }
    }
}

/// The top-level keys with the places of their values.
fn top_spans(row: &str) -> Vec<(String, (usize, usize))> {
    let entries = object::entries(row).map(|entries| entries.0).unwrap_or_default();
    let span = |raw: &str| (offset_in(row, raw), offset_in(row, raw) + raw.len());
    entries.iter().map(|(key, raw)| (key.0.to_string(), span(raw))).collect()
}

fn is_public(property: &Property) -> bool {
    property.may_be_shown()
        && match &property.data_type {
            DataType::Struct(properties) => properties.iter().all(is_public),
            DataType::List(item) => is_public(item),
            _ => true,
        }
}

fn report_line(
    contract: &Contract,
    file: &Arc<str>,
    text: &str,
    block: &Block<'_>,
    line: u64,
    refused: &LineFaults,
    outcome: &mut FileOutcome,
) {
    let (start, end) = span(block, refused.number);
    let row = text.get(start..end).unwrap_or_default();
    for fault in &refused.faults {
        let property = contract.properties.get(top_property(contract, &fault.path));
        outcome.push(file, fault.code, property, || {
            let before = row.get(..fault.span.0).unwrap_or_default();
            let mut violation = Violation::of_file(fault.code, file.clone(), fault.expected.clone());
            violation.line = line;
            violation.char_column = before.chars().count() as u64 + 1;
            violation.byte_offset = Some(block.offset + (start + fault.span.0) as u64);
            violation.column = (!fault.path.is_empty()).then(|| fault.path.as_str().into());
            violation.contract = Some(contract.quote(&fault.demanded));
            show(contract, row, fault, &mut violation);
            violation
        });
    }
}

/// Adds value and excerpt. With classified columns, only values of public ones are shown, and a line that cannot be
/// understood is not shown at all.
fn show(contract: &Contract, row: &str, fault: &JsonFault, violation: &mut Violation) {
    let (from, to) = fault.span;
    let raw = row.get(from..to).unwrap_or_default();
    let shown = object::string(raw).filter(|_| raw.starts_with('"')).unwrap_or(raw.into());
    let is_value = !matches!(fault.code, Code::BlankLine | Code::BadJson | Code::NullInRequired);
    if contract.properties.iter().all(is_public) {
        violation.value = is_value.then(|| excerpt::value(shown.as_bytes()));
        let field = if fault.code == Code::NullInRequired && raw.len() == row.len() { "" } else { raw };
        let (from, to) = if field.is_empty() { (from, from) } else { (from, to) };
        violation.excerpt = Some(excerpt::around(tail(row, from), field, head(row, to)));
        return;
    }
    let hidden: Vec<(usize, usize)> = top_spans(row)
        .into_iter()
        .filter(|(key, _)| !contract.property(key).is_some_and(is_public))
        .map(|(_, span)| span)
        .collect();
    let is_hidden = hidden.iter().any(|(start, end)| from < *end && *start < to) || fault.path.is_empty();
    violation.value = is_value.then(|| if is_hidden { MASK.to_owned() } else { excerpt::value(shown.as_bytes()) });
    if !fault.path.is_empty() && !is_hidden {
        let (before, after) = (masked(row, 0, from, &hidden), masked(row, to, row.len(), &hidden));
        violation.excerpt = Some(excerpt::around(tail(&before, before.len()), raw, head(&after, 0)));
    }
}

/// A stretch of a line with the hidden values replaced.
fn masked(row: &str, from: usize, to: usize, hidden: &[(usize, usize)]) -> String {
    let (mut text, mut at) = (String::new(), from);
    for (start, end) in hidden.iter().filter(|(start, end)| *start >= from && *end <= to) {
        text.push_str(row.get(at..*start).unwrap_or_default());
        text.push_str(MASK);
        at = *end;
    }
    text.push_str(row.get(at..to).unwrap_or_default());
    text
}

fn tail(text: &str, end: usize) -> &str {
    text.get(text.floor_char_boundary(end.saturating_sub(AROUND_BYTES))..end).unwrap_or_default()
}

fn head(text: &str, start: usize) -> &str {
    text.get(start..text.floor_char_boundary(start.saturating_add(AROUND_BYTES))).unwrap_or_default()
}

/// The violation by which a file could not be read further.
fn stopped(contract: &Contract, file: &Arc<str>, block: &Block<'_>, line: u64, stop: &Stop) -> Violation {
    let mut violation = Violation::of_file(stop.code, file.clone(), stop.expected.clone());
    violation.byte_offset = Some(block.offset + stop.place.unwrap_or(block.bytes.len()) as u64);
    if let Some(place) = stop.place {
        let start = block.index.pending.start as usize;
        violation.line = line;
        violation.char_column = excerpt::characters(block.bytes.get(start..place).unwrap_or_default()) + 1;
        violation.contract = Some(contract.quote(&reader_place(contract)));
    }
    violation
}
