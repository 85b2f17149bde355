//! A week of flights: publish, do nothing, quarantine one window, heal exactly that one, and always the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::{Value, json};

use crate::support::{Out, Project, files, gzip};
use crate::tiny::{self, HEADER, PARTITION, ROW, Tiny, WINDOW, raw_file};

const WEEK: [&str; 6] = ["--dataset", "flights", "--from", "2013-01-01", "--to", "2013-01-08"];
const ROWS: [usize; 7] = [842, 943, 914, 915, 720, 832, 933];
const RAW: &str = "lake/raw/flights/2013/01/02/JFK.csv";

fn run_week(project: &Project) -> Out {
    project.run_json(&[&["run"], WEEK.as_slice()].concat())
}

fn partition(day: usize) -> String {
    format!("flight_date=2013-01-{day:02}")
}

/// All that a reader or a later run could see, by path.
fn visible(project: &Project) -> BTreeMap<String, String> {
    ["lake/clean", "lake/curated", "lake/store"].iter().flat_map(|folder| project.tree(folder)).collect()
}

fn without_window(tree: &BTreeMap<String, String>, window: &str) -> BTreeMap<String, String> {
    tree.iter().filter(|(key, _)| !key.contains(window)).map(|(key, sha)| (key.clone(), sha.clone())).collect()
}

fn assert_week_is_published(project: &Project) {
    for (index, expected) in ROWS.iter().enumerate() {
        for table in ["clean/flights", "curated/flights"] {
            let rows = project.view(table, &partition(index + 1)).unwrap();
            assert_eq!(rows.len(), *expected, "{table} {}", partition(index + 1));
        }
    }
}

#[test]
fn a_week_publishes_then_one_broken_window_is_quarantined_and_healed_alone() {
    let project = Project::of_flights();
    let raw = project.tree("lake/raw");
    let result = run_week(&project).expect(0).json();
    assert_eq!(
        result["counts"],
        json!({"ok": 7, "skip": 0, "quarantined": 0, "fail": 0, "left": 0, "rows": ROWS.iter().sum::<usize>()})
    );
    assert_week_is_published(&project);
    project.keys();

    let published = visible(&project);
    let again = project.run(&[&["run"], WEEK.as_slice()].concat()).expect(0);
    assert!(again.stdout.starts_with("Done. OK=0 SKIP=7 QUARANTINED=0 FAIL=0 ROWS=6099"), "{}", again.stdout);
    assert_eq!(visible(&project), published, "a second run changes nothing");
    assert!(project.tree("lake/quarantine").is_empty());

    let sound = fs::read(project.path(RAW)).unwrap();
    let line = String::from_utf8(sound.clone()).unwrap().lines().nth(2).unwrap().to_owned();
    project.replace(RAW, &line, &line.replacen("2013,", "twenty13,", 1));
    let broken = project.tree("lake/raw");
    let failed = project.run(&[&["run"], WEEK.as_slice()].concat()).expect(65);
    assert!(failed.stdout.starts_with("Done. OK=0 SKIP=6 QUARANTINED=1 FAIL=0 ROWS=5156"), "{}", failed.stdout);
    for part in
        ["lake/raw/flights/2013/01/02/JFK.csv:3:1", "twenty13", "expected integer (i16)", "schemas/flights.raw.odcs.yaml:31:22"]
    {
        assert!(failed.stderr.contains(part), "{part} in {}", failed.stderr);
    }
    assert_eq!(project.tree("lake/clean"), subtree(&published, "lake/clean"), "heads stay");
    assert_eq!(project.tree("lake/curated"), subtree(&published, "lake/curated"), "heads stay");
    assert_eq!(without_window(&visible(&project), "2013-01-02"), without_window(&published, "2013-01-02"));
    assert_eq!(data_of(&visible(&project)), data_of(&published), "no data was staged");
    assert_eq!(project.tree("lake/raw"), broken);

    fs::write(project.path(RAW), &sound).unwrap();
    let healed = project.run_json(&["replay", "--dataset", "flights"]).expect(0).json();
    assert_eq!(healed["windows"].as_array().unwrap().len(), 1);
    assert_eq!(healed["windows"][0]["window"], "2013-01-02");
    assert_eq!(project.tree("lake/clean"), subtree(&published, "lake/clean"), "a replay makes the same bytes");
    assert_eq!(project.tree("lake/curated"), subtree(&published, "lake/curated"), "a replay makes the same bytes");
    assert_eq!(without_window(&visible(&project), "2013-01-02"), without_window(&published, "2013-01-02"));
    assert_week_is_published(&project);
    let nothing = project.run(&["replay", "--dataset", "flights"]).expect(0);
    assert!(nothing.stderr.contains("nothing to replay"), "{}", nothing.stderr);
    assert_eq!(project.tree("lake/raw"), raw, "raw is as it was");
    project.keys();
}

