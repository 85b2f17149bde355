//! Many small files of a window as files of about the target size: the same rows in the same order, decoding no more than must be.
//!
//! ```text
//! plan (which files become one) ─▶ open (footers, page index) ─▶ runs (whole row groups, up to a full one)
//!   ─▶ a column of a run: copy (one row group) | splice (pages as they are) | merge (dictionaries) | recode (decoded and encoded)
//!   ─▶ read back and compare digests ─▶ sink
//! ```
//!
//! A row group of at least half of the contract's `rowGroupRows` is copied byte for byte. Smaller ones become one: pages that stand for
//! themselves are copied as they are, pages of dictionary indices get the indices of the merged dictionary, and only a column whose pages
//! are tiny, or whose dictionaries do not fit together, is decoded.
//!
//! Invariant: nothing leaves this module before the finished file was opened as a reader opens it and every column of every row group
//! was found to hold what the source files hold, in order.

mod copy;
mod digest;
mod group;
mod hybrid;
mod merge;
mod part;
mod plan;
mod recode;
mod source;
mod statistics;
mod summary;

pub use part::{CompactedPart, Compactor, ReadFile, Work};
pub use plan::{plan_parts, size_after};
pub use summary::{FileSummary, merge_stats};

#[cfg(test)]
mod tests;
