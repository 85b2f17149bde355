//! The command line: what can be asked, parsed and dispatched. One file per verb stands in `cmd/`.

mod args;
mod given;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{Arg, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use windrow_core::{Error, ErrorKind};

pub(crate) use args::parse_epoch;
pub use args::{
    Common, ConcurrencyArgs, EpochArgs, LineageTo, LogFormat, MemoryLimit, Metrics, OutputArgs, OutputFormat, TableArgs,
    TripArgs, TripReason, WindowArgs, one_window,
};

pub use given::{Given, without};

use crate::report::Reporter;
use crate::subject::Subject;
use crate::supervise::{self, Ticket};
use crate::{cmd, runtime};

const EXAMPLES: &str = "\
Examples:
  windrow demo ./demo                        # writes an example project and runs it
  windrow run --dataset flights --from 2013-01-01 --to 2013-01-08      # end exclusive
  windrow status --dataset flights           # what is published, stale, quarantined
  windrow replay --dataset flights           # runs failed windows again
  windrow contract lint                      # checks contracts, SQL and checks

Exit codes: 0 ok, 64 usage, 65 bad data, 66 input missing, 70 defect, 71 memory,
  73 fenced, 75 transient, 77 access, 78 misconfigured, 80 gate failed, 81 late, 143 interrupted";

/// Windowed raw → clean → curated transforms, published atomically as Parquet, without Spark.
#[derive(Debug, Parser)]
#[command(name = "windrow", version, about = "Windowed raw → clean → curated transforms, published atomically as Parquet", after_help = EXAMPLES, max_term_width = 110, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write an example project with real data into DIR and run it
    Demo(cmd::demo::Args),
    /// Walk windows through all stages: check input, clean, gate, publish, curate
    Run(cmd::run::Args),
    /// Show what run would do with each window, and why; touches nothing
    Plan(cmd::plan::Args),
    /// Tell whether a window's raw files are all there and have the declared shape
    CheckInput(cmd::check_input::Args),
    /// Read, validate and shape a window's raw files into a staged clean output
    RawToClean(cmd::stage::RawToCleanArgs),
    /// Compute a window's curated output from published tables, staged
    CleanToCurated(cmd::stage::CleanToCuratedArgs),
    /// Run the quality gate on a staged output; answers PASS or FAIL
    Check(cmd::stage::CheckArgs),
    /// Publish a staged output that passed the gate
    Publish(cmd::stage::PublishArgs),
    /// List quarantined windows, show their evidence, close a failed run
    Quarantine(cmd::quarantine::Args),
    /// Run quarantined and failed windows again
    Replay(cmd::replay::Args),
    /// Make an older published version of a window the head again
    Rollback(cmd::rollback::Args),
    /// Rewrite windows of many small files into files of the contract's size
    Compact(cmd::compact::Args),
    /// Take a published window back; readers see no such window
    Retract(cmd::retract::Args),
    /// Show every window's head, staleness and last decision
    Status(cmd::status::Args),
    /// Tell whether a window is there by the time its contract promises
    Sla(cmd::sla::Args),
    /// Tell which worker to buy for a window: runs it under real limits, and prices it
    Sizing(cmd::sizing::Args),
    /// Show what nothing reaches any more, and delete it when told to
    Gc(cmd::gc::Args),
    /// Bring every view to what the ledger says
    Reconcile(cmd::reconcile::Args),
    /// Check contracts, or print their JSON Schema
    Contract(cmd::contract::Args),
    /// Explain a finding's code, such as W0201
    Explain(cmd::explain::Args),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let all: Vec<OsString> = std::env::args_os().collect();
    guarded(|| supervised(all.clone(), all.get(1..).unwrap_or_default()))
}

