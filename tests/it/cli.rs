//! The command line as people and programs meet it: help, mistakes, forms of output, signals.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Out, Project, exit_code, output, windrow};
use crate::tiny::{self, HEADER, ROW, Tiny, WINDOW, raw_file};

const VERBS: [&str; 14] = [
    "demo",
    "run",
    "check-input",
    "raw-to-clean",
    "clean-to-curated",
    "check",
    "publish",
    "quarantine",
    "replay",
    "status",
    "sla",
    "sizing",
    "contract",
    "explain",
];

/// A project with one window, not run yet.
fn ready() -> Project {
    let project = Tiny { is_curated: true, ..Tiny::default() }.project();
    project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}"));
    project
}

/// A project whose one window breaks its contract.
fn broken() -> Project {
    let project = Tiny { is_curated: true, ..Tiny::default() }.project();
    project.write(&raw_file("t.csv"), format!("{HEADER}two,,,,,,\n"));
    project
}

fn at_window<'a>(verb: &[&'a str]) -> Vec<&'a str> {
    [verb, &["--dataset", "t", "--window", WINDOW]].concat()
}

#[test]
fn help_of_every_verb_fits_its_purpose() {
    let top = output(windrow().arg("--help")).expect(0);
    for verb in VERBS {
        assert!(top.stdout.lines().any(|line| line.trim_start().starts_with(verb)), "{verb}: {}", top.stdout);
        let help = output(windrow().args([verb, "--help"])).expect(0);
        assert!(help.stdout.contains("[env: WINDROW_PROJECT]"), "{verb}: {}", help.stdout);
        assert!(help.stderr.is_empty(), "{verb}: {}", help.stderr);
    }
    assert!(top.stdout.contains("Exit codes:") && top.stdout.contains("Examples:"));
    assert_eq!(output(windrow().arg("--version")).expect(0).stdout, format!("windrow {}\n", env!("CARGO_PKG_VERSION")));
}

#[cfg(target_os = "linux")]
#[test]
fn the_allocator_has_the_options_of_the_build() {
    let told = output(windrow().arg("--version").env("_RJEM_MALLOC_CONF", "stats_print:true")).expect(0).stderr;
    for option in ["opt.narenas: 1\n", "opt.oversize_threshold: 1099511627776\n"] {
        assert!(told.contains(option), "{option} is missing: was .cargo/config.toml read? {told}");
    }
}

