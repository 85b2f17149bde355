//! The lake's one integration binary: the contract every store must keep, and what happens when it does not.

mod contract;
mod discovery;
mod fault;
mod faults;
mod races;
mod support;
mod views;
