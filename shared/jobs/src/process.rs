//! Working on one job: claim → read → run → store → finish. Every step can be repeated, because a message may come
//! twice and a worker may die between any two of them.

use std::{collections::BTreeMap, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;

use crate::{
    error::{Chain, Failure, PortError, WriteError},
    id::JobId,
    job::{Attempt, Claim, Facts, IllegalChange, Job, Origin, ResultSummary, Retry},
    key::ObjectKey,
    limits::Limits,
    message::Message,
    ports::{
        Clock, Engine, FetchError, FetchImages, Output, Read, ReadJobs, ReadObjects, SendMessages, WorkError,
        WriteJobs, WriteObjects,
    },
    submit::sha256_hex,
    units,
};

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has had its effect, now or earlier, and is deleted.
    Done,
    /// It comes again: after this long, or else after a wait that grows with every delivery.
    Retry(Option<Duration>),
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
    /// What is accepted.
    pub limits: Limits,
}

/// Why the work on a claimed job stopped short.
enum Stopped {
    /// No retry would mend it: the job fails.
    Failed(Failure),
    /// The source, or what the work needs, could not be had this time; the failure is the job's, should this be its
    /// last attempt. The duration is how long the source asks to be left alone.
    Unreachable(Failure, Option<Duration>),
    /// A service failed us: the job is given back.
    Port(PortError),
}

impl From<PortError> for Stopped {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<WorkError> for Stopped {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Failed(failure) => Self::Failed(failure),
            WorkError::Unreachable(failure) => Self::Unreachable(failure, None),
            WorkError::Port(error) => Self::Port(error),
        }
    }
}

impl Processor {
    /// Does whatever the job still needs. Where it needs nothing, nothing is done.
    pub async fn handle(&self, id: JobId) -> Outcome {
        self.handle_until(id, std::future::pending()).await
    }

