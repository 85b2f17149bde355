//! The verbs, one file each.

pub mod contract;
pub mod demo;
pub mod explain;
pub mod gc;
pub mod plan;
pub mod quarantine;
pub mod replay;
pub mod retract;
pub mod rollback;
pub mod run;
pub mod stage;
pub mod status;
