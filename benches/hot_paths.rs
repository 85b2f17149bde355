//! Hot paths of one window, on the example flights repeated to a fixed number of rows: `cargo bench --bench hot_paths`.
//!
//! Ids are group/dataset/rows/threads; figures are rows a second. Compare ratios within one run, machines are noisy.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::expect_used, reason = "a bench that cannot prepare its data stops")]

use std::hint::black_box;
use std::io::{Cursor, Read};
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use windrow_core::{Contract, PartitionWindow, Result, contract};
use windrow_engine::write::{PartStore, PartSummary};
use windrow_engine::{Chunk, InputFile, read, schema, shape, write};
use windrow_transform::Derivation;

const COPIES: usize = 40;

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
    let inputs = [InputFile { key: Arc::from("raw/flights/EWR.csv"), size: data.bytes.len() as u64 }];
    let open = |_: &InputFile| -> Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(data.bytes.clone()))) };
    let window = read::read_window(&data.raw, &inputs, &open).expect("readable");
    assert!(window.report.is_empty() && window.rows_in == data.rows);
    window.chunks
}

/// Encodes and keeps nothing.
struct Discard;

impl PartStore for Discard {
    type File = std::io::Sink;

    fn begin(&self, _: usize) -> Result<std::io::Sink> {
        Ok(std::io::sink())
    }

    fn finish(&self, _: std::io::Sink, part: &PartSummary) -> Result<()> {
        black_box(part);
        Ok(())
    }
}

fn hot_paths(criterion: &mut Criterion) {
    let data = load();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let id = |path: &str| format!("{path}/flights/{}/{threads}", data.rows);
    let mut group = criterion.benchmark_group("window");
    group.sample_size(20).throughput(Throughput::Elements(data.rows));
    group.bench_function(id("read_csv"), |bencher| bencher.iter(|| black_box(read_chunks(&data))));

    let chunks = read_chunks(&data);
    let derivation =
        Derivation::compile(&data.clean, &schema::full_schema(&data.raw), schema::arrow_field).expect("a contract that compiles");
    let derive =
        |chunk: &Chunk| Chunk { batch: derivation.apply(&chunk.batch).expect("derivable"), origin: chunk.origin.clone() };
    group.bench_function(id("derive"), |bencher| bencher.iter(|| black_box(chunks.iter().map(derive).collect::<Vec<_>>())));

    let derived: Vec<Chunk> = chunks.iter().map(derive).collect();
    let conform = || shape::conform(&data.clean, &data.window, derived.clone()).expect("conformable");
    group.bench_function(id("conform"), |bencher| bencher.iter(|| black_box(conform())));
    let shape_all = || shape::shape(&data.clean, conform().chunks).expect("shapeable");
    group.bench_function(id("conform_and_shape"), |bencher| bencher.iter(|| black_box(shape_all())));

    let rows = shape_all().rows;
    group.bench_function(id("write"), |bencher| {
        bencher.iter(|| write::write_parts(&data.clean, &rows, &Discard).expect("writable"));
    });
    group.finish();
}

criterion_group!(benches, hot_paths);
criterion_main!(benches);
