//! Bytes to columns and back, strictly: the reading, validating, shaping and writing half of windrow.
//!
//! ```text
//! raw bytes ─▶ decompress ─▶ read (csv, ndjson, parquet) ─▶ rules ─▶ [derive: windrow-transform] ─▶ conform ─▶ shape ─▶ write
//!              └────────────── read::read_window ──────────────┘                                   └ dedupe, sort, window ┘
//! ```
//!
//! Invariant: no polars, no AWS and no object store is known here; bytes come through [`Open`] and leave through a sink.

pub mod chunk;
pub mod compact;
pub mod form;
mod hash;
mod numbers;
pub mod parse;
pub mod read;
pub mod rejects;
pub mod rules;
pub mod schema;
pub mod shape;
mod simd;
mod text;
pub mod write;

#[cfg(test)]
mod test_contracts;

pub use chunk::{Chunk, InputFile, Open, Origin, Position};
