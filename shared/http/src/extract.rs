//! Extractors whose refusals are problems.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use jobs::{error::Refusal, id::JobId};
use serde::de::DeserializeOwned;

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

/// The query string as `T`.
#[derive(Clone, Copy, Debug)]
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Query::<T>::from_request_parts(parts, state).await.map(|Query(value)| Self(value)).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid_query", format!("{}.", error.body_text()))
        })
    }
}

/// The whole body.
#[derive(Clone, Debug)]
pub struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let text = "The body is larger than any request of this route needs to be.";
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", text)
            } else {
                let text = "The body broke off; send it again.";
                Problem::new(StatusCode::BAD_REQUEST, "unreadable_body", text)
            }
        })
    }
}

/// Reads a JSON body as `T`.
///
/// # Errors
/// A problem that says where the JSON is not what it should be.
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let (code, what) = if error.is_data() {
            ("invalid_request", "The JSON is not a request of this route")
        } else {
            ("invalid_json", "The body is not JSON")
        };
        Problem::new(StatusCode::BAD_REQUEST, code, format!("{what}: {error}."))
    })
}
