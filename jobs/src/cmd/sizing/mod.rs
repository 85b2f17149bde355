//! `windrow sizing`: which worker to buy for a window. Runs the job under the limits of each worker, and prices what it took.
//!
//! ```text
//! worker (0.5x1) ─▶ limits (cgroup) ─▶ measure (child in a throwaway lake) ─▶ model (larger ones) ─▶ prices ─▶ answer
//! ```
//! Invariant: the lake is only read. Every run writes to a temporary lake, and a run without limits is never measured.

mod answer;
mod limits;
mod measure;
mod model;
mod prices;
mod svg;
mod text;
mod throwaway;
mod worker;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use windrow_core::ledger::Reason;
use windrow_core::{Error, ErrorKind, Layer, PartitionWindow, Result, Table};

use crate::cli::{Common, TableArgs};
use crate::report::{self, RESULT_SCHEMA, Reporter};
use crate::session::Session;
use crate::{lint, plan, runtime};

use answer::{Answer, MEMORY_MARGIN, Question, State};
use limits::Limits;
use measure::{Failure, Job, Run};
use prices::{Prices, SparkBill};
use throwaway::Throwaway;
use worker::{Deadline, Worker, Workers, parse_seconds};

/// Arguments of `windrow sizing`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windrow sizing --dataset orders --window 2019-03-12 --workers 0.5x1,1x2,2x4 --deadline 15m
  windrow sizing --dataset orders --window 2019-03-12 --workers 1x2,2x4,4x8,8x16 --runs 3 --svg sizing.svg

Nothing of the lake is touched: every run writes to a temporary lake beside it, which holds the window's raw files as hard
links (copies, where the lake is on S3 or another disk) and goes afterwards. A worker that fails is a row, not the end.
Limits are set by control groups (root, or a delegated systemd session); where they cannot be, nothing is measured.
Workers larger than this machine are modelled and marked so. docs/sizing.md reads the result.")]
pub struct Args {
    #[command(flatten)]
    table: TableArgs,
    /// Workers to compare, as vCPUs x GiB: 0.5x1,1x2,2x4
    #[arg(long, value_name = "LIST", env = "WINDROW_WORKERS", hide_env_values = true)]
    workers: Workers,
    /// The time the window may take, such as 90s, 15m, 2h
    #[arg(long, value_name = "TIME", env = "WINDROW_DEADLINE", hide_env_values = true)]
    deadline: Option<Deadline>,
    /// What is run: all stages, or raw-to-clean alone
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Stages::All, env = "WINDROW_STAGES", hide_env_values = true)]
    stages: Stages,
    /// Runs of each worker; the median of their times counts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99), env = "WINDROW_RUNS", hide_env_values = true)]
    runs: u32,
    /// Price table instead of the built-in one, in the form of jobs/prices/us-east-1.toml
    #[arg(long, value_name = "FILE", env = "WINDROW_PRICES", hide_env_values = true)]
    prices: Option<PathBuf>,
    /// Seconds that Spark was measured to take for the same window, for the comparison
    #[arg(long, value_name = "N", value_parser = parse_seconds, env = "WINDROW_SPARK_SECONDS", hide_env_values = true)]
    spark_seconds: Option<f64>,
    /// Also draw time and price of each worker into this SVG file
    #[arg(long, value_name = "FILE", env = "WINDROW_SVG", hide_env_values = true)]
    svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is run on each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stages {
    /// `windrow run`.
    All,
    /// `windrow raw-to-clean`.
    RawToClean,
}

/// A call, ready to measure.
struct Sizing<'a> {
    args: &'a Args,
    session: &'a Session<'a>,
    window: PartitionWindow,
    prices: Prices,
    prices_name: String,
    limits: Limits,
    machine: Machine,
}

/// What this machine has for a worker.
#[derive(Clone, Copy, Debug, Serialize)]
struct Machine {
    vcpus: u32,
    free_bytes: u64,
    load_average: f64,
}

impl Machine {
    /// What there is, with a warning when others are using it.
    fn look(limits: &Limits, reporter: &Reporter) -> Result<Machine> {
        let free_bytes = limits.free_bytes().ok_or_else(|| Error::internal("/proc/meminfo does not say what memory is free"))?;
        let vcpus = u32::try_from(runtime::cores()).unwrap_or(u32::MAX);
        let machine = Machine { vcpus, free_bytes, load_average: limits::load_average().unwrap_or_default() };
        if machine.load_average > f64::from(vcpus) / 2.0 {
            let load = machine.load_average;
            reporter.warn(&format!("this machine is busy (load average {load} on {vcpus} vCPU): times will be too long"));
        }
        Ok(machine)
    }

