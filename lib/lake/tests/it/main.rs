//! The lake's one integration binary: the contract every store must keep, and what happens when it does not.

#[cfg(test)]
mod aging;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod fault;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod gc;
#[cfg(test)]
mod gc_faults;
#[cfg(test)]
mod ledger_model;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod others;
#[cfg(test)]
mod races;
#[cfg(test)]
mod reconcile;
#[cfg(test)]
mod rollback;
#[cfg(test)]
mod s3_answers;
#[cfg(test)]
mod s3_answers_lake;
#[cfg(test)]
mod s3_answers_proxy;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod support;
#[cfg(test)]
mod views;
#[cfg(test)]
#[allow(dead_code, reason = "a fixture for several modules")]
mod weed;
