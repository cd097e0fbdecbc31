//! Working on one job: claim → read → run → store → finish. Every step can be repeated, because a message may come
//! twice and a worker may die between any two of them.

use std::{collections::BTreeMap, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use time::OffsetDateTime;

use crate::{
    error::{Chain, Failure, PortError, WriteError},
    id::JobId,
    job::{Attempt, Claim, Facts, IllegalChange, Job, Origin, ResultSummary, Retry, Status},
    key::ObjectKey,
    limits::{Limits, doubled},
    message::Message,
    ports::{
        Attempts, Clock, Engine, FetchError, FetchImages, ObjectInfo, Output, Read, ReadJobs, ReadObjects,
        SendMessages, WorkError, WriteJobs, WriteObjects,
    },
    recover::reason_to_give_up,
    submit::sha256_hex,
    units,
};

/// The decision about a message after it was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The message is deleted: it has had its effect, now or earlier.
    Done,
    /// The message is delivered again: after this long if it is given, otherwise after a wait that grows with every
    /// delivery.
    Retry(Option<Duration>),
}

/// The longest that an early message is put off. A queue limits the messages that are received and not deleted, so
/// longer waits are left to the row.
const LONGEST_EARLY_WAIT: Duration = Duration::from_secs(60);

/// The outcome for a message that came before `until`. It is dropped if the wait is long, because recovery sends
/// another when the row is due. A row of an older release does not say when it is due (`is_in_row` is false), so its
/// message is put off however long the wait is.
pub(crate) fn outcome_of_early(until: OffsetDateTime, now: OffsetDateTime, is_in_row: bool) -> Outcome {
    let wait = Duration::try_from(until - now).unwrap_or_default();
    if is_in_row && wait > LONGEST_EARLY_WAIT { Outcome::Done } else { Outcome::Retry(Some(wait)) }
}

/// The outcome for a message if a service failed. It is delivered again if a retry may help. If not, the deployment or
/// the row is at fault, and the message is dropped: the row still says what is owed, for when that is mended.
pub(crate) fn after_failure(error: &PortError) -> Outcome {
    if error.retryable {
        tracing::warn!(error = %Chain(error), "a service failed; the message will come again");
        Outcome::Retry(None)
    } else {
        tracing::error!(error = %Chain(error), "a service refused; what is owed stays in the row");
        Outcome::Done
    }
}

/// Works on jobs.
#[derive(Clone)]
pub struct Processor {
    /// Reads jobs.
    pub jobs: Arc<dyn ReadJobs>,
    /// Writes jobs.
    pub writer: Arc<dyn WriteJobs>,
    /// Reads images.
    pub sources: Arc<dyn ReadObjects>,
    /// Stores results.
    pub objects: Arc<dyn WriteObjects>,
    /// Queues callbacks.
    pub queue: Arc<dyn SendMessages>,
    /// Fetches images.
    pub fetcher: Arc<dyn FetchImages>,
    /// Runs algorithms.
    pub engine: Arc<dyn Engine>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The limits of this deployment.
    pub limits: Limits,
}

/// Why the work on a claimed job gave no results.
enum Stopped {
    /// A retry would not help: the job fails.
    Failed(Failure),
    /// The attempt failed, and a retry may help: the source, or something that the work needs, was not available, or
    /// the process that did the work was lost. If this was the last attempt, the job fails with this failure. The
    /// duration is how long the source's server asks to wait.
    AttemptFailed(Failure, Option<Duration>),
    /// A service failed, which is not the job's fault: the job is given back and the attempt is forgiven.
    Port(PortError),
}

impl From<PortError> for Stopped {
    fn from(error: PortError) -> Self {
        if error.retryable {
            return Self::Port(error);
        }
        tracing::error!(error = %Chain(&error), "a service refused what the job needs");
        let text = "A service refused what the job needs; report its id to whoever runs this one.";
        Self::AttemptFailed(Failure::new("internal_error", text), None)
    }
}

impl From<WorkError> for Stopped {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Failed(failure) => Self::Failed(failure),
            WorkError::AttemptFailed(failure) => Self::AttemptFailed(failure, None),
            WorkError::Port(error) => error.into(),
        }
    }
}

