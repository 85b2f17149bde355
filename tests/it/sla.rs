//! `windrow sla`: met, late, not due, missed. Windows far ahead are always in time, windows long ago never.

use serde_json::{Value, json};

use crate::support::Project;
use crate::tiny::{self, HEADER, ROW, Tiny, WINDOW, raw_file};

/// Promised in a thousand years.
const AHEAD: &str = "2999-01-01";

fn promising(promise: &str) -> Project {
    let project = Tiny { is_curated: true, ..Tiny::default() }.project();
    let path = project.path("schemas/t.curated.odcs.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let sla = format!("slaProperties:\n  - {{id: by, property: timeOfAvailability, value: \"{promise}\"}}\n");
    project.write("schemas/t.curated.odcs.yaml", format!("{text}{sla}"));
    project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}"));
    project
}

fn sla(project: &Project, window: &str, code: i32) -> Value {
    project.run_json(&["sla", "--dataset", "t", "--window", window]).expect(code).json()
}

#[test]
fn a_window_that_is_there_in_time_is_met() {
    let project = promising("07:30 America/New_York");
    let early = sla(&project, AHEAD, 0);
    assert_eq!((&early["status"], &early["promised_at"]), (&json!("not_due"), &json!("2999-01-02T12:30:00Z")));
    project.write(&format!("lake/raw/t/{AHEAD}/t.csv"), format!("{HEADER}{ROW}"));
    project.run(&["run", "--dataset", "t", "--window", AHEAD]).expect(0);
    let met = sla(&project, AHEAD, 0);
    assert_eq!((&met["status"], &met["epoch"], &met["promise"]), (&json!("met"), &json!(1), &json!("07:30 America/New_York")));
    assert!(met["seconds_late"].as_i64().unwrap() < 0, "{met}");
    let text = project.run(&["sla", "--dataset", "t", "--window", AHEAD]).expect(0).stdout;
    assert!(
        text.contains("t for 2999-01-01 promised by 07:30 America/New_York is there") && text.contains("store's clock"),
        "{text}"
    );
}

#[test]
fn a_window_that_came_late_wakes_nobody() {
    let project = promising("07:30");
    tiny::run(&project).expect(0);
    let late = sla(&project, WINDOW, 0);
    assert_eq!((&late["status"], &late["promised_at"]), (&json!("late"), &json!("2024-01-03T07:30:00Z")));
    let (since, seconds) = (late["available_since"].clone(), late["seconds_late"].as_i64().unwrap());
    assert!(seconds > 0, "{late}");
    project.run(&["run", "--dataset", "t", "--window", WINDOW, "--force"]).expect(0);
    let again = sla(&project, WINDOW, 0);
    assert_eq!((&again["epoch"], &again["available_since"]), (&json!(2), &since), "a newer version does not make it later");
    project.run(&["retract", "--dataset", "t", "--layer", "curated", "--window", WINDOW]).expect(0);
    let taken_back = sla(&project, WINDOW, 81);
    assert!(taken_back["error"]["message"].as_str().unwrap().contains("last attempt retracted in curated.t"), "{taken_back}");
}

#[test]
fn a_window_that_is_not_there_is_missed_in_business_words() {
    let project = promising("07:30");
    let message = |result: &Value| result["error"]["message"].as_str().unwrap().to_owned();
    let never = sla(&project, WINDOW, 81);
    assert_eq!((&never["error"]["error"], &never["exit_code"]), (&json!("Windrow.SlaMissed"), &json!(81)));
    assert!(
        message(&never).starts_with("t for 2024-01-02 promised by 07:30 UTC is not there: clean.t was never begun"),
        "{never}"
    );
    project.write(&raw_file("t.csv"), format!("{HEADER}one{ROW}"));
    tiny::run(&project).expect(65);
    let quarantined = sla(&project, WINDOW, 81);
    assert!(message(&quarantined).contains("is not there: last attempt quarantined (W0201) in clean.t"), "{quarantined}");
    let lake = project.tree("lake");
    sla(&project, WINDOW, 81);
    assert_eq!(project.tree("lake"), lake, "sla writes nothing");
}

#[test]
fn a_scheduler_that_asks_at_the_promised_instant_gets_an_answer_whatever_the_clock_says() {
    let project = promising("07:30");
    let missed = sla(&project, "last@2999-01-02T07:30:00Z", 81);
    assert_eq!(missed["error"]["context"]["window"], AHEAD);
    assert_eq!(sla(&project, "last@2999-01-02T07:29:59Z", 0)["status"], "not_due");
    let newest = project.run_json(&["sla", "--dataset", "t"]).expect(81).json();
    assert!(newest["error"]["context"]["promised_at"].as_str().unwrap().ends_with("T07:30:00Z"), "{newest}");
}

#[test]
fn a_contract_without_a_promise_is_misconfigured() {
    let project = Tiny::default().project();
    std::fs::create_dir_all(project.path("lake")).unwrap();
    let out = project.run(&["sla", "--dataset", "t", "--window", WINDOW]).expect(78);
    assert!(out.stderr.contains("schemas/t.clean.odcs.yaml") && out.stderr.contains("timeOfAvailability"), "{}", out.stderr);
}
