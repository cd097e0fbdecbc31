//! The promises of the worker: redelivery changes nothing, dying between any two steps loses nothing, and every job
//! reaches an end.
#![allow(clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jobs::{
    algorithm::{Parameters, Run},
    error::{Failure, PortError},
    job::{Draft, Job, Origin, Status},
    key::ObjectKey,
    limits::Limits,
    message::Message,
    ports::{
        Artifact, Clock, Engine, FetchError, FetchImages, Fetched, Output, WorkError, Worked, WriteJobs,
        WriteObjects,
    },
    process::{Outcome, Processor},
    recover::Recoverer,
};
use testing::{
    build,
    faults::{Faults, Moment},
    memory::{ManualClock, MemoryJobs, MemoryObjects, MemoryQueue, MemoryWeb, recoverer},
};
use url::Url;

/// Echoes an image once for every run, and finds fault with images that say `bad`.
struct Echo;

#[async_trait]
impl Engine for Echo {
    async fn run(&self, image: Bytes, sha256: &str, runs: &[Run]) -> Result<Worked, WorkError> {
        if image.starts_with(b"bad") {
            return Err(Failure::new("corrupt_image", "The image is damaged.").into());
        }
        let outputs = runs
            .iter()
            .map(|run| Output {
                algorithm: run.name.clone(),
                artifacts: vec![Artifact {
                    extension: "json".into(),
                    content_type: "application/json".into(),
                    body: image.clone(),
                }],
                details: serde_json::Map::new(),
            })
            .collect();
        assert_eq!(sha256.len(), 64);
        Ok(Worked { content_type: "image/png".into(), width: 1, height: 1, frames: 1, outputs })
    }
}

struct World {
    jobs: MemoryJobs,
    objects: MemoryObjects,
    queue: MemoryQueue,
    web: MemoryWeb,
    clock: ManualClock,
    faults: Faults,
    processor: Processor,
}

impl World {
    fn new() -> Self {
        let faults = Faults::default();
        let jobs = MemoryJobs::new(faults.clone());
        let objects = MemoryObjects::new(faults.clone());
        let queue = MemoryQueue::new(faults.clone());
        let (web, clock) = (MemoryWeb::default(), ManualClock::default());
        let processor = Processor {
            jobs: Arc::new(jobs.clone()),
            writer: Arc::new(jobs.clone()),
            sources: Arc::new(objects.clone()),
            objects: Arc::new(objects.clone()),
            queue: Arc::new(queue.clone()),
            fetcher: Arc::new(web.clone()),
            engine: Arc::new(Echo),
            clock: Arc::new(clock.clone()),
            limits: Limits::default(),
        };
        Self { jobs, objects, queue, web, clock, faults, processor }
    }

    /// A queued job with two algorithms and a callback, its image stored.
    async fn queued(&self, image: &'static [u8]) -> Job {
        let run = |name: &str| Run {
            name: name.to_owned(),
            version: "1".to_owned(),
            parameters: Parameters::default(),
        };
        let draft = Draft { algorithms: vec![run("one"), run("two")], ..build::draft() };
        let id = jobs::id::JobId::new(self.clock.now());
        let mut job = Job::queued(id, draft, self.clock.now(), build::TERMS);
        self.jobs.write(&mut job).await.expect("stored");
        self.objects
            .put(&ObjectKey::Source(id), Bytes::from_static(image), "image/png")
            .await
            .expect("stored");
        job
    }

    async fn with_address(&self) -> (Job, Url) {
        let url = Url::parse("https://example.com/cat.png").expect("a URL");
        let draft = Draft { origin: Origin::Url { url: url.clone() }, ..build::draft() };
        let id = jobs::id::JobId::new(self.clock.now());
        let mut job = Job::queued(id, draft, self.clock.now(), build::TERMS);
        self.jobs.write(&mut job).await.expect("stored");
        (job, url)
    }

    /// Delivers a message and those that follow from it, and recovers what is due, until the job has ended.
    async fn deliver_until_ended(&self, job: &Job) {
        for _ in 0..20 {
            match self.processor.handle(job.id()).await {
                Outcome::Done => {}
                Outcome::Retry(wait) => self.clock.advance(wait.unwrap_or(Duration::from_secs(10))),
            }
            let row = self.now_of(job);
            if row.status().is_final() && self.queue.sent().contains(&self.told(job)) {
                return;
            }
            if let Some(due) = row.due()
                && due > self.clock.now()
            {
                self.clock.advance((due - self.clock.now()).try_into().expect("ahead"));
            }
            self.recoverer().recover(job.id()).await;
        }
        panic!("the job never ended");
    }

