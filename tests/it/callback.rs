//! Supervised jobs: what the state machine is told, what is printed and written, and that the token stays a secret.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::arena::Arena;
use crate::orchestrator::{Orchestrator, TOKEN};
use crate::support::{Out, Project, exit_code, output, windrow};
use crate::tiny::{HEADER, ROW, Tiny, WINDOW, raw_file};

const STAGE: [&str; 5] = ["raw-to-clean", "--dataset", "t", "--window", WINDOW];

fn project(rows: &str) -> Project {
    let project = Tiny::default().project();
    project.write(&raw_file("t.csv"), format!("{HEADER}{rows}"));
    project
}

/// A job whose lake is a server that takes connections and never answers: it works until it is stopped.
struct Stalled {
    child: Child,
    silent: TcpListener,
    project: Project,
}

impl Stalled {
    fn start(orchestrator: &Orchestrator, arguments: &[&str]) -> Stalled {
        let project = project(ROW);
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = project.command(&[&STAGE[..], arguments].concat());
        orchestrator.employ_without_token(&mut command);
        if !arguments.contains(&"--task-token") {
            orchestrator.employ(&mut command);
        }
        command.env("WINDROW_LAKE", "s3://acme-lake/t").env("WINDROW_HEARTBEAT_SECONDS", "1");
        command.env("AWS_ENDPOINT_URL_S3", format!("http://{}", silent.local_addr().unwrap()));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Stalled { child, silent, project }
    }

    /// Waits until the job has asked its lake, and keeps that connection open.
    fn wait_for_work(&self) -> TcpStream {
        self.silent.accept().unwrap().0
    }

    /// The process the supervisor started.
    fn job(&self) -> u32 {
        let parent = self.child.id().to_string();
        let is_child = |id: &u32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // The name in parentheses may hold blanks; state and parent follow it.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.split(' ').nth(1) == Some(parent.as_str()))
        };
        let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        ids.into_iter().find(is_child).expect("the supervisor has no child")
    }

    fn finish(self) -> (Out, Project) {
        let finished = self.child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (Out { code: exit_code(finished.status), stdout: text(finished.stdout), stderr: text(finished.stderr) }, self.project)
    }
}

