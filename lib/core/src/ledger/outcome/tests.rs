//! Documents that are odd, and the two decisions.

use super::*;
use crate::ledger::{CodeVersion, FailedCheck, InputEntry, Reason, content_sha256, inputs_sha256};
use proptest::prelude::*;

const PART: &str =
    "data/day=2013-01-01/e00000000000000000007-0190a0b0c0d070008000000000000001/part-00000-0123456789abcdef.parquet";

pub(super) fn claim() -> Claim {
    Claim {
        layer: "clean".parse().unwrap(),
        dataset: "flights".parse().unwrap(),
        window: "2013-01-01".parse().unwrap(),
        epoch: Epoch::new(7).unwrap(),
        attempt: "0190a0b0c0d070008000000000000001".parse().unwrap(),
        run_id: "run-1".parse().unwrap(),
        execution_id: None,
        reason: Reason::Schedule,
        code: CodeVersion { version: "0.1.0".into(), git: Some("0000000".into()) },
        config_sha256: "c".repeat(64),
        seen_head: Epoch::new(6),
    }
}

pub(super) fn staged() -> Staged {
    let inputs = vec![InputEntry {
        key: "raw/flights/2013-01-01/flights.csv".into(),
        size: 10,
        etag: Some("t".into()),
        last_modified: Some("2013-01-02T00:00:00+00:00".into()),
    }];
    let stats = serde_json::json!({"distance": {"max": 4983, "min": 80}});
    let files =
        vec![FileEntry { path: PART.parse().unwrap(), size: 20, sha256: format!("{:0<64}", "0123456789abcdef"), rows: 3, stats }];
    Staged {
        claim_sha256: Stored::encode(claim()).unwrap().sha256().to_owned(),
        inputs_sha256: inputs_sha256(&inputs).unwrap(),
        inputs,
        contract: ContractRef { id: "flights".into(), version: "1.0.0".into(), sha256: "d".repeat(64) },
        rows: RowCounts { read: 4, written: 3, rejected: 1 },
        content_sha256: content_sha256(&files).unwrap(),
        files,
        compacts: None,
    }
}

pub(super) fn check(status: Status) -> CheckDoc {
    let failed = FailedCheck {
        id: "no_nulls".into(),
        severity: crate::gate::Severity::Error,
        observed: "2".into(),
        threshold: "= 0".into(),
        sql_sha256: None,
    };
    CheckDoc {
        staged_sha256: Stored::encode(staged()).unwrap().sha256().to_owned(),
        profile: "default".into(),
        status,
        failed_checks: if status == Status::Fail { vec![failed] } else { vec![] },
        run_id: "run-1".parse().unwrap(),
    }
}

fn outcome(status: Status) -> Outcome {
    let (claim, staged) = (Stored::encode(claim()).unwrap(), Stored::encode(staged()).unwrap());
    Outcome::decide(&claim, Some(&staged), Some(&Stored::encode(check(status)).unwrap()), None).unwrap()
}

