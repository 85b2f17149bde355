//! What a worker costs for the time it runs: a dated table of list prices, and the arithmetic of a bill.
//!
//! The committed table is built in; `--prices` takes another one of the same form.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use windrow_core::{Error, Result};

use super::worker::Worker;

const COMMITTED: &str = include_str!("../../../prices/us-east-1.toml");
const COMMITTED_NAME: &str = "jobs/prices/us-east-1.toml";

/// A table of prices.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prices {
    version: u32,
    pub(super) region: String,
    fargate: Fargate,
    glue_python_shell: PythonShell,
    glue_spark: Spark,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Fargate {
    minimum_seconds: u32,
    x86: Rate,
    arm: Rate,
    spot: Rate,
    size: Vec<Size>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    as_of: String,
    source: String,
    usd_per_vcpu_hour: f64,
    usd_per_gb_hour: f64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Size {
    vcpus: f64,
    gb: Vec<f64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PythonShell {
    as_of: String,
    source: String,
    usd_per_dpu_hour: f64,
    minimum_seconds: u32,
    vcpus_per_dpu: f64,
    gb_per_dpu: f64,
    dpus: Vec<f64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Spark {
    as_of: String,
    source: String,
    usd_per_dpu_hour: f64,
    minimum_seconds: u32,
    worker: String,
    dpus_per_worker: f64,
    minimum_workers: u32,
}

/// Where a worker can be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Offer {
    /// Fargate on x86.
    FargateX86,
    /// Fargate on ARM; the time was measured on x86.
    FargateArm,
    /// Fargate Spot on x86: may be stopped at two minutes' notice, at a price that varies.
    FargateSpot,
    /// A Glue Python shell job.
    GluePythonShell,
}

impl Offer {
    /// All of them, in the order they are shown.
    pub(super) const ALL: [Offer; 4] = [Offer::FargateX86, Offer::FargateArm, Offer::FargateSpot, Offer::GluePythonShell];

    /// The name for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Offer::FargateX86 => "Fargate x86",
            Offer::FargateArm => "Fargate ARM",
            Offer::FargateSpot => "Fargate Spot",
            Offer::GluePythonShell => "Python shell",
        }
    }

    /// What has to be known beside the price.
    pub(super) fn note(self) -> Option<&'static str> {
        match self {
            Offer::FargateX86 => None,
            Offer::FargateArm => Some("time measured on x86"),
            Offer::FargateSpot => Some("price varies, may be interrupted"),
            Offer::GluePythonShell => Some("time measured outside Glue"),
        }
    }

    /// Tells whether the measured time and the price hold as they are, so that it can be recommended as it stands.
    pub(super) fn is_firm(self) -> bool {
        matches!(self, Offer::FargateX86 | Offer::GluePythonShell)
    }
}

/// What a worker costs for a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Bill {
    /// Where.
    pub(super) offer: Offer,
    /// The size that is bought: `1 vCPU, 2 GB`.
    pub(super) size: String,
    /// Whether the worker is offered as it was asked for; else it is the cheapest offered size that holds it.
    pub(super) is_exact: bool,
    /// The time that is billed: whole seconds, at least the minimum.
    pub(super) billed_seconds: u64,
    /// The price.
    pub(super) usd: f64,
    /// The price of the same time without the minimum, which long windows approach.
    pub(super) usd_without_minimum: f64,
    /// What has to be known beside it.
    pub(super) note: Option<&'static str>,
}

/// The smallest Glue Spark job, for the comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SparkBill {
    /// `2 x G.1X`.
    pub(super) size: String,
    /// The time, if one was given.
    pub(super) seconds: Option<f64>,
    /// The time that is billed.
    pub(super) billed_seconds: u64,
    /// The price.
    pub(super) usd: f64,
    /// Whether this is the least that any run costs, because no time was given.
    pub(super) is_minimum_only: bool,
}

impl Prices {
    /// The committed table, or the one in a file, and its name.
    ///
    /// # Errors
    /// `Misconfigured` when the file cannot be read or is no table of prices.
    pub(super) fn load(file: Option<&Path>) -> Result<(Prices, String)> {
        let Some(file) = file else { return Ok((Prices::read(COMMITTED_NAME, COMMITTED)?, COMMITTED_NAME.to_owned())) };
        let name = file.display().to_string();
        let text = fs::read_to_string(file).map_err(|error| {
            let message = format!("the price table {name} cannot be read");
            Error::misconfigured(message).help(format!("give a file of the form of {COMMITTED_NAME}")).caused_by(error)
        })?;
        Ok((Prices::read(&name, &text)?, name))
    }

