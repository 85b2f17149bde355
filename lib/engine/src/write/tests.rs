use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::*;
use arrow_schema::{DataType as Arrow, Field};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Encoding;
use parquet::file::metadata::ParquetMetaData;
use windrow_core::contract::{Contract, DataType, Dedupe, DedupePolicy, SortKey, Split, SplitBy, TimeUnit};
use windrow_core::{Error, ErrorKind, Result};

use super::*;
use crate::chunk::{Chunk, Origin};
use crate::schema::file_schema;
use crate::shape::{Memory, OrderedRows, shape, shape_within};
use crate::test_contracts::{F64, I32, I64, TEXT, boolean, contract, date, decimal, property, timestamp, with_key};

fn batch(contract: &Contract, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(Arc::new(file_schema(contract)), columns).unwrap()
}

/// Keeps files in memory.
#[derive(Default)]
struct Kept {
    files: Mutex<BTreeMap<u32, Bytes>>,
}

impl PartStore for Kept {
    type File = Vec<u8>;

    fn begin(&self, _: u32, expected_bytes: usize) -> Result<Vec<u8>> {
        Ok(Vec::with_capacity(expected_bytes))
    }

    fn finish(&self, file: Vec<u8>, part: &PartSummary) -> Result<()> {
        self.files.lock().unwrap().insert(part.index, file.into());
        Ok(())
    }
}

fn rows_of(contract: &Contract, batches: &[RecordBatch]) -> Result<OrderedRows> {
    let chunk = |batch: &RecordBatch| Chunk { batch: batch.clone(), origin: Origin::new("f".into(), 2) };
    shape(contract, batches.iter().map(chunk).collect()).map(|shaped| shaped.rows)
}

/// Writes, and answers the files by number.
fn written(contract: &Contract, batches: &[RecordBatch]) -> (Vec<PartSummary>, Vec<Bytes>) {
    written_rows(contract, &rows_of(contract, batches).unwrap())
}

fn written_rows(contract: &Contract, rows: &OrderedRows) -> (Vec<PartSummary>, Vec<Bytes>) {
    let kept = Kept::default();
    let summaries = write_parts(contract, rows, &kept).unwrap();
    (summaries, kept.files.into_inner().unwrap().into_values().collect())
}

fn metadata(bytes: &Bytes) -> Arc<ParquetMetaData> {
    ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap().metadata().clone()
}

fn every_type() -> (Contract, RecordBatch) {
    let integer = |bits, signed| DataType::Integer { bits, signed };
    let object = DataType::Struct(vec![property("n", I32), property("t", TEXT)]);
    let list = DataType::List(Box::new(property("item", I32)));
    let types: Vec<DataType> = [8, 16, 32, 64].iter().flat_map(|bits| [integer(*bits, true), integer(*bits, false)]).collect();
    let mut types: Vec<DataType> = types.into_iter().chain([decimal(9, 2), decimal(18, 0), decimal(38, 10), F64]).collect();
    types.extend([DataType::Float { bits: 32 }, boolean(), date(), TEXT, TEXT, object, list]);
    types.extend(
        [TimeUnit::Milli, TimeUnit::Micro, TimeUnit::Nano]
            .iter()
            .flat_map(|unit| [timestamp(*unit, true), timestamp(*unit, false)]),
    );
    let contract =
        contract(types.into_iter().enumerate().map(|(index, data_type)| property(&format!("c{index}"), data_type)).collect());
    let schema = file_schema(&contract);
    let columns = schema.fields().iter().enumerate().map(|(index, field)| sample_column(field, index == 15)).collect();
    let rows = batch(&contract, columns);
    (contract, rows)
}

