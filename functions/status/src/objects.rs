//! Thumbnails and results: objects, passed on with what a cache needs.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequestParts, Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use headers::{HeaderMapExt as _, IfNoneMatch};
use http_api::{
    Caller, Problem,
    extract::{ApiQuery, JobPath},
    problem::{ProblemDetails, ServiceFailure},
    view::Binary,
};
use jobs::{
    access,
    algorithm::THUMBNAIL,
    error::{Reason, Refusal},
    id::JobId,
    job::ResultSummary,
    key::ObjectKey,
    ports::{ObjectInfo, Read, ReadMethod},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::App;

/// The largest object that a function can answer with: Lambda's 6 MB, base64 and headers included.
const MAX_INLINE: u64 = 4_500_000;

/// How long the address works to which larger objects are redirected.
const DOWNLOAD: Duration = Duration::from_secs(900);

/// A result never changes, but its job can be deleted: caches keep it for a day and for its reader only.
const CACHE_CONTROL: &str = "private, max-age=86400, immutable";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ThumbnailQuery {
    /// The thumbnail that was made for this preset; otherwise the first.
    preset: Option<String>,
}

/// Get a thumbnail
///
/// The image itself.
#[utoipa::path(
    get, path = "/jobs/{id}/thumbnail", tag = "results", operation_id = "get_thumbnail",
    params(("id" = String, Path, format = "uuid"), ThumbnailQuery),
    responses(
        (status = 200, description = "The image.", body = Binary, content_type = "image/*", headers(
            ("ETag" = String, description = "Changes with the content."),
            ("Cache-Control" = String, description = "How long to keep it.")
        )),
        (status = 304, description = "Not modified: `If-None-Match` names the present `ETag`."),
        (status = 307, description = "Larger than an answer can be: at `Location` for 15 minutes."),
        (status = 400, description = "Refused; `code` says why.", body = ProblemDetails,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such job, or no thumbnail (yet).", body = ProblemDetails,
            content_type = "application/problem+json"),
        ServiceFailure
    )
)]
pub(crate) async fn get_thumbnail(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    JobPath(id): JobPath,
    ApiQuery(ThumbnailQuery { preset }): ApiQuery<ThumbnailQuery>,
    asked: Asked,
) -> Result<Response, Problem> {
    let form = |summary: &ResultSummary| match &preset {
        None => summary.forms.first().cloned(),
        Some(preset) => summary.form_of(preset).map(str::to_owned),
    };
    send(&app, &caller, id, THUMBNAIL, form, &asked).await
}

#[derive(Deserialize)]
pub(crate) struct ResultPath {
    algorithm: String,
}

/// Get a result
///
/// `{algorithm}` gives the JSON; with `.geojson`, `.csv` or `.png` behind it, that form.
#[utoipa::path(
    get, path = "/jobs/{id}/results/{algorithm}", tag = "results", operation_id = "get_result",
    params(
        ("id" = String, Path, format = "uuid"),
        ("algorithm" = String, Path, description = "A name, or a name and a form: `poi_detection.csv`.")
    ),
    responses(
        (status = 200, description = "The result.", content(
            (serde_json::Value = "application/json"),
            (serde_json::Value = "application/geo+json"),
            (String = "text/csv"),
            (Binary = "image/png")
        )),
        (status = 304, description = "Not modified: `If-None-Match` names the present `ETag`."),
        (status = 307, description = "Larger than an answer can be: at `Location` for 15 minutes."),
        (status = 404, description = "There is no such job, or no such result (yet).", body = ProblemDetails,
            content_type = "application/problem+json"),
        ServiceFailure
    )
)]
pub(crate) async fn get_result(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    JobPath(id): JobPath,
    Path(ResultPath { algorithm }): Path<ResultPath>,
    asked: Asked,
) -> Result<Response, Problem> {
    match algorithm.split_once('.') {
        None => {
            let form = |summary: &ResultSummary| summary.forms.first().cloned();
            send(&app, &caller, id, &algorithm, form, &asked).await
        }
        Some((name, wanted)) => {
            let form = |summary: &ResultSummary| {
                summary.forms.iter().find(|extension| *extension == wanted).cloned()
            };
            send(&app, &caller, id, name, form, &asked).await
        }
    }
}

/// How an object is asked for.
pub(crate) struct Asked {
    method: ReadMethod,
    headers: HeaderMap,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let method = if parts.method == Method::HEAD { ReadMethod::Head } else { ReadMethod::Get };
        Ok(Self { method, headers: parts.headers.clone() })
    }
}

/// Sends the form of a result that `form` picks from those there are.
async fn send(
    app: &App,
    caller: &access::Caller,
    id: JobId,
    algorithm: &str,
    form: impl Fn(&ResultSummary) -> Option<String>,
    asked: &Asked,
) -> Result<Response, Problem> {
    let job = app.browser.job(caller, id).await?;
    let summary = job.results().get(algorithm);
    let Some((attempt, extension)) = summary.and_then(|summary| Some((summary.attempt(), form(summary)?)))
    else {
        let text = if job.status().is_final() {
            "The job has no such result; its `results` say what it has, and their `presets` for which there are \
             thumbnails."
        } else {
            "The job has not ended yet; its results are there when its status is succeeded."
        };
        return Err(Refusal::new(Reason::NotFound, "result_not_found", text).into());
    };
    let key = ObjectKey::Result { job: id, attempt, algorithm: algorithm.to_owned(), extension };
    if let Some(known) = asked.headers.typed_get::<IfNoneMatch>()
        && let Some(info) = app.objects.head(&key).await?
        && entity_tag(&info).parse().is_ok_and(|etag| !known.precondition_passes(&etag))
    {
        return Ok((StatusCode::NOT_MODIFIED, cache_headers(&info)).into_response());
    }
    let (info, body) = match asked.method {
        ReadMethod::Get => match app.objects.read(&key, MAX_INLINE).await? {
            Read::Found(info, body) => (info, Body::from(body)),
            Read::TooLarge(_) => return elsewhere(app, asked.method, &key).await,
            Read::Missing => return Err(Refusal::no_such_job().into()),
        },
        ReadMethod::Head => match app.objects.head(&key).await? {
            Some(info) if info.bytes > MAX_INLINE => return elsewhere(app, asked.method, &key).await,
            Some(info) => (info, Body::empty()),
            None => return Err(Refusal::no_such_job().into()),
        },
    };
    let mut response = (cache_headers(&info), body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, info.bytes.into());
    if let Ok(content_type) = HeaderValue::from_str(&info.content_type) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    Ok(response)
}

/// Redirects to the store itself, at an address that works for the method that was used, as a client follows with it.
async fn elsewhere(app: &App, method: ReadMethod, key: &ObjectKey) -> Result<Response, Problem> {
    let url = app.objects.presign(method, key, DOWNLOAD).await?;
    let headers = [(header::LOCATION, url.as_str()), (header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::TEMPORARY_REDIRECT, headers).into_response())
}

fn entity_tag(info: &ObjectInfo) -> String {
    format!("\"{}\"", info.etag)
}

fn cache_headers(info: &ObjectInfo) -> [(header::HeaderName, String); 2] {
    [(header::ETAG, entity_tag(info)), (header::CACHE_CONTROL, CACHE_CONTROL.to_owned())]
}
