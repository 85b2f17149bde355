//! Hot paths, each alone: `cargo bench --bench hot_paths`, or one of them: `cargo bench --bench hot_paths -- parse/`.
//!
//! | Group | Measures | A unit is |
//! |---|---|---|
//! | index | the structural index, by machine words and by what the machine has | a byte |
//! | parse | one column of each type, from CSV bytes to a column | a value |
//! | window | one window of the example flights, repeated: read, derive, validate, sort, dedupe, encode | a row |
//! | lake | the example lake: resolve a head, run a table's checks | a head, a table |
//!
//! Compare ratios within one run, machines are noisy.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::expect_used, reason = "a bench that cannot prepare its data stops")]

use std::hint::black_box;
use std::io::{Cursor, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow_array::UInt32Array;
use arrow_select::take::take_record_batch;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use windrow_core::{Contract, PartitionWindow, Result, contract};
use windrow_engine::write::{PartStore, PartSummary};
use windrow_engine::{Chunk, InputFile, read, schema, shape, write};
use windrow_jobs::project::Project;
use windrow_lake::Lake;
use windrow_transform::{Derivation, Params, Stop, TableInput, run_checks};

// The sources of the engine as they are, so that measuring the index needs no door in the engine's interface.
#[allow(dead_code, unused_imports, reason = "the sources hold what only the engine and its tests use")]
#[path = "../lib/engine/src/read/index.rs"]
mod index;
#[allow(dead_code, unused_imports, reason = "the sources hold what only the engine and its tests use")]
#[path = "../lib/engine/src/simd/mod.rs"]
mod simd;

const COPIES: usize = 40;

/// How many values each type is parsed from.
const VALUES: u64 = 200_000;

struct Data {
    raw: Contract,
    clean: Contract,
    window: PartitionWindow,
    bytes: Vec<u8>,
    rows: u64,
}

fn load() -> Data {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let text = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).expect("a file of this repository");
    let parse = |name: &str| contract::read(name, &text(&format!("schemas/{name}"))).expect("a contract without findings");
    let file = text("examples/raw/flights/2013/01/01/EWR.csv");
    let (header, body) = file.split_once('\n').expect("a header");
    let mut bytes = format!("{header}\n").into_bytes();
    for _ in 0..COPIES {
        bytes.extend_from_slice(body.as_bytes());
    }
    let rows = (body.lines().count() * COPIES) as u64;
    // Copies of a flight share its key; here the first one stays, in the example contract a second one fails the window.
    let mut clean = parse("flights.clean.odcs.yaml");
    clean.dedupe.iter_mut().for_each(|dedupe| dedupe.policy = contract::DedupePolicy::First);
    let window = "2013-01-01".parse().expect("a window");
    Data { raw: parse("flights.raw.odcs.yaml"), clean, window, bytes, rows }
}

fn read_chunks(data: &Data) -> Vec<Chunk> {
    read_file(&data.raw, &data.bytes, data.rows)
}

fn read_file(raw: &Contract, bytes: &[u8], rows: u64) -> Vec<Chunk> {
    let inputs = [InputFile { key: Arc::from("raw/file.csv"), size: bytes.len() as u64 }];
    let open = |_: &InputFile| -> Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(bytes.to_vec()))) };
    let window = read::read_window(raw, &inputs, &open).expect("readable");
    assert!(window.report.is_empty() && window.rows_in == rows);
    window.chunks
}

/// Encodes and keeps nothing.
struct Discard;

impl PartStore for Discard {
    type File = std::io::Sink;

    fn begin(&self, _: u32, _: usize) -> Result<std::io::Sink> {
        Ok(std::io::sink())
    }

    fn finish(&self, _: std::io::Sink, part: &PartSummary) -> Result<()> {
        black_box(part);
        Ok(())
    }
}

