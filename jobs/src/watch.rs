//! Watches the memory of the process while windows are worked on, beside what their steps count, and ends what takes too much before the
//! kernel ends the process.
//!
//! ```text
//! held > limit, beside several queries > limit × 5 / 8
//!    ─▶ freed memory goes back to the system ─▶ the youngest query is told to end ─▶ alone: OutOfMemory, else: once more, alone
//! held > limit + slack ─▶ the process says OutOfMemory and leaves, as after a second signal
//! asked to stop        ─▶ every query is told to end: Interrupted
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windrow_core::ErrorKind;
use windrow_transform::{Stop, StopReason};

use crate::runtime::{self, LastWords};

/// How often the memory is looked at: in that time two threads touch some ten megabytes.
const TICK: Duration = Duration::from_millis(10);

/// How many ticks pass before memory that was freed is given back once more: it is taken again at some cost.
const TICKS_BETWEEN_GIVING_BACK: u64 = 10;

/// For how many ticks a query that was told to end is waited for, before the next one is told as well.
const PATIENCE: u64 = 50;

/// How far the process may get beyond the limit: an eighth of it and so many bytes. The default limit leaves a fourth of itself.
const SLACK: u64 = 16 << 20;

/// What is worked on, and what it may take.
#[derive(Clone)]
pub struct Watch(Arc<Shared>);

struct Shared {
    limit: Option<u64>,
    held: fn() -> Option<u64>,
    is_interrupted: Arc<AtomicBool>,
    last_words: LastWords,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    windows: usize,
    /// In the order they began.
    queries: Vec<(u64, Stop)>,
    next: u64,
    /// A thread watches.
    is_watched: bool,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    GoOn,
    /// The youngest query that was not told to end yet.
    End(StopReason),
    Leave(StopReason),
}

impl Watch {
    /// A watch that allows so many bytes.
    pub fn new(limit: Option<u64>, is_interrupted: Arc<AtomicBool>, last_words: LastWords) -> Self {
        Watch::of(limit, runtime::held_memory, is_interrupted, last_words)
    }

    fn of(limit: Option<u64>, held: fn() -> Option<u64>, is_interrupted: Arc<AtomicBool>, last_words: LastWords) -> Self {
        Watch(Arc::new(Shared { limit, held, is_interrupted, last_words, work: Mutex::default() }))
    }

    /// Watches the work on a window as long as what comes back lives.
    pub fn window(&self) -> WatchedWindow {
        self.0.begin(|work| work.windows += 1);
        WatchedWindow(self.clone())
    }

    /// Watches a query as long as what comes back lives.
    pub fn query(&self) -> WatchedQuery {
        let stop = Stop::default();
        let id = self.0.begin(|work| {
            work.next += 1;
            work.queries.push((work.next, stop.clone()));
            work.next
        });
        WatchedQuery { watch: self.clone(), id, stop }
    }
}

impl Shared {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin<T>(self: &Arc<Self>, begin: impl FnOnce(&mut Work) -> T) -> T {
        let mut work = self.work();
        let begun = begin(&mut work);
        if !std::mem::replace(&mut work.is_watched, true) {
            let shared = Arc::clone(self);
            // Where no thread is to be had, the next one who begins asks again.
            work.is_watched = std::thread::Builder::new().name("watch".into()).spawn(move || shared.watch()).is_ok();
        }
        begun
    }

    /// Until nothing is worked on any more.
    fn watch(&self) {
        let mut clock = Clock { since_given_back: TICKS_BETWEEN_GIVING_BACK, since_told: PATIENCE };
        loop {
            std::thread::sleep(TICK);
            clock.since_given_back += 1;
            clock.since_told += 1;
            let mut work = self.work();
            if work.windows == 0 && work.queries.is_empty() {
                work.is_watched = false;
                return;
            }
            match self.look(&work, &mut clock) {
                Verdict::Leave(reason) => {
                    let oldest = work.queries.first().map(|(_, stop)| stop.clone()).unwrap_or_default();
                    oldest.now(reason);
                    work.queries.iter().for_each(|(_, stop)| stop.now(reason));
                    drop(work);
                    if let Some(error) = oldest.error() {
                        (self.last_words)(&error);
                    }
                    runtime::leave_now(ErrorKind::OutOfMemory);
                }
                _ if self.is_interrupted.load(Ordering::Relaxed) => {
                    work.queries.iter().for_each(|(_, stop)| stop.now(StopReason::Interrupted));
                }
                Verdict::End(reason) => {
                    let youngest = work.queries.iter().rev().find(|(_, stop)| stop.reason().is_none());
                    if let Some((_, stop)) = youngest {
                        stop.now(reason);
                        clock.since_told = 0;
                    }
                }
                Verdict::GoOn => {}
            }
        }
    }

    /// Before anything ends, what only the allocator keeps is given back.
    fn look(&self, work: &Work, clock: &mut Clock) -> Verdict {
        let is_told = work.queries.iter().any(|(_, stop)| stop.reason().is_some());
        let is_waited_for = is_told && clock.since_told < PATIENCE;
        let look = || verdict((self.held)().unwrap_or(0), self.limit, work.queries.len(), is_waited_for);
        match look() {
            Verdict::GoOn => Verdict::GoOn,
            Verdict::End(_) if clock.since_given_back < TICKS_BETWEEN_GIVING_BACK => Verdict::GoOn,
            Verdict::End(_) | Verdict::Leave(_) => {
                clock.since_given_back = 0;
                runtime::give_memory_back();
                look()
            }
        }
    }
}

