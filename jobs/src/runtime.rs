//! The only place that touches what differs from run to run: environment, clock, randomness, signals and threads.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use windrow_core::id::{Attempt, RunId};
use windrow_core::ledger::CodeVersion;
use windrow_core::{Error, ErrorKind, Result};

/// What a run needs of the world.
#[derive(Debug)]
pub struct Runtime {
    tokio: tokio::runtime::Runtime,
    interrupted: Arc<AtomicBool>,
    out_of_patience: tokio::sync::watch::Receiver<bool>,
    started: Instant,
}

/// What is said when the process leaves at once.
pub type LastWords = Arc<dyn Fn(&Error) + Send + Sync>;

/// How long after a signal a request to the store may still take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long after a signal anything may still take.
const LONGEST_DRAIN: Duration = Duration::from_secs(20);

impl Runtime {
    /// Starts the threads and listens for SIGINT, SIGTERM and SIGHUP.
    ///
    /// # Errors
    /// `Transient` when the system refuses a thread.
    pub fn start(last_words: LastWords) -> Result<Self> {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Error::new(ErrorKind::Transient, "cannot start threads").caused_by(error))?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let (no_patience, out_of_patience) = tokio::sync::watch::channel(false);
        tokio.spawn(watch_signals(interrupted.clone(), no_patience, last_words));
        Ok(Runtime { tokio, interrupted, out_of_patience, started: instant() })
    }

    /// Runs a future to its end on this thread; one that does not end after a signal is given up.
    ///
    /// # Errors
    /// `Interrupted` when it was given up, else the future's own.
    pub fn block_on<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let mut out_of_patience = self.out_of_patience.clone();
        self.tokio.block_on(async {
            tokio::select! {
                biased;
                done = future => done,
                Ok(_) = out_of_patience.wait_for(|is_out| *is_out) => Err(stopped()),
            }
        })
    }

    /// The handle by which other threads wait for futures.
    pub fn handle(&self) -> &tokio::runtime::Handle {
        self.tokio.handle()
    }

    /// Fails once the run has been asked to stop; called between the steps of a window.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn check_interrupted(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        Ok(())
    }

    /// Whether the run has been asked to stop, for who looks on another thread.
    pub fn interrupted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupted)
    }

    /// Since the start of the process, about.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The error of a run that was asked to stop.
pub fn stopped() -> Error {
    Error::new(ErrorKind::Interrupted, "stopped by a signal; nothing was half-published")
}

async fn watch_signals(interrupted: Arc<AtomicBool>, no_patience: tokio::sync::watch::Sender<bool>, last_words: LastWords) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {},
        _ = interrupt.recv() => {},
        _ = hangup.recv() => {},
        () = ASKED_TO_STOP.notified() => {},
    }
    interrupted.store(true, Ordering::Relaxed);
    // A step that does not look up in time is left where it is: whatever it wrote is invisible without an outcome.
    let drain = async {
        tokio::time::sleep(PATIENCE).await;
        no_patience.send_replace(true);
        tokio::time::sleep(LONGEST_DRAIN - PATIENCE).await;
    };
    tokio::select! {
        _ = terminate.recv() => {},
        _ = interrupt.recv() => {},
        () = ASKED_TO_STOP.notified() => {},
        () = drain => {},
    }
    last_words(&stopped());
    leave_now(ErrorKind::Interrupted);
}

/// Leaves without waiting for anything: whatever is half done is invisible without an outcome.
#[expect(clippy::exit, reason = "a second signal, a step that does not end within 20 s, no memory left; commits are atomic")]
pub fn leave_now(kind: ErrorKind) {
    std::process::exit(i32::from(kind.exit_code()));
}

/// The moment, for measuring durations.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// The time of day; used in reports and freshness, never in what is committed.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A new attempt id.
///
/// # Errors
/// `Internal` never happens: a UUID's simple form is an attempt.
#[expect(clippy::disallowed_methods, reason = "the one place that makes attempts")]
pub fn new_attempt() -> Result<Attempt> {
    uuid::Uuid::now_v7().simple().to_string().parse()
}

/// A new run id, sortable by time.
///
/// # Errors
/// `Internal` never happens: the text fits a run id.
pub fn new_run_id() -> Result<RunId> {
    let attempt = new_attempt()?;
    let text = attempt.as_str();
    let (time, rest) = text.split_at(12);
    format!("r-{time}-{}", rest.get(rest.len() - 8..).unwrap_or_default()).parse()
}

