//! Accepting jobs: `POST /jobs`, `POST /uploads`, the routes of two older services, and `DELETE /jobs/{id}`.

mod body;
mod form;
mod legacy;
mod options;
mod quota;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use http_api::{
    Caller, IdempotencyKey, Links, Prefer, Problem,
    access::guarded,
    extract::{self, JobPath},
    problem::{ProblemDetails, ServiceFailure, SubmissionRefusal},
    view::{Binary, JobView},
};
use imaging::{Format, ImageError};
use jobs::{
    access::{Gate, Scope},
    callback_headers::CallbackHeaders,
    error::{Reason, Refusal, sentence},
    job::Job,
    submit::{self, Submitter},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{OpenApi, ToSchema, openapi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{body::Submission, options::Options};

/// How much larger than its image a request may be: the other parts of a form, and what separates them.
const FORM_OVERHEAD: usize = 64 << 10;

/// The routes of this function, behind a gate.
pub fn router(submitter: Submitter, gate: Gate) -> Router {
    let inline = usize::try_from(submitter.limits.inline_bytes).unwrap_or(usize::MAX);
    let submitter = Arc::new(submitter);
    let router = Router::from(routes())
        .layer(DefaultBodyLimit::max(inline.saturating_add(FORM_OVERHEAD)))
        .route_layer(from_fn_with_state(submitter.clone(), quota::tell))
        .with_state(submitter);
    guarded(router, gate, &[])
}

/// The description of these routes.
#[must_use]
pub fn description() -> openapi::OpenApi {
    routes().into_openapi()
}

/// Each handler as a route, with what its `utoipa::path` says of it.
fn routes() -> OpenApiRouter<Arc<Submitter>> {
    OpenApiRouter::with_openapi(Schemas::openapi())
        .routes(routes!(submit_job))
        .routes(routes!(grant_upload))
        .routes(routes!(delete_job))
        .routes(routes!(redeliver_callback))
        .routes(routes!(legacy::submit))
        .routes(routes!(run_task))
}

/// What the descriptions of the routes refer to and do not name themselves.
#[derive(OpenApi)]
#[openapi(components(schemas(
    options::HeadersSchema,
    options::AlgorithmChoice,
    options::DetailedChoice,
    body::Form
)))]
struct Schemas;

/// Tells an image's media type by its first bytes, or refuses it by name.
///
/// # Errors
/// [`Refusal`] for what is no image, or one of a kind that is not taken.
pub fn identify(bytes: &[u8]) -> Result<&'static str, Refusal> {
    Format::identify(bytes).map(Format::content_type).map_err(|error| refused_image(&error))
}

/// The media types of each format that is decoded, the usual one first.
#[must_use]
pub fn media_types() -> Arc<[&'static [&'static str]]> {
    Format::all().map(Format::media_types).collect()
}

fn refused_image(error: &ImageError) -> Refusal {
    Refusal::new(Reason::UnsupportedType, error.code(), sentence(error))
}

/// Submit an image
///
/// The image is a file part, the body itself, or at an address. Answers at once; the job goes on by itself.
#[utoipa::path(
    post, path = "/jobs", tag = "jobs", operation_id = "submit_job",
    request_body(
        description = "One of: a form with the part `image` (the file) or `image_url`, and the optional part \
            `request` (JSON); the file itself, with the options in the query; JSON with `image_url`. A file is known \
            by its content, whatever its `Content-Type` says, if that is neither a form nor JSON. Of JSON, any type \
            that ends in `+json` will do.",
        content(
            (body::Form = "multipart/form-data"),
            (Binary = "image/*"),
            (Binary = "application/octet-stream"),
            (Submission = "application/json")
        )
    ),
    params(IdempotencyKey, Prefer),
    responses(
        (status = 200, description = "Accepted, and ended within the time that `Prefer` gave it.", body = JobView),
        (status = 202, description = "Accepted.", body = JobView, headers(
            ("Location" = String, description = "The job."),
            ("Retry-After" = u32, description = "When to ask for it, in seconds.")
        )),
        SubmissionRefusal,
        ServiceFailure
    )
)]
async fn submit_job(
    State(submitter): State<Arc<Submitter>>,
    caller: Caller,
    links: Links,
    key: IdempotencyKey,
    prefer: Prefer,
    request: Request,
) -> Result<Response, Problem> {
    accept(&submitter, caller, &links, key, prefer, request).await
}

