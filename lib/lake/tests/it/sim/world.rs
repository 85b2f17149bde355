//! What a schedule shares: the objects, the store's clock, the turn, the faults, and the list of what happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use windrow_core::canonical::sha256_hex;

use super::coverage::Coverage;
use super::keys::{Name, Register};
use super::model::Model;
use super::rng::Rng;

pub(crate) type Shared = Arc<Mutex<World>>;

/// 2024-01-01T00:00:00Z; the store's clock starts here.
const START: u64 = 1_704_067_200;
pub(crate) const DAY: u64 = 86_400;

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    pub(crate) sha256: String,
    pub(crate) version: u64,
    pub(crate) written: u64,
    /// When the call that wrote it began.
    pub(crate) begun: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Create(Bytes),
    Overwrite(Bytes),
    Delete,
    Copy { from: String, is_create: bool },
}

/// One write on its way.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) actor: usize,
    pub(crate) key: String,
    pub(crate) change: Change,
    /// When the call that wrote it began.
    pub(crate) begun: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Overwrite,
    Delete,
    Copy,
    Get,
    Head,
    List,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Overwrite => "overwrite",
            Operation::Delete => "delete",
            Operation::Copy => "copy",
            Operation::Get => "get",
            Operation::Head => "head",
            Operation::List => "list",
        }
    }

    fn is_write(self) -> bool {
        matches!(self, Operation::Create | Operation::Overwrite | Operation::Delete | Operation::Copy)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Now,
    Late,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    True,
    Lost,
    Exists,
    /// The process is dead before it hears anything.
    Dead,
}

/// What becomes of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) effect: Effect,
    pub(crate) answer: Answer,
}

const HONEST: (&str, Fate) = ("", Fate { effect: Effect::Now, answer: Answer::True });
const REFUSED: (&str, Fate) = ("fault: refused", Fate { effect: Effect::Never, answer: Answer::Lost });
const REPLY_LOST: (&str, Fate) = ("fault: reply lost", Fate { effect: Effect::Now, answer: Answer::Lost });
const LANDS_LATE: (&str, Fate) = ("fault: lands late", Fate { effect: Effect::Late, answer: Answer::Lost });
const STALE_412: (&str, Fate) = ("fault: 412 to one's own write", Fate { effect: Effect::Now, answer: Answer::Exists });
const CONFLICT_409: (&str, Fate) = ("fault: 409 and nothing written", Fate { effect: Effect::Never, answer: Answer::Exists });
const KILLED_BEFORE: (&str, Fate) = ("kill: before the operation", Fate { effect: Effect::Never, answer: Answer::Dead });
const KILLED_AFTER: (&str, Fate) = ("kill: after the operation", Fate { effect: Effect::Now, answer: Answer::Dead });
const KILLED_LATE: (&str, Fate) = ("kill: the write lands late", Fate { effect: Effect::Late, answer: Answer::Dead });

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Run,
    Compactor,
    Operator,
    Gc,
    Reconciler,
    Reader,
    Producer,
}

/// One process, as the store sees it.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) kind: Kind,
    /// The only window it may write to.
    pub(crate) window: Option<String>,
    pub(crate) is_dead: bool,
    /// Whether it has come to a decision and is held up right before it.
    pub(crate) is_held: bool,
    /// Faults of creates and of copies of data files, which the ledger absorbs, and of everything else.
    pub(crate) faults: (u32, u32),
    /// The store's time when its present call began.
    pub(crate) call_began: u64,
    /// The epoch it works on, and as which attempt.
    pub(crate) epoch: Option<u64>,
    pub(crate) attempt: Option<String>,
    /// The views it sets, by number and window: 0 live, 1 manifest, 2 catalog.
    pub(crate) setting: Vec<(usize, String)>,
}

/// How often in a thousand turns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Odds {
    pub(crate) fault: u64,
    pub(crate) kill: u64,
    pub(crate) jump: u64,
    /// Of the turns at which somebody is about to decide an epoch.
    pub(crate) hold: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) turn: u64,
    pub(crate) clock: u64,
    pub(crate) actor: usize,
    pub(crate) what: &'static str,
    pub(crate) key: String,
    pub(crate) note: &'static str,
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) clock: u64,
    pub(crate) turn: u64,
    pub(crate) odds: Odds,
    /// How many keys one page of a listing has.
    pub(crate) page: usize,
    /// What garbage collection is told to keep superseded files for, in seconds.
    pub(crate) retention: u64,
    /// What it is told before it gives up an undecided attempt, in seconds.
    pub(crate) undecided_after: u64,
    /// Whether the symlink manifest and the catalog are set too.
    pub(crate) has_all_views: bool,
    /// Whether the store can copy to a key only if it is absent.
    pub(crate) has_copy_if_absent: bool,
    pub(crate) objects: BTreeMap<String, Object>,
    pub(crate) model: Model,
    pub(crate) actors: Vec<Actor>,
    pub(crate) trace: Vec<Event>,
    pub(crate) coverage: Coverage,
    /// The first invariant that did not hold, and how.
    pub(crate) violation: Option<(&'static str, String)>,
    pub(crate) raw_writes: u64,
    /// The digest of every version of every raw file.
    pub(crate) raw_versions: BTreeMap<(String, u64), String>,
    versions: u64,
    granted: Option<usize>,
    late: Vec<(u64, Write)>,
}

impl World {
    pub(crate) fn new(rng: Rng) -> World {
        World {
            rng,
            clock: START,
            turn: 0,
            odds: Odds::default(),
            page: 1000,
            retention: 30 * DAY,
            undecided_after: DAY,
            has_all_views: true,
            has_copy_if_absent: true,
            objects: BTreeMap::new(),
            model: Model::default(),
            actors: Vec::new(),
            trace: Vec::new(),
            coverage: Coverage::default(),
            violation: None,
            raw_writes: 0,
            raw_versions: BTreeMap::new(),
            versions: 0,
            granted: None,
            late: Vec::new(),
        }
    }

