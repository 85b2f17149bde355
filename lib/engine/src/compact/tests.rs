use std::sync::{Arc, Mutex};

use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::*;
use arrow_schema::{DataType as Arrow, Field, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::statistics::Statistics;
use proptest::prelude::*;
use windrow_core::contract::{Contract, DataType, SortKey, Split, SplitBy, TimeUnit as Unit};
use windrow_core::{ErrorKind, Result};

use super::*;
use crate::chunk::{Chunk, Origin};
use crate::schema::file_schema;
use crate::shape::shape;
use crate::test_contracts::{F64, I32, I64, TEXT, boolean, contract, date, decimal, property, timestamp};
use crate::write::{PartStore, PartSummary, read_parquet_batches, write_parts};

/// Keeps the one file of a small window.
#[derive(Default)]
struct Kept(Mutex<Option<(Bytes, FileSummary)>>);

impl PartStore for Kept {
    type File = Vec<u8>;

    fn begin(&self, _: u32, expected_bytes: usize) -> Result<Vec<u8>> {
        Ok(Vec::with_capacity(expected_bytes))
    }

    fn finish(&self, file: Vec<u8>, part: &PartSummary) -> Result<()> {
        let summary = FileSummary { rows: part.rows, stats: part.stats.clone() };
        assert!(self.0.lock().unwrap().replace((file.into(), summary)).is_none(), "one file");
        Ok(())
    }
}

/// A file as a run of the window would have written it, with what the ledger says of it.
fn written(contract: &Contract, batch: &RecordBatch) -> (Bytes, FileSummary) {
    let chunk = Chunk { batch: batch.clone(), origin: Origin::new("f".into(), 2) };
    let kept = Kept::default();
    write_parts(contract, &shape(contract, vec![chunk]).unwrap().rows, &kept).unwrap();
    kept.0.into_inner().unwrap().unwrap()
}

fn metadata(bytes: &Bytes) -> Arc<ParquetMetaData> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    ArrowReaderMetadata::load(bytes, options).unwrap().metadata().clone()
}

fn whole(contract: &Contract, batches: &[RecordBatch]) -> RecordBatch {
    arrow_select::concat::concat_batches(&Arc::new(file_schema(contract)), batches).unwrap()
}

/// Compacts files of these batches into one, with pages that count as large from `least_page` rows on.
fn compacted(contract: &Contract, batches: &[RecordBatch], least_page: usize) -> Result<(CompactedPart, Work)> {
    let files: Vec<(Bytes, FileSummary)> = batches.iter().map(|batch| written(contract, batch)).collect();
    let samples: Vec<Bytes> = files.iter().map(|(bytes, _)| bytes.clone()).collect();
    let summaries: Vec<FileSummary> = files.iter().map(|(_, summary)| summary.clone()).collect();
    let read = |index: usize| Ok(samples[index].clone());
    let size = samples.iter().map(|bytes| bytes.len() as u64).sum();
    Compactor::new(contract, &samples)?.with_least_page(least_page).part(&summaries, size, &read, &mut std::io::sink())
}

/// The same rows in one file, written directly.
fn assert_like_written(contract: &Contract, batches: &[RecordBatch], part: &CompactedPart) {
    let rows = whole(contract, batches);
    let back = read_parquet_batches(contract, &part.bytes).unwrap();
    assert_eq!(whole(contract, &back), rows);
    assert_eq!(part.rows, rows.num_rows() as u64);
    let (direct, summary) = written(contract, &rows);
    assert_eq!(part.stats, summary.stats, "what the ledger says");
    let (ours, theirs) = (metadata(&part.bytes), metadata(&direct));
    if ours.num_row_groups() != 1 || theirs.num_row_groups() != 1 {
        return;
    }
    for (ours, theirs) in ours.row_group(0).columns().iter().zip(theirs.row_group(0).columns()) {
        assert_eq!(ours.num_values(), theirs.num_values(), "{}", ours.column_path());
        assert_eq!(ours.statistics(), theirs.statistics(), "{}", ours.column_path());
        assert_eq!(ours.definition_level_histogram(), theirs.definition_level_histogram(), "{}", ours.column_path());
        assert_eq!(ours.repetition_level_histogram(), theirs.repetition_level_histogram(), "{}", ours.column_path());
        assert_eq!(ours.unencoded_byte_array_data_bytes(), theirs.unencoded_byte_array_data_bytes(), "{}", ours.column_path());
    }
}

