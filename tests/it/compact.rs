//! `windrow compact`: the same rows in the same order in fewer files, or everything as it was.

use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use windrow_core::PartitionWindow;
use windrow_lake::LakeTable;

use crate::arena::Arena;
use crate::kill::Seeded;
use crate::support::{Project, exit_code, rows};
use crate::tiny::{HEADER, PARTITION, Tiny, WINDOW, raw_file};

const ROWS: usize = 2_000;
const COMPACT: [&str; 7] = ["compact", "--dataset", "t", "--layer", "clean", "--window", WINDOW];
const RUN: [&str; 5] = ["run", "--dataset", "t", "--window", WINDOW];
const CONTRACT: &str = "schemas/t.clean.odcs.yaml";

/// Rows in an order that is no order of any column, each naming its version, with texts that do not compress.
fn raw(version: u64) -> String {
    let mut random = Seeded(0x1234_5678_9abc_def1);
    let mut row = |n: usize| {
        let text = random.below(u64::MAX);
        format!("{},{}.25,2024-01-02,2024-01-02T03:04:05,v{version} {text:x},0.5,true\n", n * 7 % ROWS, n % 50)
    };
    (0..ROWS).fold(HEADER.to_owned(), |text, n| text + &row(n))
}

/// Writes the size of files into the contract, or takes it out.
fn set_size(project: &Project, size: Option<&str>) {
    let text = std::fs::read_to_string(project.path(CONTRACT)).unwrap();
    let plain: String = text.lines().filter(|line| !line.contains("targetFileSize")).map(|line| format!("{line}\n")).collect();
    let line =
        |size| format!("      - {{property: output, vendor: windrow, value: {{targetFileSize: {size}}}}}\n    properties:\n");
    let text = size.map(|size| plain.replacen("    properties:\n", &line(size), 1)).unwrap_or(plain);
    project.write(CONTRACT, text);
}

/// A window that was published in small files, and whose contract asks for large ones.
fn fragmented(project: Project) -> Project {
    set_size(&project, Some("2KiB"));
    project.write(&raw_file("a.csv"), raw(1));
    let result = project.run_json(&RUN).expect(0).json();
    assert_eq!(result["counts"]["ok"], 1, "{result}");
    set_size(&project, None);
    project
}

fn tiny() -> Project {
    fragmented(Tiny::default().project())
}

fn compact(project: &Project, code: i32) -> Value {
    project.run_json(&COMPACT).expect(code).json()
}

/// The files of an epoch in order, and their rows.
fn version(project: &Project, table: &str, epoch: u64) -> (usize, Vec<String>) {
    let outcome = &project.documents("outcome")[&format!("store/{table}/ledger/{WINDOW}/{epoch:020}.outcome.json")];
    assert_eq!(outcome["decision"], "published");
    let files = outcome["files"].as_array().unwrap();
    let read = |file: &Value| {
        rows(&std::fs::read(project.path(&format!("lake/store/{table}/{}", file["path"].as_str().unwrap()))).unwrap())
    };
    (files.len(), files.iter().flat_map(read).collect())
}

fn decisions(project: &Project) -> Vec<String> {
    let outcomes = project.documents("outcome");
    outcomes.values().map(|outcome| outcome["decision"].as_str().unwrap().to_owned()).collect()
}

/// Neither a view nor a head nor a file of it is another one than before.
#[track_caller]
fn assert_head_stays(project: &Project, act: impl FnOnce()) {
    let seen =
        || (project.tree("lake/clean"), project.run_json(&["status", "--dataset", "t"]).json()["windows"][0]["epoch"].clone());
    let before = seen();
    act();
    assert_eq!(seen(), before, "what readers see");
}

#[test]
fn many_small_files_become_few_of_the_same_rows_in_the_same_order() {
    let project = tiny();
    let (files, before) = version(&project, "clean/t", 1);
    assert!(files > 5 && before.len() == ROWS, "{files} files");
    assert_eq!(project.view("clean/t", PARTITION), None, "several files have no live view");
    let result = compact(&project, 0);
    let window = &result["windows"][0];
    assert_eq!((&result["status"], &result["window"], &window["status"]), (&json!("ok"), &json!(WINDOW), &json!("published")));
    assert_eq!((&window["source_epoch"], &window["epoch"], &window["head"]), (&json!(1), &json!(2), &json!(2)));
    let sizes = (&window["files_before"], &window["files_after"], &window["rows"]);
    assert_eq!(sizes, (&json!(files), &json!(1), &json!(ROWS)));
    let (files, after) = version(&project, "clean/t", 2);
    assert_eq!(files, 1);
    assert_eq!(after, before);
    assert_eq!(project.view("clean/t", PARTITION), Some(before));
    project.keys();
}

