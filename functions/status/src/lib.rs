//! Everything that reads: jobs, results, thumbnails, algorithms, health.

mod health;
mod objects;

use std::{str::FromStr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use http_api::{
    Caller, Links, Prefer, Problem,
    access::guarded,
    extract::{ApiQuery, JobPath},
    problem::{ProblemDetails, ServiceFailure},
    view::{
        AlgorithmView, AlgorithmsView, JobPageView, JobView, LegacyFailure, LegacyJobView, ThumbnailPageView,
        ThumbnailView, UsageView,
    },
};
use jobs::{
    access::{Gate, Owner, Scope},
    algorithm::{Specification, THUMBNAIL},
    browse::{Browser, Cursor, DEFAULT_LIMIT, MAX_LIMIT},
    error::{Refusal, sentence},
    job::{Job, Status},
    ports::{Probe, ReadObjects},
    quota::Meter,
};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi, openapi};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use health::ask;

/// What the routes read from.
#[derive(Clone)]
pub struct App {
    /// Jobs.
    pub browser: Browser,
    /// What owners of keys have used.
    pub meter: Meter,
    /// Thumbnails and results.
    pub objects: Arc<dyn ReadObjects>,
    /// Whatever `GET /health?deep=1` asks.
    pub probes: Vec<Arc<dyn Probe>>,
    /// Every algorithm there is.
    pub catalogue: Arc<[&'static Specification]>,
}

/// The routes of this function, behind a gate. Health is open, because what balances loads has no key.
pub fn router(app: App, gate: Gate) -> Router {
    guarded(Router::from(routes()).with_state(Arc::new(app)), gate, &["/health"])
}

/// The description of these routes.
#[must_use]
pub fn description() -> openapi::OpenApi {
    routes().into_openapi()
}

/// Each handler as a route, with what its `utoipa::path` says of it.
fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Schemas::openapi())
        .routes(routes!(list_jobs))
        .routes(routes!(get_job))
        .routes(routes!(objects::get_thumbnail))
        .routes(routes!(objects::get_result))
        .routes(routes!(list_thumbnails))
        .routes(routes!(list_algorithms))
        .routes(routes!(get_usage))
        .routes(routes!(health::get_health))
        .routes(routes!(legacy_status))
        .routes(routes!(legacy_result))
}

/// What the descriptions of the routes refer to and do not name themselves.
#[derive(OpenApi)]
#[openapi(components(schemas(http_api::view::StatusView)))]
struct Schemas;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ThumbnailsQuery {
    /// How many entries, 1–100; 20 unless said otherwise.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct JobsQuery {
    /// How many entries, 1–100; 20 unless said otherwise.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only jobs in this status.
    #[param(value_type = Option<http_api::view::StatusView>)]
    status: Option<String>,
}

/// Reads an option of a query; one that cannot be read is refused with that code, and the reason as a sentence.
fn read<T: FromStr<Err: std::error::Error>>(
    text: Option<String>,
    code: &'static str,
) -> Result<Option<T>, Refusal> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|error: T::Err| Refusal::invalid(code, sentence(&error)))
}

/// How many entries a page has at most, and where it begins.
fn page_of(limit: Option<&str>, cursor: Option<&str>) -> Result<(usize, Option<Cursor>), Refusal> {
    let limit = match limit {
        None => DEFAULT_LIMIT,
        Some(text) => text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
            let text = format!("`limit` must be a whole number from 1 to {MAX_LIMIT}.");
            Refusal::invalid("invalid_limit", text)
        })?,
    };
    Ok((limit, cursor.map(Cursor::decode).transpose()?))
}

/// List jobs
///
/// Newest first. A job that was just accepted may be missing for a moment.
#[utoipa::path(
    get, path = "/jobs", tag = "jobs", operation_id = "list_jobs",
    params(JobsQuery),
    responses(
        (status = 200, description = "One page.", body = JobPageView),
        (status = 400, description = "Refused; `code` says why.", body = ProblemDetails,
            content_type = "application/problem+json"),
        ServiceFailure
    )
)]
async fn list_jobs(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    links: Links,
    ApiQuery(JobsQuery { limit, cursor, status }): ApiQuery<JobsQuery>,
) -> Result<Json<JobPageView>, Problem> {
    let (limit, cursor) = page_of(limit.as_deref(), cursor.as_deref())?;
    let status: Option<Status> = read(status, "invalid_status")?;
    let page = app.browser.page(&caller, status, cursor, limit).await?;
    Ok(Json(JobPageView {
        jobs: page.items.iter().map(|job| JobView::new(job, &links)).collect(),
        next_cursor: page.next_cursor.map(Cursor::encode),
    }))
}

