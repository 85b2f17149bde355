//! `windrow gc`: what nothing reaches any more. Shows it; deletes it only when told to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use windrow_core::Result;
use windrow_core::ledger::Reason;
use windrow_lake::{GcItem, GcPlan, GcPolicy, GcReport, GcSkipped};

use crate::cli::Common;
use crate::report::{RESULT_SCHEMA, Reporter, bytes, count, error_json};
use crate::session::Session;

/// Arguments of `windrow gc`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windrow gc                         # what would be deleted, and why
  windrow gc --delete                # deletes it
  windrow gc --retention 90d

Heads, registers, raw files and keys that are not windrow's are never deleted. Ages are the store's own.")]
pub struct Args {
    /// Delete what is shown; each key is verified again right before
    #[arg(long, env = "WINDROW_GC_DELETE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    delete: bool,
    /// How long superseded and retracted versions are kept, at least 7d [default: 30d]
    #[arg(long, value_name = "AGE", env = "WINDROW_GC_RETENTION", hide_env_values = true, value_parser = parse_age)]
    retention: Option<Duration>,
    /// How long quarantined files and evidence are kept [default: 30d]
    #[arg(long, value_name = "AGE", env = "WINDROW_GC_QUARANTINE_RETENTION", hide_env_values = true, value_parser = parse_age)]
    quarantine_retention: Option<Duration>,
    /// How old an undecided attempt must be before it is given up; whoever still works on it is fenced [default: 1d]
    #[arg(long, value_name = "AGE", env = "WINDROW_GC_UNDECIDED_AFTER", hide_env_values = true, value_parser = parse_age)]
    undecided_after: Option<Duration>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Reads `0s`, `90m`, `36h`, `30d`.
fn parse_age(text: &str) -> Result<Duration, String> {
    let wrong = || "an age is a whole number with s, m, h or d: 30d".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number = number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse::<u64>().ok()).flatten();
    number.and_then(|number| number.checked_mul(seconds)).map(Duration::from_secs).ok_or_else(wrong)
}

impl Args {
    fn policy(&self) -> GcPolicy {
        let usual = GcPolicy::default();
        GcPolicy {
            retention: self.retention.unwrap_or(usual.retention),
            quarantine_retention: self.quarantine_retention.unwrap_or(usual.quarantine_retention),
            undecided_after: self.undecided_after.unwrap_or(usual.undecided_after),
        }
    }
}

/// Plans, and with `--delete` carries the plan out.
///
/// # Errors
/// `Misconfigured` for a retention that is too short, else what the store says to the plan. What stops the run later, and a
/// window whose ledger cannot be read, is in the result and fails the verb.
pub fn run(args: &Args, reporter: &Reporter) -> Result<u8> {
    let session = Session::open(reporter, Reason::Schedule, false)?;
    let policy = args.policy();
    let plan = session.runtime.block_on(session.lake.plan_gc(&policy, None))?;
    let report = match args.delete {
        true => Some(session.runtime.block_on(session.lake.run_gc(&plan, &policy, None))?),
        false => None,
    };
    let skipped: Vec<&GcSkipped> = plan.skipped.iter().chain(report.iter().flat_map(|report| &report.skipped)).collect();
    let stopped = report.as_ref().and_then(|report| report.failure.as_ref());
    let failure = stopped.or(skipped.first().map(|skipped| &skipped.error));
    let code = failure.map_or(0, |error| error.kind().exit_code());
    let result = json!({
        "schema": RESULT_SCHEMA,
        "verb": "gc",
        "run_id": session.run_id.as_str(),
        "status": if code == 0 { "ok" } else { "failed" },
        "exit_code": code,
        "error": failure.map(error_json),
        "alert": failure.map(|error| session.reporter.alert(error)),
        "deleted": report.is_some(),
        "plan": items_json(&plan.items),
        "heads": {"objects": plan.heads.objects, "bytes": plan.heads.bytes},
        "retained": {"objects": plan.retained.objects, "bytes": plan.retained.bytes},
        "viewed": {"objects": plan.viewed.objects, "bytes": plan.viewed.bytes},
        "foreign": plan.foreign.iter().map(|found| json!({"key": found.key, "size": found.size, "why": found.why})).collect::<Vec<_>>(),
        "report": report.as_ref().map(report_json),
        "skipped": skipped.iter().map(|skipped| skipped_json(skipped)).collect::<Vec<_>>(),
    });
    session.reporter.result(&result, &shown(&session, &plan, report.as_ref()))?;
    Ok(code)
}