/// A new dataset uuid.
///
/// # Errors
/// As [`new_attempt`].
pub fn new_dataset_uuid() -> Result<String> {
    Ok(new_attempt()?.as_str().to_owned())
}

/// The version of this program, and its commit when the build was told it.
pub fn code_version() -> CodeVersion {
    CodeVersion { version: env!("CARGO_PKG_VERSION").to_owned(), git: option_env!("WINDROW_GIT").map(str::to_owned) }
}

/// How many cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// Where files go that are gone with the process.
pub fn temp_folder() -> PathBuf {
    std::env::temp_dir()
}

/// Four fifths of the memory that the container, or else the machine, has; the rest is for the program, the allocator and
/// the kernel's copies. `None` where the system does not tell.
pub fn memory_to_use() -> Option<u64> {
    let machine = kibibytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    Some(container_limits().into_iter().fold(machine, u64::min) / 5 * 4)
}

/// The limits of this process's control group and of those above it, version 2 and 1.
fn container_limits() -> Vec<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // In a container the path may be that of the host; the root then is the container's own group.
        for folder in std::path::Path::new(path).ancestors() {
            let file = std::path::Path::new(root).join(folder.strip_prefix("/").unwrap_or(folder)).join(file);
            limits.extend(std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u64>().ok()));
        }
    }
    limits
}

/// The most memory this process ever held, in bytes.
pub fn peak_memory() -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// How much memory this process holds now that is no file's, in bytes, as the kernel counts it. `None` where the system does not
/// tell.
pub fn held_memory() -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?, "RssAnon:")
}

/// Gives memory back to the system that was freed, and that the allocator keeps for a while.
#[cfg(target_os = "linux")]
pub fn give_memory_back() {
    use tikv_jemalloc_ctl::{Access, AsName, arenas};
    for arena in 0..arenas::narenas::read().unwrap_or(0) {
        let key = format!("arena.{arena}.dirty_decay_ms\0");
        let key = key.as_bytes().name();
        // Of an arena that was never used nothing is known, and nothing is kept.
        let kept_for: Result<isize, _> = key.read();
        if let Ok(kept_for) = kept_for {
            let _ = key.write(0_isize).and_then(|()| key.write(kept_for));
        }
    }
}

/// Gives memory back to the system that was freed; the system's allocator does so by itself.
#[cfg(not(target_os = "linux"))]
pub fn give_memory_back() {}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// Tells whether colours are wanted: a terminal, and no `NO_COLOR`.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn colour_wanted(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A variable of the environment; one that is empty or no text is as good as none.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Tells whether a variable of the environment is set to nothing.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn is_blank(name: &std::ffi::OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// The names of the variables by which this program is told anything, of those that are set.
pub fn own_variables() -> Vec<std::ffi::OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_string_lossy().starts_with("WINDROW_")).collect()
}

/// This program as it was called, so that a suggested command can be pasted: `windrow`, `target/debug/windrow`.
pub fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "windrow".to_owned())
}

/// The variable that tells a child that its standard input is the line of its supervisor.
pub const SUPERVISED: &str = "WINDROW_SUPERVISED";

/// Told by the supervisor; a signal to this process means the same.
static ASKED_TO_STOP: Notify = Notify::const_new();

/// Listens to the supervisor, if there is one: a byte asks to stop, and a second one to leave at once. The end of the line
/// says that the supervisor is gone; then nobody waits for the result, and no job that answers to no signal is left behind.
pub fn follow_supervisor() {
    if variable(SUPERVISED).is_none() {
        return;
    }
    std::thread::spawn(|| {
        let mut line = std::io::stdin().lock();
        while line.read_exact(&mut [0]).is_ok() {
            ASKED_TO_STOP.notify_one();
        }
        leave_now(ErrorKind::Interrupted);
    });
}

/// The file of this program.
///
/// # Errors
/// `Internal` when the system does not tell.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|error| Error::internal("this program's own file cannot be found").caused_by(error))
}

/// The current folder.
///
/// # Errors
/// `Misconfigured` when it was removed.
pub fn current_dir() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| Error::misconfigured("the current folder cannot be read").caused_by(error))
}