/// A sorted id, a mostly distinct text, a repeated one and a decimal.
fn orders(rows: std::ops::Range<i64>) -> (Contract, RecordBatch) {
    let columns = vec![property("id", I64), property("note", TEXT), property("status", TEXT), property("price", decimal(12, 2))];
    let mut contract = contract(columns);
    contract.sort = vec![SortKey { column: "id".into(), descending: false }];
    let note = |id: i64| format!("{:x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64));
    let status = |id: i64| (id % 7 != 0).then_some(if id % 3 == 0 { "open" } else { "closed" });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.clone().collect::<Int64Array>()),
        Arc::new(rows.clone().map(|id| Some(note(id))).collect::<StringArray>()),
        Arc::new(rows.clone().map(status).collect::<StringArray>()),
        Arc::new(
            rows.map(|id| i128::from(id % 50) - 20)
                .map(Some)
                .collect::<Decimal128Array>()
                .with_precision_and_scale(12, 2)
                .unwrap(),
        ),
    ];
    let batch = RecordBatch::try_new(Arc::new(file_schema(&contract)), columns).unwrap();
    (contract, batch)
}

#[test]
fn pages_of_many_files_become_one_row_group_without_decoding() {
    let files: Vec<RecordBatch> = (0..8).map(|file| orders(file * 9_000..(file + 1) * 9_000).1).collect();
    let contract = orders(0..0).0;
    let (part, work) = compacted(&contract, &files, 8_192).unwrap();
    assert_eq!(work, Work { row_groups: 1, copied: 0, spliced: 2, merged: 2, recoded: 0 });
    assert_like_written(&contract, &files, &part);
}

#[test]
fn tiny_pages_are_encoded_anew() {
    let files: Vec<RecordBatch> = (0..40).map(|file| orders(file * 50..(file + 1) * 50).1).collect();
    let contract = orders(0..0).0;
    let (part, work) = compacted(&contract, &files, 8_192).unwrap();
    assert_eq!(work, Work { row_groups: 1, copied: 0, spliced: 0, merged: 0, recoded: 4 });
    assert_like_written(&contract, &files, &part);
    let (direct, _) = written(&contract, &whole(&contract, &files));
    assert_eq!(part.bytes.len(), direct.len(), "as small as written at once");
}

#[test]
fn a_large_row_group_stays_byte_for_byte() {
    let (mut contract, large) = orders(0..3_000);
    contract.output.row_group_rows = 4_000;
    let small: Vec<RecordBatch> = (6..9).map(|file| orders(file * 500..(file + 1) * 500).1).collect();
    let files = [&[large][..], &small].concat();
    let (part, work) = compacted(&contract, &files, 8_192).unwrap();
    assert_eq!(work, Work { row_groups: 2, copied: 4, spliced: 0, merged: 0, recoded: 4 });
    let back = read_parquet_batches(&contract, &part.bytes).unwrap();
    assert_eq!(whole(&contract, &back), whole(&contract, &files));
    let (source, _) = written(&contract, &files[0]);
    let (before, after) = (metadata(&source), metadata(&part.bytes));
    for (before, after) in before.row_group(0).columns().iter().zip(after.row_group(0).columns()) {
        let bytes = |file: &Bytes, (start, length): (u64, u64)| {
            file.slice(usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap())
        };
        assert_eq!(bytes(&source, before.byte_range()), bytes(&part.bytes, after.byte_range()));
        assert_eq!((before.statistics(), before.compression()), (after.statistics(), after.compression()));
    }
    let index = |file: &ParquetMetaData, leaf| file.page_index().unwrap().column_index(0, leaf).cloned();
    assert!((0..4).all(|leaf| index(&before, leaf).is_some() && index(&before, leaf) == index(&after, leaf)));
}

#[test]
fn row_groups_are_full_and_never_more() {
    let (mut contract, _) = orders(0..0);
    contract.output.row_group_rows = 1_000;
    let files: Vec<RecordBatch> = (0..30).map(|file| orders(file * 90..(file + 1) * 90).1).collect();
    let (part, _) = compacted(&contract, &files, 8_192).unwrap();
    let rows: Vec<i64> = metadata(&part.bytes).row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows, [990, 990, 720]);
}

