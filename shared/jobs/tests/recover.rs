//! The promises of recovery: every overdue job is queued again or ended, however many recoverers run, and no other job
//! is touched.
#![allow(clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use jobs::{
    callback::CallbackState,
    error::PortError,
    id::{JobId, SHARDS},
    job::{Draft, Facts, Job, Origin, Status},
    key::ObjectKey,
    limits::Limits,
    message::Message,
    ports::{Clock as _, ReadJobs, WriteJobs as _, WriteObjects as _},
    recover::{Recoverer, Report},
};
use testing::{
    build,
    faults::{Faults, Moment},
    memory::{ManualClock, MemoryJobs, MemoryObjects, MemoryQueue, recoverer},
};

struct World {
    jobs: MemoryJobs,
    objects: MemoryObjects,
    queue: MemoryQueue,
    clock: ManualClock,
    faults: Faults,
    recoverer: Recoverer,
}

impl World {
    fn new() -> Self {
        let faults = Faults::default();
        let jobs = MemoryJobs::new(faults.clone());
        let objects = MemoryObjects::new(faults.clone());
        let queue = MemoryQueue::new(faults.clone());
        let clock = ManualClock::default();
        let recoverer = recoverer(&jobs, &objects, &queue, &clock);
        Self { jobs, objects, queue, clock, faults, recoverer }
    }

    async fn written(&self, mut job: Job) -> Job {
        self.jobs.write(&mut job).await.expect("written");
        job
    }

    async fn queued(&self) -> Job {
        self.written(build::queued(self.clock.now())).await
    }

    async fn awaiting_upload(&self) -> Job {
        let draft = Draft { origin: Origin::PresignedUpload, ..build::draft() };
        let terms = Limits::default().upload_terms(None);
        let now = self.clock.now();
        self.written(Job::awaiting_upload(JobId::new(now), draft, now, terms)).await
    }

    /// Lets time pass until something is due for the job, and recovers everything that is.
    async fn recover_when_due(&self, job: &Job) -> Report {
        let due = self.now_of(job).due().expect("something is owed");
        self.clock.advance((due - self.clock.now()).try_into().expect("ahead"));
        self.sweep().await
    }

    async fn sweep(&self) -> Report {
        let until = self.clock.now() + Duration::from_secs(50);
        let mut report = Report::default();
        for shard in 0..SHARDS {
            report = report.and(self.recoverer.sweep(shard, until).await.expect("listed"));
        }
        report
    }

    fn now_of(&self, job: &Job) -> Job {
        self.jobs.peek(job.id()).expect("there")
    }
}

fn code_of(job: &Job) -> Option<&str> {
    job.error().map(|error| error.code.as_ref())
}

#[tokio::test]
async fn a_job_that_is_not_overdue_is_left_alone() {
    let world = World::new();
    let job = world.queued().await;
    world.awaiting_upload().await;
    assert!(world.sweep().await.is_empty());
    assert_eq!((world.now_of(&job), world.queue.sent()), (job, vec![]));
}

#[tokio::test]
async fn a_job_whose_message_is_lost_again_and_again_is_queued_again_with_more_patience_until_its_deadline() {
    let world = World::new();
    let job = world.written(Job::queued(
        JobId::new(world.clock.now()),
        build::draft(),
        world.clock.now(),
        Limits::default().terms(None),
    ));
    let job = job.await;
    let mut minutes = Vec::new();
    while world.now_of(&job).status() == Status::Queued {
        let before = world.clock.now();
        world.recover_when_due(&job).await;
        minutes.push((world.clock.now() - before).whole_minutes());
    }
    assert_eq!(minutes[..6], [5, 5, 10, 20, 40, 60]);
    assert_eq!(minutes.iter().sum::<i64>(), 24 * 60, "a day, and not longer");
    assert_eq!(code_of(&world.now_of(&job)), Some("deadline_passed"));
    let sent = world.queue.sent();
    assert_eq!(sent.last(), Some(&Message::DeliverCallback { job_id: job.id() }));
    assert!(sent.len() < 30, "a long queue is not made much longer");
}

#[tokio::test]
async fn a_job_whose_worker_died_on_its_message_s_last_delivery_is_queued_again_when_the_lease_ends() {
    let world = World::new();
    let mut job = world.queued().await;
    for attempt in 1..=Limits::default().attempts {
        job.claim(world.clock.now(), Limits::default().lease()).expect("free");
        world.jobs.write(&mut job).await.expect("written");
        assert!(world.sweep().await.is_empty(), "while the lease lasts, the worker may be alive");
        world.recover_when_due(&job).await;
        job = world.now_of(&job);
        if attempt < Limits::default().attempts {
            assert_eq!((job.status(), job.attempts()), (Status::Queued, attempt));
        }
    }
    assert_eq!((job.status(), code_of(&job)), (Status::Failed, Some("out_of_memory_or_timeout")));
}