#[test]
fn mistakes_on_the_command_line_are_usage_with_a_hint() {
    let project = ready();
    let cases: &[(&[&str], &str)] = &[
        (&["rum"], "run"),
        (&["run", "--datset", "t", "--window", WINDOW], "--dataset"),
        (&["run", "--dataset", "t", "--window", "2024-13-01"], "2024-13-01"),
        (&["run", "--dataset", "t", "--window", "yesterday"], "yesterday"),
        (&["run", "--dataset", "t", "--window", "2024-01"], "month"),
        (&["run", "--dataset", "t", "--window", "2024-01-02T03"], "hour"),
        (&["run", "--dataset", "t"], "--window"),
        (&["run", "--dataset", "T", "--window", WINDOW], "T"),
        (&["run", "--dataset", "t", "--from", "2024-01-03", "--to", "2024-01-02"], "2024-01-03"),
        (&["run", "--dataset", "t", "--from", "2024-01-03", "--to", "2024-01-03"], "2024-01-03"),
        (&["run", "--dataset", "t", "--from", "2024-01-03"], "--to"),
        (&["run", "--dataset", "t", "--window", WINDOW, "--last", "7d"], "--last"),
        (&["run", "--dataset", "t", "--last", "7x"], "--last 7d"),
        (&["run", "--dataset", "t", "--last", "0d"], "0d"),
        (&["check", "--dataset", "t", "--window", WINDOW, "--layer", "cleam"], "clean"),
        (&["check", "--dataset", "t", "--window", WINDOW, "--layer", "clean", "--epoch", "0"], "from 1"),
        (&["publish", "--dataset", "t", "--window", WINDOW, "--layer", "clean", "--epoch", "-1"], "-1"),
        (&["run", "--dataset", "t", "--window", WINDOW, "--output", "jsn"], "json"),
        (&["run", "--dataset", "t", "--window", WINDOW, "--run-id", "a b"], "a b"),
        (&["explain", "W0210"], "W0"),
        (&["quarantine", "show", "--dataset", "t", "--window", WINDOW], "windrow quarantine list"),
        (&[], "Usage"),
    ];
    for (args, hint) in cases {
        let out = project.run(args);
        assert_eq!(out.code, 64, "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains(hint), "{args:?} says nothing of `{hint}`: {}", out.stderr);
        assert!(out.stdout.is_empty(), "{args:?}: {}", out.stdout);
    }
    assert!(!project.path("lake/store").exists());
}

#[test]
fn unknown_names_of_the_project_are_misconfigured_with_a_suggestion() {
    let project = Project::of_repository();
    std::fs::create_dir(project.path("lake")).unwrap();
    let window = ["--window", "2013-01-01"];
    for verb in [&["run"][..], &["raw-to-clean"], &["check-input"], &["check", "--layer", "clean"], &["replay"], &["status"]] {
        let out = project.run(&[verb, &["--dataset", "flight"], &window].concat());
        assert_eq!(out.code, 78, "{verb:?}: {}", out.stderr);
        assert!(out.stderr.contains("flights"), "{verb:?}: {}", out.stderr);
    }
    let raw = project.run(&[&["check", "--dataset", "flights", "--layer", "raw"], window.as_slice()].concat());
    assert!([64, 78].contains(&raw.code), "{}", raw.stderr);
    let epoch =
        project.run(&[&["check", "--dataset", "flights", "--layer", "clean", "--epoch", "7"], window.as_slice()].concat());
    assert_eq!(epoch.code, 78, "{}", epoch.stderr);
}

#[test]
fn a_folder_that_is_no_project_is_misconfigured_and_stays_empty() {
    let empty = Project::empty();
    for verb in [at_window(&["run"]), vec!["status"], vec!["contract", "lint"], vec!["quarantine", "list"]] {
        let out = empty.run(&verb).expect(78);
        assert!(out.stderr.contains("windrow.toml") && out.stderr.contains("windrow demo"), "{}", out.stderr);
        empty.run(&[verb.as_slice(), &["--project", "nowhere"]].concat()).expect(78);
    }
    assert!(empty.tree(".").is_empty());
}

#[test]
fn broken_configuration_is_refused_with_its_place() {
    let cases = [
        ("", "version"),
        ("version = 1\nlakee = \"x\"\n", "windrow.toml:2:1"),
        ("version = 2\n", "windrow.toml:1:1"),
        ("version = 1\nlake = \n", "windrow.toml:2"),
        ("version = 1\nlake = \"\"\n", "empty"),
        ("version = 1\nlake = \"s3://bucket/lake\"\n", "AWS_REGION"),
        ("version = 1\nlake = \"s3://Bucket/lake\"\n", "s3://Bucket/lake"),
        ("version = 1\nlake = \"gs://bucket\"\n", "gs://…"),
        ("version = 1\nviews = [\"alive\"]\n", "windrow.toml:2"),
        ("version = 1\n[s3]\nregoin = \"x\"\n", "windrow.toml:3:1"),
        ("version = 1\nlake = \"s3://bucket\"\n[s3]\nkms_key_id = \"x\"\n", "encryption"),
        ("version = 1\nprofile = \"../default\"\n", "../default"),
    ];
    for (text, hint) in cases {
        let project = ready();
        project.write("windrow.toml", text);
        let out = tiny::run(&project);
        assert_eq!(out.code, 78, "{text:?}: {}", out.stderr);
        assert!(out.stderr.contains(hint), "{text:?} says nothing of `{hint}`: {}", out.stderr);
    }
}

#[test]
fn a_demo_needs_a_folder_of_its_own_and_runs_twice() {
    let folder = Project::empty();
    folder.write("full/file.txt", "mine");
    let refused = folder.run(&["demo", "full"]).expect(64);
    assert!(refused.stderr.contains("not empty"), "{}", refused.stderr);
    assert_eq!(folder.tree("full").len(), 1);
    let first = folder.run_json(&["demo", "new/demo"]).expect(0).json();
    assert_eq!((&first["counts"]["ok"], &first["counts"]["skip"]), (&21.into(), &0.into()));
    let lake = folder.tree("new/demo");
    let second = folder.run_json(&["demo", "new/demo"]).expect(0).json();
    assert_eq!((&second["counts"]["ok"], &second["counts"]["skip"]), (&0.into(), &21.into()));
    assert_eq!(folder.tree("new/demo"), lake);
    output(windrow().args(["contract", "lint"]).current_dir(folder.path("new/demo"))).expect(0);
}

#[test]
fn json_is_one_line_on_stdout_for_success_and_failure_and_equals_the_result_file() {
    let (good, bad) = (ready(), broken());
    let cases: [(&Project, Vec<&str>, i32); 12] = [
        (&good, at_window(&["run"]), 0),
        (&good, at_window(&["check-input"]), 0),
        (&good, at_window(&["raw-to-clean", "--force"]), 0),
        (&good, at_window(&["check", "--layer", "clean"]), 0),
        (&good, at_window(&["publish", "--layer", "clean"]), 0),
        (&good, vec!["status"], 0),
        (&good, vec!["quarantine", "list"], 0),
        (&good, vec!["contract", "lint"], 0),
        (&good, vec!["contract", "schema"], 0),
        (&good, vec!["explain", "W0201"], 0),
        (&bad, at_window(&["run"]), 65),
        (&bad, at_window(&["publish", "--layer", "clean"]), 78),
    ];
    for (project, args, code) in cases {
        let out = output(project.command(&args).args(["--output", "json", "--result-uri", "result.json"])).expect(code);
        let result = out.json();
        assert_eq!(std::fs::read_to_string(project.path("result.json")).unwrap(), out.stdout, "{args:?}");
        if args[0] != "contract" || args[1] != "schema" {
            assert_eq!(result["schema"], 1, "{args:?}: {result}");
            assert!(result["exit_code"].is_null() && code == 0 || result["exit_code"] == code, "{args:?}: {result}");
        }
        if code != 0 {
            assert!(result["alert"].as_str().unwrap().starts_with("t for 2024-01-02 not published: "), "{result}");
            assert!(result["error"]["error"].as_str().unwrap().starts_with("Windrow."));
        }
    }
}

#[test]
fn logs_as_json_are_json_line_by_line() {
    for (project, code) in [(ready(), 0), (broken(), 65)] {
        let out = output(project.command(&at_window(&["run"])).args(["--log-format", "json"])).expect(code);
        assert!(!out.stderr.is_empty());
        for line in out.stderr.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(event["event"].is_string(), "{line}");
        }
    }
    let failed = output(Project::empty().command(&["status"]).args(["--log-format", "json"])).expect(78);
    let event: Value = serde_json::from_str(failed.stderr.trim_end()).unwrap();
    assert_eq!(event["error"]["kind"], "Misconfigured");
}

