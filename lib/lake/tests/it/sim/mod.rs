//! A deterministic simulation of the ledger: several runs, compactions, readers, reconcilers, operators and garbage
//! collection on one store, where a seed decides who does the next operation, what fails, who dies and what time the store thinks it is.
//! Everything is held against a model that was written from the protocol's text.
//!
//! - `WINDROW_SIM_SCHEDULES` is how many schedules are run (use `--release` for many), `WINDROW_SIM_SEED` replays one.
//! - `tests/defects.py` seeds defects into the ledger and demands that this module finds each of them.
//! - [`world`] and [`store`] are the store, [`schedule`] is the scheduler, [`runs`] and [`actors`] are the processes,
//!   [`context`] judges every call, [`checks`] every write, against the [`model`].

mod actors;
mod catalog;
mod checks;
mod compactor;
mod context;
mod coverage;
mod keys;
mod model;
mod rng;
mod runs;
mod schedule;
mod store;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use coverage::Coverage;
use windrow_core::canonical::sha256_hex;

/// About half a minute of one core in a dev build; a release build does six times as many in that time.
const DEFAULT_SCHEDULES: u64 = 2_000;

/// What must have happened at least once, or the simulation has stopped exercising it.
const WANTED: &[&str] = &[
    "catalog locations written",
    "clock jumps",
    "compactions refused",
    "compactions staged",
    "copy",
    "create",
    "delete",
    "epochs claimed",
    "epochs resumed",
    "evidence written",
    "fault: 409 and nothing written",
    "fault: 412 to one's own write",
    "fault: lands late",
    "fault: refused",
    "fault: reply lost",
    "files read",
    "gc: evidence deleted",
    "gc: parts deleted",
    "gc: planned and left",
    "gc: runs",
    "get",
    "head",
    "heads moved",
    "held up before a decision",
    "kill: after the operation",
    "kill: before the operation",
    "kill: the write lands late",
    "late writes landed",
    "list",
    "live views written",
    "misuse refused",
    "manifests written",
    "outcome: aborted by an operator",
    "outcome: aborted by gc",
    "outcome: aborted by its compaction",
    "outcome: published",
    "outcome: published below the head",
    "outcome: published, compacted",
    "outcome: quarantined",
    "outcome: retracted",
    "overwrite",
    "processes killed",
    "processes started again",
    "raw files delivered",
    "resolved to a head",
    "resolved to not published",
    "rollbacks staged",
    "runs failed",
    "runs fenced",
    "runs finished",
    "runs that had nothing to do",
    "views compared with the head",
    "views read",
];

fn setting(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "how much to simulate is for who runs the tests to say")]
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, expected a number")))
}

/// Runs one seed; the violation and the end of the trace, if there is one.
fn simulate(seed: u64) -> (Coverage, Option<String>) {
    let world = schedule::run(seed);
    let world = world.lock().unwrap();
    let failure = world.violation.as_ref().map(|(invariant, text)| {
        let trace = schedule::trace(&world, 80);
        format!("{trace}\nseed {seed} breaks {invariant}: {text}\nreplay it with WINDROW_SIM_SEED={seed}")
    });
    (world.coverage.clone(), failure)
}

fn digest(seed: u64) -> String {
    let world = schedule::run(seed);
    let world = world.lock().unwrap();
    sha256_hex(schedule::trace(&world, usize::MAX).as_bytes())
}

#[test]
fn any_schedule_keeps_every_invariant() {
    if let Some(seed) = setting("WINDROW_SIM_SEED") {
        let (coverage, failure) = simulate(seed);
        println!("{coverage}");
        return assert!(failure.is_none(), "{}", failure.unwrap());
    }
    let schedules = setting("WINDROW_SIM_SCHEDULES").unwrap_or(DEFAULT_SCHEDULES);
    let (next, end) = (AtomicU64::new(0), AtomicU64::new(schedules));
    let total = Mutex::new((Coverage::default(), None::<(u64, String)>));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                break;
            }
            let (coverage, failure) = simulate(seed);
            let mut total = total.lock().unwrap();
            total.0.merge(&coverage);
            if let Some(failure) = failure {
                // Lower seeds go on: the lowest one that fails is told, whichever thread is first.
                end.fetch_min(seed, Ordering::Relaxed);
                if total.1.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                    total.1 = Some((seed, failure));
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let (coverage, failure) = total.into_inner().unwrap();
    println!("{coverage}");
    if let Some((_, failure)) = failure {
        panic!("{failure}");
    }
    let missing = coverage.missing(WANTED);
    assert!(missing.is_empty() || schedules < 1_000, "never happened: {missing:?}");
}

#[test]
fn a_seed_replays_identically() {
    for seed in 0..50 {
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
    }
}
