//! The promises of callbacks: at least once, signed, the same id on every try, and an end.
#![allow(clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use http_api::Links;
use jobs::{
    job::{CallbackState, Job},
    notify::{BACKOFF, Notifier},
    ports::{Answer, Clock as _, WriteJobs as _},
    process::Outcome,
};
use notify::{Courier, describe};
use runtime::sqs::Consume as _;
use serde_json::Value;
use testing::{
    build,
    memory::{ManualClock, MemoryJobs, MemoryReceiver},
};

fn status(code: u16) -> Answer {
    Answer::Status { code, retry_after: None }
}

struct World {
    clock: ManualClock,
    jobs: MemoryJobs,
    receiver: MemoryReceiver,
    courier: Courier,
    job: Job,
}

impl World {
    async fn answering(answers: Vec<Answer>) -> Self {
        let (jobs, clock) = (MemoryJobs::default(), ManualClock::default());
        let receiver = MemoryReceiver::new(answers);
        let mut job = build::succeeded(clock.now());
        jobs.write(&mut job).await.expect("written");
        let courier = Courier::new(Notifier {
            jobs: Arc::new(jobs.clone()),
            writer: Arc::new(jobs.clone()),
            poster: Arc::new(receiver.clone()),
            clock: Arc::new(clock.clone()),
            describe: describe(Links::new("https://images.example.com/v1")),
        });
        Self { clock, jobs, receiver, courier, job }
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
async fn the_owner_gets_the_job_signed_with_absolute_links() {
    let world = World::answering(vec![status(204)]).await;
    assert_eq!(world.deliver().await, Outcome::Done);
    assert_eq!(world.callback(), (CallbackState::Delivered, 1, Some(204)));
    let received = world.receiver.received();
    let [request] = received.as_slice() else { panic!("one request") };
    let header = |name| request.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.expose());
    assert_eq!(header("webhook-id"), Some(format!("msg_{}", world.job.id()).as_str()));
    assert!(header("webhook-signature").is_some_and(|value| value.starts_with("v1,")));
    assert_eq!(header("authorization"), Some("Bearer token"));
    assert_eq!(header("x-api-key"), Some("hunter2"));
    assert!(!request.body.contains("hunter2") && !format!("{request:?}").contains("hunter2"));
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body["type"], "job.succeeded");
    assert_eq!(body["data"]["job_id"], world.job.id().to_string());
    let url = format!("https://images.example.com/v1/jobs/{}/thumbnail", world.job.id());
    assert_eq!(body["data"]["results"]["thumbnail"]["url"], url);
}

#[tokio::test]
async fn a_failed_try_comes_again_with_the_same_id_until_it_is_accepted() {
    let world = World::answering(vec![status(500), Answer::None, status(302), status(200)]).await;
    for wait in &BACKOFF[..3] {
        let wait = Duration::from_secs(*wait);
        assert_eq!(world.deliver().await, Outcome::Retry(Some(wait)));
        world.clock.advance(wait);
    }
    assert_eq!(world.callback(), (CallbackState::Pending, 3, Some(302)));
    assert_eq!(world.deliver().await, Outcome::Done);
    assert_eq!(world.callback(), (CallbackState::Delivered, 4, Some(200)));
    let received = world.receiver.received();
    assert!(received.iter().all(|request| request.headers[1] == received[0].headers[1]), "one webhook-id");
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
    let world = World::answering(vec![status(503)]).await;
    for _ in BACKOFF {
        let Outcome::Retry(Some(wait)) = world.deliver().await else { panic!("given up too early") };
        world.clock.advance(wait);
    }
    assert_eq!(world.deliver().await, Outcome::Done);
    let tries = u32::try_from(BACKOFF.len()).expect("few") + 1;
    assert_eq!(world.callback(), (CallbackState::Failed, tries, Some(503)));
}