    fn told(&self, job: &Job) -> Message {
        Message::DeliverCallback { job_id: job.id() }
    }

    fn recoverer(&self) -> Recoverer {
        recoverer(&self.jobs, &self.objects, &self.queue, &self.clock)
    }

    fn now_of(&self, job: &Job) -> Job {
        self.jobs.peek(job.id()).expect("the job is there")
    }
}

#[tokio::test]
async fn a_job_is_worked_on_and_its_owner_told() {
    let world = World::new();
    let job = world.queued(b"good").await;
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    let job = world.now_of(&job);
    assert_eq!((job.status(), job.attempts()), (Status::Succeeded, 1));
    assert_eq!(job.results().keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(world.objects.all().len(), 3, "the source and two results");
    assert_eq!(world.queue.sent(), [Message::DeliverCallback { job_id: job.id() }]);
}

#[tokio::test]
async fn a_message_delivered_twice_changes_nothing() {
    let world = World::new();
    let job = world.queued(b"good").await;
    world.processor.handle(job.id()).await;
    let (ended, objects) = (world.now_of(&job), world.objects.all());
    world.clock.advance(Duration::from_secs(3_600));
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    assert_eq!(world.now_of(&job), ended);
    assert_eq!(world.objects.all(), objects);
}

#[tokio::test]
async fn a_message_delivered_again_while_a_callback_backs_off_starts_no_second_one() {
    let world = World::new();
    let job = world.queued(b"good").await;
    world.processor.handle(job.id()).await;
    let mut ended = world.now_of(&job);
    let (now, later) = (world.clock.now(), world.clock.now() + Duration::from_secs(3_600));
    ended.begin_callback_try(now, later, Duration::ZERO).expect("owed");
    world.jobs.write(&mut ended).await.expect("written");
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    assert_eq!(world.queue.sent().len(), 1);
}

#[tokio::test]
async fn a_service_that_keeps_failing_does_not_use_up_the_job_s_attempts_and_the_waits_grow() {
    let world = World::new();
    let job = world.queued(b"good").await;
    let mut waits = Vec::new();
    for _ in 0..2 * Limits::default().attempts {
        // Reading the row and claiming it succeed; reading the source fails.
        world.faults.fail_after(2, Moment::Before);
        assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
        let wait = *world.queue.delays().last().expect("the next message was sent");
        waits.push(wait.as_secs());
        world.clock.advance(wait);
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320]);
    world.deliver_until_ended(&job).await;
    assert_eq!((world.now_of(&job).status(), world.now_of(&job).attempts()), (Status::Succeeded, 1));
}

#[tokio::test]
async fn a_worker_that_fails_at_any_call_is_made_up_for() {
    let reference = World::new();
    let job = reference.queued(b"good").await;
    reference.processor.handle(job.id()).await;
    let expected = by_name(&reference);
    for moment in [Moment::Before, Moment::After] {
        for call in 0.. {
            let world = World::new();
            let job = world.queued(b"good").await;
            world.faults.fail_after(call, moment);
            world.deliver_until_ended(&job).await;
            let ended = world.now_of(&job);
            assert_eq!(ended.status(), Status::Succeeded, "failing {moment:?} call {call}");
            let happened = world.faults.happened();
            world.clock.advance(Duration::from_secs(3_600));
            world.recoverer().recover(job.id()).await;
            assert_eq!(by_name(&world), expected, "failing {moment:?} call {call}");
            if !happened {
                assert!(call > 5, "every call was failed once");
                break;
            }
        }
    }
}

/// Every object, by the last part of its key.
fn by_name(world: &World) -> Vec<(String, Bytes)> {
    let all = world.objects.all().into_iter();
    all.map(|(key, (_, body))| (key.rsplit('/').next().unwrap_or_default().to_owned(), body)).collect()
}

