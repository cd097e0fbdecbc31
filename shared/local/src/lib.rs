//! The ports of `jobs` on one machine: rows and queues in SQLite, images and results in a folder.
//!
//! ```text
//! DATA_DIR/
//!   darkroom.db   rows, queues, the list of objects, the key that signs URLs
//!   objects/      the objects' contents, each in a file of its own that never changes
//!   models/       what `onnx_detection` runs, put there by whoever runs the service
//!   lock          held by the process that uses the folder
//! ```
//!
//! SQLite is told to wait for the disk at each commit, and a file is on the disk before the row that names it is
//! written. So every accepted job and image survives the death of the process or the machine at any moment. Files that
//! such a death leaves without a row are removed by [`Store::sweep`].

mod accounts;
mod database;
mod jobs_table;
mod models;
mod objects;
mod queue;
mod signature;
mod store;

pub use database::DATABASE;
pub use jobs_table::JobsTable;
pub use models::ModelsFolder;
pub use objects::{CHECKSUM, Incoming, Objects};
pub use queue::{DeadLetters, Queue, Queues};
pub use signature::{NotGranted, Signer, Terms};
pub use store::{OpenError, Store};
