//! A check that is missing, misspelt or broken is a failure, never a skip; profiles change what they name and nothing else.

use serde_json::Value;

use crate::support::{Project, files, findings, rows};
use crate::tiny::{self, Tiny, raw_file};

const FOLDER: &str = "quality/checks/flights/clean";
const WINDOW: [&str; 4] = ["--dataset", "flights", "--window", "2013-01-02"];

/// Lint and run both refuse the project, with the same findings; nothing is written.
#[track_caller]
fn assert_refused(project: &Project, code: &str, place: &str) -> Value {
    let lint = project.run_json(&["contract", "lint"]).expect(78).json();
    let found = lint["findings"].as_array().unwrap();
    let at = |finding: &Value| {
        let file = finding["file"].as_str().unwrap();
        format!("{file}:{}:{}", finding["line"], finding["column"])
    };
    let listed: Vec<String> =
        found.iter().map(|finding| format!("{} {}", finding["code"].as_str().unwrap(), at(finding))).collect();
    assert_eq!(listed, [format!("{code} {place}")], "{lint}");
    let run = project.run_json(&[&["run"], WINDOW.as_slice()].concat()).expect(78).json();
    assert_eq!(run["error"]["kind"], "Misconfigured");
    assert!(findings(&run["error"]).contains(&format!("{code} {place}")), "{run}");
    assert!(!project.path("lake/store").exists(), "nothing is claimed");
    found[0].clone()
}

fn with_check(name: &str, sql: impl AsRef<[u8]>) -> Project {
    let project = Project::of_flights();
    project.write(&format!("{FOLDER}/{name}.sql"), sql);
    project
}

#[test]
fn a_listed_check_without_a_file_is_refused() {
    let project = Project::of_flights();
    std::fs::remove_file(project.path(&format!("{FOLDER}/destination_is_not_origin.sql"))).unwrap();
    let finding = assert_refused(&project, "W0606", "schemas/flights.clean.odcs.yaml:26:74");
    assert!(finding["title"].as_str().unwrap().contains("destination_is_not_origin"), "{finding}");
}

#[test]
fn a_check_file_that_is_not_listed_is_refused() {
    let project = with_check("new_check", "SELECT * FROM {object} WHERE dest IS NULL\n");
    assert_refused(&project, "W0606", &format!("{FOLDER}/new_check.sql:0:0"));
}

#[test]
fn a_misspelt_column_is_refused_with_its_place() {
    let project = with_check("destination_is_not_origin", "SELECT *\nFROM {object}\nWHERE dest = orign\n");
    let finding = assert_refused(&project, "W0703", &format!("{FOLDER}/destination_is_not_origin.sql:3:14"));
    assert!(finding["help"].as_str().unwrap().contains("`origin`"), "{finding}");
}

#[test]
fn a_syntax_error_is_refused_with_its_place() {
    let project = with_check("destination_is_not_origin", "SELECT *\nFROM {object}\nWHERE dest = = origin\n");
    assert_refused(&project, "W0701", &format!("{FOLDER}/destination_is_not_origin.sql:3:14"));
}

#[test]
fn an_empty_check_is_refused() {
    for text in ["", "-- nothing\n"] {
        let project = with_check("destination_is_not_origin", text);
        let lint = project.run_json(&["contract", "lint"]).expect(78);
        assert!(lint.stdout.contains("destination_is_not_origin.sql"), "{}", lint.stdout);
    }
}

#[test]
fn a_check_that_is_no_text_is_refused() {
    let project = with_check("destination_is_not_origin", b"SELECT * FROM {object} WHERE dest = '\xff'\n");
    for args in [&["contract", "lint"][..], &[&["run"], WINDOW.as_slice()].concat()] {
        let refused = project.run_json(args).expect(78).json();
        assert!(refused.to_string().contains("destination_is_not_origin.sql"), "{refused}");
    }
    assert!(!project.path("lake/store").exists());
}

