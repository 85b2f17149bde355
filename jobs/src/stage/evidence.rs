//! Quarantine: evidence first, then the outcome; the head stays what it was.

use bytes::Bytes;
use serde_json::{Value, json};
use windrow_core::gate::{GateResult, Severity};
use windrow_core::ledger::ErrorClass;
use windrow_core::violation::{MAX_LISTED, ViolationReport};
use windrow_core::{Code, Diagnostic, Error, ErrorKind, Place, Result, RowTally, Violation};
use windrow_engine::rejects;
use windrow_lake::{Claimed, LakeTable};

use crate::session::Session;

/// How many groups of findings are shown on screen; all are in rejects.parquet.
const MAX_GROUPS: usize = 8;
/// The note of a failed check that blocks nothing.
pub const WARNING: &str = "a warning: it blocks nothing";
/// How many violations evidence.json lists itself.
const MAX_IN_EVIDENCE: usize = 100;

/// Puts an epoch aside because of violations, and returns the error that says so.
///
/// # Errors
/// What the store says; the answer itself is the `Ok` value.
pub fn quarantine_data(
    session: &Session<'_>,
    table: &LakeTable,
    claimed: &Claimed,
    report: &ViolationReport,
    rows_in: u64,
) -> Result<Error> {
    session.observer.saw_rows(table.name(), &claimed.window(), rows_in, report.rejected_rows());
    let kind = report.kind().unwrap_or(ErrorKind::SchemaMismatch);
    let code = report.listed().iter().map(|violation| violation.code).find(|code| code.kind() == kind);
    let class = ErrorClass { kind, code: code.map(|code| code.as_str().to_owned()) };
    let rejects = rejects::rejects_parquet(report)?;
    let evidence = evidence(session, claimed, &class, violations_json(report, rows_in));
    let outcome = session.runtime.block_on(table.quarantine(claimed, Some(&class), evidence, Some(rejects)))?;
    let place = outcome.document().error.as_ref().map(|error| session.shown(&error.evidence)).unwrap_or_default();
    let findings = findings(session, report, rows_in, &place);
    let total = report.total();
    // A file that is refused as a whole gave no row to count against.
    let of = if rows_in == 0 { String::new() } else { format!(" in {rows_in} rows") };
    let message = format!("{total} violation{} of the contract{of}", if total == 1 { "" } else { "s" });
    Ok(Error::new(kind, message)
        .with("table", table.name())
        .with("window", claimed.window())
        .with("evidence", place)
        .with_rows(RowTally { read: rows_in, refused: report.rejected_rows() })
        .with_diagnostics(findings))
}

/// Puts an epoch aside because the gate answered FAIL, and returns the error that says so.
///
/// # Errors
/// What the store says; the answer itself is the `Ok` value.
pub fn quarantine_gate(
    session: &Session<'_>,
    table: &LakeTable,
    claimed: &Claimed,
    gate: &GateResult,
    failure: Option<&ErrorClass>,
) -> Result<Error> {
    session.observer.saw_gate(table.name(), &claimed.window(), gate);
    let shown = ErrorClass { kind: ErrorKind::QualityFailed, code: None };
    let body = json!({"gate": gate, "help": ErrorKind::QualityFailed.next_step()});
    let evidence = evidence(session, claimed, failure.unwrap_or(&shown), body);
    let outcome = session.runtime.block_on(table.quarantine(claimed, failure, evidence, None))?;
    let place = outcome.document().error.as_ref().map(|error| session.shown(&error.evidence)).unwrap_or_default();
    let findings = gate.checks.iter().filter(|check| !check.passed).map(gate_finding).collect();
    let message = format!("the quality gate answered FAIL: {}", gate.failed_checks.join(", "));
    Ok(Error::new(ErrorKind::QualityFailed, message)
        .with("table", table.name())
        .with("window", claimed.window())
        .with("evidence", place)
        .with_diagnostics(findings))
}

/// A failed check as a finding.
pub fn gate_finding(check: &windrow_core::gate::CheckResult) -> Diagnostic {
    let code = if check.observed.starts_with("not evaluated") { Code::CheckBroken } else { Code::CheckFailed };
    let title = format!("check `{}` observed {}, expected {}", check.id, check.observed, check.expected);
    let mut finding = Diagnostic::new(code, parse_place(&check.place), title);
    finding.subject = Some(check.id.clone());
    if check.severity == Severity::Warning {
        finding.notes.push(WARNING.to_owned());
    }
    finding.notes.extend(check.sample.iter().map(|row| format!("row: {row}")));
    finding
}

fn parse_place(text: &str) -> Place {
    let mut parts = text.rsplitn(3, ':');
    let numbers = (parts.next().and_then(|n| n.parse().ok()), parts.next().and_then(|n| n.parse().ok()), parts.next());
    match numbers {
        (Some(column), Some(line), Some(file)) => Place::new(file, line, column),
        _ => Place::file(text),
    }
}

fn evidence(session: &Session<'_>, claimed: &Claimed, class: &ErrorClass, body: Value) -> Bytes {
    let claim = claimed.claim().document();
    let document = json!({
        "v": 1,
        "table": format!("{}.{}", claim.layer, claim.dataset),
        "window": claim.window.to_string(),
        "epoch": claim.epoch.get(),
        "attempt": claim.attempt.as_str(),
        "run_id": session.run_id.as_str(),
        "kind": class.kind.name(),
        "error": class.kind.step_functions_error(),
        "code": class.code,
        "profile": session.project.profile.name,
        "details": body,
    });
    Bytes::from(serde_json::to_vec_pretty(&document).unwrap_or_default())
}

