//! Arguments that several verbs share. Every flag can be given as an environment variable, which the help shows.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use windrow_core::contract::WindowRule;
use windrow_core::id::{DatasetName, Epoch, Layer, RunId, Table};
use windrow_core::ledger::Reason;
use windrow_core::{Error, ErrorKind, PartitionWindow, Result, WindowChoice};

use crate::runtime;

/// What every verb takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Project folder [default: the nearest folder upwards with windrow.toml]
    #[arg(
        long,
        value_name = "DIR",
        env = "WINDROW_PROJECT",
        hide_env_values = true,
        global = true,
        help_heading = "Common options"
    )]
    pub project: Option<PathBuf>,
    /// Lake, instead of the one in windrow.toml: a folder (seen from the project) or s3://bucket/folder
    #[arg(
        long,
        value_name = "LAKE",
        env = "WINDROW_LAKE",
        hide_env_values = true,
        global = true,
        help_heading = "Common options"
    )]
    pub lake: Option<String>,
    /// Threshold profile in quality/profiles, instead of the one in windrow.toml
    #[arg(
        long,
        value_name = "NAME",
        env = "WINDROW_PROFILE",
        hide_env_values = true,
        global = true,
        help_heading = "Common options"
    )]
    pub profile: Option<String>,
    /// Form of the result on stdout: table or json
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = OutputFormat::Table, env = "WINDROW_OUTPUT", hide_env_values = true, global = true, help_heading = "Common options")]
    pub output: OutputFormat,
    /// Form of progress and messages on stderr: pretty or json
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = LogFormat::Pretty, env = "WINDROW_LOG_FORMAT", hide_env_values = true, global = true, help_heading = "Common options")]
    pub log_format: LogFormat,
    /// Also write the result as JSON to this file or s3://bucket/folder/result.json
    #[arg(
        long,
        value_name = "FILE|URI",
        env = "WINDROW_RESULT_URI",
        hide_env_values = true,
        global = true,
        help_heading = "Common options"
    )]
    pub result_uri: Option<String>,
    /// Token of the Step Functions task that waits for the result; a supervisor reports to it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "WINDROW_TASK_TOKEN",
        hide_env_values = true,
        global = true,
        help_heading = "Common options"
    )]
    task_token: Option<String>,
    /// Seconds between the heartbeats to that task [default: 30]
    #[arg(long, value_name = "N", env = "WINDROW_HEARTBEAT_SECONDS", hide_env_values = true, value_parser = clap::value_parser!(u32).range(1..=3600), global = true, help_heading = "Common options")]
    heartbeat_seconds: Option<u32>,
    /// Memory that the job may take: 512MiB, 2GiB, or none; what does not fit is sorted on disk, in TMPDIR, and SQL that
    /// needs more ends with OutOfMemory
    /// [default: four fifths of the container's limit or of the machine]
    #[arg(long, value_name = "SIZE", value_parser = memory_limit, default_value = "", hide_default_value = true, env = "WINDROW_MEMORY_LIMIT", hide_env_values = true, global = true, help_heading = "Common options")]
    pub memory_limit: MemoryLimit,
    /// Id of the run, for logs and documents [default: a new one]
    #[arg(
        long,
        value_name = "ID",
        env = "WINDROW_RUN_ID",
        hide_env_values = true,
        global = true,
        help_heading = "Common options"
    )]
    pub run_id: Option<RunId>,
    /// Metrics of every stage on stderr: off or emf (CloudWatch embedded metric format)
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Metrics::Off, env = "WINDROW_METRICS", hide_env_values = true, global = true, help_heading = "Common options")]
    pub metrics: Metrics,
    /// OpenLineage events of every stage: off or lake (written below runs/)
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = LineageTo::Off, env = "WINDROW_LINEAGE", hide_env_values = true, global = true, help_heading = "Common options")]
    pub lineage: LineageTo,
    /// Also post OpenLineage events to this server [default: OPENLINEAGE_URL]
    #[arg(
        long,
        value_name = "URL",
        env = "WINDROW_LINEAGE_URL",
        hide_env_values = true,
        global = true,
        help_heading = "Common options"
    )]
    pub lineage_url: Option<String>,
    /// Say nothing on stderr but errors
    #[arg(short, long, env = "WINDROW_QUIET", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new(), global = true, help_heading = "Common options")]
    pub quiet: bool,
}

/// The form of the result on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Table,
    /// One line of JSON.
    Json,
}

/// The form of progress and messages on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Which metrics are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Metrics {
    /// None.
    Off,
    /// One line of CloudWatch's embedded metric format a stage.
    Emf,
}

