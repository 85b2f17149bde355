//! The command line of windrow: loads a project, opens a lake, and walks windows through their stages.
//!
//! ```text
//! cli ─▶ cmd (one file a verb) ─▶ session (project, lake, runtime) ─▶ stage (one file a stage) ─▶ report
//! ```
//!
//! Invariant: environment, clock and randomness are touched only in [`runtime`]; exit codes come only from
//! `windrow_core::ErrorKind`.

pub mod alert;
pub mod cli;
pub mod cmd;
pub mod config;
pub mod functions;
pub mod lake;
pub mod lint;
pub mod observe;
pub mod plan;
pub mod project;
pub mod render;
pub mod report;
pub mod result_uri;
pub mod runtime;
pub mod session;
pub mod stage;
pub mod subject;
mod supervise;
pub mod turns;
pub mod watch;

/// One arena, whose memory every thread uses again (ADR 16). `.cargo/config.toml` has its options.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
