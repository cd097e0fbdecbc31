//! A deployed stack, over HTTP. `make test` deploys one and names it in the environment; without that these tests are
//! left out.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod callbacks;
mod contracts;
mod documents;
mod models;
mod reading;
mod refusals;
mod submitting;
mod support;