#[tokio::test]
async fn an_upload_that_never_comes_ends_its_job_and_one_whose_event_is_lost_starts_it() {
    let world = World::new();
    let (never, lost) = (world.awaiting_upload().await, world.awaiting_upload().await);
    let upload = ObjectKey::Upload(lost.id());
    world.objects.put(&upload, Bytes::from_static(b"image"), "image/png").await.expect("put");
    world.clock.advance(Limits::default().upload_validity);
    assert!(world.sweep().await.is_empty(), "an upload may take its time");
    let report = world.recover_when_due(&never).await;
    assert_eq!(report, Report { queued: 1, ended: 1, ..Report::default() });
    assert_eq!(code_of(&world.now_of(&never)), Some("upload_never_came"));
    assert_eq!(world.now_of(&lost).status(), Status::Queued);
    assert!(world.queue.sent().contains(&Message::ProcessJob { job_id: lost.id() }));
}

#[tokio::test]
async fn a_callback_whose_message_died_is_announced_again_until_its_end() {
    let world = World::new();
    let mut job = world.written(build::succeeded(world.clock.now())).await;
    let told = Message::DeliverCallback { job_id: job.id() };
    for count in 1..=3 {
        world.recover_when_due(&job).await;
        assert_eq!(world.queue.sent(), vec![told.clone(); count]);
    }
    job = world.now_of(&job);
    job.abandon_callback(world.clock.now()).expect("owed");
    world.jobs.write(&mut job).await.expect("written");
    assert_eq!(job.due(), None);
    world.clock.advance(Duration::from_secs(24 * 3_600));
    assert!(world.sweep().await.is_empty());
    assert_eq!(job.callback().map(|callback| callback.state), Some(CallbackState::Failed));
}

#[tokio::test]
async fn two_recoverers_at_a_time_do_no_more_than_one() {
    let world = World::new();
    let job = world.queued().await;
    world.clock.advance((job.due().expect("owed") - world.clock.now()).try_into().expect("ahead"));
    let (one, other) = (world.recoverer.clone(), world.recoverer.clone());
    let (one, other) = tokio::join!(one.recover(job.id()), other.recover(job.id()));
    assert_eq!(one.and(other), Report { queued: 1, ..Report::default() });
    assert_eq!(world.queue.sent().len(), 1);
}

#[tokio::test]
async fn a_recoverer_that_fails_at_any_call_is_made_up_for() {
    for moment in [Moment::Before, Moment::After] {
        for call in 0.. {
            let world = World::new();
            let (queued, ended) =
                (world.queued().await, world.written(build::succeeded(world.clock.now())).await);
            let mut deleted = build::queued(world.clock.now());
            deleted.delete(world.clock.now(), world.clock.now());
            let deleted = world.written(deleted).await;
            world.clock.advance(Duration::from_secs(300));
            world.faults.fail_after(call, moment);
            for shard in 0..SHARDS {
                let until = world.clock.now() + Duration::from_secs(50);
                // A shard that could not be listed is listed the next time.
                let _ = world.recoverer.sweep(shard, until).await;
            }
            let happened = world.faults.happened();
            world.faults.fail_after(usize::MAX, moment);
            world.clock.advance(Duration::from_secs(600));
            world.sweep().await;
            let sent = world.queue.sent();
            assert!(
                sent.contains(&Message::ProcessJob { job_id: queued.id() }),
                "failing {moment:?} call {call}"
            );
            assert!(
                sent.contains(&Message::DeliverCallback { job_id: ended.id() }),
                "failing {moment:?} call {call}"
            );
            assert!(world.jobs.peek(deleted.id()).is_none(), "failing {moment:?} call {call}");
            if !happened {
                assert!(call > 12, "every call was failed once");
                break;
            }
        }
    }
}

#[tokio::test]
async fn more_than_there_is_time_for_is_left_to_the_next_run() {
    let world = World::new();
    for _ in 0..20 {
        world.queued().await;
    }
    world.clock.advance(Limits::default().patience);
    for shard in 0..SHARDS {
        let report = world.recoverer.sweep(shard, world.clock.now()).await.expect("listed");
        assert!(report.is_empty(), "its time is over");
    }
    assert_eq!(world.sweep().await.queued, 20);
}