#[test]
fn a_compacted_window_is_up_to_date_and_needs_nothing_more() {
    let project = tiny();
    compact(&project, 0);
    let lake = project.tree("lake/store");
    let plan = project.run_json(&[&["plan"], &RUN[1..]].concat()).expect(0).json();
    assert_eq!(plan["counts"], json!({"run": 0, "skip": 1, "wait": 0, "fail": 0}), "{plan}");
    assert_eq!(project.run_json(&RUN).expect(0).json()["counts"]["skip"], 1);
    let status = project.run_json(&["status"]).expect(0).json();
    let row = &status["windows"][0];
    assert_eq!(
        (&row["state"], &row["stale"], &row["epoch"], &row["files"]),
        (&json!("published"), &json!(false), &json!(2), &json!(1))
    );
    let again = compact(&project, 0);
    let window = &again["windows"][0];
    assert_eq!((&window["status"], &window["epoch"], &window["source_epoch"]), (&json!("unchanged"), &Value::Null, &json!(2)));
    let told = project.run(&COMPACT).expect(0).stdout;
    assert!(told.starts_with("clean.t 2024-01-02 needs nothing: 1 file, "), "{told}");
    assert_eq!(project.tree("lake/store"), lake, "nothing was written");
}

#[test]
fn the_size_of_files_makes_no_window_stale_and_other_changes_still_do() {
    let project = tiny();
    assert_eq!(project.run_json(&RUN).expect(0).json()["counts"]["skip"], 1, "another size of files");
    project.replace(CONTRACT, "mustBeGreaterThan: 0", "mustBeGreaterThan: 1");
    compact(&project, 0);
    let again = project.run_json(&RUN).expect(0).json();
    assert_eq!(again["counts"]["ok"], 1, "what was stale is stale in larger files: {again}");
    project.write(&raw_file("b.csv"), format!("{HEADER}{}", crate::tiny::ROW));
    assert_eq!(project.run_json(&RUN).expect(0).json()["counts"]["ok"], 1);
    assert_eq!(project.view("clean/t", PARTITION).unwrap().len(), ROWS + 1);
}

#[test]
fn files_come_near_the_size_that_the_contract_names() {
    let project = tiny();
    set_size(&project, Some("16KiB"));
    let window = compact(&project, 0)["windows"][0].clone();
    let (files, after) = version(&project, "clean/t", 2);
    assert_eq!(after, version(&project, "clean/t", 1).1);
    assert!(files > 1 && files as u64 * 2 <= window["files_before"].as_u64().unwrap(), "{window}");
    assert!(window["bytes_after"].as_u64().unwrap() / files as u64 <= 20 << 10, "{window}");
}

#[test]
fn rows_of_different_values_stay_in_different_files() {
    let project = Tiny::default().project();
    let split = "      - {property: split, vendor: windrow, value: ok}\n";
    project.replace(CONTRACT, "{name: ok, logicalType: boolean", "{name: ok, required: true, logicalType: boolean");
    project.replace(CONTRACT, "    properties:\n", &format!("{split}    properties:\n"));
    set_size(&project, Some("2KiB"));
    let rows: String = raw(1)
        .lines()
        .enumerate()
        .map(|(n, row)| if n % 3 == 0 { row.replace("true", "false") } else { row.into() } + "\n")
        .collect();
    project.write(&raw_file("a.csv"), rows);
    project.run_json(&RUN).expect(0);
    set_size(&project, None);
    let (files, before) = version(&project, "clean/t", 1);
    assert!(files > 5, "{files} files");
    compact(&project, 0);
    let (files, after) = version(&project, "clean/t", 2);
    assert_eq!((files, &after), (2, &before));
    assert!(before.is_sorted_by_key(|row| row.contains("true")), "false comes before true");
    let window = compact(&project, 0)["windows"][0].clone();
    assert_eq!((&window["status"], &window["files_after"]), (&json!("unchanged"), &json!(2)), "two files, however small");
    project.replace(CONTRACT, split, "");
    assert_head_stays(&project, || {
        let refused = project.run(&COMPACT);
        assert!(refused.stderr.contains("split otherwise than the contract declares"), "{}", refused.stderr);
    });
    project.run_json(&RUN).expect(0);
    assert_eq!(version(&project, "clean/t", 4).0, 1, "computed again without the split");
}

