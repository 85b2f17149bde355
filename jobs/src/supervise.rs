//! The small process in front of a job that a Step Functions task waits for.
//!
//! ```text
//! supervisor ─▶ child: the same command line, without the token, --output json
//!    │ heartbeats while it works     │ stdin: a byte asks it to stop; stdout: its result, one line
//!    ◀───────────────────────────────┘
//!    └▶ SendTaskSuccess | SendTaskFailure, the line on stdout, the exit code
//! ```
//! The token stays in this process. The child can be killed by the kernel for its memory and is still reported, because
//! this process lives on.

mod ending;

use std::ffi::OsString;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinHandle;
use windrow_aws::{Answer, TaskCallback};
use windrow_core::{Error, ErrorKind, Result};

use crate::cli::{Given, OutputFormat};
use crate::report::Reporter;
use crate::{lake, runtime};

use ending::{End, Ending};

/// How long after a signal the child may take; it leaves by itself after 20 s, and a task is killed after 30 s.
const LONGEST_STOP: Duration = Duration::from_secs(22);

/// How long what the child printed may take to arrive after its end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The seconds between two heartbeats, when none are given.
const HEARTBEAT_SECONDS: u64 = 30;

/// How much rather the child is killed than this process when memory runs out; -1000 to 1000.
const OOM_SCORE: &str = "500";

/// A task's token and how often it wants to hear of the work.
pub(crate) struct Ticket {
    token: String,
    every: Duration,
}

/// Says nothing of the token.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("every", &self.every).finish_non_exhaustive()
    }
}

impl Ticket {
    /// The ticket on the command line or in the environment; a blank token is none.
    pub(crate) fn of(given: &Given) -> Option<Ticket> {
        let token = given.value("task-token").filter(|token| !token.trim().is_empty())?;
        // A number that is none is refused by the child, which knows how to say so.
        let seconds = given.value("heartbeat-seconds").and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
        Some(Ticket { token, every: Duration::from_secs(seconds.unwrap_or(HEARTBEAT_SECONDS)) })
    }
}

/// Runs this program again with `arguments` as the child of a supervisor, and reports to the ticket's state machine.
///
/// # Errors
/// `Transient` and `Internal` when no child could be started; nobody was told then.
pub(crate) fn run(arguments: &[OsString], given: &Given, ticket: Ticket) -> Result<ExitCode> {
    let mut common = given.common()?;
    common.output = OutputFormat::Json;
    common.run_id = Some(common.run_id.map_or_else(runtime::new_run_id, Ok)?);
    let reporter = Reporter::new(&common, given.subject());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::new(ErrorKind::Transient, "cannot start a runtime").caused_by(error))?;
    let supervisor = Supervisor { line: Arc::new(Line { ticket, callback: OnceCell::new(), reporter }) };
    let code = runtime.block_on(supervisor.run(arguments));
    // A name that is being looked up must not hold up the end.
    runtime.shutdown_background();
    Ok(ExitCode::from(code))
}

struct Supervisor {
    line: Arc<Line>,
}

impl Supervisor {
    async fn run(&self, arguments: &[OsString]) -> u8 {
        let ending = match self.watch(arguments).await {
            Ok(end) => end.ending(&self.line.reporter),
            Err(error) => Ending::of_error(&error, &self.line.reporter),
        };
        // The state machine first: writing a result can take longer than a task that was told to stop may live.
        self.line.report(&ending).await;
        ending.publish(&self.line.reporter);
        ending.code
    }

    /// Starts the child and waits for its end, with heartbeats meanwhile.
    async fn watch(&self, arguments: &[OsString]) -> Result<End> {
        let mut signals = Signals::listen()?;
        let reporter = &self.line.reporter;
        let mut child = start(arguments, &reporter.run_id()?.to_string())?;
        let (mut ask, stdout) = (child.stdin.take(), child.stdout.take());
        let printed = tokio::task::spawn_blocking(move || read(stdout));
        let ended = tokio::task::spawn_blocking(move || child.wait());
        let given_up = Arc::new(Notify::new());
        let heartbeats = tokio::spawn(heartbeats(Arc::clone(&self.line), Arc::clone(&given_up)));
        let (status, is_stopped) = wait(ended, &mut ask, &mut signals, &given_up).await?;
        heartbeats.abort();
        let printed = tokio::time::timeout(LAST_WORDS, printed).await.ok().and_then(std::result::Result::ok);
        Ok(End { status, is_stopped, printed: printed.unwrap_or_default() })
    }
}

