//! The promises of dead letters: each is handled once and removed, whatever it contains.
#![allow(clippy::expect_used)]

use jobs::{
    limits::Limits,
    message::Message,
    ports::{Clock as _, WriteJobs as _},
    process::Outcome,
    recover::Recoverer,
};
use recover::{DeadLetters, sweep};
use runtime::sqs::Consume as _;
use testing::{
    build,
    faults::{Faults, Moment},
    memory::{ManualClock, MemoryJobs, MemoryObjects, MemoryQueue, recoverer},
};

fn world() -> (MemoryJobs, MemoryQueue, ManualClock, Faults, Recoverer) {
    let faults = Faults::default();
    let (jobs, queue) = (MemoryJobs::new(faults.clone()), MemoryQueue::new(faults.clone()));
    let (objects, clock) = (MemoryObjects::new(faults.clone()), ManualClock::default());
    let recoverer = recoverer(&jobs, &objects, &queue, &clock);
    (jobs, queue, clock, faults, recoverer)
}

#[tokio::test]
async fn a_dead_letter_queues_its_job_again_and_comes_again_only_where_that_failed() {
    let (jobs, queue, clock, faults, recoverer) = world();
    let mut job = build::queued(clock.now());
    jobs.write(&mut job).await.expect("written");
    let letter = format!(r#"{{"type":"process_job/1","job_id":"{}"}}"#, job.id());
    let letters = DeadLetters { recoverer, uploads: |_| None };
    faults.fail_after(0, Moment::Before);
    assert_eq!(letters.consume(&letter).await, Outcome::Retry(None));
    assert_eq!(letters.consume(&letter).await, Outcome::Done);
    assert_eq!(queue.sent(), [Message::ProcessJob { job_id: job.id() }]);
}

#[tokio::test]
async fn a_letter_that_says_nothing_is_removed_and_harms_no_neighbour() {
    let (_, queue, _, _, recoverer) = world();
    let letters = DeadLetters { recoverer, uploads: |_| None };
    let long = "x".repeat(256 << 10);
    for body in [
        "",
        "no JSON",
        "[]",
        r#"{"type":"process_job/2","job_id":1}"#,
        &long,
        r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"object":{"key":"%ff+/upload"}}}]}"#,
    ] {
        assert_eq!(letters.consume(body).await, Outcome::Done);
    }
    assert_eq!(queue.sent(), []);
}

#[tokio::test]
async fn every_shard_is_swept() {
    let (jobs, queue, clock, _, recoverer) = world();
    for _ in 0..100 {
        jobs.write(&mut build::queued(clock.now())).await.expect("written");
    }
    clock.advance(Limits::default().patience);
    let report = sweep(&recoverer, clock.now() + Limits::default().patience).await;
    assert_eq!((report.queued, queue.sent().len()), (100, 100));
}
