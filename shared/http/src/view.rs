//! The JSON of the API's answers. Each is made of a domain value; what is not for clients does not come along.

use std::{collections::BTreeMap, num::NonZeroU8};

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use jobs::{
    algorithm::{Kind, Parameter, Specification, THUMBNAIL},
    error::Failure,
    id::JobId,
    job::{Callback, CallbackState, Job, Origin, ResultSummary, Status},
};
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::{Map, Value};
use time::{
    OffsetDateTime, UtcOffset,
    format_description::well_known::{
        Iso8601,
        iso8601::{Config, EncodedConfig, TimePrecision},
    },
};
use utoipa::ToSchema;

use crate::{Links, Problem};

/// A job.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    /// UUIDv7.
    #[schema(value_type = String, format = "uuid")]
    job_id: JobId,
    /// Where it stands.
    #[schema(value_type = StatusView)]
    status: Status,
    /// When it was accepted.
    #[serde(serialize_with = "timestamp")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(serialize_with = "timestamp")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: OffsetDateTime,
    /// When a worker first took it.
    #[serde(serialize_with = "optional_timestamp")]
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(serialize_with = "optional_timestamp")]
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<OffsetDateTime>,
    /// When it and its objects are removed.
    #[serde(serialize_with = "timestamp")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: OffsetDateTime,
    /// How often a worker has taken it.
    attempts: u32,
    /// The image.
    source: SourceView,
    /// What it runs, in order, every parameter filled in.
    algorithms: Vec<RunView>,
    /// Its results by algorithm; empty until it has succeeded.
    results: BTreeMap<String, ResultView>,
    /// Whom it tells when it ends.
    callback: Option<CallbackView>,
    /// Why it failed.
    error: Option<FailureView>,
}

/// RFC 3339 in UTC, always to the millisecond: as text, times sort as they pass.
fn timestamp<S: Serializer>(time: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    const MILLISECONDS: EncodedConfig = Config::DEFAULT
        .set_time_precision(TimePrecision::Second { decimal_digits: NonZeroU8::new(3) })
        .encode();
    let text = time.to_offset(UtcOffset::UTC).format(&Iso8601::<MILLISECONDS>).map_err(S::Error::custom)?;
    serializer.serialize_str(&text)
}

