//! One sentence in business words for whoever is alerted: which window is not published, why, and what became of it.
//!
//! Only names stand in it (datasets, columns, checks, files), never a value that was read, so nothing classified does.

use windrow_core::{Code, Diagnostic, Error, ErrorKind};

use crate::report::count;
use crate::stage::{evidence, publish};
use crate::subject::Subject;

/// The context key of an error that came after the work: where its result could not be written.
pub const RESULT_LOST: &str = "result_uri";

/// The longest alert, in characters.
const MAX_ALERT: usize = 600;
/// How much of an error's own message an alert holds, in characters.
const MAX_MESSAGE: usize = 300;
/// How many names are listed.
const MAX_NAMES: usize = 5;

/// The verbs whose failure means that a window is not published.
const PUBLISHING: [&str; 7] = ["run", "replay", "check-input", "raw-to-clean", "clean-to-curated", "check", "publish"];

/// Says a failure.
pub fn failed(subject: &Subject, error: &Error) -> String {
    let window = context(error, "window").and_then(|text| text.parse().ok());
    let subject = Subject { window: subject.window.or(window), ..subject.clone() };
    let who = who(&subject);
    let sentence = if let Some(decided) = context(error, publish::COMMITTED) {
        format!("{who} is {decided}, but its views are not up to date")
    } else if error.kind() == ErrorKind::SlaMissed {
        message(error)
    } else if context(error, RESULT_LOST).is_some() {
        format!("{who}: the work is done, but {}", message(error))
    } else {
        let quarantined = if context(error, "evidence").is_some() { "; quarantined" } else { "" };
        format!("{}: {}{quarantined}", not_done(&subject), reason(error))
    };
    bounded(&sentence)
}

/// Says that the gate answered FAIL.
pub fn not_passed(subject: &Subject, checks: &[String]) -> String {
    bounded(&format!("{}: {}", not_done(subject), failed_checks(checks.iter().map(String::as_str))))
}

/// Several failures of one run: the first one, and how many more windows failed.
pub fn and_more(alert: &str, more: usize) -> String {
    match more {
        0 => alert.to_owned(),
        _ => bounded(&format!("{alert}; {} not published either", count(more as u64, "other window"))),
    }
}

fn who(subject: &Subject) -> String {
    match (&subject.dataset, &subject.window) {
        (Some(dataset), Some(window)) => format!("{dataset} for {window}"),
        (Some(dataset), None) => dataset.to_string(),
        (None, _) => subject.verb.as_ref().map_or_else(|| "windrow".to_owned(), |verb| format!("windrow {verb}")),
    }
}

fn not_done(subject: &Subject) -> String {
    let verb = subject.verb.as_deref().unwrap_or_default();
    match &subject.dataset {
        Some(_) if PUBLISHING.contains(&verb) => format!("{} not published", who(subject)),
        Some(_) => format!("windrow {verb} of {} failed", who(subject)),
        None => format!("{} failed", who(subject)),
    }
}

fn reason(error: &Error) -> String {
    let findings = error.diagnostics();
    match (error.kind(), findings.first()) {
        (ErrorKind::SchemaMismatch, Some(first)) => broken(error, first),
        (ErrorKind::CorruptInput, Some(first)) => format!("{} is damaged: {}", file(first), fault(first)),
        (ErrorKind::QualityFailed, Some(_)) => {
            let blocking = findings.iter().filter(|finding| finding.notes.iter().all(|note| note != evidence::WARNING));
            failed_checks(blocking.filter_map(|finding| finding.subject.as_deref()))
        }
        (ErrorKind::OutOfMemory, _) => "the worker ran out of memory".to_owned(),
        (ErrorKind::Interrupted, _) => "the job was stopped before it was done".to_owned(),
        (ErrorKind::Transient, _) => format!("the environment failed for now: {}", message(error)),
        (ErrorKind::AccessDenied, _) => format!("access was denied: {}", message(error)),
        (ErrorKind::Misconfigured, _) => format!("the configuration is wrong: {}", message(error)),
        (ErrorKind::Usage, _) => format!("the job was called wrongly: {}", message(error)),
        (ErrorKind::Internal, _) => format!("windrow or its lake has a defect: {}", message(error)),
        _ => message(error),
    }
}

