//! What the measured runs say: a row for each worker, what it costs, and which one to buy.

use std::time::Duration;

use serde::Serialize;

use super::measure::{Failure, Run};
use super::model::{self, Fit, Point};
use super::prices::{Bill, Offer, Prices};
use super::worker::Worker;

/// How much of a worker's memory the job may have taken at its peak, for the worker to be recommended.
pub(super) const MEMORY_MARGIN: f64 = 0.8;

/// How far from the largest measured worker the model is believed, in vCPUs.
const FAR: f64 = 4.0;

/// Where a row's figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// The job ran on such a worker.
    Measured,
    /// The job ran, and failed.
    Failed,
    /// Computed from the measured ones: this machine is smaller than the worker.
    Modelled,
    /// This machine is smaller than the worker, and the measured ones do not say enough.
    Unknown,
}

impl State {
    /// The word in results.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            State::Measured => "measured",
            State::Failed => "failed",
            State::Modelled => "modelled",
            State::Unknown => "unknown",
        }
    }
}

/// One worker.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    /// `0.5x1`.
    pub(super) worker: String,
    #[serde(skip)]
    pub(super) size: Worker,
    /// vCPUs.
    pub(super) vcpus: f64,
    /// Its memory.
    pub(super) memory_bytes: u64,
    /// Where the figures come from.
    pub(super) state: State,
    /// The time of a window: the median of the runs.
    pub(super) wall_seconds: Option<f64>,
    /// The median of the runs.
    pub(super) cpu_seconds: Option<f64>,
    /// The largest of the runs.
    pub(super) peak_bytes: Option<u64>,
    /// The peak as a part of the worker's memory.
    pub(super) memory_used: Option<f64>,
    /// The largest of the runs; `None` when the job says nothing of it.
    pub(super) spilled_bytes: Option<u64>,
    /// The single runs.
    pub(super) runs: Vec<Run>,
    /// Of the run that failed.
    pub(super) failure: Option<Failure>,
    /// What it costs, by offer.
    pub(super) bills: Vec<Bill>,
    /// Why an offer or a figure is missing, and what is doubtful.
    pub(super) notes: Vec<String>,
    /// Whether it ends by the deadline; `None` without one.
    pub(super) meets_deadline: Option<bool>,
    /// Whether the peak leaves the margin of memory.
    pub(super) fits_memory: bool,
}

/// A worker to buy.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Choice {
    /// The worker.
    pub(super) worker: String,
    /// Where the time comes from.
    pub(super) state: State,
    /// Its time.
    pub(super) wall_seconds: f64,
    /// What to buy.
    #[serde(flatten)]
    pub(super) bill: Bill,
    /// The price of a TB (10^12 bytes) of raw files in windows of this size.
    pub(super) usd_per_tb: f64,
    /// The same without the minimum of a bill, which long windows approach.
    pub(super) usd_per_tb_without_minimum: f64,
}

/// The rows of a call, in the order the workers were named.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    pub(super) fit: Option<Fit>,
    /// The cheapest offer whose time and price hold as they are.
    pub(super) best: Option<Choice>,
    /// Cheaper offers that do not: ARM, which was not measured, and Spot, which may be interrupted.
    pub(super) others: Vec<Choice>,
}

/// What is asked beside the workers.
pub(super) struct Question<'a> {
    pub(super) prices: &'a Prices,
    pub(super) deadline: Option<Duration>,
    pub(super) input_bytes: u64,
}

impl Answer {
    /// Puts together what was measured; a worker without any run was too large for this machine.
    pub(super) fn new(measured: Vec<(Worker, Vec<Run>)>, question: &Question<'_>) -> Answer {
        let mut rows: Vec<Row> = measured.into_iter().map(|(worker, runs)| Row::of_runs(worker, runs)).collect();
        let points = points(&rows);
        let fit = Fit::of(&points);
        for row in rows.iter_mut().filter(|row| row.state == State::Unknown) {
            row.model(fit.as_ref(), &points);
        }
        for row in &mut rows {
            row.judge(question);
        }
        let firm: Vec<Choice> = choices(&rows, question, Offer::is_firm);
        let best = cheapest(firm);
        let limit = best.as_ref().map(|best| best.bill.usd);
        let of_offer = |offer: Offer| cheapest(choices(&rows, question, |other| other == offer));
        let others = [Offer::FargateArm, Offer::FargateSpot].into_iter().filter_map(of_offer);
        let others = others.filter(|choice| limit.is_none_or(|limit| choice.bill.usd < limit)).collect();
        Answer { rows, fit, best, others }
    }
}

