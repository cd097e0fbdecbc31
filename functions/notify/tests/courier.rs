//! The promises of callbacks: at least once, signed, the same id on every try, and an end.
#![allow(clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use http_api::Links;
use jobs::{
    callback::CallbackState,
    hosts::Hosts,
    job::{Job, Terms},
    limits::Limits,
    notify::{BACKOFF, Notifier},
    ports::{Answer, Clock as _, WriteJobs as _},
    process::Outcome,
};
use notify::{Courier, describe};
use runtime::sqs::Consume as _;
use serde_json::Value;
use testing::{
    build,
    faults::{Faults, Moment},
    memory::{ManualClock, MemoryJobs, MemoryQueue, MemoryReceiver},
};

fn status(code: u16) -> Answer {
    Answer::Status { code, retry_after: None }
}

struct World {
    clock: ManualClock,
    jobs: MemoryJobs,
    queue: MemoryQueue,
    faults: Faults,
    receiver: MemoryReceiver,
    courier: Courier,
    job: Job,
}

impl World {
    async fn answering(answers: Vec<Answer>) -> Self {
        Self::kept_for(build::TERMS.retention, answers).await
    }

    async fn kept_for(retention: Duration, answers: Vec<Answer>) -> Self {
        Self::ending_after(Duration::ZERO, retention, answers).await
    }

    /// A world whose job ended `later` than those of other worlds.
    async fn ending_after(later: Duration, retention: Duration, answers: Vec<Answer>) -> Self {
        let faults = Faults::default();
        let (jobs, queue) = (MemoryJobs::new(faults.clone()), MemoryQueue::new(faults.clone()));
        let clock = ManualClock::default();
        clock.advance(later);
        let receiver = MemoryReceiver::new(answers);
        let mut job = build::succeeded_in(clock.now(), Terms { retention, ..build::TERMS });
        jobs.write(&mut job).await.expect("written");
        let courier = Courier::new(Notifier {
            jobs: Arc::new(jobs.clone()),
            writer: Arc::new(jobs.clone()),
            poster: Arc::new(receiver.clone()),
            queue: Arc::new(queue.clone()),
            hosts: Hosts::default(),
            clock: Arc::new(clock.clone()),
            limits: Limits::default(),
            describe: describe(Links::new("https://images.example.com/v1")),
        });
        Self { clock, jobs, queue, faults, receiver, courier, job }
    }

    async fn deliver(&self) -> Outcome {
        let body = format!(r#"{{"type":"deliver_callback/1","job_id":"{}"}}"#, self.job.id());
        self.courier.consume(&body).await
    }

    fn callback(&self) -> (CallbackState, u32, Option<u16>) {
        let job = self.jobs.peek(self.job.id()).expect("there");
        let callback = job.callback().expect("it has one");
        (callback.state, callback.attempts, callback.last_status)
    }
}

#[tokio::test]
async fn the_owner_gets_the_job_with_absolute_links() {
    let world = World::answering(vec![status(204)]).await;
    assert_eq!(world.deliver().await, Outcome::Done);
    assert_eq!(world.callback(), (CallbackState::Delivered, 1, Some(204)));
    let received = world.receiver.received();
    let [request] = received.as_slice() else { panic!("one request") };
    let header = |name| request.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.expose());
    assert_eq!(header("webhook-id"), Some(format!("msg_{}", world.job.id()).as_str()));
    assert_eq!((header("webhook-signature"), header("authorization")), (None, Some("Bearer token")));
    assert_eq!(header("x-api-key"), Some("hunter2"));
    assert!(!request.body.contains("hunter2") && !format!("{request:?}").contains("hunter2"));
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body["type"], "job.succeeded");
    assert_eq!(body["data"]["job_id"], world.job.id().to_string());
    let url = format!("https://images.example.com/v1/jobs/{}/thumbnail", world.job.id());
    assert_eq!(body["data"]["results"]["thumbnail"]["url"], url);
}

/// Whether a wait is this long, or up to a tenth longer.
fn is_about(wait: Duration, seconds: u64) -> bool {
    (10 * seconds..=11 * seconds).contains(&(wait.as_secs() * 10))
}

/// How long until the next try, as the row says it.
fn wait(world: &World) -> Duration {
    let job = world.jobs.peek(world.job.id()).expect("there");
    let next = job.callback().and_then(|callback| callback.next_try_at).expect("it waits");
    (next - world.clock.now()).try_into().expect("ahead")
}

#[tokio::test]
async fn a_failed_try_comes_again_with_the_same_id_until_it_is_accepted() {
    let world = World::answering(vec![status(500), status(503), status(302), status(200)]).await;
    for expected in &BACKOFF[..3] {
        assert_eq!(world.deliver().await, Outcome::Done);
        assert!(is_about(wait(&world), *expected), "{:?}", wait(&world));
        world.clock.advance(wait(&world));
    }
    let delays = world.queue.delays();
    assert_eq!(delays.len(), 2, "half an hour is waited in the row alone");
    assert!(is_about(delays[0], 5) && is_about(delays[1], 300), "{delays:?}");
    assert_eq!(world.callback(), (CallbackState::Pending, 3, Some(302)));
    assert_eq!(world.deliver().await, Outcome::Done);
    assert_eq!(world.callback(), (CallbackState::Delivered, 4, Some(200)));
    let received = world.receiver.received();
    assert!(received.iter().all(|request| request.headers[1] == received[0].headers[1]), "one webhook-id");
    let job = world.jobs.peek(world.job.id()).expect("there");
    let statuses: Vec<_> =
        job.callback().expect("it has one").tries.iter().map(|noted| noted.status).collect();
    assert_eq!(statuses, [500, 503, 302, 200].map(Some));
}