fn subtree(tree: &BTreeMap<String, String>, prefix: &str) -> BTreeMap<String, String> {
    tree.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, sha)| (key.clone(), sha.clone())).collect()
}

fn data_of(tree: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    tree.iter().filter(|(key, _)| key.contains("/data/")).map(|(key, sha)| (key.clone(), sha.clone())).collect()
}

#[test]
fn two_lakes_of_the_same_raw_files_hold_the_same_bytes() {
    let parts = |project: &Project| -> Vec<(String, String)> {
        let data = data_of(&project.tree("lake/store"));
        // Attempts differ from run to run; table, window and the part's own name do not.
        let named = |key: &String| {
            let segments: Vec<&str> = key.split('/').collect();
            [&segments[2..6], &segments[7..]].concat().join("/")
        };
        let mut parts: Vec<(String, String)> = data.iter().map(|(key, sha)| (named(key), sha.clone())).collect();
        parts.sort();
        parts
    };
    let contents = |project: &Project| -> Vec<Value> {
        project.documents("staged").into_values().map(|staged| staged["content_sha256"].clone()).collect()
    };
    let (a, b) = (Project::of_flights(), Project::of_flights());
    for project in [&a, &b] {
        project.run_json(&["run", "--dataset", "flights", "--from", "2013-01-01", "--to", "2013-01-04"]).expect(0);
    }
    assert_eq!(contents(&a).len(), 6);
    assert_eq!(contents(&a), contents(&b));
    assert_eq!(parts(&a).len(), 6);
    assert_eq!(parts(&a), parts(&b));
    let once = visible(&a);
    a.run_json(&["run", "--dataset", "flights", "--window", "2013-01-01", "--force"]).expect(0);
    assert_eq!(subtree(&visible(&a), "lake/clean"), subtree(&once, "lake/clean"), "a forced run makes the same bytes");
    assert_eq!(a.documents("outcome").len(), 8);
}

#[test]
fn a_raw_folder_that_is_read_only_is_enough() {
    let project = Tiny { is_curated: true, ..Tiny::default() }.project();
    project.write(&raw_file("a.csv"), format!("{HEADER}{ROW}"));
    project.write(&raw_file("b.csv.gz"), gzip(format!("{HEADER}2,,,,,,\n").as_bytes()));
    let raw = project.path("lake/raw");
    let modes = |folder: u32, file: u32| {
        for folder_path in [raw.clone(), raw.join("t"), raw.join("t").join(WINDOW)] {
            fs::set_permissions(folder_path, fs::Permissions::from_mode(folder)).unwrap();
        }
        for path in files(&raw).into_values() {
            fs::set_permissions(path, fs::Permissions::from_mode(file)).unwrap();
        }
    };
    // Root may write in spite of any mode, so the times of the last change must show that nobody did.
    let changed = || -> Vec<_> {
        let mut paths: Vec<_> = files(&raw).into_values().collect();
        paths.extend([raw.clone(), raw.join("t"), raw.join("t").join(WINDOW)]);
        paths
            .iter()
            .map(|path| fs::metadata(path).unwrap())
            .map(|metadata| (metadata.mtime(), metadata.mtime_nsec(), metadata.ino()))
            .collect()
    };
    let before = (project.tree("lake/raw"), changed());
    modes(0o555, 0o444);
    tiny::run(&project).expect(0);
    project.run_json(&["run", "--dataset", "t", "--window", WINDOW, "--force"]).expect(0);
    assert_eq!((project.tree("lake/raw"), changed()), before);
    modes(0o755, 0o644);
    assert_eq!(project.view("curated/t", PARTITION).unwrap().len(), 2);
}