/// Submit an image, by an older name
///
/// The same as `POST /jobs`.
#[utoipa::path(
    post, path = "/run_task", tag = "older names", operation_id = "run_task",
    request_body(content(
        (body::Form = "multipart/form-data"),
        (Binary = "image/*"),
        (Submission = "application/json")
    )),
    params(IdempotencyKey, Prefer),
    responses(
        (status = 200, description = "Accepted, and ended within the time that `Prefer` gave it.", body = JobView),
        (status = 202, description = "Accepted.", body = JobView),
        SubmissionRefusal,
        ServiceFailure
    )
)]
async fn run_task(
    State(submitter): State<Arc<Submitter>>,
    caller: Caller,
    links: Links,
    key: IdempotencyKey,
    prefer: Prefer,
    request: Request,
) -> Result<Response, Problem> {
    accept(&submitter, caller, &links, key, prefer, request).await
}

async fn accept(
    submitter: &Submitter,
    Caller(caller): Caller,
    links: &Links,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    prefer: Prefer,
    request: Request,
) -> Result<Response, Problem> {
    let job = match body::read(submitter, request).await? {
        body::Image::Inline(image, request) => {
            submitter.submit_image(image, submit::Request { idempotency_key, caller, ..request }).await?
        }
        body::Image::At(url, request) => {
            submitter.submit_url(&url, submit::Request { idempotency_key, caller, ..request }).await?
        }
    };
    let job = prefer.until_ended(&*submitter.jobs, job).await;
    let waited = prefer.waits() && job.status().is_final();
    let status = if waited { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = created(status, &job, links, JobView::new(&job, links));
    if status == StatusCode::ACCEPTED {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    prefer.note(response.headers_mut());
    Ok(response)
}

fn created(status: StatusCode, job: &Job, links: &Links, body: impl Serialize) -> Response {
    (status, [(header::LOCATION, links.job(job.id()))], Json(body)).into_response()
}

/// A request for a pre-signed upload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UploadRequest {
    /// The media type of a format that is read, such as `image/jpeg`, or `application/octet-stream`.
    #[schema(format = "media-type")]
    content_type: String,
    /// The file's size; the upload must have exactly this many bytes.
    #[schema(minimum = 1)]
    bytes: u64,
    /// What to run; nothing means the 100×100 thumbnail.
    #[serde(default)]
    algorithms: Vec<options::AlgorithmChoice>,
    /// Where to POST when the job ends.
    #[schema(format = "uri")]
    callback_url: Option<String>,
    /// `whsec_` and a key signs that POST; any other text is sent with it as a bearer token. Never shown again.
    #[schema(value_type = Option<String>, pattern = "^[!-~]{1,512}$")]
    callback_token: Option<jobs::secret::Secret>,
    /// Headers of that POST, at most 5; the values are never shown again.
    #[schema(value_type = Option<options::HeadersSchema>)]
    callback_headers: Option<CallbackHeaders>,
    /// How long the job has to end, counted from five minutes after the address has ended, in seconds; a day, unless
    /// said otherwise.
    #[schema(minimum = 10, maximum = 86_400)]
    deadline: Option<u64>,
    /// The SHA-256 of the file, in hexadecimal: another file is then refused.
    #[schema(pattern = "^[0-9A-Fa-f]{64}$")]
    sha256: Option<String>,
}

/// A job that waits for its upload.
#[derive(Serialize, ToSchema)]
struct UploadView {
    #[serde(flatten)]
    job: JobView,
    /// How to upload.
    upload: TicketView,
}

/// How to upload the image, without further rights.
#[derive(Serialize, ToSchema)]
#[schema(as = UploadTicket)]
struct TicketView {
    /// `PUT`.
    method: &'static str,
    url: String,
    /// The headers that the request must carry, exactly so.
    headers: BTreeMap<String, String>,
    /// Until when.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: OffsetDateTime,
    /// The most bytes that this upload may have: as many as were announced.
    max_bytes: u64,
}

/// Ask for a pre-signed upload
///
/// For images larger than a request can be. The job starts when the upload arrives; no second call is needed.
#[utoipa::path(
    post, path = "/uploads", tag = "jobs", operation_id = "grant_upload",
    request_body = UploadRequest,
    params(IdempotencyKey),
    responses(
        (status = 201, description = "Granted: the job, and how to upload its image.", body = UploadView,
            headers(("Location" = String, description = "The job."))),
        SubmissionRefusal,
        ServiceFailure
    )
)]
async fn grant_upload(
    State(submitter): State<Arc<Submitter>>,
    Caller(caller): Caller,
    links: Links,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    extract::ApiQuery(texts): extract::ApiQuery<options::Texts>,
    extract::Body(body): extract::Body,
) -> Result<Response, Problem> {
    let UploadRequest {
        content_type,
        bytes,
        algorithms,
        callback_url,
        callback_token,
        callback_headers,
        deadline,
        sha256,
    } = extract::json(&body)?;
    let options = Options { algorithms, callback_url, callback_token, callback_headers, deadline };
    let request = options.into_request(&submitter.catalogue, texts)?;
    let request = submit::Request { idempotency_key, caller, ..request };
    let granted = submitter.grant_upload(&content_type, bytes, sha256.as_deref(), request).await?;
    let upload = TicketView {
        method: "PUT",
        url: granted.ticket.url.to_string(),
        headers: granted.ticket.headers.into_iter().collect(),
        expires_at: granted.expires_at,
        max_bytes: bytes,
    };
    let view = UploadView { job: JobView::new(&granted.job, &links), upload };
    Ok(created(StatusCode::CREATED, &granted.job, &links, view))
}

