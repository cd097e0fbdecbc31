//! Working on images in processes of their own, so that an image that crashes or exhausts its decoder, or keeps it busy
//! for ever, ends its own attempt and nothing else.
//!
//! [`EngineProcesses`] is an engine that hands each image to a process that works on no other one at that time. It
//! starts this very program again, as `darkroom engine`, and the two talk over pipes ([`wire`]). A process that is idle
//! takes the next image. One that dies, or takes longer than a job may, is replaced.
//!
//! A process gets nothing from the environment but its log level: no credentials, and no address of a store. The models
//! that an algorithm needs are read by its parent.

mod child;
mod parent;
mod wire;

pub(crate) use child::serve;
pub(crate) use parent::{EngineProcesses, OVERRUN};