#[test]
fn stages_one_by_one_give_what_run_gives() {
    let (whole, staged) = (Project::of_flights(), Project::of_flights());
    let window = ["--dataset", "flights", "--window", "2013-01-03"];
    whole.run_json(&[&["run"], window.as_slice()].concat()).expect(0);

    let stage = |verb: &[&str]| staged.run_json(&[verb, window.as_slice()].concat());
    let input = stage(&["check-input"]).expect(0).json();
    assert_eq!(input["files"]["raw.flights"].as_array().unwrap().len(), 3);
    assert!(!staged.path("lake/store").exists(), "check-input writes nothing");
    for (transform, layer) in [("raw-to-clean", "clean"), ("clean-to-curated", "curated")] {
        let result = stage(&[transform]).expect(0).json();
        assert_eq!((&result["status"], &result["epoch"], &result["rows_out"]), (&json!("staged"), &json!(1), &json!(914)));
        assert!(!staged.path(&format!("lake/{layer}")).exists(), "staged is not visible");
        let refused = stage(&["publish", "--layer", layer]).expect(78).json();
        assert_eq!(refused["error"]["kind"], "Misconfigured", "{refused}");
        assert!(!staged.path(&format!("lake/{layer}")).exists(), "not checked is not visible");
        let check = stage(&["check", "--layer", layer]).expect(0).json();
        assert_eq!((&check["status"], &check["failed_checks"]), (&json!("PASS"), &json!([])));
        assert!(check["run_id"].as_str().unwrap().starts_with("r-"));
        let publish = stage(&["publish", "--layer", layer]).expect(0).json();
        assert_eq!(publish["status"], "published");
    }
    assert_eq!(staged.tree("lake/clean"), whole.tree("lake/clean"));
    assert_eq!(staged.tree("lake/curated"), whole.tree("lake/curated"));
    let unchanged = stage(&["raw-to-clean"]).expect(0).json();
    assert_eq!(unchanged["status"], "unchanged");
}

#[test]
fn a_fail_is_a_result_of_check_and_an_error_of_publish() {
    let project = Tiny { row_count: "mustBeGreaterThan: 5", ..Tiny::default() }.project();
    project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}"));
    let window = ["--dataset", "t", "--window", WINDOW];
    project.run_json(&[&["raw-to-clean"], window.as_slice()].concat()).expect(0);
    let gate = [window.as_slice(), &["--layer", "clean", "--run-id", "run-1"]].concat();
    let check = project.run_json(&[&["check"], gate.as_slice()].concat()).expect(0).json();
    assert_eq!(
        (&check["status"], &check["failed_checks"], &check["run_id"]),
        (&json!("FAIL"), &json!(["some_rows"]), &json!("run-1"))
    );
    let observed = &check["checks"][0];
    assert_eq!(
        (&observed["observed"], &observed["expected"], &observed["severity"]),
        (&json!("1"), &json!("> 5"), &json!("error"))
    );
    let publish = project.run_json(&[&["publish"], gate.as_slice()].concat()).expect(80).json();
    assert_eq!(publish["error"]["error"], "Windrow.QualityFailed");
    project.assert_nothing_visible();
    let outcomes = project.documents("outcome");
    assert_eq!(outcomes.values().map(|outcome| &outcome["decision"]).collect::<Vec<_>>(), ["quarantined"]);
    let again = project.run_json(&[&["publish"], gate.as_slice(), &["--epoch", "1"]].concat()).expect(80).json();
    assert_eq!(again["error"]["kind"], "QualityFailed", "a decision stays what it is");
    project.assert_nothing_visible();
}

