//! `windrow sla`: is a window there by the time its contract promises? Reads the ledger only.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use windrow_core::contract::Sla;
use windrow_core::id::DatasetName;
use windrow_core::ledger::{Decision, Reason};
use windrow_core::{Contract, Epoch, Error, ErrorKind, PartitionWindow, Result, Table, WindowChoice};
use windrow_lake::{EpochState, LakeTable};

use crate::cli::{Common, one_window};
use crate::report::{RESULT_SCHEMA, Reporter};
use crate::session::Session;
use crate::{plan, runtime};

/// Arguments of `windrow sla`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windrow sla --dataset orders                                       # the last window whose promised time has passed
  windrow sla --dataset orders --window last@2024-09-09T07:30:00Z    # as a scheduler asks

Exit code 81 when the promised time has passed and the window is not there; late but there is exit code 0.")]
pub struct Args {
    /// Dataset: its curated table if it has one
    #[arg(long, value_name = "NAME", env = "WINDROW_DATASET", hide_env_values = true)]
    dataset: DatasetName,
    /// Window; or last@2024-09-09T07:30:00Z, the last one that is complete at that instant [default: the last whose promised
    /// time has passed]
    #[arg(long, value_name = "WINDOW", env = "WINDROW_WINDOW", hide_env_values = true)]
    window: Option<WindowChoice>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What was promised of a window.
struct Promise<'a> {
    sla: &'a Sla,
    window: PartitionWindow,
    at: Timestamp,
}

/// What the ledger says of the window.
struct Availability {
    head: Epoch,
    /// When it became available by the store's clock; a newer version of it does not make it late.
    since: Timestamp,
}

/// Answers whether the window is there in time.
///
/// # Errors
/// `SlaMissed` when it is not there and the promised time has passed, `Misconfigured` for a contract that promises nothing,
/// else what the store says.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Schedule, false)?;
    let tables = plan::tables(&session.project, &args.dataset)?;
    let target = tables.last().ok_or_else(|| Error::internal("a dataset without any table"))?;
    let contract = session.project.contract(target)?;
    let now = as_of(args.window);
    let promise = promise(contract, args.window, now)?;
    reporter.name_window(&promise.window);
    let available = availability(&session, target, &promise.window)?;
    let (status, text) = match &available {
        Some(found) => told_of(&promise, found),
        None if now < promise.at => ("not_due", format!("is due {}", shown(promise.at, promise.sla)?)),
        None => return Err(missed(&session, &tables, &promise)?),
    };
    let late = available.as_ref().map(|found| found.since.duration_since(promise.at).as_secs());
    let result = json!({
        "schema": RESULT_SCHEMA,
        "verb": "sla",
        "dataset": target.dataset.as_str(),
        "layer": target.layer.as_str(),
        "window": promise.window.to_string(),
        "run_id": session.run_id.as_str(),
        "status": status,
        "exit_code": 0,
        "promise": promise.sla.to_string(),
        "promised_at": promise.at.to_string(),
        "available_since": available.as_ref().map(|found| found.since.to_string()),
        "clock": "the store's",
        "seconds_late": late,
        "epoch": available.as_ref().map(|found| found.head.get()),
    });
    session.reporter.result(&result, &format!("{} for {} {text}", target.dataset, promise.window))?;
    Ok(0)
}

/// The time it is; a scheduler that asks of an instant is not told "not yet" by a clock that is a little behind.
fn as_of(choice: Option<WindowChoice>) -> Timestamp {
    match choice {
        Some(WindowChoice::LastAt(instant)) => runtime::now().max(instant),
        _ => runtime::now(),
    }
}

fn promise(contract: &Contract, choice: Option<WindowChoice>, now: Timestamp) -> Result<Promise<'_>> {
    let sla = contract.sla.as_ref().ok_or_else(|| {
        Error::misconfigured(format!("{} promises no time of availability", contract.file)).help(
            "write slaProperties: [{property: timeOfAvailability, value: \"07:30 UTC\"}] there, with the zone that is meant",
        )
    })?;
    let rule = &contract.window;
    let zone = TimeZone::get(&rule.zone).map_err(|error| Error::misconfigured("unknown zone").caused_by(error))?;
    if let Some(choice) = choice {
        let window = one_window(choice, rule)?;
        return Ok(Promise { sla, window, at: sla.promised_at(&window, &zone)? });
    }
    let mut window = PartitionWindow::last_complete(rule.grain, &zone, now)?;
    loop {
        let at = sla.promised_at(&window, &zone)?;
        if at <= now {
            return Ok(Promise { sla, window, at });
        }
        window = window.previous_in(&zone).ok_or_else(|| Error::internal("no window before the first"))?;
    }
}

