//! The invariants that every single write is held against, as it is sent and as it takes effect.

use serde_json::Value;
use windrow_core::canonical::sha256_hex;

use super::keys::{self, Name, Register};
use super::model::{Decided, Decision, Epoch, Verdict, Window};
use super::world::{Actor, Change, DAY, Kind, Object, World, Write};

/// How long quarantined files and evidence are kept.
pub(crate) const QUARANTINE_RETENTION: u64 = 30 * DAY;

impl World {
    /// Who may send what: raw is the producers', nothing that is written once is overwritten, a run touches one window.
    pub(crate) fn check_issued(&mut self, write: &Write) {
        let actor = self.actors[write.actor].clone();
        let name = Name::of(&write.key);
        let key = &write.key;
        if actor.kind == Kind::Producer {
            return self.require(matches!(name, Name::Raw { .. }), "simulation", || format!("a producer wrote {key}"));
        }
        let change = match &write.change {
            Change::Create(_) | Change::Copy { is_create: true, .. } => "create",
            Change::Overwrite(_) | Change::Copy { .. } => "overwrite",
            Change::Delete => "delete",
        };
        self.require(!matches!(name, Name::Raw { .. }), "I9", || format!("{change} of the raw key {key}"));
        self.require(name != Name::Foreign, "I19", || format!("{change} of {key}, which is outside the grammar"));
        let may = match change {
            "create" => !name.is_view(),
            // A store that cannot copy only if absent copies over what it copied before, and over nothing else.
            "overwrite" => name.is_view() || self.is_copied_again(write),
            _ => name.is_view() || name == Name::Clock || is_collectable(&name) && actor.kind == Kind::Gc,
        };
        self.require(may, "I10", || format!("{change} of {key} by a {:?}", actor.kind));
        if let (Some(own), Some(window)) = (&actor.window, name.window()) {
            self.require(own == window, "I12", || format!("a run of {own} sent a {change} of {key}"));
        }
        let may = match actor.kind {
            Kind::Reader => false,
            Kind::Gc => change == "delete" || matches!(name, Name::Clock | Name::Register { kind: Register::Outcome, .. }),
            Kind::Reconciler => name.is_view(),
            Kind::Run | Kind::Compactor | Kind::Operator | Kind::Producer => true,
        };
        self.require(may || name == Name::Format, "I9", || format!("a {:?} sent a {change} of {key}", actor.kind));
        if let (Name::Register { window, epoch, kind: Register::Outcome }, Change::Create(bytes)) = (&name, &write.change) {
            self.check_offered(window, *epoch, bytes);
        }
    }

    /// An outcome is a pure function of what came before it: whoever offers the same decision offers the same bytes.
    fn check_offered(&mut self, window: &str, epoch: u64, bytes: &[u8]) {
        let outcome: Value = serde_json::from_slice(bytes).unwrap();
        let id = (epoch, format!("{} by {}", outcome["decision"], outcome["decided_by"]));
        let sha256 = sha256_hex(bytes);
        let first = self.model.window(window).offered.entry(id.clone()).or_insert_with(|| sha256.clone()).clone();
        self.require(first == sha256, "I4", || {
            format!("{window} epoch {epoch}: two different outcomes were offered as {}", id.1)
        });
    }

    /// What a write may do when it takes effect.
    pub(crate) fn check_write(&mut self, write: &Write, object: &Object) {
        match Name::of(&write.key) {
            Name::Raw { .. } => {
                self.raw_writes += 1;
                self.raw_versions.insert((write.key.clone(), object.version), object.sha256.clone());
            }
            Name::Register { window, epoch, kind: Register::Claim } => self.check_claim(&window, epoch, object),
            Name::Register { window, epoch, kind: Register::Staged } => self.check_staged(&window, epoch, object),
            Name::Register { window, epoch, kind: Register::Check } => self.check_check(&window, epoch, object),
            Name::Register { window, epoch, kind: Register::Outcome } => self.check_outcome(write.actor, &window, epoch, object),
            Name::View { window } => {
                self.coverage.count("live views written");
                let is_old_or_new = self.model.window(&window).has_published(&object.sha256);
                self.require(is_old_or_new, "I17", || format!("the live view of {window} holds what no epoch published"));
            }
            Name::Manifest { .. } => self.coverage.count("manifests written"),
            Name::Catalog { .. } => self.coverage.count("catalog locations written"),
            Name::Part { .. } => self.coverage.count("parts written"),
            Name::Quarantine { .. } => self.coverage.count("evidence written"),
            Name::Format | Name::Clock | Name::Foreign => {}
        }
    }