/// Send a callback again
///
/// As if it had never been tried; `callback.tries` keeps what came of the tries before.
#[utoipa::path(
    post, path = "/jobs/{id}/callback", tag = "jobs", operation_id = "redeliver_callback",
    params(("id" = String, Path, format = "uuid")),
    responses(
        (status = 202, description = "It is on its way.", body = JobView),
        (status = 404, description = "There is no such job.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 409, description = "The job has no callback, or has not ended.", body = ProblemDetails,
            content_type = "application/problem+json"),
        ServiceFailure
    )
)]
async fn redeliver_callback(
    State(submitter): State<Arc<Submitter>>,
    Caller(caller): Caller,
    links: Links,
    JobPath(id): JobPath,
) -> Result<Response, Problem> {
    // The answer shows the job.
    caller.require(Scope::Read)?;
    let job = submitter.redeliver(id, &caller).await?;
    Ok(created(StatusCode::ACCEPTED, &job, &links, JobView::new(&job, &links)))
}

/// Delete a job
///
/// Removes the job, its image and every result, whatever it is doing: to cancel a job is to delete it.
#[utoipa::path(
    delete, path = "/jobs/{id}", tag = "jobs", operation_id = "delete_job",
    params(("id" = String, Path, format = "uuid")),
    responses(
        (status = 204, description = "Deleted."),
        (status = 404, description = "There is no such job.", body = ProblemDetails,
            content_type = "application/problem+json"),
        ServiceFailure
    )
)]
async fn delete_job(
    State(submitter): State<Arc<Submitter>>,
    Caller(caller): Caller,
    JobPath(id): JobPath,
) -> Result<StatusCode, Problem> {
    submitter.delete(id, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}
