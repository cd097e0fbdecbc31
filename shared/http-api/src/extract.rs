//! Extractors whose refusals are problems.

mod json;

use std::collections::HashSet;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use jobs::{error::Refusal, id::JobId};
use serde::de::DeserializeOwned;

pub use self::json::{MAX_JSON, json, without_mark};
use crate::Problem;

/// The job that a path names in its parameter `id`; a text that is no id names no job.
#[derive(Clone, Copy, Debug)]
pub struct JobPath(pub JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(serde::Deserialize)]
        struct Parameters {
            id: String,
        }
        let parameters = Path::<Parameters>::from_request_parts(parts, state).await.ok();
        parameters
            .and_then(|Path(Parameters { id })| id.parse().ok())
            .map(Self)
            .ok_or_else(|| Refusal::no_such_job().into())
    }
}

/// The query string as `T`, in which nothing is given twice.
#[derive(Clone, Copy, Debug)]
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(texts) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|error| invalid_query(&error.body_text()))?;
        each_once(&texts)?;
        let Query(value) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error| invalid_query(&error.body_text()))?;
        Ok(Self(value))
    }
}

fn invalid_query(text: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", format!("{text}."))
}

/// Refuses names and texts of which a name comes twice.
///
/// # Errors
/// A problem that says which.
pub fn each_once(texts: &[(String, String)]) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    match texts.iter().find(|(name, _)| !seen.insert(name)) {
        None => Ok(()),
        Some((name, _)) => Err(given_twice(name)),
    }
}

/// What is given twice could mean either.
#[must_use]
pub fn given_twice(name: &str) -> Problem {
    let text = format!("`{name}` is given more than once; where several are meant, separate them by commas.");
    Problem::new(StatusCode::BAD_REQUEST, "duplicate_parameter", text)
}

/// Refuses a request that is larger than any needs to be.
#[must_use]
pub fn too_large() -> Problem {
    let text = "The request is larger than any of this route needs to be.";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", text)
}

/// The whole body.
#[derive(Clone, Debug)]
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                too_large()
            } else {
                let text = "The body broke off; send it again.";
                Problem::new(StatusCode::BAD_REQUEST, "unreadable_body", text)
            }
        })
    }
}