#[test]
fn missing_input_is_no_quarantine_and_no_empty_window() {
    let project = Tiny::default().project();
    let result = tiny::run(&project).expect(78).json();
    assert!(result["error"]["message"].as_str().unwrap().contains("lake does not exist"), "{result}");
    fs::create_dir(project.path("lake")).unwrap();
    let result = tiny::run(&project).expect(66).json();
    assert_eq!(result["error"]["error"], "Windrow.InputMissing");
    assert_eq!(result["windows"][0]["tables"][0]["status"], "failed");
    assert!(project.tree("lake").is_empty(), "{:?}", project.tree("lake"));
}

#[test]
fn a_removed_raw_file_leaves_the_published_window_as_it_was() {
    let project = Tiny::default().project();
    project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}"));
    tiny::run(&project).expect(0);
    let published = visible(&project);
    fs::remove_file(project.path(&raw_file("t.csv"))).unwrap();
    tiny::run(&project).expect(66);
    assert_eq!(visible(&project), published);
}

#[test]
fn a_view_that_was_removed_or_overwritten_is_healed_by_the_next_run() {
    let project = Tiny::default().project();
    project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}"));
    tiny::run(&project).expect(0);
    let published = visible(&project);
    let view = project.path(&format!("lake/clean/t/{PARTITION}/part-00000.parquet"));
    fs::remove_file(&view).unwrap();
    tiny::run(&project).expect(0);
    assert_eq!(visible(&project), published);
    fs::remove_file(&view).unwrap();
    fs::write(&view, "not ours").unwrap();
    tiny::run(&project).expect(0);
    assert_eq!(visible(&project), published);
}

#[test]
fn publishing_twice_is_publishing_once() {
    let project = Tiny::default().project();
    project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}"));
    tiny::run(&project).expect(0);
    let published = visible(&project);
    project.run_json(&["publish", "--dataset", "t", "--window", WINDOW, "--layer", "clean", "--epoch", "1"]).expect(0);
    assert_eq!(visible(&project), published);
}

#[test]
fn a_damaged_published_file_is_never_read_and_is_made_anew() {
    let project = Tiny { is_curated: true, ..Tiny::default() }.project();
    project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}"));
    tiny::run(&project).expect(0);
    let curated = project.tree("lake/curated");
    let (_, part) = files(&project.path("lake/store/clean/t/data")).into_iter().next().unwrap();
    let mut bytes = fs::read(&part).unwrap();
    bytes[10] ^= 1;
    fs::write(&part, bytes).unwrap();
    let result = tiny::run(&project).expect(70).json();
    assert_eq!(result["error"]["kind"], "Internal", "nobody can correct a raw file: {result}");
    assert_eq!(project.tree("lake/curated"), curated);
    assert_eq!(result["windows"][0]["tables"][1]["status"], "failed", "there is no epoch to put aside");
    assert!(result["error"]["help"].as_str().unwrap().contains("--force"), "{result}");
    project.run_json(&["run", "--dataset", "t", "--window", WINDOW, "--force"]).expect(0);
    assert_eq!(project.tree("lake/curated"), curated);
}

#[test]
fn late_files_are_computed_ignored_or_refused_as_declared() {
    let policies =
        [("rerun", 0, "published", "run", 2), ("ignore", 0, "unchanged", "skip", 1), ("fail", 65, "failed", "fail", 1)];
    for (late, code, status, planned, rows) in policies {
        let project = Tiny::default().project();
        let policy = format!("      - {{property: late, vendor: windrow, value: {late}}}\n    properties:");
        project.replace("schemas/t.raw.odcs.yaml", "    properties:", &policy);
        project.write(&raw_file("a.csv"), format!("{HEADER}{ROW}"));
        tiny::run(&project).expect(0);
        project.write(&raw_file("b.csv"), format!("{HEADER}2,,,,,,\n"));
        let plan = project.run_json(&["plan", "--dataset", "t", "--window", WINDOW]).expect(0).json();
        assert_eq!(plan["steps"][0]["action"], planned, "{plan}");
        assert!(plan["steps"][0]["why"].as_str().unwrap().starts_with("raw files changed: 1 new"), "{plan}");
        let result = tiny::run(&project).expect(code).json();
        assert_eq!(result["windows"][0]["tables"][0]["status"], status, "{late}");
        assert_eq!(project.view("clean/t", PARTITION).unwrap().len(), rows, "{late}");
        let status = project.run_json(&["status"]).expect(0).json();
        assert_eq!(status["windows"][0]["stale"], late != "rerun", "{late}");
        project.run_json(&["run", "--dataset", "t", "--window", WINDOW, "--force"]).expect(0);
        assert_eq!(project.view("clean/t", PARTITION).unwrap().len(), 2, "{late}");
    }
}

