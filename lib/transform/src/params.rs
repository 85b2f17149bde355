//! The run's own facts as typed placeholders of SQL: `{window}`, `{window_start}`, `{window_end}`, `{run_time}`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use windrow_core::{Code, Diagnostic, Grain, PartitionWindow, Place, Result, suggest};

use crate::text::{Rendered, Replacement, SqlText};

const NAMES: [&str; 4] = ["window", "window_start", "window_end", "run_time"];

/// What a statement may know about the run besides its inputs.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// The window.
    pub window: PartitionWindow,
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// When the run started.
    pub run_time: Timestamp,
}

impl Params {
    /// Computes the instants of a window in the contract's zone.
    ///
    /// # Errors
    /// `Usage` for a window outside the calendar.
    pub fn new(window: PartitionWindow, zone: &TimeZone, run_time: Timestamp) -> Result<Self> {
        let (start, end) = window.instants(zone)?;
        Ok(Params { window, start, end, run_time })
    }

    /// Replaces the placeholders of a statement outside texts, quoted names and comments.
    ///
    /// `{window}` becomes a DATE literal (day windows) or a text, the others TIMESTAMP literals in UTC. `extra` holds
    /// further names with their replacement, `{object}` of a check for one.
    ///
    /// # Errors
    /// One finding for each unknown placeholder, at its place.
    pub fn render(&self, sql: &SqlText<'_>, extra: &[(&str, String)]) -> Result<Rendered, Vec<Diagnostic>> {
        let mut replacements = Vec::new();
        let mut findings = Vec::new();
        for (span, name) in sql.placeholders() {
            let known =
                extra.iter().find(|(word, _)| *word == name).map(|(_, text)| text.clone()).or_else(|| self.literal(&name));
            match known {
                Some(text) => replacements.push(Replacement { span, text }),
                None => findings.push(unknown(sql, span.start, &name, extra)),
            }
        }
        if findings.is_empty() { Ok(sql.replaced(replacements)) } else { Err(findings) }
    }

    fn literal(&self, name: &str) -> Option<String> {
        match name {
            "window" if self.window.grain() == Grain::Day => Some(format!("DATE '{}'", self.window)),
            "window" => Some(format!("'{}'", self.window)),
            "window_start" => Some(timestamp(self.start)),
            "window_end" => Some(timestamp(self.end)),
            "run_time" => Some(timestamp(self.run_time)),
            _ => None,
        }
    }
}

fn timestamp(instant: Timestamp) -> String {
    format!("TIMESTAMP '{}'", instant.strftime("%Y-%m-%d %H:%M:%S%.6f"))
}

fn unknown(sql: &SqlText<'_>, offset: usize, name: &str, extra: &[(&str, String)]) -> Diagnostic {
    let mut names: Vec<&str> = NAMES.to_vec();
    names.extend(extra.iter().map(|(word, _)| *word));
    let hint = match suggest::nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{{{near}}}`?"),
        None => format!("allowed: {}", names.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ")),
    };
    let (line, column) = sql.position(offset);
    let place = Place::new(sql.file, line, column);
    let title = format!("unknown placeholder `{{{name}}}`");
    sql.excerpt(Diagnostic::new(Code::SqlColumn, place, title).help(hint), name.chars().count() + 2)
}
