//! Errors as clients see them: RFC 9457 problem details with a stable code.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jobs::error::{Chain, Error, PortError, Reason, Refusal};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

/// An error that a client is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<Duration>,
}

/// The JSON of a problem ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDetails {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The HTTP status in words.
    #[schema(example = "Not Found")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// Stable and fit to branch on.
    #[schema(example = "job_not_found")]
    code: &'static str,
    /// What went wrong and what to do.
    detail: String,
    /// Names the request in the service's logs.
    request_id: String,
}

/// What any route may answer to a request that is not let in, or when the service itself fails.
#[derive(IntoResponses)]
pub enum ServiceFailure {
    /// The service asks for a key, and this is none that holds.
    #[response(status = 401, content_type = "application/problem+json")]
    NoKey(ProblemDetails),
    /// The key does not allow this.
    #[response(status = 403, content_type = "application/problem+json")]
    OutOfScope(ProblemDetails),
    /// The service failed; `request_id` names the request in its logs.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemDetails),
    /// There are too many requests at the moment, or the key's quota is used up; `Retry-After` says when to try again.
    #[response(status = 429, content_type = "application/problem+json")]
    Throttled(ProblemDetails),
    /// The service cannot answer at the moment; `Retry-After` says when to try again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemDetails),
}

/// Why a submission is refused.
#[derive(IntoResponses)]
pub enum SubmissionRefusal {
    /// It is not well-formed, or asks for what cannot be; `code` says why.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(ProblemDetails),
    /// The job that was made with the same `Idempotency-Key` is not there any more.
    #[response(status = 404, content_type = "application/problem+json")]
    Gone(ProblemDetails),
    /// The image is too large; for a request that is, `POST /uploads` takes more.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemDetails),
    /// It is not an image of a kind that is taken.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedType(ProblemDetails),
    /// Another request had the same `Idempotency-Key`.
    #[response(status = 422, content_type = "application/problem+json")]
    KeyReused(ProblemDetails),
}

impl Problem {
    /// A problem with its status, code and sentence.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        debug_assert!(jobs::codes::is_known(code), "{code} is not in `codes`");
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    /// A fault of the service, which is logged.
    pub(crate) fn internal(fault: &'static str) -> Self {
        tracing::error!(fault, "the service is put together wrongly");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "The service failed; report the request id to whoever runs it.",
        )
    }

    /// The sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The finished response, once the request's id is known.
    pub(crate) fn into_details(self, request_id: &str) -> Response {
        let details = ProblemDetails {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            request_id: request_id.to_owned(),
        };
        let mut response = (self.status, axum::Json(details)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.reason {
            Reason::Invalid | Reason::Forbidden => StatusCode::BAD_REQUEST,
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Reason::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Reason::Conflict => StatusCode::CONFLICT,
            Reason::NoKey => StatusCode::UNAUTHORIZED,
            Reason::OutOfScope => StatusCode::FORBIDDEN,
            Reason::OverQuota => StatusCode::TOO_MANY_REQUESTS,
        };
        Self { retry_after: refusal.retry_after, ..Self::new(status, refusal.code, refusal.message) }
    }
}

impl From<PortError> for Problem {
    /// The cause is logged here, where it stops; the client learns only whether trying again may help.
    fn from(error: PortError) -> Self {
        tracing::error!(error = %Chain(&error), "a service failed");
        if error.retryable {
            Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "The service cannot answer at the moment; try again in a few seconds.",
            )
        } else {
            Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "The service failed; report the request id to whoever runs it.",
            )
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Port(error) => error.into(),
        }
    }
}

/// The body follows later: [`crate::service`] writes it when it knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let header = match self.status {
            StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, "5")),
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
            _ => None,
        };
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if let Some(wait) = self.retry_after {
            // Rounded up, so that whoever waits for so long does not come too early.
            response.headers_mut().insert(header::RETRY_AFTER, (wait.as_secs() + 1).into());
        }
        response.extensions_mut().insert(self);
        response
    }
}
