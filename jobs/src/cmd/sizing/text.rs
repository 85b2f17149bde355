//! The answer for people: a table of the workers, then what to buy, how it was computed, and Spark beside it.

use std::time::Duration;

use crate::report::{bytes, count};

use super::answer::{self, Answer, Choice, MEMORY_MARGIN, Row, State};
use super::measure::Run;
use super::model::Fit;
use super::prices::Offer;
use super::{Stages, Told};

const HEADER: [&str; 10] = ["worker", "state", "wall s", "CPU s", "peak", "spilled", "x86", "ARM", "Spot", "shell"];

/// How the runs of one worker went, in a few words.
pub(super) fn progress(runs: &[Run]) -> String {
    let Some(last) = runs.last() else { return "is larger than this machine".to_owned() };
    match &last.failure {
        Some(failure) => format!("FAILED {}: {}", failure.kind, failure.message),
        None => {
            let times: Vec<String> = runs.iter().map(|run| format!("{:.2} s", run.wall_seconds)).collect();
            format!("{}, {:.2} CPU s, peak {}", times.join(", "), last.cpu_seconds, bytes(last.peak_bytes))
        }
    }
}

/// The whole answer.
pub(super) fn table(told: &Told<'_>) -> String {
    let answer = told.answer;
    let mut lines = vec![head(told), String::new()];
    lines.extend(aligned(&answer.rows));
    lines.push(
        "x86, ARM, Spot, shell: USD for 1000 windows on Fargate, and in the Glue Python shell job that holds the worker"
            .to_owned(),
    );
    lines.push(String::new());
    lines.extend(answer.rows.iter().filter_map(notes));
    lines.push(model(answer));
    lines.push(spark(told));
    lines.push(told.sizing.prices.provenance());
    lines.push(String::new());
    lines.push(recommendation(told));
    lines.extend(answer.others.iter().map(|choice| format!("  cheaper, with a condition: {}", bought(choice))));
    lines.join("\n")
}

fn head(told: &Told<'_>) -> String {
    let sizing = told.sizing;
    let (machine, runs) = (sizing.machine, count(u64::from(sizing.args.runs), "run"));
    let verb = if sizing.args.stages == Stages::All { "run" } else { "raw-to-clean" };
    format!(
        "{} {}: {} of {}; windrow {verb}, {runs} a worker, limits by {}, on {} vCPU with {} free",
        sizing.args.table.dataset,
        sizing.window,
        count(told.lake.files as u64, "file"),
        bytes(told.lake.bytes),
        sizing.limits.name(),
        machine.vcpus,
        bytes(machine.free_bytes),
    )
}