/// The points of the law: whole runs, without those that spilled for lack of memory when there are others.
fn points(rows: &[Row]) -> Vec<Point> {
    let good = rows.iter().filter(|row| row.state == State::Measured);
    let point = |row: &Row| {
        Some(Point { vcpus: row.vcpus, wall_seconds: row.wall_seconds?, peak_bytes: row.peak_bytes.unwrap_or_default() })
    };
    let of = |rows: Vec<&Row>| rows.into_iter().filter_map(point).collect::<Vec<Point>>();
    let unspilled = of(good.clone().filter(|row| row.spilled_bytes.unwrap_or_default() == 0).collect());
    if Fit::of(&unspilled).is_some() { unspilled } else { of(good.collect()) }
}

fn choices(rows: &[Row], question: &Question<'_>, wanted: impl Fn(Offer) -> bool) -> Vec<Choice> {
    let may = rows.iter().filter(|row| row.fits_memory && row.meets_deadline != Some(false));
    let of_row = |row: &Row| {
        let wall_seconds = row.wall_seconds?;
        let bills = row.bills.iter().filter(|bill| wanted(bill.offer)).cloned();
        Some(bills.map(|bill| Choice::new(row, wall_seconds, bill, question.input_bytes)).collect::<Vec<_>>())
    };
    may.filter_map(of_row).flatten().collect()
}

/// The cheapest; of equal prices, as the minimum of a bill makes them, a measured one before a modelled one and then the
/// fastest.
fn cheapest(choices: Vec<Choice>) -> Option<Choice> {
    let key = |choice: &Choice| (choice.bill.usd, choice.state == State::Modelled, choice.wall_seconds);
    choices.into_iter().min_by(|a, b| {
        let (a, b) = (key(a), key(b));
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.total_cmp(&b.2))
    })
}

impl Choice {
    fn new(row: &Row, wall_seconds: f64, bill: Bill, input_bytes: u64) -> Choice {
        let (usd_per_tb, usd_per_tb_without_minimum) =
            (per_tb(bill.usd, input_bytes), per_tb(bill.usd_without_minimum, input_bytes));
        Choice { worker: row.worker.clone(), state: row.state, wall_seconds, bill, usd_per_tb, usd_per_tb_without_minimum }
    }
}

/// The price of 10^12 bytes, when so many bytes cost so much.
pub(super) fn per_tb(usd: f64, input_bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a price need not be exact to the byte")]
    let terabytes = input_bytes.max(1) as f64 / 1e12;
    usd / terabytes
}

impl Row {
    fn of_runs(worker: Worker, runs: Vec<Run>) -> Row {
        let failure = runs.iter().find_map(|run| run.failure.clone());
        let state = match (&failure, runs.is_empty()) {
            (_, true) => State::Unknown,
            (Some(_), _) => State::Failed,
            (None, _) => State::Measured,
        };
        let peak_bytes = runs.iter().map(|run| run.peak_bytes).max().filter(|peak| *peak > 0);
        let is_good = state == State::Measured;
        Row {
            worker: worker.to_string(),
            size: worker,
            vcpus: worker.vcpus(),
            memory_bytes: worker.bytes(),
            state,
            wall_seconds: median(runs.iter().map(|run| run.wall_seconds)).filter(|_| is_good),
            cpu_seconds: median(runs.iter().map(|run| run.cpu_seconds)).filter(|_| is_good),
            peak_bytes,
            memory_used: None,
            spilled_bytes: runs.iter().filter_map(|run| run.spilled_bytes).max(),
            runs,
            failure,
            bills: Vec::new(),
            notes: Vec::new(),
            meets_deadline: None,
            fits_memory: false,
        }
    }

    fn model(&mut self, fit: Option<&Fit>, points: &[Point]) {
        let Some(fit) = fit else {
            let what = "this machine is smaller, and modelling takes a measured worker of more than one vCPU and another one";
            self.notes.push(what.to_owned());
            return;
        };
        self.state = State::Modelled;
        self.wall_seconds = Some(fit.wall_seconds(self.vcpus));
        self.peak_bytes = model::peak_bytes(points, self.vcpus);
        if self.vcpus > FAR * fit.largest_measured_vcpus {
            let largest = fit.largest_measured_vcpus;
            self.notes
                .push(format!("far from what was measured ({largest} vCPU): measure on a larger machine before you rely on it"));
        }
    }

