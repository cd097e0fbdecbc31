//! Jobs as an older service showed them.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use jobs::job::{Job, Status};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Problem;

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
