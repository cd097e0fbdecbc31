//! Ports that count their calls for the metrics, and an engine that makes jobs wait for their turn.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use jobs::{
    algorithm::Run,
    error::{PortError, WriteError},
    id::JobId,
    job::Job,
    ports::{
        Answer, CallbackRequest, Engine, FetchError, FetchImages, Fetched, PostCallbacks, WorkError, Worked,
        WriteJobs,
    },
    recover::Report,
};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::sync::Semaphore;
use url::Url;

const JOBS: &str = "darkroom_jobs_total";
const JOB_SECONDS: &str = "darkroom_job_seconds";
const STAGE_SECONDS: &str = "darkroom_stage_seconds";
const WORKING: &str = "darkroom_jobs_working";
const RECOVERED: &str = "darkroom_recovered_total";
const CALLBACKS: &str = "darkroom_callbacks_total";
const CALLBACK_SECONDS: &str = "darkroom_callback_seconds";
const REQUESTS: &str = "darkroom_http_requests_total";
const REQUEST_SECONDS: &str = "darkroom_http_request_seconds";
const QUEUE_MESSAGES: &str = "darkroom_queue_messages";
const QUEUE_AGE: &str = "darkroom_queue_age_seconds";
const DEAD_LETTERS: &str = "darkroom_queue_dead_letters";

/// The upper ends of the histograms' buckets, in seconds: from an answer out of a cache to the longest that a job may
/// take.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0];

/// Sets the metrics up. The handle writes them in Prometheus' text format.
///
/// # Errors
/// [`BuildError`] if they were set up already.
pub(crate) fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?;
    describe_counter!(JOBS, "Jobs that ended, by status and, for those that failed, code");
    describe_histogram!(JOB_SECONDS, Unit::Seconds, "From a job's submission to its end");
    describe_histogram!(
        STAGE_SECONDS,
        Unit::Seconds,
        "The stages of a job: fetch, wait for a processor, work"
    );
    describe_gauge!(WORKING, "Images that are being worked on");
    describe_counter!(
        RECOVERED,
        "What was overdue, by what was done: queued, ended, announced, tidied; failed, where nothing could be"
    );
    describe_counter!(CALLBACKS, "Tries of callbacks, by what came of them: 2xx to 5xx, none, refused");
    describe_histogram!(CALLBACK_SECONDS, Unit::Seconds, "How long receivers of callbacks take to answer");
    describe_counter!(REQUESTS, "Requests, by method and status");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "How long answers take, by method");
    describe_gauge!(QUEUE_MESSAGES, "Messages that could be received, by queue; of a local store");
    describe_gauge!(QUEUE_AGE, Unit::Seconds, "The age of the oldest of them");
    describe_gauge!(DEAD_LETTERS, "Messages that came too often, by queue; of a local store");
    Ok(handle)
}

/// Counts an answer.
pub(crate) fn answered(method: &axum::http::Method, status: u16, took: Duration) {
    // A client may send any word as a method, and each would be a time series of its own.
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS") => known.to_owned(),
        _ => "other".to_owned(),
    };
    counter!(REQUESTS, "method" => method.clone(), "status" => status.to_string()).increment(1);
    histogram!(REQUEST_SECONDS, "method" => method).record(took);
}

/// Counts the jobs of a recovery.
pub(crate) fn recovered(report: Report) {
    let Report { queued, ended, announced, tidied, failed } = report;
    for (what, count) in [
        ("queued", queued),
        ("ended", ended),
        ("announced", announced),
        ("tidied", tidied),
        ("failed", failed),
    ] {
        counter!(RECOVERED, "what" => what).increment(count);
    }
}

/// Measures how many messages a local store's queue has, and how old they are.
pub(crate) async fn measure(queue: &local::Queue, name: &'static str) -> Result<(), PortError> {
    let (messages, age) = queue.backlog().await?;
    gauge!(QUEUE_MESSAGES, "queue" => name).set(precise(messages));
    gauge!(QUEUE_AGE, "queue" => name).set(age.as_secs_f64());
    gauge!(DEAD_LETTERS, "queue" => name).set(precise(queue.dead().await?));
    Ok(())
}

/// A count as a floating-point number, as Prometheus has it; exact below 2³².
fn precise(count: u64) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}

/// A port that counts.
pub(crate) struct Metered<T: ?Sized>(pub Arc<T>);

/// Counts the jobs that end. It is given only to what ends them.
#[async_trait]
impl WriteJobs for Metered<dyn WriteJobs> {
    async fn write(&self, job: &mut Job) -> Result<(), WriteError> {
        self.0.write(job).await?;
        // Later writes of an ended job are about its callback or its leftovers.
        if let Some(ended) = job.finished_at().filter(|ended| *ended == job.updated_at()) {
            let code = job.error().map_or_else(String::new, |failure| failure.code.to_string());
            counter!(JOBS, "status" => job.status().name(), "code" => code).increment(1);
            histogram!(JOB_SECONDS).record((ended - job.created_at()).as_seconds_f64());
        }
        Ok(())
    }

    async fn delete(&self, id: JobId) -> Result<(), PortError> {
        self.0.delete(id).await
    }
}

#[async_trait]
impl FetchImages for Metered<dyn FetchImages> {
    async fn fetch(&self, url: &Url) -> Result<Fetched, FetchError> {
        let started = Instant::now();
        let fetched = self.0.fetch(url).await;
        histogram!(STAGE_SECONDS, "stage" => "fetch").record(started.elapsed());
        fetched
    }
}

#[async_trait]
impl PostCallbacks for Metered<dyn PostCallbacks> {
    async fn post(&self, request: &CallbackRequest) -> Answer {
        let started = Instant::now();
        let answer = self.0.post(request).await;
        let result = match answer {
            Answer::Status { code: 200..=299, .. } => "2xx",
            Answer::Status { code: 300..=399, .. } => "3xx",
            Answer::Status { code: 400..=499, .. } => "4xx",
            Answer::Status { code: 500..=599, .. } => "5xx",
            Answer::Status { .. } => "other",
            Answer::None => "none",
            Answer::Refused => "refused",
        };
        counter!(CALLBACKS, "result" => result).increment(1);
        histogram!(CALLBACK_SECONDS).record(started.elapsed());
        answer
    }
}

/// An engine that works on a limited number of images at the same time. Others are fetched already and wait for their
/// turn.
pub(crate) struct Turns {
    engine: Arc<dyn Engine>,
    turns: Semaphore,
}

impl Turns {
    pub(crate) fn new(engine: Arc<dyn Engine>, at_once: usize) -> Self {
        Self { engine, turns: Semaphore::new(at_once) }
    }
}

#[async_trait]
impl Engine for Turns {
    async fn run(&self, image: Bytes, sha256: &str, runs: &[Run]) -> Result<Worked, WorkError> {
        let waiting = Instant::now();
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        histogram!(STAGE_SECONDS, "stage" => "wait").record(waiting.elapsed());
        gauge!(WORKING).increment(1);
        let started = Instant::now();
        let worked = self.engine.run(image, sha256, runs).await;
        histogram!(STAGE_SECONDS, "stage" => "work").record(started.elapsed());
        gauge!(WORKING).decrement(1);
        worked
    }
}
