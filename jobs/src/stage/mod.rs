//! The stages of a window, one function each; `walk` strings them together in one process.
//!
//! ```text
//! input ─▶ clean ─▶ gate ─▶ publish ─▶ curated ─▶ gate ─▶ publish
//!             └────────┴─ evidence (quarantine) ─────┘
//! ```

pub mod clean;
pub mod compact;
pub mod curated;
pub mod evidence;
pub mod freshness;
pub mod gate;
pub mod input;
mod parallel;
pub mod publish;
pub mod staging;
pub mod walk;

/// Stands for an engine's message about a table with classified columns: such messages quote values.
const HIDDEN: &str = "the reason is not shown, because it could hold classified values";