    fn check_claim(&mut self, window: &str, epoch: u64, object: &Object) {
        let claim: Value = serde_json::from_slice(&object.bytes).unwrap();
        let text = |field: &str| claim[field].as_str().unwrap().to_owned();
        let last = self.model.window(window).epochs.last_key_value().map_or(0, |(epoch, _)| *epoch);
        self.require(epoch == last + 1, "I4", || format!("{window}: epoch {epoch} is claimed when the highest is {last}"));
        let (attempt, reason, claim_sha256, claimed_at) = (text("attempt"), text("reason"), object.sha256.clone(), self.clock);
        let state = Epoch { attempt, reason, claim_sha256, claimed_at, ..Epoch::default() };
        self.model.window(window).epochs.insert(epoch, state);
        self.coverage.count("epochs claimed");
    }

    fn check_staged(&mut self, window: &str, epoch: u64, object: &Object) {
        let staged: Value = serde_json::from_slice(&object.bytes).unwrap();
        let Some(state) = self.model.window(window).epochs.get_mut(&epoch) else {
            return self.violate("I7", format!("{window}: epoch {epoch} is staged and was never claimed"));
        };
        state.staged_sha256 = Some(object.sha256.clone());
        let (attempt, claim) = (state.attempt.clone(), state.claim_sha256.clone());
        self.require(staged["claim_sha256"] == *claim, "I7", || format!("{window} epoch {epoch} is staged for another claim"));
        self.check_files(window, epoch, &attempt, &staged);
    }

    /// The files a document lists are all that the attempt computed, and they are there.
    fn check_files(&mut self, window: &str, epoch: u64, attempt: &str, document: &Value) -> Vec<(String, String)> {
        let files = document["files"].as_array().unwrap();
        let listed: Vec<(String, String)> = files
            .iter()
            .map(|file| {
                (format!("store/clean/flights/{}", file["path"].as_str().unwrap()), file["sha256"].as_str().unwrap().to_owned())
            })
            .collect();
        let computed = self.model.attempts.get(attempt).map_or_else(Vec::new, |attempt| attempt.files.clone());
        let same = listed.iter().map(|(_, sha256)| sha256).eq(computed.iter().map(|(sha256, _)| sha256));
        self.require(same && !listed.is_empty(), "I7", || {
            format!("{window} epoch {epoch} lists {listed:?}, attempt {attempt} computed {computed:?}")
        });
        let damaged = listed.iter().find(|(key, sha256)| self.objects.get(key).is_none_or(|object| object.sha256 != *sha256));
        let damaged = damaged.map(|(key, _)| key.clone());
        let is_fenced = self.model.window(window).decision(epoch) == Some(Decision::Aborted);
        self.require(damaged.is_none() || is_fenced, "I1", || {
            format!("{window} epoch {epoch} lists {}, which is missing or other", damaged.unwrap_or_default())
        });
        listed
    }

    fn check_check(&mut self, window: &str, epoch: u64, object: &Object) {
        let check: Value = serde_json::from_slice(&object.bytes).unwrap();
        let of = check["staged_sha256"].as_str().unwrap().to_owned();
        let state = self.model.window(window).epochs.entry(epoch).or_default();
        state.check = Some((of.clone(), check["status"] == "PASS"));
        let staged = state.staged_sha256.clone();
        self.require(staged.as_ref() == Some(&of), "I7", || {
            format!("{window} epoch {epoch}: the check is of {of}, not of what is staged")
        });
    }