/// `2 rows break orders.raw: subtotal is not an integer`.
fn broken(error: &Error, first: &Diagnostic) -> String {
    let contract = first.contract.as_ref().map(|(place, _)| place.file.rsplit('/').next().unwrap_or_default());
    let contract = contract.and_then(|file| file.strip_suffix(".odcs.yaml")).unwrap_or("the contract");
    let refused = error.rows().map_or(0, |rows| rows.refused);
    let subject = match refused {
        0 => format!("{} breaks", file(first)),
        1 => "1 row breaks".to_owned(),
        rows => format!("{rows} rows break"),
    };
    let others = error.diagnostics().len() - 1;
    let more = if others > 0 { format!(" (and {})", count(others as u64, "other finding")) } else { String::new() };
    format!("{subject} {contract}: {}{more}", fault(first))
}

/// What is wrong with the named column; its value is not told.
fn fault(finding: &Diagnostic) -> String {
    let Some(column) = &finding.subject else { return finding.code.title().to_owned() };
    match finding.code {
        Code::MissingColumn => format!("column {column} is missing"),
        Code::NullInRequired | Code::NullKey => format!("{column} is null"),
        Code::ImpossibleDate => format!("{column} is no date or time that exists"),
        Code::DatePattern => format!("{column} is not a date or time as declared"),
        Code::OutOfRange => format!("{column} is out of range"),
        Code::NotAllowed => format!("{column} is not an allowed value"),
        Code::WrongType => match declared_type(&finding.label) {
            Some(declared) => format!("{column} is not {declared}"),
            None => format!("{column} has the wrong type"),
        },
        _ => format!("{column}: {}", finding.code.title()),
    }
}

/// `an integer` of `expected integer (i64)`.
fn declared_type(label: &str) -> Option<&'static str> {
    let known = [
        ("integer", "an integer"),
        ("decimal", "a decimal"),
        ("float", "a number"),
        ("boolean", "a boolean"),
        ("date", "a date"),
        ("timestamp", "a timestamp"),
        ("string", "a text"),
        ("object", "an object"),
        ("array", "an array"),
    ];
    let declared = label.strip_prefix("expected ")?;
    known.into_iter().find(|(name, _)| declared.starts_with(name)).map(|(_, shown)| shown)
}

fn failed_checks<'a>(checks: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = checks.collect();
    let shown = all.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    let more = if all.len() > MAX_NAMES { format!(" and {} more", all.len() - MAX_NAMES) } else { String::new() };
    format!("{} failed: {shown}{more}", count(all.len() as u64, "check"))
}

/// The name of the file, without its folders.
fn file(finding: &Diagnostic) -> &str {
    finding.place.file.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("a raw file")
}

fn context<'a>(error: &'a Error, wanted: &str) -> Option<&'a str> {
    error.context().iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.as_str())
}

fn message(error: &Error) -> String {
    cut(error.message(), MAX_MESSAGE)
}