/// The line to the state machine, and where is told what became of it.
struct Line {
    ticket: Ticket,
    callback: OnceCell<TaskCallback>,
    reporter: Reporter,
}

impl Line {
    async fn callback(&self) -> &TaskCallback {
        self.callback.get_or_init(|| async { TaskCallback::open(&self.ticket.token, &lake::s3_environment()).await }).await
    }

    async fn report(&self, ending: &Ending) {
        let callback = self.callback().await;
        let (call, answer) = match ending.failure() {
            Some(failure) => ("SendTaskFailure", callback.fail(&failure).await),
            None => ("SendTaskSuccess", callback.succeed(&ending.output()).await),
        };
        self.tell(call, &answer);
    }

    fn tell(&self, call: &str, answer: &Answer) {
        let (what, text) = match answer {
            Answer::Accepted => return,
            Answer::TimedOut(text) | Answer::Abandoned(text) => ("nobody waits for this task any more", text),
            Answer::Failed(text) => ("the state machine could not be reached", text),
        };
        self.reporter.alarm("callback", &format!("   = warning: {call}: {what}: {text}"), &json!({"call": call, "answer": text}));
    }
}

/// One heartbeat at once, because the task's clock began with its container, then one in every interval.
async fn heartbeats(line: Arc<Line>, given_up: Arc<Notify>) {
    let mut ticks = tokio::time::interval(line.ticket.every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_heard = false;
    loop {
        ticks.tick().await;
        let answer = line.callback().await.heartbeat().await;
        line.tell("SendTaskHeartbeat", &answer);
        match answer {
            Answer::Accepted => was_heard = true,
            Answer::Failed(_) => {}
            // The result is not wanted, also when this task came too late to be heard at all; a replay will follow.
            Answer::TimedOut(_) => {
                given_up.notify_one();
                return;
            }
            // Who was heard before and is not known any more was aborted. A token that never was one (a job started by
            // hand) stops nothing.
            Answer::Abandoned(_) => {
                if was_heard {
                    given_up.notify_one();
                }
                return;
            }
        }
    }
}

fn start(arguments: &[OsString], run_id: &str) -> Result<Child> {
    let program = runtime::this_program()?;
    let mut command = Command::new(program);
    command.arg0(runtime::program()).args(crate::cli::without(arguments, &["task-token", "output"]));
    command.env_remove("WINDROW_TASK_TOKEN").env("WINDROW_OUTPUT", "json").env("WINDROW_RUN_ID", run_id);
    command.env(runtime::SUPERVISED, "1");
    // A group of its own: a Ctrl-C of the terminal comes through this process, once, and not twice.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    let child = command.spawn().map_err(|error| Error::new(ErrorKind::Transient, "cannot start the job").caused_by(error))?;
    // Where the system has no such file, or does not allow it, its own choice stands.
    let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), OOM_SCORE);
    Ok(child)
}

fn read(stdout: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came until the pipe broke is judged like any other output.
    let _ = stdout.map(|mut stdout| stdout.read_to_end(&mut bytes));
    bytes
}

/// The child's status, and whether it was asked to stop; no status when it did not stop in time. It leaves then when this
/// process does, since its standard input ends.
async fn wait(
    mut ended: JoinHandle<std::io::Result<ExitStatus>>,
    ask: &mut Option<ChildStdin>,
    signals: &mut Signals,
    given_up: &Notify,
) -> Result<(Option<ExitStatus>, bool)> {
    let patience = tokio::time::sleep(LONGEST_STOP);
    tokio::pin!(patience);
    let mut is_stopped = false;
    loop {
        tokio::select! {
            status = &mut ended => {
                let status = status.map_err(std::io::Error::other).and_then(|status| status);
                let status = status.map_err(|error| Error::internal("the job's end could not be seen").caused_by(error))?;
                return Ok((Some(status), is_stopped));
            }
            () = signals.next() => {}
            () = given_up.notified() => {}
            () = &mut patience, if is_stopped => return Ok((None, true)),
        }
        if !is_stopped {
            is_stopped = true;
            patience.as_mut().reset(tokio::time::Instant::now() + LONGEST_STOP);
        }
        // A child that has ended meanwhile reads no more.
        let _ = ask.as_mut().map(|ask| ask.write_all(b"."));
    }
}

/// The signals that ask a process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|error| Error::internal("cannot listen for signals").caused_by(error));
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Signals { terminate, interrupt, hangup: listen(SignalKind::hangup())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