#[test]
fn a_check_that_breaks_at_run_time_is_a_fail() {
    // Sound by its types, so that only the data can break it: a delay of -1 has no place in an unsigned number.
    let project =
        with_check("destination_is_not_origin", "SELECT * FROM {object} WHERE CAST(dep_delay AS INT UNSIGNED) > 100000\n");
    project.run_json(&["contract", "lint"]).expect(0);
    let run = project.run_json(&[&["run"], WINDOW.as_slice()].concat()).expect(80).json();
    assert_eq!(run["error"]["kind"], "QualityFailed");
    let text = findings(&run["error"]);
    assert!(text.contains("W0802 quality/checks/flights/clean/destination_is_not_origin.sql"), "{text}");
    project.assert_nothing_visible();
}

#[test]
fn a_profile_that_overrides_an_unknown_check_is_refused() {
    let project = Project::of_flights();
    project
        .write("quality/profiles/default.yaml", "version: 1\nname: default\nchecks:\n  flights_as_usuall: {severity: error}\n");
    let finding = assert_refused(&project, "W0606", "quality/profiles/default.yaml:4:3");
    assert!(finding["help"].as_str().unwrap().contains("flights_as_usual"), "{finding}");
}

#[test]
fn an_unknown_profile_is_refused_with_a_suggestion() {
    let refused =
        Project::of_flights().run_json(&[&["run", "--profile", "strickt"], WINDOW.as_slice()].concat()).expect(78).json();
    assert!(refused["error"]["help"].as_str().unwrap().contains("strict"), "{refused}");
}

#[test]
fn a_strict_profile_turns_a_warning_into_a_fail_and_back() {
    let project = Project::of_flights();
    project.replace("quality/profiles/strict.yaml", "mustBeBetween: [600, 1200]", "mustBeBetween: [944, 1200]");
    let strict = project.run_json(&[&["run", "--profile", "strict"], WINDOW.as_slice()].concat()).expect(80).json();
    let clean = &strict["windows"][0]["tables"][0];
    assert_eq!(clean["gate"]["failed_checks"], serde_json::json!(["flights_as_usual"]));
    assert_eq!(clean["gate"]["profile"], "strict");
    assert_eq!(strict["windows"][0]["tables"][1]["status"], "blocked");
    project.assert_nothing_visible();
    let default = project.run_json(&[&["run"], WINDOW.as_slice()].concat()).expect(0).json();
    assert_eq!(default["windows"][0]["tables"][0]["epoch"], 2);
    assert_eq!(project.view("curated/flights", "flight_date=2013-01-02").unwrap().len(), 943);
    // The profile is part of what a head was made with: the strict gate is asked again, and the head stays.
    project.run_json(&[&["run", "--profile", "strict"], WINDOW.as_slice()].concat()).expect(80);
    assert_eq!(project.view("curated/flights", "flight_date=2013-01-02").unwrap().len(), 943);
}