fn indexing(criterion: &mut Criterion) {
    let data = load();
    let structure = index::Structure { delimiter: b',', quote: Some(b'"') };
    let mut group = criterion.benchmark_group("index");
    group.sample_size(20).throughput(Throughput::Bytes(data.bytes.len() as u64));
    for (name, level) in [("portable", simd::Level::Portable), ("detected", simd::Level::detect())] {
        let mut index = index::Index::at_level(structure, level);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                index.reset(0);
                index.scan(black_box(&data.bytes), true);
                assert_eq!(index.rows.len() as u64, data.rows + 1);
            });
        });
    }
    group.finish();
}

/// A contract of one column, and a file of its values.
fn column_of(declared: &str, value: impl Fn(u64) -> String) -> (Contract, Vec<u8>) {
    let text = format!(
        "apiVersion: v3.2.0
kind: DataContract
id: 63b29f5b-7fc0-5938-83a4-35f341952aed
name: Values
version: 1.0.0
status: active
schema:
  - name: values
    logicalType: object
    physicalType: csv
    customProperties:
      - {{property: layer, vendor: windrow, value: raw}}
      - {{property: window, vendor: windrow, value: {{grain: day, zone: UTC}}}}
      - {{property: input, vendor: windrow, value: {{path: 'values/{{yyyy}}/{{MM}}/{{dd}}/*.csv'}}}}
      - {{property: reader, vendor: windrow, value: {{format: csv}}}}
    properties:
      - {{name: v, required: true, {declared}}}
"
    );
    let contract = contract::read("values.raw.odcs.yaml", &text).expect("a contract without findings");
    let mut bytes = b"v\n".to_vec();
    for number in 0..VALUES {
        bytes.extend_from_slice(value(number).as_bytes());
        bytes.push(b'\n');
    }
    (contract, bytes)
}

fn parsing(criterion: &mut Criterion) {
    let date = |number: u64| format!("20{:02}-{:02}-{:02}", number % 30, 1 + number % 12, 1 + number % 28);
    let kinds: [(&str, (Contract, Vec<u8>)); 8] = [
        (
            "integer",
            column_of("logicalType: integer, logicalTypeOptions: {format: i64}", |number| {
                (number * 7_919 % 1_000_000).to_string()
            }),
        ),
        (
            "decimal",
            column_of("logicalType: number, physicalType: 'DECIMAL(15,2)'", |number| {
                format!("{}.{:02}", number * 31 % 100_000, number % 100)
            }),
        ),
        (
            "double",
            column_of("logicalType: number, logicalTypeOptions: {format: f64}", |number| {
                format!("{}.{}", number % 1_000, number % 977)
            }),
        ),
        ("boolean", column_of("logicalType: boolean", |number| (number % 3 == 0).to_string())),
        ("date", column_of("logicalType: date", date)),
        (
            "timestamp",
            column_of(
                "logicalType: timestamp, logicalTypeOptions: {format: \"yyyy-MM-dd'T'HH:mm:ssXXX\", timezone: true}",
                |number| format!("{}T{:02}:{:02}:07Z", date(number), number % 24, number % 60),
            ),
        ),
        ("text_few", column_of("logicalType: string", |number| format!("value {}", number % 7))),
        ("text_many", column_of("logicalType: string", |number| format!("value {number} of many"))),
    ];
    let mut group = criterion.benchmark_group("parse");
    group.sample_size(20).throughput(Throughput::Elements(VALUES));
    for (name, (raw, bytes)) in &kinds {
        group.bench_function(*name, |bencher| bencher.iter(|| black_box(read_file(raw, bytes, VALUES))));
    }
    group.finish();
}