    /// Prices the time and holds it against the deadline and the margin of memory.
    fn judge(&mut self, question: &Question<'_>) {
        #[expect(clippy::cast_precision_loss, reason = "a part of memory need not be exact to the byte")]
        let used = self.peak_bytes.map(|peak| peak as f64 / self.memory_bytes as f64);
        self.memory_used = used;
        let Some(wall_seconds) = self.wall_seconds else { return };
        self.fits_memory = used.is_some_and(|used| used <= MEMORY_MARGIN);
        if used.is_none() {
            self.notes.push("ended before its memory was seen".to_owned());
        }
        self.meets_deadline = question.deadline.map(|deadline| wall_seconds <= deadline.as_secs_f64());
        for offer in Offer::ALL {
            match question.prices.bill(offer, self.size, wall_seconds) {
                Ok(bill) => self.bills.push(bill),
                Err(why) if offer == Offer::FargateX86 => self.notes.push(why),
                Err(_) => {}
            }
        }
    }

    /// The bill of an offer.
    pub(super) fn bill(&self, offer: Offer) -> Option<&Bill> {
        self.bills.iter().find(|bill| bill.offer == offer)
    }
}

/// The middle value, of an even number the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use windrow_core::ErrorKind;

    const GIB: u64 = 1 << 30;

    pub(in crate::cmd::sizing) fn run(wall_seconds: f64, peak_bytes: u64) -> Run {
        Run {
            wall_seconds,
            cpu_seconds: wall_seconds / 2.0,
            peak_bytes,
            resident_peak_bytes: peak_bytes,
            told_peak_bytes: None,
            charged_peak_bytes: None,
            spilled_bytes: Some(0),
            rows_in: 1,
            failure: None,
        }
    }

    pub(in crate::cmd::sizing) fn killed() -> Run {
        let failure = Failure {
            kind: ErrorKind::OutOfMemory.name(),
            exit_code: None,
            signal: Some(9),
            message: "killed by the kernel: out of memory".to_owned(),
            error_kind: Some(ErrorKind::OutOfMemory),
        };
        Run { failure: Some(failure), ..run(1.0, 0) }
    }

    pub(in crate::cmd::sizing) fn answer(workers: &[(&str, Vec<Run>)], deadline: Option<u64>) -> Answer {
        let prices = Prices::load(None).unwrap().0;
        let question = Question { prices: &prices, deadline: deadline.map(Duration::from_secs), input_bytes: 2_000_000_000 };
        Answer::new(workers.iter().map(|(worker, runs)| (worker.parse().unwrap(), runs.clone())).collect(), &question)
    }

    fn bought(answer: &Answer) -> Option<(&str, Offer)> {
        answer.best.as_ref().map(|best| (best.worker.as_str(), best.bill.offer))
    }

    #[test]
    fn without_a_deadline_the_cheapest_worker_that_finished_is_recommended() {
        let answer =
            answer(&[("0.5x1", vec![run(200.0, GIB / 2)]), ("1x2", vec![run(90.0, GIB)]), ("2x4", vec![run(50.0, GIB)])], None);
        // 0.5x1: 200 s × 0.024685/h = 0.001371; 1x2: 90 s × 0.04937/h = 0.001234; 2x4: 60 s × 0.09874/h = 0.001646.
        assert_eq!(bought(&answer), Some(("1x2", Offer::FargateX86)));
        let best = answer.best.unwrap();
        assert!((best.bill.usd - 0.001_234_25).abs() < 1e-9 && (best.usd_per_tb - 0.617_125).abs() < 1e-6, "{best:?}");
        assert!(answer.rows.iter().all(|row| row.meets_deadline.is_none()));
    }

    #[test]
    fn a_deadline_excludes_what_is_too_slow() {
        let workers = [("0.5x1", vec![run(200.0, GIB / 2)]), ("1x2", vec![run(90.0, GIB)]), ("2x4", vec![run(50.0, GIB)])];
        assert_eq!(bought(&answer(&workers, Some(90))), Some(("1x2", Offer::FargateX86)));
        assert_eq!(bought(&answer(&workers, Some(89))), Some(("2x4", Offer::FargateX86)));
        assert_eq!(bought(&answer(&workers, Some(10))), None);
    }

    #[test]
    fn a_peak_of_more_than_four_fifths_of_the_memory_is_too_near() {
        let near = answer(&[("1x2", vec![run(10.0, GIB * 17 / 10)]), ("2x4", vec![run(10.0, GIB)])], None);
        assert_eq!((bought(&near), near.rows[0].fits_memory), (Some(("2x4", Offer::FargateX86)), false));
        let exact = answer(&[("1x2", vec![run(10.0, 1_717_986_918)])], None);
        assert_eq!(bought(&exact), Some(("1x2", Offer::FargateX86)));
    }

    #[test]
    fn a_small_window_is_cheapest_in_a_sixteenth_of_a_python_shell() {
        // 60 s of 0.25 vCPU and 1 GB on Fargate are 0.000243; a sixteenth of a DPU 0.000458.
        let answer = answer(&[("0.25x1", vec![run(20.0, GIB / 4)])], None);
        assert_eq!(bought(&answer), Some(("0.25x1", Offer::FargateX86)));
        assert_eq!(answer.rows[0].bill(Offer::GluePythonShell).unwrap().size, "0.0625 DPU");
    }

    #[test]
    fn cheaper_offers_that_do_not_hold_as_they_are_stand_beside() {
        let answer = answer(&[("1x2", vec![run(90.0, GIB)])], None);
        let offers: Vec<Offer> = answer.others.iter().map(|choice| choice.bill.offer).collect();
        assert_eq!(offers, [Offer::FargateArm, Offer::FargateSpot]);
        assert_eq!(answer.others[0].bill.note, Some("time measured on x86"));
    }

    #[test]
    fn a_failed_worker_is_a_row_without_price_and_recommends_nothing() {
        let answer = answer(&[("1x1", vec![run(9.0, GIB / 2), killed()]), ("2x4", vec![run(9.0, GIB)])], None);
        let failed = &answer.rows[0];
        assert_eq!((failed.state, failed.wall_seconds, failed.bills.len()), (State::Failed, None, 0));
        assert_eq!(failed.failure.as_ref().unwrap().kind, "OutOfMemory");
        assert_eq!(bought(&answer), Some(("2x4", Offer::FargateX86)));
    }

    /// 2 s serial and 8 s parallel: 10 s on one, 6 s on two, 4 s on four.
    #[test]
    fn what_is_larger_than_the_machine_is_modelled_and_says_so() {
        let workers = [("1x2", vec![run(10.0, GIB)]), ("2x4", vec![run(6.0, GIB)]), ("4x8", vec![]), ("16x32", vec![])];
        let answer = answer(&workers, Some(5));
        let four = &answer.rows[2];
        assert_eq!((four.state, four.cpu_seconds, four.meets_deadline), (State::Modelled, None, Some(true)));
        assert!((four.wall_seconds.unwrap() - 4.0).abs() < 1e-9 && four.notes.is_empty(), "{four:?}");
        assert!(answer.rows[3].notes[0].starts_with("far from what was measured (2 vCPU)"));
        assert_eq!((bought(&answer), answer.best.as_ref().unwrap().state), (Some(("4x8", Offer::FargateX86)), State::Modelled));
    }

    #[test]
    fn what_cannot_be_modelled_is_unknown_with_the_reason() {
        let answer = answer(&[("1x2", vec![run(10.0, GIB)]), ("4x8", vec![])], None);
        assert_eq!((answer.rows[1].state, answer.fit), (State::Unknown, None));
        assert!(answer.rows[1].notes[0].contains("more than one vCPU"), "{:?}", answer.rows[1].notes);
    }

    #[test]
    fn runs_that_spilled_do_not_bend_the_law() {
        let spilled = Run { spilled_bytes: Some(7), ..run(30.0, GIB) };
        let workers = [("1x1", vec![spilled]), ("1x2", vec![run(10.0, GIB)]), ("2x4", vec![run(6.0, GIB)]), ("4x8", vec![])];
        let answer = answer(&workers, None);
        assert_eq!(answer.fit.unwrap().points, 2);
        assert!((answer.rows[3].wall_seconds.unwrap() - 4.0).abs() < 1e-9);
    }

    #[test]
    fn the_median_of_the_runs_counts_and_their_largest_peak() {
        let answer = answer(&[("1x2", vec![run(9.0, 5), run(1.0, 7), run(2.0, 6)])], None);
        assert_eq!((answer.rows[0].wall_seconds, answer.rows[0].peak_bytes), (Some(2.0), Some(7)));
        assert_eq!(median([1.0, 4.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
