//! Keys round trip, and nothing else is a key.

use super::*;
use proptest::prelude::*;

fn tables() -> impl Strategy<Value = Table> {
    (prop_oneof![Just(Layer::Clean), Just(Layer::Curated)], "[a-z][a-z0-9_]{0,62}")
        .prop_map(|(layer, dataset)| Table::new(layer, dataset.parse().unwrap()))
}

fn windows() -> impl Strategy<Value = PartitionWindow> {
    (1u16..=9999, 1u8..=12, 1u8..=28, 0u8..24, 0u8..3).prop_map(|(y, m, d, h, grain)| {
        let text = match grain {
            0 => format!("{y:04}-{m:02}"),
            1 => format!("{y:04}-{m:02}-{d:02}"),
            _ => format!("{y:04}-{m:02}-{d:02}T{h:02}"),
        };
        text.parse().unwrap()
    })
}

fn keys() -> impl Strategy<Value = Key> {
    let ids = (tables(), windows(), 1u64.., "[0-9a-f]{32}", "[A-Za-z][A-Za-z0-9_]{0,62}");
    (ids, 0usize..10, 0usize..4, 0u32..=PartPath::MAX_NUMBER, "[0-9a-f]{16}").prop_map(
        |((table, window, epoch, attempt, column), variant, kind, number, digest)| {
            let (epoch, attempt): (_, Attempt) = (Epoch::new(epoch).unwrap(), attempt.parse().unwrap());
            let column: PartitionColumn = column.parse().unwrap();
            let file = [QuarantineFile::Evidence, QuarantineFile::Rejects][kind % 2];
            match variant {
                0 => Key::Format(table),
                1 => Key::Register { table, window, epoch, kind: RegisterKind::ALL[kind] },
                2 => Key::Part(table, PartPath { column, window, epoch, attempt, number, digest: Digest16(digest) }),
                3 => Key::Quarantine { table, window, epoch, attempt, file },
                4 => Key::LiveView(table, column, window),
                5 => Key::SymlinkManifest(table, column, window),
                6 => Key::ClockProbe { nonce: epoch.get() },
                7 => Key::CreateTemp { nonce: epoch.get() },
                8 => {
                    let (verb, dataset) = ("raw-to-clean".parse().unwrap(), table.dataset.clone());
                    let file = match kind {
                        0 => RunFile::Result(verb, None),
                        1 => RunFile::Result(verb, Some(table)),
                        2 => RunFile::Lineage(verb, Table::new(Layer::Raw, table.dataset)),
                        _ => RunFile::Lineage(verb, table),
                    };
                    Key::RunFile { dataset, window, run_id: attempt.as_str().parse().unwrap(), file }
                }
                _ => Key::ViewTemp { table, window, nonce: epoch.get(), epoch, attempt },
            }
        },
    )
}

proptest! {
    #[test]
    fn every_key_parses_back_to_itself(key in keys()) {
        prop_assert_eq!(Key::parse(&key.to_string()), Some(key));
    }

    #[test]
    fn a_changed_key_is_refused_or_is_another_canonical_key(key in keys(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let mut text: Vec<char> = key.to_string().chars().collect();
        let at = at.index(text.len());
        text[at] = with;
        let text: String = text.into_iter().collect();
        if let Some(parsed) = Key::parse(&text) {
            prop_assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn no_text_below_raw_is_a_key(rest in ".{0,80}") {
        prop_assert_eq!(Key::parse(&format!("{RAW_PREFIX}{rest}")), None);
    }

    #[test]
    fn no_component_of_a_data_path_is_hidden(key in keys()) {
        prop_assert!(!key.to_string().split('/').any(|segment| segment.starts_with(['_', '.'])));
    }
}

#[test]
fn hostile_keys_are_refused() {
    let attempt = "0".repeat(32);
    let epoch = "00000000000000000001";
    for text in [
        String::new(),
        "/".into(),
        "raw/flights/a.csv".into(),
        "raw/flights/day=2013-01-01/part-00000.parquet".into(),
        "store/raw/flights/format.json".into(),
        "store/clean/../raw/format.json".into(),
        "store/clean/flights/format.json/".into(),
        "/store/clean/flights/format.json".into(),
        "store//clean/flights/format.json".into(),
        "store/clean/flights/Format.json".into(),
        format!("store/clean/flights/ledger/2013-02-30/{epoch}.claim.json"),
        format!("store/clean/flights/ledger/2013-1-1/{epoch}.claim.json"),
        "store/clean/flights/ledger/2013-01-01/1.claim.json".into(),
        "store/clean/flights/ledger/2013-01-01/00000000000000000000.claim.json".into(),
        format!("store/clean/flights/ledger/2013-01-01/{epoch}.claim.json#1"),
        format!("store/clean/flights/ledger/2013-01-01/{epoch}.lease.json"),
        format!("store/clean/flights/data/day=2013-01-01/e{epoch}-{attempt}/part-0-0123456789abcdef.parquet"),
        format!("store/clean/flights/data/day=2013-01-01/e{epoch}-{attempt}/part-00000-0123456789ABCDEF.parquet"),
        format!("store/clean/flights/data/_d=2013-01-01/e{epoch}-{attempt}/part-00000-0123456789abcdef.parquet"),
        format!("store/clean/flights/data/day=2013-01-01/e{epoch}-{attempt}/x/part-00000-0123456789abcdef.parquet"),
        format!("store/tmp/clean/flights/2013-01-01/{epoch}-{attempt}-xyz"),
        "clean/flights/day=2013-01-01/part-00001.parquet".into(),
        "store/tmp/clock/1".into(),
        "runs/flights/2013-01-01/r1/Check.json".into(),
        "runs/flights/2013-01-01/r1/check.clean.json".into(),
        "runs/flights/2013-01-01/r1/check.clean.flights.x.json".into(),
        "runs/flights/2013-01-01/r1/check.openlineage.jsonl".into(),
        "runs/flights/2013-01-01/r.1/check.json".into(),
        "runs/flights/2013-01-01/r1/x/check.json".into(),
        "runs/flights/check.json".into(),
        "store/tmp/other/0000000000000001".into(),
    ] {
        assert_eq!(Key::parse(&text), None, "{text}");
    }
}

#[test]
fn a_register_of_another_table_is_not_ours() {
    let key = "store/clean/flights/ledger/2013-01-01/00000000000000000001.claim.json";
    assert!(parse_register(&"clean.flights".parse().unwrap(), key).is_some());
    assert!(parse_register(&"curated.flights".parse().unwrap(), key).is_none());
}