/// A window's steps, one after the other on the same rows.
fn window(criterion: &mut Criterion) {
    let data = load();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let id = |path: &str| format!("{path}/{}rows/{threads}threads", data.rows);
    let mut group = criterion.benchmark_group("window");
    group.sample_size(20).throughput(Throughput::Elements(data.rows));
    group.bench_function(id("read"), |bencher| bencher.iter(|| black_box(read_chunks(&data))));

    let chunks = read_chunks(&data);
    let derivation =
        Derivation::compile(&data.clean, &schema::full_schema(&data.raw), schema::arrow_field).expect("a contract that compiles");
    let derive =
        |chunk: &Chunk| Chunk { batch: derivation.apply(&chunk.batch).expect("derivable"), origin: chunk.origin.clone() };
    group.bench_function(id("derive"), |bencher| bencher.iter(|| black_box(chunks.iter().map(derive).collect::<Vec<_>>())));

    let derived: Vec<Chunk> = chunks.iter().map(derive).collect();
    let conform = || shape::conform(&data.clean, &data.window, derived.clone()).expect("conformable").chunks;
    group.bench_function(id("validate"), |bencher| bencher.iter(|| black_box(conform())));
    let conformed = conform();
    let shaped = |contract: &Contract, chunks: &[Chunk]| shape::shape(contract, chunks.to_vec()).expect("shapeable");
    let keyless = without_key(&data.clean);
    let shuffled: Vec<Chunk> = conformed.iter().map(shuffle).collect();
    group.bench_function(id("sort"), |bencher| bencher.iter(|| black_box(shaped(&keyless, &shuffled))));
    // Of every forty rows one stays: the worst a dedupe can meet.
    group.bench_function(id("dedupe_and_sort"), |bencher| bencher.iter(|| black_box(shaped(&data.clean, &shuffled))));

    let rows = shaped(&keyless, &conformed).rows;
    group.bench_function(id("encode"), |bencher| {
        bencher.iter(|| write::write_parts(&keyless, &rows, &Discard).expect("writable"));
    });
    group.finish();
}

fn without_key(contract: &Contract) -> Contract {
    let mut keyless = contract.clone();
    keyless.dedupe = None;
    keyless.properties.iter_mut().for_each(|property| property.key_position = None);
    keyless
}

/// The same rows in an order nothing can profit from, the same every time.
fn shuffle(chunk: &Chunk) -> Chunk {
    let rows = u32::try_from(chunk.batch.num_rows()).expect("a small chunk");
    let mut order: Vec<u32> = (0..rows).collect();
    order.sort_by_key(|row| row.wrapping_mul(2_654_435_761));
    let batch = take_record_batch(&chunk.batch, &UInt32Array::from(order)).expect("the same rows");
    Chunk { batch, origin: chunk.origin.clone() }
}

fn lake(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("demo");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_windrow"));
    let made = demo.arg("demo").arg(&root).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(made.expect("windrow runs").success());
    let project = Project::load(&root, None, None).expect("a project without findings");
    let lake = Lake::open_local(&root.join("lake")).expect("a lake");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (name, window) = ("clean.flights".parse().expect("a table"), "2013-01-01".parse().expect("a window"));
    let table = runtime.block_on(lake.table(&name)).expect("readable").expect("a table with windows");
    let resolve = || runtime.block_on(table.require_head(&window)).expect("a published window");
    let mut group = criterion.benchmark_group("lake");
    group.sample_size(20);
    group.bench_function("resolve/clean.flights", |bencher| bencher.iter(|| black_box(resolve())));

    let contract = project.contract(&name).expect("declared");
    let head = resolve();
    let input = TableInput {
        name: "clean_flights".to_owned(),
        schema: Arc::new(schema::full_schema(contract)),
        files: head.files.iter().map(|file| root.join("lake").join(&file.key)).collect(),
        partition: contract.partition().map(|property| (property.name.to_string(), window)),
    };
    let params = Params::new(window, &jiff::tz::TimeZone::UTC, jiff::Timestamp::UNIX_EPOCH).expect("parameters");
    let checks = project.checks(&name);
    group.bench_function(format!("check/clean.flights/{}checks", checks.len()), |bencher| {
        bencher.iter(|| black_box(run_checks(checks, &input, &params, &Stop::default())));
    });
    group.finish();
}

criterion_group!(benches, indexing, parsing, window, lake);
criterion_main!(benches);