#[test]
fn piped_output_has_no_escape_codes() {
    for colour in [None, Some("1")] {
        let project = broken();
        let mut command = project.command(&at_window(&["run"]));
        command.envs(colour.map(|value| ("NO_COLOR", value)));
        let out = output(&mut command).expect(65);
        assert!(!out.stderr.contains('\u{1b}') && !out.stdout.contains('\u{1b}'), "{:?}", out.stderr);
    }
}

#[test]
fn quiet_says_only_what_is_wrong() {
    let good = output(ready().command(&at_window(&["run"])).arg("--quiet")).expect(0);
    assert_eq!(good.stderr, "");
    assert!(good.stdout.starts_with("Done. OK=1 "), "{}", good.stdout);
    let bad = output(broken().command(&at_window(&["run"])).arg("--quiet")).expect(65);
    assert!(bad.stderr.contains("error[W0201]"), "{}", bad.stderr);
}

#[test]
fn every_flag_can_come_from_the_environment() {
    let project = ready();
    let mut command = windrow();
    command.arg("run").current_dir("/");
    command.env("WINDROW_PROJECT", project.root()).env("WINDROW_DATASET", "t").env("WINDROW_WINDOW", WINDOW);
    command.env("WINDROW_OUTPUT", "json").env("WINDROW_RUN_ID", "run-7");
    assert_eq!(output(&mut command).expect(0).json()["run_id"], "run-7");
}

#[test]
fn flags_outrank_the_environment_and_empty_variables_are_none() {
    let project = ready();
    let run = |arguments: &[&str], name: &str, value: &str| {
        let mut command = project.command(&[&["plan", "--dataset", "t", "--output", "json"], arguments].concat());
        output(command.env(name, value).env("WINDROW_LAKE", ""))
    };
    for (name, value) in [("WINDROW_WINDOW", "2020-01-01"), ("WINDROW_LAST", "2d"), ("WINDROW_FROM", "2020-01-01")] {
        let named = run(&["--window", WINDOW], name, value).expect(0).json();
        assert_eq!(named["steps"][0]["window"], WINDOW, "{name}");
        let range = run(&["--from=2024-01-02", "--to", "2024-01-03"], name, value).expect(0).json();
        assert_eq!(range["steps"][0]["window"], WINDOW, "{name}");
    }
    assert_eq!(run(&[], "WINDROW_WINDOW", WINDOW).expect(0).json()["steps"][0]["window"], WINDOW);
    run(&[], "WINDROW_WINDOW", "").expect(64);
}

