//! Jobs, their results and their thumbnails.

use std::{collections::BTreeMap, num::NonZeroU8};

use jobs::{
    algorithm::THUMBNAIL,
    callback::{Callback, CallbackState},
    error::Failure,
    id::JobId,
    job::{Job, Origin, ResultSummary, Retry, Status},
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

use crate::Links;

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
    /// Why the last attempt stopped and when the next one is due, while the job waits for that.
    retry: Option<RetryView>,
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
    /// How many frames the file has, be they shown or not; 1 for what does not move.
    frames: Option<u32>,
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
    /// Where presets were asked for, the thumbnail of each, by its name; what stands beside them is of the first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    presets: BTreeMap<String, PresetView>,
    #[serde(flatten)]
    #[schema(value_type = DetailsView)]
    details: Map<String, Value>,
}

/// The thumbnail that was made for a preset.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PresetThumbnail)]
struct PresetView {
    /// Where to GET it.
    url: String,
    #[serde(flatten)]
    #[schema(value_type = DetailsView)]
    details: Map<String, Value>,
}

/// What there is to say of a result: `count` of a list, the rest of an image.
#[derive(ToSchema)]
#[schema(as = ResultDetails)]
#[expect(dead_code, reason = "describes what algorithms write")]
struct DetailsView {
    /// Entries of the list.
    count: Option<u64>,
    /// Pixels across.
    width: Option<u32>,
    /// Pixels down.
    height: Option<u32>,
    /// The size of the file.
    bytes: Option<u64>,
    /// Its media type.
    content_type: Option<String>,
    /// How many frames it shows; 1 for a picture that does not move.
    frames: Option<u32>,
    /// The ThumbHash of the (first) picture, in Base64.
    thumbhash: Option<String>,
    /// The BlurHash of the (first) picture.
    blurhash: Option<String>,
    /// The colours that it mostly consists of, at most five, most frequent first.
    colours: Option<Vec<ColourView>>,
}

/// A colour of a picture.
#[derive(ToSchema)]
#[schema(as = Colour)]
#[expect(dead_code, reason = "describes what algorithms write")]
struct ColourView {
    /// `#rrggbb`, in sRGB.
    colour: String,
    /// How much of what is visible has it or one like it, 0–1.
    share: f64,
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
    /// The names of the headers that are sent with it; their values are never shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<String>,
    /// The last tries, the oldest first, 20 at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tries: Vec<TryView>,
    /// When the next try is due, while there is to be one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_timestamp")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_try_at: Option<OffsetDateTime>,
}

/// One try of a callback.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CallbackTry)]
struct TryView {
    /// When it began.
    #[serde(serialize_with = "timestamp")]
    #[schema(value_type = String, format = DateTime)]
    at: OffsetDateTime,
    /// The HTTP status that was answered; null without an answer.
    status: Option<u16>,
    /// How long it took, in milliseconds; null while it is being made, or where its outcome was lost.
    milliseconds: Option<u32>,
}

/// What a job waits for.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Retry)]
struct RetryView {
    /// What the job would have failed with, had it been its last attempt.
    code: String,
    /// What went wrong.
    message: String,
    /// When the next attempt is due.
    #[serde(serialize_with = "timestamp")]
    #[schema(value_type = String, format = DateTime)]
    at: OffsetDateTime,
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
                frames: facts.frames,
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
            retry: job.retry().map(RetryView::new),
        }
    }
}

impl ResultView {
    fn new(id: JobId, algorithm: &str, summary: &ResultSummary, links: &Links) -> Self {
        let url = links.result(id, algorithm);
        let forms = summary.forms.iter().skip(1).filter(|form| ResultSummary::variant(form).is_none());
        let forms = forms.map(|extension| (extension.clone(), format!("{url}.{extension}"))).collect();
        let presets = summary.forms.iter().filter_map(|form| ResultSummary::variant(form));
        let presets = presets
            .map(|preset| {
                let details = details_of(summary, Some(preset));
                (preset.to_owned(), PresetView { url: links.preset(id, preset), details })
            })
            .collect();
        Self { url, forms, presets, details: details_of(summary, None) }
    }
}

/// What there is to say of a result, or of the thumbnail that was made for a preset.
fn details_of(summary: &ResultSummary, preset: Option<&str>) -> Map<String, Value> {
    let mut details = summary.shown();
    let presets = details.remove("presets");
    match preset {
        None => details,
        Some(preset) => {
            presets.and_then(|presets| presets.get(preset)?.as_object().cloned()).unwrap_or_default()
        }
    }
}