/// Eight days; the raw file of the third breaks its contract, the sixth has none.
fn eight_days() -> crate::support::Project {
    let project = Tiny { is_curated: true, ..Tiny::default() }.project();
    for day in [2, 3, 4, 5, 6, 8, 9] {
        let row = if day == 4 { "two,,,,,,\n".to_owned() } else { format!("{day},,,,,,\n") };
        project.write(&format!("lake/raw/t/2024-01-{day:02}/t.csv"), format!("{HEADER}{row}"));
    }
    project
}

const EIGHT_DAYS: [&str; 7] = ["run", "--dataset", "t", "--from", "2024-01-02", "--to", "2024-01-10"];

#[test]
fn windows_at_the_same_time_give_what_windows_in_turn_give() {
    let run = |at_once: &[&str]| {
        let project = eight_days();
        let result = project.run_json(&[&EIGHT_DAYS[..], at_once].concat()).expect(65).json();
        (project, result)
    };
    let (in_turn, first) = run(&["--concurrency", "1"]);
    let story = |result: &serde_json::Value| -> Vec<(String, String)> {
        let windows = result["windows"].as_array().unwrap();
        let tables = windows.iter().flat_map(|window| window["tables"].as_array().unwrap());
        tables.map(|table| (format!("{} {}", table["table"], table["window"]), table["status"].to_string())).collect()
    };
    assert_eq!(
        (&first["counts"]["ok"], &first["counts"]["quarantined"], &first["counts"]["fail"]),
        (&6.into(), &1.into(), &1.into())
    );
    // Small windows several in a place, places that are too small to be divided, and a place for each.
    for flags in [&[][..], &["--memory-limit", "300MiB"], &["--concurrency", "8"]] {
        let (at_once, second) = run(flags);
        assert_eq!(story(&first), story(&second), "results are in the windows' order");
        assert_eq!(first["counts"], second["counts"]);
        for layer in ["lake/clean", "lake/curated"] {
            assert_eq!(in_turn.tree(layer), at_once.tree(layer), "byte for byte the same tables");
            assert_eq!(at_once.tree(layer).len(), 6);
        }
    }
}

#[test]
fn a_plan_says_what_a_run_does_and_touches_nothing() {
    let project = eight_days();
    let plan = || project.run_json(&[&["plan"], &EIGHT_DAYS[1..]].concat()).expect(0).json();
    let before = project.tree("lake");
    let first = plan();
    assert_eq!(project.tree("lake"), before);
    assert_eq!(first["counts"], serde_json::json!({"run": 14, "skip": 0, "wait": 2, "fail": 0}));
    assert_eq!((first["windows_to_run"].as_array().unwrap().len(), first["windows_waiting"].as_array().unwrap().len()), (7, 1));
    project.run_json(&EIGHT_DAYS).expect(65);
    let second = plan();
    assert_eq!(second["counts"], serde_json::json!({"run": 2, "skip": 12, "wait": 2, "fail": 0}));
    let broken = &second["steps"].as_array().unwrap().iter().find(|step| step["action"] == "run").unwrap()["window"];
    assert_eq!(second["windows_to_run"], serde_json::json!([broken]), "once, though two tables run");
    project.replace("jobs/sql/t.sql", "SELECT n", "SELECT n + 1 AS n");
    let third = plan();
    let steps: Vec<&str> = third["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["action"] == "run")
        .map(|step| step["why"].as_str().unwrap())
        .collect();
    assert_eq!(steps.iter().filter(|why| **why == "contract, SQL, checks or profile changed").count(), 6, "{steps:?}");
    let none = project.run_json(&["plan", "--dataset", "u", "--window", WINDOW]).expect(78).json();
    assert!(none["error"]["help"].as_str().unwrap().contains('t'), "{none}");
}