/// The table, each column as wide as its widest cell.
fn aligned(rows: &[Row]) -> Vec<String> {
    let mut cells: Vec<Vec<String>> = vec![HEADER.map(str::to_owned).to_vec()];
    cells.extend(rows.iter().map(cells_of));
    let width =
        |column: usize| cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            // Words to the left, numbers to the right.
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

fn cells_of(row: &Row) -> Vec<String> {
    let number = |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    let price = |offer: Offer| number(row.bill(offer).map(|bill| bill.usd * 1_000.0), 3);
    let size = |value: Option<u64>| value.map_or("-".to_owned(), bytes);
    let mut cells = vec![row.worker.clone(), row.state.as_str().to_owned()];
    cells.extend([number(row.wall_seconds, 2), number(row.cpu_seconds, 2), size(row.peak_bytes), size(row.spilled_bytes)]);
    cells.extend(Offer::ALL.map(price));
    cells
}

/// What has to be said of a row.
fn notes(row: &Row) -> Option<String> {
    let mut notes: Vec<String> = Vec::new();
    notes.extend(row.failure.as_ref().map(|failure| format!("{}: {}", failure.kind, failure.message)));
    notes.extend((row.meets_deadline == Some(false)).then(|| "too slow for the deadline".to_owned()));
    let percent = row.memory_used.map(|used| used * 100.0);
    if let (true, false, Some(percent)) = (row.wall_seconds.is_some(), row.fits_memory, percent) {
        notes.push(format!("takes {percent:.0} % of its memory, more than {:.0} %", MEMORY_MARGIN * 100.0));
    }
    let up = row.bill(Offer::FargateX86).filter(|bill| !bill.is_exact);
    notes.extend(up.map(|bill| format!("Fargate has no such size, priced as {}", bill.size)));
    notes.extend(row.notes.iter().cloned());
    (!notes.is_empty()).then(|| format!("{}: {}", row.worker, notes.join("; ")))
}

fn model(answer: &Answer) -> String {
    match &answer.fit {
        Some(fit) => law(fit),
        None => "model: none; it takes a measured worker of more than one vCPU and another one".to_owned(),
    }
}

fn law(fit: &Fit) -> String {
    let error = if fit.points > 2 {
        format!("off by at most {:.1} % where measured", fit.max_relative_error * 100.0)
    } else {
        "two points always fit: its error is not known".to_owned()
    };
    format!(
        "model: wall = {:.2} s serial / min(vCPU, 1) + {:.2} s parallel / vCPU ({:.0} % parallel), fitted to {} workers, {error}",
        fit.serial_seconds,
        fit.parallel_seconds,
        fit.parallel_fraction * 100.0,
        fit.points
    )
}

fn spark(told: &Told<'_>) -> String {
    let spark = told.spark;
    let time = match spark.seconds {
        Some(seconds) => format!("{seconds} s as given"),
        None => format!("the least any run is billed, {} s", spark.billed_seconds),
    };
    let per_tb = answer::per_tb(spark.usd, told.lake.bytes);
    let times = told.answer.best.as_ref().map(|best| format!(", {:.1} times the recommended", spark.usd / best.bill.usd));
    let times = times.unwrap_or_default();
    format!(
        "Glue Spark, {}, {time}: USD {:.3} for 1000 windows, {} a TB{times}",
        spark.size,
        spark.usd * 1_000.0,
        dollars(per_tb)
    )
}

fn recommendation(told: &Told<'_>) -> String {
    let deadline = told.sizing.args.deadline.map(|deadline| format!(" within {}", span(deadline.0))).unwrap_or_default();
    let Some(best) = &told.answer.best else {
        return format!("Recommended: none. No worker finishes{deadline} in {:.0} % of its memory", MEMORY_MARGIN * 100.0);
    };
    let modelled = if best.state == State::Modelled { "; modelled: measure on such a worker before you rely on it" } else { "" };
    let deadline = if deadline.is_empty() { ", the cheapest" } else { &format!(", the cheapest{deadline}") };
    format!("Recommended: {}{deadline}{modelled}", bought(best))
}

fn bought(choice: &Choice) -> String {
    let bill = &choice.bill;
    let note = bill.note.map(|note| format!(" ({note})")).unwrap_or_default();
    format!(
        "{} on {}, {}: {:.2} s, billed {} s, USD {:.3} for 1000 windows, {} a TB{note}",
        choice.worker,
        bill.offer.title(),
        bill.size,
        choice.wall_seconds,
        bill.billed_seconds,
        bill.usd * 1_000.0,
        dollars(choice.usd_per_tb),
    )
}

/// A price of a TB; of a small window it is large, and its cents say nothing.
fn dollars(usd: f64) -> String {
    if usd >= 100.0 { format!("{usd:.0}") } else { format!("{usd:.2}") }
}

/// `15m`, `90s`.
fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::tests::{answer, killed, run};
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_table_is_aligned_and_says_what_is_doubtful() {
        let workers = [
            ("1x0.0625", vec![killed()]),
            ("1x1", vec![run(10.0, GIB * 9 / 10)]),
            ("2x4", vec![run(6.0, GIB)]),
            ("4x8", vec![]),
            ("32x64", vec![]),
        ];
        let answer = answer(&workers, Some(5));
        let notes: Vec<String> = answer.rows.iter().filter_map(notes).collect();
        let text = [aligned(&answer.rows), notes, vec![model(&answer)]].concat().join("\n");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_worker_tells_how_its_runs_went() {
        assert_eq!(progress(&[run(2.0, 3_000_000), run(3.0, 4_000_000)]), "2.00 s, 3.00 s, 1.50 CPU s, peak 4.0 MB");
        assert_eq!(progress(&[killed()]), "FAILED OutOfMemory: killed by the kernel: out of memory");
        assert_eq!(progress(&[]), "is larger than this machine");
    }

    #[test]
    fn a_deadline_is_shown_as_it_is_given() {
        for (seconds, text) in [(90, "90s"), (900, "15m"), (7_200, "2h")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