    fn check_outcome(&mut self, actor: usize, window: &str, epoch: u64, object: &Object) {
        let outcome: Value = serde_json::from_slice(&object.bytes).unwrap();
        let Some(state) = self.model.window(window).epochs.get(&epoch).cloned() else {
            return self.violate("I4", format!("{window}: epoch {epoch} is decided and was never claimed"));
        };
        let mut files = Vec::new();
        let decision = match outcome["decision"].as_str().unwrap() {
            "published" => {
                files = self.check_published(window, epoch, &state, &outcome);
                Decision::Published
            }
            "quarantined" => {
                self.check_quarantined(window, epoch, &state);
                Decision::Quarantined
            }
            "aborted" => {
                self.check_aborted(actor, window, epoch, &state);
                Decision::Aborted
            }
            _ => {
                self.require(state.reason == "retract", "I4", || {
                    format!("{window} epoch {epoch} is retracted, claimed to {}", state.reason)
                });
                self.coverage.count("outcome: retracted");
                Decision::Retracted
            }
        };
        self.require(state.outcome.is_none(), "I4", || format!("{window} epoch {epoch} is decided twice"));
        let (clock, before) = (self.clock, self.model.decider(window));
        let truth = self.model.window(window);
        truth.epochs.entry(epoch).or_default().outcome = Some(Decided { decision, clock, files });
        if truth.decider() != before {
            truth.head_moved();
            self.coverage.count("heads moved");
        } else if decision == Decision::Published {
            self.coverage.count("outcome: published below the head");
        }
    }

    fn check_published(&mut self, window: &str, epoch: u64, state: &Epoch, outcome: &Value) -> Vec<(String, String)> {
        self.coverage.count("outcome: published");
        let at = format!("{window} epoch {epoch}");
        let is_passed = state.check.as_ref().is_some_and(|(of, passed)| *passed && Some(of) == state.staged_sha256.as_ref());
        self.require(is_passed, "I7", || format!("{at} is published without a PASS of exactly what is staged"));
        let named = outcome["staged_sha256"].as_str().map(str::to_owned);
        self.require(named == state.staged_sha256, "I7", || format!("{at} publishes another staged document"));
        let attempt = self.model.attempts.get(&state.attempt).cloned();
        let verdict = attempt.as_ref().map(|attempt| attempt.verdict);
        self.require(verdict == Some(Verdict::Pass), "I11", || format!("{at} is published, the gate said {verdict:?}"));
        let is_asked = attempt.is_some_and(|attempt| attempt.has_asked_to_publish);
        self.require(is_asked, "I11", || format!("{at} is published by a run that failed before that"));
        self.check_compacted(window, epoch, state);
        self.check_files(window, epoch, &state.attempt, outcome)
    }

    /// A compaction is the head it was made of once more: nothing else was, or can become, the head in between.
    fn check_compacted(&mut self, window: &str, epoch: u64, state: &Epoch) {
        let Some(source) = self.model.attempts.get(&state.attempt).and_then(|attempt| attempt.compacts) else { return };
        self.coverage.count("outcome: published, compacted");
        let truth = self.model.window(window);
        let hidden: Vec<u64> =
            (source + 1..epoch).filter(|between| truth.decision(*between) != Some(Decision::Aborted)).collect();
        self.require(hidden.is_empty(), "I6", || {
            format!("{window} epoch {epoch} holds the rows of epoch {source} and hides those of {hidden:?}")
        });
    }

    fn check_quarantined(&mut self, window: &str, epoch: u64, state: &Epoch) {
        self.coverage.count("outcome: quarantined");
        let evidence = keys::evidence(window, epoch, &state.attempt);
        let is_there = self.objects.contains_key(&evidence);
        self.require(is_there, "I11", || format!("{window} epoch {epoch} is quarantined before its evidence is kept"));
        let verdict = self.model.attempts.get(&state.attempt).map(|attempt| attempt.verdict);
        self.require(verdict != Some(Verdict::Pass), "I11", || {
            format!("{window} epoch {epoch} is quarantined, and the gate said PASS")
        });
    }

