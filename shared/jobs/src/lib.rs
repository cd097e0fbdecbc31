//! The domain of Darkroom: jobs, their states, and what a store, a queue or a fetcher must do for them.
//! Nothing here knows AWS, HTTP servers or pixels.
//!
//! | module | holds |
//! |---|---|
//! | [`job`] | [`Job`](job::Job) and its states; a state changes only by a named method |
//! | [`algorithm`] | how an algorithm is described, and a submission's parameters checked against that |
//! | [`colour`] | a colour as clients write it |
//! | [`key`], [`message`] | every object key and every queue message, each in one enum |
//! | [`ports`] | one small trait per capability that the world outside must provide |
//! | [`submit`], [`process`], [`notify`], [`browse`] | the use cases, one for each function |
//! | [`callback_headers`], [`secret`] | what a client has sent with its callback, and what must not be shown |
//! | [`error`] | what went wrong, and whose fault it is |
//! | [`units`] | quantities as messages and documents write them |

pub mod algorithm;
pub mod browse;
pub mod callback;
pub mod callback_headers;
pub mod codes;
pub mod colour;
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
pub mod recover;
pub mod secret;
pub mod submit;
pub mod units;
