//! One run of the job as a child of this process, inside the limits of a worker: how long, how much, and how it ended.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use windrow_core::{Error, ErrorKind, Result};

use crate::runtime::{self, Runtime};

use super::limits::{Cage, NOT_CAGED};

/// How often the child is looked at; its end is seen this much late at most.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Ticks of the kernel's process times a second: the same on every Linux that programs can see (proc_pid_stat(5)).
const TICKS_A_SECOND: u64 = 100;

const KILLED: i32 = 9;

/// What one run took.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    /// From its start to its end.
    pub(super) wall_seconds: f64,
    /// CPU time, of the user and the kernel.
    pub(super) cpu_seconds: f64,
    /// The most memory that the kernel could not take back (anonymous and shared); zero when the run was too short to be
    /// seen.
    pub(super) peak_bytes: u64,
    /// The most memory that was resident, pages of the program and of mapped files among it.
    pub(super) resident_peak_bytes: u64,
    /// What the kernel charged at most, pages of files among it; unknown in a scope of systemd.
    pub(super) charged_peak_bytes: Option<u64>,
    /// The peak as the job counts it; `None` when it says nothing.
    pub(super) told_peak_bytes: Option<u64>,
    /// Bytes the job says it spilled to disk; `None` when it says nothing.
    pub(super) spilled_bytes: Option<u64>,
    /// Rows read.
    pub(super) rows_in: u64,
    /// Why it is no good.
    pub(super) failure: Option<Failure>,
}

impl Run {
    /// A run that could not be started.
    pub(super) fn not_started(failure: Failure) -> Run {
        Run {
            wall_seconds: 0.0,
            cpu_seconds: 0.0,
            peak_bytes: 0,
            resident_peak_bytes: 0,
            told_peak_bytes: None,
            charged_peak_bytes: None,
            spilled_bytes: None,
            rows_in: 0,
            failure: Some(failure),
        }
    }
}

/// How a run failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Failure {
    /// The class of the error.
    pub(super) kind: &'static str,
    /// The exit code of the job; `None` when it was ended by a signal.
    pub(super) exit_code: Option<i32>,
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
    /// In one sentence.
    pub(super) message: String,
    #[serde(skip)]
    pub(super) error_kind: Option<ErrorKind>,
}

impl Failure {
    /// A failure of which an error tells; no job ran.
    pub(super) fn of_error(error: &Error) -> Failure {
        Failure::new(error.kind(), None, error.message().to_owned())
    }

    fn new(kind: ErrorKind, exit_code: Option<i32>, message: String) -> Failure {
        Failure { kind: kind.name(), exit_code, signal: None, message, error_kind: Some(kind) }
    }
}

/// What is run.
pub(super) struct Job<'a> {
    /// This program.
    pub(super) program: &'a Path,
    /// Verb and flags.
    pub(super) arguments: &'a [String],
    /// Where its stdout and stderr go.
    pub(super) stdout: &'a Path,
    pub(super) stderr: &'a Path,
}

/// Runs the job in the cage.
///
/// # Errors
/// `Interrupted` when this process was asked to stop, `Transient` when no child can be started. How the job ends is no
/// error.
pub(super) fn run(job: &Job<'_>, cage: &Cage, runtime: &Runtime) -> Result<Run> {
    let mut command = cage.command(job.program);
    prepare(&mut command, job).map_err(not_started)?;
    let started = runtime::instant();
    let mut child = command.spawn().map_err(not_started)?;
    let mut seen = Seen::default();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(not_started)? {
            break status;
        }
        seen.look(child.id());
        if let Err(stopped) = runtime.check_interrupted() {
            stop(&mut child);
            return Err(stopped);
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let wall = started.elapsed();
    let result: Value = serde_json::from_slice(&fs::read(job.stdout).unwrap_or_default()).unwrap_or_default();
    let (told_peak_bytes, spilled_bytes) = memory(&result);
    Ok(Run {
        wall_seconds: wall.as_secs_f64(),
        cpu_seconds: cage.cpu_time().unwrap_or(seen.cpu).as_secs_f64(),
        peak_bytes: seen.peak_bytes,
        resident_peak_bytes: seen.resident_peak_bytes,
        told_peak_bytes,
        charged_peak_bytes: cage.charged_peak_bytes(),
        spilled_bytes,
        rows_in: rows_in(&result),
        failure: failure(status, &result, job.stderr, cage),
    })
}

/// The child sees nothing of what this process was told by its environment, tells nobody but this process, and leaves when
/// this process does.
fn prepare(command: &mut Command, job: &Job<'_>) -> std::io::Result<()> {
    for name in runtime::own_variables() {
        command.env_remove(name);
    }
    command.env("OPENLINEAGE_DISABLED", "true").env(runtime::SUPERVISED, "1").args(job.arguments);
    command.stdin(Stdio::piped()).stdout(File::create(job.stdout)?).stderr(File::create(job.stderr)?).process_group(0);
    Ok(())
}

fn stop(child: &mut Child) {
    // It may have ended meanwhile.
    let _ = child.kill();
    let _ = child.wait();
}

fn not_started(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Transient, "the job cannot be started").caused_by(error)
}