impl Processor {
    /// Does whatever the job still needs, if anything.
    pub async fn handle(&self, id: JobId) -> Outcome {
        self.handle_until(id, std::future::pending()).await
    }

    /// Like [`Self::handle`], until `interrupted` is ready. A job that is being worked on is then given back, so that
    /// another worker can claim it at once.
    pub async fn handle_until(&self, id: JobId, interrupted: impl Future<Output = ()> + Send) -> Outcome {
        match self.try_handle(id, interrupted).await {
            Ok(outcome) => outcome,
            Err(error) => after_failure(&error),
        }
    }

    async fn try_handle(
        &self,
        id: JobId,
        interrupted: impl Future<Output = ()> + Send,
    ) -> Result<Outcome, PortError> {
        let Some(mut job) = self.jobs.get(id).await? else {
            // The job has expired. A worker or an upload may have stored something since.
            tracing::info!("the job is gone; removing what it may have left");
            self.objects.delete_all(id).await?;
            return Ok(Outcome::Done);
        };
        if job.status().is_final() {
            return self.announce(&job).await;
        }
        let now = self.clock.now();
        if let Some(retry) = job.retry().filter(|retry| retry.at > now) {
            tracing::info!(due = %retry.at, "a copy of the message came early");
            return Ok(outcome_of_early(retry.at, now, job.wake_at().is_some()));
        }
        let claimed = if let Some(failure) = reason_to_give_up(&self.limits, &job, now) {
            job.give_up(failure, now).map(|()| None)
        } else if self.pin_upload(&mut job).await? {
            job.claim(now, self.limits.lease()).map(Some)
        } else {
            tracing::info!("the upload that the message tells of is not there");
            return Ok(Outcome::Done);
        };
        let claim = match claimed {
            Ok(claim) => claim,
            Err(IllegalChange::Leased { until }) => {
                tracing::info!(%until, "another worker holds the job");
                // If that worker is lost, the job is queued again when its lease ends.
                let is_in_row = job.wake_at().is_some();
                return Ok(if is_in_row { Outcome::Done } else { outcome_of_early(until, now, is_in_row) });
            }
            Err(error) => {
                tracing::warn!(%error, "the job cannot be claimed");
                return Ok(Outcome::Done);
            }
        };
        match self.writer.write(&mut job).await {
            Ok(()) => {}
            Err(WriteError::Conflict) => return Ok(Outcome::Retry(Some(Duration::from_secs(1)))),
            Err(WriteError::Port(error)) => return Err(error),
        }
        match claim {
            Some(claim) => self.work(job, claim, interrupted).await,
            None => self.announce(&job).await,
        }
    }

    /// Notes which upload the job is about, the first time that one is seen. Returns false if it has not arrived.
    async fn pin_upload(&self, job: &mut Job) -> Result<bool, PortError> {
        if *job.origin() != Origin::PresignedUpload || job.facts().etag.is_some() {
            return Ok(true);
        }
        let upload = self.sources.head(&ObjectKey::Upload(job.id())).await?;
        let has_arrived = upload.is_some();
        if let Some(upload) = upload {
            job.pin_upload(upload.etag);
        } else if job.status() != Status::AwaitingUpload {
            // It was there when the job was queued. That it is missing now is found, and told, by the work on it.
            return Ok(true);
        }
        Ok(has_arrived)
    }