#[tokio::test]
async fn a_bad_image_fails_the_job_at_once_with_its_code() {
    let world = World::new();
    let job = world.queued(b"bad").await;
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    let job = world.now_of(&job);
    assert_eq!((job.status(), job.attempts()), (Status::Failed, 1));
    assert_eq!(job.error().map(|error| error.code.as_ref()), Some("corrupt_image"));
    assert!(job.facts().sha256.is_some(), "what is known of the bad image is kept");
    assert_eq!(world.queue.sent(), [Message::DeliverCallback { job_id: job.id() }]);
}

#[tokio::test]
async fn a_second_worker_leaves_a_held_job_alone_and_takes_over_when_the_lease_has_ended() {
    let world = World::new();
    let mut job = world.queued(b"good").await;
    let lease = Duration::from_secs(60);
    job.claim(world.clock.now(), lease).expect("free");
    world.jobs.write(&mut job).await.expect("written");
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    assert_eq!(world.now_of(&job), job, "the message is needed no more: the row says when the lease ends");
    world.clock.advance(lease);
    world.recoverer().recover(job.id()).await;
    assert_eq!(world.queue.sent(), [Message::ProcessJob { job_id: job.id() }]);
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    assert_eq!((world.now_of(&job).status(), world.now_of(&job).attempts()), (Status::Succeeded, 2));
}

#[tokio::test]
async fn an_image_that_kills_its_worker_every_time_fails_its_job() {
    let world = World::new();
    let mut job = world.queued(b"good").await;
    for _ in 0..Limits::default().attempts {
        job.claim(world.clock.now(), Duration::from_secs(60)).expect("the last worker's lease has ended");
        world.jobs.write(&mut job).await.expect("written");
        world.clock.advance(Duration::from_secs(61));
    }
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    let job = world.now_of(&job);
    assert_eq!(job.error().map(|error| error.code.as_ref()), Some("out_of_memory_or_timeout"));
    assert_eq!(world.queue.sent(), [Message::DeliverCallback { job_id: job.id() }]);
}

#[tokio::test]
async fn a_fetched_image_is_kept_so_that_a_retry_works_on_the_same_bytes() {
    let world = World::new();
    let (job, url) = world.with_address().await;
    world.web.serve(&url, Bytes::from_static(b"first"));
    // Reading the row, claiming it, looking for the source, storing it: the next call, finishing, fails.
    world.faults.fail_after(4, Moment::Before);
    assert!(matches!(world.processor.handle(job.id()).await, Outcome::Retry(_)));
    world.web.serve(&url, Bytes::from_static(b"second"));
    world.clock.advance(Duration::from_secs(600));
    world.deliver_until_ended(&job).await;
    let source = world.objects.all()[&ObjectKey::Source(job.id()).to_string()].1.clone();
    assert_eq!(source, Bytes::from_static(b"first"));
}

#[tokio::test]
async fn an_address_that_stays_out_of_reach_fails_the_job_with_its_code() {
    let world = World::new();
    let (job, _) = world.with_address().await;
    world.deliver_until_ended(&job).await;
    let job = world.now_of(&job);
    assert_eq!(job.error().map(|error| error.code.as_ref()), Some("source_unreachable"));
    assert_eq!(job.attempts(), Limits::default().attempts);
}

/// A server that asks to wait for this many seconds.
struct Busy(Option<u64>);

#[async_trait]
impl FetchImages for Busy {
    async fn fetch(&self, _: &Url) -> Result<Fetched, FetchError> {
        let failure = Failure::new("source_unavailable", "The server of `image_url` answered 503.");
        Err(FetchError::Retryable { failure, after: self.0.map(Duration::from_secs) })
    }
}

#[tokio::test]
async fn a_job_that_waits_for_its_source_says_why_and_until_when() {
    for (asked, waits) in [
        (None, [10, 20]),
        (Some(3), [10, 20]),
        (Some(15), [15, 20]),
        (Some(120), [120, 120]),
        (Some(u64::MAX), [600, 600]),
    ] {
        let mut world = World::new();
        world.processor.fetcher = Arc::new(Busy(asked));
        let (job, _) = world.with_address().await;
        for wait in waits.map(Duration::from_secs) {
            assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
            assert_eq!(world.queue.delays().last(), Some(&wait));
            let waiting = world.now_of(&job);
            let retry = waiting.retry().expect("it waits");
            assert_eq!((&*retry.failure.code, retry.at), ("source_unavailable", world.clock.now() + wait));
            assert_eq!((waiting.status(), waiting.error()), (Status::Queued, None));
            world.clock.advance(wait);
        }
        assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
        let failed = world.now_of(&job);
        assert_eq!((failed.status(), failed.attempts(), failed.retry()), (Status::Failed, 3, None));
        assert_eq!(failed.error().map(|error| error.code.as_ref()), Some("source_unavailable"));
    }
}

