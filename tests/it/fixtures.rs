//! Every case of `tests/fixtures` stops where its `expect.txt` says, with evidence and without a head.

use std::fs;
use std::path::Path;

use serde_json::Value;
use windrow_core::Code;

use crate::support::{Project, copy_tree, files, repository};

/// One line of an `expect.txt`.
struct Expected {
    code: String,
    file: String,
    line: Option<u64>,
    column: Option<u64>,
    /// The property of a raw finding, or the id of a check.
    subject: Option<String>,
}

fn expected(text: &str) -> Expected {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut place = words[1].split(':');
    let file = place.next().unwrap().to_owned();
    let mut number = || place.next().map(|number| number.parse().unwrap());
    let (line, column) = (number(), number());
    let subject = words.get(2..).and_then(|rest| rest.last()).map(|word| (*word).to_owned());
    Expected { code: words[0].to_owned(), file, line, column, subject }
}

fn window_of(dataset: &str) -> &'static str {
    if dataset == "flights" { "2013-01-02" } else { "2019-03-12" }
}

/// Runs a case, and returns what is alerted.
fn assert_case(dataset: &str, folder: &Path) -> String {
    let name = folder.display();
    let expected = expected(&fs::read_to_string(folder.join("expect.txt")).unwrap());
    let kind = Code::ALL.iter().find(|code| code.as_str() == expected.code).unwrap().kind();
    let project = Project::of_repository();
    copy_tree(&folder.join("raw"), &project.path("lake/raw"));
    let raw = project.tree("lake/raw");

    let out = project.run_json(&["run", "--dataset", dataset, "--window", window_of(dataset)]);
    let result = out.json();
    let tables = result["windows"][0]["tables"].as_array().unwrap();
    let failed = tables.iter().find(|table| table["error"]["kind"] == kind.name()).unwrap_or_else(|| panic!("{name}: {result}"));
    assert_eq!(failed["status"], "quarantined", "{name}");
    assert_eq!(failed["error"]["exit_code"], kind.exit_code(), "{name}");
    let first = tables.iter().find(|table| table["error"].is_object()).unwrap();
    assert_eq!(out.code, i32::try_from(first["error"]["exit_code"].as_i64().unwrap()).unwrap(), "{name}");

    let findings = failed["error"]["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| is_expected(&expected, finding)), "{name}: {findings:?}");
    let causes = match &failed["gate"] {
        Value::Null => findings.len(),
        gate => gate["failed_checks"].as_array().unwrap().len(),
    };
    assert_eq!(causes, 1, "{name}: one root cause, {failed}");

    assert_nothing_of(&project, failed["table"].as_str().unwrap());
    assert_eq!(project.tree("lake/raw"), raw, "{name}");
    format!("{dataset}/{}: {}", folder.file_name().unwrap().display(), result["alert"].as_str().unwrap())
}

fn is_expected(expected: &Expected, finding: &Value) -> bool {
    let file = finding["file"].as_str().unwrap();
    let title = finding["title"].as_str().unwrap();
    finding["code"] == expected.code.as_str()
        && file.strip_prefix("lake/").unwrap_or(file) == expected.file
        && expected.line.is_none_or(|line| finding["line"] == line)
        && expected.column.is_none_or(|column| finding["column"] == column)
        && expected.subject.as_ref().is_none_or(|subject| title.contains(&format!("`{subject}`")))
}

/// Evidence is there; the refused table has no view and no published epoch.
fn assert_nothing_of(project: &Project, table: &str) {
    let folder = table.replace('.', "/");
    let evidence = files(&project.path(&format!("lake/quarantine/{folder}")));
    assert_eq!(evidence.keys().filter(|key| key.ends_with("evidence.json")).count(), 1, "{evidence:?}");
    assert!(project.tree(&format!("lake/{folder}")).is_empty(), "{table} has a view");
    let ledger = format!("store/{folder}/");
    let outcomes = project.documents("outcome");
    let decisions: Vec<&Value> =
        outcomes.iter().filter(|(key, _)| key.starts_with(&ledger)).map(|(_, outcome)| &outcome["decision"]).collect();
    assert_eq!(decisions, ["quarantined"], "{table}");
}

#[test]
fn every_fixture_stops_where_it_says() {
    let mut alerts = Vec::new();
    for dataset in ["flights", "orders"] {
        let mut folders: Vec<_> = fs::read_dir(repository().join("tests/fixtures").join(dataset)).unwrap().collect();
        folders.sort_by_key(|entry| entry.as_ref().unwrap().path());
        for entry in folders {
            alerts.push(assert_case(dataset, &entry.unwrap().path()));
        }
    }
    assert!(alerts.len() >= 8, "{alerts:?}");
    insta::assert_snapshot!("alerts", alerts.join("\n"));
}
