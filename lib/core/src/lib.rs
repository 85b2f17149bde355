//! The words and the decisions of windrow, and nothing that acts.
//!
//! ```text
//! contract ─▶ read ─▶ shape ─▶ stage ─▶ check ─▶ publish
//!  (core: what each step must obey, and what its result means)
//! ```
//!
//! Invariant: no store, environment, clock, randomness or thread is touched here, and no polars, arrow, object_store
//! or AWS crate is a dependency; `tests/purity.sh` proves it. What acts lives in `windrow-lake` (stores),
//! `windrow-engine` (bytes to columns), `windrow-transform` (SQL) and `windrow-jobs` (the command line).

pub mod canonical;
pub mod code;
pub mod contract;
pub mod diagnostic;
pub mod error;
pub mod gate;
pub mod id;
pub mod layout;
pub mod ledger;
pub mod profile;
pub mod suggest;
pub mod violation;
pub mod window;
pub mod yaml;

pub use code::Code;
pub use contract::Contract;
pub use diagnostic::{Diagnostic, Excerpt, Place};
pub use error::{Error, ErrorKind, Result, RowTally};
pub use id::{Attempt, DatasetName, Epoch, Layer, RunId, Table};
pub use violation::{Violation, ViolationReport};
pub use window::{Grain, PartitionWindow, WindowChoice};
