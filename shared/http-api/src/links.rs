//! Where things are. Answers link by absolute path, callbacks by absolute URL; both come from here.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use jobs::{algorithm::THUMBNAIL, id::JobId};

/// Makes links below a base: a path such as `/v1`, or a URL such as `https://images.example.com/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    base: String,
}

impl Links {
    /// Links below `base`, with or without a slash at its end.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned() }
    }

    /// The base itself.
    #[must_use]
    pub fn base(&self) -> String {
        if self.base.is_empty() { "/".to_owned() } else { self.base.clone() }
    }

    /// A route of the API; it starts with a slash.
    #[must_use]
    pub fn to(&self, route: &str) -> String {
        format!("{}{route}", self.base)
    }

    /// A job.
    #[must_use]
    pub fn job(&self, id: JobId) -> String {
        self.to(&format!("/jobs/{id}"))
    }

    /// The main form of a job's result.
    #[must_use]
    pub fn result(&self, id: JobId, algorithm: &str) -> String {
        if algorithm == THUMBNAIL {
            format!("{}/thumbnail", self.job(id))
        } else {
            format!("{}/results/{algorithm}", self.job(id))
        }
    }

    /// The thumbnail that a job made for a preset.
    #[must_use]
    pub fn preset(&self, id: JobId, preset: &str) -> String {
        format!("{}?preset={preset}", self.result(id, THUMBNAIL))
    }
}

/// The links of the request's own API, as [`crate::service`] found its base.
impl<S: Sync> FromRequestParts<S> for Links {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