fn sample_column(field: &Field, all_null: bool) -> ArrayRef {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(-7), Some(0)]));
    let positive: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(7), Some(0)]));
    match field.data_type() {
        data_type if all_null => new_null_array(data_type, 4),
        Arrow::Struct(fields) => {
            let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some(""), Some("é")]));
            let numbers = arrow_cast::cast(&numbers, &Arrow::Int32).unwrap();
            Arc::new(StructArray::new(fields.clone(), vec![numbers, texts], Some(vec![true, true, false, true].into())))
        }
        Arrow::List(_) => {
            let mut lists = ListBuilder::new(Int32Builder::new());
            lists.append_value([Some(1), None]);
            lists.append_null();
            lists.append_value([]);
            lists.append_value([Some(2)]);
            Arc::new(lists.finish())
        }
        Arrow::Date32 => Arc::new(Date32Array::from(vec![Some(3), None, Some(-7), Some(0)])),
        Arrow::Boolean => Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None])),
        data_type if data_type.is_unsigned_integer() => arrow_cast::cast(&positive, data_type).unwrap(),
        data_type => arrow_cast::cast(&numbers, data_type).unwrap(),
    }
}

#[test]
fn every_type_reads_back_as_it_was() {
    let (contract, rows) = every_type();
    let (summaries, files) = written(&contract, std::slice::from_ref(&rows));
    assert_eq!(read_parquet_batches(&contract, &files[0]).unwrap(), [rows]);
    assert_eq!((summaries.len(), summaries[0].rows), (1, 4));
}

#[test]
fn the_same_rows_are_the_same_bytes_with_any_number_of_threads() {
    let (contract, rows) = orders(300_000, 40_000);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| written(&contract, &rows))
    };
    let (summaries, files) = run(1);
    assert!(files.len() > 2);
    assert_eq!((summaries.clone(), files.clone()), run(2));
    assert_eq!((summaries, files), run(3));
}

#[test]
fn no_rows_are_one_valid_file() {
    let (contract, _) = every_type();
    let (summaries, files) = written(&contract, &[]);
    assert_eq!((summaries.len(), summaries[0].rows), (1, 0));
    assert_eq!(verify_part(files[0].clone(), &file_schema(&contract)).unwrap(), 0);
    assert!(summaries[0].stats.iter().all(|stats| stats.min.is_none() && stats.nulls == 0));
}

