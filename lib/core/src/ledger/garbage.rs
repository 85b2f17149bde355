//! Garbage: which objects of a window nothing reaches any more. This module decides; the lake lists, verifies, deletes.
//!
//! Registers and `format.json` are not objects of this module: they are never garbage. Ages are differences between
//! times the store itself gave, so no host's clock has a say.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::outcome::Decision;
use crate::error::{Error, Result};
use crate::id::{Attempt, Epoch};
use crate::layout::PartPath;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long what nothing reaches is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcPolicy {
    /// For files that were published and are superseded or retracted, counted from then on. At least
    /// [`GcPolicy::MIN_RETENTION`]: readers hold resolved file lists for as long as they run.
    pub retention: Duration,
    /// For the files of quarantined epochs and for all evidence.
    pub quarantine_retention: Duration,
    /// How old the youngest object of an undecided attempt must be before the attempt is given up, and how old a
    /// temporary file is before it counts as left behind. Only a matter of courtesy: giving an attempt up fences it.
    pub undecided_after: Duration,
}

impl GcPolicy {
    /// The least [`GcPolicy::retention`].
    pub const MIN_RETENTION: Duration = Duration::from_secs(7 * DAY.as_secs());

    /// Refuses a retention that pulls files away under readers.
    ///
    /// # Errors
    /// `Misconfigured` for a retention under [`GcPolicy::MIN_RETENTION`].
    pub fn validate(&self) -> Result<()> {
        if self.retention >= Self::MIN_RETENTION {
            return Ok(());
        }
        let message = format!("retention of {} s is less than 7 days", self.retention.as_secs());
        Err(Error::misconfigured(message).help("readers hold file lists of superseded versions: keep them 7 days or longer"))
    }
}

impl Default for GcPolicy {
    /// 30 days, 30 days and one day.
    fn default() -> Self {
        GcPolicy { retention: DAY * 30, quarantine_retention: DAY * 30, undecided_after: DAY }
    }
}

/// Why an object is garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GcReason {
    /// Nobody decided its epoch; deleted only after garbage collection itself has aborted it.
    Undecided,
    /// Its epoch is aborted.
    Aborted,
    /// Its epoch is quarantined, longer ago than the retention.
    Quarantined,
    /// Its epoch was published, and is superseded or retracted longer ago than the retention.
    Superseded,
    /// Its epoch is published without it.
    Unlisted,
    /// Another attempt holds its epoch.
    OtherAttempt,
    /// Evidence that is older than its retention.
    Evidence,
    /// A temporary file that somebody who was killed left behind.
    Temporary,
}

impl GcReason {
    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            GcReason::Undecided => "undecided",
            GcReason::Aborted => "aborted",
            GcReason::Quarantined => "quarantined",
            GcReason::Superseded => "superseded",
            GcReason::Unlisted => "unlisted",
            GcReason::OtherAttempt => "other attempt",
            GcReason::Evidence => "evidence",
            GcReason::Temporary => "temporary",
        }
    }
}

impl fmt::Display for GcReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It can go.
    Garbage(GcReason),
    /// It stays: the head has it.
    Head,
    /// It stays: it is younger than its retention.
    Retained,
    /// It is not known whose it is, and why; it stays.
    Foreign(&'static str),
}

/// What is known of one epoch of a window.
#[derive(Clone, Debug, Default)]
pub struct EpochFacts {
    /// The attempt that holds the claim; `None` when there is no claim.
    pub attempt: Option<Attempt>,
    /// The decision, and how long ago the store took it.
    pub decided: Option<(Decision, Duration)>,
    /// The files that were published.
    pub files: Vec<PartPath>,
    /// The age of its youngest object: register, data file or evidence.
    pub youngest: Duration,
}

/// What is known of a window: every epoch from the oldest one that has files, up to the newest.
#[derive(Clone, Debug, Default)]
pub struct WindowFacts {
    /// The epochs.
    pub epochs: BTreeMap<Epoch, EpochFacts>,
}

impl WindowFacts {
    /// What becomes of a data file of this age.
    pub fn fate_of_part(&self, policy: &GcPolicy, part: &PartPath, age: Duration) -> Fate {
        let Some((facts, holder)) = self.holder(part.epoch) else { return NO_CLAIM };
        if *holder != part.attempt {
            return aged(age, policy.undecided_after, GcReason::OtherAttempt);
        }
        match facts.decided {
            None => aged(facts.youngest, policy.undecided_after, GcReason::Undecided),
            Some((Decision::Aborted, _)) => Fate::Garbage(GcReason::Aborted),
            Some((Decision::Quarantined, since)) => aged(since, policy.quarantine_retention, GcReason::Quarantined),
            Some((Decision::Retracted, since)) => aged(since, policy.retention, GcReason::Superseded),
            Some((Decision::Published, _)) if !facts.files.contains(part) => {
                aged(age, policy.undecided_after, GcReason::Unlisted)
            }
            Some((Decision::Published, _)) => match self.superseded_since(part.epoch) {
                None => Fate::Head,
                Some(since) => aged(since, policy.retention, GcReason::Superseded),
            },
        }
    }

    /// What becomes of a file of evidence.
    pub fn fate_of_evidence(&self, policy: &GcPolicy, epoch: Epoch, attempt: &Attempt) -> Fate {
        let Some((facts, holder)) = self.holder(epoch) else { return NO_CLAIM };
        if holder != attempt {
            return Fate::Foreign("another attempt holds its epoch");
        }
        let since = match facts.decided {
            // A run that died between its evidence and its outcome may have left nothing else to find it by.
            None => {
                let keep = policy.undecided_after.max(policy.quarantine_retention);
                return aged(facts.youngest, keep, GcReason::Undecided);
            }
            Some((Decision::Published, _)) => self.superseded_since(epoch),
            Some((_, since)) => Some(since),
        };
        since.map_or(Fate::Head, |since| aged(since, policy.quarantine_retention, GcReason::Evidence))
    }

    /// How long ago a published epoch stopped being the head; `None` while it is the head.
    ///
    /// The first of the later decisions counts, and never one that is older than the epoch's own.
    fn superseded_since(&self, epoch: Epoch) -> Option<Duration> {
        let later = self.epochs.range(epoch..).filter(|(later, _)| **later != epoch);
        let supersedes = |decision| matches!(decision, Decision::Published | Decision::Retracted);
        let ages = later.filter_map(|(_, facts)| facts.decided.filter(|(decision, _)| supersedes(*decision)));
        let first = ages.map(|(_, age)| age).max()?;
        let own = self.epochs.get(&epoch).and_then(|facts| facts.decided).map(|(_, age)| age);
        Some(own.map_or(first, |own| own.min(first)))
    }

    fn holder(&self, epoch: Epoch) -> Option<(&EpochFacts, &Attempt)> {
        let facts = self.epochs.get(&epoch)?;
        Some((facts, facts.attempt.as_ref()?))
    }
}

/// A claim precedes every file, so this is no run of ours.
const NO_CLAIM: Fate = Fate::Foreign("nobody claimed its epoch");

/// What becomes of a temporary file of this age.
pub fn fate_of_temporary(policy: &GcPolicy, age: Duration) -> Fate {
    aged(age, policy.undecided_after, GcReason::Temporary)
}

fn aged(age: Duration, keep: Duration, reason: GcReason) -> Fate {
    if age >= keep { Fate::Garbage(reason) } else { Fate::Retained }
}

#[cfg(test)]
mod tests;
