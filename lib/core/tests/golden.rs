//! Golden files of every persisted document: what was written once stays readable, and is written the same, for ever.
//!
//! A golden file is never edited. A new version of a document gets a folder of its own beside `v1`, and `v1` stays.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test binary; clippy knows only #[test] functions as tests")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use windrow_core::ErrorKind;
use windrow_core::gate::{Severity, Status};
use windrow_core::ledger::{
    CheckDoc, Claim, CodeVersion, ContractRef, DecidedBy, Document, ErrorClass, FailedCheck, FileEntry, Format, InputEntry,
    Outcome, Reason, RowCounts, Staged, Stored, content_sha256, inputs_sha256,
};
use windrow_core::{Code, Epoch};

const PART: &str =
    "data/day=2013-01-01/e00000000000000000007-0190a0b0c0d070008000000000000001/part-00000-0123456789abcdef.parquet";

fn claim(reason: Reason) -> Stored<Claim> {
    let is_rollback = reason == Reason::Rollback;
    let claim = Claim {
        layer: "clean".parse().unwrap(),
        dataset: "flights".parse().unwrap(),
        window: "2013-01-01".parse().unwrap(),
        epoch: Epoch::new(7).unwrap(),
        attempt: "0190a0b0c0d070008000000000000001".parse().unwrap(),
        run_id: "run-1".parse().unwrap(),
        execution_id: is_rollback.then(|| "arn:aws:states:eu-central-1:000000000000:execution:orders:é".to_owned()),
        reason,
        code: CodeVersion { version: "0.1.0".into(), git: (!is_rollback).then(|| "0000000".into()) },
        config_sha256: "c".repeat(64),
        seen_head: if is_rollback { None } else { Epoch::new(6) },
    };
    Stored::encode(claim).unwrap()
}

fn staged() -> Stored<Staged> {
    let inputs = vec![InputEntry {
        key: "raw/flights/2013-01-01/flights.csv".into(),
        size: 10,
        etag: Some("t".into()),
        last_modified: Some("2013-01-02T00:00:00+00:00".into()),
    }];
    let stats = serde_json::json!({"distance": {"max": 4983, "min": 80}});
    let sha256 = format!("{:0<64}", "0123456789abcdef");
    let files = vec![FileEntry { path: PART.parse().unwrap(), size: 20, sha256, rows: 3, stats }];
    let staged = Staged {
        claim_sha256: claim(Reason::Schedule).sha256().to_owned(),
        inputs_sha256: inputs_sha256(&inputs).unwrap(),
        inputs,
        contract: ContractRef { id: "flights".into(), version: "1.0.0".into(), sha256: "d".repeat(64) },
        rows: RowCounts { read: 4, written: 3, rejected: 1 },
        content_sha256: content_sha256(&files).unwrap(),
        files,
        compacts: None,
    };
    Stored::encode(staged).unwrap()
}

/// The same rows in other files.
fn compacted() -> Stored<Staged> {
    let staged = staged().document().clone();
    let claim_sha256 = claim(Reason::Compact).sha256().to_owned();
    Stored::encode(Staged { claim_sha256, compacts: Epoch::new(6), ..staged }).unwrap()
}

fn check(status: Status) -> Stored<CheckDoc> {
    let failed = FailedCheck {
        id: "no_nulls".into(),
        severity: Severity::Error,
        observed: "2".into(),
        threshold: "= 0".into(),
        sql_sha256: None,
    };
    let check = CheckDoc {
        staged_sha256: staged().sha256().to_owned(),
        profile: "default".into(),
        status,
        failed_checks: if status == Status::Fail { vec![failed] } else { vec![] },
        run_id: "run-1".parse().unwrap(),
    };
    Stored::encode(check).unwrap()
}

fn decided(status: Option<Status>, error: Option<Code>) -> Stored<Outcome> {
    let (claim, staged, check) = (claim(Reason::Schedule), staged(), status.map(check));
    let staged = check.is_some().then_some(&staged);
    let class = error.map(ErrorClass::of_code);
    Stored::encode(Outcome::decide(&claim, staged, check.as_ref(), class.as_ref()).unwrap()).unwrap()
}

