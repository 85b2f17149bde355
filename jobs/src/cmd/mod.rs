//! The verbs, one file each.

pub mod check_input;
pub mod contract;
pub mod demo;
pub mod explain;
pub mod gc;
pub mod plan;
pub mod quarantine;
mod quarantine_close;
pub mod reconcile;
pub mod replay;
mod replay_queue;
pub mod retract;
pub mod rollback;
pub mod run;
pub mod sizing;
pub mod sla;
pub mod stage;
pub mod status;