fn items_json(items: &[GcItem]) -> Vec<Value> {
    items.iter().map(|item| json!({"key": item.key.to_string(), "size": item.size, "reason": item.reason.as_str()})).collect()
}

fn report_json(report: &GcReport) -> Value {
    let aborted = report
        .aborted
        .iter()
        .map(|(table, window, epoch)| json!({"table": table.to_string(), "window": window.to_string(), "epoch": epoch.get()}));
    json!({
        "deleted": items_json(&report.deleted),
        "left": items_json(&report.left),
        "aborted": aborted.collect::<Vec<_>>(),
    })
}

fn skipped_json(skipped: &GcSkipped) -> Value {
    json!({"table": skipped.table.to_string(), "window": skipped.window.to_string(), "error": error_json(&skipped.error)})
}

fn shown(session: &Session<'_>, plan: &GcPlan, report: Option<&GcReport>) -> String {
    let items = report.map_or(&plan.items, |report| &report.deleted);
    let mut lines: Vec<String> = items
        .iter()
        .map(|item| format!("{:<12} {:>10}  {}", item.reason, bytes(item.size), session.shown(&item.key.to_string())))
        .collect();
    let foreign = plan.foreign.iter().map(|found| {
        format!("{:<12} {:>10}  {} ({}; left alone)", "foreign", bytes(found.size), session.shown(&found.key), found.why)
    });
    lines.extend(foreign);
    let skipped = plan.skipped.iter().chain(report.iter().flat_map(|report| &report.skipped));
    lines.extend(skipped.map(|skipped| format!("left alone   {} {}: {}", skipped.table, skipped.window, skipped.error)));
    lines.push(totals(plan, report, items));
    lines.join("\n")
}

fn totals(plan: &GcPlan, report: Option<&GcReport>, items: &[GcItem]) -> String {
    let size: u64 = items.iter().map(|item| item.size).sum();
    let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
    items.iter().for_each(|item| *by_reason.entry(item.reason.as_str()).or_default() += 1);
    let reasons: Vec<String> = by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let objects = count(items.len() as u64, "object");
    let mut lines = Vec::new();
    match report {
        _ if plan.items.is_empty() => lines.push("nothing is garbage".to_owned()),
        None => lines.push(format!(
            "{objects} to delete, {} ({}); `windrow gc --delete` deletes them",
            bytes(size),
            reasons.join(", ")
        )),
        Some(report) => {
            let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
            lines.push(format!("{objects} deleted, {}{why}", bytes(size)));
            let aborted = report.aborted.iter().map(|(table, window, epoch)| {
                format!("given up: {table} {window} epoch {}; whoever still works on it is fenced", epoch.get())
            });
            lines.extend(aborted);
            if let Some(error) = &report.failure {
                let help = error.help_text().unwrap_or_else(|| error.kind().next_step());
                lines.push(format!("stopped before the end: {error}; {help}; the rest is in the next plan"));
            } else if !report.left.is_empty() {
                lines.push(format!("{} left after all: something reaches them again", count(report.left.len() as u64, "object")));
            }
        }
    }
    let (heads, retained) = (count(plan.heads.objects, "object"), count(plan.retained.objects, "object"));
    lines.push(format!("kept: {heads} of heads, {retained} within their retention"));
    if plan.viewed.objects > 0 {
        lines.push(format!(
            "kept: {} that only a symlink manifest still names; `windrow reconcile`, with \"symlink\" among the views, frees them",
            count(plan.viewed.objects, "object")
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_whole_numbers_with_a_unit() {
        for (text, seconds) in [("0s", 0), ("90m", 5_400), ("36h", 129_600), ("30d", 2_592_000)] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "d", "30", "-1d", "+1d", "1.5d", "30 d", "1w", "99999999999999999999d", "213503982334602d", "1é"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }
}