/// Rows of a sorted id, a mostly distinct text and a repeated one.
fn orders(rows: i64, target_file_bytes: u64) -> (Contract, Vec<RecordBatch>) {
    let mut contract = contract(vec![property("id", I64), property("note", TEXT), property("status", TEXT)]);
    contract.sort = vec![SortKey { column: "id".into(), descending: false }];
    contract.output.target_file_bytes = target_file_bytes;
    contract.output.row_group_rows = 50_000;
    let ids: Vec<i64> = (0..rows).collect();
    let make = |ids: &[i64]| {
        let notes = ids.iter().map(|id| Some(format!("{:x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64))));
        let states = ids.iter().map(|id| Some(if id % 3 == 0 { "open" } else { "closed" }));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(ids.to_vec())),
            Arc::new(notes.collect::<StringArray>()),
            Arc::new(states.collect::<StringArray>()),
        ];
        batch(&contract, columns)
    };
    let batches = ids.chunks(65_536).map(make).collect();
    (contract, batches)
}

#[test]
fn a_small_target_gives_files_of_about_that_size_in_row_order() {
    let target = 400_000;
    let (contract, rows) = orders(300_000, target);
    let (summaries, files) = written(&contract, &rows);
    assert!(summaries.len() > 3, "{}", summaries.len());
    assert!(files.iter().all(|file| (target / 2..target * 3 / 2).contains(&(file.len() as u64))), "{summaries:?}");
    assert_eq!(summaries.iter().map(|part| part.rows).sum::<u64>(), 300_000);
    let firsts: Vec<i64> = summaries.iter().map(|part| part.stats[0].min.as_ref().unwrap().parse().unwrap()).collect();
    assert!(firsts.is_sorted() && firsts[0] == 0);
    let back: Vec<RecordBatch> = files.iter().flat_map(|file| read_parquet_batches(&contract, file).unwrap()).collect();
    let schema = Arc::new(file_schema(&contract));
    let whole = |batches: &[RecordBatch]| arrow_select::concat::concat_batches(&schema, batches).unwrap();
    assert_eq!(whole(&back), whole(&rows));
}

#[test]
fn many_tiny_chunks_become_one_file() {
    let (contract, rows) = orders(2_000, 128 << 20);
    let chunk =
        |index: usize| Chunk { batch: rows[0].slice(index * 10, 10), origin: Origin::new(format!("{index}.csv").into(), 2) };
    let shaped = shape(&contract, (0..200).rev().map(chunk).collect()).unwrap();
    let (summaries, files) = written_rows(&contract, &shaped.rows);
    assert_eq!((summaries.len(), summaries[0].rows), (1, 2_000));
    assert_eq!(read_parquet_batches(&contract, &files[0]).unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 2_000);
    assert_eq!(written(&contract, &rows).1, files, "the order of the chunks leaves no trace");
}

#[test]
fn encodings_follow_the_data_and_the_footer_names_the_order() {
    let (contract, rows) = orders(60_000, 128 << 20);
    let footer = metadata(&written(&contract, &rows).1[0]);
    assert_eq!(footer.num_row_groups(), 2);
    assert_eq!(footer.file_metadata().created_by(), Some("windrow version 4"));
    let group = footer.row_group(0);
    let has = |column: usize, encoding| group.column(column).encodings().any(|found| found == encoding);
    assert!(has(0, Encoding::DELTA_BINARY_PACKED) && !has(0, Encoding::RLE_DICTIONARY));
    assert!(!has(1, Encoding::RLE_DICTIONARY) && has(2, Encoding::RLE_DICTIONARY));
    assert!(
        group
            .columns()
            .iter()
            .all(|column| column.statistics().is_some_and(|stats| stats.max_is_exact() && stats.min_is_exact()))
    );
    let sorting = group.sorting_columns().unwrap();
    assert_eq!((sorting.len(), sorting[0].column_idx, sorting[0].nulls_first), (1, 0, true));
}

#[test]
fn statistics_are_exact_or_absent() {
    let text = |length: usize| "é".repeat(length);
    let mut contract = contract(vec![
        property("d", decimal(10, 2)),
        property("t", TEXT),
        property("x", TEXT),
        property("secret", I32),
        property("f", F64),
    ]);
    contract.properties[3].classification = Some("restricted".to_owned());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Decimal128Array::from(vec![Some(-5), None, Some(1_234)]).with_precision_and_scale(10, 2).unwrap()),
        Arc::new(StringArray::from(vec![text(60), text(100), "b".to_owned()])),
        Arc::new(StringArray::from(vec![text(2_000), text(1), text(2)])),
        Arc::new(Int32Array::from(vec![1, 2, 3])),
        Arc::new(Float64Array::from(vec![0.5, -1e300, 2.0])),
    ];
    let (summaries, files) = written(&contract, &[batch(&contract, columns)]);
    let bounds = |index: usize| (summaries[0].stats[index].min.clone(), summaries[0].stats[index].max.clone());
    assert_eq!(bounds(0), (Some("-0.05".to_owned()), Some("12.34".to_owned())));
    assert_eq!(bounds(1), (Some("b".to_owned()), Some(text(100))));
    assert_eq!(bounds(2), (Some(text(1)), None), "too long for the ledger, and never cut");
    assert_eq!(bounds(3), (None, None), "classified");
    assert_eq!(bounds(4).1.as_deref(), Some("2"));
    assert_eq!(summaries[0].stats[0].nulls, 1);
    let footer = metadata(&files[0]);
    let statistics = |column: usize| footer.row_group(0).column(column).statistics();
    assert_eq!(statistics(1).unwrap().max_bytes_opt(), Some(text(100).as_bytes()));
    assert!(statistics(2).is_none());
}

#[test]
fn a_file_of_another_schema_or_of_damaged_bytes_is_refused() {
    let (contract, rows) = orders(10, 128 << 20);
    let (_, files) = written(&contract, &rows);
    let mut other = file_schema(&contract);
    assert_eq!(verify_part(files[0].clone(), &other).unwrap(), 10);
    other.fields = other.fields().iter().rev().cloned().collect();
    assert_eq!(verify_part(files[0].clone(), &other).unwrap_err().kind(), ErrorKind::Internal);
    let cut = files[0].slice(..files[0].len() - 1);
    assert!(verify_part(cut, &file_schema(&contract)).is_err());
}