#[test]
fn empty_files_leave_no_trace() {
    let contract = orders(0..0).0;
    let files = [orders(0..0).1, orders(0..10).1, orders(0..0).1, orders(10..20).1];
    let (part, _) = compacted(&contract, &files, 1).unwrap();
    assert_like_written(&contract, &files, &part);
    let (part, work) = compacted(&contract, &[orders(0..0).1, orders(0..0).1], 1).unwrap();
    assert_eq!((part.rows, work), (0, Work::default()));
    assert!(read_parquet_batches(&contract, &part.bytes).unwrap().iter().all(|batch| batch.num_rows() == 0));
}

#[test]
fn long_texts_still_have_no_statistics() {
    let contract = contract(vec![property("t", TEXT)]);
    let file = |text: &str| {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![text.to_owned(), "b".to_owned()]));
        RecordBatch::try_new(Arc::new(file_schema(&contract)), vec![texts]).unwrap()
    };
    let files = [file("a"), file(&"x".repeat(2_000)), file("c")];
    for least_page in [1, 8_192] {
        let (part, _) = compacted(&contract, &files, least_page).unwrap();
        let footer = metadata(&part.bytes);
        assert_eq!(footer.row_group(0).column(0).statistics(), None);
        assert_eq!(whole(&contract, &read_parquet_batches(&contract, &part.bytes).unwrap()), whole(&contract, &files));
    }
}

#[test]
fn files_of_another_schema_or_order_are_refused() {
    let (contract, rows) = orders(0..10);
    let mut other = contract.clone();
    other.properties.pop();
    let (bytes, summary) = written(&contract, &rows);
    let one = |contract: &Contract, summary: FileSummary| {
        let bytes = bytes.clone();
        let read = move |_: usize| Ok(bytes.clone());
        Compactor::new(contract, &[])?.part(&[summary], 0, &read, &mut std::io::sink())
    };
    assert_eq!(one(&other, summary.clone()).unwrap_err().kind(), ErrorKind::Misconfigured);
    let mut unsorted = contract.clone();
    unsorted.sort.clear();
    assert_eq!(one(&unsorted, summary.clone()).unwrap_err().kind(), ErrorKind::Misconfigured);
    let mut split = contract.clone();
    split.split = Some(Split { column: "id".into(), by: SplitBy::Value, place: split.window.place.clone() });
    assert!(one(&split, summary.clone()).unwrap_err().message().contains("split otherwise"));
    assert_eq!(one(&contract, FileSummary { rows: 11, ..summary }).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn values_in_another_order_have_another_digest() {
    let digest = |values: &[Option<&str>]| {
        let contract = contract(vec![property("t", TEXT), property("o", DataType::Struct(vec![property("t", TEXT)]))]);
        let texts: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        let Arrow::Struct(fields) = file_schema(&contract).field(1).data_type().clone() else { panic!() };
        let objects: ArrayRef = Arc::new(StructArray::new(fields, vec![texts.clone()], None));
        let batch = RecordBatch::try_new(Arc::new(file_schema(&contract)), vec![texts, objects]).unwrap();
        let source = Arc::new(source::Source::open(written(&contract, &batch).0, &file_schema(&contract)).unwrap());
        [0, 1].map(|field| digest::of_values(&source.groups(), field).unwrap())
    };
    let first = digest(&[Some("a"), None, Some("")]);
    assert_eq!(first, digest(&[Some("a"), None, Some("")]));
    for other in
        [&[None, Some("a"), Some("")][..], &[Some("a"), Some(""), None], &[Some("a"), None], &[Some("a"), None, Some(" ")]]
    {
        let other = digest(other);
        assert!(first[0] != other[0] && first[1] != other[1], "{first:?} {other:?}");
    }
}

/// A column of every type, with nulls, from seeds.
fn every_type() -> Contract {
    let integer = |bits, signed| DataType::Integer { bits, signed };
    let object = DataType::Struct(vec![property("n", I32), property("t", TEXT)]);
    let list = DataType::List(Box::new(property("item", I32)));
    let mut types: Vec<DataType> =
        [8, 16, 32, 64].iter().flat_map(|bits| [integer(*bits, true), integer(*bits, false)]).collect();
    types.extend([decimal(9, 2), decimal(18, 0), decimal(38, 10), F64, DataType::Float { bits: 32 }, boolean(), date(), TEXT]);
    types.extend([object, list, timestamp(Unit::Milli, true), timestamp(Unit::Nano, false)]);
    contract(types.into_iter().enumerate().map(|(index, data_type)| property(&format!("c{index}"), data_type)).collect())
}

fn column(field: &Field, seeds: &[Option<i64>]) -> ArrayRef {
    let numbers: ArrayRef = Arc::new(Int64Array::from(seeds.to_vec()));
    match field.data_type() {
        Arrow::Struct(fields) => {
            let texts = column(&fields[1], seeds);
            let valid: Vec<bool> = seeds.iter().map(|seed| seed.is_none_or(|seed| seed % 5 != 0)).collect();
            Arc::new(StructArray::new(fields.clone(), vec![column(&fields[0], seeds), texts], Some(valid.into())))
        }
        Arrow::List(_) => {
            let mut lists = ListBuilder::new(Int32Builder::new());
            for seed in seeds {
                match seed {
                    None => lists.append_null(),
                    Some(seed) => lists.append_value((0..seed % 3).map(|item| (item != 1).then_some(item as i32 + *seed as i32))),
                }
            }
            Arc::new(lists.finish())
        }
        Arrow::Utf8 => Arc::new(seeds.iter().map(|seed| seed.map(|seed| format!("é{seed}"))).collect::<StringArray>()),
        Arrow::Boolean => Arc::new(seeds.iter().map(|seed| seed.map(|seed| seed % 2 == 0)).collect::<BooleanArray>()),
        Arrow::Timestamp(TimeUnit::Nanosecond, _) => arrow_cast::cast(&numbers, field.data_type()).unwrap(),
        Arrow::Date32 => arrow_cast::cast(&arrow_cast::cast(&numbers, &Arrow::Int32).unwrap(), &Arrow::Date32).unwrap(),
        other => arrow_cast::cast(&numbers, other).unwrap(),
    }
}

fn rows_of(contract: &Contract, seeds: &[Option<i64>]) -> RecordBatch {
    let schema = Arc::new(file_schema(contract));
    let columns = schema.fields().iter().map(|field| column(field, seeds)).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_files_keep_their_rows_in_order(
        files in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.8, 0_i64..100), 0..60), 1..7),
        least_page in prop::sample::select(vec![1_usize, 8_192]),
        row_group_rows in prop::sample::select(vec![40_u64, 100, 1 << 20]),
    ) {
        let mut contract = every_type();
        contract.output.row_group_rows = row_group_rows;
        let batches: Vec<RecordBatch> = files.iter().map(|seeds| rows_of(&contract, seeds)).collect();
        let (part, work) = compacted(&contract, &batches, least_page).unwrap();
        assert_like_written(&contract, &batches, &part);
        let columns = work.copied + work.spliced + work.merged + work.recoded;
        prop_assert_eq!(columns, work.row_groups * 21);
    }
}

