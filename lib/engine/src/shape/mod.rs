//! From rows as they were read or derived to the rows of a window, in file order and final types.
//!
//! ```text
//! raw columns ─▶ project (or windrow-transform) ─▶ conform: exact types, rules, keys, window ─▶ shape: dedupe, sort ─▶ write
//! ```
//!
//! Nothing is rounded, cut or guessed: a value that does not fit is a violation, a type that does not fit is a mistake of the contract.

mod cast;
mod collect;
mod conform;
mod dedupe;
mod gather;
mod key_part;
mod keys;
mod memory;
mod order;
mod pile;
mod project;
mod rows;
mod run;
mod spill;
mod split;
mod total;
mod unordered;
mod window;

pub use collect::{Collector, shape, shape_within};
pub use conform::{Conformed, conform};
pub use memory::Memory;
pub use order::Shaped;
pub use project::project;
pub use rows::OrderedRows;
pub(crate) use rows::{BATCH_ROWS, Group};
pub use total::in_total_order;

#[cfg(test)]
mod tests;