#[test]
fn many_files_of_which_none_can_be_stored_are_told_and_leave_nothing() {
    let project = Tiny::default().project();
    set_size(&project, Some("2KiB"));
    project.write(&raw_file("a.csv"), raw(1));
    let data = "lake/store/clean/t/data";
    project.write(data, "not a folder");
    let stage = ["raw-to-clean", "--dataset", "t", "--window", WINDOW];
    let refused = project.run(&stage);
    assert_ne!(refused.code, 0, "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot write") && refused.stderr.contains("data/"), "{}", refused.stderr);
    assert_eq!(refused.stderr.matches("error[").count(), 1, "{}", refused.stderr);
    assert!(project.tree("lake/store").keys().all(|key| !key.contains("staged") && !key.ends_with("parquet")));
    std::fs::remove_file(project.path(data)).unwrap();
    project.run_json(&RUN).expect(0);
    assert!(version(&project, "clean/t", 2).0 > 5);
}

#[test]
fn tables_that_read_a_compacted_one_stay_up_to_date_and_read_its_rows() {
    let project = fragmented(Tiny { is_curated: true, ..Tiny::default() }.project());
    let staged =
        |epoch: u64| project.documents("staged")[&format!("store/curated/t/ledger/{WINDOW}/{epoch:020}.staged.json")].clone();
    compact(&project, 0);
    let result = project.run_json(&RUN).expect(0).json();
    assert_eq!((&result["counts"]["ok"], &result["counts"]["skip"]), (&json!(0), &json!(1)), "{result}");
    // Computed once more, from the compacted files: the same rows, recorded as made of the epoch that computed them.
    project.replace("jobs/sql/t.sql", "SELECT n", "SELECT  n");
    project.run_json(&RUN).expect(0);
    let (before, after) = (staged(1), staged(2));
    assert_eq!((&after["content_sha256"], &after["inputs"]), (&before["content_sha256"], &before["inputs"]));
    let clean = project.documents("claim").into_keys().filter(|key| key.starts_with("store/clean/")).count();
    assert_eq!(clean, 2, "the clean table was not computed again");
}

#[test]
fn a_curated_table_is_compacted_too() {
    let project = Tiny { is_curated: true, ..Tiny::default() }.project();
    let contract = "schemas/t.curated.odcs.yaml";
    let plain = std::fs::read_to_string(project.path(contract)).unwrap();
    let small = "      - {property: output, vendor: windrow, value: {targetFileSize: 2KiB}}\n    properties:\n";
    project.replace(contract, "    properties:\n", small);
    project.write(&raw_file("a.csv"), raw(1));
    project.run_json(&RUN).expect(0);
    project.write(contract, plain);
    let (files, before) = version(&project, "curated/t", 1);
    let result = project.run_json(&["compact", "--dataset", "t", "--layer", "curated", "--window", WINDOW]).expect(0).json();
    assert!(files > 2 && result["windows"][0]["files_after"] == 1, "{result}");
    assert_eq!(version(&project, "curated/t", 2), (1, before));
    assert_eq!(project.run_json(&RUN).expect(0).json()["counts"]["skip"], 1);
}

#[test]
fn a_version_before_compaction_comes_back() {
    let project = tiny();
    let before = version(&project, "clean/t", 1);
    compact(&project, 0);
    let rollback = ["rollback", "--dataset", "t", "--layer", "clean", "--window", WINDOW];
    let none = project.run_json(&rollback).expect(78).json();
    assert!(
        none["error"]["message"].as_str().unwrap().contains("holds other rows"),
        "the same rows are no other version: {none}"
    );
    project.run_json(&[&rollback[..], &["--to-epoch", "1"]].concat()).expect(0);
    assert_eq!(version(&project, "clean/t", 3), before);
    compact(&project, 0);
    project.run_json(&[&rollback[..], &["--to-epoch", "2"]].concat()).expect(0);
    assert_eq!(version(&project, "clean/t", 5), (1, before.1));
}