#[test]
fn status_quarantine_and_explain_tell_the_story_of_a_failed_window() {
    let project = ready();
    tiny::run(&project).expect(0);
    project.write(&raw_file("t.csv"), format!("{HEADER}two,,,,,,\n"));
    let stale = project.run_json(&["status"]).expect(0).json();
    assert_eq!(
        (&stale["windows"][0]["state"], &stale["windows"][0]["stale"]),
        (&"published, raw files changed".into(), &true.into())
    );
    tiny::run(&project).expect(65);
    let rows = project.run_json(&["status", "--dataset", "t"]).expect(0).json()["windows"].clone();
    assert_eq!((&rows[0]["table"], &rows[0]["state"]), (&"clean.t".into(), &"published, newer quarantined".into()));
    assert_eq!((&rows[0]["epoch"], &rows[0]["last_epoch"], &rows[0]["rows"]), (&1.into(), &2.into(), &1.into()));
    assert_eq!(rows[0]["last"], "quarantined: SchemaMismatch W0201");
    let list = project.run_json(&["quarantine", "list"]).expect(0).json();
    assert_eq!(list["entries"].as_array().unwrap().len(), 1);
    assert_eq!(list["entries"][0]["files"].as_array().unwrap().len(), 2);
    let shown = project.run_json(&["quarantine", "show", "--dataset", "t", "--window", WINDOW]).expect(0).json();
    assert_eq!((&shown["code"], &shown["details"]["listed"][0]["value"]), (&"W0201".into(), &"two".into()));
    assert!(project.run(&["explain", "w0201"]).expect(0).stdout.contains("wrong type"));
    let never = project.run_json(&["status", "--dataset", "t", "--window", "2024-01-09"]).expect(0).json();
    assert_eq!(never["windows"][0]["state"], "never run");
}

#[test]
fn the_contract_schema_is_a_json_schema() {
    let schema = Project::empty().run_json(&["contract", "schema"]).expect(0).json();
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org") && schema["properties"]["schema"].is_object());
    let pretty: Value = serde_json::from_str(&Project::empty().run(&["contract", "schema"]).expect(0).stdout).unwrap();
    assert_eq!(pretty, schema);
}

/// A week of flights, told to stop after its first window.
fn terminated_run() -> (Project, std::process::Output) {
    let project = Project::of_flights();
    let mut command = project.command(&["run", "--dataset", "flights", "--from", "2013-01-01", "--to", "2013-01-08"]);
    let mut child = command.args(["--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.starts_with('[') && line.contains("/7] flights 2013-01-0") && line.contains(" OK "), "{line}");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    std::io::copy(&mut stderr, &mut std::io::sink()).unwrap();
    (project, child.wait_with_output().unwrap())
}

#[test]
fn a_terminated_run_exits_143_with_whole_windows_only() {
    // On a busy machine the week can be over before the signal comes.
    let runs = std::iter::repeat_with(terminated_run).take(5);
    let stopped = runs.into_iter().find(|(_, finished)| exit_code(finished.status) != 0);
    let (project, finished) = stopped.expect("one of five runs is stopped in time");
    assert_eq!(exit_code(finished.status), 143);
    let result: Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert_eq!((&result["error"]["kind"], &result["error"]["error"]), (&"Interrupted".into(), &"Windrow.Transient".into()));
    let published = project.documents("outcome").into_values().filter(|outcome| outcome["decision"] == "published").count();
    let views = project.tree("lake/clean").len() + project.tree("lake/curated").len();
    assert!((2..14).contains(&published) && views == published, "{published} published, {views} visible");
    project.keys();
    let healed =
        project.run_json(&["run", "--dataset", "flights", "--from", "2013-01-01", "--to", "2013-01-08"]).expect(0).json();
    assert_eq!(healed["counts"]["rows"], 6099);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for args in [at_window(&["run", "--output", "json"]), vec!["contract", "schema"], vec!["--help"], vec!["explain"]] {
        let project = ready();
        let mut child = project.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let finished = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(finished.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
        assert_eq!(exit_code(finished.status), 0, "{args:?}: {stderr}");
    }
    let project = ready();
    let mut child = project.command(&at_window(&["run"])).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(exit_code(child.wait().unwrap()), 0);
}

#[test]
fn a_lake_that_cannot_be_written_is_said_and_not_half_done() {
    let project = ready();
    std::fs::create_dir_all(project.path("lake")).unwrap();
    project.write("lake/store", "a file where a folder should be");
    let out: Out = tiny::run(&project);
    assert!([70, 75, 77, 78].contains(&out.code), "{}", out.stderr);
    assert!(!project.path("lake/clean").exists());
    assert!(!out.stderr.contains("panicked"), "{}", out.stderr);
}