/// How many ticks ago something was done.
struct Clock {
    since_given_back: u64,
    since_told: u64,
}

/// `is_waited_for`: a query was told to end a short time ago, and has not ended yet. What it gives back may be enough for the others.
fn verdict(held: u64, limit: Option<u64>, queries: usize, is_waited_for: bool) -> Verdict {
    let Some(limit) = limit else { return Verdict::GoOn };
    let reason = StopReason::Memory { held, limit };
    match held {
        _ if held.saturating_sub(limit) > limit / 8 + SLACK => Verdict::Leave(reason),
        _ if held > allowed(queries, limit) && queries > 0 && !is_waited_for => Verdict::End(reason),
        _ => Verdict::GoOn,
    }
}

/// How much so many queries may take. What groups or sorts takes up to twice as much at its end, when it looks at nothing: several must
/// not get there at the same time.
fn allowed(queries: usize, limit: u64) -> u64 {
    if queries > 1 { limit / 8 * 5 } else { limit }
}

/// A window whose work is watched until this is dropped.
pub struct WatchedWindow(Watch);

impl Drop for WatchedWindow {
    fn drop(&mut self) {
        self.0.0.work().windows -= 1;
    }
}

/// A query that is watched until this is dropped.
pub struct WatchedQuery {
    watch: Watch,
    id: u64,
    stop: Stop,
}

impl WatchedQuery {
    /// What the query has to look at.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }
}

impl Drop for WatchedQuery {
    fn drop(&mut self) {
        self.watch.0.work().queries.retain(|(id, _)| *id != self.id);
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("limit", &self.0.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_core::Error;

    fn watch(limit: Option<u64>) -> (Watch, Arc<AtomicBool>) {
        let is_interrupted = Arc::new(AtomicBool::new(false));
        let last_words = Arc::new(|_: &Error| panic!("nobody leaves here"));
        (Watch::of(limit, || Some(900), Arc::clone(&is_interrupted), last_words), is_interrupted)
    }

    fn reason_of(query: &WatchedQuery) -> Option<StopReason> {
        let waited = std::iter::repeat_with(|| std::thread::sleep(TICK)).take(1_000);
        waited.map(|()| query.stop().reason()).find(Option::is_some).flatten()
    }

    #[test]
    fn queries_end_at_the_limit_and_the_process_beyond_it() {
        let limit = 800 << 20;
        let most = limit + limit / 8 + SLACK;
        let memory = |held| StopReason::Memory { held, limit };
        for (queries, is_waited_for, held, expected) in [
            (1, false, limit, Verdict::GoOn),
            (1, false, limit + 1, Verdict::End(memory(limit + 1))),
            (2, false, limit / 8 * 5, Verdict::GoOn),
            (2, false, limit / 8 * 5 + 1, Verdict::End(memory(limit / 8 * 5 + 1))),
            (2, true, most, Verdict::GoOn),
            (2, true, most + 1, Verdict::Leave(memory(most + 1))),
            (0, false, most, Verdict::GoOn),
            (0, false, most + 1, Verdict::Leave(memory(most + 1))),
        ] {
            assert_eq!(verdict(held, Some(limit), queries, is_waited_for), expected, "{queries} {is_waited_for} {held}");
        }
        assert_eq!(verdict(u64::MAX, None, 1, false), Verdict::GoOn);
    }

    #[test]
    fn of_several_queries_the_youngest_ends_first_and_the_next_one_when_that_is_not_enough() {
        // More than several may have, and less than one may.
        let (watch, _) = watch(Some(1_000));
        let queries = [watch.query(), watch.query(), watch.query()];
        let told = |query: &WatchedQuery| query.stop().reason().is_some();
        reason_of(&queries[2]).unwrap();
        assert_eq!(queries.each_ref().map(told), [false, false, true]);
        reason_of(&queries[1]).unwrap();
        assert!(!told(&queries[0]));
    }

    #[test]
    fn a_query_is_told_of_a_signal_and_one_that_ended_is_not_watched() {
        let (watch, is_interrupted) = watch(None);
        drop(watch.window());
        let (first, second) = (watch.query(), watch.query());
        drop(first);
        assert_eq!(watch.0.work().queries.len(), 1);
        assert_eq!(second.stop().reason(), None);
        is_interrupted.store(true, Ordering::Relaxed);
        assert_eq!(reason_of(&second), Some(StopReason::Interrupted));
        drop(second);
        // Whoever comes later is watched as well, whether the thread is still there or not.
        assert_eq!(reason_of(&watch.query()), Some(StopReason::Interrupted));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_allocated_counts_and_what_was_given_back_does_not() {
        let before = runtime::held_memory().unwrap();
        let filled = vec![7_u8; 256 << 20];
        let during = runtime::held_memory().unwrap();
        assert_eq!(filled.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 7 << 28);
        drop(filled);
        let kept = runtime::held_memory().unwrap();
        runtime::give_memory_back();
        let after = runtime::held_memory().unwrap();
        assert!(during > before + (200 << 20) && kept > before + (200 << 20), "{before} {during} {kept}");
        assert!(after + (200 << 20) < during, "{before} {during} {after}");
    }
}