#[test]
fn several_windows_are_compacted_or_only_told_what_would_be() {
    let project = tiny();
    set_size(&project, Some("2KiB"));
    project.write("lake/raw/t/2024-01-03/a.csv", raw(1).replace("2024-01-02", "2024-01-03"));
    project.run_json(&["run", "--dataset", "t", "--window", "2024-01-03"]).expect(0);
    set_size(&project, None);
    let lake = project.tree("lake");
    let range = |to| ["compact", "--dataset", "t", "--layer", "clean", "--from", "2024-01-02", "--to", to];
    let planned = project.run_json(&[&range("2024-01-04")[..], &["--plan"]].concat()).expect(0).json();
    assert_eq!((&planned["windows"][0]["status"], &planned["windows"][1]["files_after"]), (&json!("planned"), &json!(1)));
    assert_eq!(project.tree("lake"), lake, "a plan writes nothing");
    let partly = project.run(&range("2024-01-05")).expect(66);
    assert!(partly.stdout.contains("2 compacted, 0 need nothing, 1 failed"), "{}", partly.stdout);
    assert!(
        partly.stdout.contains("clean.t 2024-01-04 FAILED: window 2024-01-04 of clean.t is not published"),
        "{}",
        partly.stdout
    );
    let done = project.run(&range("2024-01-04")).expect(0);
    assert!(done.stdout.contains("0 compacted, 2 need nothing, 0 failed"), "{}", done.stdout);
}

#[test]
fn what_cannot_be_compacted_is_refused_with_the_reason() {
    let project = tiny();
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let out = project.run(&[&["compact"], arguments].concat()).expect(code);
        assert!(out.stderr.contains(words), "{arguments:?}: {}", out.stderr);
    };
    let at = ["--layer", "clean", "--window", WINDOW];
    refused(&[&["--dataset", "u"], &at[..]].concat(), 78, "no contract for clean.u");
    refused(&["--dataset", "t", "--layer", "raw", "--window", WINDOW], 64, "raw.t is never written");
    refused(&["--dataset", "t", "--layer", "clean"], 64, "no window named");
    refused(&["--dataset", "t", "--layer", "clean", "--window", "2024-01"], 64, "2024-01");
    refused(&["--dataset", "t", "--window", WINDOW], 64, "--layer");
    refused(&["--dataset", "t", "--layer", "curated", "--window", WINDOW], 78, "no contract for curated.t");
    refused(&["--dataset", "t", "--layer", "clean", "--window", "2024-01-09"], 66, "is not published");
    assert_eq!(decisions(&project), ["published"], "nothing was claimed");
    project.run_json(&["retract", "--dataset", "t", "--layer", "clean", "--window", WINDOW]).expect(0);
    refused(&[&["--dataset", "t"], &at[..]].concat(), 66, "is not published");
}

#[test]
fn a_window_that_never_was_is_not_published() {
    let project = Tiny::default().project();
    project.write(&raw_file("a.csv"), raw(1));
    let result = compact(&project, 66);
    assert_eq!(result["error"]["kind"], "InputMissing");
    assert!(project.tree("lake/store").is_empty());
}

#[test]
fn a_window_that_another_run_works_on_waits_and_one_that_failed_is_run_first() {
    let project = tiny();
    project.write(&raw_file("a.csv"), raw(2));
    project.run_json(&["raw-to-clean", "--dataset", "t", "--window", WINDOW, "--run-id", "other"]).expect(0);
    assert_head_stays(&project, || {
        let busy = compact(&project, 75);
        assert_eq!(busy["error"]["kind"], "Transient");
        assert!(busy["error"]["message"].as_str().unwrap().contains("epoch 2 is not decided"), "{busy}");
        let help = busy["error"]["help"].as_str().unwrap();
        assert!(help.contains("windrow quarantine close --dataset t --window 2024-01-02 --run-id other"), "{help}");
    });
    project.run_json(&["quarantine", "close", "--dataset", "t", "--window", WINDOW, "--run-id", "other"]).expect(0);
    assert_eq!(compact(&project, 73)["error"]["kind"], "Fenced");
    project.write(&raw_file("a.csv"), format!("{HEADER}none,,,,,,\n"));
    project.run_json(&RUN).expect(65);
    let failed = compact(&project, 73);
    assert!(failed["error"]["message"].as_str().unwrap().contains("is quarantined"), "{failed}");
    assert!(failed["error"]["help"].as_str().unwrap().contains("windrow replay --dataset t --window 2024-01-02"), "{failed}");
    project.write(&raw_file("a.csv"), raw(3));
    project.run_json(&["replay", "--dataset", "t", "--window", WINDOW]).expect(0);
    assert_eq!(compact(&project, 0)["windows"][0]["status"], "unchanged", "the replay wrote one file");
}