/// How much memory a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// What the container or the machine allows.
    Default,
    /// As much as it takes.
    None,
    /// About so many bytes.
    Bytes(u64),
}

/// The least that the program and one block of each thread need.
const LEAST_MEMORY: u64 = 96 << 20;

fn memory_limit(text: &str) -> Result<MemoryLimit, String> {
    if text.is_empty() {
        return Ok(MemoryLimit::Default);
    }
    if text == "none" {
        return Ok(MemoryLimit::None);
    }
    let expected = || "write a size like 512MiB or 2GiB, or none".to_owned();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match text.get(digits.len()..).unwrap_or_default() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(expected()),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(expected)?;
    if bytes < LEAST_MEMORY {
        return Err(format!("less than {} MiB, which the program itself needs", LEAST_MEMORY >> 20));
    }
    Ok(MemoryLimit::Bytes(bytes))
}

/// Where lineage is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LineageTo {
    /// Nowhere.
    Off,
    /// Below `runs/` of the lake.
    Lake,
}

/// Which windows.
#[derive(Clone, Debug, Args)]
pub struct WindowArgs {
    /// One window by the clock of the contract's zone: YYYY-MM-DD, YYYY-MM-DDTHH or YYYY-MM; or last@2024-09-09T02:00:00Z,
    /// the last one that is complete at that instant
    #[arg(long, value_name = "WINDOW", env = "WINDROW_WINDOW", hide_env_values = true, conflicts_with_all = ["from", "to", "last"])]
    pub window: Option<WindowChoice>,
    /// First window of a range
    #[arg(long, value_name = "WINDOW", env = "WINDROW_FROM", hide_env_values = true, requires = "to")]
    pub from: Option<PartitionWindow>,
    /// End of the range, exclusive
    #[arg(long, value_name = "WINDOW", env = "WINDROW_TO", hide_env_values = true, requires = "from")]
    pub to: Option<PartitionWindow>,
    /// The last complete windows up to now: 7d, 24h or 3m
    #[arg(long, value_name = "N", env = "WINDROW_LAST", hide_env_values = true, conflicts_with_all = ["from", "to"])]
    pub last: Option<String>,
}

/// How many windows at the same time.
#[derive(Clone, Debug, Args)]
pub struct ConcurrencyArgs {
    /// Windows at the same time [default: one for each core, at most 4, and up to four times as many small ones]
    #[arg(long, value_name = "N", env = "WINDROW_CONCURRENCY", hide_env_values = true)]
    pub concurrency: Option<NonZeroUsize>,
}

impl WindowArgs {
    /// Tells whether any window was named.
    pub fn is_given(&self) -> bool {
        self.window.is_some() || self.from.is_some() || self.last.is_some()
    }

    /// The windows in order, checked against the table's grain.
    ///
    /// # Errors
    /// `Usage` when none or an impossible range is named, or when the grain differs from the contract's.
    pub fn windows(&self, rule: &WindowRule) -> Result<Vec<PartitionWindow>> {
        let windows = match (self.window, self.from, self.to, &self.last) {
            (Some(choice), ..) => vec![one_window(choice, rule)?],
            (None, Some(from), Some(to), _) => PartitionWindow::range(from, to)?,
            (None, _, _, Some(last)) => last_windows(last, rule)?,
            _ => {
                return Err(Error::new(ErrorKind::Usage, "no window named")
                    .help("name one with --window 2024-09-08, or several with --from … --to … (end exclusive) or --last 7d"));
            }
        };
        windows.first().map_or(Ok(()), |window| require_grain(window, rule))?;
        Ok(windows)
    }
}

/// The window that is meant, by the contract's grain and zone.
///
/// # Errors
/// `Usage` for a window of another grain, `Misconfigured` for an unknown zone.
pub fn one_window(choice: WindowChoice, rule: &WindowRule) -> Result<PartitionWindow> {
    let window = choice.resolve(rule.grain, &zone_of(rule)?)?;
    require_grain(&window, rule)?;
    Ok(window)
}

fn require_grain(window: &PartitionWindow, rule: &WindowRule) -> Result<()> {
    if window.grain() == rule.grain {
        return Ok(());
    }
    let message = format!("`{window}` names one {}, the contract's windows are {}s", window.grain(), rule.grain);
    Err(Error::new(ErrorKind::Usage, message).help(format!("see {}", rule.place)))
}