    pub(crate) fn violate(&mut self, invariant: &'static str, text: impl Into<String>) {
        if self.violation.is_none() {
            self.violation = Some((invariant, text.into()));
        }
    }

    pub(crate) fn require(&mut self, holds: bool, invariant: &'static str, text: impl FnOnce() -> String) {
        if !holds {
            self.violate(invariant, text());
        }
    }

    /// Gives the next operation to an actor.
    pub(crate) fn grant(&mut self, actor: usize) {
        self.turn += 1;
        self.clock += self.rng.below(3);
        if self.rng.chance(self.odds.jump) {
            self.clock += self.rng.pick(&[60, 3_600, DAY, 3 * DAY, 8 * DAY, 20 * DAY, 40 * DAY]);
            self.coverage.count("clock jumps");
        }
        self.granted = Some(actor);
    }

    /// Whether the actor left its turn unused.
    pub(crate) fn take_back(&mut self) -> bool {
        self.granted.take().is_some()
    }

    /// Takes the actor's turn for one operation and says what becomes of it; `None` when it is not its turn or it is held up.
    pub(crate) fn take_turn(&mut self, actor: usize, operation: Operation, key: &str) -> Option<Fate> {
        if self.granted != Some(actor) || self.actors[actor].is_dead {
            return None;
        }
        self.granted = None;
        let is_decision =
            operation == Operation::Create && matches!(Name::of(key), Name::Register { kind: Register::Outcome, .. });
        if is_decision && self.rng.chance(self.odds.hold) {
            self.actors[actor].is_held = true;
            self.coverage.count("held up before a decision");
            return None;
        }
        let (note, fate) = self.fate(operation);
        self.coverage.count(operation.name());
        if !note.is_empty() {
            self.coverage.count(note);
            let faults = &mut self.actors[actor].faults;
            let is_to_data = matches!(operation, Operation::Copy) && key.starts_with("store/");
            *(if matches!(operation, Operation::Create) || is_to_data { &mut faults.0 } else { &mut faults.1 }) += 1;
        }
        self.actors[actor].is_dead = fate.answer == Answer::Dead;
        self.note(actor, operation.name(), key, note);
        Some(fate)
    }

    fn fate(&mut self, operation: Operation) -> (&'static str, Fate) {
        if self.rng.chance(self.odds.kill) {
            let ways = if operation.is_write() { &[KILLED_BEFORE, KILLED_AFTER, KILLED_LATE][..] } else { &[KILLED_BEFORE] };
            return self.rng.pick(ways);
        }
        if !self.rng.chance(self.odds.fault) {
            return HONEST;
        }
        let ways: &[(&str, Fate)] = match operation {
            Operation::Create => &[REFUSED, REPLY_LOST, LANDS_LATE, STALE_412, CONFLICT_409],
            Operation::Overwrite | Operation::Delete | Operation::Copy => &[REFUSED, REPLY_LOST, LANDS_LATE],
            Operation::Get | Operation::Head | Operation::List => &[REFUSED],
        };
        self.rng.pick(ways)
    }

    pub(crate) fn note(&mut self, actor: usize, what: &'static str, key: &str, note: &'static str) {
        let (turn, clock) = (self.turn, self.clock);
        self.trace.push(Event { turn, clock, actor, what, key: key.to_owned(), note });
    }

    /// Sends a write off that takes effect at a later turn, whatever happens until then.
    pub(crate) fn postpone(&mut self, write: Write) {
        let longest = self.rng.pick(&[4, 40, 400, 4_000]);
        let due = self.turn + self.rng.between(1, longest);
        self.late.push((due, write));
    }

    /// Lets the writes land that are due, or all of them.
    pub(crate) fn land(&mut self, is_all: bool) {
        let turn = self.turn;
        while let Some(at) = self.late.iter().position(|(due, _)| is_all || *due <= turn) {
            let (_, write) = self.late.remove(at);
            self.coverage.count("late writes landed");
            self.note(write.actor, "lands", &write.key, "");
            let _ = self.perform(&write);
        }
    }

    pub(crate) fn is_on_its_way(&self, key: &str) -> bool {
        self.late.iter().any(|(_, write)| write.key == key)
    }

    /// Lets a write take effect, and checks what it did. `false` when a condition did not hold.
    pub(crate) fn perform(&mut self, write: &Write) -> bool {
        let exists = self.objects.contains_key(&write.key);
        let bytes = match &write.change {
            Change::Create(_) | Change::Copy { is_create: true, .. } if exists => return false,
            Change::Create(bytes) | Change::Overwrite(bytes) => bytes.clone(),
            Change::Copy { from, .. } => match self.objects.get(from) {
                Some(object) => object.bytes.clone(),
                None => return false,
            },
            Change::Delete => {
                if exists {
                    self.check_delete(write);
                    self.objects.remove(&write.key);
                }
                return true;
            }
        };
        self.versions += 1;
        let sha256 = sha256_hex(&bytes);
        let object = Object { bytes, sha256, version: self.versions, written: self.clock, begun: write.begun };
        self.check_write(write, &object);
        self.objects.insert(write.key.clone(), object);
        true
    }

    /// An actor is gone: whatever it was about stays as it is.
    pub(crate) fn bury(&mut self, actor: usize) {
        for (view, window) in std::mem::take(&mut self.actors[actor].setting) {
            self.model.window(&window).view_ends(view, false);
        }
    }
}
