//! `kill -9` at any moment: whoever reads sees the old or the new version, and nothing that was written ever changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use windrow_core::canonical::sha256_hex;
use windrow_core::layout::Key;

use crate::support::{Project, exit_code, files, rows};
use crate::tiny::Tiny;

const KILLS: u64 = 200;
const WINDOWS: [&str; 2] = ["2024-01-02", "2024-01-03"];
const RUN: [&str; 7] = ["run", "--dataset", "t", "--from", "2024-01-02", "--to", "2024-01-04"];

/// Every version has another number of rows, and every row names its version.
pub(crate) fn version_rows(version: u64) -> String {
    (0..20 + version % 7).map(|n| format!("{n},1.50,,,v{version},,\n")).collect()
}

/// Replaces the raw files of both windows, each in one step.
fn send_raw(project: &Project, version: u64) {
    for window in WINDOWS {
        project.write("outbox/t.csv", format!("{}{}", crate::tiny::HEADER, version_rows(version)));
        let target = project.path(&format!("lake/raw/t/{window}/t.csv"));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::rename(project.path("outbox/t.csv"), target).unwrap();
    }
}

/// The same numbers every time: xorshift from a fixed seed.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Reads live views as any consumer would, and fails on what no consumer may see.
struct Watcher {
    views: Vec<PathBuf>,
    seen: Vec<Option<u64>>,
    legal: BTreeMap<String, u64>,
    reads: u64,
}

impl Watcher {
    fn new(project: &Project) -> Watcher {
        let view = |layer: &str, window: &str| project.path(&format!("lake/{layer}/t/t_date={window}/part-00000.parquet"));
        let views: Vec<PathBuf> =
            ["clean", "curated"].iter().flat_map(|layer| WINDOWS.iter().map(|window| view(layer, window))).collect();
        let digest = |version: u64| sha256_hex(shown_rows(version).join("\n").as_bytes());
        let legal = (0..=KILLS).map(|version| (digest(version), version)).collect();
        Watcher { seen: vec![None; views.len()], views, legal, reads: 0 }
    }

    fn look(&mut self) {
        for (view, seen) in self.views.iter().zip(&mut self.seen) {
            let Ok(bytes) = fs::read(view) else {
                assert_eq!(*seen, None, "{} vanished", view.display());
                continue;
            };
            let digest = sha256_hex(rows(&bytes).join("\n").as_bytes());
            let version = self.legal.get(&digest);
            let version = version.unwrap_or_else(|| panic!("{} is a mix: {:?}", view.display(), rows(&bytes)));
            assert!(seen.is_none_or(|seen| seen <= *version), "{} went back from {seen:?} to {version}", view.display());
            *seen = Some(*version);
            self.reads += 1;
        }
    }
}

pub(crate) fn shown_rows(version: u64) -> Vec<String> {
    let row = |n| format!("{{n: {n}, price: 1.50, day: null, at: null, name: \"v{version}\", ratio: null, ok: null}}");
    (0..20 + version % 7).map(row).collect()
}

/// What was found under `store/` so far; none of it may change or go.
#[derive(Default)]
struct Written {
    files: BTreeMap<String, (u64, String)>,
}

impl Written {
    /// Takes in what is new; with `all`, reads again what is known.
    fn look(&mut self, project: &Project, all: bool) {
        let mut present = files(&project.path("lake/store"));
        present.retain(|key, _| !key.starts_with("tmp/") && Key::parse(&format!("store/{key}")).is_some());
        for key in self.files.keys() {
            assert!(present.contains_key(key), "{key} is gone");
        }
        for (key, file) in present {
            let inode = fs::metadata(&file).unwrap().ino();
            let known = self.files.get(&key);
            if known.is_some_and(|(known, _)| *known == inode) && !all {
                continue;
            }
            let digest = sha256_hex(&fs::read(&file).unwrap());
            assert!(known.is_none_or(|known| *known == (inode, digest.clone())), "{key} was written again");
            self.files.insert(key, (inode, digest));
        }
    }
}

