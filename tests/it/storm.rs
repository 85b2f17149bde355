//! A storm of `kill -9` over several writers of the same windows and garbage collection, with readers that verify every
//! byte: at any moment a window resolves to one whole version, and never to an older one than before.
//!
//! `WINDROW_KILLS` sets how many kills there are on local disk; the S3 server gets a tenth. The seed is fixed; what the
//! system schedules is not, so a storm is another one each time.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use windrow_core::canonical::sha256_hex;
use windrow_core::{Epoch, PartitionWindow, Table};
use windrow_lake::LakeTable;

use crate::arena::Arena;
use crate::kill::{Seeded, shown_rows, version_rows};
use crate::support::{exit_code, rows};
use crate::tiny::{HEADER, Tiny};

const WINDOWS: [&str; 2] = ["2024-01-02", "2024-01-03"];
const TABLES: [&str; 2] = ["clean.t", "curated.t"];
const RUN: [&str; 7] = ["run", "--dataset", "t", "--from", "2024-01-02", "--to", "2024-01-04"];
const GC: [&str; 4] = ["gc", "--delete", "--undecided-after", "0s"];

/// How many writers work on the same windows at once.
const WRITERS: usize = 4;

/// Reads windows through the ledger, every byte of them, and fails on what no reader may ever see.
struct Reader {
    arena: Arc<Arena>,
    legal: BTreeMap<String, u64>,
    seen: BTreeMap<(&'static str, &'static str), (Epoch, u64)>,
    reads: u64,
    moves: u64,
}

impl Reader {
    fn new(arena: Arc<Arena>, versions: u64) -> Reader {
        let digest = |version: u64| sha256_hex(shown_rows(version).join("\n").as_bytes());
        Reader {
            arena,
            legal: (0..=versions).map(|version| (digest(version), version)).collect(),
            seen: BTreeMap::new(),
            reads: 0,
            moves: 0,
        }
    }

    fn look(&mut self) {
        for table in TABLES {
            let Some(lake_table) = self.table(table) else { continue };
            for window in WINDOWS {
                let place = (table, window);
                let found = self.version(&lake_table, window);
                let before = self.seen.get(&place).copied();
                match (found, before) {
                    (None, Some(before)) => panic!("{place:?} was {before:?} and is not published"),
                    (Some(found), Some(before)) => {
                        assert!(found.0 >= before.0, "{place:?} went back from epoch {before:?} to {found:?}");
                        assert!(found.1 >= before.1, "{place:?} went back from version {before:?} to {found:?}");
                    }
                    _ => {}
                }
                self.moves += u64::from(found != before);
                self.seen.extend(found.map(|found| (place, found)));
            }
        }
    }

    fn table(&self, name: &str) -> Option<LakeTable> {
        let name: Table = name.parse().unwrap();
        self.arena.block_on(self.arena.lake.table(&name)).unwrap()
    }

    /// The epoch and version a window resolves to, after every byte of it was compared with what was published.
    fn version(&mut self, table: &LakeTable, window: &str) -> Option<(Epoch, u64)> {
        let window: PartitionWindow = window.parse().unwrap();
        let head = self.arena.block_on(table.resolve(&window)).unwrap()?;
        self.arena.block_on(table.verify_head(&head)).unwrap();
        let [file] = head.files.as_slice() else { panic!("{} files", head.files.len()) };
        let bytes = self.arena.block_on(self.arena.lake.get_bytes(&file.key)).unwrap();
        let shown = rows(&bytes);
        let version = self.legal.get(&sha256_hex(shown.join("\n").as_bytes()));
        let version = version.unwrap_or_else(|| panic!("{} {window} is a mix: {shown:?}", table.name()));
        self.reads += 1;
        Some((head.epoch, *version))
    }

    /// What every live view shows, once it is quiet.
    fn assert_views(&mut self, version: u64) {
        for table in TABLES {
            for window in WINDOWS {
                let key = format!("{}/t_date={window}/part-00000.parquet", table.replace('.', "/"));
                let bytes = self.arena.block_on(self.arena.lake.get_bytes(&key)).unwrap();
                assert_eq!(rows(&bytes), shown_rows(version), "{key}");
            }
        }
    }
}

fn send(arena: &Arena, version: u64) {
    for window in WINDOWS {
        arena.produce(&format!("raw/t/{window}/t.csv"), format!("{HEADER}{}", version_rows(version)).into_bytes());
    }
}