#[test]
fn a_file_that_holds_other_values_is_never_handed_out() {
    let contract = orders(0..0).0;
    let files: Vec<Bytes> = [orders(0..500), orders(500..1_000)].iter().map(|(_, batch)| written(&contract, batch).0).collect();
    let other = written(&contract, &orders(1_000..2_000).1).0;
    let schema = Arc::new(file_schema(&contract));
    let groups: Vec<source::Group> =
        files.iter().flat_map(|file| Arc::new(source::Source::open(file.clone(), &schema).unwrap()).groups()).collect();
    let compactor = Compactor::new(&contract, &[]).unwrap();
    let promised = compactor.promises(&groups).unwrap();
    let right = written(&contract, &whole(&contract, &[orders(0..1_000).1])).0;
    compactor.verify(&right, 1_000, std::slice::from_ref(&promised)).unwrap();
    let error = compactor.verify(&other, 1_000, std::slice::from_ref(&promised)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("id"), "{error}");
}

#[test]
fn merged_statistics_are_exact() {
    let contract = orders(0..0).0;
    let files: Vec<RecordBatch> = (0..4).map(|file| orders(file * 100..(file + 1) * 100).1).collect();
    let (part, work) = compacted(&contract, &files, 1).unwrap();
    assert_eq!(work.recoded, 0);
    let footer = metadata(&part.bytes);
    let Some(Statistics::Int64(ids)) = footer.row_group(0).column(0).statistics() else { panic!() };
    assert_eq!((ids.min_opt(), ids.max_opt(), ids.null_count_opt()), (Some(&0), Some(&399), Some(0)));
    assert!(footer.row_group(0).columns().iter().all(|column| column.statistics().unwrap().max_is_exact()));
}
