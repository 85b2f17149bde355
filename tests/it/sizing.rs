//! `windrow sizing`: limits that hold, failures as rows, and a lake that is left as it was.
//!
//! These tests need control groups that can be written (root, or a delegated systemd session). Without them they fail, with
//! what `windrow sizing` itself says is missing.

use std::fs;

use serde_json::Value;

use crate::support::{Out, Project};
use crate::tiny::{self, HEADER, ROW, Tiny, WINDOW, raw_file};

/// Rows that keep a core busy for longer than a quota's period.
const MANY: usize = 150_000;

fn project(rows: usize) -> Project {
    let project = Tiny { is_curated: true, ..Tiny::default() }.project();
    project.write(&raw_file("t.csv"), format!("{HEADER}{}", ROW.repeat(rows)));
    project
}

/// The verb with what every case needs.
fn sizing(project: &Project, flags: &[&str]) -> Out {
    project.run_json(&[&["sizing", "--dataset", "t", "--window", WINDOW], flags].concat())
}

/// The result of a call that could set limits.
#[track_caller]
fn measured(out: Out) -> Value {
    let why = "sizing must be able to set limits for its tests: run them as root where /sys/fs/cgroup can be written";
    assert!(!out.stderr.contains("cannot be limited here"), "{why}: {}", out.stderr);
    out.expect(0).json()
}

fn row<'a>(result: &'a Value, worker: &str) -> &'a Value {
    let rows = result["workers"].as_array().unwrap();
    rows.iter().find(|row| row["worker"] == worker).unwrap_or_else(|| panic!("no row {worker} in {result}"))
}

#[test]
fn limits_hold_and_a_worker_without_memory_is_a_row_among_others() {
    let project = project(MANY);
    let before = project.tree("lake");
    let result = measured(sizing(&project, &["--workers", "1x0.016,0.5x2,1x2", "--stages", "raw-to-clean"]));

    let small = row(&result, "1x0.016");
    assert_eq!((&small["state"], &small["failure"]["kind"]), (&"failed".into(), &"OutOfMemory".into()), "{small}");
    assert!(small["failure"]["signal"] == 9 || small["failure"]["exit_code"] == 71, "{small}");
    assert_eq!((&small["wall_seconds"], small["bills"].as_array().unwrap().len()), (&Value::Null, 0));

    let half = row(&result, "0.5x2");
    let (wall, cpu) = (half["wall_seconds"].as_f64().unwrap(), half["cpu_seconds"].as_f64().unwrap());
    assert!(cpu > 0.2, "the window is too small to prove a limit: {half}");
    assert!(cpu / wall <= 0.6, "{cpu} CPU s in {wall} s are more than half a core");
    assert_eq!(row(&result, "1x2")["state"], "measured");
    for worker in ["0.5x2", "1x2"] {
        let row = row(&result, worker);
        assert!(row["peak_bytes"].as_u64().unwrap() > 20 << 20, "{row}");
        assert!(row["peak_bytes"].as_u64() < row["memory_bytes"].as_u64(), "{row}");
        assert_eq!(row["runs"][0]["rows_in"], MANY, "{row}");
    }

    assert_eq!(project.tree("lake"), before, "the lake was touched");
    let left: Vec<_> = fs::read_dir(project.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".windrow-sizing")), "{left:?}");
}

#[test]
fn the_result_prices_measured_and_modelled_workers_and_recommends_one() {
    let project = project(20);
    let flags = ["--workers", "0.5x1,1x2,64x120", "--deadline", "1h", "--runs", "2", "--spark-seconds", "99.5", "--svg", "s.svg"];
    let result = measured(sizing(&project, &flags));
    for (key, expected) in [("verb", "sizing"), ("dataset", "t"), ("window", WINDOW), ("status", "ok"), ("stages", "all")] {
        assert_eq!(result[key], expected, "{key}");
    }
    assert_eq!((&result["schema"], &result["exit_code"], &result["deadline_seconds"]), (&1.into(), &0.into(), &3600.into()));
    let size = fs::metadata(project.path(&raw_file("t.csv"))).unwrap().len();
    assert_eq!(result["input"], serde_json::json!({"files": 1, "bytes": size}));
    assert_eq!(row(&result, "1x2")["runs"].as_array().unwrap().len(), 2);

    // Both take less than a minute: half a vCPU with 1 GB for 60 s is (0.5 × 0.04048 + 0.004445) / 60.
    let best = &result["recommendation"];
    assert_eq!((&best["worker"], &best["offer"]), (&"0.5x1".into(), &"fargate-x86".into()));
    assert!((best["usd"].as_f64().unwrap() - 0.024685 / 60.0).abs() < 1e-12, "{best}");
    let per_tb = best["usd"].as_f64().unwrap() / (size as f64 / 1e12);
    assert!((best["usd_per_tb"].as_f64().unwrap() / per_tb - 1.0).abs() < 1e-9, "{best}");
    assert_eq!(best["billed_seconds"], 60);

    // No machine of these tests has 64 vCPUs, and workers of one core do not tell serial from parallel work.
    let large = row(&result, "64x120");
    assert_eq!((&large["state"], &result["model"]), (&"unknown".into(), &Value::Null), "{large}");
    assert!(large["notes"][0].as_str().unwrap().contains("more than one vCPU"), "{large}");

    let spark = &result["spark"]["bill"];
    assert_eq!((&spark["billed_seconds"], &spark["size"]), (&100.into(), &"2 x G.1X".into()));
    assert!((spark["usd"].as_f64().unwrap() - 0.88 / 36.0).abs() < 1e-12, "{spark}");
    assert_eq!(result["prices"]["file"], "jobs/prices/us-east-1.toml");
    let drawn = fs::read_to_string(project.path("s.svg")).unwrap();
    assert!(drawn.starts_with("<svg ") && drawn.contains("0.5x1 ★") && drawn.trim_end().ends_with("</svg>"), "{drawn}");
}

