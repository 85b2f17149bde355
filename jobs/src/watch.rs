//! Watches the memory of the process while windows are worked on, beside what their steps count, and ends what takes too much before the
//! kernel ends the process.
//!
//! ```text
//! several queries, held > limit × 5 / 8 ─▶ the youngest is told to end; its window is computed once more, alone
//! held > limit                          ─▶ freed memory goes back; a query is told to end: OutOfMemory with the limit that would do
//! held > limit + slack                  ─▶ the process says the same and leaves, as after a second signal
//! asked to stop                         ─▶ every query is told to end: Interrupted
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windrow_core::ErrorKind;
use windrow_transform::{Stop, StopReason};

use crate::runtime::{self, LastWords};

/// How often the memory is looked at: in that time two threads touch some ten megabytes.
const TICK: Duration = Duration::from_millis(10);

/// How far the process may get beyond the limit: an eighth of it and so many bytes. The default limit leaves a fourth of itself.
const SLACK: u64 = 16 << 20;

/// What is worked on, and what it may take.
#[derive(Clone)]
pub struct Watch(Arc<Shared>);

struct Shared {
    limit: Option<u64>,
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
    End(usize, StopReason),
    EndAll,
    Leave(StopReason),
}

impl Watch {
    /// A watch that allows so many bytes.
    pub fn new(limit: Option<u64>, is_interrupted: Arc<AtomicBool>, last_words: LastWords) -> Self {
        Watch(Arc::new(Shared { limit, is_interrupted, last_words, work: Mutex::default() }))
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
            std::thread::spawn(move || shared.watch());
        }
        begun
    }

    /// How much memory is held; where that is too much for so many queries, without what only the allocator keeps.
    fn held(&self, queries: usize) -> u64 {
        let held = runtime::held_memory().unwrap_or(0);
        if self.limit.is_none_or(|limit| held <= allowed(queries, limit)) {
            return held;
        }
        runtime::give_memory_back();
        runtime::held_memory().unwrap_or(0)
    }

    /// Until nothing is worked on any more.
    fn watch(&self) {
        loop {
            std::thread::sleep(TICK);
            let mut work = self.work();
            if work.windows == 0 && work.queries.is_empty() {
                work.is_watched = false;
                return;
            }
            let held = self.held(work.queries.len());
            let stopping: Vec<bool> = work.queries.iter().map(|(_, stop)| stop.reason().is_some()).collect();
            match verdict(&stopping, held, self.limit, self.is_interrupted.load(Ordering::Relaxed)) {
                Verdict::GoOn => {}
                Verdict::End(index, reason) => work.queries.iter().skip(index).take(1).for_each(|(_, stop)| stop.now(reason)),
                Verdict::EndAll => work.queries.iter().for_each(|(_, stop)| stop.now(StopReason::Interrupted)),
                Verdict::Leave(reason) => {
                    let oldest = work.queries.first().map(|(_, stop)| stop.clone()).unwrap_or_default();
                    drop(work);
                    oldest.now(reason);
                    oldest.error().iter().for_each(|error| (self.last_words)(error));
                    runtime::leave_now(ErrorKind::OutOfMemory);
                }
            }
        }
    }
}

/// `stopping` tells of each query, in the order they began, whether it was told to end already.
fn verdict(stopping: &[bool], held: u64, limit: Option<u64>, is_interrupted: bool) -> Verdict {
    if is_interrupted {
        return Verdict::EndAll;
    }
    let Some(limit) = limit else { return Verdict::GoOn };
    let reason = StopReason::Memory { held, limit };
    if held.saturating_sub(limit) > limit / 8 + SLACK {
        return Verdict::Leave(reason);
    }
    // One at a time: what it gives back may be enough for the others.
    let is_enough = held <= allowed(stopping.len(), limit) || stopping.contains(&true);
    let youngest = if is_enough { None } else { stopping.len().checked_sub(1) };
    youngest.map_or(Verdict::GoOn, |index| Verdict::End(index, reason))
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
        (Watch::new(limit, Arc::clone(&is_interrupted), Arc::new(|_: &Error| panic!("nobody leaves here"))), is_interrupted)
    }

    fn reason_of(query: &WatchedQuery) -> StopReason {
        loop {
            if let Some(reason) = query.stop().reason() {
                return reason;
            }
            std::thread::sleep(TICK);
        }
    }

    #[test]
    fn the_youngest_query_ends_first_and_one_at_a_time() {
        let limit = 800 << 20;
        let most = limit + limit / 8 + SLACK;
        let memory = |held| StopReason::Memory { held, limit };
        for (stopping, held, expected) in [
            (&[false][..], limit, Verdict::GoOn),
            (&[false, false], limit / 8 * 5, Verdict::GoOn),
            (&[false, false], limit / 8 * 5 + 1, Verdict::End(1, memory(limit / 8 * 5 + 1))),
            (&[false, false], limit + 1, Verdict::End(1, memory(limit + 1))),
            (&[false, true], most, Verdict::GoOn),
            (&[false], most, Verdict::End(0, memory(most))),
            (&[false, true], most + 1, Verdict::Leave(memory(most + 1))),
            (&[], limit + 1, Verdict::GoOn),
        ] {
            assert_eq!(verdict(stopping, held, Some(limit), false), expected, "{stopping:?} {held}");
        }
        assert_eq!(verdict(&[false], u64::MAX, None, false), Verdict::GoOn);
        assert_eq!(verdict(&[false], most + 1, Some(limit), true), Verdict::EndAll);
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
        assert_eq!(reason_of(&second), StopReason::Interrupted);
        drop(second);
        // Whoever comes later is watched as well, whether the thread is still there or not.
        assert_eq!(reason_of(&watch.query()), StopReason::Interrupted);
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
