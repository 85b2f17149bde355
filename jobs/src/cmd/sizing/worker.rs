//! Worker sizes as they are asked for on the command line: `0.5x1` is half a vCPU with 1 GiB.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How many workers one call may ask for.
const MOST_WORKERS: usize = 16;

/// The sizes that make sense: from a twentieth of a vCPU and 16 MiB to more than any task can have.
const MILLI_VCPUS: std::ops::RangeInclusive<u32> = 50..=192_000;
const MEBIBYTES: std::ops::RangeInclusive<u32> = 16..=2_097_152;

/// A worker: vCPUs and memory, as whole thousandths and MiB, so that sizes compare exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Worker {
    /// Thousandths of a vCPU.
    pub(super) milli_vcpus: u32,
    /// MiB of memory.
    pub(super) mebibytes: u32,
}

impl Worker {
    /// vCPUs.
    pub(super) fn vcpus(self) -> f64 {
        f64::from(self.milli_vcpus) / 1_000.0
    }

    /// GiB of memory.
    pub(super) fn gibibytes(self) -> f64 {
        f64::from(self.mebibytes) / 1_024.0
    }

    /// Bytes of memory.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.mebibytes) << 20
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A MiB is a thousandth of a GiB and a little less: three digits tell any two sizes apart.
        write!(f, "{}x{}", self.vcpus(), (self.gibibytes() * 1_000.0).round() / 1_000.0)
    }
}

impl FromStr for Worker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = text.escape_debug();
        let form = || format!("worker `{shown}` is not vCPUs x GiB, such as 0.5x1 or 2x4");
        let (vcpus, gibibytes) = text.split_once('x').ok_or_else(form)?;
        let (vcpus, gibibytes) = (number(vcpus).ok_or_else(form)?, number(gibibytes).ok_or_else(form)?);
        let refused = |what: &str, range: &str| format!("worker `{shown}` asks for {what}; possible are {range}");
        let milli_vcpus = whole(vcpus * 1_000.0, 1e-6, MILLI_VCPUS)
            .ok_or_else(|| refused(&format!("{vcpus} vCPUs"), "0.05 to 192, in thousandths"))?;
        let mebibytes = whole(gibibytes * 1_024.0, 0.5, MEBIBYTES)
            .ok_or_else(|| refused(&format!("{gibibytes} GiB"), "0.016 (16 MiB) to 2048"))?;
        Ok(Worker { milli_vcpus, mebibytes })
    }
}

/// Digits with at most one point; no sign, no exponent, no spaces.
fn number(text: &str) -> Option<f64> {
    let is_plain =
        text.len() <= 12 && text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_digit());
    let is_plain = is_plain && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|_| is_plain)
}

/// The nearest whole number, when it is near enough and in the range.
fn whole(value: f64, near: f64, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
    let is_near = (value - value.round()).abs() <= near && value <= f64::from(*range.end());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range of u32")]
    let whole = is_near.then_some(value.round() as u32);
    whole.filter(|whole| range.contains(whole))
}

/// The workers of one call, in the order they were named, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workers(pub(super) Vec<Worker>);

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = text.split(',').count();
        if count > MOST_WORKERS {
            return Err(format!("{count} workers are more than the {MOST_WORKERS} that one call can compare"));
        }
        let mut workers: Vec<Worker> = Vec::with_capacity(count);
        for part in text.split(',') {
            let worker: Worker = part.trim().parse()?;
            if workers.contains(&worker) {
                return Err(format!("worker {worker} is named twice"));
            }
            workers.push(worker);
        }
        Ok(Workers(workers))
    }
}

/// The time a window may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline(pub(super) Duration);

impl FromStr for Deadline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("deadline `{}` is not a time such as 90s, 15m or 2h, from 1s to 48h", text.escape_debug());
        let unit = text.chars().last().ok_or_else(refused)?;
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            _ => return Err(refused()),
        };
        let digits = text.get(..text.len() - 1).filter(|digits| digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit()));
        let count: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(refused)?;
        let whole = Duration::from_secs(count * seconds);
        let is_possible = (1..=48 * 3_600).contains(&whole.as_secs());
        is_possible.then_some(Deadline(whole)).ok_or_else(refused)
    }
}

/// `--spark-seconds`: a measured time.
pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = number(text).filter(|seconds| *seconds > 0.0 && *seconds <= 1e6);
    seconds.ok_or_else(|| format!("`{}` is not a number of seconds, such as 94.3", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_exactly_and_shown_as_they_were_given() {
        for (text, milli_vcpus, mebibytes) in [
            ("0.5x1", 500, 1_024),
            ("2x4", 2_000, 4_096),
            ("0.25x0.5", 250, 512),
            ("0.1x0.016", 100, 16),
            ("1x0.03", 1_000, 31),
            ("16x120", 16_000, 122_880),
        ] {
            let worker: Worker = text.parse().unwrap();
            assert_eq!(worker, Worker { milli_vcpus, mebibytes }, "{text}");
            assert_eq!(worker.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_form_or_the_range() {
        for text in [
            "", "abc", "1", "x", "1x", "x1", "1x1x1", "1X1", "-1x1", "1x-1", "1e1x1", "1 x1", ".5x1", "1.x1", "infx1", "NaNx1",
            "1.5.1x1",
        ] {
            let error = text.parse::<Worker>().unwrap_err();
            assert!(error.contains("such as 0.5x1"), "{text}: {error}");
        }
        for (text, word) in [
            ("0x1", "vCPUs"),
            ("0.0001x1", "vCPUs"),
            ("1.0005x1", "vCPUs"),
            ("500x1", "vCPUs"),
            ("1x0", "GiB"),
            ("1x0.001", "GiB"),
            ("1x99999", "GiB"),
        ] {
            let error = text.parse::<Worker>().unwrap_err();
            assert!(error.contains(word) && error.contains("possible"), "{text}: {error}");
        }
    }

    #[test]
    fn a_list_names_each_worker_once_and_not_too_many() {
        assert_eq!("1x2, 2x4".parse::<Workers>().unwrap().0.len(), 2);
        assert_eq!("1x2,2x4,1.0x2".parse::<Workers>().unwrap_err(), "worker 1x2 is named twice");
        let many = vec!["1x2"; 100].join(",");
        assert_eq!(many.parse::<Workers>().unwrap_err(), "100 workers are more than the 16 that one call can compare");
        assert!("1x2,".parse::<Workers>().is_err());
    }

    #[test]
    fn a_deadline_has_a_unit_and_is_not_nothing() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2h", 7_200)] {
            assert_eq!(text.parse::<Deadline>().unwrap().0.as_secs(), seconds, "{text}");
        }
        for text in ["0", "0s", "0m", "15", "m", "", "-1m", "1.5h", "49h", "15 m", "15min", "9999999s", "1ü"] {
            let error = text.parse::<Deadline>().unwrap_err();
            assert!(error.contains("15m or 2h"), "{text}: {error}");
        }
    }

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(parse_seconds("94.3").unwrap(), 94.3);
        for text in ["0", "-1", "abc", "1e3", "", "inf"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
