//! What people and programs see: progress and findings on stderr, results on stdout.
//!
//! stdout carries data only. stderr carries one line a window, or a bar on a terminal; with `--log-format json` each
//! line there is one JSON object.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::ThreadId;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Map, Value, json};
use windrow_core::{Diagnostic, Error, ErrorKind, PartitionWindow, Result, RunId};
use windrow_lake::Lake;

use crate::cli::{Common, LogFormat, OutputFormat};
use crate::result_uri::ResultTarget;
use crate::subject::Subject;
use crate::{alert, lake, render, runtime};

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
    subject: Subject,
    window: Arc<OnceLock<PartitionWindow>>,
    /// The thread that reports how the process ends.
    reports: Arc<OnceLock<ThreadId>>,
}

impl Reporter {
    /// A reporter that follows the common flags, of a call that is about `subject`.
    pub fn new(common: &Common, subject: Subject) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let wants_bar = is_terminal && !common.quiet && common.log_format == LogFormat::Pretty;
        let bar = wants_bar.then(ProgressBar::hidden);
        let run_id = common.run_id.clone().or_else(|| runtime::new_run_id().ok());
        let (colour, common) = (runtime::colour_wanted(is_terminal), common.clone());
        Reporter { common, run_id, colour, bar, lake: Arc::default(), subject, window: Arc::default(), reports: Arc::default() }
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

