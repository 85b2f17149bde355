//! What the end of a supervised job means: its own result where it left one, else one made of how it ended.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::{Value, json};
use windrow_aws::TaskFailure;
use windrow_core::{Error, ErrorKind};

use crate::report::{RESULT_SCHEMA, Reporter, error_json};

/// SIGKILL: what the kernel sends for lack of memory, and nobody else to a child whose supervisor lives.
const KILLED: i32 = 9;

/// How the child ended.
#[derive(Debug)]
pub(super) struct End {
    /// `None` when it did not stop in time.
    pub(super) status: Option<ExitStatus>,
    /// Whether it was told to stop.
    pub(super) is_stopped: bool,
    /// What it printed on stdout.
    pub(super) printed: Vec<u8>,
}

/// What is reported.
#[derive(Debug)]
pub(super) struct Ending {
    /// The exit code of the class.
    pub(super) code: u8,
    result: Value,
    /// What the child printed, when it is its result, or the answer of a verb that has none.
    printed: Option<Vec<u8>>,
    /// Why there is no result of the child's own.
    error: Option<Error>,
}

impl End {
    pub(super) fn ending(self, reporter: &Reporter) -> Ending {
        let code = self.status.and_then(|status| status.code());
        let Some(code) = code.and_then(|code| u8::try_from(code).ok()) else {
            return Ending::of_error(&self.killed(), reporter);
        };
        let printed: Option<Value> = serde_json::from_slice(&self.printed).ok();
        match printed {
            Some(result) if code == 0 || result["exit_code"] == code => {
                Ending { code, result: with_error(result, code), printed: Some(self.printed), error: None }
            }
            _ if code == 0 => {
                let result = reporter.enveloped(json!({"schema": RESULT_SCHEMA}));
                Ending { code, result, printed: Some(self.printed), error: None }
            }
            _ => Ending::of_error(&left_without_result(code), reporter),
        }
    }

    fn killed(&self) -> Error {
        let signal = self.status.and_then(|status| status.signal());
        match signal {
            _ if self.is_stopped => {
                Error::new(ErrorKind::Interrupted, "the job was stopped by a signal; nothing was half-published")
            }
            Some(KILLED) => Error::new(
                ErrorKind::OutOfMemory,
                "the job was killed (SIGKILL), as the kernel does when memory runs out; nothing was half-published",
            )
            .help("run it again with more memory; `windrow run` needs less with --concurrency 1"),
            Some(signal) => Error::internal(format!("the job was ended by signal {signal}; nothing was half-published")),
            None => Error::internal("the job ended without an exit code"),
        }
    }
}

impl Ending {
    /// The ending of a job that left no result.
    pub(super) fn of_error(error: &Error, reporter: &Reporter) -> Ending {
        let copy = Error::new(error.kind(), error.to_string());
        let copy = if let Some(help) = error.help_text() { copy.help(help) } else { copy };
        Ending { code: error.kind().exit_code(), result: reporter.failure(&copy), printed: None, error: Some(copy) }
    }

    /// Prints the result; one that the child could not write to `--result-uri` is written there.
    pub(super) fn publish(&self, reporter: &Reporter) {
        if let Some(error) = &self.error {
            reporter.tell(error);
            reporter.close(error, &self.result);
        }
        if let Some(printed) = &self.printed {
            // A closed pipe is the reader's wish.
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(printed).and_then(|()| out.flush());
        }
    }

    pub(super) fn failure(&self) -> Option<TaskFailure> {
        (self.code != 0).then(|| windrow_aws::task_failure(&self.result))
    }

    pub(super) fn output(&self) -> String {
        windrow_aws::task_output(&self.result)
    }
}

fn left_without_result(code: u8) -> Error {
    let kind = ErrorKind::of_exit_code(code).unwrap_or(ErrorKind::Internal);
    Error::new(kind, format!("the job left with exit code {code} and without a result; its log says why"))
}

/// A failed result always names its error, so that the state machine can match it.
fn with_error(mut result: Value, code: u8) -> Value {
    if code != 0 && !result["error"].is_object() {
        result["error"] = error_json(&left_without_result(code));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Given;

    fn reporter() -> Reporter {
        let words = ["windrow", "raw-to-clean", "--dataset", "orders", "--window", "2024-09-08", "--run-id", "r-1"];
        let given = Given::of(&words);
        Reporter::new(&given.common().unwrap(), given.subject())
    }

    /// The ending of a raw wait status: code in the high byte, signal in the low one.
    fn ending(raw: i32, is_stopped: bool, printed: &str) -> Ending {
        End { status: Some(ExitStatus::from_raw(raw)), is_stopped, printed: printed.into() }.ending(&reporter())
    }

    #[test]
    fn every_end_has_a_class_a_result_and_an_alert() {
        for (raw, is_stopped, code, error) in [
            (9, false, 71, "Windrow.OutOfMemory"),
            (9, true, 143, "Windrow.Transient"),
            (15, true, 143, "Windrow.Transient"),
            (15, false, 70, "Windrow.Internal"),
            (6, false, 70, "Windrow.Internal"),
            (11, false, 70, "Windrow.Internal"),
            (70 << 8, false, 70, "Windrow.Internal"),
            (101 << 8, false, 70, "Windrow.Internal"),
            (75 << 8, false, 75, "Windrow.Transient"),
        ] {
            let ending = ending(raw, is_stopped, "{\"half");
            let failure = ending.failure().unwrap();
            assert_eq!((ending.code, failure.error.as_str()), (code, error), "{raw}");
            assert_eq!((&ending.result["run_id"], &ending.result["window"]), (&"r-1".into(), &"2024-09-08".into()), "{raw}");
            let alert = ending.result["alert"].as_str().unwrap();
            assert!(alert.starts_with("orders for 2024-09-08 not published: "), "{raw}: {alert}");
            assert!(failure.cause.contains(alert), "{raw}: {}", failure.cause);
        }
    }

    #[test]
    fn the_jobs_own_result_is_what_is_reported() {
        let good = ending(0, false, "{\"status\":\"staged\",\"epoch\":3,\"exit_code\":0}\n");
        assert_eq!(
            (good.code, good.failure(), good.output().as_str()),
            (0, None, r#"{"epoch":3,"exit_code":0,"status":"staged"}"#)
        );
        let bad = ending(65 << 8, false, r#"{"exit_code":65,"alert":"a","error":{"error":"Windrow.CorruptInput"}}"#);
        assert_eq!((bad.code, bad.failure().unwrap().error.as_str()), (65, "Windrow.CorruptInput"));
        let help = ending(0, false, "Usage: windrow …\n");
        assert!(help.output().contains(r#""status":"ok""#) && help.printed.is_some(), "{}", help.output());
        let mute = ending(78 << 8, false, r#"{"exit_code":78,"findings":[]}"#);
        assert_eq!(mute.failure().unwrap().error, "Windrow.Misconfigured");
    }

    #[test]
    fn a_job_that_does_not_stop_in_time_was_stopped() {
        let ending = End { status: None, is_stopped: true, printed: Vec::new() }.ending(&reporter());
        assert_eq!((ending.code, ending.failure().unwrap().error.as_str()), (143, "Windrow.Transient"));
    }
}
