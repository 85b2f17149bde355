//! A window larger than its memory limit: the same bytes by way of the disk, or an error that names the limit that would do. SQL is
//! given few rows, and makes many of them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::Project;
use crate::tiny::{HEADER, Tiny, WINDOW};

/// Rows that make about 25 MB of columns: more than a limit of 96 MiB leaves for them.
const ROWS: usize = 400_000;

fn project_of(rows: usize) -> Project {
    let project = Tiny::default().project();
    for file in 0..4 {
        let mut text = HEADER.to_owned();
        for row in (file..rows).step_by(4) {
            let n = (row * 7_919) % rows;
            let _ = writeln!(text, "{n},{}.50,2024-01-02,2024-01-02T03:04:05,name of row {n},0.5,true", n % 1000);
        }
        project.write(&format!("lake/raw/t/{WINDOW}/{file}.csv"), text);
    }
    project
}

fn stage(project: &Project, limit: &str) -> Value {
    let args = ["raw-to-clean", "--dataset", "t", "--window", WINDOW, "--memory-limit", limit, "--force"];
    project.run_json(&args).expect(0).json()
}

#[test]
fn a_window_beyond_its_limit_gives_the_same_bytes_by_way_of_the_disk() {
    let project = project_of(ROWS);
    let whole = stage(&project, "none");
    assert_eq!(whole["memory"]["spilled_bytes"], 0, "{whole}");
    assert_eq!(whole["memory"]["limit_bytes"], Value::Null);
    let small = stage(&project, "96MiB");
    assert!(small["memory"]["spilled_bytes"].as_u64().unwrap() > 1 << 20, "{small}");
    assert_eq!(small["memory"]["limit_bytes"], 96 << 20);
    assert!(small["memory"]["peak_bytes"].as_u64().unwrap() > 0);
    let staged = project.documents("staged");
    let contents: Vec<&Value> = staged.values().map(|document| &document["content_sha256"]).collect();
    assert_eq!(contents.len(), 2, "{staged:?}");
    assert_eq!(contents[0], contents[1]);
}

/// Every row with every other one: 250,000 rows of 60 bytes of 500.
const MANY_ROWS: &str =
    "SELECT a.n AS n, b.price AS price, a.day AS day, b.at AS at, a.name AS name, b.ratio AS ratio, a.ok AS ok,
    {window} AS t_date FROM clean_t AS a JOIN clean_t AS b ON a.day = b.day";

/// As many groups as there are pairs of rows; of 1,200 rows they take about 300 MB at once.
const MANY_GROUPS: &str = "SELECT CAST(COUNT(*) AS INT) AS n, MAX(price) AS price, MAX(day) AS day, MAX(at) AS at, MAX(k) AS name,
    MAX(ratio) AS ratio, MAX(ok) AS ok, {window} AS t_date
    FROM (SELECT MAX(a.price) AS price, MAX(a.day) AS day, MAX(a.at) AS at, a.name || ' and ' || b.name AS k, MAX(a.ratio) AS ratio,
        MAX(a.ok) AS ok
        FROM clean_t AS a JOIN clean_t AS b ON a.day = b.day GROUP BY a.name || ' and ' || b.name) AS s";

/// Every row with every other one, numbered.
const MANY_NUMBERS: &str =
    "SELECT CAST(ROW_NUMBER() OVER (ORDER BY s.name) AS INT) AS n, price, day, at, name, ratio, ok, {window} AS t_date
    FROM (SELECT b.price AS price, a.day AS day, b.at AS at, a.name || b.name AS name, b.ratio AS ratio, a.ok AS ok
        FROM clean_t AS a JOIN clean_t AS b ON a.day = b.day) AS s";

/// A project whose clean table is published for some windows, and whose curated one is not.
fn curated_of(rows: usize, windows: &[&str], sql: &str) -> Project {
    let project = Tiny { is_curated: true, ..Tiny::default() }.project();
    project.write("jobs/sql/t.sql", sql);
    for window in windows {
        let row = |n| format!("{n},{}.50,2024-01-02,2024-01-02T03:04:05,name of row {n},0.5,true\n", n % 1000);
        project.write(&format!("lake/raw/t/{window}/t.csv"), format!("{HEADER}{}", (0..rows).map(row).collect::<String>()));
        let stage = |verb: &str, more: &[&str]| {
            project.run(&[&[verb, "--dataset", "t", "--window", window], more].concat()).expect(0);
        };
        stage("raw-to-clean", &[]);
        stage("check", &["--layer", "clean"]);
        stage("publish", &["--layer", "clean"]);
    }
    project
}

