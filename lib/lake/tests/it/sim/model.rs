//! The reference model: what is true of every window, told from the writes that took effect and from what each attempt
//! says it computed. It is written from the protocol's text and shares no code with the ledger.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Decision {
    Published,
    Quarantined,
    Aborted,
    Retracted,
}

/// What the gate says of an attempt's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Fail,
    /// The data is refused before anything is staged.
    Refused,
}

/// What an attempt says of itself, before it writes anything.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// SHA-256 and size of its files, in order.
    pub(crate) files: Vec<(String, u64)>,
    pub(crate) verdict: Verdict,
    /// The raw files it read, by key and version.
    pub(crate) inputs: String,
    /// The epoch whose rows it takes over, if it is a compaction.
    pub(crate) compacts: Option<u64>,
    /// It asked for a publication; without that none may ever appear.
    pub(crate) has_asked_to_publish: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    pub(crate) clock: u64,
    /// Keys and SHA-256 of what is published.
    pub(crate) files: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Epoch {
    pub(crate) attempt: String,
    pub(crate) reason: String,
    pub(crate) claim_sha256: String,
    pub(crate) claimed_at: u64,
    pub(crate) staged_sha256: Option<String>,
    pub(crate) check: Option<(String, bool)>,
    pub(crate) outcome: Option<Decided>,
}

/// Calls that set one view and overlap in time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Batch {
    in_flight: u32,
    is_tainted: bool,
    is_fresh: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    pub(crate) epochs: BTreeMap<u64, Epoch>,
    /// What was offered as an outcome, by epoch and decision: retries must offer the same bytes.
    pub(crate) offered: BTreeMap<(u64, String), String>,
    /// The live view, the manifest and the catalog.
    batches: [Batch; 3],
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) windows: BTreeMap<String, Window>,
    pub(crate) attempts: BTreeMap<String, Attempt>,
}

/// Which epoch says what readers see; `None` when none was ever published or retracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Decider {
    pub(crate) epoch: u64,
    pub(crate) is_published: bool,
}

impl Window {
    /// The last claimed epoch that was published or retracted, whenever that was.
    pub(crate) fn decider(&self) -> Option<Decider> {
        self.deciders().next_back()
    }

    pub(crate) fn deciders(&self) -> impl DoubleEndedIterator<Item = Decider> + '_ {
        self.epochs.iter().filter_map(|(epoch, state)| match state.outcome.as_ref()?.decision {
            Decision::Published => Some(Decider { epoch: *epoch, is_published: true }),
            Decision::Retracted => Some(Decider { epoch: *epoch, is_published: false }),
            Decision::Quarantined | Decision::Aborted => None,
        })
    }

    /// When a published epoch stopped being what readers see; `None` while it is.
    pub(crate) fn superseded_at(&self, epoch: u64) -> Option<u64> {
        let own = self.epochs.get(&epoch)?.outcome.as_ref()?.clock;
        let later = self.deciders().filter(|decider| decider.epoch > epoch);
        let first = later.filter_map(|decider| Some(self.epochs.get(&decider.epoch)?.outcome.as_ref()?.clock)).min()?;
        Some(first.max(own))
    }

    /// The published files of an epoch.
    pub(crate) fn files(&self, epoch: u64) -> &[(String, String)] {
        self.epochs.get(&epoch).and_then(|state| state.outcome.as_ref()).map_or(&[], |outcome| &outcome.files)
    }

    pub(crate) fn decision(&self, epoch: u64) -> Option<Decision> {
        Some(self.epochs.get(&epoch)?.outcome.as_ref()?.decision)
    }

    /// Whether an epoch of this attempt was given up.
    pub(crate) fn has_aborted(&self, attempt: &str) -> bool {
        let mut own = self.epochs.values().filter(|state| state.attempt == attempt);
        own.any(|state| state.outcome.as_ref().is_some_and(|outcome| outcome.decision == Decision::Aborted))
    }

    /// Whether bytes of this digest were published in any epoch.
    pub(crate) fn has_published(&self, sha256: &str) -> bool {
        self.epochs.keys().any(|epoch| self.files(*epoch).iter().any(|(_, found)| found == sha256))
    }

    pub(crate) fn head_moved(&mut self) {
        for batch in &mut self.batches {
            batch.is_fresh = false;
        }
    }

    /// A call that sets a view begins; `is_dirty` when a write of that view may still land.
    pub(crate) fn view_begins(&mut self, view: usize, is_dirty: bool) {
        let batch = &mut self.batches[view];
        if batch.in_flight == 0 {
            batch.is_tainted = is_dirty;
        }
        batch.in_flight += 1;
        batch.is_fresh = true;
    }

    /// A call that sets a view ends. True when the view must be the head: no other call is under way, none of those
    /// that overlapped failed, and one of them began after the head moved.
    pub(crate) fn view_ends(&mut self, view: usize, is_ok: bool) -> bool {
        let batch = &mut self.batches[view];
        batch.in_flight -= 1;
        batch.is_tainted |= !is_ok;
        batch.in_flight == 0 && !batch.is_tainted && batch.is_fresh
    }
}

impl Model {
    pub(crate) fn window(&mut self, window: &str) -> &mut Window {
        self.windows.entry(window.to_owned()).or_default()
    }

    pub(crate) fn decider(&self, window: &str) -> Option<Decider> {
        self.windows.get(window).and_then(Window::decider)
    }

    /// Whether an answer to resolve that took from `before` to now is one that a moment in between had.
    pub(crate) fn is_head_between(&self, window: &str, before: Option<Decider>, found: Option<u64>) -> bool {
        let Some(state) = self.windows.get(window) else { return found.is_none() };
        let mut candidates = state.deciders().filter(|decider| Some(*decider) >= before);
        match found {
            Some(epoch) => candidates.any(|decider| decider.is_published && decider.epoch == epoch),
            None => before.is_none() || candidates.any(|decider| !decider.is_published),
        }
    }
}