/// What was seen of the child while it ran.
#[derive(Debug, Default)]
struct Seen {
    peak_bytes: u64,
    resident_peak_bytes: u64,
    most_of_files: u64,
    cpu: Duration,
}

impl Seen {
    fn look(&mut self, pid: u32) {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        self.memory(&read("status"));
        self.cpu = self.cpu.max(cpu_time(&read("stat")).unwrap_or_default());
    }

    /// Takes the figures of `/proc/PID/status`. Anonymous memory has no high-water mark there: it is at least what is seen of
    /// it, and at least the mark of all resident memory less the most pages of files that were ever seen.
    fn memory(&mut self, status: &str) {
        let of = |name: &str| field_bytes(status, name).unwrap_or_default();
        self.most_of_files = self.most_of_files.max(of("RssFile:"));
        self.resident_peak_bytes = self.resident_peak_bytes.max(of("VmHWM:"));
        let at_least = self.resident_peak_bytes.saturating_sub(self.most_of_files);
        self.peak_bytes = self.peak_bytes.max(of("RssAnon:") + of("RssShmem:")).max(at_least);
    }
}

/// A field in the text of `/proc/PID/status`.
fn field_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

/// User and system time in the text of `/proc/PID/stat`; the name before them may hold anything but ends with the last `)`.
fn cpu_time(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_millis((user + system) * 1_000 / TICKS_A_SECOND))
}

/// What the job says of its memory, in any table of its result: the largest peak, and all that was spilled.
fn memory(result: &Value) -> (Option<u64>, Option<u64>) {
    let (mut peak, mut spilled): (Option<u64>, Option<u64>) = (None, None);
    each_object(result, &mut |fields| {
        let Some(memory) = fields.get("memory").filter(|memory| memory.is_object()) else { return };
        peak = peak.max(memory["peak_bytes"].as_u64());
        if let Some(bytes) = memory["spilled_bytes"].as_u64() {
            spilled = Some(spilled.unwrap_or_default() + bytes);
        }
    });
    (peak, spilled)
}

/// Rows read of raw files: of the one table, or of the clean tables of a whole trip.
fn rows_in(result: &Value) -> u64 {
    let of_trip = |table: &Value| table["table"].as_str().is_some_and(|name| name.starts_with("clean."));
    let tables = result["windows"].as_array().into_iter().flatten().filter_map(|window| window["tables"].as_array()).flatten();
    let rows = tables.filter(|table| of_trip(table)).filter_map(|table| table["rows_in"].as_u64()).sum();
    result["rows_in"].as_u64().unwrap_or(rows)
}

fn each_object(value: &Value, visit: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            visit(fields);
            fields.values().for_each(|value| each_object(value, visit));
        }
        Value::Array(values) => values.iter().for_each(|value| each_object(value, visit)),
        _ => {}
    }
}

fn failure(status: ExitStatus, result: &Value, stderr: &Path, cage: &Cage) -> Option<Failure> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(NOT_CAGED), _) if result.is_null() => {
            let kind = ErrorKind::Misconfigured;
            Some(Failure::new(kind, Some(NOT_CAGED), format!("the job could not enter its limits: {}", last_line(stderr))))
        }
        (Some(code), _) => Some(ended(code, result, stderr)),
        (None, signal) => Some(killed(signal, cage.kernel_kills())),
    }
}

fn ended(code: i32, result: &Value, stderr: &Path) -> Failure {
    let kind = u8::try_from(code).ok().and_then(ErrorKind::of_exit_code).unwrap_or(ErrorKind::Internal);
    let told = result["error"]["message"].as_str().or(result["alert"].as_str()).map(str::to_owned);
    let message = told.filter(|told| !told.is_empty()).unwrap_or_else(|| last_line(stderr));
    Failure::new(kind, Some(code), message)
}