impl CallbackView {
    fn new(callback: &Callback) -> Self {
        Self {
            url: callback.url.to_string(),
            state: callback.state,
            attempts: callback.attempts,
            last_status: callback.last_status,
            headers: callback.headers.keys().cloned().collect(),
            tries: callback
                .tries
                .iter()
                .map(|noted| TryView { at: noted.at, status: noted.status, milliseconds: noted.milliseconds })
                .collect(),
            next_try_at: callback.next_try_at.filter(|_| callback.state == CallbackState::Pending),
        }
    }
}

impl RetryView {
    fn new(retry: &Retry) -> Self {
        let Failure { code, message } = retry.failure.clone();
        Self { code: code.into_owned(), message, at: retry.at }
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
    /// The preset that it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    #[serde(flatten)]
    #[schema(value_type = DetailsView)]
    details: Map<String, Value>,
}

impl ThumbnailView {
    /// The job's thumbnail of that place among its forms, where it has one.
    #[must_use]
    pub fn new(job: &Job, form: usize, links: &Links) -> Option<Self> {
        let summary = job.results().get(THUMBNAIL)?;
        let preset = ResultSummary::variant(summary.forms.get(form)?);
        let url =
            preset.map_or_else(|| links.result(job.id(), THUMBNAIL), |preset| links.preset(job.id(), preset));
        let details = details_of(summary, preset);
        Some(Self { job_id: job.id(), url, preset: preset.map(str::to_owned), details })
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

#[cfg(test)]
mod tests {
    use jobs::job::Attempt;
    use serde_json::json;
    use testing::build;

    use super::*;

    #[test]
    fn a_job_is_shown_as_documented_and_without_its_secrets() {
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
                "url": "https://example.com/hook", "state": "pending", "attempts": 0, "last_status": null,
                "headers": ["x-api-key"]
            })
        );
        assert_eq!((&view["error"], &view["retry"]), (&Value::Null, &Value::Null));
        let callback = job.callback().expect("it has one");
        for secret in callback.headers.values().chain(&callback.token) {
            assert!(!view.to_string().contains(secret.expose()), "{view}");
        }
    }

    #[test]
    fn a_job_that_waits_for_its_next_attempt_says_why_and_until_when() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut job = build::queued(now);
        let claim = job.claim(now, build::TERMS.patience).expect("free");
        let failure = Failure::new("source_unavailable", "The server of `image_url` answered 503.");
        let retry = Retry { failure, at: now + build::TERMS.patience };
        job.release(claim, Attempt::Counts(retry), now, build::TERMS.patience).expect("held");
        let view = serde_json::to_value(JobView::new(&job, &Links::default())).expect("serialises");
        assert_eq!((&view["status"], &view["error"]), (&json!("queued"), &Value::Null));
        assert_eq!(
            view["retry"],
            json!({
                "code": "source_unavailable", "message": "The server of `image_url` answered 503.",
                "at": "1970-01-01T00:05:00.000Z"
            })
        );
    }

    #[test]
    fn a_thumbnail_of_each_preset_is_linked_and_listed() {
        let job = build::succeeded_with_thumbnails(OffsetDateTime::UNIX_EPOCH, &["slack.gif", "discord.png"]);
        let (id, links) = (job.id(), Links::new("/v1"));
        let view = serde_json::to_value(JobView::new(&job, &links)).expect("serialises");
        let thumbnail = &view["results"]["thumbnail"];
        assert_eq!(thumbnail["url"], format!("/v1/jobs/{id}/thumbnail"));
        assert_eq!((&thumbnail["width"], thumbnail.get("forms")), (&json!(100), None));
        for preset in ["slack", "discord"] {
            let one = &thumbnail["presets"][preset];
            assert_eq!(one["url"], format!("/v1/jobs/{id}/thumbnail?preset={preset}"));
            assert_eq!((&one["bytes"], &one["content_type"]), (&json!(3), &json!("image/png")));
        }
        let listed = ThumbnailView::new(&job, 1, &links).expect("the second");
        let listed = serde_json::to_value(listed).expect("serialises");
        assert_eq!((&listed["preset"], &listed["width"]), (&json!("discord"), &json!(100)));
        assert_eq!(listed["url"], thumbnail["presets"]["discord"]["url"]);
        assert!(ThumbnailView::new(&job, 2, &links).is_none());
        let plain = build::succeeded(OffsetDateTime::UNIX_EPOCH);
        let listed = ThumbnailView::new(&plain, 0, &links).expect("one");
        let listed = serde_json::to_value(listed).expect("serialises");
        assert_eq!((listed.get("preset"), listed.get("presets")), (None, None));
        assert_eq!(listed["url"], format!("/v1/jobs/{}/thumbnail", plain.id()));
    }
}
