//! An older service's way to submit, with its own words and shapes.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http_api::{
    Caller, IdempotencyKey, Problem, extract,
    view::{LegacyFailure, LegacyJobView},
};
use jobs::{
    access,
    algorithm::{Parameters, THUMBNAIL},
    callback_headers::CallbackHeaders,
    job::Job,
    secret::Secret,
    submit::{Request, Submitter},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::options::HeadersSchema;

/// A submission in an older service's words.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct LegacySubmission {
    /// Where the image is.
    #[schema(format = "uri")]
    image_url: String,
    /// Where to POST when the job ends.
    #[schema(format = "uri")]
    callback_url: Option<String>,
    /// `whsec_` and a key signs that POST; any other text is sent with it as a bearer token.
    #[schema(value_type = Option<String>, pattern = "^[!-~]{1,512}$")]
    callback_token: Option<Secret>,
    /// Headers of that POST, at most 5.
    #[schema(value_type = Option<HeadersSchema>)]
    callback_headers: Option<CallbackHeaders>,
    /// Runs beside the thumbnail.
    algorithm_name: Option<String>,
}

/// Submit an image, in an older service's words
///
/// Runs the named algorithm, and the thumbnail as well.
#[utoipa::path(
    post, path = "/job-submission", tag = "older names", operation_id = "legacy_submit",
    request_body = LegacySubmission,
    params(IdempotencyKey),
    responses(
        (status = 200, description = "Accepted.", body = LegacyJobView),
        (status = 400, description = "Refused.", body = LegacyJobView),
        (status = 404, description = "The job that was made with the same `Idempotency-Key` is not there any more.",
            body = LegacyJobView),
        (status = 413, description = "The request is too large.", body = LegacyJobView),
        (status = 422, description = "Another request had the same `Idempotency-Key`.", body = LegacyJobView),
        LegacyFailure
    )
)]
pub(crate) async fn submit(
    State(submitter): State<Arc<Submitter>>,
    Caller(caller): Caller,
    IdempotencyKey(key): IdempotencyKey,
    body: Result<extract::Body, Problem>,
) -> Response {
    match try_submit(&submitter, caller, key, body).await {
        Ok(job) => Json(LegacyJobView::new(&job)).into_response(),
        Err(problem) => LegacyJobView::refused(None, &problem),
    }
}

async fn try_submit(
    submitter: &Submitter,
    caller: access::Caller,
    idempotency_key: Option<String>,
    body: Result<extract::Body, Problem>,
) -> Result<Job, Problem> {
    let submission: LegacySubmission = extract::json(&body?.0)?;
    let mut algorithms = vec![(THUMBNAIL.to_owned(), Parameters::default())];
    if let Some(name) = submission.algorithm_name.filter(|name| name != THUMBNAIL) {
        algorithms.push((name, Parameters::default()));
    }
    let request = Request {
        algorithms,
        callback_url: submission.callback_url,
        callback_token: submission.callback_token,
        callback_headers: submission.callback_headers.unwrap_or_default(),
        deadline: None,
        idempotency_key,
        caller,
    };
    Ok(submitter.submit_url(&submission.image_url, request).await?)
}