    fn check_aborted(&mut self, actor: usize, window: &str, epoch: u64, state: &Epoch) {
        let Actor { kind, attempt, .. } = self.actors[actor].clone();
        if kind == Kind::Compactor {
            let is_own = state.reason == "compact" && attempt.as_ref() == Some(&state.attempt);
            self.require(is_own, "I5", || format!("{window} epoch {epoch} of {} is given up by a compaction", state.attempt));
            return self.coverage.count("outcome: aborted by its compaction");
        }
        if kind != Kind::Gc {
            let may = kind == Kind::Operator;
            self.require(may, "I5", || format!("{window} epoch {epoch} is aborted by a {kind:?}"));
            return self.coverage.count("outcome: aborted by an operator");
        }
        self.coverage.count("outcome: aborted by gc");
        let age = self.clock - state.claimed_at;
        self.require(age >= self.undecided_after, "I5", || format!("{window} epoch {epoch} is given up {age} s after its claim"));
    }

    /// What may disappear, and when.
    pub(crate) fn check_delete(&mut self, write: &Write) {
        let key = &write.key;
        match Name::of(key) {
            Name::Part { window, epoch, attempt } => {
                self.coverage.count("gc: parts deleted");
                let may = self.may_delete_part(&window, epoch, &attempt);
                self.require(may.is_ok(), "I13", || format!("{key} is deleted: {}", may.unwrap_err()));
                let is_viewed = self.is_viewed(1, &window, key) || self.is_viewed(2, &window, key);
                self.require(!is_viewed, "I13", || format!("{key} is deleted, and a view points there"));
            }
            Name::Quarantine { window, epoch, .. } => {
                self.coverage.count("gc: evidence deleted");
                let written = self.objects.get(key).map_or(0, |object| object.written);
                let truth = self.model.window(&window);
                let since = match truth.epochs.get(&epoch).and_then(|state| state.outcome.as_ref()) {
                    Some(outcome) if outcome.decision == Decision::Published => truth.superseded_at(epoch),
                    // Nobody decided it for as long as evidence is kept.
                    Some(outcome) if outcome.decision == Decision::Aborted => Some(outcome.clock.min(written)),
                    outcome => outcome.map(|outcome| outcome.clock),
                };
                let is_old = since.is_some_and(|since| since + QUARANTINE_RETENTION <= self.clock);
                self.require(is_old, "I13", || format!("{key} is deleted before its retention has passed"));
            }
            _ => {}
        }
    }

    fn may_delete_part(&self, window: &str, epoch: u64, attempt: &str) -> Result<(), String> {
        let truth: &Window = self.model.windows.get(window).ok_or("its window has no epoch")?;
        let state = truth.epochs.get(&epoch).ok_or("its epoch was never claimed")?;
        if state.attempt != attempt {
            return Ok(());
        }
        let outcome = state.outcome.as_ref().ok_or("its epoch is undecided")?;
        let age = |since: u64| self.clock - since;
        match outcome.decision {
            Decision::Aborted | Decision::Retracted => Ok(()),
            Decision::Quarantined if age(outcome.clock) >= QUARANTINE_RETENTION => Ok(()),
            Decision::Quarantined => Err(format!("it is quarantined for {} s only", age(outcome.clock))),
            Decision::Published => match truth.superseded_at(epoch) {
                None => Err("it is the head".to_owned()),
                Some(since) if age(since) < self.retention => Err(format!("it is superseded for {} s only", age(since))),
                Some(_) => Ok(()),
            },
        }
    }

