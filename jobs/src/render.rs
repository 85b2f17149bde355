//! Findings and errors for people, as a compiler would show them.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use windrow_core::{Diagnostic, Error};

/// How many findings are shown; all are in the evidence and counted in the result.
const MAX_SHOWN: usize = 10;

/// Renders one finding.
pub fn diagnostic(finding: &Diagnostic, colour: bool) -> String {
    let line = usize::try_from(finding.place.line).unwrap_or_default();
    let title = Level::ERROR.primary_title(finding.title.as_str()).id(finding.code.as_str());
    let mut group = match &finding.excerpt {
        Some(excerpt) => {
            let span = byte_span(&excerpt.text, excerpt.start, excerpt.length);
            let annotation = AnnotationKind::Primary.span(span).label(finding.label.as_str());
            let path = finding.place.file.to_string();
            title.element(Snippet::source(excerpt.text.as_str()).line_start(line.max(1)).path(path).annotation(annotation))
        }
        None => title.element(origin(finding)),
    };
    if finding.excerpt.is_none() && !finding.label.is_empty() {
        group = group.element(Level::NOTE.message(finding.label.as_str()));
    }
    if let Some((place, text)) = &finding.contract {
        group = group.element(Level::NOTE.with_name(Some("contract")).message(format!("{place}  {text}")));
    }
    let group = notes(finding).into_iter().fold(group, Group::element);
    let rendered = renderer(colour).render(&[group]).to_string();
    match &finding.excerpt {
        // The library counts columns in the excerpt, which may be cut from a longer line; the true place is known.
        Some(excerpt) => {
            let counted = format!("{}:{}:{}", finding.place.file, line.max(1), excerpt.start + 1);
            rendered.replacen(&counted, &finding.place.to_string(), 1)
        }
        None => rendered,
    }
}

fn origin(finding: &Diagnostic) -> Origin<'static> {
    let number = |value: u64| usize::try_from(value).unwrap_or_default();
    let origin = Origin::path(finding.place.file.to_string());
    match (finding.place.line, finding.place.column) {
        (0, _) => origin,
        (line, 0) => origin.line(number(line)),
        (line, column) => origin.line(number(line)).char_column(number(column)),
    }
}

fn notes(finding: &Diagnostic) -> Vec<Element<'_>> {
    let notes = finding.notes.iter().map(|note| Level::NOTE.with_name(Some("also")).message(note.as_str()).into());
    let help = finding.help.iter().map(|help| Level::HELP.message(help.as_str()).into());
    notes.chain(help).collect()
}

fn renderer(colour: bool) -> Renderer {
    if colour { Renderer::styled() } else { Renderer::plain() }
}

fn byte_span(text: &str, start: usize, length: usize) -> std::ops::Range<usize> {
    let offset = |chars: usize| text.char_indices().nth(chars).map_or(text.len(), |(index, _)| index);
    offset(start)..offset(start + length).max(offset(start))
}

/// Renders an error with its findings, its kind, what happened and what to do.
pub fn error(error: &Error, colour: bool) -> String {
    let mut out = String::new();
    for finding in error.diagnostics().iter().take(MAX_SHOWN) {
        let _ = writeln!(out, "{}\n", diagnostic(finding, colour));
    }
    let hidden = error.diagnostics().len().saturating_sub(MAX_SHOWN);
    if hidden > 0 {
        let _ = writeln!(out, "… and {hidden} more findings\n");
    }
    let kind = error.kind();
    let help = error.help_text().unwrap_or_else(|| kind.next_step());
    if error.diagnostics().is_empty() {
        let title = format!("{error}");
        let group = Level::ERROR.primary_title(title.as_str()).id(kind.name()).element(Level::HELP.message(help));
        let _ = writeln!(out, "{}", renderer(colour).render(&[group]));
    } else {
        let count = error.diagnostics().len();
        let _ = writeln!(out, "{count} finding{}: {kind} (exit {}); {help}", if count == 1 { "" } else { "s" }, kind.exit_code());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_core::{Code, Place};

    #[test]
    fn a_finding_reads_like_a_compilers() {
        let finding = Diagnostic::new(Code::WrongType, Place::new("raw/a.csv", 18, 7), "wrong type in column `subtotal`")
            .excerpt("1c3f,\"12,50\",36", 5, 7)
            .label("expected integer (i64)")
            .help("decimal comma?");
        let mut finding = finding;
        finding.contract = Some((Place::new("schemas/orders.raw.odcs.yaml", 62, 9), "logicalType: integer".to_owned()));
        finding.notes.push("2 of 324 rows".to_owned());
        insta::assert_snapshot!(diagnostic(&finding, false));
    }
}