/// A panic is a defect (or a system that refuses threads or memory): one line and exit code 70, whatever was going on.
fn guarded(work: impl FnOnce() -> ExitCode + std::panic::UnwindSafe) -> ExitCode {
    let told = std::sync::Once::new();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("no message");
        let line = format!(
            "error[Internal]: windrow failed{place}: {}; nothing was half-published",
            text.lines().next().unwrap_or_default()
        );
        // Threads that fail for the same reason say the same.
        told.call_once(|| {
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }));
    std::panic::catch_unwind(work).unwrap_or_else(|_| ExitCode::from(ErrorKind::Internal.exit_code()))
}

/// Runs a thin job binary: the same flags as the stage verb, without naming the verb.
pub fn job(verb: &str, dataset: &str) -> ExitCode {
    let mut all: Vec<OsString> = vec!["windrow".into(), verb.into()];
    let given: Vec<OsString> = std::env::args_os().skip(1).collect();
    let names_dataset = given.iter().any(|arg| arg == "--dataset" || arg.to_string_lossy().starts_with("--dataset="));
    if !names_dataset {
        all.extend(["--dataset".into(), dataset.into()]);
    }
    all.extend(given.clone());
    guarded(|| supervised(all, &given))
}

/// Runs the command line here, or as the child of a supervisor when a task waits for it.
fn supervised(all: Vec<OsString>, own: &[OsString]) -> ExitCode {
    let given = Given::new(all, &Cli::command());
    let Some(ticket) = Ticket::of(&given) else {
        runtime::follow_supervisor();
        return run(&given);
    };
    supervise::run(own, &given, ticket).unwrap_or_else(|error| failed_early(&given, &error))
}

/// A failure before clap has read the flags is told like any other.
fn failed_early(given: &Given, error: &Error) -> ExitCode {
    let code = given.common().map(|common| Reporter::new(&common, given.subject()).fail(error));
    ExitCode::from(code.unwrap_or(error.kind().exit_code()))
}

/// What clap refused, on stderr in its own words, and as the result.
fn misused(given: &Given, refused: &clap::Error) -> ExitCode {
    let text = refused.to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let error = Error::new(ErrorKind::Usage, message);
    if let Ok(common) = given.common() {
        let reporter = Reporter::new(&common, given.subject());
        match common.log_format {
            LogFormat::Pretty => drop(refused.print()),
            LogFormat::Json => reporter.tell(&error),
        }
        reporter.close(&error, &reporter.failure(&error));
    }
    ExitCode::from(ErrorKind::Usage.exit_code())
}

/// The flags that name windows, of which one way is chosen.
const WINDOW_FLAGS: [&str; 4] = ["window", "from", "to", "last"];

/// Flags outrank the environment: windows named on the command line silence variables that name others. A variable that is
/// empty, as containers like to set them, counts as not set.
fn without_outranked(command: Command, arguments: &[OsString]) -> Command {
    let is_given = |flag: &str| {
        let (flag, with_value) = (format!("--{flag}"), format!("--{flag}="));
        arguments.iter().any(|argument| *argument == *flag || argument.to_string_lossy().starts_with(&with_value))
    };
    let names_windows = WINDOW_FLAGS.into_iter().any(is_given);
    let (names_dataset, names_queue) = (is_given("dataset"), is_given("from-queue"));
    let is_outranked = |arg: &Arg| {
        let is_blank = arg.get_env().is_some_and(runtime::is_blank);
        // A queue names datasets and windows itself.
        let by_window = (names_windows || names_queue) && WINDOW_FLAGS.contains(&arg.get_id().as_str());
        let by_queue = names_queue && arg.get_id() == "dataset"
            || names_dataset && ["from_queue", "max_messages"].contains(&arg.get_id().as_str());
        is_blank || by_window || by_queue
    };
    silence(command, &is_outranked)
}

fn silence(command: Command, is_outranked: &impl Fn(&Arg) -> bool) -> Command {
    let command = command.mut_args(|arg| if is_outranked(&arg) { arg.env(Resettable::Reset) } else { arg });
    command.mut_subcommands(|subcommand| silence(subcommand, is_outranked))
}

