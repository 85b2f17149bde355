//! The one integration binary: the real `windrow` program on projects in temporary folders.

#[cfg(test)]
mod arena;
#[cfg(test)]
mod callback;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod cycle;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod operate;
#[cfg(test)]
mod orchestrated;
#[cfg(test)]
mod orchestrator;
#[cfg(test)]
mod parquet_files;
#[cfg(test)]
mod replay_queue;
#[cfg(test)]
mod sizing;
#[cfg(test)]
mod sla;
#[cfg(test)]
mod sqs;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tiny;
/// The S3 server is the one of the lake's own tests.
#[cfg(test)]
#[path = "../../lib/lake/tests/it/weed.rs"]
#[allow(dead_code, reason = "a fixture that the lake's own tests use more of")]
mod weed;
