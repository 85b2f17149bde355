//! What an orchestrator asks for: windows by the scheduler's clock, the inputs of a whole output, reasons and executions in
//! the ledger, and a failed run closed.

use serde_json::{Value, json};

use crate::support::Project;
use crate::tiny::{self, HEADER, ROW, Tiny, WINDOW, raw_file};

const T: [&str; 4] = ["--dataset", "t", "--window", WINDOW];
const CLEAN: [&str; 6] = ["--dataset", "t", "--window", WINDOW, "--layer", "clean"];
/// The day after the window, in a zone of its own.
const NEXT_NIGHT: &str = "last@2024-01-03T04:00:00+02:00";

fn ready(tiny: &Tiny) -> Project {
    let project = tiny.project();
    project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}"));
    project
}

fn call(project: &Project, verb: &[&str], place: &[&str], code: i32) -> Value {
    project.run_json(&[verb, place].concat()).expect(code).json()
}

fn decisions(project: &Project) -> Vec<String> {
    let outcomes = project.documents("outcome");
    outcomes.values().map(|outcome| outcome["decision"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_schedulers_instant_names_the_window_for_every_verb() {
    let project = ready(&Tiny::default());
    let at = ["--dataset", "t", "--window", NEXT_NIGHT];
    let gate = ["--dataset", "t", "--window", NEXT_NIGHT, "--layer", "clean"];
    for (verb, place, status) in [
        (&["check-input"][..], &at[..], "ok"),
        (&["raw-to-clean"], &at, "staged"),
        (&["check"], &gate, "PASS"),
        (&["publish"], &gate, "published"),
        (&["quarantine", "close", "--run-id", "r"], &at, "ok"),
    ] {
        let result = call(&project, verb, place, 0);
        assert_eq!((&result["window"], &result["status"]), (&json!(WINDOW), &json!(status)), "{verb:?}");
    }
    for verb in ["run", "replay", "plan", "status"] {
        call(&project, &[verb], &at, 0);
    }
    assert_eq!(call(&project, &["run"], &at, 0)["windows"][0]["window"], WINDOW);
    assert_eq!(call(&project, &["plan"], &at, 0)["steps"][0]["window"], WINDOW);
    let early = ["--dataset", "t", "--window", "last@2024-01-03T01:00:00+02:00"];
    assert_eq!(call(&project, &["plan"], &early, 0)["steps"][0]["window"], "2024-01-01");
}

#[test]
fn an_instant_that_is_none_is_usage_and_names_the_forms() {
    let project = ready(&Tiny::default());
    for window in ["last", "last@", "last@2024-01-03", "last@2024-01-03T04:00:00"] {
        let out = project.run(&["run", "--dataset", "t", "--window", window]).expect(64);
        assert!(out.stderr.contains("last@2024-09-09T02:00:00Z"), "{window}: {}", out.stderr);
    }
}

#[test]
fn reason_and_execution_stand_in_the_claim() {
    let project = ready(&Tiny { is_curated: true, ..Tiny::default() });
    let trip = ["--reason", "backfill", "--execution-id", "arn:aws:states:eu-central-1:111122223333:execution:window:e-1"];
    call(&project, &["raw-to-clean"], &[&T[..], &trip].concat(), 0);
    call(&project, &["check"], &[&CLEAN[..], &trip].concat(), 0);
    call(&project, &["publish"], &[&CLEAN[..], &trip].concat(), 0);
    let mut command = project.command(&["clean-to-curated", "--output", "json"]);
    command.envs([("WINDROW_DATASET", "t"), ("WINDROW_WINDOW", WINDOW)]);
    command.envs([("WINDROW_REASON", "schedule"), ("WINDROW_EXECUTION_ID", "e-2")]);
    crate::support::output(&mut command).expect(0);
    let claims = project.documents("claim");
    let found: Vec<(&Value, &Value)> = claims.values().map(|claim| (&claim["reason"], &claim["execution_id"])).collect();
    assert_eq!(found, [(&json!("backfill"), &json!(trip[3])), (&json!("schedule"), &json!("e-2"))]);
    project.run(&["run", "--dataset", "t", "--window", WINDOW, "--reason", "rollback"]).expect(64);
    project.run(&["run", "--dataset", "t", "--window", WINDOW, "--execution-id", "two\nlines"]).expect(64);
}

#[test]
fn a_stage_with_reason_replay_computes_again_only_what_failed() {
    let project = ready(&Tiny::default());
    tiny::run(&project).expect(0);
    let replay = [&T[..], &["--reason", "replay"]].concat();
    assert_eq!(call(&project, &["raw-to-clean"], &replay, 0)["status"], "unchanged", "a published window is not forced");
    call(&project, &["raw-to-clean"], &[&T[..], &["--force"]].concat(), 0);
    assert_eq!(call(&project, &["raw-to-clean"], &T, 0)["status"], "unchanged", "the head is of the same inputs");
    let again = call(&project, &["raw-to-clean"], &replay, 0);
    assert_eq!((&again["status"], &again["epoch"]), (&json!("staged"), &json!(3)), "epoch 2 was never decided");
    call(&project, &["check"], &CLEAN, 0);
    call(&project, &["publish"], &CLEAN, 0);
    assert_eq!(call(&project, &["raw-to-clean"], &replay, 0)["status"], "unchanged");
    call(&project, &["raw-to-clean"], &[&T[..], &["--force"]].concat(), 0);
    let run = call(&project, &["run"], &replay, 0);
    assert_eq!(run["windows"][0]["tables"][0]["status"], "published", "run follows the same rule: {run}");
}

/// The repository's project with one day of orders of a shop.
fn shop() -> Project {
    let project = Project::of_repository();
    for dataset in ["orders", "items", "customers", "products", "stores"] {
        let from = crate::support::repository().join(format!("examples/raw/{dataset}/2019-03-12"));
        assert!(from.is_dir(), "{}", from.display());
        crate::support::copy_tree(&from, &project.path(&format!("lake/raw/{dataset}/2019-03-12")));
    }
    project
}

const SHOP_DAY: [&str; 2] = ["--window", "2019-03-12"];

#[test]
fn the_input_of_an_output_is_the_raw_files_of_everything_it_reads() {
    let project = shop();
    let result = call(&project, &["check-input", "--dataset", "store_revenue"], &SHOP_DAY, 0);
    let clean: Vec<&str> = result["clean"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(result["curated"].as_array().unwrap().last().unwrap(), "store_revenue", "{result}");
    assert!(clean.contains(&"orders") && clean.contains(&"stores"), "{result}");
    let tables: Vec<String> = result["files"].as_object().unwrap().keys().cloned().collect();
    let mut expected: Vec<String> = clean.iter().map(|name| format!("raw.{name}")).collect();
    expected.sort();
    assert_eq!(tables, expected);
    assert!(result["files"]["raw.orders"][0]["key"].as_str().unwrap().starts_with("raw/orders/2019-03-12/"), "{result}");
    for name in &clean {
        assert!(result["source"].as_str().unwrap().contains(&format!("lake/raw/{name}/2019-03-12/")), "{result}");
    }
    assert!(!project.path("lake/store").exists(), "check-input writes nothing");
}

#[test]
fn every_missing_input_is_named_and_waiting_is_the_answer() {
    let project = shop();
    for dataset in ["orders", "customers"] {
        std::fs::remove_dir_all(project.path(&format!("lake/raw/{dataset}/2019-03-12"))).unwrap();
    }
    let result = call(&project, &["check-input", "--dataset", "orders"], &SHOP_DAY, 66);
    let message = result["error"]["message"].as_str().unwrap();
    assert!(message.contains("lake/raw/orders/2019-03-12/") && message.contains("lake/raw/customers/2019-03-12/"), "{message}");
    assert_eq!(result["error"]["error"], "Windrow.InputMissing");
}

#[test]
fn findings_of_all_inputs_come_at_once_and_outrank_what_is_missing() {
    let project = shop();
    for (file, from, to) in [("orders/2019-03-12/orders.csv", "subtotal", "total"), ("stores/2019-03-12/stores.csv", "id", "nr")]
    {
        let path = format!("lake/raw/{file}");
        let text = std::fs::read_to_string(project.path(&path)).unwrap();
        assert!(text.lines().next().unwrap().contains(from), "{text}");
        project.write(&path, text.replacen(from, to, 1));
    }
    std::fs::remove_dir_all(project.path("lake/raw/customers/2019-03-12")).unwrap();
    let result = call(&project, &["check-input", "--dataset", "orders"], &SHOP_DAY, 65);
    let findings = crate::support::findings(&result["error"]);
    assert!(findings.contains("raw/orders/2019-03-12/orders.csv:1") && findings.contains("raw/stores/2019-03-12/stores.csv:1"));
    let message = result["error"]["message"].as_str().unwrap();
    assert!(message.contains("raw.orders") && message.contains("raw.stores") && message.contains("customers"), "{message}");
}

fn close(project: &Project, run_id: &str) -> Value {
    call(project, &["quarantine", "close", "--run-id", run_id], &T, 0)
}

#[test]
fn a_closed_run_is_fenced_and_a_second_close_changes_nothing() {
    let project = ready(&Tiny::default());
    let of_run = |run_id| [&CLEAN[..], &["--run-id", run_id]].concat();
    call(&project, &["raw-to-clean", "--run-id", "zombie"], &T, 0);
    call(&project, &["check"], &of_run("zombie"), 0);
    call(&project, &["raw-to-clean", "--run-id", "other"], &T, 0);

    let closed = close(&project, "zombie");
    let expected = json!([{"table": "clean.t", "epoch": 1, "decision": "aborted", "evidence": null}]);
    assert_eq!((&closed["closed"], &closed["evidence"], &closed["run_id"]), (&expected, &json!([]), &json!("zombie")));
    let lake = project.tree("lake");
    assert_eq!(close(&project, "zombie")["closed"], json!([]));
    assert_eq!(project.tree("lake"), lake, "a second close writes nothing");

    let late = call(&project, &["publish", "--epoch", "1"], &of_run("zombie"), 73);
    assert_eq!(late["error"]["error"], "Windrow.Fenced");
    project.assert_nothing_visible();
    call(&project, &["check"], &of_run("other"), 0);
    call(&project, &["publish"], &of_run("other"), 0);
    assert_eq!(decisions(&project), ["aborted", "published"]);
    assert_eq!(close(&project, "other")["closed"], json!([]), "what is published stays published");
    assert_eq!(decisions(&project), ["aborted", "published"]);
}

#[test]
fn a_recorded_fail_is_closed_with_the_evidence_publish_gives() {
    let tiny = Tiny { row_count: "mustBeGreaterThan: 5", ..Tiny::default() };
    let evidence = |end: &dyn Fn(&Project)| -> Value {
        let project = ready(&tiny);
        call(&project, &["raw-to-clean", "--run-id", "r"], &T, 0);
        call(&project, &["check", "--run-id", "r"], &CLEAN, 0);
        end(&project);
        assert_eq!(decisions(&project), ["quarantined"]);
        let mut evidence = call(&project, &["quarantine", "show"], &T, 0);
        evidence["attempt"] = Value::Null;
        evidence
    };
    let closed = evidence(&|project| {
        let result = close(project, "r");
        assert_eq!(result["closed"][0]["decision"], "quarantined", "{result}");
        assert!(result["evidence"][0].as_str().unwrap().starts_with("lake/quarantine/clean/t/"), "{result}");
        assert_eq!(close(project, "r")["evidence"], result["evidence"], "evidence of what is decided is still listed");
    });
    let published = evidence(&|project| drop(call(project, &["publish", "--run-id", "r"], &CLEAN, 80)));
    assert_eq!(closed, published);
}

#[test]
fn a_fail_is_closed_although_the_contract_changed_since() {
    let project = ready(&Tiny { row_count: "mustBeGreaterThan: 5", ..Tiny::default() });
    call(&project, &["raw-to-clean", "--run-id", "r"], &T, 0);
    call(&project, &["check", "--run-id", "r"], &CLEAN, 0);
    project.replace("schemas/t.clean.odcs.yaml", "mustBeGreaterThan: 5", "mustBeGreaterThan: 4");
    assert_eq!(close(&project, "r")["closed"][0]["decision"], "quarantined");
    let evidence = call(&project, &["quarantine", "show"], &T, 0);
    assert_eq!(evidence["details"]["gate"]["failed_checks"], json!(["some_rows"]), "{evidence}");
}

#[test]
fn closing_needs_a_run_and_a_run_that_did_nothing_is_said() {
    let project = ready(&Tiny::default());
    let none = call(&project, &["quarantine", "close"], &T, 64);
    assert!(none["error"]["help"].as_str().unwrap().contains("--run-id"), "{none}");
    let out = project.run(&[&["quarantine", "close", "--run-id", "r-9"][..], &T].concat()).expect(0);
    assert!(out.stdout.contains("nothing to close: run r-9"), "{}", out.stdout);
    assert!(!project.path("lake/store").exists());
}

/// The state machine publishes also what is unchanged: a commit whose view was not written is healed by its replay.
#[test]
fn an_unchanged_epoch_published_again_heals_its_view() {
    let project = ready(&Tiny::default());
    tiny::run(&project).expect(0);
    let view = project.tree("lake/clean");
    std::fs::remove_dir_all(project.path("lake/clean")).unwrap();
    let staged = call(&project, &["raw-to-clean", "--reason", "replay"], &T, 0);
    assert_eq!(staged["status"], "unchanged");
    let epoch = staged["epoch"].to_string();
    let published = call(&project, &["publish", "--epoch", &epoch], &CLEAN, 0);
    assert_eq!(published["status"], "published");
    assert_eq!(project.tree("lake/clean"), view);
}