fn send(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

#[track_caller]
fn assert_secret(out: &Out) {
    assert!(!out.stdout.contains(TOKEN) && !out.stderr.contains(TOKEN), "{}\n{}", out.stdout, out.stderr);
}

#[test]
fn a_success_carries_the_result_that_is_printed_and_written() {
    let (orchestrator, project) = (Orchestrator::start(), project(ROW));
    let mut command = project.command(&[&STAGE[..], &["--output", "table", "--result-uri", "result.json"]].concat());
    let out = output(orchestrator.employ(&mut command)).expect(0);
    let call = orchestrator.answer();
    assert_eq!(call.name, "SendTaskSuccess");
    let told: Value = serde_json::from_str(call.body["output"].as_str().unwrap()).unwrap();
    assert_eq!(told, out.json());
    assert_eq!(fs::read_to_string(project.path("result.json")).unwrap(), out.stdout);
    for (key, value) in [("status", "staged"), ("verb", "raw-to-clean"), ("dataset", "t"), ("layer", "clean"), ("window", WINDOW)]
    {
        assert_eq!(told[key], value);
    }
    assert!(told["run_id"].is_string() && told.get("alert").is_none());
    orchestrator.assert_silent();
    assert_secret(&out);
}

#[test]
fn a_data_error_carries_its_name_and_where_it_is() {
    let (orchestrator, project) = (Orchestrator::start(), project(&format!("{ROW}two,,,,,,\n")));
    let out = output(orchestrator.employ(&mut project.command(&STAGE))).expect(65);
    let call = orchestrator.answer();
    assert_eq!((call.name.as_str(), &call.body["error"]), ("SendTaskFailure", &"Windrow.SchemaMismatch".into()));
    let cause = call.cause();
    let alert = "t for 2024-01-02 not published: 1 row breaks t.raw: n is not an integer; quarantined";
    assert_eq!((&cause["alert"], &out.json()["alert"]), (&alert.into(), &alert.into()));
    let finding = &cause["findings"][0];
    assert!(finding["file"].as_str().unwrap().ends_with(&raw_file("t.csv")), "{finding}");
    assert_eq!((&finding["code"], &finding["line"], &finding["column"]), (&"W0201".into(), &3.into(), &1.into()));
    assert_eq!((&finding["found"], &finding["expected"]), (&"two".into(), &"expected integer (i32)".into()));
    assert_eq!((&cause["rows"]["read"], &cause["rows"]["refused"]), (&2.into(), &1.into()));
    let evidence = project.path(cause["evidence"].as_str().unwrap());
    assert!(evidence.ends_with("evidence.json") && evidence.is_file(), "{}", evidence.display());
    for key in ["kind", "message", "help", "dataset", "layer", "window", "run_id"] {
        assert!(cause[key].is_string(), "{key}: {cause}");
    }
}

#[test]
fn a_gate_that_fails_is_a_success_with_an_alert() {
    let project = Tiny { row_count: "mustBeGreaterThan: 9", ..Tiny::default() }.project();
    project.write(&raw_file("t.csv"), format!("{HEADER}{ROW}"));
    project.run(&STAGE).expect(0);
    let orchestrator = Orchestrator::start();
    let mut command = project.command(&["check", "--dataset", "t", "--layer", "clean", "--window", WINDOW]);
    let result = output(orchestrator.employ(&mut command)).expect(0).json();
    assert_eq!(orchestrator.answer().name, "SendTaskSuccess");
    assert_eq!((&result["status"], &result["layer"]), (&"FAIL".into(), &"clean".into()));
    assert_eq!(result["alert"], "t for 2024-01-02 not published: 1 check failed: some_rows");
    let published = project.run_json(&["publish", "--dataset", "t", "--layer", "clean", "--window", WINDOW]).expect(80).json();
    assert_eq!(published["alert"], "t for 2024-01-02 not published: 1 check failed: some_rows; quarantined");
}

#[test]
fn heartbeats_arrive_while_it_works_and_a_stopped_job_is_transient() {
    let orchestrator = Orchestrator::start();
    let stalled = Stalled::start(&orchestrator, &["--task-token", TOKEN, "--result-uri", "result.json"]);
    let _connection = stalled.wait_for_work();
    for _ in 0..3 {
        assert_eq!(orchestrator.next().name, "SendTaskHeartbeat");
    }
    let job = stalled.job();
    for file in ["environ", "cmdline"] {
        let text = String::from_utf8(fs::read(format!("/proc/{job}/{file}")).unwrap()).unwrap();
        assert!(
            !text.contains(TOKEN) && text.contains(if file == "environ" { "WINDROW_LAKE" } else { "raw-to-clean" }),
            "{text}"
        );
    }
    assert_eq!(fs::read_to_string(format!("/proc/{job}/oom_score_adj")).unwrap().trim(), "500");
    send("-TERM", stalled.child.id());
    let (out, project) = stalled.finish();
    let out = out.expect(143);
    let call = orchestrator.answer();
    assert_eq!((call.name.as_str(), &call.body["error"]), ("SendTaskFailure", &"Windrow.Transient".into()));
    assert_eq!(call.cause()["alert"], "t for 2024-01-02 not published: the job was stopped before it was done");
    assert_eq!(fs::read_to_string(project.path("result.json")).unwrap(), out.stdout);
    assert_secret(&out);
    orchestrator.assert_silent();
}

#[test]
fn a_job_that_the_kernel_kills_ran_out_of_memory() {
    let orchestrator = Orchestrator::start();
    let stalled = Stalled::start(&orchestrator, &["--result-uri", "result.json", "--log-format", "json"]);
    let _connection = stalled.wait_for_work();
    send("-KILL", stalled.job());
    let (out, project) = stalled.finish();
    let out = out.expect(71);
    let call = orchestrator.answer();
    assert_eq!((call.name.as_str(), &call.body["error"]), ("SendTaskFailure", &"Windrow.OutOfMemory".into()));
    assert_eq!(call.cause()["alert"], "t for 2024-01-02 not published: the worker ran out of memory");
    let result = out.json();
    assert_eq!((&result["error"]["kind"], &result["exit_code"]), (&"OutOfMemory".into(), &71.into()));
    assert_eq!(call.cause()["run_id"], result["run_id"]);
    assert_eq!(fs::read_to_string(project.path("result.json")).unwrap(), out.stdout);
    assert_secret(&out);
}

#[test]
fn a_killed_supervisor_leaves_no_job_behind() {
    let orchestrator = Orchestrator::start();
    let stalled = Stalled::start(&orchestrator, &[]);
    let connection = stalled.wait_for_work();
    send("-KILL", stalled.child.id());
    // What the job asked its lake is read to its end, which comes when the job is gone.
    std::io::copy(&mut &connection, &mut std::io::sink()).unwrap_or_default();
    assert_eq!(stalled.finish().0.code, 128 + 9);
}

#[test]
fn a_state_machine_that_has_given_up_stops_the_job() {
    for (heard, error) in [(1, "TaskTimedOut"), (1, "TaskDoesNotExist"), (0, "TaskTimedOut")] {
        let orchestrator = Orchestrator::answering(move |_, before| (before >= heard).then_some(error));
        let stalled = Stalled::start(&orchestrator, &[]);
        let _connection = (heard > 0).then(|| stalled.wait_for_work());
        let (out, _) = stalled.finish();
        let out = out.expect(143);
        assert!(out.stderr.contains("SendTaskHeartbeat: nobody waits") && out.stderr.contains(error), "{}", out.stderr);
        assert_secret(&out);
    }
}

#[test]
fn a_token_that_nobody_knows_stops_nothing() {
    for error in ["InvalidToken", "TaskDoesNotExist"] {
        let orchestrator = Orchestrator::answering(move |_, _| Some(error));
        let out = output(orchestrator.employ(&mut project(ROW).command(&STAGE))).expect(0);
        assert_eq!(orchestrator.answer().name, "SendTaskSuccess");
        assert!(out.stderr.contains(error) && out.json()["status"] == "staged", "{}", out.stderr);
        assert_secret(&out);
    }
}

#[test]
fn a_state_machine_that_cannot_be_reached_is_told_and_stops_nothing() {
    let orchestrator = Orchestrator::start();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let project = project("two,,,,,,\n");
    let mut command = project.command(&STAGE);
    let out = output(orchestrator.employ(&mut command).env("AWS_ENDPOINT_URL_SFN", format!("http://{nobody}"))).expect(65);
    assert!(out.stderr.contains("the state machine could not be reached"), "{}", out.stderr);
    assert_eq!(out.json()["error"]["kind"], "SchemaMismatch");
    assert_secret(&out);
}

#[test]
fn a_mistake_on_the_command_line_is_told_too() {
    for binary in [windrow, || clean_binary(env!("CARGO_BIN_EXE_orders_raw_to_clean"))] {
        let (orchestrator, project) = (Orchestrator::start(), project(ROW));
        let mut command = binary();
        let is_thin = command.get_program() != windrow().get_program();
        command.current_dir(project.root());
        if !is_thin {
            command.args(["raw-to-clean", "--dataset", "orders"]);
        }
        command.args(["--window", WINDOW, "--no-such-flag", "--result-uri=result.json"]);
        let out = output(orchestrator.employ(&mut command)).expect(64);
        let call = orchestrator.answer();
        assert_eq!((call.name.as_str(), &call.body["error"]), ("SendTaskFailure", &"Windrow.Usage".into()));
        let alert = "orders for 2024-01-02 not published: the job was called wrongly: unexpected argument '--no-such-flag' found";
        assert_eq!(call.cause()["alert"], alert);
        assert_eq!((&out.json()["verb"], &out.json()["alert"]), (&"raw-to-clean".into(), &alert.into()));
        assert_eq!(fs::read_to_string(project.path("result.json")).unwrap(), out.stdout);
        assert!(out.stderr.contains("--no-such-flag") && out.stderr.contains("Usage:"), "{}", out.stderr);
    }
}

fn clean_binary(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command
}

#[test]
fn an_empty_token_is_none_and_help_is_an_answer() {
    let (orchestrator, project) = (Orchestrator::start(), project(ROW));
    for blank in ["", " "] {
        let mut command = project.command(&STAGE);
        output(orchestrator.employ(&mut command).env("WINDROW_TASK_TOKEN", blank)).expect(0);
        orchestrator.assert_silent();
    }
    let help = output(orchestrator.employ(&mut project.command(&["publish", "--help"]))).expect(0);
    assert!(help.stdout.contains("WINDROW_TASK_TOKEN]") && help.stdout.contains("WINDROW_HEARTBEAT_SECONDS]"));
    assert_eq!(orchestrator.answer().name, "SendTaskSuccess");
    assert_secret(&help);
}

#[test]
fn a_result_goes_to_the_lake_whatever_becomes_of_the_window() {
    let arena = Arena::s3(Tiny::default().project());
    let lake = arena.command(&[]).get_envs().find_map(|(key, value)| (key == "WINDROW_LAKE").then(|| value.unwrap().to_owned()));
    let lake = lake.unwrap().into_string().unwrap();
    let key = "runs/t/2024-01-02/r-1/raw-to-clean.json";
    let run = |uri: &str, more: &[&str]| arena.run(&[&STAGE[..], &["--result-uri", uri], more].concat());
    let written = || String::from_utf8(arena.block_on(arena.lake.get_bytes(key)).unwrap().to_vec()).unwrap();
    let uri = format!("{lake}/{key}");
    let missing = run(&uri, &[]).expect(66);
    assert_eq!(written(), missing.stdout);
    arena.produce(&format!("raw/t/{WINDOW}/t.csv"), format!("{HEADER}two,,,,,,\n").into_bytes());
    let broken = run(&uri, &[]).expect(65);
    assert_eq!(written(), broken.stdout);
    arena.produce(&format!("raw/t/{WINDOW}/t.csv"), format!("{HEADER}{ROW}").into_bytes());
    let good = run(&uri, &[]).expect(0);
    assert_eq!((written(), &good.json()["status"]), (good.stdout.clone(), &"staged".into()));
    let misused = run(&uri, &["--no-such-flag"]).expect(64);
    assert_eq!(written(), misused.stdout);
    // A project that cannot be loaded: the lake's address is still known.
    let lost = run(&uri, &["--project", "nowhere"]).expect(78);
    assert_eq!(written(), lost.stdout);
    for taken in ["raw/t/r.json", "store/r.json", "clean/t/r.json"] {
        let refused = run(&format!("{lake}/{taken}"), &[]).expect(78);
        assert!(refused.stderr.contains("runs/"), "{}", refused.stderr);
    }
}

#[test]
fn a_result_that_cannot_be_written_fails_what_succeeded_and_nothing_else() {
    let arena = Arena::s3(Tiny::default().project());
    let run = || arena.run(&[&STAGE[..], &["--result-uri", "s3://no-such-bucket/runs/r.json"]].concat());
    let missing = run().expect(66);
    assert!(missing.stderr.contains("the result was not written"), "{}", missing.stderr);
    arena.produce(&format!("raw/t/{WINDOW}/t.csv"), format!("{HEADER}{ROW}").into_bytes());
    let lost = run();
    assert!([77, 78].contains(&lost.code), "{}: {}", lost.code, lost.stderr);
    let result = lost.json();
    assert_eq!(result["alert"], "t for 2024-01-02: the work is done, but the result could not be written");
    assert_eq!(result["error"]["context"]["result_uri"], "s3://no-such-bucket/runs/r.json");
}

#[test]
fn a_result_file_that_cannot_be_written_is_refused_before_any_work() {
    let project = project(ROW);
    for (uri, hint) in [("nowhere/r.json", "cannot be written"), ("windrow.toml", "is no result"), ("gs://b/r.json", "not on S3")]
    {
        let out = project.run_json(&[&STAGE[..], &["--result-uri", uri]].concat()).expect(78);
        assert!(out.stderr.contains(hint) && out.stderr.matches(hint).count() == 1, "{uri}: {}", out.stderr);
        assert_eq!(out.json()["error"]["kind"], "Misconfigured");
    }
    assert!(!project.path("lake/store").exists());
}
