//! Every decision over every age.

use super::*;
use proptest::prelude::*;

fn attempt(number: u64) -> Attempt {
    format!("{number:032x}").parse().unwrap()
}

fn part(epoch: u64, number: u32) -> PartPath {
    let text = format!("data/day=2013-01-01/e{epoch:020}-{}/part-{number:05}-0123456789abcdef.parquet", attempt(epoch));
    text.parse().unwrap()
}

/// A window of epochs 1, 2, …, each with the decision, its age in days, and one file that was published.
fn window(decided: &[Option<(Decision, u32)>]) -> WindowFacts {
    let facts = |(number, decided): (u64, &Option<(Decision, u32)>)| {
        let decided = decided.map(|(decision, days)| (decision, DAY * days));
        let files = if matches!(decided, Some((Decision::Published, _))) { vec![part(number, 0)] } else { vec![] };
        let facts = EpochFacts { attempt: Some(attempt(number)), decided, files, youngest: DAY * 2 };
        (Epoch::new(number).unwrap(), facts)
    };
    WindowFacts { epochs: (1..).zip(decided).map(facts).collect() }
}

fn fate(facts: &WindowFacts, epoch: u64) -> Fate {
    facts.fate_of_part(&GcPolicy::default(), &part(epoch, 0), DAY * 2)
}

#[test]
fn a_short_retention_is_refused() {
    let policy = |days| GcPolicy { retention: DAY * days, ..GcPolicy::default() };
    assert!(policy(7).validate().is_ok());
    let error = policy(6).validate().unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Misconfigured);
}

#[test]
fn the_head_stays_at_any_age() {
    let facts =
        window(&[Some((Decision::Published, 4000)), Some((Decision::Aborted, 3000)), Some((Decision::Quarantined, 3000))]);
    assert_eq!(fate(&facts, 1), Fate::Head);
    assert_eq!(facts.fate_of_evidence(&GcPolicy::default(), Epoch::FIRST, &attempt(1)), Fate::Head);
}

#[test]
fn superseded_files_stay_from_the_first_later_decision_on() {
    use Decision::{Published, Retracted};
    let garbage = Fate::Garbage(GcReason::Superseded);
    for (decided, expected) in [
        (vec![Some((Published, 50)), Some((Published, 29))], Fate::Retained),
        (vec![Some((Published, 50)), Some((Published, 30))], garbage),
        (vec![Some((Published, 50)), Some((Published, 40)), Some((Published, 1))], garbage),
        (vec![Some((Published, 50)), Some((Retracted, 30))], garbage),
        (vec![Some((Published, 50)), Some((Retracted, 29))], Fate::Retained),
        // Published late, under an epoch that was the head already.
        (vec![Some((Published, 3)), Some((Published, 50))], Fate::Retained),
    ] {
        assert_eq!(fate(&window(&decided), 1), expected, "{decided:?}");
    }
}

#[test]
fn what_was_never_published_goes_by_its_decision() {
    use Decision::{Aborted, Quarantined, Retracted};
    for (decided, expected) in [
        (None, Fate::Garbage(GcReason::Undecided)),
        (Some((Aborted, 0)), Fate::Garbage(GcReason::Aborted)),
        (Some((Quarantined, 29)), Fate::Retained),
        (Some((Quarantined, 30)), Fate::Garbage(GcReason::Quarantined)),
        (Some((Retracted, 29)), Fate::Retained),
        (Some((Retracted, 30)), Fate::Garbage(GcReason::Superseded)),
    ] {
        assert_eq!(fate(&window(&[decided]), 1), expected, "{decided:?}");
    }
    let mut busy = window(&[None]);
    busy.epochs.get_mut(&Epoch::FIRST).unwrap().youngest = DAY / 2;
    assert_eq!(fate(&busy, 1), Fate::Retained, "somebody works on it");
}

#[test]
fn files_of_nobody_are_foreign_and_files_beside_a_decision_are_not_the_heads() {
    let policy = GcPolicy::default();
    let facts = window(&[Some((Decision::Published, 3))]);
    assert_eq!(fate(&facts, 9), NO_CLAIM);
    assert_eq!(facts.fate_of_part(&policy, &part(1, 1), DAY), Fate::Garbage(GcReason::Unlisted));
    assert_eq!(facts.fate_of_part(&policy, &part(1, 1), DAY / 2), Fate::Retained);
    let stranger = PartPath { attempt: attempt(9), ..part(1, 0) };
    assert_eq!(facts.fate_of_part(&policy, &stranger, DAY), Fate::Garbage(GcReason::OtherAttempt));
    assert!(matches!(facts.fate_of_evidence(&policy, Epoch::FIRST, &attempt(9)), Fate::Foreign(_)));
    let unclaimed = WindowFacts { epochs: [(Epoch::FIRST, EpochFacts::default())].into() };
    assert_eq!(fate(&unclaimed, 1), NO_CLAIM);
}

#[test]
fn evidence_outlives_its_epoch_by_the_retention() {
    let fate = |decided| window(&[decided]).fate_of_evidence(&GcPolicy::default(), Epoch::FIRST, &attempt(1));
    assert_eq!(fate(None), Fate::Retained);
    let mut undecided = window(&[None]);
    undecided.epochs.get_mut(&Epoch::FIRST).unwrap().youngest = DAY * 30;
    let old = undecided.fate_of_evidence(&GcPolicy::default(), Epoch::FIRST, &attempt(1));
    assert_eq!(old, Fate::Garbage(GcReason::Undecided), "nobody decides it any more");
    for decision in [Decision::Aborted, Decision::Quarantined] {
        assert_eq!(fate(Some((decision, 29))), Fate::Retained);
        assert_eq!(fate(Some((decision, 30))), Fate::Garbage(GcReason::Evidence));
    }
}

proptest! {
    #[test]
    fn what_resolve_answers_is_never_garbage(
        decided in prop::collection::vec(prop::option::of((0usize..4, 0u32..100)), 1..8),
    ) {
        let all = [Decision::Published, Decision::Quarantined, Decision::Aborted, Decision::Retracted];
        let decided: Vec<_> = decided.into_iter().map(|one| one.map(|(index, days)| (all[index], days))).collect();
        let facts = window(&decided);
        let deciding = (1..).zip(&decided).filter_map(|(number, one)| one.map(|(decision, _)| (number, decision)));
        let last = deciding.filter(|(_, decision)| matches!(decision, Decision::Published | Decision::Retracted)).last();
        for number in 1..=decided.len() as u64 {
            let is_head = last == Some((number, Decision::Published));
            prop_assert_eq!(fate(&facts, number) == Fate::Head, is_head);
        }
    }
}