#[test]
fn a_failed_warning_is_reported_and_blocks_nothing() {
    let project = Project::of_flights();
    project.replace("schemas/flights.clean.odcs.yaml", "mustBeBetween: [400, 1500]", "mustBeBetween: [4000, 15000]");
    let run = project.run_json(&[&["run"], WINDOW.as_slice()].concat()).expect(0).json();
    let gate = &run["windows"][0]["tables"][0]["gate"];
    let failed: Vec<&Value> = gate["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == false).collect();
    assert_eq!(failed.len(), 1, "{gate}");
    assert_eq!(
        (&failed[0]["id"], &failed[0]["severity"], &failed[0]["observed"]),
        (&"flights_as_usual".into(), &"warning".into(), &"943".into())
    );
}

#[test]
fn classified_values_are_in_no_output_and_in_no_document() {
    const COLUMNS: &str = "
      - {name: n, logicalType: integer, logicalTypeOptions: {format: i32}, required: true}
      - {name: secret, logicalType: string, logicalTypeOptions: {maxLength: 12}, classification: confidential}
";
    let sound = "n,secret\n1,hunter2hunt\n";
    let damaged = [
        "n,secret\n1,hunter2hunt\nx,hunter2hunt\n",
        "n,secret\n1,hunter2hunter2\n",
        "n,secret\n1,hunter2,hunter2\n",
        "n,secret\n1,\"hunter2\n",
        "n,secret\n1,x\"hunter2\n",
        "n,secret\n1,hunter2\0\n",
        "n,secret\n1,x\rhunter2\n",
    ];
    for raw in [sound].into_iter().chain(damaged) {
        let project = Tiny { columns: COLUMNS, ..Tiny::default() }.project();
        project.replace(
            "schemas/t.clean.odcs.yaml",
            "    properties:",
            "      - {property: checks, vendor: windrow, value: [no_row]}\n    properties:",
        );
        project.write("quality/checks/t/clean/no_row.sql", "SELECT * FROM {object}\n");
        project.write(&raw_file("t.csv"), raw);
        let out = tiny::run(&project);
        assert!(matches!(out.code, 65 | 80), "{}", out.stderr);
        assert!(!out.stdout.contains("hunter2"), "{raw}: {}", out.stdout);
        assert!(!out.stderr.contains("hunter2"), "{raw}: {}", out.stderr);
        for folder in ["lake/quarantine", "lake/store/clean/t/ledger"] {
            for (key, file) in files(&project.path(folder)) {
                let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
                let shown = if key.ends_with(".parquet") { rejects(&project, folder, &key) } else { text };
                assert!(!shown.contains("hunter2"), "{raw}: {key}: {shown}");
            }
        }
    }
}

#[test]
fn engine_messages_about_classified_columns_hold_no_value() {
    const COLUMNS: &str = "
      - {name: n, logicalType: integer, logicalTypeOptions: {format: i32}, required: true}
      - {name: secret, logicalType: string, classification: confidential}
";
    let tiny = Tiny { columns: COLUMNS, is_curated: true, ..Tiny::default() };
    let derived = tiny.project();
    let (plain, computed) = ("i32}, required: true}", "i32}, required: true, transformLogic: CAST(secret AS INTEGER)}");
    derived.replace("schemas/t.clean.odcs.yaml", plain, computed);
    derived.write("jobs/sql/t.sql", "SELECT n, secret, {window} AS t_date FROM clean_t\n");
    let transformed = tiny.project();
    transformed.write("jobs/sql/t.sql", "SELECT CAST(secret AS INTEGER) AS n, secret, {window} AS t_date FROM clean_t\n");
    let check = tiny.project();
    check.write("jobs/sql/t.sql", "SELECT n, secret, {window} AS t_date FROM clean_t\n");
    check.replace(
        "schemas/t.clean.odcs.yaml",
        "    properties:",
        "      - {property: checks, vendor: windrow, value: [cast]}\n    properties:",
    );
    check.write("quality/checks/t/clean/cast.sql", "SELECT * FROM {object} WHERE CAST(secret AS INTEGER) > 1\n");
    for (project, code) in [(derived, 65), (transformed, 78), (check, 80)] {
        project.write(&raw_file("t.csv"), "n,secret\n1,hunter2\n");
        let out = tiny::run(&project).expect(code);
        assert!(out.stderr.contains("is not shown"), "{}", out.stderr);
        assert!(!out.stderr.contains("hunter2") && !out.stdout.contains("hunter2"), "{} {}", out.stderr, out.stdout);
        for (key, file) in files(&project.path("lake/quarantine")) {
            assert!(!String::from_utf8_lossy(&std::fs::read(file).unwrap()).contains("hunter2"), "{key}");
        }
    }
}

fn rejects(project: &Project, folder: &str, key: &str) -> String {
    rows(&std::fs::read(project.path(&format!("{folder}/{key}"))).unwrap()).join("\n")
}