/// Since when the window is there without a gap: the earliest publication that no retraction came after. A slow old run can
/// publish a lower epoch later.
fn availability(session: &Session<'_>, table: &Table, window: &PartitionWindow) -> Result<Option<Availability>> {
    let Some(lake_table) = session.table(table)? else { return Ok(None) };
    let mut published = Vec::new();
    for state in session.runtime.block_on(lake_table.window_history(window))? {
        match state.outcome.as_ref().map(|outcome| outcome.document().decision) {
            Some(Decision::Published) => published.push(state.epoch),
            Some(Decision::Retracted) => published.clear(),
            Some(Decision::Aborted | Decision::Quarantined) | None => {}
        }
    }
    let mut times = Vec::new();
    for epoch in &published {
        times.push(decided_at(session, &lake_table, window, *epoch)?);
    }
    let Some((head, since)) = published.last().copied().zip(times.into_iter().min()) else { return Ok(None) };
    Ok(Some(Availability { head, since }))
}

fn decided_at(session: &Session<'_>, lake_table: &LakeTable, window: &PartitionWindow, epoch: Epoch) -> Result<Timestamp> {
    let told = session.runtime.block_on(lake_table.decided_at(window, epoch))?;
    let told = told.ok_or_else(|| Error::internal("a decided epoch has no outcome").with("epoch", epoch))?;
    told.parse()
        .map_err(|error: jiff::Error| Error::internal("the store tells a time that is none").with("time", &told).caused_by(error))
}

fn told_of(promise: &Promise<'_>, found: &Availability) -> (&'static str, String) {
    let late = found.since.duration_since(promise.at);
    let (since, sla) = (found.since, promise.sla);
    if late <= SignedDuration::ZERO {
        return ("met", format!("promised by {sla} is there since {since} (the store's clock), {} ahead", minutes(-late)));
    }
    ("late", format!("promised by {sla} came late: there since {since} (the store's clock), {} late", minutes(late)))
}

fn missed(session: &Session<'_>, tables: &[Table], promise: &Promise<'_>) -> Result<Error> {
    let dataset = tables.last().map(|table| table.dataset.to_string()).unwrap_or_default();
    let why = last_attempt(session, tables, &promise.window)?;
    let message = format!("{dataset} for {} promised by {} is not there: {why}", promise.window, promise.sla);
    Ok(Error::new(ErrorKind::SlaMissed, message).with("window", promise.window).with("promised_at", promise.at))
}

/// What became of the first table on the way to the output that is not there.
fn last_attempt(session: &Session<'_>, tables: &[Table], window: &PartitionWindow) -> Result<String> {
    for table in tables {
        let last = match session.table(table)? {
            Some(lake_table) => session.runtime.block_on(lake_table.newest_epoch(window, |_| true))?,
            None => None,
        };
        let Some(last) = last else {
            return Ok(format!("{table} was never begun"));
        };
        if let Some(why) = unpublished(&last) {
            return Ok(format!("last attempt {why} in {table}"));
        }
    }
    Ok("nothing on the way to it failed".to_owned())
}

/// Why an epoch is not visible, `None` for a published one.
fn unpublished(state: &EpochState) -> Option<String> {
    let Some(outcome) = state.outcome.as_ref().map(|outcome| outcome.document()) else {
        return Some("was begun and is undecided".to_owned());
    };
    if outcome.decision == Decision::Published {
        return None;
    }
    let class = outcome.error.as_ref().map(|error| error.code.as_ref().unwrap_or(&error.kind));
    Some(class.map_or_else(|| outcome.decision.to_string(), |class| format!("{} ({class})", outcome.decision)))
}

/// An instant by the clock of the promise.
fn shown(at: Timestamp, sla: &Sla) -> Result<String> {
    let local = sla.time_zone()?.to_datetime(at);
    Ok(format!("{} {} {}", local.date(), sla.available_by, sla.zone))
}

/// `1 h 05 min`.
fn minutes(duration: SignedDuration) -> String {
    let minutes = duration.as_secs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => "less than a minute".to_owned(),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}
