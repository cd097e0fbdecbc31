//! The promises of `imaging`, tested with whole files.

// Clippy allows this in functions marked `#[test]`, but not in the helpers that tests share.
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
