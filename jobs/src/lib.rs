//! x
pub mod cli; pub mod config; pub mod plan; pub mod project; pub mod render; pub mod runtime;
