//! Jobs as an older service showed them.

use std::collections::BTreeMap;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use jobs::job::{Job, Status};
use serde::Serialize;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{self, Content, Ref, RefOr},
};

use crate::{Problem, problem::ServiceFailure};

/// A job in an older service's words.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LegacyJob)]
pub struct LegacyJobView {
    /// The HTTP status.
    #[schema(example = 200)]
    code: u16,
    /// The id as it was given, even where there is no such job.
    job_id: Option<String>,
    /// `Pending`, `Processing`, `Completed` or `Failed`.
    status: Option<&'static str>,
    /// Why it failed, or why the request was refused.
    error: Option<String>,
}

/// What any route in an older service's words may answer when the service itself fails: in these words where the route
/// learns of it, and as a problem where what stands before the route does.
#[derive(Clone, Copy, Debug)]
pub struct LegacyFailure;

impl IntoResponses for LegacyFailure {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let mut responses = ServiceFailure::responses();
        for status in ["429", "500", "503"] {
            if let Some(RefOr::T(response)) = responses.get_mut(status) {
                let content = Content::new(Some(Ref::from_schema_name(LegacyJobView::name())));
                response.content.insert("application/json".to_owned(), content.into());
            }
        }
        responses
    }
}

impl LegacyJobView {
    /// The job.
    #[must_use]
    pub fn new(job: &Job) -> Self {
        let status = match job.status() {
            Status::AwaitingUpload | Status::Queued => "Pending",
            Status::Processing => "Processing",
            Status::Succeeded => "Completed",
            Status::Failed => "Failed",
        };
        Self {
            code: 200,
            job_id: Some(job.id().to_string()),
            status: Some(status),
            error: job.error().map(|failure| failure.message.clone()),
        }
    }

    /// The answer to a request that was refused.
    #[must_use]
    pub fn refused(id: Option<String>, problem: &Problem) -> Response {
        let code = problem.status().as_u16();
        let error = Some(problem.detail().to_owned());
        (problem.status(), Json(Self { code, job_id: id, status: None, error })).into_response()
    }
}