    /// The same, until `interrupted` is ready: a job that is being worked on is then given back, to be claimed by
    /// another worker at once.
    pub async fn handle_until(&self, id: JobId, interrupted: impl Future<Output = ()> + Send) -> Outcome {
        match self.try_handle(id, interrupted).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(
                    error = %Chain(&error),
                    "a service failed; the message will come again"
                );
                Outcome::Retry(None)
            }
        }
    }

    async fn try_handle(
        &self,
        id: JobId,
        interrupted: impl Future<Output = ()> + Send,
    ) -> Result<Outcome, PortError> {
        let Some(mut job) = self.jobs.get(id).await? else {
            // Deleted; what a worker or an upload left behind since then goes too.
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
            return Ok(Outcome::Retry(Some(Duration::try_from(retry.at - now).unwrap_or_default())));
        }
        let claimed = if job.attempts() >= self.limits.attempts {
            job.give_up(worn_out(job.attempts()), self.clock.now()).map(|()| None)
        } else {
            job.claim(self.clock.now(), self.limits.lease()).map(Some)
        };
        let claim = match claimed {
            Ok(claim) => claim,
            Err(IllegalChange::Leased { until }) => {
                tracing::info!(%until, "another worker holds the job");
                let wait = Duration::try_from(until - self.clock.now()).unwrap_or_default();
                return Ok(Outcome::Retry(Some(wait + Duration::from_secs(1))));
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

    /// Runs a claimed job to its end, or gives it back.
    async fn work(
        &self,
        mut job: Job,
        claim: Claim,
        interrupted: impl Future<Output = ()> + Send,
    ) -> Result<Outcome, PortError> {
        let mut facts = job.facts().clone();
        let Some(done) = unless(self.results_of(&job, &mut facts), interrupted).await else {
            tracing::info!("interrupted; the job is given back");
            return self.give_back(job, claim, Attempt::Forgiven, Some(Duration::ZERO)).await;
        };
        let now = self.clock.now();
        let changed = match done {
            Ok(results) => job.succeed(claim, facts, results, now),
            Err(Stopped::Failed(failure)) => job.fail(claim, facts, failure, now),
            Err(Stopped::Unreachable(failure, _)) if job.attempts() >= self.limits.attempts => {
                job.fail(claim, facts, failure, now)
            }
            Err(Stopped::Unreachable(failure, asked)) => {
                let wait = wait_after(job.attempts(), asked);
                tracing::warn!(code = %failure.code, ?wait, "what the job needs was not reached; trying again later");
                let attempt = Attempt::Counts(Retry { failure, at: now + wait });
                return self.give_back(job, claim, attempt, Some(wait)).await;
            }
            Err(Stopped::Port(error)) => {
                tracing::warn!(
                    error = %Chain(&error),
                    "a service failed; trying again later"
                );
                return self.give_back(job, claim, Attempt::Forgiven, None).await;
            }
        };
        if let Err(error) = changed {
            tracing::warn!(%error, "the job was lost while working on it");
            return Ok(Outcome::Done);
        }
        match self.writer.write(&mut job).await {
            Ok(()) => {
                let code = job.error().map(|failure| failure.code.as_ref());
                tracing::info!(status = %job.status(), code, attempts = job.attempts(), "job ended");
                self.announce(&job).await
            }
            Err(WriteError::Conflict) => self.lost(job.id()).await,
            Err(WriteError::Port(error)) => Err(error),
        }
    }

    /// Another worker took over, or the owner deleted the job; in that case nothing of it may stay behind.
    async fn lost(&self, id: JobId) -> Result<Outcome, PortError> {
        if self.jobs.get(id).await?.is_none() {
            tracing::info!("the job was deleted while working on it; removing its objects");
            self.objects.delete_all(id).await?;
            return Ok(Outcome::Done);
        }
        Ok(Outcome::Retry(Some(Duration::from_secs(1))))
    }

    async fn give_back(
        &self,
        mut job: Job,
        claim: Claim,
        attempt: Attempt,
        wait: Option<Duration>,
    ) -> Result<Outcome, PortError> {
        if job.release(claim, attempt, self.clock.now()).is_ok() {
            match self.writer.write(&mut job).await {
                Ok(()) => {}
                Err(WriteError::Conflict) => return self.lost(job.id()).await,
                Err(WriteError::Port(error)) => return Err(error),
            }
        }
        Ok(Outcome::Retry(wait))
    }

    /// Queues the callback that an ended job owes and that nobody has tried yet: a worker that dies before this line
    /// is made up for by the next delivery of its message.
    async fn announce(&self, job: &Job) -> Result<Outcome, PortError> {
        if job.owes_callback() && job.callback().is_some_and(|callback| callback.attempts == 0) {
            self.queue.send(Message::DeliverCallback { job_id: job.id() }).await?;
        }
        Ok(Outcome::Done)
    }

    /// Runs the job's algorithms and stores what they gave; `facts` learns what there is to know of the image, even
    /// where it then proves bad.
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
        facts.content_type = Some(worked.content_type.to_owned());
        facts.width = Some(worked.width);
        facts.height = Some(worked.height);
        facts.frames = Some(worked.frames);
        let mut results = BTreeMap::new();
        for output in &worked.outputs {
            results.insert(output.algorithm.clone(), self.store(job.id(), output).await?);
        }
        Ok(results)
    }

    async fn store(&self, job: JobId, output: &Output) -> Result<ResultSummary, PortError> {
        let mut forms = Vec::with_capacity(output.artifacts.len());
        for artifact in &output.artifacts {
            let key = ObjectKey::Result {
                job,
                algorithm: output.algorithm.clone(),
                extension: artifact.extension.to_string(),
            };
            self.objects.put(&key, artifact.body.clone(), artifact.content_type).await?;
            forms.push(artifact.extension.to_string());
        }
        Ok(ResultSummary { forms, details: output.details.clone() })
    }

    async fn source_of(&self, job: &Job) -> Result<Bytes, Stopped> {
        let id = job.id();
        match job.origin() {
            Origin::Upload => self.stored(&ObjectKey::Source(id), self.limits.upload_bytes).await,
            Origin::PresignedUpload => self.stored(&ObjectKey::Upload(id), self.limits.upload_bytes).await,
            Origin::Url { url } => {
                // What an earlier attempt fetched is what this job is about, whatever the address serves by now.
                let key = ObjectKey::Source(id);
                if let Read::Found(_, body) = self.sources.read(&key, self.limits.fetch_bytes).await? {
                    return Ok(body);
                }
                let fetched = self.fetcher.fetch(url).await.map_err(|error| match error {
                    FetchError::Permanent(failure) => Stopped::Failed(failure),
                    FetchError::Retryable { failure, after } => Stopped::Unreachable(failure, after),
                })?;
                self.objects.put(&key, fetched.body.clone(), "application/octet-stream").await?;
                Ok(fetched.body)
            }
        }
    }

    async fn stored(&self, key: &ObjectKey, max_bytes: u64) -> Result<Bytes, Stopped> {
        match self.sources.read(key, max_bytes).await? {
            Read::Found(_, body) => Ok(body),
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

/// How long a job waits that has been started `attempts` times and could not have what it needs: 10 s, doubled each
/// time, or as long as its source asks, at most ten minutes.
fn wait_after(attempts: u32, asked: Option<Duration>) -> Duration {
    const FIRST: Duration = Duration::from_secs(10);
    const MOST: Duration = Duration::from_secs(600);
    let own = FIRST.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    own.max(asked.unwrap_or_default()).min(MOST)
}

/// What `work` gives, or nothing where `interrupted` is ready first; `work` is then dropped where it stands.
async fn unless<T>(
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

fn worn_out(attempts: u32) -> Failure {
    Failure::new(
        "attempts_exhausted",
        format!(
            "The job was started {attempts} times and never finished; submit a smaller or simpler image."
        ),
    )
}
