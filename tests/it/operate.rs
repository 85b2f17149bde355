//! Operations on what is published: rollback, retract, reconcile, gc, and lakes on S3 that cannot be opened.

use std::fs;

use serde_json::{Value, json};

use crate::arena::Arena;
use crate::support::{Project, output};
use crate::tiny::{self, HEADER, PARTITION, ROW, Tiny, WINDOW, raw_file};

const PLACE: [&str; 6] = ["--dataset", "t", "--layer", "clean", "--window", WINDOW];

fn operate(project: &Project, verb: &str, more: &[&str], code: i32) -> Value {
    project.run_json(&[&[verb], &PLACE[..], more].concat()).expect(code).json()
}

/// Two versions of one window: one row, then two.
fn two_versions() -> Project {
    let project = Tiny::default().project();
    project.write(&raw_file("a.csv"), format!("{HEADER}{ROW}"));
    tiny::run(&project).expect(0);
    project.write(&raw_file("b.csv"), format!("{HEADER}2,,,,,,\n"));
    tiny::run(&project).expect(0);
    project
}

fn shown(project: &Project) -> Option<usize> {
    project.view("clean/t", PARTITION).map(|rows| rows.len())
}

#[test]
fn a_rollback_is_a_new_epoch_of_the_old_bytes() {
    let project = two_versions();
    let first = project.tree("lake/store/clean/t/data");
    let result = operate(&project, "rollback", &[], 0);
    assert_eq!((&result["epoch"], &result["source_epoch"], &result["head"]), (&json!(3), &json!(1), &json!(3)));
    assert_eq!(shown(&project), Some(1));
    let now = project.tree("lake/store/clean/t/data");
    assert!(first.iter().all(|(key, sha256)| now.get(key) == Some(sha256)), "nothing that was written changed");
    assert_eq!(now.len(), 3);
    let copied: Vec<&String> = now.iter().filter(|(key, _)| !first.contains_key(*key)).map(|(_, sha256)| sha256).collect();
    assert_eq!(now.values().filter(|sha256| *sha256 == copied[0]).count(), 2, "byte for byte the old version");
    assert_eq!(operate(&project, "rollback", &["--to-epoch", "3"], 64)["error"]["kind"], "Usage");
    let missing = operate(&project, "rollback", &["--to-epoch", "9"], 78);
    assert!(missing["error"]["help"].as_str().unwrap().contains("1, 2, 3"), "{missing}");
    operate(&project, "rollback", &["--to-epoch", "2"], 0);
    assert_eq!(shown(&project), Some(2));
}

#[test]
fn a_rollback_passes_the_gate_of_today() {
    let project = two_versions();
    project.replace("schemas/t.clean.odcs.yaml", "mustBeGreaterThan: 0", "mustBeGreaterThan: 1");
    let result = operate(&project, "rollback", &[], 80);
    assert_eq!(result["error"]["kind"], "QualityFailed", "{result}");
    assert_eq!(shown(&project), Some(2), "the head stays");
    let outcomes = project.documents("outcome");
    let decisions: Vec<&Value> = outcomes.values().map(|outcome| &outcome["decision"]).collect();
    assert_eq!(decisions, ["published", "published", "quarantined"]);
}

#[test]
fn a_retracted_window_is_not_there_until_it_is_run_or_rolled_back() {
    let project = two_versions();
    let nothing = project.run_json(&["rollback", "--dataset", "t", "--layer", "clean", "--window", "2024-01-09"]);
    assert_eq!(nothing.expect(78).json()["error"]["kind"], "Misconfigured");
    assert_eq!(operate(&project, "retract", &[], 0)["status"], "retracted");
    assert_eq!(shown(&project), None);
    assert_eq!(operate(&project, "retract", &[], 0)["status"], "unchanged", "once is enough");
    let status = project.run_json(&["status"]).expect(0).json();
    assert_eq!((&status["windows"][0]["state"], &status["windows"][0]["epoch"]), (&json!("retracted"), &Value::Null));
    assert_eq!(operate(&project, "rollback", &[], 0)["source_epoch"], 2, "the last one that was published");
    assert_eq!(shown(&project), Some(2));
    operate(&project, "retract", &[], 0);
    tiny::run(&project).expect(0);
    assert_eq!(shown(&project), Some(2));
    let raw = ["retract", "--dataset", "t", "--layer", "raw", "--window", WINDOW];
    project.run_json(&raw).expect(64);
}

