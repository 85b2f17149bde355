//! What people and programs see: progress and findings on stderr, results on stdout.
//!
//! stdout carries data only. stderr carries one line a window, or a bar on a terminal; with `--log-format json` each
//! line there is one JSON object.

use std::fs;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use windrow_core::{Diagnostic, Error, ErrorKind, Result, RunId};

use crate::cli::{Common, LogFormat, OutputFormat};
use crate::{render, runtime};

/// The version of the JSON results.
pub const RESULT_SCHEMA: u32 = 1;

/// Where progress, findings and results go.
#[derive(Debug)]
pub struct Reporter {
    common: Common,
    colour: bool,
    bar: Option<ProgressBar>,
}

impl Reporter {
    /// A reporter that follows the common flags.
    pub fn new(common: &Common) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let wants_bar = is_terminal && !common.quiet && common.log_format == LogFormat::Pretty;
        let bar = wants_bar.then(ProgressBar::hidden);
        Reporter { common: common.clone(), colour: runtime::colour_wanted(is_terminal), bar }
    }

    /// Starts counting windows; a bar on a terminal, nothing elsewhere.
    pub fn start(&self, windows: usize, what: &str) {
        let Some(bar) = &self.bar else { return };
        let template = "{prefix} [{bar:24}] {pos}/{len} {msg} {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what.to_owned());
        bar.set_length(windows as u64);
        bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
    }

    /// Says which step runs; shown in the bar only.
    pub fn step(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
            bar.tick();
        }
    }

    /// One window is done.
    pub fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// One line for people, or one event for programs.
    pub fn event(&self, name: &str, text: &str, fields: &impl Serialize) {
        if self.common.quiet {
            return;
        }
        match self.common.log_format {
            LogFormat::Pretty => self.stderr(text),
            LogFormat::Json => {
                let time = runtime::now().to_string();
                self.stderr(&json!({"time": time, "event": name, "message": text, "fields": fields}).to_string());
            }
        }
    }

    /// A line for people only.
    pub fn say(&self, text: &str) {
        if !self.common.quiet && self.common.log_format == LogFormat::Pretty {
            self.stderr(text);
        }
    }

    /// Findings, rendered; shown even with `--quiet`.
    pub fn findings(&self, findings: &[Diagnostic]) {
        for finding in findings {
            match self.common.log_format {
                LogFormat::Pretty => self.stderr(&format!("{}\n", render::diagnostic(finding, self.colour))),
                LogFormat::Json => self.stderr(&json!({"event": "finding", "finding": finding_json(finding)}).to_string()),
            }
        }
    }

    /// Writes the result: JSON or text on stdout, and the JSON to `--result-uri`.
    ///
    /// # Errors
    /// `Misconfigured` when the result file cannot be written, `Internal` when the result cannot be serialised.
    pub fn result(&self, result: &impl Serialize, text: &str) -> Result<()> {
        let line =
            serde_json::to_string(result).map_err(|error| Error::internal("cannot serialise the result").caused_by(error))?;
        if let Some(path) = &self.common.result_uri {
            fs::write(path, format!("{line}\n")).map_err(|error| {
                Error::misconfigured(format!("--result-uri {} cannot be written", path.display())).caused_by(error)
            })?;
        }
        let shown = if self.common.output == OutputFormat::Json { line } else { text.to_owned() };
        if !shown.is_empty() {
            print_line(&shown);
        }
        Ok(())
    }

    /// Reports a failure of the whole verb, and returns its exit code.
    pub fn fail(&self, error: &Error) -> u8 {
        self.finish();
        match self.common.log_format {
            LogFormat::Pretty => self.stderr(render::error(error, self.colour).trim_end()),
            LogFormat::Json => self.stderr(&json!({"event": "error", "error": error_json(error)}).to_string()),
        }
        let result = json!({"schema": RESULT_SCHEMA, "status": "failed", "error": error_json(error), "exit_code": error.kind().exit_code()});
        let wants_result = self.common.output == OutputFormat::Json || self.common.result_uri.is_some();
        if wants_result && let Err(second) = self.result(&result, "") {
            self.stderr(&render::error(&second, self.colour));
        }
        error.kind().exit_code()
    }

    /// The run's id: the given one or a new one.
    ///
    /// # Errors
    /// Never, but the type allows it.
    pub fn run_id(&self) -> Result<RunId> {
        self.common.run_id.clone().map_or_else(runtime::new_run_id, Ok)
    }

    /// The common flags.
    pub fn common(&self) -> &Common {
        &self.common
    }

    fn stderr(&self, text: &str) {
        let write = || {
            // Nothing is left to be done when the terminal is gone.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

fn print_line(text: &str) {
    // A closed pipe (`| head`) is the reader's wish, not a failure.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// An error as results and logs carry it.
pub fn error_json(error: &Error) -> serde_json::Value {
    let kind: ErrorKind = error.kind();
    let context: serde_json::Map<String, serde_json::Value> =
        error.context().iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let failure = windrow_aws::task_failure(error);
    json!({
        "kind": kind.name(),
        "error": failure.error,
        "cause": failure.cause,
        "exit_code": kind.exit_code(),
        "message": error.to_string(),
        "context": context,
        "help": error.help_text().unwrap_or_else(|| kind.next_step()),
        "findings": error.diagnostics().iter().take(20).map(finding_json).collect::<Vec<_>>(),
    })
}

/// A finding as results and logs carry it.
pub fn finding_json(finding: &Diagnostic) -> serde_json::Value {
    json!({
        "code": finding.code.as_str(),
        "title": finding.title,
        "file": &*finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "found": finding.found,
        "expected": finding.label,
        "contract": finding.contract.as_ref().map(|(place, _)| place.to_string()),
        "notes": finding.notes,
        "help": finding.help,
    })
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];
    match units.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} B"),
    }
}

/// A duration for people, in seconds.
pub fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// "1 row", "2 rows".
pub fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
