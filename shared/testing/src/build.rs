//! Jobs in the states that tests need.

use std::{collections::BTreeMap, time::Duration};

use jobs::{
    callback::Callback,
    id::JobId,
    job::{Draft, Facts, Job, Origin, ResultSummary, Terms},
    secret::Secret,
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use url::Url;

/// The time limits of the jobs made here.
pub const TERMS: Terms = Terms {
    retention: Duration::from_secs(3_600),
    deadline: Duration::from_secs(1_800),
    patience: Duration::from_secs(300),
};

/// The duration of a lease.
const LEASE: Duration = Duration::from_secs(60);

/// The draft of a job with an uploaded image and a callback.
#[must_use]
pub fn draft() -> Draft {
    let url = Url::parse("https://example.com/hook").expect("a URL");
    Draft {
        origin: Origin::Upload,
        facts: Facts { content_type: Some("image/png".to_owned()), bytes: Some(3), ..Facts::default() },
        algorithms: Vec::new(),
        callback: Some(Callback {
            headers: BTreeMap::from([("x-api-key".to_owned(), Secret::new("hunter2".to_owned()))]),
            ..Callback::new(url, Some(Secret::new("token".to_owned())))
        }),
        owner: None,
    }
}

/// A queued job, made at `now`.
#[must_use]
pub fn queued(now: OffsetDateTime) -> Job {
    Job::queued(JobId::new(now), draft(), now, TERMS)
}

/// A job that has succeeded with a thumbnail, made at `now`.
#[must_use]
pub fn succeeded(now: OffsetDateTime) -> Job {
    succeeded_in(now, TERMS)
}

/// The same, of other terms.
#[must_use]
pub fn succeeded_in(now: OffsetDateTime, terms: Terms) -> Job {
    end(Job::queued(JobId::new(now), draft(), now, terms), now, &["png"])
}

/// A job that has succeeded, made at `now`, with thumbnails of these extensions: `png`, or `slack.gif` of a preset.
#[must_use]
pub fn succeeded_with_thumbnails(now: OffsetDateTime, forms: &[&str]) -> Job {
    end(queued(now), now, forms)
}

/// Lets a job succeed with thumbnails of these extensions.
fn end(mut job: Job, now: OffsetDateTime, forms: &[&str]) -> Job {
    let claim = job.claim(now, LEASE).expect("a new job is free");
    let one = json!({"width": 100, "height": 100, "bytes": 3, "content_type": "image/png"});
    let presets: Map<_, _> = forms
        .iter()
        .filter_map(|form| form.split_once('.'))
        .map(|(preset, _)| (preset.to_owned(), one.clone()))
        .collect();
    let Value::Object(mut details) = one else { panic!("an object") };
    if !presets.is_empty() {
        details.insert("presets".to_owned(), presets.into());
    }
    let forms = forms.iter().map(|form| (*form).to_owned()).collect();
    let thumbnail = ResultSummary::new(1, forms, details);
    let facts = Facts {
        content_type: Some("image/png".to_owned()),
        bytes: Some(3),
        width: Some(640),
        height: Some(480),
        frames: Some(1),
        sha256: Some("00".repeat(32)),
        etag: None,
    };
    job.succeed(claim, facts, BTreeMap::from([("thumbnail".to_owned(), thumbnail)]), now)
        .expect("the claim holds it");
    job
}