#[test]
fn a_retraction_whose_views_were_left_behind_is_finished_by_the_next_one() {
    let project = two_versions();
    let view = project.path(&format!("lake/clean/t/{PARTITION}/part-00000.parquet"));
    let bytes = fs::read(&view).unwrap();
    operate(&project, "retract", &[], 0);
    fs::create_dir_all(view.parent().unwrap()).unwrap();
    fs::write(&view, bytes).unwrap();
    operate(&project, "retract", &[], 0);
    assert_eq!(shown(&project), None);
}

#[test]
fn a_retraction_removes_views_that_are_not_kept_any_more_and_tells_of_foreign_files() {
    let project = two_versions();
    project.write("windrow.toml", "version = 1\nviews = [\"symlink\"]\n");
    project.write(&format!("lake/clean/t/{PARTITION}/other.parquet"), "of somebody");
    let foreign = |out: crate::support::Out| {
        assert!(out.stderr.contains("other.parquet is not windrow's"), "{}", out.stderr);
    };
    foreign(project.run(&["run", "--dataset", "t", "--window", WINDOW, "--force"]).expect(0));
    foreign(project.run(&[&["retract"], &PLACE[..]].concat()).expect(0));
    assert_eq!(shown(&project), None);
    let told = project.run_json(&["reconcile"]).expect(0).json();
    assert_eq!(told["changes"][0]["detail"], format!("clean/t/{PARTITION}/other.parquet"), "{told}");
}

#[test]
fn a_raw_file_that_is_gone_makes_its_window_stale() {
    for (late, code, planned) in [("rerun", 66, "wait"), ("ignore", 0, "skip")] {
        let project = two_versions();
        let policy = format!("      - {{property: late, vendor: windrow, value: {late}}}\n    properties:");
        project.replace("schemas/t.raw.odcs.yaml", "    properties:", &policy);
        tiny::run(&project).expect(0);
        fs::remove_file(project.path(&raw_file("b.csv"))).unwrap();
        let status = project.run_json(&["status"]).expect(0).json();
        assert_eq!(status["windows"][0]["why"], "raw files changed: 1 gone", "{status}");
        fs::remove_file(project.path(&raw_file("a.csv"))).unwrap();
        let plan = project.run_json(&["plan", "--dataset", "t", "--window", WINDOW]).expect(0).json();
        assert_eq!(plan["steps"][0]["action"], planned, "{plan}");
        tiny::run(&project).expect(code);
        assert_eq!(shown(&project), Some(2), "what is published stays");
    }
}

#[test]
fn status_lists_every_epoch_when_asked() {
    let project = two_versions();
    operate(&project, "rollback", &[], 0);
    let status = project.run_json(&["status", "--dataset", "t", "--window", WINDOW, "--epochs"]).expect(0).json();
    let epochs = status["windows"][0]["epochs"].as_array().unwrap();
    let told: Vec<(&Value, &Value)> = epochs.iter().map(|epoch| (&epoch["reason"], &epoch["rows_out"])).collect();
    assert_eq!(told, [(&json!("schedule"), &json!(1)), (&json!("schedule"), &json!(2)), (&json!("rollback"), &json!(1))]);
    assert_eq!(epochs[0]["content_sha256"], epochs[2]["content_sha256"]);
    let text = project.run(&["status", "--epochs"]).expect(0).stdout;
    assert_eq!(text.lines().filter(|line| line.contains("rollback")).count(), 1, "{text}");
    project.write("lake/store/clean/t/ledger/2024-01-02/00000000000000000003.outcome.json", "not JSON");
    let unreadable = project.run_json(&["status"]);
    assert_ne!(unreadable.code, 0);
    assert_eq!(unreadable.json()["windows"][0]["state"], "unreadable");
}