    fn json_line(&self, level: &str, name: &str, body: &Value) {
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

    /// Writes the result: JSON or text on stdout, and the JSON to `--result-uri`. What is missing of the envelope is added;
    /// a verb's result says what was asked of its store, when that counts requests.
    ///
    /// # Errors
    /// `Misconfigured` when the result file cannot be written, what the store says when the object cannot, `Internal` when
    /// the result cannot be serialised.
    pub fn result(&self, result: &impl Serialize, text: &str) -> Result<()> {
        self.wait_if_leaving();
        let result =
            serde_json::to_value(result).map_err(|error| Error::internal("cannot serialise the result").caused_by(error))?;
        let line = self.enveloped(result).to_string();
        self.keep(&line).map_err(|error| {
            let place = self.common.result_uri.as_deref().unwrap_or_default();
            let help = error.help_text().map(str::to_owned);
            let lost =
                Error::new(error.kind(), "the result could not be written").with(alert::RESULT_LOST, place).caused_by(error);
            if let Some(help) = help { lost.help(help) } else { lost }
        })?;
        self.show(&line, text)
    }

    /// Adds schema, verb, table, window, run, status and exit code to a result that lacks them; what is no result of a verb
    /// (a JSON Schema, a piece of evidence) stays as it is.
    pub(crate) fn enveloped(&self, result: Value) -> Value {
        let Value::Object(mut fields) = result else { return result };
        if !fields.get("schema").is_some_and(Value::is_number) {
            return Value::Object(fields);
        }
        let mut whole = Map::from_iter([("schema".to_owned(), RESULT_SCHEMA.into())]);
        whole.extend(self.subject().fields());
        whole.insert("run_id".to_owned(), self.run_id.as_ref().map(RunId::as_str).into());
        let is_failed = fields.get("exit_code").and_then(Value::as_u64).is_some_and(|code| code != 0);
        whole.insert("status".to_owned(), if is_failed { "failed" } else { "ok" }.into());
        whole.insert("exit_code".to_owned(), 0.into());
        if fields.get("alert").is_some_and(Value::is_null) {
            fields.remove("alert");
        }
        whole.extend(fields);
        if let Some(traffic) = self.lake.get().and_then(lake::traffic_json) {
            whole.insert("storage".to_owned(), traffic);
        }
        Value::Object(whole)
    }

    /// Writes a line to `--result-uri`, if that is given.
    fn keep(&self, line: &str) -> Result<()> {
        match &self.common.result_uri {
            Some(uri) => ResultTarget::parse(uri)?.write(line, self),
            None => Ok(()),
        }
    }

    fn show(&self, line: &str, text: &str) -> Result<()> {
        let shown = if self.common.output == OutputFormat::Json { line } else { text };
        if shown.is_empty() { Ok(()) } else { print_line(shown) }
    }

    /// Proves before any work that `--result-uri` can be written, and that nothing of the user's is in its place.
    ///
    /// # Errors
    /// `Misconfigured` when it cannot.
    pub fn probe_result_uri(&self) -> Result<()> {
        match &self.common.result_uri {
            Some(uri) => ResultTarget::parse(uri)?.probe(),
            None => Ok(()),
        }
    }

    /// Refuses a `--result-uri` where the lake keeps its own objects.
    ///
    /// # Errors
    /// `Misconfigured`.
    pub fn refuse_result_in(&self, root: &Path, lake: &str) -> Result<()> {
        match &self.common.result_uri {
            Some(uri) => ResultTarget::parse(uri)?.refuse_in_lake(root, lake),
            None => Ok(()),
        }
    }

    /// The result of a verb that failed as a whole.
    pub fn failure(&self, error: &Error) -> Value {
        self.enveloped(json!({
            "schema": RESULT_SCHEMA,
            "status": "failed",
            "exit_code": error.kind().exit_code(),
            "error": error_json(error),
            "alert": self.alert(error),
        }))
    }

    /// A failure in business words.
    pub fn alert(&self, error: &Error) -> String {
        alert::failed(&self.subject(), error)
    }

    /// Reports a failure of the whole verb, and returns its exit code. The result is written and printed; what cannot be
    /// written is told, and changes nothing of the failure.
    pub fn fail(&self, error: &Error) -> u8 {
        self.finish();
        self.tell(error);
        self.close(error, &self.failure(error));
        error.kind().exit_code()
    }

    /// Tells whether this thread is the one that reports how the process ends: the first that asks or reports.
    pub fn may_report(&self) -> bool {
        let this = std::thread::current().id();
        *self.reports.get_or_init(|| this) == this
    }

    /// Another thread that reports the end leaves the process in a moment; one result is enough.
    fn wait_if_leaving(&self) {
        while !self.may_report() {
            std::thread::park();
        }
    }

    /// A failure on stderr.
    pub fn tell(&self, error: &Error) {
        match self.common.log_format {
            LogFormat::Pretty => self.stderr(render::error(error, self.colour).trim_end()),
            LogFormat::Json => self.json_line("error", "error", &json!({"error": error_json(error)})),
        }
    }

    /// Writes and prints the result of a failure.
    pub fn close(&self, error: &Error, result: &Value) {
        self.wait_if_leaving();
        let line = result.to_string();
        let is_lost = error.context().iter().any(|(key, _)| *key == alert::RESULT_LOST);
        if !is_lost
            && let Err(lost) = self.keep(&line)
            && lost.message() != error.message()
        {
            self.alarm("result", &format!("   = the result was not written: {lost}"), &json!({"error": error_json(&lost)}));
        }
        // Nobody reads it any more.
        let _ = self.show(&line, "");
    }

    /// What the verb is about.
    pub fn subject(&self) -> Subject {
        Subject { window: self.subject.window.or_else(|| self.window.get().copied()), ..self.subject.clone() }
    }

    /// Names the one window of the verb, once it is known: for a window that is named by something else than itself.
    pub fn name_window(&self, window: &PartitionWindow) {
        let _ = self.window.set(*window);
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

/// An error as results and logs carry it.
pub fn error_json(error: &Error) -> Value {
    let kind: ErrorKind = error.kind();
    let context: Map<String, Value> = error.context().iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({
        "kind": kind.name(),
        "error": kind.step_functions_error(),
        "exit_code": kind.exit_code(),
        "message": error.to_string(),
        "context": context,
        "help": error.help_text().unwrap_or_else(|| kind.next_step()),
        "rows": error.rows().map(|rows| json!({"read": rows.read, "refused": rows.refused})),
        "findings": error.diagnostics().iter().take(20).map(finding_json).collect::<Vec<_>>(),
    })
}

/// A finding as results and logs carry it.
pub fn finding_json(finding: &Diagnostic) -> Value {
    json!({
        "code": finding.code.as_str(),
        "title": finding.title,
        "subject": finding.subject,
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
