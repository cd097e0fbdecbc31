//! Shared parts of tests: in-memory ports, a way to make any of their calls fail, builders, and the contract suites
//! that the in-memory ports and the real ones both pass.
//!
//! It is only ever a dev-dependency, so it asserts and unwraps as a test does.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod build;
pub mod contract;
pub mod faults;
pub mod generated;
pub mod memory;
