//! The ports of `jobs` on DynamoDB, S3 and SQS.

mod accounts;
mod clients;
mod error;
mod objects;
mod queues;
mod table;
pub mod upload_event;

pub use clients::{API_PATIENCE, Clients, WORKER_PATIENCE, http_client};
pub use objects::Bucket;
pub use queues::{Queue, Queues};
pub use table::JobsTable;
