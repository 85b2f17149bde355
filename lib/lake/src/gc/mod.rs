//! Garbage collection: plan, verify again, delete.
//!
//! ```text
//! plan_gc ─▶ exact keys with reasons ─▶ run_gc: examine the window anew ─▶ abort what is undecided ─▶ delete
//! ```
//!
//! A plan only limits what a run may delete. What it does delete is decided anew, window by window, right before: a key
//! goes when the plan has it and the ledger says again that nothing reaches it. So an old plan, a run that was killed
//! and two runs at once do no harm.
//!
//! Must never: delete a register or `format.json`, delete below `raw/`, delete a key outside the grammar, ask a host's
//! clock, or delete the files of an undecided attempt before the attempt is aborted in the ledger.

mod clock;
mod examine;
mod plan;
mod run;

pub use plan::{GcForeign, GcItem, GcPlan, GcSkipped, Tally};
pub use run::GcReport;
