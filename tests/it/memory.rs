//! A window larger than its memory limit: the same bytes by way of the disk, or an error that names the limit that would do.

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

#[test]
fn limits_that_cannot_be_are_refused_with_what_can() {
    let project = Tiny::default().project();
    for limit in ["12", "1MiB", "lots", "2 GiB", "1TiB", "99999999999GiB", "512M"] {
        let out = project.run(&["plan", "--dataset", "t", "--window", WINDOW, "--memory-limit", limit]).expect(64);
        let is_told = out.stderr.contains("512MiB or 2GiB, or none") || out.stderr.contains("which the program itself needs");
        assert!(is_told && out.stderr.contains("--memory-limit"), "{limit}: {}", out.stderr);
    }
}