#[test]
fn a_damaged_file_is_named_with_what_heals_it_and_nothing_changes() {
    for damage in ["changed", "shortened", "removed"] {
        let project = tiny();
        let key = project.tree("lake/store/clean/t/data").into_keys().nth(3).unwrap();
        let mut bytes = std::fs::read(project.path(&key)).unwrap();
        match damage {
            "changed" => bytes[100] ^= 1,
            _ => bytes.truncate(100),
        }
        // A file of its own: what is published is read-only.
        std::fs::remove_file(project.path(&key)).unwrap();
        if damage != "removed" {
            project.write(&key, bytes);
        }
        let result = compact(&project, 70);
        let error = &result["error"];
        assert_eq!(error["kind"], "Internal", "{damage}: {error}");
        assert!(error["message"].as_str().unwrap().starts_with("the lake is damaged: "), "{damage}: {error}");
        assert!(error.to_string().contains(key.strip_prefix("lake/").unwrap()), "{damage}: {error}");
        assert!(error["help"].as_str().unwrap().contains("windrow run --dataset t --window 2024-01-02 --force"), "{error}");
        assert_eq!(decisions(&project), ["published", "aborted"], "{damage}: the epoch is given up");
        project.run_json(&[&RUN[..], &["--force"]].concat()).expect(0);
        assert_eq!(project.view("clean/t", PARTITION).unwrap().len(), ROWS, "{damage}");
    }
}

#[test]
fn files_of_another_contract_are_not_passed_off_as_its_own() {
    for (from, to) in [("DECIMAL(9,2)", "DECIMAL(10,2)"), ("name: ratio", "name: rate")] {
        let project = tiny();
        project.replace(CONTRACT, from, to);
        project.replace("schemas/t.raw.odcs.yaml", from, to);
        assert_head_stays(&project, || {
            let result = compact(&project, 78);
            assert_eq!(result["error"]["kind"], "Misconfigured", "{result}");
            assert!(result["error"]["help"].as_str().unwrap().contains("run"), "{result}");
        });
    }
}

#[test]
fn the_gate_of_today_is_asked_before_the_new_files_are_published() {
    let project = tiny();
    project.replace(CONTRACT, "mustBeGreaterThan: 0", "mustBeGreaterThan: 5000");
    assert_head_stays(&project, || {
        let result = compact(&project, 80);
        assert_eq!(result["error"]["kind"], "QualityFailed", "{result}");
        assert!(result["error"]["help"].as_str().unwrap().contains("the version before stays"), "{result}");
    });
    assert_eq!(decisions(&project), ["published", "quarantined"]);
}

fn table(arena: &Arena) -> LakeTable {
    arena.block_on(arena.lake.table(&"clean.t".parse().unwrap())).unwrap().unwrap()
}

/// The head's epoch, how many files it has, and their rows in order, every byte verified.
fn head(arena: &Arena) -> (u64, usize, Vec<String>) {
    let window: PartitionWindow = WINDOW.parse().unwrap();
    let table = table(arena);
    let head = arena.block_on(table.require_head(&window)).unwrap();
    let read = |file| rows(&arena.block_on(table.get_verified(file)).unwrap());
    (head.epoch.get(), head.files.len(), head.files.iter().flat_map(read).collect())
}

/// Publishes a version in small files, under a contract that then asks for large ones.
fn fragment(arena: &Arena, version: u64) {
    set_size(&arena.project, Some("2KiB"));
    arena.produce(&format!("raw/t/{WINDOW}/a.csv"), raw(version).into_bytes());
    arena.run(&[&RUN[..], &["--force"]].concat()).expect(0);
    set_size(&arena.project, None);
}

#[test]
fn a_lake_on_s3_is_compacted_as_one_on_local_disk() {
    for arena in [Arena::local(Tiny::default().project()), Arena::s3(Tiny::default().project())] {
        fragment(&arena, 1);
        let (epoch, files, before) = head(&arena);
        assert!(epoch == 1 && files > 5, "{}: {files} files", arena.name);
        let result = arena.run(&COMPACT).expect(0).json();
        assert_eq!(result["windows"][0]["status"], "published", "{}", arena.name);
        assert_eq!(head(&arena), (2, 1, before), "{}", arena.name);
        assert_eq!(arena.run(&RUN).expect(0).json()["counts"]["skip"], 1, "{}", arena.name);
        assert_eq!(arena.run(&COMPACT).expect(0).json()["windows"][0]["status"], "unchanged", "{}", arena.name);
    }
}