fn bounded(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(&line, MAX_ALERT)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_core::{Place, RowTally};

    fn subject(verb: &str) -> Subject {
        let flag = |name: &str| match name {
            "dataset" => Some("orders".to_owned()),
            "window" => Some("2024-09-08".to_owned()),
            _ => None,
        };
        Subject::read(Some(verb.to_owned()), flag)
    }

    fn finding(code: Code, column: Option<&str>, label: &str) -> Diagnostic {
        let mut finding = Diagnostic::new(code, Place::new("lake/raw/orders/2024-09-08/orders.csv", 18, 7), "").label(label);
        finding.subject = column.map(str::to_owned);
        finding.found = Some("marker-value".to_owned());
        finding.contract = Some((Place::new("schemas/orders.raw.odcs.yaml", 62, 9), "logicalType: integer".to_owned()));
        finding
    }

    fn data(kind: ErrorKind, refused: u64, findings: Vec<Diagnostic>) -> Error {
        let error = Error::new(kind, "3 violations of the contract").with("evidence", "lake/quarantine/evidence.json");
        error.with_rows(RowTally { read: 324, refused }).with_diagnostics(findings)
    }

    #[test]
    fn every_kind_has_its_sentence() {
        let integer = || finding(Code::WrongType, Some("subtotal"), "expected integer (i64)");
        let missing = || finding(Code::MissingColumn, Some("subtotal"), "expected a column `subtotal`");
        let check = |id: &str| finding(Code::CheckFailed, Some(id), "");
        let mut warning = check("rows_usual");
        warning.notes.push(evidence::WARNING.to_owned());
        let many: Vec<Diagnostic> = ["a", "b", "c", "d", "e", "f", "g"].map(check).into();
        let said = |kind| Error::new(kind, "the store did not answer");
        let errors = [
            data(ErrorKind::SchemaMismatch, 2, vec![integer()]),
            data(ErrorKind::SchemaMismatch, 1, vec![integer(), missing()]),
            data(ErrorKind::SchemaMismatch, 0, vec![missing(), missing(), missing()]),
            data(ErrorKind::SchemaMismatch, 3, vec![finding(Code::OutsideWindow, None, "")]),
            data(ErrorKind::SchemaMismatch, 3, vec![finding(Code::NullInRequired, Some("id"), "")]),
            data(ErrorKind::SchemaMismatch, 3, vec![finding(Code::LengthOutOfRange, Some("name"), "")]),
            data(ErrorKind::CorruptInput, 0, vec![finding(Code::TruncatedCompression, None, "")]),
            data(ErrorKind::QualityFailed, 0, vec![check("rows"), warning, check("revenue")]),
            data(ErrorKind::QualityFailed, 0, many),
            Error::new(ErrorKind::InputMissing, "no raw file matches s3://lake/raw/orders/2024-09-08/*"),
            said(ErrorKind::OutOfMemory),
            said(ErrorKind::Interrupted),
            said(ErrorKind::Transient),
            said(ErrorKind::AccessDenied),
            said(ErrorKind::Misconfigured),
            said(ErrorKind::Usage),
            said(ErrorKind::Internal),
            said(ErrorKind::Fenced),
            said(ErrorKind::Transient).with(publish::COMMITTED, "published"),
            said(ErrorKind::AccessDenied).with(RESULT_LOST, "s3://lake/runs/r.json"),
        ];
        let alerts: Vec<String> =
            errors.iter().map(|error| format!("{}: {}", error.kind(), failed(&subject("run"), error))).collect();
        assert!(!alerts.concat().contains("marker"), "no value is told");
        insta::assert_snapshot!(alerts.join("\n"));
    }

    #[test]
    fn who_is_named_as_far_as_it_is_known() {
        let error = Error::new(ErrorKind::OutOfMemory, "");
        let alert = |subject: &Subject| failed(subject, &error);
        assert_eq!(alert(&subject("publish")), "orders for 2024-09-08 not published: the worker ran out of memory");
        assert_eq!(alert(&subject("rollback")), "windrow rollback of orders for 2024-09-08 failed: the worker ran out of memory");
        assert_eq!(alert(&Subject::read(Some("gc".to_owned()), |_| None)), "windrow gc failed: the worker ran out of memory");
        assert_eq!(alert(&Subject::default()), "windrow failed: the worker ran out of memory");
        let of_error = Error::new(ErrorKind::OutOfMemory, "").with("window", "2024-09-09");
        let dataset = Subject { window: None, ..subject("run") };
        assert_eq!(failed(&dataset, &of_error), "orders for 2024-09-09 not published: the worker ran out of memory");
        assert_eq!(and_more("orders not published: x", 1), "orders not published: x; 1 other window not published either");
        assert_eq!(and_more("x", 0), "x");
    }

    #[test]
    fn an_alert_is_one_line_of_bounded_length() {
        for c in ['x', '\n', '🦀'] {
            let text: String = std::iter::repeat_n(c, 10_000).collect();
            let long = failed(&subject("run"), &Error::new(ErrorKind::Transient, &text));
            assert!(long.chars().count() <= MAX_ALERT && !long.contains('\n') && long.ends_with('…'), "{long}");
            let checks: Vec<String> = vec![text; 4];
            assert!(not_passed(&subject("check"), &checks).chars().count() <= MAX_ALERT);
        }
    }
}