fn killed(signal: Option<i32>, kernel_kills: Option<u64>) -> Failure {
    let (kind, message) = match (signal, kernel_kills) {
        (Some(KILLED), Some(1..)) => (ErrorKind::OutOfMemory, "killed by the kernel: out of memory".to_owned()),
        // A scope that is gone counts nothing; nobody else kills a child with this signal.
        (Some(KILLED), None) => (ErrorKind::OutOfMemory, "killed (SIGKILL), as the kernel does when memory runs out".to_owned()),
        (Some(KILLED), Some(0)) => (ErrorKind::Internal, "killed (SIGKILL) by somebody, not for its memory".to_owned()),
        (Some(signal), _) => (ErrorKind::Internal, format!("ended by signal {signal}")),
        (None, _) => (ErrorKind::Internal, "ended without an exit code".to_owned()),
    };
    Failure { signal, ..Failure::new(kind, None, message) }
}

/// The last line that is not empty.
fn last_line(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(field_bytes("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n", "VmHWM:"), Some(2_097_152));
        assert_eq!(field_bytes("State:\tZ (zombie)\n", "VmHWM:"), None);
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 0 0 123 45 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_time(stat), Some(Duration::from_millis(1_680)));
        assert_eq!(cpu_time("7 (x"), None);
        let own = cpu_time(&fs::read_to_string("/proc/self/stat").unwrap());
        assert!(own.is_some() && field_bytes(&fs::read_to_string("/proc/self/status").unwrap(), "RssAnon:") > Some(1 << 16));
    }

    #[test]
    fn pages_of_files_do_not_count_and_a_peak_between_two_looks_does() {
        let status = |high: u64, file: u64, anonymous: u64| {
            format!("VmHWM:\t{high} kB\nRssAnon:\t{anonymous} kB\nRssFile:\t{file} kB\nRssShmem:\t1 kB\n")
        };
        let mut seen = Seen::default();
        seen.memory(&status(150, 100, 49));
        assert_eq!(seen.peak_bytes, 50 << 10);
        // It was 80 in between.
        seen.memory(&status(180, 100, 30));
        assert_eq!((seen.peak_bytes, seen.resident_peak_bytes), (80 << 10, 180 << 10));
        // The kernel took pages of files back.
        seen.memory(&status(180, 10, 30));
        assert_eq!(seen.peak_bytes, 80 << 10);
    }

    #[test]
    fn what_the_job_says_of_its_memory_is_added_up() {
        let stage = json!({"rows_in": 7, "memory": {"limit_bytes": 9, "peak_bytes": 5, "spilled_bytes": 3}});
        assert_eq!((memory(&stage), rows_in(&stage)), ((Some(5), Some(3)), 7));
        let trip = json!({"windows": [{"tables": [
            {"table": "clean.a", "rows_in": 2, "memory": {"peak_bytes": 5, "spilled_bytes": 3}},
            {"table": "clean.b", "rows_in": 3, "memory": {"peak_bytes": 8, "spilled_bytes": 1}},
            {"table": "curated.a", "rows_in": 4}
        ]}]});
        assert_eq!((memory(&trip), rows_in(&trip)), ((Some(8), Some(4)), 5));
        assert_eq!((memory(&json!({"status": "ok"})), rows_in(&Value::Null)), ((None, None), 0));
    }

    #[test]
    fn how_a_job_was_killed_is_told_apart() {
        assert_eq!(killed(Some(9), Some(1)).kind, "OutOfMemory");
        assert_eq!(killed(Some(9), None).kind, "OutOfMemory");
        assert_eq!(killed(Some(9), Some(0)).kind, "Internal");
        let aborted = killed(Some(6), Some(0));
        assert_eq!((aborted.kind, aborted.signal, aborted.message.as_str()), ("Internal", Some(6), "ended by signal 6"));
    }

    #[test]
    fn an_exit_code_names_its_class_and_the_jobs_own_words() {
        let nowhere = Path::new("/nowhere");
        let own = ended(71, &json!({"error": {"message": "20 GiB would do"}}), nowhere);
        assert_eq!((own.kind, own.exit_code, own.message.as_str()), ("OutOfMemory", Some(71), "20 GiB would do"));
        let mute = ended(101, &Value::Null, nowhere);
        assert_eq!((mute.kind, mute.message.as_str()), ("Internal", "it said nothing"));
    }
}
