//! What the HTTP functions share: how a request reaches a router, links, problems, extractors, and the types of the
//! API's JSON.

pub mod access;
pub mod extract;
pub mod links;
pub mod prefer;
pub mod problem;
pub mod service;
pub mod view;

pub use access::Caller;
pub use links::Links;
pub use prefer::{IdempotencyKey, Prefer};
pub use problem::Problem;
