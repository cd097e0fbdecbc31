//! The promises of `imaging`, held against whole files.

// Clippy knows that a `#[test]` may do this; what the tests share is tests, too.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod avif;
mod formats;
mod hostile;
mod jpeg;
mod limits;
mod options;
mod orientation;
mod png;
mod reduced;
mod seeds;
mod support;
mod thumbnails;
mod webp;
