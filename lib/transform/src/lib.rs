//! SQL and Rust transforms, derived columns and SQL checks: the only crate that knows polars.
//!
//! ```text
//! clean head ─▶ [SQL or Rust over lazy frames] ─▶ batches ─▶ stage ─▶ [SQL checks] ─▶ publish
//! raw rows ─▶ read ─▶ [derived columns] ─▶ shape        (this crate: what stands in brackets)
//! ```
//!
//! Invariant: inputs are explicit files of resolved heads, never globs; nothing here lists a store, writes a file or
//! reads the clock. What would lose digits, guess a type or turn a failed cast into null is refused, at lint time where
//! the plan shows it and as an error at run time where only the data does.

pub mod bridge;
pub mod check;
mod check_sql;
mod columns;
mod decimal;
mod delivery;
pub mod derive;
mod failure;
#[cfg(test)]
mod fixture;
mod functions;
mod guard;
pub mod input;
pub mod lineage;
pub mod lint;
mod metric;
mod needs;
pub mod params;
mod parse;
pub mod run;
pub mod sink;
mod sorted;
mod step;
pub mod stop;
pub mod text;
pub mod transform;

pub use check::{lint_checks, run_checks};
pub use derive::{Declare, Derivation, DeriveError, DeriveFailure, derive, lint_derive};
pub use input::{Inputs, TableInput};
pub use lint::lint_select;
pub use params::Params;
pub use run::run;
pub use sink::{Kept, QueryError, Sink};
pub use stop::{Stop, StopReason};
pub use transform::{Registry, RustTransform, SqlTransform, Transform};