    fn read(name: &str, text: &str) -> Result<Prices> {
        let refused = |what: String| {
            Error::misconfigured(format!("{name}{what}")).help(format!("{COMMITTED_NAME} of the sources shows the form"))
        };
        let prices: Prices = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.get(..start).unwrap_or_default().matches('\n').count() + 1;
            refused(format!(":{line}: {}", error.message().lines().next().unwrap_or_default()))
        })?;
        if prices.version != 1 {
            return Err(refused(format!(": version {} of this form is not known; write version = 1", prices.version)));
        }
        match prices.wrong_key() {
            Some(key) => Err(refused(format!(": {key} must be more than zero"))),
            None => Ok(prices),
        }
    }

    /// The first price or size that is none.
    fn wrong_key(&self) -> Option<String> {
        let Prices { fargate, glue_python_shell: shell, glue_spark: spark, .. } = self;
        let mut numbers: Vec<(String, f64)> = Vec::new();
        for (name, rate) in [("x86", &fargate.x86), ("arm", &fargate.arm), ("spot", &fargate.spot)] {
            numbers.push((format!("fargate.{name}.usd_per_vcpu_hour"), rate.usd_per_vcpu_hour));
            numbers.push((format!("fargate.{name}.usd_per_gb_hour"), rate.usd_per_gb_hour));
        }
        for size in &fargate.size {
            numbers.push(("fargate.size.vcpus".to_owned(), size.vcpus));
            numbers.extend(size.gb.iter().map(|gb| ("fargate.size.gb".to_owned(), *gb)));
        }
        numbers.extend(shell.dpus.iter().map(|dpus| ("glue_python_shell.dpus".to_owned(), *dpus)));
        let others = [
            ("glue_python_shell.usd_per_dpu_hour", shell.usd_per_dpu_hour),
            ("glue_python_shell.vcpus_per_dpu", shell.vcpus_per_dpu),
            ("glue_python_shell.gb_per_dpu", shell.gb_per_dpu),
            ("glue_spark.usd_per_dpu_hour", spark.usd_per_dpu_hour),
            ("glue_spark.dpus_per_worker", spark.dpus_per_worker),
            ("glue_spark.minimum_workers", f64::from(spark.minimum_workers)),
        ];
        numbers.extend(others.map(|(key, number)| (key.to_owned(), number)));
        numbers.into_iter().find(|(_, number)| !(number.is_finite() && *number > 0.0)).map(|(key, _)| key)
    }

    /// What a worker costs for a time, or the reason why it is not offered.
    pub(super) fn bill(&self, offer: Offer, worker: Worker, seconds: f64) -> std::result::Result<Bill, String> {
        let fargate = &self.fargate;
        match offer {
            Offer::FargateX86 => fargate.bill(offer, &fargate.x86, worker, seconds),
            Offer::FargateArm => fargate.bill(offer, &fargate.arm, worker, seconds),
            Offer::FargateSpot => fargate.bill(offer, &fargate.spot, worker, seconds),
            Offer::GluePythonShell => self.glue_python_shell.bill(worker, seconds),
        }
    }

    /// What the smallest Glue Spark job costs for a time; without one, the least that any run costs.
    pub(super) fn spark(&self, seconds: Option<f64>) -> SparkBill {
        let spark = &self.glue_spark;
        let workers = f64::from(spark.minimum_workers);
        let billed_seconds = billed(seconds.unwrap_or_default(), spark.minimum_seconds);
        let usd_per_hour = workers * spark.dpus_per_worker * spark.usd_per_dpu_hour;
        SparkBill {
            size: format!("{} x {}", spark.minimum_workers, spark.worker),
            seconds,
            billed_seconds,
            usd: price(usd_per_hour, billed_seconds),
            is_minimum_only: seconds.is_none(),
        }
    }

    /// Which prices these are and how old, in one line.
    pub(super) fn provenance(&self) -> String {
        let (x86, shell, spark) = (&self.fargate.x86, &self.glue_python_shell, &self.glue_spark);
        let dates = [&x86.as_of, &self.fargate.arm.as_of, &self.fargate.spot.as_of, &shell.as_of, &spark.as_of];
        let (oldest, newest) = (dates.iter().min(), dates.iter().max());
        let (oldest, newest) = (oldest.map_or("", |date| date.as_str()), newest.map_or("", |date| date.as_str()));
        let when = if oldest == newest { oldest.to_owned() } else { format!("{oldest} to {newest}") };
        format!(
            "list prices of {} as of {when} ({}; {}); check them before you rely on them",
            self.region, x86.source, shell.source
        )
    }
}