/// Get a job
#[utoipa::path(
    get, path = "/jobs/{id}", tag = "jobs", operation_id = "get_job",
    params(("id" = String, Path, format = "uuid"), Prefer),
    responses(
        (status = 200, description = "The job.", body = JobView, headers(
            ("Retry-After" = u32, description = "While it has not ended: when to ask again, in seconds.")
        )),
        (status = 404, description = "There is no such job.", body = ProblemDetails,
            content_type = "application/problem+json"),
        ServiceFailure
    )
)]
async fn get_job(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    links: Links,
    JobPath(id): JobPath,
    prefer: Prefer,
) -> Result<Response, Problem> {
    let job = prefer.until_ended(&*app.browser.jobs, app.browser.job(&caller, id).await?).await;
    let mut response = show(&job, &links);
    prefer.note(response.headers_mut());
    Ok(response)
}

fn show(job: &Job, links: &Links) -> Response {
    let mut response = Json(JobView::new(job, links)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !job.status().is_final() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// List thumbnails
///
/// Every finished thumbnail, newest job first; of a job with presets, one for each.
#[utoipa::path(
    get, path = "/thumbnails", tag = "results", operation_id = "list_thumbnails",
    params(ThumbnailsQuery),
    responses(
        (status = 200, description = "One page.", body = ThumbnailPageView),
        (status = 400, description = "Refused; `code` says why.", body = ProblemDetails,
            content_type = "application/problem+json"),
        ServiceFailure
    )
)]
async fn list_thumbnails(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    links: Links,
    ApiQuery(ThumbnailsQuery { limit, cursor }): ApiQuery<ThumbnailsQuery>,
) -> Result<Json<ThumbnailPageView>, Problem> {
    let (limit, cursor) = page_of(limit.as_deref(), cursor.as_deref())?;
    let page = app.browser.page_of_results(&caller, THUMBNAIL, cursor, limit).await?;
    let views = page.items.iter().filter_map(|(job, form)| ThumbnailView::new(job, *form, &links));
    Ok(Json(ThumbnailPageView {
        thumbnails: views.collect(),
        next_cursor: page.next_cursor.map(Cursor::encode),
    }))
}

/// List algorithms
///
/// What a job can run, with every parameter's type, range and default.
#[utoipa::path(
    get, path = "/algorithms", tag = "algorithms", operation_id = "list_algorithms",
    responses((status = 200, description = "Every algorithm.", body = AlgorithmsView), ServiceFailure)
)]
async fn list_algorithms(State(app): State<Arc<App>>) -> Json<AlgorithmsView> {
    Json(AlgorithmsView {
        algorithms: app.catalogue.iter().map(|specification| AlgorithmView::new(specification)).collect(),
    })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UsageQuery {
    /// Whose; a key with the scope `admin` may ask for anybody's.
    #[param(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    owner: Option<String>,
}

/// Get what was used
///
/// How many jobs, and bytes of images, the owner of the key has handed in on each of the last 30 days (UTC). A service
/// that is open counts nobody's.
#[utoipa::path(
    get, path = "/usage", tag = "service", operation_id = "get_usage",
    params(UsageQuery),
    responses(
        (status = 200, description = "What was used.", body = UsageView),
        (status = 400, description = "Refused; `code` says why.", body = ProblemDetails,
            content_type = "application/problem+json"),
        ServiceFailure
    )
)]
async fn get_usage(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    ApiQuery(UsageQuery { owner }): ApiQuery<UsageQuery>,
) -> Result<Json<UsageView>, Problem> {
    let asked: Option<Owner> = read(owner, "invalid_owner")?;
    if asked.as_ref().is_some_and(|owner| caller.owner() != Some(owner)) {
        caller.require(Scope::Admin)?;
    }
    let owner = asked.or_else(|| caller.owner().cloned());
    let days = match &owner {
        Some(owner) => app.meter.report(owner).await?,
        None => Vec::new(),
    };
    Ok(Json(UsageView::new(owner.as_ref(), &caller, days)))
}

/// Get a job's status, in an older service's words
#[utoipa::path(
    get, path = "/status/{id}", tag = "older names", operation_id = "legacy_status",
    params(("id" = String, Path, format = "uuid")),
    responses(
        (status = 200, description = "The job.", body = LegacyJobView),
        (status = 404, description = "There is no such job.", body = LegacyJobView),
        LegacyFailure
    )
)]
async fn legacy_status(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Path(text): Path<String>,
) -> Response {
    let job = match text.parse() {
        Ok(id) => app.browser.job(&caller, id).await.map_err(Problem::from),
        Err(_) => Err(Refusal::no_such_job().into()),
    };
    match job {
        Ok(job) => Json(LegacyJobView::new(&job)).into_response(),
        Err(problem) => LegacyJobView::refused(Some(text), &problem),
    }
}

/// Get a job and its results, by an older name
///
/// The same as `GET /jobs/{id}`.
#[utoipa::path(
    get, path = "/result/{id}", tag = "older names", operation_id = "legacy_result",
    params(("id" = String, Path, format = "uuid")),
    responses(
        (status = 200, description = "The job.", body = JobView),
        (status = 404, description = "There is no such job.", body = ProblemDetails,
            content_type = "application/problem+json"),
        ServiceFailure
    )
)]
async fn legacy_result(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    links: Links,
    JobPath(id): JobPath,
) -> Result<Response, Problem> {
    Ok(show(&app.browser.job(&caller, id).await?, &links))
}