fn run(given: &Given) -> ExitCode {
    let command = without_outranked(Cli::command(), given.arguments());
    let parsed = command.try_get_matches_from(given.arguments());
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, subject(given, &matches))));
    let (cli, subject) = match parsed {
        Ok(parsed) => parsed,
        Err(error) if error.use_stderr() => return misused(given, &error),
        Err(help) => {
            // A closed pipe is the reader's wish; help that cannot be written is not.
            let failed = help.print().is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
            return ExitCode::from(if failed { ErrorKind::Usage.exit_code() } else { 0 });
        }
    };
    let reporter = Reporter::new(cli.verb.common(), subject);
    let result = match &cli.verb {
        Verb::Demo(args) => cmd::demo::run(args, &reporter),
        Verb::Run(args) => cmd::run::run(args, &reporter),
        Verb::Plan(args) => cmd::plan::run(args, &reporter),
        Verb::CheckInput(args) => cmd::check_input::run(args, &reporter),
        Verb::RawToClean(args) => cmd::stage::raw_to_clean(args, &reporter),
        Verb::CleanToCurated(args) => cmd::stage::clean_to_curated(args, &reporter),
        Verb::Check(args) => cmd::stage::check(args, &reporter),
        Verb::Publish(args) => cmd::stage::publish(args, &reporter),
        Verb::Quarantine(args) => cmd::quarantine::run(args, &reporter),
        Verb::Replay(args) => cmd::replay::run(args, &reporter),
        Verb::Rollback(args) => cmd::rollback::run(args, &reporter),
        Verb::Compact(args) => cmd::compact::run(args, &reporter),
        Verb::Reconcile(args) => cmd::reconcile::run(args, &reporter),
        Verb::Sizing(args) => cmd::sizing::run(args, &reporter),
        Verb::Gc(args) => cmd::gc::run(args, &reporter),
        Verb::Retract(args) => cmd::retract::run(args, &reporter),
        Verb::Status(args) => cmd::status::run(args, &reporter),
        Verb::Sla(args) => cmd::sla::run(args, &reporter),
        Verb::Contract(args) => cmd::contract::run(args, &reporter),
        Verb::Explain(args) => cmd::explain::run(args, &reporter),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(reporter.fail(&error)),
    }
}

/// What the parsed command line is about; only flags that the verb has count.
fn subject(given: &Given, matches: &clap::ArgMatches) -> Subject {
    let mut innermost = matches;
    while let Some((_, below)) = innermost.subcommand() {
        innermost = below;
    }
    let raw = |flag: &str| innermost.try_get_raw(flag).ok().flatten()?.next()?.to_str().map(str::to_owned);
    Subject::read(given.subject().verb, raw)
}

impl Verb {
    fn common(&self) -> &Common {
        match self {
            Verb::Demo(args) => &args.common,
            Verb::Run(args) => &args.common,
            Verb::Plan(args) => &args.common,
            Verb::CheckInput(args) => &args.common,
            Verb::RawToClean(args) => &args.common,
            Verb::CleanToCurated(args) => &args.common,
            Verb::Check(args) => &args.common,
            Verb::Publish(args) => &args.common,
            Verb::Quarantine(args) => &args.common,
            Verb::Replay(args) => &args.common,
            Verb::Rollback(args) => &args.common,
            Verb::Compact(args) => &args.common,
            Verb::Reconcile(args) => &args.common,
            Verb::Sizing(args) => &args.common,
            Verb::Gc(args) => &args.common,
            Verb::Retract(args) => &args.common,
            Verb::Status(args) => &args.common,
            Verb::Sla(args) => &args.common,
            Verb::Contract(args) => &args.common,
            Verb::Explain(args) => &args.common,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_one_screen() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 40, "{} lines", help.lines().count());
        assert!(help.contains("Examples:") && help.contains("Exit codes:"));
    }
}
