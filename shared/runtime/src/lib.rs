//! What every function needs around its work: configuration, telemetry, SQS batches, and outbound HTTP that goes
//! nowhere it must not.

pub mod config;
pub mod networks;
pub mod outbound;
pub mod sqs;
pub mod telemetry;