fn zone_of(rule: &WindowRule) -> Result<TimeZone> {
    TimeZone::get(&rule.zone).map_err(|error| Error::misconfigured("unknown zone").caused_by(error))
}

fn last_windows(text: &str, rule: &WindowRule) -> Result<Vec<PartitionWindow>> {
    let unit = match rule.grain {
        windrow_core::Grain::Hour => "h",
        windrow_core::Grain::Day => "d",
        windrow_core::Grain::Month => "m",
    };
    let count =
        text.strip_suffix(unit).and_then(|digits| digits.parse::<u32>().ok()).filter(|count| (1..=100_000).contains(count));
    let Some(count) = count else {
        let message = format!("--last `{}` is not a number of {}s", text.escape_debug(), rule.grain);
        return Err(Error::new(ErrorKind::Usage, message).help(format!("write --last 7{unit}")));
    };
    let zone = zone_of(rule)?;
    let mut next = Some(PartitionWindow::last_complete(rule.grain, &zone, runtime::now())?);
    let mut windows = Vec::new();
    while let Some(window) = next.filter(|_| windows.len() < count as usize) {
        windows.push(window);
        next = window.previous_in(&zone);
    }
    windows.reverse();
    Ok(windows)
}

/// One table and window, for the stage verbs.
#[derive(Clone, Debug, Args)]
pub struct TableArgs {
    /// Dataset
    #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
    pub dataset: DatasetName,
    /// One window by the clock of the contract's zone: YYYY-MM-DD, YYYY-MM-DDTHH or YYYY-MM; or last@2024-09-09T02:00:00Z,
    /// the last one that is complete at that instant
    #[arg(long, value_name = "WINDOW", env = "WINDROW_WINDOW", hide_env_values = true)]
    pub window: WindowChoice,
}

/// Why a window is worked on, as a scheduler, a replay queue or a backfill says it.
#[derive(Clone, Debug, Args)]
pub struct TripArgs {
    /// Why the window is worked on, for the ledger: schedule, replay or backfill; with replay a window whose newest epoch
    /// failed is computed again although nothing changed
    #[arg(long, value_enum, value_name = "WHY", hide_possible_values = true, default_value_t = TripReason::Schedule, env = "WINDROW_REASON", hide_env_values = true)]
    pub reason: TripReason,
    /// The orchestrator's name of the execution, for the ledger
    #[arg(long, value_name = "ID", env = "WINDROW_EXECUTION_ID", hide_env_values = true, value_parser = parse_execution_id)]
    pub execution_id: Option<String>,
}

/// A reason that can be given from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TripReason {
    /// Its time has come.
    Schedule,
    /// It failed, and is run again.
    Replay,
    /// An old window.
    Backfill,
}

impl From<TripReason> for Reason {
    fn from(reason: TripReason) -> Reason {
        match reason {
            TripReason::Schedule => Reason::Schedule,
            TripReason::Replay => Reason::Replay,
            TripReason::Backfill => Reason::Backfill,
        }
    }
}

fn parse_execution_id(text: &str) -> Result<String, String> {
    const LONGEST: usize = 1_024;
    if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
        return Err(format!("an execution id is a line of 1 to {LONGEST} bytes"));
    }
    Ok(text.to_owned())
}

/// One window of one output table, for operations on what is published.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// Dataset
    #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
    pub dataset: DatasetName,
    /// Layer: clean or curated
    #[arg(long, value_name = "LAYER", env = "WINDROW_LAYER", hide_env_values = true)]
    pub layer: Layer,
    /// Window
    #[arg(long, value_name = "WINDOW", env = "WINDROW_WINDOW", hide_env_values = true)]
    pub window: PartitionWindow,
}

impl OutputArgs {
    /// The table.
    pub fn table(&self) -> Table {
        Table::new(self.layer, self.dataset.clone())
    }
}

/// Which layer and epoch a gate verb acts on.
#[derive(Clone, Debug, Args)]
pub struct EpochArgs {
    /// Layer: clean or curated
    #[arg(long, value_name = "LAYER", env = "WINDROW_LAYER", hide_env_values = true)]
    pub layer: Layer,
    /// Epoch [default: the newest staged one]
    #[arg(long, value_name = "N", env = "WINDROW_EPOCH", hide_env_values = true, value_parser = parse_epoch)]
    pub epoch: Option<Epoch>,
}

/// Reads an epoch from the command line.
pub(crate) fn parse_epoch(text: &str) -> Result<Epoch, String> {
    text.parse::<u64>().ok().and_then(Epoch::new).ok_or_else(|| "an epoch is a whole number from 1".to_owned())
}