impl Fargate {
    fn bill(&self, offer: Offer, rate: &Rate, worker: Worker, seconds: f64) -> std::result::Result<Bill, String> {
        let (vcpus, gb) = (worker.vcpus(), worker.gibibytes());
        let per_hour = |vcpus: f64, gb: f64| vcpus * rate.usd_per_vcpu_hour + gb * rate.usd_per_gb_hour;
        let sizes = self.size.iter().flat_map(|size| size.gb.iter().map(|gb| (size.vcpus, *gb)));
        let large_enough = sizes.filter(|size| size.0 >= vcpus && size.1 >= gb);
        let cheapest = large_enough.min_by(|a, b| per_hour(a.0, a.1).total_cmp(&per_hour(b.0, b.1)));
        let (bought_vcpus, bought_gb) = cheapest.ok_or_else(|| format!("Fargate offers no task as large as {worker}"))?;
        let is_exact = (bought_vcpus, bought_gb) == (vcpus, gb);
        let size = format!("{bought_vcpus} vCPU, {bought_gb} GB");
        Ok(Bill::new(offer, size, is_exact, seconds, self.minimum_seconds, per_hour(bought_vcpus, bought_gb)))
    }
}

impl PythonShell {
    fn bill(&self, worker: Worker, seconds: f64) -> std::result::Result<Bill, String> {
        let (vcpus, gb) = (worker.vcpus(), worker.gibibytes());
        let is_enough = |dpus: &f64| dpus * self.vcpus_per_dpu >= vcpus && dpus * self.gb_per_dpu >= gb;
        let dpus = self.dpus.iter().copied().filter(is_enough).min_by(f64::total_cmp);
        let dpus = dpus.ok_or_else(|| format!("a Glue Python shell job is never as large as {worker}"))?;
        let is_exact = (dpus * self.vcpus_per_dpu, dpus * self.gb_per_dpu) == (vcpus, gb);
        let per_hour = dpus * self.usd_per_dpu_hour;
        Ok(Bill::new(Offer::GluePythonShell, format!("{dpus} DPU"), is_exact, seconds, self.minimum_seconds, per_hour))
    }
}

impl Bill {
    fn new(offer: Offer, size: String, is_exact: bool, seconds: f64, minimum_seconds: u32, usd_per_hour: f64) -> Bill {
        let billed_seconds = billed(seconds, minimum_seconds);
        let usd = price(usd_per_hour, billed_seconds);
        Bill {
            offer,
            size,
            is_exact,
            billed_seconds,
            usd,
            usd_without_minimum: usd_per_hour * seconds / 3_600.0,
            note: offer.note(),
        }
    }
}

/// Whole seconds, at least the minimum.
fn billed(seconds: f64, minimum_seconds: u32) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a run are few and not negative")]
    let whole = seconds.max(0.0).ceil() as u64;
    whole.max(u64::from(minimum_seconds))
}