fn violations_json(report: &ViolationReport, rows_in: u64) -> Value {
    let counts: Vec<Value> = report
        .counts()
        .map(|(code, column, count)| json!({"code": code.as_str(), "title": code.title(), "column": column, "count": count}))
        .collect();
    let listed: Vec<Value> = report.listed().iter().take(MAX_IN_EVIDENCE).map(violation_json).collect();
    json!({
        "rows_in": rows_in,
        "rejected_rows": report.rejected_rows(),
        "violations": report.total(),
        "counts": counts,
        "listed": listed,
        "help": report.kind().unwrap_or(ErrorKind::SchemaMismatch).next_step(),
    })
}

fn violation_json(violation: &Violation) -> Value {
    json!({
        "code": violation.code.as_str(),
        "file": &*violation.file,
        "line": violation.line,
        "char_column": violation.char_column,
        "byte_offset": violation.byte_offset,
        "column": violation.column.as_deref(),
        "value": violation.value,
        "expected": violation.expected,
        "contract": violation.contract.as_ref().map(|(place, _)| place.to_string()),
    })
}

/// One finding for each code and column: the first offence in full, the others in a note.
pub fn findings(session: &Session<'_>, report: &ViolationReport, rows_in: u64, evidence: &str) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (code, column, count) in report.counts().take(MAX_GROUPS) {
        let same = |violation: &&Violation| violation.code == code && violation.column.as_deref() == column;
        let mut listed = report.listed().iter().filter(same);
        let Some(first) = listed.next() else {
            findings.push(unlisted(code, column, count));
            continue;
        };
        let mut finding = first.to_diagnostic();
        finding.place = Place::new(shown_file(session, &first.file), finding.place.line, finding.place.column);
        if count > 1 {
            let others: Vec<String> = listed.take(3).map(|other| other_place(first, other)).collect();
            finding.notes.push(format!(
                "{}{} in all",
                others.join(", "),
                if others.is_empty() { count.to_string() } else { format!("; {count}") }
            ));
        }
        finding.help = Some(remedy(first));
        findings.push(finding);
    }
    if let Some(last) = findings.last_mut() {
        let rejected = report.rejected_rows();
        let share = percent(rejected, rows_in);
        if rejected > 0 {
            last.notes.push(format!("{rejected} of {rows_in} rows ({share} %) are refused"));
        }
        if !evidence.is_empty() {
            let listed = report.listed().len();
            let all =
                if listed as u64 == report.total() { "all of them".to_owned() } else { format!("the first {listed} of them") };
            let each = if rejected > 0 { ", row by row" } else { "" };
            last.notes.push(format!("{all}{each}: {}", evidence.replace("evidence.json", "rejects.parquet")));
        }
    }
    findings
}

/// A group whose offences all came after the list was full: what and how many is known, where is not.
fn unlisted(code: Code, column: Option<&str>, count: u64) -> Diagnostic {
    let counted = Violation { column: column.map(Into::into), ..Violation::of_file(code, "", "") };
    let mut finding = Diagnostic::new(code, Place::file("raw files of the window"), counted.title());
    finding.subject = column.map(str::to_owned);
    finding.notes.push(format!("{count} in all, none of them among the first {MAX_LISTED} violations, which are listed"));
    finding.help = Some(format!("windrow explain {code}"));
    finding
}

/// Two digits after the point, rounded.
fn percent(part: u64, whole: u64) -> String {
    let hundredths = if whole == 0 { 0 } else { (u128::from(part) * 20_000 + u128::from(whole)) / (u128::from(whole) * 2) };
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The likely cause where the value shows it, else where to read more.
fn remedy(violation: &Violation) -> String {
    let explain = format!("windrow explain {}", violation.code);
    let value = violation.value.as_deref().unwrap_or_default();
    let is_number = |separators: &[char]| {
        value.chars().any(|c| c.is_ascii_digit())
            && value.chars().all(|c| c.is_ascii_digit() || c == '-' || c == '.' || separators.contains(&c))
    };
    let guess = match violation.code {
        Code::WrongType if value.contains(',') && is_number(&[',']) => {
            "a decimal comma or a thousands separator? have plain numbers sent"
        }
        Code::WrongType if value.contains(' ') && is_number(&[' ', '\u{a0}']) => {
            "white space in a number? have plain numbers sent"
        }
        Code::WrongType
            if matches!(value.to_ascii_lowercase().as_str(), "na" | "n/a" | "null" | "none" | "nil" | "-" | "nan") =>
        {
            "a null token? declare it under `nullValues` in the reader"
        }
        Code::LongRow => "a decimal comma, or a delimiter in a text without quotes?",
        Code::FieldTooLarge => "an unclosed quote? otherwise raise `maxFieldBytes` in the reader",
        Code::RowTooLarge => "an unclosed quote? otherwise raise `maxRowBytes` in the reader",
        Code::MissingHeader => "another delimiter, or no header at all? see `delimiter` and `header` in the reader",
        _ => return explain,
    };
    format!("{guess} · {explain}")
}

fn shown_file(session: &Session<'_>, key: &str) -> String {
    if key.starts_with("raw/") { session.shown(key) } else { key.to_owned() }
}

fn other_place(first: &Violation, other: &Violation) -> String {
    let file = if other.file == first.file { "line".to_owned() } else { format!("{} line", other.file) };
    match &other.value {
        Some(value) => format!("{file} {} `{value}`", other.line),
        None => format!("{file} {}", other.line),
    }
}