/// Refuses what it is told to.
struct Refusing {
    at_begin: bool,
}

impl PartStore for Refusing {
    type File = Vec<u8>;

    fn begin(&self, _: u32, _: usize) -> Result<Vec<u8>> {
        if self.at_begin { Err(Error::new(ErrorKind::Transient, "store is away")) } else { Ok(Vec::new()) }
    }

    fn finish(&self, _: Vec<u8>, _: &PartSummary) -> Result<()> {
        Err(Error::new(ErrorKind::AccessDenied, "store is locked"))
    }
}

#[test]
fn what_the_store_refuses_stops_the_writing() {
    for count in [10, 200_000] {
        let (contract, batches) = orders(count, 128 << 20);
        let rows = rows_of(&contract, &batches).unwrap();
        let refused = |at_begin| write_parts(&contract, &rows, &Refusing { at_begin }).unwrap_err().kind();
        assert_eq!((refused(true), refused(false)), (ErrorKind::Transient, ErrorKind::AccessDenied));
    }
}

#[test]
fn batches_and_levels_that_cannot_be_are_refused() {
    let (mut contract, batches) = orders(10, 128 << 20);
    let rows = rows_of(&contract, &batches).unwrap();
    contract.output.zstd_level = 99;
    assert_eq!(write_parts(&contract, &rows, &Kept::default()).unwrap_err().kind(), ErrorKind::Misconfigured);
    let (other, _) = every_type();
    assert_eq!(rows_of(&other, &batches).unwrap_err().kind(), ErrorKind::Internal);
}

/// Rows of every kind of column in mixed order, cut into chunks.
fn mixed(rows: i64, chunk_rows: usize) -> (Contract, Vec<RecordBatch>) {
    let object = DataType::Struct(vec![property("n", I32)]);
    let mut contract = contract(vec![
        property("id", I64),
        property("price", decimal(15, 2)),
        property("flag", TEXT),
        property("note", TEXT),
        property("open", boolean()),
        property("inner", object),
    ]);
    contract.sort = vec![SortKey { column: "id".into(), descending: false }];
    contract.output.row_group_rows = 7_000;
    contract.output.target_file_bytes = 60_000;
    let ids: Vec<i64> = (0..rows).map(|row| (row * 7_919) % rows).collect();
    let make = |ids: &[i64]| {
        let numbers: ArrayRef =
            Arc::new(ids.iter().map(|id| (id % 11 != 0).then_some((id % 100) as i32)).collect::<Int32Array>());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(ids.to_vec())),
            Arc::new(
                ids.iter()
                    .map(|id| (id % 5 != 0).then_some(i128::from(*id) * 101))
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(15, 2)
                    .unwrap(),
            ),
            Arc::new(ids.iter().map(|id| ["A", "N", "R"].get(*id as usize % 4).copied()).collect::<StringArray>()),
            Arc::new(ids.iter().map(|id| Some(format!("note {id}"))).collect::<StringArray>()),
            Arc::new(ids.iter().map(|id| (id % 3 != 0).then_some(id % 2 == 0)).collect::<BooleanArray>()),
            Arc::new(StructArray::new(
                vec![Field::new("n", Arrow::Int32, true)].into(),
                vec![numbers],
                Some(ids.iter().map(|id| id % 13 != 0).collect::<Vec<_>>().into()),
            )),
        ];
        batch(&contract, columns)
    };
    let batches = ids.chunks(chunk_rows).map(make).collect();
    (contract, batches)
}