#[tokio::test]
async fn a_copy_of_the_message_that_comes_early_costs_no_attempt() {
    let world = World::new();
    let (job, _) = world.with_address().await;
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    world.clock.advance(Duration::from_secs(4));
    let before = world.now_of(&job);
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Retry(Some(Duration::from_secs(6))));
    assert_eq!(world.now_of(&job), before);
}

#[tokio::test]
async fn a_missing_source_fails_the_job() {
    let world = World::new();
    let job = world.queued(b"good").await;
    world.objects.delete_all(job.id()).await.expect("deleted");
    world.deliver_until_ended(&job).await;
    assert_eq!(world.now_of(&job).error().map(|error| error.code.as_ref()), Some("source_missing"));
}

#[tokio::test]
async fn an_upload_is_pinned_when_it_is_first_seen_and_another_one_is_not_worked_on() {
    let world = World::new();
    let draft = Draft { origin: Origin::PresignedUpload, ..build::draft() };
    let now = world.clock.now();
    let mut job = Job::awaiting_upload(jobs::id::JobId::new(now), draft, now, build::TERMS);
    world.jobs.write(&mut job).await.expect("written");
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    assert_eq!(world.now_of(&job), job, "what was announced is not there");

    let upload = ObjectKey::Upload(job.id());
    world.objects.put(&upload, Bytes::from_static(b"first"), "image/png").await.expect("put");
    // Reading the row, looking at the upload and claiming succeed; reading it fails.
    world.faults.fail_after(3, Moment::Before);
    world.processor.handle(job.id()).await;
    assert_eq!(world.now_of(&job).status(), Status::Queued);
    assert!(world.now_of(&job).facts().etag.is_some());
    world.objects.put(&upload, Bytes::from_static(b"second"), "image/png").await.expect("put");
    world.clock.advance(Duration::from_secs(10));
    world.processor.handle(job.id()).await;
    let code = world.now_of(&job).error().map(|error| error.code.to_string());
    assert_eq!(code.as_deref(), Some("upload_changed"));
}

/// An engine whose model cannot be read for now.
struct WithoutModel;

#[async_trait]
impl Engine for WithoutModel {
    async fn run(&self, _: Bytes, _: &str, _: &[Run]) -> Result<Worked, WorkError> {
        Err(PortError { operation: "reading a model", retryable: true, cause: "slow down".into() }.into())
    }
}

#[tokio::test]
async fn a_read_that_fails_this_time_is_tried_again_and_costs_no_attempt() {
    let mut world = World::new();
    let job = world.queued(b"good").await;
    let engine = std::mem::replace(&mut world.processor.engine, Arc::new(WithoutModel));
    for _ in 0..5 {
        assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    }
    world.processor.engine = engine;
    world.deliver_until_ended(&job).await;
    assert_eq!((world.now_of(&job).status(), world.now_of(&job).attempts()), (Status::Succeeded, 1));
}

/// An engine whose model is never read in time.
struct SlowModel;

#[async_trait]
impl Engine for SlowModel {
    async fn run(&self, _: Bytes, _: &str, _: &[Run]) -> Result<Worked, WorkError> {
        Err(WorkError::AttemptFailed(Failure::new("model_unreadable", "It was not read in time.")))
    }
}

#[tokio::test]
async fn a_model_that_is_never_read_in_time_costs_attempts_and_fails_the_job_with_its_code() {
    let mut world = World::new();
    let job = world.queued(b"good").await;
    world.processor.engine = Arc::new(SlowModel);
    world.deliver_until_ended(&job).await;
    let job = world.now_of(&job);
    assert_eq!(job.error().map(|error| error.code.as_ref()), Some("model_unreadable"));
    assert_eq!(job.attempts(), Limits::default().attempts);
}

/// An engine whose model must not be read.
struct Denied;

#[async_trait]
impl Engine for Denied {
    async fn run(&self, _: Bytes, _: &str, _: &[Run]) -> Result<Worked, WorkError> {
        Err(PortError { operation: "reading a model", retryable: false, cause: "access denied".into() }
            .into())
    }
}

