use std::sync::Arc;

use arrow_array::*;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use proptest::prelude::*;
use rayon::prelude::*;
use windrow_core::Contract;
use windrow_core::contract::{Dedupe, DedupePolicy, SortKey};

use super::super::{Collector, Memory, OrderedRows};
use super::{array, window};
use crate::chunk::{Chunk, Origin, Position};
use crate::schema::file_schema;
use crate::test_contracts::{F64, I32, TEXT, contract, decimal, place, property, with_key};
use crate::write::{PartStore, PartSummary, write_parts};

type Row = (Option<i32>, Option<&'static str>, i32);

fn table(key: &[&str], sort: &[(&str, bool)]) -> Contract {
    let columns = vec![property("a", I32), property("t", TEXT), property("n", I32)];
    let mut contract = with_key(contract(columns), key);
    contract.sort =
        sort.iter().map(|(column, descending)| SortKey { column: (*column).into(), descending: *descending }).collect();
    contract
}

fn batch(contract: &Contract, rows: &[Row]) -> RecordBatch {
    let columns = vec![
        array(rows.iter().map(|row| row.0).collect::<Int32Array>()),
        array(rows.iter().map(|row| row.1).collect::<StringArray>()),
        array(rows.iter().map(|row| Some(row.2)).collect::<Int32Array>()),
    ];
    RecordBatch::try_new(Arc::new(file_schema(contract)), columns).unwrap()
}

fn ordered(contract: &Contract, memory: &Memory, batches: Vec<RecordBatch>) -> Option<OrderedRows> {
    let collector = Collector::of_unordered(contract, &window("2024-01-01"), memory).unwrap();
    batches.into_par_iter().enumerate().for_each(|(block, batch)| {
        let position = Position { file: 0, block: u32::try_from(block).unwrap() };
        collector.add(position, Chunk { batch, origin: Origin::new("rows".into(), 1) }).unwrap();
    });
    assert!(collector.refused().is_empty());
    collector.order_any().unwrap()
}

fn whole(contract: &Contract, rows: &OrderedRows) -> RecordBatch {
    concat_batches(&Arc::new(file_schema(contract)), &rows.batches().unwrap()).unwrap()
}

fn pieces(contract: &Contract, rows: &[Row], cuts: &[usize]) -> Vec<RecordBatch> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| *cut.min(&rows.len())).chain([0, rows.len()]).collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| batch(contract, &rows[pair[0]..pair[1]])).collect()
}

fn some_rows() -> impl Strategy<Value = Vec<Row>> {
    let text = prop::option::of(prop::sample::select(vec!["", "a", "ab", "abcdefghij", "abcdefghik"]));
    prop::collection::vec((prop::option::of(-3..3), text, -2..3), 0..80)
}