fn curate(project: &Project, limit: &str) -> crate::support::Out {
    project.run_json(&["clean-to-curated", "--dataset", "t", "--window", WINDOW, "--memory-limit", limit, "--force"])
}

#[test]
fn a_result_beyond_the_limit_is_the_same_by_way_of_the_disk() {
    let project = curated_of(500, &[WINDOW], MANY_ROWS);
    assert_eq!(curate(&project, "none").expect(0).json()["memory"]["spilled_bytes"], 0);
    let small = curate(&project, "96MiB").expect(0).json();
    assert!(small["memory"]["spilled_bytes"].as_u64().unwrap() > 10 << 20, "{small}");
    let staged = project.documents("staged");
    let contents: Vec<&Value> =
        staged.iter().filter(|(key, _)| key.contains("curated")).map(|(_, document)| &document["content_sha256"]).collect();
    assert_eq!(contents.len(), 2, "{staged:?}");
    assert_eq!(contents[0], contents[1]);
}

#[test]
fn a_query_beyond_the_limit_names_the_limit_that_would_do_and_leaves_nothing_visible() {
    let project = curated_of(1_200, &[WINDOW], MANY_GROUPS);
    let out = curate(&project, "128MiB").expect(71);
    let error = &out.json()["error"];
    assert_eq!(error["kind"], "OutOfMemory", "{error}");
    let would_do = error["context"]["would_do_mib"].as_str().unwrap();
    let is_told = error["message"].as_str().unwrap().contains("the limit is 128 MiB");
    assert!(is_told && out.stderr.contains(&format!("--memory-limit {would_do}MiB")), "{}", out.stderr);
    assert!(project.tree("lake/curated").is_empty());
    curate(&project, "none").expect(0);
}

#[test]
fn a_check_beyond_the_limit_is_out_of_memory_and_not_a_refusal() {
    let check = "    quality:
      - {id: pairs, type: sql, mustBe: 0, query: \"SELECT count(*) FROM (SELECT a.name || b.name AS k, max(a.n) AS n FROM {object} AS a JOIN {object} AS b ON a.day = b.day GROUP BY a.name || b.name) AS s WHERE n < 0\"}
";
    let project = curated_of(1_200, &[WINDOW], "SELECT n, price, day, at, name, ratio, ok, {window} AS t_date FROM clean_t");
    project.replace("schemas/t.curated.odcs.yaml", "    quality:\n", check);
    curate(&project, "none").expect(0);
    let check =
        |limit| project.run_json(&["check", "--dataset", "t", "--layer", "curated", "--window", WINDOW, "--memory-limit", limit]);
    assert_eq!(check("96MiB").expect(71).json()["error"]["kind"], "OutOfMemory");
    assert!(project.documents("check").keys().all(|key| !key.contains("curated")), "no answer is no refusal");
    check("none").expect(0);
}

#[test]
fn windows_that_do_not_fit_together_are_computed_one_by_one() {
    let windows = ["2024-01-02", "2024-01-03", "2024-01-04"];
    let project = curated_of(800, &windows, MANY_NUMBERS);
    let range = ["--from", "2024-01-02", "--to", "2024-01-05", "--concurrency", "3"];
    let out = project.run(&[&["run", "--dataset", "t", "--memory-limit", "256MiB"], &range[..]].concat()).expect(0);
    assert!(out.stderr.contains("ran out of memory beside other windows"), "{}", out.stderr);
    assert_eq!(project.tree("lake/curated").len(), windows.len());
}

#[test]
fn limits_that_cannot_be_are_refused_with_what_can() {
    let project = Tiny::default().project();
    for limit in ["12", "1MiB", "lots", "2 GiB", "1TiB", "99999999999GiB", "512M"] {
        let out = project.run(&["plan", "--dataset", "t", "--window", WINDOW, "--memory-limit", limit]).expect(64);
        let is_told = out.stderr.contains("512MiB or 2GiB, or none") || out.stderr.contains("which the program itself needs");
        assert!(is_told && out.stderr.contains("--memory-limit"), "{limit}: {}", out.stderr);
    }
}
