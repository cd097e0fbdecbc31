//! The domain of Darkroom: jobs, their states, and what a store, a queue or a fetcher must do for them.
//! Nothing here knows AWS, HTTP servers or pixels.
//!
//! | module | holds |
//! |---|---|
//! | [`job`], [`callback`] | [`Job`](job::Job), its states and its callback; a state changes only by a named method |
//! | [`algorithm`], [`colour`] | the description of an algorithm, against which parameters are checked |
//! | [`id`], [`key`], [`message`] | job ids, every object key and every queue message |
//! | [`ports`] | one small trait for each capability that the outside world must provide |
//! | [`submit`], [`process`], [`notify`], [`recover`], [`browse`] | the use cases, one for each function |
//! | [`access`], [`quota`] | keys, what each allows, and how much |
//! | [`once`], [`hosts`] | idempotency keys; how many callbacks go to one host at a time |
//! | [`callback_headers`], [`secret`] | headers that clients add to their callbacks, and texts that are never shown |
//! | [`error`], [`codes`] | errors by whose fault they are, and the code of each |
//! | [`limits`], [`units`] | the limits of a deployment, and quantities as messages and documents write them |

pub mod access;
pub mod browse;
pub mod callback;
pub mod callback_headers;
pub mod codes;
pub mod error;
pub mod hosts;
pub mod id;
pub mod job;
pub mod key;
pub mod limits;
pub mod message;
pub mod notify;
pub mod once;
pub mod ports;
pub mod process;
pub mod quota;
pub mod recover;
pub mod secret;
pub mod submit;

pub use algorithm::{self, colour, units};