#[test]
fn a_run_that_waits_for_a_silent_server_ends_with_a_result() {
    let arena = Arena::s3(Tiny::default().project());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut command = arena.command(&["status", "--output", "json", "--result-uri", "result.json"]);
    command.env("AWS_ENDPOINT_URL_S3", endpoint).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    // It has asked once it is connected, and waits for an answer that never comes.
    let _connection = silent.accept().unwrap();
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let finished = child.wait_with_output().unwrap();
    assert_eq!(crate::support::exit_code(finished.status), 143);
    let result: Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert_eq!(result["error"]["kind"], "Interrupted");
    let written: Value = serde_json::from_slice(&fs::read(arena.project.path("result.json")).unwrap()).unwrap();
    assert_eq!(written, result);
}

#[test]
fn a_failed_window_names_the_key_and_the_cause() {
    let project = Tiny::default().project();
    project.write(&raw_file("a.csv"), format!("{HEADER}{ROW}"));
    tiny::run(&project).expect(0);
    project.write("lake/store/clean/t/ledger/2024-01-02/00000000000000000001.outcome.json", "not JSON");
    let out = project.run(&["run", "--dataset", "t", "--window", WINDOW]);
    assert_ne!(out.code, 0);
    assert!(
        out.stderr.lines().any(|line| line.contains("FAILED") && line.contains("00000000000000000001.outcome.json")),
        "{}",
        out.stderr
    );
}

#[test]
fn a_commit_whose_views_cannot_be_set_says_that_it_is_published() {
    let project = Tiny::default().project();
    project.write(&raw_file("a.csv"), format!("{HEADER}{ROW}"));
    project.write(&format!("lake/clean/t/{PARTITION}"), "a file where the view's folder should be");
    let out = project.run(&["run", "--dataset", "t", "--window", WINDOW]);
    assert_ne!(out.code, 0);
    assert!(out.stderr.contains("is published, its views are not up to date"), "{}", out.stderr);
    assert!(out.stderr.contains("windrow reconcile") && !out.stderr.contains("NOT published"), "{}", out.stderr);
    let status = project.run_json(&["status"]).expect(0).json();
    assert_eq!(status["windows"][0]["state"], "published");
    fs::remove_file(project.path(&format!("lake/clean/t/{PARTITION}"))).unwrap();
    project.run_json(&["reconcile", "--dataset", "t"]).expect(0);
    assert_eq!(shown(&project), Some(1));
    let typo = project.run_json(&["reconcile", "--dataset", "u"]).expect(78).json();
    assert!(typo["error"]["help"].as_str().unwrap().contains('t'), "{typo}");
}

#[test]
fn reconcile_brings_views_back_and_leaves_foreign_ones_alone() {
    let project = two_versions();
    project.write("windrow.toml", "version = 1\nviews = [\"live\", \"symlink\"]\n");
    let view = project.path(&format!("lake/clean/t/{PARTITION}/part-00000.parquet"));
    let bytes = fs::read(&view).unwrap();
    fs::write(&view, "not what was published").unwrap();
    project.write("lake/clean/t/t_date=2024-01-09/part-00000.parquet", "of nobody");
    let result = project.run_json(&["reconcile"]).expect(0).json();
    let changes: Vec<(&Value, &Value)> =
        result["changes"].as_array().unwrap().iter().map(|change| (&change["view"], &change["change"])).collect();
    let (live, manifest) = (json!("live"), json!("manifest"));
    assert_eq!(changes, [(&live, &json!("set")), (&manifest, &json!("set")), (&live, &json!("foreign"))]);
    assert_eq!(fs::read(&view).unwrap(), bytes);
    let listed = fs::read_to_string(project.path(&format!("lake/symlink/clean/t/{PARTITION}/manifest"))).unwrap();
    let file = listed.trim_end().strip_prefix("file://").unwrap();
    assert_eq!(fs::read(file).unwrap(), bytes, "the manifest names the head's file");
    let again = project.run_json(&["reconcile"]).expect(0).json();
    assert_eq!(again["changes"].as_array().unwrap().len(), 1, "only the foreign one is told again");
}

