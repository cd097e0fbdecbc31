//! `Idempotency-Key` and `Prefer: wait`, the headers by which a client says how it wants to be answered.

use std::time::Duration;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
};
use jobs::{error::Chain, job::Job, ports::ReadJobs};
use tokio::time::{Instant, sleep};
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use crate::Problem;

/// The longest that an answer is held back, in seconds: API Gateway gives up after 29.
const MOST: u64 = 20;

/// How long to wait before a job is looked at again: doubled each time, up to the second one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

const PREFER: &str = "prefer";
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The request's `Idempotency-Key`, as it came.
#[derive(Clone, Debug)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // What is no text is no key either, and is refused where keys are checked.
        let key = parts.headers.get("idempotency-key");
        Ok(Self(key.map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned())))
    }
}

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = "Makes it safe to send the request again: within 24 hours, the same request with the same key is answered \
                    with the job of the first. 1 to 255 visible ASCII characters, such as a UUID.";
        vec![header("Idempotency-Key", text, Some("^[!-~]{1,255}$"))]
    }
}

/// How long the client would rather wait for the job's end than ask for it again ([RFC 7240]).
///
/// [RFC 7240]: https://www.rfc-editor.org/rfc/rfc7240
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefer {
    seconds: Option<u64>,
    /// When the answer must be given at the latest.
    latest: Option<Instant>,
}

/// When a request must have been answered; among its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerBy(pub Instant);

/// How long before that an answer is no longer held back.
const MARGIN: Duration = Duration::from_secs(2);

impl Prefer {
    fn read(headers: &HeaderMap) -> Self {
        let preferences = headers.get_all(PREFER).into_iter().filter_map(|value| value.to_str().ok());
        let mut waits = preferences.flat_map(|value| value.split(',')).filter_map(|preference| {
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"').parse().ok())?
        });
        // The first one counts, and what cannot be understood is left aside.
        Self { seconds: waits.next().map(|seconds: u64| seconds.min(MOST)), latest: None }
    }

    /// Whether it would rather wait.
    #[must_use]
    pub fn waits(self) -> bool {
        self.seconds.is_some()
    }

    /// The job once it has ended, or as it is when the client would rather have it.
    pub async fn until_ended(self, jobs: &dyn ReadJobs, mut job: Job) -> Job {
        let Some(seconds) = self.seconds else { return job };
        let end = Instant::now() + Duration::from_secs(seconds);
        let end = self.latest.map_or(end, |latest| end.min(latest));
        let mut pause = PAUSES.0;
        while !job.status().is_final() && Instant::now() < end {
            sleep(pause.min(end - Instant::now())).await;
            pause = (2 * pause).min(PAUSES.1);
            match jobs.get(job.id()).await {
                Ok(Some(newer)) if !newer.is_deleted() => job = newer,
                Ok(_) => return job,
                Err(error) => tracing::warn!(error = %Chain(&error), "the job was not read; looking again"),
            }
        }
        job
    }

    /// Says in an answer that the preference was heeded.
    pub fn note(self, headers: &mut HeaderMap) {
        if let Some(value) =
            self.seconds.and_then(|seconds| HeaderValue::from_str(&format!("wait={seconds}")).ok())
        {
            headers.insert(APPLIED, value);
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Prefer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let by = parts.extensions.get::<AnswerBy>();
        let latest = by.and_then(|AnswerBy(by)| by.checked_sub(MARGIN));
        Ok(Self { latest, ..Self::read(&parts.headers) })
    }
}

impl IntoParams for Prefer {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = "`wait=10` holds the answer back until the job has ended, 10 seconds at the longest; 20 are the most.";
        vec![header("Prefer", text, None)]
    }
}

fn header(name: &str, description: &str, pattern: Option<&str>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(pattern)))
        .build()
}

#[cfg(test)]
mod tests {
    use jobs::ports::WriteJobs as _;
    use testing::{build, memory::MemoryJobs};
    use time::OffsetDateTime;

    use super::*;

    fn prefer(values: &[&'static str]) -> Prefer {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_static(value));
        }
        Prefer::read(&headers)
    }

    #[test]
    fn a_wait_is_read_among_other_preferences_and_never_longer_than_the_longest() {
        for (values, seconds) in [
            (&["wait=10"][..], Some(10)),
            (&["respond-async, Wait = \"5\"; x=1"], Some(5)),
            (&["respond-async", "wait=7", "wait=3"], Some(7)),
            (&["wait=900"], Some(MOST)),
            (&["wait=0"], Some(0)),
            (&["wait=soon"], None),
            (&["wait"], None),
            (&["return=minimal"], None),
            (&[], None),
        ] {
            assert_eq!(prefer(values), Prefer { seconds, latest: None }, "{values:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_held_back_until_the_job_ends_or_the_time_is_over() {
        let jobs = MemoryJobs::default();
        let mut job = build::queued(OffsetDateTime::now_utc());
        jobs.write(&mut job).await.expect("written");
        let started = Instant::now();
        let same = prefer(&["wait=3"]).until_ended(&jobs, job.clone()).await;
        assert_eq!((same, started.elapsed().as_secs()), (job.clone(), 3));

        let soon = Prefer { latest: Some(Instant::now() + Duration::from_secs(1)), ..prefer(&["wait=3"]) };
        let started = Instant::now();
        soon.until_ended(&jobs, job.clone()).await;
        assert_eq!(started.elapsed().as_secs(), 1, "a request that took long already is answered in time");

        let ending = tokio::spawn({
            let (jobs, mut job) = (jobs.clone(), job.clone());
            async move {
                sleep(Duration::from_secs(5)).await;
                let failure = jobs::error::Failure::new("corrupt_image", "The image is damaged.");
                job.give_up(failure, job.created_at()).expect("free");
                jobs.write(&mut job).await.expect("written");
            }
        });
        let started = Instant::now();
        let ended = prefer(&["wait=20"]).until_ended(&jobs, job.clone()).await;
        assert!(ended.status().is_final());
        assert!((5..7).contains(&started.elapsed().as_secs()));
        ending.await.expect("no panic");

        let started = Instant::now();
        prefer(&[]).until_ended(&jobs, job).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
