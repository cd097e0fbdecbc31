//! The parts that every function needs around its work: configuration, telemetry, SQS batches, and outbound HTTP that
//! connects only to permitted networks.

pub mod config;
pub mod networks;
pub mod outbound;
pub mod sqs;
pub mod telemetry;
