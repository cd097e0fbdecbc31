//! The JSON of the API's answers. Each is made of a domain value; what is not for clients does not come along.

mod algorithm;
mod job;
mod legacy;
mod usage;

use utoipa::ToSchema;

pub use self::{
    algorithm::{AlgorithmView, AlgorithmsView},
    job::{JobPageView, JobView, StatusView, ThumbnailPageView, ThumbnailView},
    legacy::{LegacyFailure, LegacyJobView},
    usage::UsageView,
};

/// The bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Binary(#[expect(dead_code, reason = "describes a body")] Vec<u8>);
