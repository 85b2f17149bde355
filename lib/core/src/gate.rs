//! The quality gate: what a check is, how its threshold is judged, and what the verdict over all checks is.
//!
//! Checks are evaluated elsewhere (SQL needs an engine); here an [`Observation`] becomes a [`CheckResult`]. A check that
//! could not be evaluated is a failure, never a skip.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Place;
use crate::id::RunId;

/// One quality rule.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its id, unique in the table.
    pub id: String,
    /// What is measured.
    pub metric: Metric,
    /// What the measured number must be.
    pub threshold: Threshold,
    /// Whether a miss blocks publishing.
    pub severity: Severity,
    /// Where it is declared.
    pub place: Place,
}

/// What a check measures. Every metric yields one decimal number.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// The number of rows.
    RowCount,
    /// Null values of a column.
    NullValues(Arc<str>, Unit),
    /// Null values, and texts that count as missing, of a column.
    MissingValues(Arc<str>, Vec<String>, Unit),
    /// Rows beyond the first that have the same values in these columns.
    DuplicateValues(Vec<Arc<str>>, Unit),
    /// Values of a column that are not in a list or do not match a pattern; null counts as valid.
    InvalidValues {
        /// The column.
        column: Arc<str>,
        /// The allowed values; empty when only the pattern counts.
        valid: Vec<String>,
        /// The regular expression of the whole value.
        pattern: Option<String>,
        /// Rows or percent.
        unit: Unit,
    },
    /// Values of a column below or above bounds, both inclusive; null counts as valid.
    OutOfRange {
        /// The column.
        column: Arc<str>,
        /// The least value, a literal of the column's type.
        minimum: Option<String>,
        /// The greatest value.
        maximum: Option<String>,
        /// Rows or percent.
        unit: Unit,
    },
    /// Seconds from the newest value of a timestamp or date column to the end of the window.
    Freshness(Arc<str>),
    /// The one number an SQL query yields; `{object}` is the table.
    SqlNumber(String),
    /// The rows an SQL query yields are violations; their number is measured.
    SqlRows(String),
}

/// What a count is expressed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of rows.
    Rows,
    /// Percent of the rows; 0 of 0 rows is 0 percent.
    Percent,
}

/// What a measured number must be. Between is exclusive at both ends, as in ODCS.
#[derive(Clone, Debug, PartialEq)]
pub enum Threshold {
    /// Equal.
    MustBe(Number),
    /// Not equal.
    MustNotBe(Number),
    /// Greater.
    MustBeGreaterThan(Number),
    /// Greater or equal.
    MustBeGreaterOrEqualTo(Number),
    /// Less.
    MustBeLessThan(Number),
    /// Less or equal.
    MustBeLessOrEqualTo(Number),
    /// Strictly between.
    MustBeBetween(Number, Number),
    /// Not strictly between.
    MustNotBeBetween(Number, Number),
}

/// An exact decimal number: `units` / 10^`scale`.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    units: i128,
    scale: u32,
}

impl Number {
    /// Makes units / 10^scale; `None` for a scale over 18.
    pub fn new(units: i128, scale: u32) -> Option<Self> {
        (scale <= 18).then_some(Number { units, scale })
    }

    /// A whole number.
    pub fn whole(units: i128) -> Self {
        Number { units, scale: 0 }
    }

    /// `part` of `whole` in percent, to six digits after the point, rounded half up; 0 of 0 is 0.
    pub fn percent(part: u64, whole: u64) -> Self {
        if whole == 0 {
            return Number::whole(0);
        }
        let (part, whole) = (i128::from(part), i128::from(whole));
        Number { units: (part * 100_000_000 * 2 + whole) / (whole * 2), scale: 6 }
    }

    /// Reads plain decimal notation: `-12.5`; no exponent, at most 18 digits after the point.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let shape_ok = !whole.is_empty() && all_digits(whole) && all_digits(fraction) && !digits.ends_with('.');
        if !shape_ok || fraction.len() > 18 || whole.len() > 19 {
            return None;
        }
        let units: i128 = format!("{whole}{fraction}").parse().ok()?;
        Some(Number { units: if negative { -units } else { units }, scale: u32::try_from(fraction.len()).ok()? })
    }

    fn compare(&self, other: &Number) -> Option<std::cmp::Ordering> {
        let scale = self.scale.max(other.scale);
        let align = |number: &Number| number.units.checked_mul(10_i128.checked_pow(scale - number.scale)?);
        Some(align(self)?.cmp(&align(other)?))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Some(std::cmp::Ordering::Equal)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.compare(other)
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = self.scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - self.scale as usize);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

