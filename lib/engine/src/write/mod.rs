//! The one Parquet writer: sorted batches become files of about the target size, with equal bytes for equal rows.
//!
//! ```text
//! rows ─▶ properties (dictionary or not, from a sample) ─▶ split (from a sample's size) ─▶ pipeline: gather and encode columns ─▶ store
//! ```
//!
//! Invariant: bytes depend on rows and contract only, never on threads, time, host or version, so that a replay proves itself by hash.

mod distinct;
mod encode;
mod parts;
mod pipeline;
mod properties;
mod stats;
mod verify;

pub(crate) use encode::{failed, leaves};
pub use parts::{PartStore, PartSummary, write_parts, write_single};
pub(crate) use properties::{Facts, Layout, SPLIT_KEY, properties};
pub use stats::ColumnStats;
pub use verify::{read_parquet_batches, verify_part};

#[cfg(test)]
mod tests;