fn optional_timestamp<S: Serializer>(
    time: &Option<OffsetDateTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => timestamp(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Where a job stands.
#[derive(ToSchema)]
#[schema(as = Status, rename_all = "snake_case")]
pub enum StatusView {
    /// Its upload has not arrived.
    AwaitingUpload,
    /// No worker has it yet.
    Queued,
    /// A worker has it.
    Processing,
    /// Every result is there.
    Succeeded,
    /// It ended without results; `error` says why.
    Failed,
}

/// A job's image. Sizes in bytes and in pixels of the upright image; null until they are known.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Source)]
struct SourceView {
    /// `upload`, `url` or `presigned_upload`.
    kind: &'static str,
    /// The address it is fetched from.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    content_type: Option<String>,
    bytes: Option<u64>,
    width: Option<u32>,
    height: Option<u32>,
    /// Of the bytes as they came, in hexadecimal.
    sha256: Option<String>,
}

/// One algorithm that a job runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Run)]
struct RunView {
    name: String,
    version: String,
    parameters: Map<String, Value>,
}

/// One result: where it is, and its outline.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ResultSummary)]
struct ResultView {
    /// Where to GET it.
    url: String,
    /// Where to GET its other forms, by extension.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    forms: BTreeMap<String, String>,
    /// `count` for a list; `width`, `height`, `bytes` and `content_type` for an image.
    #[serde(flatten)]
    details: Map<String, Value>,
}

/// How far the callback has got.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Callback)]
struct CallbackView {
    url: String,
    /// `pending`, `delivered` or `failed`.
    #[schema(value_type = String)]
    state: CallbackState,
    /// How many tries were made.
    attempts: u32,
    /// The HTTP status of the last try that got an answer.
    last_status: Option<u16>,
}

/// Why a job failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
struct FailureView {
    /// Stable and fit to branch on.
    code: String,
    /// What went wrong and what to do.
    message: String,
}

impl JobView {
    /// The job as its owner sees it.
    #[must_use]
    pub fn new(job: &Job, links: &Links) -> Self {
        let facts = job.facts().clone();
        let (kind, url) = match job.origin() {
            Origin::Upload => ("upload", None),
            Origin::Url { url } => ("url", Some(url.to_string())),
            Origin::PresignedUpload => ("presigned_upload", None),
        };
        let results = job
            .results()
            .iter()
            .map(|(name, summary)| (name.clone(), ResultView::new(job.id(), name, summary, links)))
            .collect();
        Self {
            job_id: job.id(),
            status: job.status(),
            created_at: job.created_at(),
            updated_at: job.updated_at(),
            started_at: job.started_at(),
            finished_at: job.finished_at(),
            expires_at: job.expires_at(),
            attempts: job.attempts(),
            source: SourceView {
                kind,
                url,
                content_type: facts.content_type,
                bytes: facts.bytes,
                width: facts.width,
                height: facts.height,
                sha256: facts.sha256,
            },
            algorithms: job
                .algorithms()
                .iter()
                .cloned()
                .map(|run| RunView { name: run.name, version: run.version, parameters: run.parameters.0 })
                .collect(),
            results,
            callback: job.callback().map(CallbackView::new),
            error: job.error().map(FailureView::new),
        }
    }
}

impl ResultView {
    fn new(id: JobId, algorithm: &str, summary: &ResultSummary, links: &Links) -> Self {
        let url = links.result(id, algorithm);
        let forms = summary
            .forms
            .iter()
            .skip(1)
            .map(|extension| (extension.clone(), format!("{url}.{extension}")))
            .collect();
        Self { url, forms, details: summary.details.clone() }
    }
}

impl CallbackView {
    fn new(callback: &Callback) -> Self {
        Self {
            url: callback.url.to_string(),
            state: callback.state,
            attempts: callback.attempts,
            last_status: callback.last_status,
        }
    }
}

impl FailureView {
    fn new(failure: &Failure) -> Self {
        Self { code: failure.code.to_string(), message: failure.message.clone() }
    }
}

/// One page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobPage)]
pub struct JobPageView {
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// The `cursor` of the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// One finished thumbnail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Thumbnail)]
pub struct ThumbnailView {
    #[schema(value_type = String, format = "uuid")]
    job_id: JobId,
    /// Where to GET it.
    url: String,
    /// `width`, `height`, `bytes` and `content_type`.
    #[serde(flatten)]
    details: Map<String, Value>,
}

impl ThumbnailView {
    /// The job's thumbnail, where it has one.
    #[must_use]
    pub fn new(job: &Job, links: &Links) -> Option<Self> {
        let summary = job.results().get(THUMBNAIL)?;
        Some(Self {
            job_id: job.id(),
            url: links.result(job.id(), THUMBNAIL),
            details: summary.details.clone(),
        })
    }
}

/// One page of thumbnails, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ThumbnailPage)]
pub struct ThumbnailPageView {
    /// The thumbnails.
    pub thumbnails: Vec<ThumbnailView>,
    /// The `cursor` of the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// Every algorithm there is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Algorithms)]
pub struct AlgorithmsView {
    /// The algorithms.
    pub algorithms: Vec<AlgorithmView>,
}

/// One algorithm.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Algorithm)]
pub struct AlgorithmView {
    /// What a submission calls it.
    name: &'static str,
    /// Changes when its output does.
    version: &'static str,
    summary: &'static str,
    /// The papers or formulas it implements.
    references: &'static [&'static str],
    /// The name of the list in its result; null for an image.
    list: Option<&'static str>,
    parameters: Vec<ParameterView>,
}

/// One parameter. Bounds are inclusive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Parameter)]
struct ParameterView {
    name: &'static str,
    summary: &'static str,
    /// `px`, …; null for a pure number or a choice.
    unit: Option<&'static str>,
    /// `integer`, `number` or `string`.
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<Value>,
    /// The words accepted.
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
    values: Option<&'static [&'static str]>,
    default: Option<Value>,
}

impl AlgorithmView {
    /// The description of an algorithm.
    #[must_use]
    pub fn new(specification: &'static Specification) -> Self {
        Self {
            name: specification.name,
            version: specification.version,
            summary: specification.summary,
            references: specification.references,
            list: specification.list,
            parameters: specification.parameters.iter().map(ParameterView::new).collect(),
        }
    }
}

impl ParameterView {
    fn new(parameter: &'static Parameter) -> Self {
        let (kind, minimum, maximum, values) = match parameter.kind {
            Kind::Integer { min, max, .. } => ("integer", Some(min.into()), Some(max.into()), None),
            Kind::Number { min, max, .. } => ("number", Some(min.into()), Some(max.into()), None),
            Kind::Choice { values, .. } => ("string", None, None, Some(values)),
        };
        Self {
            name: parameter.name,
            summary: parameter.summary,
            unit: parameter.unit,
            kind,
            minimum,
            maximum,
            values,
            default: parameter.kind.default_value(),
        }
    }
}

/// The bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Binary(#[expect(dead_code, reason = "describes a body")] Vec<u8>);

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

#[cfg(test)]
mod tests {
    use testing::build;

    use super::*;

    #[test]
    fn a_job_is_shown_as_documented_and_without_its_token() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let job = build::succeeded(now);
        let id = job.id();
        let view = serde_json::to_value(JobView::new(&job, &Links::new("/v1/"))).expect("serialises");
        assert_eq!(view["job_id"], id.to_string());
        assert_eq!(view["status"], "succeeded");
        assert_eq!(view["created_at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(view["source"]["kind"], "upload");
        assert_eq!(view["results"]["thumbnail"]["url"], format!("/v1/jobs/{id}/thumbnail"));
        assert_eq!(view["results"]["thumbnail"]["width"], 100);
        assert_eq!(
            view["callback"],
            serde_json::json!({
                "url": "https://example.com/hook", "state": "pending", "attempts": 0, "last_status": null
            })
        );
        assert!(!view.to_string().contains("token"));
    }
}