    fn holds(&self, worker: Worker) -> bool {
        worker.vcpus() <= f64::from(self.vcpus) && worker.bytes() <= self.free_bytes
    }
}

/// Everything there is to tell.
struct Told<'a> {
    sizing: &'a Sizing<'a>,
    answer: &'a Answer,
    spark: &'a SparkBill,
    lake: &'a Throwaway,
}

/// Measures, models, prices and recommends.
///
/// # Errors
/// `Usage` and `Misconfigured` before anything is run, `InputMissing` when the window's raw files are not there. How the
/// job fails on a worker is a row; only when no worker at all finishes does the first failure decide the exit code.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let (prices, prices_name) = Prices::load(args.prices.as_deref())?;
    args.svg.as_deref().map_or(Ok(()), require_folder)?;
    let session = Session::open(reporter, Reason::Schedule, false)?;
    let tables = tables(args, &session)?;
    let target = tables.last().ok_or_else(|| Error::internal("a dataset without any table"))?;
    let window = session.window(target, args.table.window)?;
    lint::require_clean(&session.project, &tables)?;
    let limits = Limits::find()?;
    let machine = Machine::look(&limits, reporter)?;
    let sizing = Sizing { args, session: &session, window, prices, prices_name, limits, machine };
    let lake = Throwaway::fill(&session, &tables, &window)?;
    let measured = sizing.measure(&lake)?;
    let deadline = args.deadline.map(|deadline| deadline.0);
    let answer = Answer::new(measured, &Question { prices: &sizing.prices, deadline, input_bytes: lake.bytes });
    let spark = sizing.prices.spark(args.spark_seconds);
    Told { sizing: &sizing, answer: &answer, spark: &spark, lake: &lake }.tell()
}

/// The tables that are computed.
fn tables(args: &Args, session: &Session<'_>) -> Result<Vec<Table>> {
    if args.stages == Stages::All {
        return plan::tables(&session.project, &args.table.dataset);
    }
    let clean = Table::new(Layer::Clean, args.table.dataset.clone());
    session.project.contract(&clean)?;
    Ok(vec![clean])
}

/// Refuses a drawing that could not be written in the end, before anything is measured.
fn require_folder(file: &Path) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() && !file.is_dir() {
        return Ok(());
    }
    let message = format!("the drawing cannot be written to {}", file.display());
    Err(Error::misconfigured(message).help("name a file in a folder that exists"))
}

impl Sizing<'_> {
    /// Runs the job on every worker that this machine can be; the others have no runs.
    fn measure(&self, lake: &Throwaway) -> Result<Vec<(Worker, Vec<Run>)>> {
        let workers = &self.args.workers.0;
        let reporter = self.session.reporter;
        reporter.start(workers.len(), self.args.table.dataset.as_str());
        let mut measured = Vec::with_capacity(workers.len());
        for (index, worker) in workers.iter().enumerate() {
            reporter.step(&format!("{worker}"));
            let runs = if self.machine.holds(*worker) { self.runs(*worker, lake)? } else { Vec::new() };
            let text = format!("[{}/{}] worker {worker} {}", index + 1, workers.len(), text::progress(&runs));
            reporter.event("worker", &text, &json!({"worker": worker.to_string(), "runs": runs}));
            reporter.advance();
            measured.push((*worker, runs));
        }
        reporter.finish();
        Ok(measured)
    }

    /// The runs of one worker, up to the first that fails.
    fn runs(&self, worker: Worker, lake: &Throwaway) -> Result<Vec<Run>> {
        let program = runtime::this_program()?;
        let arguments = self.arguments(lake)?;
        let (stdout, stderr) = (lake.beside("stdout"), lake.beside("stderr"));
        let job = Job { program: &program, arguments: &arguments, stdout: &stdout, stderr: &stderr };
        let mut runs = Vec::new();
        for _ in 0..self.args.runs {
            lake.clear()?;
            let run = match self.limits.cage(worker) {
                Ok(cage) => measure::run(&job, &cage, &self.session.runtime)?,
                Err(error) => Run::not_started(Failure::of_error(&error)),
            };
            let is_failed = run.failure.is_some();
            runs.push(run);
            if is_failed {
                break;
            }
        }
        Ok(runs)
    }

    /// The verb and flags of the measured job.
    fn arguments(&self, lake: &Throwaway) -> Result<Vec<String>> {
        let project = &self.session.project;
        let path = |path: &Path| {
            let text = path.to_str().map(str::to_owned);
            text.ok_or_else(|| Error::misconfigured(format!("the path {} is not UTF-8", path.display())))
        };
        let root = std::path::absolute(&project.root)
            .map_err(|error| Error::misconfigured("the project's folder cannot be read").caused_by(error))?;
        let (root, lake) = (path(&root)?, path(&std::path::absolute(lake.folder()).unwrap_or_else(|_| lake.folder()))?);
        let (dataset, window, profile) =
            (self.args.table.dataset.as_str(), self.window.to_string(), project.profile.name.as_str());
        let verb = if self.args.stages == Stages::All { "run" } else { "raw-to-clean" };
        let flags = ["--dataset", dataset, "--window", &window, "--project", &root, "--lake", &lake, "--profile", profile];
        Ok([&[verb][..], &flags, &["--output", "json", "--quiet"]].concat().into_iter().map(str::to_owned).collect())
    }
}