    /// Runs a claimed job to its end, or gives it back.
    async fn work(
        &self,
        mut job: Job,
        claim: Claim,
        interrupted: impl Future<Output = ()> + Send,
    ) -> Result<Outcome, PortError> {
        let mut facts = job.facts().clone();
        let Some(done) = until_interrupted(self.results_of(&job, &mut facts), interrupted).await else {
            tracing::info!("interrupted; the job is given back");
            return self.give_back(job, claim, Attempt::Interrupted, Duration::ZERO).await;
        };
        let now = self.clock.now();
        let changed = match done {
            Ok(results) => job.succeed(claim, facts, results, now),
            Err(Stopped::Failed(failure)) => job.fail(claim, facts, failure, now),
            Err(Stopped::AttemptFailed(failure, _)) if job.attempts() >= self.limits.attempts => {
                job.fail(claim, facts, failure, now)
            }
            Err(Stopped::AttemptFailed(failure, asked)) => {
                let wait = wait_after(job.attempts(), asked);
                tracing::warn!(code = %failure.code, ?wait, "the attempt came to nothing; trying again later");
                let attempt = Attempt::Counts(Retry { failure, at: now + wait });
                return self.give_back(job, claim, attempt, wait).await;
            }
            Err(Stopped::Port(error)) => {
                let wait = wait_after(job.forgiven() + 1, None);
                tracing::warn!(error = %Chain(&error), ?wait, "a service failed; trying again later");
                return self.give_back(job, claim, Attempt::Forgiven(now + wait), wait).await;
            }
        };
        if let Err(error) = changed {
            tracing::warn!(%error, "the job was lost while working on it");
            return Ok(Outcome::Done);
        }
        let attempt = job.revision();
        match self.writer.write(&mut job).await {
            Ok(()) => {
                let code = job.error().map(|failure| failure.code.as_ref());
                tracing::info!(status = %job.status(), code, attempts = job.attempts(), "job ended");
                self.announce(&job).await
            }
            Err(WriteError::Conflict) => self.lost(job.id(), attempt).await,
            Err(WriteError::Port(error)) => Err(error),
        }
    }

    /// Removes what this attempt stored, after another worker took over or the owner deleted the job.
    async fn lost(&self, id: JobId, attempt: u64) -> Result<Outcome, PortError> {
        tracing::info!("the job was taken over or deleted; removing what was stored for it");
        self.objects.delete_results(id, Attempts::Only(attempt)).await?;
        if self.jobs.get(id).await?.is_none_or(|job| job.is_deleted()) {
            self.objects.delete_all(id).await?;
        }
        Ok(Outcome::Done)
    }