impl Threshold {
    /// Tells whether a measured number satisfies the threshold. Numbers too large to compare do not.
    pub fn accepts(&self, observed: &Number) -> bool {
        match self {
            Threshold::MustBe(bound) => observed == bound,
            Threshold::MustNotBe(bound) => observed.compare(bound).is_some_and(std::cmp::Ordering::is_ne),
            Threshold::MustBeGreaterThan(bound) => observed > bound,
            Threshold::MustBeGreaterOrEqualTo(bound) => observed >= bound,
            Threshold::MustBeLessThan(bound) => observed < bound,
            Threshold::MustBeLessOrEqualTo(bound) => observed <= bound,
            Threshold::MustBeBetween(low, high) => observed > low && observed < high,
            Threshold::MustNotBeBetween(low, high) => observed <= low || observed >= high,
        }
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Threshold::MustBe(bound) => write!(f, "= {bound}"),
            Threshold::MustNotBe(bound) => write!(f, "<> {bound}"),
            Threshold::MustBeGreaterThan(bound) => write!(f, "> {bound}"),
            Threshold::MustBeGreaterOrEqualTo(bound) => write!(f, ">= {bound}"),
            Threshold::MustBeLessThan(bound) => write!(f, "< {bound}"),
            Threshold::MustBeLessOrEqualTo(bound) => write!(f, "<= {bound}"),
            Threshold::MustBeBetween(low, high) => write!(f, "between {low} and {high} (exclusive)"),
            Threshold::MustNotBeBetween(low, high) => write!(f, "not between {low} and {high}"),
        }
    }
}

/// Whether a miss blocks publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A miss is a FAIL.
    Error,
    /// A miss is reported, and nothing else.
    Warning,
}

/// What evaluating a check yielded.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// The measured number, with up to a few offending rows as text.
    Measured {
        /// The number.
        number: Number,
        /// Offending rows, rendered, bounded by the evaluator.
        sample: Vec<String>,
    },
    /// The check could not be evaluated; the sentence says why.
    Broken(String),
}

/// One check with its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check's id.
    pub id: String,
    /// Tells whether the threshold holds.
    pub passed: bool,
    /// Whether a miss blocks publishing. A broken check always does.
    pub severity: Severity,
    /// The measured number, or why there is none.
    pub observed: String,
    /// The threshold.
    pub expected: String,
    /// Where the check is declared.
    pub place: String,
    /// Offending rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<String>,
}

/// PASS or FAIL of one staged output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Every error-severity check held.
    Pass,
    /// At least one did not.
    Fail,
}

/// The gate's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateResult {
    /// PASS or FAIL.
    pub status: Status,
    /// The ids of the checks that block publishing.
    pub failed_checks: Vec<String>,
    /// The run.
    pub run_id: String,
    /// The threshold profile.
    pub profile: String,
    /// Every check with observed, expected and severity.
    pub checks: Vec<CheckResult>,
}

/// Judges one observation.
pub fn judge(check: &Check, observation: Observation) -> CheckResult {
    let result = |passed, severity, observed, sample| CheckResult {
        id: check.id.clone(),
        passed,
        severity,
        observed,
        expected: check.threshold.to_string(),
        place: check.place.to_string(),
        sample,
    };
    match observation {
        Observation::Measured { number, sample } => {
            let passed = check.threshold.accepts(&number);
            result(passed, check.severity, number.to_string(), if passed { Vec::new() } else { sample })
        }
        Observation::Broken(why) => result(false, Severity::Error, format!("not evaluated: {why}"), Vec::new()),
    }
}

/// Sums up. No checks at all is a FAIL: the gate is mandatory.
pub fn verdict(run_id: &RunId, profile: &str, checks: Vec<CheckResult>) -> GateResult {
    let blocking = |check: &&CheckResult| !check.passed && check.severity == Severity::Error;
    let failed_checks: Vec<String> = checks.iter().filter(blocking).map(|check| check.id.clone()).collect();
    let status = if failed_checks.is_empty() && !checks.is_empty() { Status::Pass } else { Status::Fail };
    GateResult { status, failed_checks, run_id: run_id.to_string(), profile: profile.to_owned(), checks }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    fn check(threshold: Threshold, severity: Severity) -> Check {
        Check { id: "c".into(), metric: Metric::RowCount, threshold, severity, place: Place::new("c.yaml", 3, 1) }
    }

    #[test]
    fn between_is_exclusive_at_both_ends() {
        let between = Threshold::MustBeBetween(number("10"), number("20"));
        assert!(!between.accepts(&number("10")) && between.accepts(&number("10.1")) && !between.accepts(&number("20")));
    }

    #[test]
    fn numbers_compare_by_value_and_print_shortest() {
        assert_eq!(number("1.50"), number("1.5"));
        assert_eq!((number("-0.50").to_string().as_str(), number("100").to_string().as_str()), ("-0.5", "100"));
        assert_eq!(Number::percent(2, 324).to_string(), "0.617284");
        for text in ["", "-", "1.", ".5", "1e3", "NaN", "1,5"] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_broken_warning_still_blocks() {
        let result = judge(&check(Threshold::MustBe(number("0")), Severity::Warning), Observation::Broken("no column x".into()));
        let gate = verdict(&"r1".parse().unwrap(), "default", vec![result]);
        assert_eq!((gate.status, gate.failed_checks), (Status::Fail, vec!["c".to_owned()]));
    }

    #[test]
    fn a_missed_warning_does_not_block() {
        let observation = Observation::Measured { number: number("3"), sample: vec![] };
        let result = judge(&check(Threshold::MustBe(number("0")), Severity::Warning), observation);
        assert_eq!(verdict(&"r1".parse().unwrap(), "default", vec![result]).status, Status::Pass);
    }

    #[test]
    fn no_checks_is_a_fail() {
        assert_eq!(verdict(&"r1".parse().unwrap(), "default", vec![]).status, Status::Fail);
    }
}