#[test]
fn a_worker_larger_than_the_machine_is_modelled_from_one_and_two_cores() {
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(cores >= 2, "modelling is measured on two cores, this machine has {cores}");
    let result = measured(sizing(&project(20), &["--workers", "1x1,2x1,128x4", "--stages", "raw-to-clean"]));
    let (model, large) = (&result["model"], row(&result, "128x4"));
    assert_eq!((&large["state"], &model["points"]), (&"modelled".into(), &2.into()), "{result}");
    let law = model["serial_seconds"].as_f64().unwrap() + model["parallel_seconds"].as_f64().unwrap() / 128.0;
    assert!((large["wall_seconds"].as_f64().unwrap() / law - 1.0).abs() < 1e-9, "{large} of {model}");
    assert!(large["notes"].to_string().contains("far from what was measured (2 vCPU)"), "{large}");
}

#[test]
fn a_window_that_fails_everywhere_ends_with_its_own_exit_code_and_all_rows() {
    let project = Tiny::default().project();
    project.write(&raw_file("t.csv"), format!("{HEADER}two,,,,,,\n"));
    let out = sizing(&project, &["--workers", "0.5x1,1x1"]).expect(65);
    let result = out.json();
    assert_eq!(
        (&result["status"], &result["exit_code"], &result["recommendation"]),
        (&"failed".into(), &65.into(), &Value::Null)
    );
    assert_eq!(result["workers"].as_array().unwrap().len(), 2);
    assert_eq!(row(&result, "1x1")["failure"]["exit_code"], 65);
    assert_eq!(result["error"]["kind"], "SchemaMismatch");
    assert!(out.stderr.contains("finished on no worker"), "{}", out.stderr);
    assert!(!project.path("lake/store").exists() && !project.path("lake/quarantine").exists());
}

#[test]
fn what_the_environment_says_to_this_process_is_not_said_to_the_job() {
    let project = project(20);
    let mut command = project.command(&["sizing", "--dataset", "t", "--window", WINDOW, "--workers", "1x1", "--output", "json"]);
    command.envs([("WINDROW_RUN_ID", "r-mine"), ("WINDROW_LINEAGE", "lake"), ("WINDROW_RESULT_URI", "mine.json")]);
    let result = measured(crate::support::output(&mut command));
    let written: Value = serde_json::from_slice(&fs::read(project.path("mine.json")).unwrap()).unwrap();
    assert_eq!((&written, &result["run_id"]), (&result, &"r-mine".into()));
    assert!(!project.path("lake/runs").exists());
}

#[test]
fn wrong_values_are_refused_before_anything_is_run() {
    let project = project(1);
    let many = vec!["1x1"; 100].join(",");
    let usage: &[(&[&str], &str)] = &[
        (&["--workers", "0x1"], "0.05 to 192, in thousandths"),
        (&["--workers", "1x"], "such as 0.5x1"),
        (&["--workers", "abc"], "such as 0.5x1"),
        (&["--workers", ""], "such as 0.5x1"),
        (&["--workers", "1x2,2x4,1x2"], "worker 1x2 is named twice"),
        (&["--workers", &many], "100 workers are more than the 16"),
        (&["--workers", "1x1", "--deadline", "0"], "such as 90s"),
        (&["--workers", "1x1", "--deadline", "soon"], "such as 90s"),
        (&["--workers", "1x1", "--runs", "0"], "1..=99"),
        (&["--workers", "1x1", "--spark-seconds", "0"], "such as 94.3"),
        (&["--workers", "1x1", "--stages", "clean"], "raw-to-clean"),
        (&[], "--workers"),
    ];
    for (flags, hint) in usage {
        let out = sizing(&project, flags).expect(64);
        assert!(out.stderr.contains(hint), "{flags:?} says nothing of `{hint}`: {}", out.stderr);
        assert_eq!(out.stderr.matches("error").count(), 1, "{flags:?}: {}", out.stderr);
    }
    project.write("p.toml", "version = 1\nregoin = \"x\"\n");
    let misconfigured: &[(&[&str], &str)] = &[
        (&["--workers", "1x1", "--prices", "nowhere.toml"], "nowhere.toml"),
        (&["--workers", "1x1", "--prices", "p.toml"], "p.toml:2: unknown field `regoin`"),
        (&["--workers", "1x1", "--svg", "nowhere/s.svg"], "nowhere/s.svg"),
    ];
    for (flags, hint) in misconfigured {
        let out = sizing(&project, flags).expect(78);
        assert!(out.stderr.contains(hint), "{flags:?} says nothing of `{hint}`: {}", out.stderr);
    }
    project.run_json(&["sizing", "--dataset", "t", "--window", "2024-01-03", "--workers", "1x1"]).expect(66);
    assert!(!project.path("lake/store").exists());
}

#[test]
fn people_read_a_table_with_the_recommendation_last() {
    let project = project(20);
    let out = project.run(&["sizing", "--dataset", "t", "--window", WINDOW, "--workers", "0.5x1,1x2"]).expect(0);
    let recommended: Vec<&str> =
        out.stdout.lines().filter(|line| line.starts_with("Recommended: 0.5x1 on Fargate x86")).collect();
    assert_eq!(recommended.len(), 1, "{}", out.stdout);
    assert!(out.stdout.contains("worker  state") && out.stdout.contains("check them before you rely on them"), "{}", out.stdout);
    assert!(out.stderr.contains("[2/2] worker 1x2 "), "{}", out.stderr);
    assert!(tiny::run(&project).expect(0).json()["windows"][0]["tables"][0]["epoch"] == 1, "an epoch was used up");
}