#[test]
fn two_hundred_kills_leave_only_old_or_new_versions_and_touch_nothing_written() {
    let project = Tiny { is_curated: true, ..Tiny::default() }.project();
    let mut random = Seeded(0x5eed_0f11_77ed_4a7d);
    let mut written = Written::default();
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (stop, mut watcher) = (stop.clone(), Watcher::new(&project));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                watcher.look();
                thread::yield_now();
            }
            watcher.look();
            watcher
        })
    };
    let mut killed = 0;
    let mut version = 0;
    send_raw(&project, version);
    for round in 0..KILLS {
        // Every second round sends new raw files; the others compute what is there once more.
        if round % 2 == 1 {
            version += 1;
            send_raw(&project, version);
        }
        let forced: &[&str] = if round % 2 == 0 { &["--force"] } else { &[] };
        let mut command = project.command(&[&RUN, forced].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(random.below(if round % 3 == 0 { 400 } else { 200 })));
        child.kill().unwrap();
        let code = exit_code(child.wait().unwrap());
        assert!([0, 128 + 9].contains(&code), "round {round}: {code}");
        killed += u64::from(code != 0);
        written.look(&project, round % 20 == 0);
        if watcher.is_finished() {
            break;
        }
    }
    if !watcher.is_finished() {
        project.run_json(&RUN).expect(0);
    }
    stop.store(true, Ordering::Relaxed);
    let watcher = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert_eq!(watcher.seen, [Some(version); 4], "the last run is what readers see");
    assert!(killed >= KILLS / 8 && watcher.reads > KILLS, "killed {killed}, reads {}", watcher.reads);
    written.look(&project, true);
    assert_ledger(&project);
    assert_grammar(&project);
    let before = project.tree("lake/store");
    let again = project.run_json(&RUN).expect(0).json();
    assert_eq!(again["counts"]["skip"], 2);
    assert_eq!(project.tree("lake/store"), before, "nothing to do is nothing done");
}

#[test]
fn runs_of_one_window_at_the_same_time_all_finish_and_leave_one_version() {
    let project = Tiny { is_curated: true, ..Tiny::default() }.project();
    send_raw(&project, 3);
    let start =
        |_| project.command(&[&RUN[..], &["--force"]].concat()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let children: Vec<_> = (0..6).map(start).collect();
    let codes: Vec<i32> = children.into_iter().map(|mut child| exit_code(child.wait().unwrap())).collect();
    assert_eq!(codes, [0; 6], "no run is turned away by another");
    for window in WINDOWS {
        for table in ["clean/t", "curated/t"] {
            assert_eq!(project.view(table, &format!("t_date={window}")).unwrap(), shown_rows(3), "{table} {window}");
        }
    }
    assert_ledger(&project);
    project.keys();
    project.run_json(&RUN).expect(0);
}

#[test]
#[should_panic(expected = "is a mix")]
fn the_watcher_would_see_foreign_rows() {
    let project = Tiny::default().project();
    let view = format!("lake/clean/t/t_date={}/part-00000.parquet", WINDOWS[0]);
    project.write(&view, crate::parquet_files::sound());
    Watcher::new(&project).look();
}

#[test]
#[should_panic(expected = "went back from Some(2) to 1")]
fn the_watcher_would_see_an_older_version() {
    let project = Tiny::default().project();
    let mut watcher = Watcher::new(&project);
    for version in [2, 1] {
        send_raw(&project, version);
        project.run_json(&RUN).expect(0);
        watcher.look();
    }
}

#[test]
#[should_panic(expected = "vanished")]
fn the_watcher_would_see_a_view_go() {
    let project = Tiny::default().project();
    let mut watcher = Watcher::new(&project);
    send_raw(&project, 0);
    project.run_json(&RUN).expect(0);
    watcher.look();
    fs::remove_dir_all(project.path("lake/clean")).unwrap();
    watcher.look();
}

/// I1 and I4: one outcome an epoch, and every published epoch's files are there with the bytes that were promised.
fn assert_ledger(project: &Project) {
    let outcomes = project.documents("outcome");
    let published = outcomes.iter().filter(|(_, outcome)| outcome["decision"] == "published");
    let mut windows = BTreeMap::new();
    for (key, outcome) in published {
        let (table, window) = key.strip_prefix("store/").and_then(|rest| rest.split_once("/ledger/")).unwrap();
        let listed = outcome["files"].as_array().unwrap();
        assert_eq!(listed.len(), 1, "{key}");
        let file = project.path(&format!("lake/store/{table}/{}", listed[0]["path"].as_str().unwrap()));
        let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{key}: {}: {error}", file.display()));
        assert_eq!(listed[0]["sha256"], sha256_hex(&bytes), "{key}");
        assert_eq!(listed[0]["size"], bytes.len(), "{key}");
        let staged = fs::read(project.path(&format!("lake/{}", key.replace("outcome", "staged")))).unwrap();
        assert_eq!(outcome["staged_sha256"], sha256_hex(&staged), "{key}");
        // Keys are in order, so the last one of a window is its head.
        let window = window.split('/').next().unwrap();
        windows.insert(format!("{table} {window}"), (table.to_owned(), window.to_owned(), bytes));
    }
    assert_eq!(windows.len(), 4);
    for (table, window, bytes) in windows.into_values() {
        let view = fs::read(project.path(&format!("lake/{table}/t_date={window}/part-00000.parquet"))).unwrap();
        assert_eq!(view, bytes, "the view of {table} {window} is its head");
    }
}

/// I19: a kill leaves nothing that is no key; a file on its way stands below store/tmp under a key of its own.
fn assert_grammar(project: &Project) {
    for key in files(&project.path("lake")).into_keys().filter(|key| !key.starts_with("raw/")) {
        assert!(Key::parse(&key).is_some(), "{key} is no key of the grammar");
    }
}