impl Told<'_> {
    /// Prints and draws, and returns the exit code.
    fn tell(&self) -> Result<u8> {
        if let Some(file) = &self.sizing.args.svg {
            let drawn = std::fs::write(file, svg::draw(self));
            drawn.map_err(|error| {
                Error::misconfigured(format!("the drawing cannot be written to {}", file.display())).caused_by(error)
            })?;
        }
        let error = self.all_failed();
        let code = error.as_ref().map_or(0, |error| error.kind().exit_code());
        let mut result = self.json();
        if let (Some(fields), Some(error)) = (result.as_object_mut(), &error) {
            fields.insert("error".to_owned(), report::error_json(error));
            fields.insert("alert".to_owned(), self.sizing.session.reporter.alert(error).into());
        }
        if let (Some(fields), true) = (result.as_object_mut(), code != 0) {
            fields.insert("status".to_owned(), "failed".into());
            fields.insert("exit_code".to_owned(), code.into());
        }
        self.sizing.session.reporter.result(&result, &text::table(self))?;
        if let Some(error) = &error {
            self.sizing.session.reporter.tell(error);
        }
        Ok(code)
    }

    /// The failure of a call in which the job finished on no worker.
    fn all_failed(&self) -> Option<Error> {
        let rows = &self.answer.rows;
        let first = rows.iter().find_map(|row| row.failure.as_ref())?;
        if rows.iter().any(|row| row.state == State::Measured) {
            return None;
        }
        let kind = first.error_kind.unwrap_or(ErrorKind::Internal);
        let error = Error::new(kind, format!("the job finished on no worker; the first failed so: {}", first.message));
        let is_memory = kind == ErrorKind::OutOfMemory;
        Some(if is_memory { error.help("name workers with more memory") } else { error })
    }

    fn json(&self) -> Value {
        let Told { sizing, answer, spark, lake } = self;
        let best = answer.best.as_ref();
        let (runs, deadline) = (sizing.args.runs, sizing.args.deadline.map(|deadline| deadline.0.as_secs()));
        let stages = if sizing.args.stages == Stages::All { "all" } else { "raw-to-clean" };
        json!({
            "schema": RESULT_SCHEMA,
            "verb": "sizing",
            "dataset": sizing.args.table.dataset.as_str(),
            "window": sizing.window.to_string(),
            "run_id": sizing.session.run_id.as_str(),
            "status": if best.is_some() { "ok" } else { "none" },
            "exit_code": 0,
            "stages": stages,
            "runs": runs,
            "deadline_seconds": deadline,
            "memory_margin": MEMORY_MARGIN,
            "machine": sizing.machine,
            "limits": sizing.limits.name(),
            "input": {"files": lake.files, "bytes": lake.bytes},
            "workers": answer.rows,
            "model": answer.fit,
            "spark": {
                "bill": spark,
                "usd_per_tb": answer::per_tb(spark.usd, lake.bytes),
                "times_the_recommended": best.map(|best| spark.usd / best.bill.usd),
            },
            "recommendation": best,
            "cheaper_with_a_condition": answer.others,
            "prices": {"file": sizing.prices_name, "table": sizing.prices},
        })
    }
}