fn start(arena: &Arena, arguments: &[&str]) -> Child {
    arena.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills the processes of a round one after the other; returns how many were still at work.
fn kill_all(children: Vec<Child>, random: &mut Seeded, longest: u64, round: u64) -> u64 {
    let mut killed = 0;
    for mut child in children {
        thread::sleep(Duration::from_millis(random.below(longest)));
        child.kill().unwrap();
        let code = exit_code(child.wait().unwrap());
        // A writer whose epoch was taken by garbage collection is fenced: it says so, and nothing of it is visible.
        assert!([0, 73, 128 + 9].contains(&code), "round {round}: exit code {code}");
        killed += u64::from(code == 128 + 9);
    }
    killed
}

/// How long a run takes here and now, so that kills strike all over it.
fn milliseconds_of_a_run(arena: &Arena) -> u64 {
    arena.run(&RUN).expect(0).json()["milliseconds"].as_f64().unwrap() as u64 + 50
}

fn storm(arena: Arena, kills: u64) {
    let arena = Arc::new(arena);
    let mut random = Seeded(0x5707_a10f_b1a5_7ed5);
    send(&arena, 0);
    let longest = milliseconds_of_a_run(&arena);
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (stop, mut reader) = (stop.clone(), Reader::new(arena.clone(), kills + 1));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                reader.look();
                thread::yield_now();
            }
            reader
        })
    };
    let (mut killed, mut version, mut round) = (0, 0, 0);
    while killed < kills && !reader.is_finished() {
        if round % 2 == 1 {
            version += 1;
            send(&arena, version);
        }
        let mut children: Vec<Child> = Vec::new();
        for writer in 0..WRITERS {
            let forced: &[&str] = if writer == 0 { &["--force"] } else { &[] };
            children.push(start(&arena, &[&RUN[..], forced].concat()));
        }
        if round % 3 == 0 {
            children.push(start(&arena, &GC));
        }
        // Every fifth round is long enough for some of them to end.
        killed += kill_all(children, &mut random, if round % 5 == 4 { 5 * longest } else { longest }, round);
        round += 1;
        assert!(round < 20 * kills + 100, "only {killed} of {kills} kills in {round} rounds: processes end too early");
    }
    if !reader.is_finished() {
        arena.run(&RUN).expect(0);
        arena.run(&GC).expect(0);
    }
    stop.store(true, Ordering::Relaxed);
    let mut reader = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    reader.look();
    let last: Vec<u64> = reader.seen.values().map(|(_, version)| *version).collect();
    assert_eq!(last, [version; 4], "the last run is what readers see");
    reader.assert_views(version);
    assert!(reader.reads > kills / 2, "{} reads", reader.reads);
    assert!(reader.moves > round / 20, "heads moved {} times in {round} rounds", reader.moves);
    println!(
        "{}: {killed} kills in {round} rounds, heads moved {} times, {} verified reads",
        arena.name, reader.moves, reader.reads
    );
    let again = arena.run(&RUN).expect(0).json();
    assert_eq!(again["counts"]["skip"], 2, "nothing to do is nothing done");
}

#[expect(clippy::disallowed_methods, reason = "how long a storm lasts is the caller's choice")]
fn kills() -> u64 {
    std::env::var("WINDROW_KILLS").ok().map_or(60, |text| text.parse().unwrap())
}

fn project() -> crate::support::Project {
    Tiny { is_curated: true, ..Tiny::default() }.project()
}

#[test]
fn a_storm_on_local_disk_shows_only_whole_versions_that_never_go_back() {
    storm(Arena::local(project()), kills());
}

#[test]
fn a_storm_on_s3_shows_only_whole_versions_that_never_go_back() {
    storm(Arena::s3(project()), (kills() / 10).max(20));
}

/// Starts many runs of the same windows at once; every one of them ends well, and rows are there exactly once.
fn race(arena: &Arena, processes: usize) {
    send(arena, 5);
    let children: Vec<Child> = (0..processes).map(|_| start(arena, &[&RUN[..], &["--force"]].concat())).collect();
    let codes: Vec<i32> = children.into_iter().map(|mut child| exit_code(child.wait().unwrap())).collect();
    assert_eq!(codes, vec![0; processes], "no run is turned away by another");
    let arena_name = arena.name;
    for table in TABLES {
        let lake_table = arena.block_on(arena.lake.table(&table.parse().unwrap())).unwrap().unwrap();
        for window in WINDOWS {
            let window: PartitionWindow = window.parse().unwrap();
            let history = arena.block_on(lake_table.window_history(&window)).unwrap();
            let published = history.iter().filter(|state| state.outcome.is_some()).map(|state| state.epoch);
            let head = arena.block_on(lake_table.require_head(&window)).unwrap();
            assert_eq!(published.max(), Some(head.epoch), "{arena_name}: the last claimed epoch is the head");
            assert_eq!(history.len(), processes, "{arena_name}: every run has an epoch of its own");
            arena.block_on(lake_table.verify_head(&head)).unwrap();
            let bytes = arena.block_on(arena.lake.get_bytes(&head.files[0].key)).unwrap();
            assert_eq!(rows(&bytes), shown_rows(5), "{arena_name} {table} {window}");
        }
    }
}

#[test]
fn two_eight_and_thirty_two_processes_race_for_the_same_windows_on_local_disk() {
    for processes in [2, 8, 32] {
        race(&Arena::local(project()), processes);
    }
}

#[test]
fn two_and_eight_processes_race_for_the_same_windows_on_s3() {
    for processes in [2, 8] {
        race(&Arena::s3(project()), processes);
    }
}
