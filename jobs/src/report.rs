//! What people and programs see: progress and findings on stderr, results on stdout.
//!
//! stdout carries data only. stderr carries one line a window, or a bar on a terminal; with `--log-format json` each
//! line there is one JSON object.

use std::fs;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use windrow_core::{Diagnostic, Error, ErrorKind, Result, RunId};
use windrow_lake::Lake;

use crate::cli::{Common, LogFormat, OutputFormat};
use crate::{lake, render, runtime};

/// The version of the JSON results.
pub const RESULT_SCHEMA: u32 = 1;

/// Where progress, findings and results go.
#[derive(Clone, Debug)]
pub struct Reporter {
    common: Common,
    run_id: Option<RunId>,
    colour: bool,
    bar: Option<ProgressBar>,
    lake: Arc<OnceLock<Lake>>,
}

impl Reporter {
    /// A reporter that follows the common flags.
    pub fn new(common: &Common) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let wants_bar = is_terminal && !common.quiet && common.log_format == LogFormat::Pretty;
        let bar = wants_bar.then(ProgressBar::hidden);
        let run_id = common.run_id.clone().or_else(|| runtime::new_run_id().ok());
        Reporter { common: common.clone(), run_id, colour: runtime::colour_wanted(is_terminal), bar, lake: Arc::default() }
    }

    /// Names the lake whose requests results tell of.
    pub fn attach(&self, lake: &Lake) {
        // A reporter serves one session; of several the first counts.
        let _ = self.lake.set(lake.clone());
    }

    /// Starts counting windows; a bar on a terminal, nothing elsewhere.
    pub fn start(&self, windows: usize, what: &str) {
        let Some(bar) = &self.bar else { return };
        let template = "{prefix} [{bar:24}] {pos}/{len} {msg} {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.reset();
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
        if !self.common.quiet {
            self.log("info", name, text, fields);
        }
    }

    /// Like [`Reporter::event`], for what must be seen even with `--quiet`.
    pub fn alarm(&self, name: &str, text: &str, fields: &impl Serialize) {
        self.log("error", name, text, fields);
    }

    /// Something that blocks nothing, and that somebody should know.
    pub fn warn(&self, text: &str) {
        if !self.common.quiet {
            self.log("warning", "warning", &format!("   = warning: {text}"), &json!({}));
        }
    }

    fn log(&self, level: &str, name: &str, text: &str, fields: &impl Serialize) {
        match self.common.log_format {
            LogFormat::Pretty => self.stderr(text),
            LogFormat::Json => self.json_line(level, name, &json!({"message": text.trim(), "fields": fields})),
        }
    }

    fn json_line(&self, level: &str, name: &str, body: &serde_json::Value) {
        let run_id = self.run_id.as_ref().map(RunId::as_str);
        let mut line = json!({"time": runtime::now().to_string(), "level": level, "event": name, "run_id": run_id});
        if let (Some(line), Some(body)) = (line.as_object_mut(), body.as_object()) {
            line.extend(body.clone());
        }
        self.stderr(&line.to_string());
    }

    /// A line for machines: nothing before it, nothing after it, whatever the form of the log; shown even with `--quiet`.
    pub fn machine_line(&self, text: &str) {
        self.stderr(text);
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
                LogFormat::Json => self.json_line("error", "finding", &json!({"finding": finding_json(finding)})),
            }
        }
    }

    /// Writes the result: JSON or text on stdout, and the JSON to `--result-uri`. A verb's result says what was asked of
    /// its store, when that counts requests.
    ///
    /// # Errors
    /// `Misconfigured` when the result file cannot be written, `Internal` when the result cannot be serialised.
    pub fn result(&self, result: &impl Serialize, text: &str) -> Result<()> {
        let mut result =
            serde_json::to_value(result).map_err(|error| Error::internal("cannot serialise the result").caused_by(error))?;
        let traffic = self.lake.get().and_then(lake::traffic_json);
        if let (Some(traffic), Some(fields)) = (traffic, result.as_object_mut().filter(|fields| fields.contains_key("exit_code")))
        {
            fields.insert("storage".to_owned(), traffic);
        }
        let line = result.to_string();
        if let Some(path) = &self.common.result_uri {
            self.probe_result_uri()?;
            fs::write(path, format!("{line}\n")).map_err(|error| cannot_write_result(path, error))?;
        }
        let shown = if self.common.output == OutputFormat::Json { line } else { text.to_owned() };
        if !shown.is_empty() {
            print_line(&shown)?;
        }
        Ok(())
    }

    /// Proves before any work that `--result-uri` can be written, and that it is not some other file of the user's.
    ///
    /// # Errors
    /// `Misconfigured` when it cannot, or when the file that is there is no result of windrow.
    pub fn probe_result_uri(&self) -> Result<()> {
        let Some(path) = &self.common.result_uri else { return Ok(()) };
        if path.to_string_lossy().contains("://") {
            return Err(Error::misconfigured("--result-uri is an address, and only a file can be written").help("name a file"));
        }
        if path.to_string_lossy().contains("://") {
            let message = format!("--result-uri {} is not a file", path.display());
            return Err(Error::misconfigured(message).help("this version writes results to files only; S3 follows"));
        }
        match fs::read(path) {
            Ok(bytes) if bytes.is_empty() || is_result(&bytes) => Ok(()),
            Ok(_) => Err(Error::misconfigured(format!("--result-uri {} exists and is no result of windrow", path.display()))
                .help("name another file; it will not be overwritten")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let written = fs::File::options().append(true).create(true).open(path);
                written.map(|_| ()).map_err(|error| cannot_write_result(path, error))
            }
            Err(error) => Err(cannot_write_result(path, error)),
        }
    }

    /// Reports a failure of the whole verb, and returns its exit code.
    pub fn fail(&self, error: &Error) -> u8 {
        self.finish();
        match self.common.log_format {
            LogFormat::Pretty => self.stderr(render::error(error, self.colour).trim_end()),
            LogFormat::Json => self.json_line("error", "error", &json!({"error": error_json(error)})),
        }
        let result = json!({"schema": RESULT_SCHEMA, "status": "failed", "error": error_json(error), "exit_code": error.kind().exit_code()});
        // What cannot be written either is this very error, or follows from it.
        let _ = self.result(&result, "");
        error.kind().exit_code()
    }

    /// The run's id: the given one or a new one.
    ///
    /// # Errors
    /// Never, but the type allows it.
    pub fn run_id(&self) -> Result<RunId> {
        self.run_id.clone().map_or_else(runtime::new_run_id, Ok)
    }

    /// The common flags.
    pub fn common(&self) -> &Common {
        &self.common
    }

    fn stderr(&self, text: &str) {
        let write = || {
            // One write a line: nobody who shares the pipe comes between. Nothing is left to be done when the terminal is gone.
            let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

fn print_line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // A closed pipe (`| head`) is the reader's wish, not a failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Transient, "cannot write the result to stdout").caused_by(error))
        }
        _ => Ok(()),
    }
}

/// Tells a result of ours from any other JSON a user may have.
fn is_result(bytes: &[u8]) -> bool {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let ours = ["exit_code", "run_id", "$schema"];
    parsed.is_some_and(|value| ours.iter().any(|key| value.get(key).is_some()))
}

fn cannot_write_result(path: &std::path::Path, error: std::io::Error) -> Error {
    Error::misconfigured(format!("--result-uri {} cannot be written", path.display())).caused_by(error)
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