    /// Whether a view points at a file, unless who set it was stalled for longer than the retention while he did.
    fn is_viewed(&self, view: usize, window: &str, part: &str) -> bool {
        let Some(object) = self.objects.get(&keys::view_of(view, window)) else { return false };
        let is_overdue = object.written - object.begun >= self.retention;
        let pointer = part.rsplit_once('/').map_or(part, |(folder, _)| folder);
        !is_overdue && String::from_utf8_lossy(&object.bytes).contains(pointer)
    }

    fn is_copied_again(&self, write: &Write) -> bool {
        let Change::Copy { from, .. } = &write.change else { return false };
        let is_part = matches!(Name::of(&write.key), Name::Part { .. });
        let sha256 = |key: &str| self.objects.get(key).map(|object| &object.sha256);
        is_part && (sha256(&write.key).is_none() || sha256(&write.key) == sha256(from))
    }
}

fn is_collectable(name: &Name) -> bool {
    matches!(name, Name::Part { .. } | Name::Quarantine { .. })
}

/// What holds between writes.
impl World {
    /// A view that nobody sets at the moment is the head.
    pub(crate) fn check_view(&mut self, view: usize, window: &str) {
        let key = keys::view_of(view, window);
        let decider = self.model.decider(window);
        let files = match decider {
            Some(decider) if decider.is_published => self.model.window(window).files(decider.epoch).to_vec(),
            _ => Vec::new(),
        };
        let found = self.objects.get(&key).cloned();
        let is_head = match (&found, files.as_slice(), view) {
            (None, [], _) => true,
            (Some(object), [(_, sha256)], 0) => object.sha256 == *sha256,
            (None, [_, _, ..], 0) => true,
            (Some(object), [_, ..], 1) => is_manifest_of(&object.bytes, &files),
            (Some(object), [(key, _), ..], 2) => is_location_of(&object.bytes, key),
            _ => false,
        };
        let found = found.map(|object| String::from_utf8_lossy(&object.bytes).into_owned());
        self.require(is_head, "I17", || format!("{key} is {found:?}, the head is {decider:?} with {files:?}"));
    }

    /// The whole lake at rest.
    pub(crate) fn check_at_rest(&mut self, windows: &[String]) {
        for window in windows {
            let truth = self.model.window(window).clone();
            let last = truth.epochs.last_key_value().map(|(epoch, _)| *epoch);
            let head = truth.decider();
            self.require(head.is_some_and(|head| head.is_published && Some(head.epoch) == last), "I6", || {
                format!("{window}: the last run claimed {last:?}, {head:?} decides")
            });
            for (key, sha256) in head.map_or(&[][..], |head| truth.files(head.epoch)) {
                let is_whole = self.objects.get(key).is_some_and(|object| object.sha256 == *sha256);
                self.require(is_whole, "I1", || format!("{key} of the head is missing or other"));
            }
            let views = if self.has_all_views { 3 } else { 1 };
            (0..views).for_each(|view| self.check_view(view, window));
        }
    }

    /// Nothing is left but ledgers, heads, their evidence and views.
    pub(crate) fn check_collected(&mut self) {
        let is_kept = |key: &str| match Name::of(key) {
            Name::Part { window, epoch, .. } | Name::Quarantine { window, epoch, .. } => {
                self.model.decider(&window).is_some_and(|head| head.epoch == epoch)
            }
            Name::Clock | Name::Foreign => false,
            _ => true,
        };
        let left: Vec<String> = self.objects.keys().filter(|key| !is_kept(key)).cloned().collect();
        self.require(left.is_empty(), "gc is complete", || format!("garbage collection left {left:?}"));
    }
}

/// The folder of the attempt, which holds the head's files and nothing else.
fn is_location_of(bytes: &[u8], key: &str) -> bool {
    let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
    String::from_utf8_lossy(bytes).trim_end_matches('/').ends_with(folder)
}

/// One line a file, each ending in the file's key.
fn is_manifest_of(bytes: &[u8], files: &[(String, String)]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.lines().count() == files.len() && text.lines().zip(files).all(|(line, (key, _))| line.ends_with(key))
}