/// What today's writers make of the fixed inputs, by file.
fn written() -> BTreeMap<&'static str, Vec<u8>> {
    let format = Format::new("0190a0b0-c0d0-7000-8000-000000000001", "day".parse().unwrap());
    let encoded = |outcome| Stored::encode(outcome).unwrap().bytes().to_vec();
    BTreeMap::from([
        ("claim.json", claim(Reason::Schedule).bytes().to_vec()),
        ("claim_rollback.json", claim(Reason::Rollback).bytes().to_vec()),
        ("claim_compact.json", claim(Reason::Compact).bytes().to_vec()),
        ("staged.json", staged().bytes().to_vec()),
        ("staged_compacted.json", compacted().bytes().to_vec()),
        ("check.json", check(Status::Fail).bytes().to_vec()),
        ("check_pass.json", check(Status::Pass).bytes().to_vec()),
        ("outcome_published.json", decided(Some(Status::Pass), None).bytes().to_vec()),
        ("outcome_quarantined.json", decided(Some(Status::Fail), None).bytes().to_vec()),
        ("outcome_quarantined_unstaged.json", decided(None, Some(Code::MissingColumn)).bytes().to_vec()),
        ("outcome_aborted.json", encoded(Outcome::aborted(DecidedBy::Gc))),
        ("outcome_retracted.json", encoded(Outcome::retracted())),
        ("format.json", Stored::encode(format).unwrap().bytes().to_vec()),
    ])
}

fn golden_files() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn writers_make_the_bytes_they_always_made() {
    let golden = golden_files();
    let written = written();
    assert_eq!(golden.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>(), "a file for each, each with a writer");
    for (file, bytes) in &written {
        assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&golden[*file]), "{file}");
    }
}

/// Everything that must hold of a golden file, whatever document it is.
fn holds<D: Document + Clone + PartialEq + Debug>(file: &str, bytes: &[u8]) {
    let read = Stored::<D>::decode(bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
    let again = Stored::encode(read.document().clone()).unwrap();
    assert_eq!((again.bytes(), again.sha256()), (bytes, read.sha256()), "{file}: read and written again");
    let text = std::str::from_utf8(bytes).unwrap();
    let later = text.replacen('{', r#"{"a_field_of_later":{"deep":[1]},"#, 1);
    let kept = Stored::<D>::decode(later.clone()).unwrap();
    assert_eq!((kept.document(), kept.bytes()), (read.document(), later.as_bytes()), "{file}: unknown fields are kept");
    assert_ne!(kept.sha256(), read.sha256(), "{file}: and count in the digest");
    for version in ["2", "0", "1.0", "\"1\"", "null"] {
        let error = Stored::<D>::decode(text.replace(r#""v":1"#, &format!(r#""v":{version}"#))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{file} {version}");
        let expected = format!("{} document has version {version}; this build reads version 1", D::NAME);
        assert_eq!(error.message(), expected, "{file}");
        assert!(error.help_text().is_some_and(|help| help.contains("newer windrow")), "{file}");
    }
    let without = text.replace(r#","v":1"#, "");
    assert_eq!(Stored::<D>::decode(without).unwrap_err().kind(), ErrorKind::Misconfigured, "{file} without a version");
    for end in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        assert_eq!(Stored::<D>::decode(&bytes[..end]).unwrap_err().kind(), ErrorKind::Internal, "{file} cut at {end}");
    }
}

#[test]
fn every_golden_file_is_read_kept_and_guarded_by_its_version() {
    for (file, bytes) in golden_files() {
        match file.split(['.', '_']).next().unwrap() {
            "claim" => holds::<Claim>(&file, &bytes),
            "staged" => holds::<Staged>(&file, &bytes),
            "check" => holds::<CheckDoc>(&file, &bytes),
            "outcome" => holds::<Outcome>(&file, &bytes),
            "format" => holds::<Format>(&file, &bytes),
            other => panic!("no document is called {other}"),
        }
    }
}

#[test]
fn a_decision_over_documents_as_read_writes_the_golden_outcome() {
    let golden = golden_files();
    let claim = Stored::<Claim>::decode(golden["claim.json"].clone()).unwrap();
    let staged = Stored::<Staged>::decode(golden["staged.json"].clone()).unwrap();
    for (check, outcome) in [("check_pass.json", "outcome_published.json"), ("check.json", "outcome_quarantined.json")] {
        let check = Stored::<CheckDoc>::decode(golden[check].clone()).unwrap();
        let decided = Outcome::decide(&claim, Some(&staged), Some(&check), None).unwrap();
        assert_eq!(Stored::encode(decided).unwrap().bytes(), golden[outcome], "{outcome}");
    }
}

#[test]
fn a_document_of_another_kind_is_refused() {
    let golden = golden_files();
    assert_eq!(Stored::<Outcome>::decode(golden["claim.json"].clone()).unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(Stored::<Staged>::decode(golden["check.json"].clone()).unwrap_err().kind(), ErrorKind::Internal);
}