proptest! {
    #[test]
    fn the_same_rows_come_out_alike_in_whatever_order_and_chunks_they_came(
        (rows, shuffled) in some_rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        cuts in prop::collection::vec(0_usize..80, 0..6),
        (sort, down) in (0_usize..3, any::<bool>()),
        is_limited: bool,
    ) {
        let sorts: [&[(&str, bool)]; 3] = [&[], &[("t", down)], &[("n", false), ("a", down)]];
        let contract = table(&[], sorts[sort]);
        let found = ordered(&contract, &Memory::unlimited(), vec![batch(&contract, &rows)]).unwrap();
        // A limit that lets no more than the keys stay in memory.
        let folder = tempfile::tempdir().unwrap();
        let memory = if is_limited { Memory::limited((128 << 20) + 4_000, folder.path().to_path_buf()) } else { Memory::unlimited() };
        let again = ordered(&contract, &memory, pieces(&contract, &shuffled, &cuts)).unwrap();
        prop_assert_eq!(whole(&contract, &found), whole(&contract, &again));

        let mut expected = rows;
        let turned = |a: std::cmp::Ordering, is_down: bool| if is_down { a.reverse() } else { a };
        // Nulls come first in both directions.
        let by = |a: &Row, b: &Row| match sort {
            0 => std::cmp::Ordering::Equal,
            1 => a.1.is_some().cmp(&b.1.is_some()).then(turned(a.1.cmp(&b.1), down && a.1.is_some() && b.1.is_some())),
            _ => a.2.cmp(&b.2).then(a.0.is_some().cmp(&b.0.is_some())).then(turned(a.0.cmp(&b.0), down && a.0.is_some() && b.0.is_some())),
        };
        expected.sort_by(|a, b| by(a, b).then(a.cmp(b)));
        prop_assert_eq!(whole(&contract, &found), batch(&contract, &expected));
    }

    #[test]
    fn a_unique_key_settles_the_order_and_a_shared_one_is_told(
        rows in some_rows(),
        cuts in prop::collection::vec(0_usize..80, 0..6),
        sort in 0_usize..3,
    ) {
        let sorts: [&[(&str, bool)]; 3] = [&[], &[("n", false), ("a", true)], &[("t", false)]];
        let mut contract = table(&["a", "n"], sorts[sort]);
        contract.dedupe = Some(Dedupe { policy: DedupePolicy::First, place: place(4) });
        let rows: Vec<Row> = rows.into_iter().filter(|row| row.0.is_some()).collect();
        let mut keys: Vec<_> = rows.iter().map(|row| (row.0, row.2)).collect();
        keys.sort_unstable();
        keys.dedup();
        let found = ordered(&contract, &Memory::unlimited(), pieces(&contract, &rows, &cuts));
        prop_assert_eq!(found.is_some(), keys.len() == rows.len());
        if let Some(found) = found {
            let mut expected = rows;
            match sort {
                0 => expected.sort_by_key(|row| (row.0, row.2)),
                1 => expected.sort_by_key(|row| (row.2, row.0.map(|a| -a))),
                _ => expected.sort_by_key(|row| (row.1, row.0, row.2)),
            }
            prop_assert_eq!(whole(&contract, &found), batch(&contract, &expected));
        }
    }
}

#[derive(Default)]
struct Kept(std::sync::Mutex<Vec<Bytes>>);

impl PartStore for Kept {
    type File = Vec<u8>;

    fn begin(&self, _: u32, expected_bytes: usize) -> windrow_core::Result<Vec<u8>> {
        Ok(Vec::with_capacity(expected_bytes))
    }

    fn finish(&self, file: Vec<u8>, _: &PartSummary) -> windrow_core::Result<()> {
        self.0.lock().unwrap().push(file.into());
        Ok(())
    }
}

#[test]
fn the_bytes_of_a_file_depend_neither_on_threads_nor_on_the_order_of_rows() {
    let contract = contract(vec![property("day", I32), property("f", F64), property("t", TEXT), property("d", decimal(20, 2))]);
    let count = 5_000;
    let columns: Vec<ArrayRef> = vec![
        array((0..count).map(|row| Some(row % 7)).collect::<Int32Array>()),
        array((0..count).map(|row| (row % 5 > 0).then(|| [0.0, -0.0, 2.5, 1.5][row as usize % 4])).collect::<Float64Array>()),
        array((0..count).map(|row| Some(format!("{}", row % 11))).collect::<StringArray>()),
        array(
            (0..count).map(|row| Some(i128::from(row % 3))).collect::<Decimal128Array>().with_precision_and_scale(20, 2).unwrap(),
        ),
    ];
    let all = RecordBatch::try_new(Arc::new(file_schema(&contract)), columns).unwrap();
    let written = |threads: usize, step: i32, piece: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let shuffled =
            take_record_batch(&all, &(0..count).map(|row| (row * step % count).cast_unsigned()).collect::<UInt32Array>())
                .unwrap();
        let pieces = (0..shuffled.num_rows()).step_by(piece).map(|at| shuffled.slice(at, piece.min(shuffled.num_rows() - at)));
        let kept = Kept::default();
        pool.install(|| {
            let rows = ordered(&contract, &Memory::unlimited(), pieces.collect()).unwrap();
            write_parts(&contract, &rows, &kept).unwrap();
        });
        kept.0.into_inner().unwrap()
    };
    let expected = written(1, 1, 5_000);
    assert_eq!(expected.len(), 1);
    for (threads, step, piece) in [(2, 1, 700), (1, 3, 5_000), (3, 7, 123), (2, 4_999, 1_000)] {
        assert!(written(threads, step, piece) == expected, "{threads} threads, every {step}th row, pieces of {piece}");
    }
}