    /// Gives a claimed job back, and sends the message for the next attempt, which is due after `wait`.
    async fn give_back(
        &self,
        mut job: Job,
        claim: Claim,
        attempt: Attempt,
        wait: Duration,
    ) -> Result<Outcome, PortError> {
        let number = job.revision();
        let interrupted = attempt == Attempt::Interrupted;
        if job.release(claim, attempt, self.clock.now(), self.limits.patience).is_err() {
            return Ok(Outcome::Done);
        }
        match self.writer.write(&mut job).await {
            Ok(()) => {}
            Err(WriteError::Conflict) => return self.lost(job.id(), number).await,
            Err(WriteError::Port(error)) => return Err(error),
        }
        if interrupted {
            // The message at hand is released at once for another worker, so no new one is sent.
            return Ok(Outcome::Retry(Some(Duration::ZERO)));
        }
        let next = Message::ProcessJob { job_id: job.id() };
        Ok(match self.queue.send(next, wait).await {
            Ok(()) => Outcome::Done,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the next message was not sent; this one comes again");
                Outcome::Retry(Some(wait))
            }
        })
    }

    /// Queues the callback that an ended job owes, unless it has been tried already.
    async fn announce(&self, job: &Job) -> Result<Outcome, PortError> {
        if job.owes_callback() && job.callback().is_some_and(|callback| callback.tried() == 0) {
            self.queue.send(Message::DeliverCallback { job_id: job.id() }, Duration::ZERO).await?;
        }
        Ok(Outcome::Done)
    }

    /// Runs the job's algorithms and stores their results. Facts about the image are added to `facts` as soon as they
    /// are known, so that a job that fails has them too.
    async fn results_of(
        &self,
        job: &Job,
        facts: &mut Facts,
    ) -> Result<BTreeMap<String, ResultSummary>, Stopped> {
        let image = self.source_of(job).await?;
        let sha256 = sha256_hex(&image);
        facts.bytes = Some(image.len() as u64);
        facts.sha256 = Some(sha256.clone());
        let worked = self.engine.run(image, &sha256, job.algorithms()).await?;
        facts.content_type = Some(worked.content_type.into_owned());
        facts.width = Some(worked.width);
        facts.height = Some(worked.height);
        facts.frames = Some(worked.frames);
        let mut results = BTreeMap::new();
        for output in &worked.outputs {
            // Each claim is a write of the row, so its revision is unique to the attempt.
            results.insert(output.algorithm.clone(), self.store(job.id(), job.revision(), output).await?);
        }
        Ok(results)
    }

    async fn store(&self, job: JobId, attempt: u64, output: &Output) -> Result<ResultSummary, PortError> {
        let mut forms = Vec::with_capacity(output.artifacts.len());
        for artifact in &output.artifacts {
            let key = ObjectKey::Result {
                job,
                attempt: Some(attempt),
                algorithm: output.algorithm.clone(),
                extension: artifact.extension.to_string(),
            };
            self.objects.put(&key, artifact.body.clone(), &artifact.content_type).await?;
            forms.push(artifact.extension.to_string());
        }
        Ok(ResultSummary::new(attempt, forms, output.details.clone()))
    }

    async fn source_of(&self, job: &Job) -> Result<Bytes, Stopped> {
        let id = job.id();
        match job.origin() {
            Origin::Upload => Ok(self.stored(&ObjectKey::Source(id), self.limits.upload_bytes).await?.1),
            Origin::PresignedUpload => {
                let (info, body) = self.stored(&ObjectKey::Upload(id), self.limits.upload_bytes).await?;
                if job.facts().etag.as_ref().is_some_and(|pinned| *pinned != info.etag) {
                    return Err(Stopped::Failed(Failure::new(
                        "upload_changed",
                        "The upload was replaced after the work on it had begun: ask for another upload.",
                    )));
                }
                Ok(body)
            }
            Origin::Url { url } => {
                // Every attempt works on the bytes that the first one fetched, whatever the address serves by now.
                let key = ObjectKey::Source(id);
                if let Read::Found(_, body) = self.sources.read(&key, self.limits.fetch_bytes).await? {
                    return Ok(body);
                }
                let fetched = self.fetcher.fetch(url).await.map_err(|error| match error {
                    FetchError::Permanent(failure) => Stopped::Failed(failure),
                    FetchError::Retryable { failure, after } => Stopped::AttemptFailed(failure, after),
                })?;
                // Nobody knows yet that these bytes are an image: they must not be shown to a client.
                let body = fetched.body;
                if self.objects.put_new(&key, body.clone(), "application/octet-stream").await? {
                    return Ok(body);
                }
                // A worker that was taken for dead has stored the image meanwhile, and all attempts use the same bytes.
                Ok(self.stored(&key, self.limits.fetch_bytes).await?.1)
            }
        }
    }

    async fn stored(&self, key: &ObjectKey, max_bytes: u64) -> Result<(ObjectInfo, Bytes), Stopped> {
        match self.sources.read(key, max_bytes).await? {
            Read::Found(info, body) => Ok((info, body)),
            Read::Missing => Err(Stopped::Failed(Failure::new(
                "source_missing",
                "The image is no longer stored: submit it again.",
            ))),
            Read::TooLarge(bytes) => Err(Stopped::Failed(Failure::new(
                "image_too_large",
                format!(
                    "The image has {}; at most {} are taken.",
                    units::bytes(bytes),
                    units::bytes(max_bytes)
                ),
            ))),
        }
    }
}

/// The wait before the next attempt, after `attempts` that failed: 10 s, doubled each time, or as long as the source's
/// server asks, at most ten minutes.
fn wait_after(attempts: u32, asked: Option<Duration>) -> Duration {
    const FIRST: Duration = Duration::from_secs(10);
    const MOST: Duration = Duration::from_secs(600);
    let own = doubled(FIRST, attempts.saturating_sub(1), MOST);
    own.max(asked.unwrap_or_default()).min(MOST)
}

/// Runs `work` to its end. If `interrupted` is ready first, `work` is dropped and `None` is returned.
async fn until_interrupted<T>(
    work: impl Future<Output = T> + Send,
    interrupted: impl Future<Output = ()> + Send,
) -> Option<T> {
    let (mut work, mut interrupted) = (pin!(work), pin!(interrupted));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => interrupted.as_mut().poll(context).map(|()| None),
    })
    .await
}