#[tokio::test]
async fn a_refusal_for_good_counts_as_an_attempt_and_the_last_one_fails_the_job() {
    let mut world = World::new();
    let job = world.queued(b"good").await;
    world.processor.engine = Arc::new(Denied);
    world.deliver_until_ended(&job).await;
    let job = world.now_of(&job);
    assert_eq!(job.error().map(|error| error.code.as_ref()), Some("internal_error"));
    assert_eq!(job.attempts(), Limits::default().attempts);
}

#[tokio::test]
async fn a_job_whose_deadline_has_passed_is_not_begun() {
    let world = World::new();
    let job = world.queued(b"good").await;
    world.clock.advance(build::TERMS.deadline);
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    let job = world.now_of(&job);
    assert_eq!((job.status(), job.attempts()), (Status::Failed, 0));
    assert_eq!(job.error().map(|error| error.code.as_ref()), Some("deadline_passed"));
    assert_eq!(world.queue.sent(), [world.told(&job)]);
}

/// An engine during whose work the job is deleted.
struct DeletedMeanwhile(MemoryJobs, ManualClock, jobs::id::JobId);

#[async_trait]
impl Engine for DeletedMeanwhile {
    async fn run(&self, image: Bytes, sha256: &str, runs: &[Run]) -> Result<Worked, WorkError> {
        let mut job = self.0.peek(self.2).expect("there");
        job.delete(self.1.now(), self.1.now() + Duration::from_secs(600));
        self.0.write(&mut job).await.expect("written");
        Echo.run(image, sha256, runs).await
    }
}

#[tokio::test]
async fn a_job_deleted_while_it_is_worked_on_leaves_nothing_behind() {
    let mut world = World::new();
    let job = world.queued(b"good").await;
    world.processor.engine = Arc::new(DeletedMeanwhile(world.jobs.clone(), world.clock.clone(), job.id()));
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    assert!(world.objects.all().is_empty());
    assert!(world.queue.sent().is_empty());
    // A worker that was taken for dead still stores something.
    let late = ObjectKey::Result {
        job: job.id(),
        attempt: Some(2),
        algorithm: "one".to_owned(),
        extension: "json".to_owned(),
    };
    world.objects.put(&late, Bytes::from_static(b"late"), "application/json").await.expect("put");
    world.clock.advance(Duration::from_secs(600));
    world.recoverer().recover(job.id()).await;
    assert!(world.jobs.is_empty() && world.objects.all().is_empty());
}

#[tokio::test]
async fn a_late_worker_overwrites_no_result_and_what_it_stored_is_removed() {
    let world = World::new();
    let mut job = world.queued(b"good").await;
    job.claim(world.clock.now(), Duration::from_secs(60)).expect("free");
    world.jobs.write(&mut job).await.expect("written");
    world.clock.advance(Duration::from_secs(61));
    world.processor.handle(job.id()).await;
    let ended = world.now_of(&job);
    let winner = ended.results()["one"].attempt().expect("it says so");
    assert_ne!(winner, job.revision());
    let late = ObjectKey::Result {
        job: job.id(),
        attempt: Some(job.revision()),
        algorithm: "one".to_owned(),
        extension: "json".to_owned(),
    };
    world.objects.put(&late, Bytes::from_static(b"late"), "application/json").await.expect("put");
    assert_eq!(world.objects.all().len(), 4, "beside the source and two results");
    let tidy_at = ended.tidy_at().expect("there was more than one attempt");
    world.clock.advance((tidy_at - world.clock.now()).try_into().expect("ahead"));
    world.recoverer().recover(job.id()).await;
    assert_eq!(world.objects.all().len(), 3);
    assert!(!world.objects.all().contains_key(&late.to_string()));
    let told = |job: &Job| job.callback().map_or(0, |callback| callback.announced);
    assert_eq!((world.now_of(&job).tidy_at(), told(&world.now_of(&job))), (None, 1));
}

#[tokio::test]
async fn a_message_for_a_job_that_is_gone_removes_what_it_left() {
    let world = World::new();
    let job = world.queued(b"good").await;
    world.jobs.delete(job.id()).await.expect("deleted");
    assert_eq!(world.processor.handle(job.id()).await, Outcome::Done);
    assert!(world.objects.all().is_empty());
}