#[tokio::test]
async fn a_message_that_was_given_up_makes_its_job_due_at_once_unless_it_waits_for_something_else() {
    let world = World::new();
    let queued = world.queued().await;
    assert_eq!(world.recoverer.recover_message(queued.id()).await.queued, 1);

    let mut held = world.queued().await;
    held.claim(world.clock.now(), Limits::default().lease()).expect("free");
    world.jobs.write(&mut held).await.expect("written");
    let awaiting = world.awaiting_upload().await;
    let gone = JobId::new(world.clock.now());
    for id in [held.id(), awaiting.id(), gone] {
        assert!(world.recoverer.recover_message(id).await.is_empty());
    }
    let upload = ObjectKey::Upload(awaiting.id());
    world.objects.put(&upload, Bytes::from_static(b"image"), "image/png").await.expect("put");
    assert_eq!(
        world.recoverer.recover_message(awaiting.id()).await.queued,
        1,
        "its event was in that message"
    );

    let mut ended = world.queued().await;
    let claim = ended.claim(world.clock.now(), Limits::default().lease()).expect("free");
    ended.succeed(claim, Facts::default(), BTreeMap::new(), world.clock.now()).expect("held");
    world.jobs.write(&mut ended).await.expect("written");
    assert!(
        world.recoverer.recover_message(ended.id()).await.is_empty(),
        "its callback's message has time yet"
    );
}

/// A job as an older release wrote it: the row does not say what is owed.
async fn of_an_older_release(world: &World, mut job: Job) -> Job {
    let mut row = serde_json::to_value(&job).expect("JSON");
    let members = row.as_object_mut().expect("an object");
    for added in ["deadline", "wake_at", "tidy_at"] {
        members.remove(added);
    }
    if let Some(callback) = members.get_mut("callback").and_then(serde_json::Value::as_object_mut) {
        callback.remove("wake_at");
    }
    job = serde_json::from_value(row).expect("a row");
    assert_eq!(job.due(), None);
    world.written(job).await
}

#[tokio::test]
async fn a_job_of_an_older_release_goes_on_when_its_message_is_given_up_and_ends_in_the_end() {
    let world = World::new();
    let now = world.clock.now();
    let mut held = build::queued(now);
    held.claim(now, Limits::default().lease()).expect("free");
    let held = of_an_older_release(&world, held).await;
    let ended = of_an_older_release(&world, build::succeeded(now)).await;
    assert!(world.recoverer.recover_message(held.id()).await.is_empty(), "its worker may be alive");
    world.clock.advance(Limits::default().lease());
    assert_eq!(world.recoverer.recover_message(held.id()).await.queued, 1);
    assert_eq!(world.recoverer.recover_message(ended.id()).await.announced, 1);
    assert!(world.now_of(&ended).due().is_some(), "from now on the row says it");
    for _ in 0..40 {
        if world.now_of(&held).status().is_final() {
            break;
        }
        world.recover_when_due(&held).await;
    }
    assert_eq!(code_of(&world.now_of(&held)), Some("deadline_passed"));
}

#[tokio::test]
async fn leftovers_of_a_job_that_is_gone_are_removed_when_its_message_is_given_up() {
    let world = World::new();
    let gone = JobId::new(world.clock.now());
    world.objects.put(&ObjectKey::Upload(gone), Bytes::from_static(b"late"), "image/png").await.expect("put");
    assert!(world.recoverer.recover_message(gone).await.is_empty());
    assert!(world.objects.all().is_empty());
}

/// A store that never answers for one job.
struct Silent {
    jobs: MemoryJobs,
    about: JobId,
}

#[async_trait]
impl ReadJobs for Silent {
    async fn get(&self, id: JobId) -> Result<Option<Job>, PortError> {
        if id == self.about { pending().await } else { self.jobs.get(id).await }
    }
}

#[tokio::test]
async fn a_job_that_takes_long_does_not_hold_up_the_others_of_its_shard() {
    let mut world = World::new();
    let mut of_shard: Vec<Job> = Vec::new();
    while of_shard.len() < 20 {
        let job = world.queued().await;
        if of_shard.first().is_none_or(|first| first.id().shard() == job.id().shard()) {
            of_shard.push(job);
        }
    }
    let due = of_shard.iter().filter_map(Job::due).max().expect("all are due");
    world.clock.advance((due - world.clock.now()).try_into().expect("ahead"));
    world.recoverer.jobs = Arc::new(Silent { jobs: world.jobs.clone(), about: of_shard[0].id() });
    let until = world.clock.now() + Duration::from_secs(50);
    let swept = world.recoverer.sweep(of_shard[0].id().shard(), until).now_or_never();
    assert!(swept.is_none(), "one is still being waited for");
    for job in &of_shard[1..] {
        assert!(world.now_of(job).due() > Some(world.clock.now()), "queued again");
    }
}