#[test]
fn unknown_fields_are_kept_and_change_the_digest() {
    let plain = Stored::encode(claim()).unwrap();
    let text = String::from_utf8(plain.bytes().to_vec()).unwrap().replacen('{', r#"{"added_later":true,"#, 1);
    let read = Stored::<Claim>::decode(text.clone()).unwrap();
    assert_eq!(read.document(), plain.document());
    assert_eq!(read.bytes(), text.as_bytes());
    assert_ne!(read.sha256(), plain.sha256());
}

#[test]
fn unknown_versions_are_refused_with_the_version() {
    for (version, shown) in [("2", "version 2"), ("\"1\"", "version \"1\""), ("1.0", "version 1.0")] {
        let text = String::from_utf8(Stored::encode(claim()).unwrap().bytes().to_vec()).unwrap();
        let error = Stored::<Claim>::decode(text.replace("\"v\":1", &format!("\"v\":{version}"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.to_string().contains(shown), "{error}");
    }
}

#[test]
fn damaged_documents_are_refused() {
    for text in ["", "{", r#"{"v":1}"#, r#"{"v":1,"decision":"maybe","files":[],"decided_by":"run"}"#] {
        assert_eq!(Stored::<Outcome>::decode(text).unwrap_err().kind(), ErrorKind::Internal, "{text}");
    }
    let hostile =
        String::from_utf8(Stored::encode(staged()).unwrap().bytes().to_vec()).unwrap().replace("data/day", "../raw/day");
    assert_eq!(Stored::<Staged>::decode(hostile).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn a_pass_publishes_the_staged_files_and_a_fail_does_not() {
    let published = outcome(Status::Pass);
    assert_eq!((published.decision, &published.files), (Decision::Published, &staged().files));
    let refused = outcome(Status::Fail);
    assert_eq!((refused.decision, refused.files.len()), (Decision::Quarantined, 0));
    let error = refused.error.unwrap();
    assert_eq!(error.kind, "QualityFailed");
    assert!(Key::parse(&error.evidence).is_some());
}

#[test]
fn an_error_quarantines_even_after_a_pass() {
    let (claim, staged) = (Stored::encode(claim()).unwrap(), Stored::encode(staged()).unwrap());
    let class = ErrorClass { kind: ErrorKind::CorruptInput, code: Some("W0501".into()) };
    let pass = Stored::encode(check(Status::Pass)).unwrap();
    let outcome = Outcome::decide(&claim, Some(&staged), Some(&pass), Some(&class)).unwrap();
    assert_eq!(outcome.decision, Decision::Quarantined);
    let early = Outcome::decide(&claim, None, None, Some(&class)).unwrap();
    assert_eq!((early.decision, early.staged_sha256), (Decision::Quarantined, None));
}

#[test]
fn documents_that_do_not_belong_together_decide_nothing() {
    let stored = Stored::encode(claim()).unwrap();
    let mut other = staged();
    other.rows.written = 2;
    let other = Stored::encode(other).unwrap();
    let pass = Stored::encode(check(Status::Pass)).unwrap();
    assert!(Outcome::decide(&stored, Some(&other), Some(&pass), None).is_err());
    assert!(Outcome::decide(&stored, None, Some(&pass), None).is_err());
    assert!(Outcome::decide(&stored, Some(&Stored::encode(staged()).unwrap()), None, None).is_err());
    let stranger = Stored::encode(Claim { epoch: Epoch::FIRST, ..claim() }).unwrap();
    assert!(Outcome::decide(&stranger, Some(&Stored::encode(staged()).unwrap()), Some(&pass), None).is_err());
}

#[test]
fn content_is_independent_of_paths_and_order() {
    let mut files = staged().files;
    files.push(FileEntry { sha256: "f".repeat(64), ..files[0].clone() });
    let digest = content_sha256(&files).unwrap();
    files.reverse();
    files[0].path.epoch = Epoch::new(9).unwrap();
    assert_eq!(content_sha256(&files).unwrap(), digest);
    files[0].rows += 1;
    assert_ne!(content_sha256(&files).unwrap(), digest);
}

proptest! {
    #[test]
    fn the_head_is_what_a_walk_downwards_finds(decisions in prop::collection::vec(0usize..4, 0..12)) {
        let all = [Decision::Published, Decision::Quarantined, Decision::Aborted, Decision::Retracted];
        let outcomes: Vec<Outcome> = decisions.iter().map(|&index| Outcome::of(all[index], DecidedBy::Run, None, None)).collect();
        let numbered: Vec<(Epoch, &Outcome)> = (1..).filter_map(Epoch::new).zip(&outcomes).collect();
        let mut expected = None;
        for (epoch, outcome) in numbered.iter().rev() {
            match outcome.decision {
                Decision::Published => { expected = Some(*epoch); break }
                Decision::Retracted => break,
                Decision::Quarantined | Decision::Aborted => {}
            }
        }
        prop_assert_eq!(resolve(numbered).map(|(epoch, _)| epoch), expected);
    }
}
