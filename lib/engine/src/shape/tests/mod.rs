mod casts;
mod conforming;
mod ordering;
mod unordered;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use windrow_core::{Code, PartitionWindow, ViolationReport};

use crate::chunk::{Chunk, Origin};

/// A chunk of one file whose rows stand on consecutive lines from `line`.
fn chunk(file: &str, line: u64, columns: Vec<(&str, ArrayRef)>) -> Chunk {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    Chunk { batch: RecordBatch::try_from_iter_with_nullable(columns).unwrap(), origin: Origin::new(file.into(), line) }
}

fn array(values: impl arrow_array::Array + 'static) -> ArrayRef {
    Arc::new(values)
}

fn window(text: &str) -> PartitionWindow {
    text.parse().unwrap()
}

fn codes(report: &ViolationReport) -> Vec<(u64, Code)> {
    report.listed().iter().map(|violation| (violation.line, violation.code)).collect()
}
