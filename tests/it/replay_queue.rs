//! `windrow replay --from-queue`: what is done is deleted, everything else stays and is told.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::sqs::Sqs;
use crate::support::{Out, Project, output};
use crate::tiny::{self, HEADER, ROW, Tiny, WINDOW, raw_file};

const GOOD: &str = r#"{"dataset":"t","window":"2024-01-02","reason":"replay","run_id":"r-1","evidence":["s3://lake/x"]}"#;
const BAD: &str = r#"{"dataset":"t","window":"2024-01-03","reason":"replay","run_id":"r-2"}"#;

/// Two windows that failed, of which the first was corrected since.
fn failed() -> Project {
    let project = Tiny::default().project();
    for window in [WINDOW, "2024-01-03"] {
        project.write(&format!("lake/raw/t/{window}/t.csv"), format!("{HEADER}x{ROW}"));
    }
    project.run(&["run", "--dataset", "t", "--from", WINDOW, "--to", "2024-01-04"]).expect(65);
    project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}"));
    project
}

fn from_queue(project: &Project, url: &str, more: &[&str]) -> Out {
    let mut command = project.command(&[&["replay", "--from-queue", url, "--output", "json"], more].concat());
    command.envs([("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")]);
    output(&mut command)
}

fn epochs(project: &Project, window: &str) -> usize {
    project.documents("claim").keys().filter(|key| key.contains(&format!("/{window}/"))).count()
}

#[test]
fn what_is_published_is_deleted_and_everything_else_stays_with_a_reason() {
    let project = failed();
    let unknown = r#"{"dataset":"u","window":"2024-01-02"}"#;
    let queue = Sqs::start(&[BAD, "not json", GOOD, unknown, GOOD, r#"{"dataset":"t","window":"someday"}"#]);
    let out = from_queue(&project, &queue.url(), &[]).expect(65);
    assert_eq!(queue.left(), ["m-0", "m-1", "m-3", "m-5"]);
    let result = out.json();
    assert_eq!(result["counts"], json!({"ok": 1, "skip": 0, "quarantined": 1, "fail": 0, "left": 0, "rows": 1}));
    assert_eq!((&result["queue"]["received"], &result["queue"]["deleted"]), (&json!(6), &json!(2)));
    let left = |number: usize| -> Value {
        let id = format!("m-{number}");
        let all = result["queue"]["left"].as_array().unwrap();
        all.iter().find(|left| left["message_id"] == id.as_str()).unwrap_or_else(|| panic!("{result}")).clone()
    };
    assert_eq!((&left(0)["dataset"], &left(0)["window"]), (&json!("t"), &json!("2024-01-03")));
    assert!(left(1)["why"].as_str().unwrap().contains("no JSON object"), "{result}");
    assert!(left(3)["why"].as_str().unwrap().contains("`u`"), "{result}");
    assert!(left(5)["why"].as_str().unwrap().contains("someday"), "{result}");
    assert!(out.stderr.contains("m-1") && out.stderr.contains("m-3") && out.stderr.contains("m-5"), "{}", out.stderr);
    assert_eq!((epochs(&project, WINDOW), epochs(&project, "2024-01-03")), (2, 2), "each window was tried once");
    assert!(queue.calls("ChangeMessageVisibility") >= 3, "both windows' messages were kept hidden meanwhile");
    let claims = project.documents("claim");
    assert_eq!(claims.values().filter(|claim| claim["reason"] == "replay").count(), 2);
}

#[test]
fn a_window_that_is_up_to_date_is_not_computed_and_its_message_is_deleted() {
    let project = failed();
    tiny::run(&project).expect(0);
    let queue = Sqs::start(&[GOOD]);
    let result = from_queue(&project, &queue.url(), &[]).expect(0).json();
    assert_eq!((&result["counts"]["skip"], &result["counts"]["ok"]), (&json!(1), &json!(0)));
    assert!(queue.left().is_empty());
    assert_eq!(epochs(&project, WINDOW), 2);
}

#[test]
fn an_empty_queue_and_a_bound_end_it() {
    let project = failed();
    let empty = Sqs::start(&[]);
    let out = from_queue(&project, &empty.url(), &[]).expect(0);
    assert!(out.stderr.contains("the queue is empty"), "{}", out.stderr);
    let two = Sqs::start(&[GOOD, BAD]);
    from_queue(&project, &two.url(), &["--max-messages", "1"]).expect(0);
    assert_eq!(two.left(), ["m-1"]);
}

#[test]
fn messages_that_cannot_be_understood_fail_the_call() {
    let project = failed();
    let queue = Sqs::start(&["[]"]);
    let result = from_queue(&project, &queue.url(), &[]).expect(78).json();
    assert_eq!(result["error"]["context"]["message_id"], "m-0", "{result}");
    assert_eq!(queue.left(), ["m-0"]);
}

#[test]
fn a_queue_that_cannot_be_asked_says_why() {
    let project = failed();
    let queue = Sqs::start(&[GOOD]);
    let other = queue.url().replace("/replay", "/other");
    let missing = from_queue(&project, &other, &[]).expect(78).json();
    assert!(missing["error"]["message"].as_str().unwrap().contains("does not exist"), "{missing}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = from_queue(&project, &format!("http://{closed}/000000000000/replay"), &[]).expect(75).json();
    assert_eq!(silent["error"]["error"], "Windrow.Transient", "{silent}");
    let none = from_queue(&project, "replay", &[]).expect(78).json();
    assert!(none["error"]["help"].as_str().unwrap().contains("https://sqs."), "{none}");
    assert_eq!(queue.left(), ["m-0"]);
}

#[test]
fn a_queue_and_a_dataset_are_two_ways_of_which_one_is_chosen() {
    let project = failed();
    let queue = Sqs::start(&[]);
    project.run(&["replay", "--from-queue", &queue.url(), "--dataset", "t"]).expect(64);
    project.run(&["replay"]).expect(64);
    project.run(&["replay", "--dataset", "t", "--max-messages", "2"]).expect(64);
    let mut by_flag = project.command(&["replay", "--dataset", "t", "--window", WINDOW]);
    output(by_flag.env("WINDROW_REPLAY_QUEUE", queue.url())).expect(0);
    assert_eq!(queue.calls("ReceiveMessage"), 0, "flags outrank the environment");
}

#[test]
fn a_window_of_another_lake_or_profile_stays_for_who_has_those() {
    let project = failed();
    let of = |more: &str| GOOD.replacen('{', &format!("{{{more},"), 1);
    let bodies = [of(r#""lake":"s3://other/lake""#), of(r#""profile":"strict""#), of(r#""lake":"lake/","profile":"default""#)];
    let queue = Sqs::start(&bodies.each_ref().map(String::as_str));
    let out = from_queue(&project, &queue.url(), &[]).expect(78);
    assert_eq!(queue.left(), ["m-0", "m-1"]);
    assert!(out.stderr.contains("s3://other/lake") && out.stderr.contains("`strict`"), "{}", out.stderr);
    assert_eq!(epochs(&project, WINDOW), 2, "the third message's window was replayed");
}