#[tokio::test]
async fn a_try_is_written_down_before_it_is_made_so_that_failing_writes_do_not_multiply_it() {
    let world = World::answering(vec![status(500)]).await;
    let mut posts = 0;
    for day in 0..10 {
        // Reading the row and claiming the try succeed; noting its outcome fails, and so does the message after it.
        world.faults.fail_after(2, Moment::Before);
        world.deliver().await;
        let made = world.receiver.received().len();
        assert!(made <= posts + 1);
        posts = made;
        world.deliver().await;
        assert_eq!(
            world.receiver.received().len(),
            posts,
            "a copy of the message makes no other try on day {day}"
        );
        world.clock.advance(Duration::from_secs(12 * 3_600));
    }
    assert_eq!(posts, 10, "with waits that grow as if each had failed");
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_left_alone_for_a_while_and_others_are_not() {
    let world = World::answering(vec![Answer::None, status(200)]).await;
    assert_eq!(world.deliver().await, Outcome::Done);
    assert_eq!(wait(&world), Duration::from_secs(5));
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.deliver().await, Outcome::Done);
    assert_eq!(world.receiver.received().len(), 1, "put off");
    let put_off = *world.queue.delays().last().expect("sent again");
    assert!((5..30).contains(&put_off.as_secs()));
    let sent = world.queue.sent().len();
    world.deliver().await;
    assert_eq!(world.queue.sent().len(), sent, "a copy of the message that comes meanwhile makes no other");
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(world.deliver().await, Outcome::Done);
    assert_eq!(world.callback(), (CallbackState::Delivered, 2, Some(200)));
}

#[tokio::test]
async fn a_callback_ends_before_its_row_expires() {
    let world = World::answering(vec![status(500)]).await;
    for _ in 0..BACKOFF.len() {
        world.deliver().await;
        let job = world.jobs.peek(world.job.id()).expect("there");
        let callback = job.callback().expect("it has one");
        let Some(next) = callback.next_try_at else {
            assert_eq!(callback.state, CallbackState::Failed);
            assert!(callback.attempts < 5, "its row is kept for an hour");
            return;
        };
        assert!(next < job.expires_at());
        world.clock.advance((next - world.clock.now()).try_into().expect("ahead"));
    }
    panic!("it never ended");
}

#[tokio::test]
async fn a_message_delivered_twice_posts_once() {
    let world = World::answering(vec![status(200)]).await;
    world.deliver().await;
    assert_eq!(world.deliver().await, Outcome::Done);
    assert_eq!(world.receiver.received().len(), 1);
}

#[tokio::test]
async fn a_copy_that_comes_early_waits_for_the_next_try() {
    let world = World::answering(vec![status(500)]).await;
    world.deliver().await;
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.deliver().await, Outcome::Retry(Some(Duration::from_secs(3))));
    assert_eq!(world.receiver.received().len(), 1);
}

#[tokio::test]
async fn an_unreadable_message_is_kept_for_the_dead_letters() {
    let world = World::answering(vec![status(200)]).await;
    for body in ["", "{}", r#"{"type":"deliver_callback/2"}"#] {
        assert_eq!(world.courier.consume(body).await, Outcome::Retry(None));
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone() {
    let world = World::answering(vec![status(410)]).await;
    assert_eq!(world.deliver().await, Outcome::Done);
    assert_eq!(world.callback(), (CallbackState::Failed, 1, Some(410)));
    world.deliver().await;
    assert_eq!(world.receiver.received().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_never_accepts_is_given_up() {
    let world = World::kept_for(Duration::from_secs(30 * 24 * 3_600), vec![status(503)]).await;
    for expected in BACKOFF {
        world.deliver().await;
        assert!(is_about(wait(&world), expected), "{:?}", wait(&world));
        world.clock.advance(wait(&world));
    }
    assert_eq!(world.deliver().await, Outcome::Done);
    let tries = u32::try_from(BACKOFF.len()).expect("few") + 1;
    assert_eq!(world.callback(), (CallbackState::Failed, tries, Some(503)));
    assert_eq!(world.receiver.received().len(), BACKOFF.len() + 1);
}

#[tokio::test]
async fn the_tries_of_jobs_that_ended_together_are_spread_over_a_tenth_of_the_wait() {
    let mut waits = Vec::new();
    for milliseconds in 0..100 {
        let later = Duration::from_millis(milliseconds);
        let world = World::ending_after(later, build::TERMS.retention, vec![status(500)]).await;
        for _ in 0..2 {
            world.deliver().await;
            waits.push(wait(&world).as_secs());
            world.clock.advance(wait(&world));
        }
    }
    let second: Vec<_> = waits.into_iter().filter(|&wait| wait >= 300).collect();
    assert_eq!(second.len(), 100);
    for from in [300, 310, 320] {
        let count = second.iter().filter(|&&wait| (from..=from + 10).contains(&wait)).count();
        assert!(count > 15, "{count} of 100 wait {from} to {} s", from + 10);
    }
}
