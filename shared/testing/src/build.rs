//! Jobs in the states that tests need.

use std::{collections::BTreeMap, time::Duration};

use jobs::{
    id::JobId,
    job::{Callback, Draft, Facts, Job, Origin, ResultSummary},
    secret::Secret,
};
use serde_json::{Value, json};
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
        callback: Some(Callback::new(url, Some(Secret::new("token".to_owned())))),
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
    let mut job = queued(now);
    let claim = job.claim(now, RETENTION).expect("a new job is free");
    let details = json!({"width": 100, "height": 100, "bytes": 3, "content_type": "image/png"});
    let Value::Object(details) = details else { panic!("an object") };
    let thumbnail = ResultSummary { forms: vec!["png".to_owned()], details };
    let facts = Facts {
        content_type: Some("image/png".to_owned()),
        bytes: Some(3),
        width: Some(640),
        height: Some(480),
        sha256: Some("00".repeat(32)),
    };
    job.succeed(claim, facts, BTreeMap::from([("thumbnail".to_owned(), thumbnail)]), now)
        .expect("the claim holds it");
    job
}
