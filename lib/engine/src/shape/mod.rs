//! From rows as they were read or derived to the rows of a window, in file order and final types.
//!
//! ```text
//! raw columns ─▶ project (or windrow-transform) ─▶ conform: exact types, rules, keys, window ─▶ shape: dedupe, sort ─▶ write
//! ```
//!
//! Nothing is rounded, cut or guessed: a value that does not fit is a violation, a type that does not fit is a mistake of the contract.

mod cast;
mod conform;
mod dedupe;
mod keys;
mod order;
mod project;
mod rows;
mod total;
mod window;

pub use conform::{Conformed, conform};
pub use order::{Shaped, shape};
pub use project::project;
pub use total::{in_total_order, is_sorted_totally};

#[cfg(test)]
mod tests;