fn start(arena: &Arena, arguments: &[&str]) -> Child {
    arena.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// How long a compaction takes here and now, so that signals strike all over it.
#[expect(clippy::disallowed_methods, reason = "when signals strike is no part of what is asserted")]
fn milliseconds_of_a_compaction(arena: &Arena) -> u64 {
    fragment(arena, 0);
    let started = std::time::Instant::now();
    arena.run(&COMPACT).expect(0);
    u64::try_from(started.elapsed().as_millis()).unwrap() + 20
}

#[test]
fn a_compaction_that_is_stopped_anywhere_leaves_one_whole_version() {
    let arena = Arena::local(Tiny::default().project());
    let mut random = Seeded(0xc0ac_7ed5_0f11_a10f);
    let longest = milliseconds_of_a_compaction(&arena);
    let (mut killed, mut stopped) = (0, 0);
    for round in 1..=12 {
        fragment(&arena, round);
        let (before, files, expected) = head(&arena);
        assert!(files > 5);
        let child = start(&arena, &COMPACT);
        thread::sleep(Duration::from_millis(random.below(longest)));
        let signal = if round % 2 == 0 { "-KILL" } else { "-TERM" };
        let id = child.id().to_string();
        // It may be over already.
        let _ = std::process::Command::new("kill").args([signal, &id]).stderr(Stdio::null()).status().unwrap();
        let code = exit_code(child.wait_with_output().unwrap().status);
        assert!([0, 128 + 9, 143].contains(&code), "round {round}: exit code {code}");
        killed += u64::from(code == 128 + 9);
        stopped += u64::from(code == 143);
        let (epoch, files, found) = head(&arena);
        assert!((epoch, files) == (before, files) || files == 1 && epoch == before + 1, "round {round}: epoch {epoch}");
        assert_eq!(found, expected, "round {round}: exit code {code}");
        if code == 143 {
            // What was told to stop gives its epoch up, unless that came before it could claim or say so.
            let again = arena.run(&COMPACT);
            assert!([0, 75].contains(&again.code), "round {round}: {}", again.stderr);
            assert_eq!(head(&arena).2, expected, "round {round}");
        }
    }
    assert!(killed + stopped > 2, "{killed} killed, {stopped} stopped");
    // What a kill left undecided is decided by whoever knows that it is dead; then nothing stands in the way.
    fragment(&arena, 99);
    let (_, _, expected) = head(&arena);
    arena.run(&["gc", "--delete", "--undecided-after", "0s"]).expect(0);
    arena.run(&COMPACT).expect(0);
    let (_, files, found) = head(&arena);
    assert_eq!((files, found), (1, expected));
}

#[test]
fn a_run_and_a_compaction_at_once_leave_what_the_run_computed() {
    let arena = Arena::local(Tiny::default().project());
    let mut random = Seeded(0x0dd5_ea5e_17ed_ca7e);
    let longest = milliseconds_of_a_compaction(&arena);
    let (mut refused, mut done) = (0, 0);
    for round in 1..=8 {
        fragment(&arena, 2 * round);
        let version = 2 * round + 1;
        arena.produce(&format!("raw/t/{WINDOW}/a.csv"), raw(version).into_bytes());
        let first = start(&arena, if round % 2 == 0 { &RUN[..] } else { &COMPACT[..] });
        thread::sleep(Duration::from_millis(random.below(longest)));
        let second = start(&arena, if round % 2 == 0 { &COMPACT[..] } else { &RUN[..] });
        let mut codes = [first, second].map(|child| exit_code(child.wait_with_output().unwrap().status));
        codes.rotate_left(usize::from(round % 2 == 1));
        assert_eq!(codes[0], 0, "round {round}: a run is turned away by nobody");
        assert!([0, 75].contains(&codes[1]), "round {round}: exit code {}", codes[1]);
        (refused, done) = (refused + u64::from(codes[1] == 75), done + u64::from(codes[1] == 0));
        let (_, _, found) = head(&arena);
        assert_eq!(found.len(), ROWS);
        assert!(found.iter().all(|row| row.contains(&format!("\"v{version} "))), "round {round}: {:?}", found.first());
    }
    assert!(done > 0, "{refused} refused, {done} done");
}
