//! The functions in one process, for laptops, containers and clusters: the same routers and handlers, behind an HTTP
//! server and queues that are polled.
//!
//! `darkroom serve` does everything, by default on a folder (`local`); `darkroom api`, `worker`, `notify` and `recover`
//! do one function's work each, on AWS services or what speaks their API. `darkroom check` and `health` ask one that
//! runs; `darkroom keys` makes, lists and revokes keys. `darkroom engine` is what `serve` and `worker` start for the
//! work on images (`isolation`).

mod arguments;
mod check;
mod host;
mod isolation;
mod keys;
mod machine;
mod metered;
mod objects;
mod poller;
mod probes;
mod server;
mod stores;

pub use arguments::Arguments;
pub use check::CheckError;
pub use host::{Error, MakeEngine, StartError, run, run_with};
pub use keys::KeysError;