#[test]
fn gc_shows_what_it_would_delete_and_deletes_it_when_told_to() {
    let project = two_versions();
    project.write(&raw_file("c.csv"), format!("{HEADER}3,,,,,,\n"));
    project.run_json(&["raw-to-clean", "--dataset", "t", "--window", WINDOW]).expect(0);
    project.write("lake/store/clean/t/notes.txt", "of nobody");
    let before = project.tree("lake");
    let young = project.run_json(&["gc"]).expect(0).json();
    assert_eq!((young["plan"].as_array().unwrap().len(), &young["retained"]["objects"]), (0, &json!(2)), "{young}");
    let plan = project.run_json(&["gc", "--undecided-after", "0s"]).expect(0).json();
    assert_eq!((&plan["plan"][0]["reason"], &plan["deleted"]), (&json!("undecided"), &json!(false)));
    assert_eq!((&plan["foreign"][0]["key"], &plan["heads"]["objects"]), (&json!("store/clean/t/notes.txt"), &json!(1)));
    assert_eq!(project.tree("lake"), before, "a plan deletes nothing");
    let told = project.run(&["gc", "--undecided-after", "0s"]).expect(0).stdout;
    assert!(told.starts_with("undecided   ") && told.contains("1 object to delete") && told.contains("foreign"), "{told}");
    let done = project.run_json(&["gc", "--undecided-after", "0s", "--delete"]).expect(0).json();
    assert_eq!(done["report"]["aborted"], json!([{"table": "clean.t", "window": WINDOW, "epoch": 3}]));
    let after = project.tree("lake");
    let gone: Vec<&String> = before.keys().filter(|key| !after.contains_key(*key)).collect();
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!(gone[0].contains("/data/"), "{gone:?}");
    let fenced = project.run_json(&["publish", "--dataset", "t", "--layer", "clean", "--window", WINDOW, "--epoch", "3"]);
    fenced.expect(78);
    project.run_json(&["gc", "--retention", "6d"]).expect(78);
    project.run_json(&["gc", "--retention", "a week"]).expect(64);
    tiny::run(&project).expect(0);
    assert_eq!(shown(&project), Some(3));
}

#[test]
fn a_window_on_s3_goes_through_every_operation() {
    let arena = Arena::s3(Tiny { is_curated: true, ..Tiny::default() }.project());
    arena.produce(&format!("raw/t/{WINDOW}/a.csv"), format!("{HEADER}{ROW}").into_bytes());
    let run = ["run", "--dataset", "t", "--window", WINDOW];
    let first = arena.run(&run).expect(0).json();
    assert!(first["storage"]["requests"].as_u64().unwrap() > 10, "{first}");
    assert_eq!(first["storage"]["failed_requests"], 0, "{first}");
    assert_eq!(arena.run(&run).expect(0).json()["counts"]["skip"], 1);
    arena.produce(&format!("raw/t/{WINDOW}/b.csv"), format!("{HEADER}2,,,,,,\n").into_bytes());
    let plan = arena.run(&["plan", "--dataset", "t", "--window", WINDOW]).expect(0).json();
    assert_eq!(plan["steps"][0]["why"], "raw files changed: 1 new", "{plan}");
    assert_eq!(arena.run(&run).expect(0).json()["counts"]["rows"], 2);
    arena.produce(&format!("raw/t/{WINDOW}/b.csv"), format!("{HEADER}two,,,,,,\n").into_bytes());
    let refused = arena.run(&run).expect(65).json();
    assert_eq!(refused["error"]["findings"][0]["line"], 2, "{refused}");
    let usage = arena.run(&["status", "--dataset", "u"]).expect(78).json();
    assert!(usage["storage"]["requests"].as_u64().unwrap() > 0, "a failure says what was asked of the store: {usage}");
    let status = arena.run(&["status", "--dataset", "t"]).expect(0).json();
    assert_eq!(status["windows"][0]["state"], "published, newer quarantined");
    let evidence = arena.run(&["quarantine", "show", "--dataset", "t", "--window", WINDOW]).expect(0).json();
    assert_eq!(evidence["code"], "W0201");
    let place = ["--dataset", "t", "--layer", "curated", "--window", WINDOW];
    assert_eq!(arena.run(&[&["rollback"], &place[..]].concat()).expect(0).json()["rows_out"], 1);
    assert_eq!(arena.run(&[&["retract"], &place[..]].concat()).expect(0).json()["status"], "retracted");
    assert_eq!(arena.run(&["reconcile"]).expect(0).json()["changes"], json!([]));
    let gc = arena.run(&["gc", "--undecided-after", "0s", "--delete"]).expect(0).json();
    assert_eq!((&gc["foreign"], &gc["skipped"]), (&json!([]), &json!([])), "{gc}");
}