fn price(usd_per_hour: f64, billed_seconds: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run are few")]
    let hours = billed_seconds as f64 / 3_600.0;
    usd_per_hour * hours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        Prices::load(None).unwrap().0
    }

    fn bill(offer: Offer, worker: &str, seconds: f64) -> Bill {
        prices().bill(offer, worker.parse().unwrap(), seconds).unwrap()
    }

    #[track_caller]
    fn assert_usd(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    /// By hand: 2 vCPU × 0.04048 + 4 GB × 0.004445 = 0.09874 an hour; 90.2 s are billed as 91: 0.09874 × 91 / 3600.
    #[test]
    fn a_second_is_billed_when_it_has_begun() {
        let bill = bill(Offer::FargateX86, "2x4", 90.2);
        assert_eq!((bill.size.as_str(), bill.is_exact, bill.billed_seconds), ("2 vCPU, 4 GB", true, 91));
        assert_usd(bill.usd, 0.002_495_927_777_777_777_6);
        assert_usd(bill.usd_without_minimum, 0.09874 * 90.2 / 3600.0);
    }

    /// By hand: 1 vCPU × 0.04048 + 2 GB × 0.004445 = 0.04937 an hour, a sixtieth of it; ARM (0.03238 + 0.00712) / 60; Spot
    /// three tenths of x86.
    #[test]
    fn less_than_a_minute_is_billed_as_a_minute() {
        let x86 = bill(Offer::FargateX86, "1x2", 3.2);
        assert_eq!(x86.billed_seconds, 60);
        assert_usd(x86.usd, 0.000_822_833_333_333_333_3);
        assert_usd(bill(Offer::FargateArm, "1x2", 59.9).usd, 0.0395 / 60.0);
        assert_usd(bill(Offer::FargateSpot, "1x2", 60.0).usd, 0.3 * 0.04937 / 60.0);
        assert_eq!(bill(Offer::FargateX86, "1x2", 60.01).billed_seconds, 61);
    }

    #[test]
    fn what_fargate_does_not_offer_is_the_next_size_up() {
        for (worker, size) in [
            ("0.1x0.0625", "0.25 vCPU, 0.5 GB"),
            ("0.5x0.5", "0.5 vCPU, 1 GB"),
            ("1x1", "1 vCPU, 2 GB"),
            ("1x10", "2 vCPU, 10 GB"),
            ("3x4", "4 vCPU, 8 GB"),
            ("2x4.5", "2 vCPU, 5 GB"),
            ("8x17", "8 vCPU, 20 GB"),
            ("1x31", "8 vCPU, 32 GB"),
        ] {
            let bill = bill(Offer::FargateX86, worker, 1.0);
            assert_eq!((bill.size.as_str(), bill.is_exact), (size, false), "{worker}");
        }
        for worker in ["0.25x2", "4x30", "16x120"] {
            assert!(bill(Offer::FargateX86, worker, 1.0).is_exact, "{worker}");
        }
        let refused = prices().bill(Offer::FargateArm, "32x64".parse().unwrap(), 1.0).unwrap_err();
        assert_eq!(refused, "Fargate offers no task as large as 32x64");
    }

    /// By hand: a sixteenth DPU 0.0275 an hour, one DPU 0.44; two minutes of one are 0.0146666….
    #[test]
    fn a_python_shell_job_is_a_sixteenth_of_a_dpu_or_one() {
        let small = bill(Offer::GluePythonShell, "0.25x1", 10.0);
        assert_eq!((small.size.as_str(), small.is_exact, small.billed_seconds), ("0.0625 DPU", true, 60));
        assert_usd(small.usd, 0.0275 / 60.0);
        let large = bill(Offer::GluePythonShell, "1x2", 120.0);
        assert_eq!((large.size.as_str(), large.is_exact), ("1 DPU", false));
        assert_usd(large.usd, 0.44 / 30.0);
        assert!(prices().bill(Offer::GluePythonShell, "4x17".parse().unwrap(), 1.0).is_err());
    }

    /// By hand: 2 × 1 DPU × 0.44 = 0.88 an hour: 0.0146666… for a minute, 0.0244444… for 99.5 s billed as 100.
    #[test]
    fn the_smallest_spark_job_is_two_workers_for_a_minute() {
        let least = prices().spark(None);
        assert_eq!((least.size.as_str(), least.billed_seconds, least.is_minimum_only), ("2 x G.1X", 60, true));
        assert_usd(least.usd, 0.88 / 60.0);
        let timed = prices().spark(Some(99.5));
        assert_eq!((timed.billed_seconds, timed.is_minimum_only), (100, false));
        assert_usd(timed.usd, 0.88 / 36.0);
    }

    #[test]
    fn a_table_that_is_none_is_refused_with_its_line() {
        let with = |from: &str, to: &str| {
            assert!(COMMITTED.contains(from), "{from}");
            Prices::read("p.toml", &COMMITTED.replacen(from, to, 1)).unwrap_err().to_string()
        };
        assert!(Prices::read("p.toml", "version = ").unwrap_err().to_string().starts_with("p.toml:1: "));
        assert!(with("version = 1", "version = 2").contains("version 2"));
        assert!(with("\nregion", "\nregoin").contains("unknown field `regoin`"));
        assert!(
            with("usd_per_vcpu_hour = 0.04048", "usd_per_vcpu_hour = -1.0").contains("fargate.x86.usd_per_vcpu_hour must be")
        );
        assert!(with("usd_per_vcpu_hour = 0.04048", "usd_per_vcpu_hour = nan").contains("more than zero"));
        assert!(with("usd_per_vcpu_hour = 0.04048", "usd_per_vcpu_hour = \"x\"").starts_with("p.toml:13: "));
        assert!(with("[glue_spark]", "[glue_sparks]").contains("glue_sparks"));
        let missing = Prices::load(Some(Path::new("/nowhere/p.toml"))).unwrap_err();
        assert_eq!(missing.kind(), windrow_core::ErrorKind::Misconfigured);
    }

    #[test]
    fn the_prices_say_how_old_they_are() {
        let text = prices().provenance();
        assert!(text.contains("us-east-1") && text.contains("as of 2026-") && text.contains("check them"), "{text}");
    }
}
