//! Whose turn it is: of the windows that are under way at the same time, only those hold rows in memory that there is room for.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use windrow_core::PartitionWindow;

use crate::runtime;

thread_local! {
    /// How long this thread has waited for turns.
    static WAITED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// How long something takes on this thread: what it waits for its turn is the time of other windows.
#[derive(Debug)]
pub struct Stopwatch {
    started: Instant,
    waited: Duration,
}

impl Stopwatch {
    /// From now on.
    pub fn start() -> Self {
        Stopwatch { started: runtime::instant(), waited: WAITED.get() }
    }

    /// Since the start, without the waiting.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed().saturating_sub(WAITED.get() - self.waited)
    }
}

/// How much room a window needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// That of any window.
    Place,
    /// That of a small one.
    Part,
    /// All there is.
    All,
}

/// The room for windows that compute: places, each of which is as good as a few parts. The earliest window that waits is the
/// next one, so that a window is done before a later one is begun, and few are half done when a run is stopped.
#[derive(Debug)]
pub struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    places: usize,
    parts: usize,
    /// How many parts of all places are taken.
    taken: usize,
    /// The number tells two apart that wait for the same window.
    waiting: BTreeSet<(PartitionWindow, u64)>,
    number: u64,
}

impl Default for Turns {
    /// One place, not divided.
    fn default() -> Self {
        let state = State { places: 1, parts: 1, taken: 0, waiting: BTreeSet::new(), number: 0 };
        Turns { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Turns {
    /// From here on there are so many places of so many parts each. Nobody may have a turn meanwhile.
    pub fn divide(&self, places: usize, parts: usize) {
        let mut state = self.state();
        debug_assert_eq!(state.taken, 0, "whoever has a turn has a share of all there is");
        (state.places, state.parts) = (places, parts);
    }

    /// Waits until the window may compute. Whoever has a turn must not ask for another one.
    pub fn take(&self, window: PartitionWindow, room: Room) -> Turn<'_> {
        let asked = runtime::instant();
        let mut state = self.state();
        let ticket = (window, state.number);
        state.number += 1;
        state.waiting.insert(ticket);
        let parts = match room {
            Room::Place => state.parts,
            Room::Part => 1,
            Room::All => state.parts * state.places,
        };
        while state.taken + parts > state.places * state.parts || state.waiting.first() != Some(&ticket) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.remove(&ticket);
        state.taken += parts;
        let of = state.places * state.parts;
        drop(state);
        // There may be room for the next one.
        self.changed.notify_all();
        WAITED.set(WAITED.get() + asked.elapsed());
        Turn { turns: self, parts, of }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room that is given back when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Turn<'a> {
    turns: &'a Turns,
    parts: usize,
    of: usize,
}

impl Turn<'_> {
    /// This window's share of what all windows have together.
    pub fn share_of(&self, all: u64) -> u64 {
        all / self.of as u64 * self.parts as u64
    }

    /// Tells whether other windows may compute beside this one.
    pub fn is_shared(&self) -> bool {
        self.parts < self.of
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.state().taken -= self.parts;
        self.turns.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn day(day: u32) -> PartitionWindow {
        format!("2024-01-{day:02}").parse().unwrap()
    }

    /// Starts a thread for each window, the next one once the one before waits; tells in which order they had their turn.
    fn order_of(turns: &Turns, windows: &[(PartitionWindow, Room)], first: Turn<'_>) -> Vec<PartitionWindow> {
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for (before, (window, room)) in windows.iter().enumerate() {
                while turns.state().waiting.len() < before {
                    std::thread::yield_now();
                }
                scope.spawn(|| {
                    let _turn = turns.take(*window, *room);
                    order.lock().unwrap().push(*window);
                });
            }
            while turns.state().waiting.len() < windows.len() {
                std::thread::yield_now();
            }
            drop(first);
        });
        order.into_inner().unwrap()
    }

    #[test]
    fn the_earliest_window_that_waits_is_next() {
        let turns = Turns::default();
        let first = turns.take(day(9), Room::Place);
        let waiting = [3, 5, 1, 4].map(|number| (day(number), Room::Place));
        assert_eq!(order_of(&turns, &waiting, first), [day(1), day(3), day(4), day(5)]);
        let first = turns.take(day(9), Room::Place);
        let waiting = [2, 2, 1].map(|number| (day(number), Room::Part));
        assert_eq!(order_of(&turns, &waiting, first), [day(1), day(2), day(2)]);
    }

    #[test]
    fn small_windows_do_not_overtake_a_large_one() {
        let turns = Turns::default();
        turns.divide(1, 2);
        let small = turns.take(day(8), Room::Part);
        let other = turns.take(day(9), Room::Part);
        let started = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _turn = turns.take(day(1), Room::Place);
                started.fetch_add(1, Ordering::SeqCst);
            });
            while turns.state().waiting.is_empty() {
                std::thread::yield_now();
            }
            // A part is free, but the earlier window needs two.
            drop(other);
            scope.spawn(|| {
                let _turn = turns.take(day(2), Room::Part);
                assert_eq!(started.fetch_add(1, Ordering::SeqCst), 1);
            });
            while turns.state().waiting.len() < 2 {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(started.load(Ordering::SeqCst), 0);
            drop(small);
        });
        assert_eq!(started.into_inner(), 2);
    }

    #[test]
    fn no_more_windows_compute_than_there_is_room_for() {
        for (places, parts, room, most_at_once) in [
            (1, 1, Room::Place, 1),
            (1, 1, Room::Part, 1),
            (3, 1, Room::Part, 3),
            (2, 4, Room::Place, 2),
            (2, 4, Room::Part, 8),
            (2, 4, Room::All, 1),
        ] {
            let turns = Turns::default();
            turns.divide(places, parts);
            let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for number in 1..=24 {
                    let (turns, now, most) = (&turns, &now, &most);
                    scope.spawn(move || {
                        let turn = turns.take(day(number), room);
                        assert_eq!(turn.share_of(1 << 20) / 8, (1 << 20) / most_at_once / 8);
                        assert_eq!(turn.is_shared(), most_at_once > 1);
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(5));
                        now.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
            assert!((1..=most_at_once).contains(&(most.into_inner() as u64)), "of {most_at_once}");
            assert_eq!(turns.state().taken, 0);
        }
    }

    #[test]
    fn waiting_for_a_turn_is_not_the_windows_own_time() {
        let turns = Turns::default();
        let first = turns.take(day(9), Room::Place);
        let (watch, all) = std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let (watch, all) = (Stopwatch::start(), runtime::instant());
                let _turn = turns.take(day(1), Room::Place);
                std::thread::sleep(Duration::from_millis(20));
                (watch.elapsed(), all.elapsed())
            });
            while turns.state().waiting.is_empty() {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(200));
            drop(first);
            waits.join().unwrap()
        });
        assert!(watch >= Duration::from_millis(20) && all - watch >= Duration::from_millis(200), "{watch:?} of {all:?}");
    }

    #[test]
    fn a_place_is_free_again_after_a_panic() {
        let turns = Turns::default();
        let panicked = std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let _turn = turns.take(day(1), Room::Place);
                panic!("as planned");
            });
            holder.join()
        });
        assert!(panicked.is_err());
        let _turn = turns.take(day(2), Room::Place);
    }
}