#[test]
fn an_s3_lake_that_cannot_be_opened_says_why_and_never_a_secret() {
    const SECRET: &str = "marker-of-a-secret";
    let arena = Arena::s3(Tiny::default().project());
    let endpoint = arena.endpoint().to_owned();
    let cases = [
        ("s3://no-such-bucket/x", endpoint.as_str(), arena.key(), "", 78, "bucket"),
        ("s3://lake/x", endpoint.as_str(), "nobody", SECRET, 77, "access key"),
        ("s3://Lake", endpoint.as_str(), arena.key(), "", 78, "lowercase"),
        ("s3://lake/../x", endpoint.as_str(), arena.key(), "", 78, "`..`"),
        ("gs://lake", endpoint.as_str(), arena.key(), "", 78, "s3://"),
        ("gs://user:marker-of-a-secret@lake", endpoint.as_str(), arena.key(), "", 78, "s3://"),
        ("s3://user:marker-of-a-secret@lake", endpoint.as_str(), arena.key(), "", 78, "s3://"),
        ("s3://lake", "http://s3.example:9000", arena.key(), "", 78, "not encrypted"),
        ("s3://lake", "not a url", arena.key(), "", 78, "https://"),
    ];
    for (lake, endpoint, key, secret, code, word) in cases {
        let mut command = arena.command(&["status", "--output", "json", "--lake", lake]);
        command.env("AWS_ENDPOINT_URL_S3", endpoint).env("AWS_ACCESS_KEY_ID", key);
        if !secret.is_empty() {
            command.env("AWS_SECRET_ACCESS_KEY", secret);
        }
        let out = output(&mut command).expect(code);
        let told = format!("{}{}", out.stdout, out.stderr);
        assert!(told.to_lowercase().contains(&word.to_lowercase()), "{lake} {endpoint}: {told}");
        assert!(!told.contains(SECRET), "{told}");
    }
    let mut command = arena.command(&["status", "--output", "json"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env("AWS_EC2_METADATA_DISABLED", "true");
    let out = output(&mut command).expect(77);
    assert!(out.json()["error"]["help"].as_str().unwrap().contains("AWS_PROFILE"), "{}", out.stdout);
}

/// Makes every hard link fail, as file systems without them do; no such file system can be mounted everywhere.
const NO_LINKS: &str = "
#include <errno.h>
int link(const char *from, const char *to) { (void)from; (void)to; errno = EPERM; return -1; }
int linkat(int a, const char *from, int b, const char *to, int flags) {
  (void)a; (void)b; (void)flags; return link(from, to);
}
";

#[test]
fn a_file_system_without_hard_links_is_named_and_nothing_is_half_written() {
    let project = two_versions();
    project.write("no_links.c", NO_LINKS);
    let mut compile = std::process::Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o", "no_links.so", "no_links.c"]).current_dir(project.root());
    assert!(compile.status().expect("tests/run.sh names cc as needed").success());
    let before = project.tree("lake");
    let mut command = project.command(&["run", "--dataset", "t", "--window", WINDOW, "--force", "--output", "json"]);
    let result = output(command.env("LD_PRELOAD", project.path("no_links.so"))).expect(78).json();
    let told = result["error"]["message"].as_str().unwrap();
    assert!(told.contains("hard link") || result["error"]["help"].as_str().unwrap().contains("hard link"), "{result}");
    assert_eq!(project.tree("lake"), before, "the head and everything else stays");
    tiny::run(&project).expect(0);
}
