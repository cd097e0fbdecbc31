//! Jobs in the states that tests need.

use std::{collections::BTreeMap, time::Duration};

use jobs::{
    id::JobId,
    job::{Callback, Draft, Facts, Job, Origin, ResultSummary},
    secret::Secret,
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use url::Url;

/// How long the jobs made here are kept.
pub const RETENTION: Duration = Duration::from_secs(3_600);

/// What an uploaded image's submission fixes, with a callback.
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
    }
}

/// A queued job, made at `now`.
#[must_use]
pub fn queued(now: OffsetDateTime) -> Job {
    Job::queued(JobId::new(now), draft(), now, RETENTION)
}

/// A job that has succeeded with a thumbnail, made at `now`.
#[must_use]
pub fn succeeded(now: OffsetDateTime) -> Job {
    succeeded_with_thumbnails(now, &["png"])
}

/// A job that has succeeded, made at `now`, with thumbnails of these extensions: `png`, or `slack.gif` of a preset.
#[must_use]
pub fn succeeded_with_thumbnails(now: OffsetDateTime, forms: &[&str]) -> Job {
    let mut job = queued(now);
    let claim = job.claim(now, RETENTION).expect("a new job is free");
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
    let thumbnail = ResultSummary { forms: forms.iter().map(|form| (*form).to_owned()).collect(), details };
    let facts = Facts {
        content_type: Some("image/png".to_owned()),
        bytes: Some(3),
        width: Some(640),
        height: Some(480),
        frames: Some(1),
        sha256: Some("00".repeat(32)),
    };
    job.succeed(claim, facts, BTreeMap::from([("thumbnail".to_owned(), thumbnail)]), now)
        .expect("the claim holds it");
    job
}