/// The same rows with decimals and short texts in their compact forms.
fn compact(batch: &RecordBatch) -> RecordBatch {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .enumerate()
        .map(|(index, column)| match index {
            1 => arrow_cast::cast(column, &Arrow::Decimal64(15, 2)).unwrap(),
            2 => arrow_cast::cast(column, &Arrow::Dictionary(Box::new(Arrow::UInt8), Box::new(Arrow::Utf8))).unwrap(),
            _ => column.clone(),
        })
        .collect();
    let names = batch.schema();
    let named = names.fields().iter().zip(columns).map(|(field, column)| (field.name().clone(), column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

#[test]
fn neither_form_nor_chunks_nor_memory_leave_a_trace_in_the_bytes() {
    let key = |column: &str, descending| SortKey { column: column.into(), descending };
    // Keys of texts take more room than numbers, and without a sort there is nothing but columns.
    for (sort, room) in [(vec![key("id", false)], 2), (vec![key("flag", true), key("price", false)], 5), (vec![], 2)] {
        no_trace_of_form_chunks_or_memory(sort, room << 20);
    }
}

fn no_trace_of_form_chunks_or_memory(sort: Vec<SortKey>, room: u64) {
    let (mut contract, batches) = mixed(40_000, 40_000);
    contract.sort = sort;
    let expected = written(&contract, &batches);
    assert!(expected.1.len() > 1);
    for chunk_rows in [40_000, 1_234] {
        let (_, plain) = mixed(40_000, chunk_rows);
        let compacted: Vec<RecordBatch> = plain.iter().map(compact).collect();
        let half: Vec<RecordBatch> =
            plain.iter().enumerate().map(|(n, one)| if n % 2 == 0 { compact(one) } else { one.clone() }).collect();
        for batches in [plain, compacted, half] {
            let folder = tempfile::tempdir().unwrap();
            let limited = Memory::limited((64 << 20) + room, folder.path().to_owned());
            let chunk = |batch: &RecordBatch| Chunk { batch: batch.clone(), origin: Origin::new("f".into(), 2) };
            let shaped = shape_within(&contract, batches.iter().map(chunk).collect(), &limited).unwrap();
            assert!(limited.spilled() > 0);
            assert_eq!(written_rows(&contract, &shaped.rows), expected);
            assert_eq!(written(&contract, &batches), expected);
        }
    }
}

#[test]
fn keys_beyond_the_limit_are_an_error_that_says_what_would_do() {
    let (contract, batches) = mixed(40_000, 10_000);
    let folder = tempfile::tempdir().unwrap();
    let limited = Memory::limited((64 << 20) + (1 << 18), folder.path().to_owned());
    let chunk = |batch: &RecordBatch| Chunk { batch: batch.clone(), origin: Origin::new("f".into(), 2) };
    let error = shape_within(&contract, batches.iter().map(chunk).collect(), &limited).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(error.message().contains("40000 rows") && error.message().contains("limit is 65 MiB"), "{error}");
    assert!(error.help_text().unwrap().contains("--memory-limit 81MiB"), "{:?}", error.help_text());
}

/// The rows of [`orders`] in files by the value of one column.
fn split_by(column: &str, by: SplitBy, target_file_bytes: u64) -> (Contract, Vec<RecordBatch>) {
    let (mut contract, batches) = orders(30_000, target_file_bytes);
    contract.properties.push(property("at", timestamp(TimeUnit::Micro, false)));
    contract.split = Some(Split { column: column.into(), by, place: contract.window.place.clone() });
    // Seventeen days apart, so that neighbours are of different months.
    let at = |id: i64| (id * 17 % 1_000) * 86_400_000_000 + id;
    let with_time = |batch: &RecordBatch| {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let at: TimestampMicrosecondArray = ids.iter().map(|id| id.map(at)).collect();
        let columns = [batch.columns(), &[Arc::new(at) as ArrayRef]].concat();
        RecordBatch::try_new(Arc::new(file_schema(&contract)), columns).unwrap()
    };
    let batches = batches.iter().map(with_time).collect();
    (contract, batches)
}

#[test]
fn rows_of_different_values_are_in_different_files_each_in_order() {
    for (column, by, values) in
        [("status", SplitBy::Value, 2), ("at", SplitBy::Year, 3), ("at", SplitBy::Month, 33), ("at", SplitBy::Day, 1_000)]
    {
        let (contract, batches) = split_by(column, by, 128 << 20);
        let (summaries, files) = written(&contract, &batches);
        assert_eq!(summaries.len(), values, "{by:?}");
        let index = contract.properties.iter().position(|property| *property.name == *column).unwrap();
        let label = |text: &Option<String>| by.label(text.as_ref().unwrap()).to_owned();
        let labels: Vec<String> = summaries.iter().map(|part| label(&part.stats[index].min)).collect();
        assert!(labels.is_sorted_by(|a, b| a < b), "{labels:?}");
        assert_eq!(labels, summaries.iter().map(|part| label(&part.stats[index].max)).collect::<Vec<_>>());
        let mut found: Vec<i64> = Vec::new();
        for file in &files {
            let batches = read_parquet_batches(&contract, file).unwrap();
            let ids: Vec<i64> =
                batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
            assert!(ids.is_sorted(), "{by:?}");
            found.extend(ids);
        }
        found.sort_unstable();
        assert_eq!(found, (0..30_000).collect::<Vec<_>>());
    }
}

#[test]
fn a_value_of_many_rows_has_several_files_and_no_rows_have_one() {
    let (contract, batches) = split_by("status", SplitBy::Value, 60_000);
    let (summaries, _) = written(&contract, &batches);
    let of = |status: &str| summaries.iter().filter(|part| part.stats[2].min.as_deref() == Some(status)).count();
    assert_eq!(of("open") + of("closed"), summaries.len());
    assert!(of("open") > 1 && of("closed") > of("open"), "{summaries:?}");
    assert_eq!(written(&contract, &[]).0.len(), 1);
}

#[test]
fn a_value_whose_rows_were_all_dropped_for_their_key_has_no_file() {
    let (contract, batches) = split_by("status", SplitBy::Value, 128 << 20);
    let mut contract = with_key(contract, &["id"]);
    contract.dedupe = Some(Dedupe { policy: DedupePolicy::First, place: contract.window.place.clone() });
    let mut columns = batches[0].slice(0, 10).columns().to_vec();
    columns[2] = Arc::new(StringArray::from(vec!["again"; 10]));
    let again = batch(&contract, columns);
    let (summaries, _) = written(&contract, &[batches[0].clone(), again]);
    let values: Vec<&str> = summaries.iter().map(|part| part.stats[2].min.as_deref().unwrap()).collect();
    assert_eq!(values, ["closed", "open"]);
}

#[test]
fn files_by_value_do_not_depend_on_chunks_forms_and_memory() {
    let (contract, batches) = split_by("at", SplitBy::Month, 128 << 20);
    let expected = written(&contract, &batches);
    let pieces: Vec<RecordBatch> = (0..30_000).step_by(777).map(|at| batches[0].slice(at, 777.min(30_000 - at))).collect();
    let coded = Arrow::Dictionary(Box::new(Arrow::UInt8), Box::new(Arrow::Utf8));
    let half: Vec<RecordBatch> = pieces
        .iter()
        .enumerate()
        .map(|(number, piece)| {
            let mut columns = piece.columns().to_vec();
            if number % 2 == 0 {
                columns[2] = arrow_cast::cast(&columns[2], &coded).unwrap();
            }
            let names = contract.properties.iter().map(|property| property.name.to_string());
            RecordBatch::try_from_iter_with_nullable(names.zip(columns).map(|(name, column)| (name, column, true))).unwrap()
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let limited = Memory::limited((64 << 20) + (1 << 20), folder.path().to_owned());
    let chunk = |batch: &RecordBatch| Chunk { batch: batch.clone(), origin: Origin::new("f".into(), 2) };
    let shaped = shape_within(&contract, half.iter().map(chunk).collect(), &limited).unwrap();
    assert!(limited.spilled() > 0);
    assert_eq!(written_rows(&contract, &shaped.rows), expected);
    assert_eq!(written(&contract, &half), expected);
}

#[test]
fn a_column_of_too_many_values_splits_nothing() {
    for (column, by) in [("id", SplitBy::Value), ("note", SplitBy::Value), ("at", SplitBy::Value)] {
        let (contract, batches) = split_by(column, by, 128 << 20);
        let error = rows_of(&contract, &batches).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{column}");
        assert!(error.message().contains("more than 1000 files"), "{error}");
    }
}
