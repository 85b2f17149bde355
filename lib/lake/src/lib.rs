//! The lake: raw files that are only read, and tables whose windows become visible through one write-once register.
//!
//! ```text
//! list_inputs ─▶ claim ─▶ read_pinned ─▶ stage_part ─▶ put_staged ─▶ put_check ─▶ publish ─▶ project
//!                  └──────────────── every write is create-if-absent ──────────────┘      (views only)
//! ```
//!
//! One table is one dataset in one layer; the unit of work, commit, quarantine and replay is one partition window. The
//! only storage primitive of the commit path is *put if absent*: no lock, lease, rename, overwrite or clock decides
//! anything, so the same code is correct on local disk, in memory and on S3.
//!
//! Invariants, each of them tested:
//! - there is no way to write or delete below `raw/`: writers take a [`Key`], and no key names anything there;
//! - nothing under `ledger/` or `data/` is ever overwritten;
//! - [`LakeTable::publish`] takes a [`PassedCheck`], which only the store's own PASS over exactly the staged document
//!   makes;
//! - the last claimed epoch that publishes is the head, whichever run finishes first;
//! - [`LakeTable::resolve`] answers one epoch's complete files or "not published", never an empty list;
//! - registers and `format.json` are never deleted, so an epoch is never used twice; [`Lake::run_gc`] deletes a file of an
//!   undecided attempt only after it has aborted the attempt in the ledger;
//! - a view is old or new and never a mix, and equals the head after a quiet [`LakeTable::reconcile`].
//!
//! Rejected on purpose: a catalog file per table, latest-pointer objects, rename as commit, listing data to find it.
//!
//! ```
//! use windrow_lake::Lake;
//! # fn main() -> windrow_core::Result<()> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(async {
//! let lake = Lake::in_memory();
//! let table = lake.create_table(&"clean.flights".parse()?, &"day".parse()?, "0190a0b0-c0d0-7000-8000-000000000001").await?;
//! assert!(table.resolve(&"2013-01-01".parse()?).await?.is_none());
//! # Ok(())
//! # })
//! # }
//! ```

mod catalog;
mod classify;
mod compaction;
mod digest;
mod discovery;
mod documents;
mod download;
mod durable;
mod flushing;
mod foreign;
mod gc;
mod history;
mod ledger;
mod live;
mod local;
mod manifest;
mod pinned;
mod pinned_local;
mod projection;
mod publish;
mod put_once;
mod quarantine;
mod reconcile;
mod refusal;
mod resolve;
mod rollback;
mod run_file;
mod s3;
mod s3_location;
mod spool;
mod store;
mod table;
mod traffic;
mod upload;

pub use catalog::{CatalogState, PartitionCatalog};
pub use classify::error_from_read;
pub use discovery::{Discovery, RawInput};
pub use gc::{GcForeign, GcItem, GcPlan, GcReport, GcSkipped, Tally};
pub use history::{EpochRegisters, EpochState};
pub use ledger::{ClaimRequest, Claimed, Output};
pub use live::ViewState;
pub use manifest::ManifestState;
pub use pinned::PinnedReader;
pub use publish::PassedCheck;
pub use put_once::{PutOnce, RetryPolicy};
pub use quarantine::QuarantineEntry;
pub use reconcile::{Reconciled, ViewChange, ViewKind, Views};
pub use resolve::{Head, HeadFile, Origin};
pub use s3::{S3Encryption, S3Patience, S3Settings, put_object};
pub use s3_location::S3Location;
pub use spool::{Spool, Spooled, SpooledBytes};
pub use store::Lake;
pub use table::LakeTable;
pub use traffic::{FailedRequest, Observer, Traffic};
pub use windrow_core::layout::Key;
pub use windrow_core::ledger::{GcPolicy, GcReason};
