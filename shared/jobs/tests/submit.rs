//! The promises of accepting: an accepted job is stored, written and queued in that order, and an impossible request is
//! refused before anything is stored.
#![allow(clippy::expect_used, clippy::panic)]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jobs::{
    access::Caller,
    algorithm::{Kind, Parameter, Parameters, Specification},
    callback_headers::CallbackHeaders,
    error::{Error, Reason, Refusal},
    job::{Job, Status},
    key::ObjectKey,
    limits::Limits,
    message::Message,
    ports::Clock as _,
    quota::Meter,
    recover::{Recoverer, Report},
    secret::Secret,
    submit::{Request, Submitter},
};
use testing::{
    faults::{Faults, Moment},
    memory::{ManualClock, MemoryJobs, MemoryObjects, MemoryQueue, MemoryUrlCheck, recoverer},
};

static THUMBNAIL: Specification = Specification {
    name: "thumbnail",
    version: "1",
    summary: "Shrinks.",
    references: &[],
    ordered: &[],
    dependent: None,
    list: None,
    parameters: &[Parameter {
        name: "width",
        summary: "How wide.",
        unit: Some("px"),
        kind: Kind::Integer { min: 1, max: 9, default: Some(5) },
    }],
};

struct World {
    jobs: MemoryJobs,
    objects: MemoryObjects,
    queue: MemoryQueue,
    clock: ManualClock,
    faults: Faults,
    submitter: Submitter,
}

impl World {
    fn new() -> Self {
        let faults = Faults::default();
        let jobs = MemoryJobs::new(faults.clone());
        let objects = MemoryObjects::new(faults.clone());
        let queue = MemoryQueue::new(faults.clone());
        let clock = ManualClock::default();
        let submitter = Submitter {
            jobs: Arc::new(jobs.clone()),
            writer: Arc::new(jobs.clone()),
            once: Arc::new(jobs.clone()),
            objects: Arc::new(objects.clone()),
            presigner: Arc::new(objects.clone()),
            queue: Arc::new(queue.clone()),
            meter: Meter { usage: Arc::new(jobs.clone()), clock: Arc::new(clock.clone()) },
            urls: Arc::new(MemoryUrlCheck),
            clock: Arc::new(clock.clone()),
            catalogue: Arc::new([&THUMBNAIL]),
            identify: |bytes| {
                let is_image = bytes.starts_with(b"image");
                is_image
                    .then_some("image/png")
                    .ok_or_else(|| Refusal::new(Reason::UnsupportedType, "unknown_format", "It is no image."))
            },
            media_types: Arc::new([&["image/png", "image/x-png"], &["image/tiff"]]),
            limits: Limits { inline_bytes: 10, upload_bytes: 100, ..Limits::default() },
        };
        Self { jobs, objects, queue, clock, faults, submitter }
    }

    async fn submit(&self, image: &'static [u8], request: Request) -> Result<Job, Error> {
        self.submitter.submit_image(Bytes::from_static(image), request).await
    }

    fn recoverer(&self) -> Recoverer {
        recoverer(&self.jobs, &self.objects, &self.queue, &self.clock)
    }

    fn is_untouched(&self) -> bool {
        self.jobs.is_empty() && self.objects.all().is_empty() && self.queue.sent().is_empty()
    }
}

fn code_of(outcome: Result<Job, Error>) -> &'static str {
    match outcome.expect_err("must be refused") {
        Error::Refused(refusal) => refusal.code,
        Error::Port(error) => panic!("not a refusal: {error}"),
    }
}

fn headers(headers: &[(&str, &str)]) -> CallbackHeaders {
    let pairs = headers.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())));
    CallbackHeaders(pairs.collect())
}

fn callback(url: &str, token: &str) -> Request {
    let callback_token = Some(Secret::new(token.to_owned()));
    Request { callback_url: Some(url.to_owned()), callback_token, ..Request::default() }
}

#[tokio::test]
async fn an_accepted_image_is_stored_written_and_queued() {
    let world = World::new();
    let job = world.submit(b"image", Request::default()).await.expect("accepted");
    assert_eq!((job.status(), job.revision()), (Status::Queued, 1));
    assert_eq!(job.facts().bytes, Some(5));
    assert_eq!(job.algorithms()[0].parameters.0["width"], 5, "the default algorithm with its defaults");
    assert_eq!(world.jobs.peek(job.id()), Some(job.clone()));
    assert_eq!(
        world.objects.all().into_keys().collect::<Vec<_>>(),
        [ObjectKey::Source(job.id()).to_string()]
    );
    assert_eq!(world.queue.sent(), [Message::ProcessJob { job_id: job.id() }]);
}

#[tokio::test]
async fn a_failing_service_leaves_no_message_without_a_job_and_no_job_without_an_image() {
    for call in 0..2 {
        let world = World::new();
        world.faults.fail_after(call, Moment::Before);
        let outcome = world.submit(b"image", Request::default()).await;
        assert!(matches!(outcome, Err(Error::Port(_))), "call {call} was failed");
        assert!(world.jobs.len() <= world.objects.all().len());
        assert!(world.queue.sent().len() <= world.jobs.len());
    }
}

#[tokio::test]
async fn a_job_whose_message_was_not_sent_is_accepted_and_starts_later() {
    let world = World::new();
    world.faults.fail_after(2, Moment::Before);
    let job = world.submit(b"image", Request::default()).await.expect("the row is enough");
    assert_eq!(world.queue.sent(), []);
    let due = job.due().expect("it must start");
    world.clock.advance((due - world.clock.now()).try_into().expect("ahead"));
    let report = world.recoverer().recover(job.id()).await;
    assert_eq!(report, Report { queued: 1, ..Report::default() });
    assert_eq!(world.queue.sent(), [Message::ProcessJob { job_id: job.id() }]);
}

fn keyed(key: &str, width: u8) -> Request {
    let width = serde_json::json!({"width": width}).as_object().cloned().expect("an object");
    Request {
        algorithms: vec![("thumbnail".to_owned(), Parameters(width.into_iter().collect()))],
        idempotency_key: Some(key.to_owned()),
        ..Request::default()
    }
}

#[tokio::test]
async fn a_request_that_is_sent_again_with_its_key_is_served_once() {
    let world = World::new();
    let first = world.submit(b"image", keyed("k", 5)).await.expect("accepted");
    let again = world.submit(b"image", keyed("k", 5)).await.expect("served before");
    assert_eq!(again, first);
    assert_eq!((world.jobs.len(), world.objects.all().len()), (1, 1));
    assert_eq!(code_of(world.submit(b"image", keyed("k", 6)).await), "idempotency_key_reused");
    assert_eq!(code_of(world.submit(b"image2", keyed("k", 5)).await), "idempotency_key_reused");
    assert_eq!(code_of(world.submit(b"image", keyed("a b", 5)).await), "invalid_idempotency_key");
    let other = world.submit(b"image", keyed("l", 5)).await.expect("another request");
    assert_ne!(other.id(), first.id());
    world.submitter.delete(first.id(), &Caller::Anyone).await.expect("deleted");
    assert_eq!(code_of(world.submit(b"image", keyed("k", 5)).await), "job_not_found");
}

#[tokio::test]
async fn a_request_whose_first_try_died_anywhere_is_served_once_when_it_is_sent_again() {
    for moment in [Moment::Before, Moment::After] {
        for call in 0..4 {
            let world = World::new();
            world.faults.fail_after(call, moment);
            // The client gets no answer to this try.
            let _ = world.submit(b"image", keyed("k", 5)).await;
            let job = world.submit(b"image", keyed("k", 5)).await.expect("accepted");
            assert_eq!(world.jobs.len(), 1, "failing {moment:?} call {call}");
            assert!(world.queue.sent().contains(&Message::ProcessJob { job_id: job.id() }));
        }
    }
}

#[tokio::test]
async fn an_upload_that_is_asked_for_again_with_its_key_is_the_same_one() {
    let world = World::new();
    let grant = async |sha256: Option<&str>| {
        let request = Request { idempotency_key: Some("k".to_owned()), ..Request::default() };
        world.submitter.grant_upload("image/png", 5, sha256, request).await
    };
    let first = grant(None).await.expect("granted");
    world.clock.advance(Duration::from_secs(60));
    let again = grant(None).await.expect("granted before");
    assert_eq!((again.job.id(), again.expires_at), (first.job.id(), first.expires_at));
    let digest = "00".repeat(32);
    let other = grant(Some(&digest)).await.map(|granted| granted.job);
    assert_eq!(code_of(other), "idempotency_key_reused");
    for text in ["", "00", &digest[1..], &"zz".repeat(32), &"0".repeat(66)] {
        let refused = world.submitter.grant_upload("image/png", 5, Some(text), Request::default()).await;
        assert_eq!(code_of(refused.map(|granted| granted.job)), "invalid_sha256", "{text}");
    }
}

#[tokio::test]
async fn a_deadline_is_kept_within_its_bounds_and_ends_the_job() {
    let world = World::new();
    let within = |deadline| Request { deadline: Some(deadline), ..Request::default() };
    for deadline in [0, 9, 86_401] {
        assert_eq!(code_of(world.submit(b"image", within(deadline)).await), "invalid_deadline");
    }
    let job = world.submit(b"image", within(10)).await.expect("accepted");
    world.clock.advance(Duration::from_secs(10));
    let report = world.recoverer().recover(job.id()).await;
    assert_eq!(report, Report { ended: 1, ..Report::default() });
    let job = world.jobs.peek(job.id()).expect("there");
    assert_eq!(job.error().map(|error| error.code.as_ref()), Some("deadline_passed"));
}

#[tokio::test]
async fn a_callback_is_sent_again_when_it_is_asked_for() {
    let world = World::new();
    let job = world.submit(b"image", callback("https://example.com/hook", "token")).await.expect("accepted");
    assert_eq!(code_of(world.submitter.redeliver(job.id(), &Caller::Anyone).await), "no_callback");
    world.clock.advance(Duration::from_secs(24 * 3_600));
    world.recoverer().recover(job.id()).await;
    let told = |world: &World| {
        world.queue.sent().iter().filter(|sent| matches!(sent, Message::DeliverCallback { .. })).count()
    };
    assert_eq!(told(&world), 1, "its deadline has passed");
    world.submitter.redeliver(job.id(), &Caller::Anyone).await.expect("it has ended");
    assert_eq!(told(&world), 2);
    let gone = jobs::id::JobId::new(world.clock.now());
    assert_eq!(code_of(world.submitter.redeliver(gone, &Caller::Anyone).await), "job_not_found");
}

#[tokio::test]
async fn a_request_that_cannot_be_met_is_refused_before_anything_is_stored() {
    let world = World::new();
    let asking = |name: &str| Request {
        algorithms: vec![(name.to_owned(), Parameters::default())],
        ..Request::default()
    };
    let hook = "https://example.com/hook";
    for (image, request, code) in [
        (&b""[..], Request::default(), "empty_image"),
        (b"something", Request::default(), "unknown_format"),
        (b"image that is too large", Request::default(), "image_too_large"),
        (b"image", asking("teleportation"), "unknown_algorithm"),
        (b"image", callback("nonsense", "token"), "invalid_url"),
        (b"image", callback("http://10.0.0.1/", "token"), "private_address"),
        (b"image", callback(hook, ""), "invalid_callback_token"),
        (b"image", callback(hook, "two\nlines"), "invalid_callback_token"),
        (b"image", callback(hook, "whsec_"), "invalid_callback_token"),
        (b"image", callback(hook, "whsec_%%%"), "invalid_callback_token"),
        (b"image", callback(hook, &format!("whsec_{}", "A".repeat(28))), "invalid_callback_token"),
        (b"image", callback(hook, &format!("whsec_{}", "A".repeat(88))), "invalid_callback_token"),
        (b"image", callback(hook, &"x".repeat(513)), "invalid_callback_token"),
        (b"image", callback(&format!("{hook}?{}", "x".repeat(2_048)), "token"), "invalid_url"),
    ] {
        assert_eq!(code_of(world.submit(image, request).await), code);
    }
    let alone = Request { callback_token: Some(Secret::new("token".to_owned())), ..Request::default() };
    assert_eq!(code_of(world.submit(b"image", alone).await), "missing_callback_url");
    let alone = Request { callback_headers: headers(&[("x-api-key", "k")]), ..Request::default() };
    assert_eq!(code_of(world.submit(b"image", alone).await), "missing_callback_url");
    let twice = headers(&[("Authorization", "Basic dTpw")]);
    let twice = Request { callback_headers: twice, ..callback(hook, "token") };
    assert_eq!(code_of(world.submit(b"image", twice).await), "invalid_callback_headers");
    assert_eq!(code_of(world.submitter.submit_url("nonsense", Request::default()).await), "invalid_url");
    assert_eq!(
        code_of(world.submitter.submit_url("http://10.0.0.1/", Request::default()).await),
        "private_address"
    );
    assert!(world.is_untouched());
    for key in [format!("whsec_{}", "A".repeat(32)), format!("whsec_{}==", "A".repeat(86))] {
        world.submit(b"image", callback(hook, &key)).await.expect("a proper token");
    }
}

#[tokio::test]
async fn a_callback_keeps_its_headers_by_their_names_in_lower_case() {
    let world = World::new();
    let asked = headers(&[("X-Api-Key", "k"), ("Authorization", "Basic dTpw")]);
    let url = Some("https://example.com/hook".to_owned());
    let request = Request { callback_url: url, callback_headers: asked, ..Request::default() };
    let job = world.submit(b"image", request).await.expect("accepted");
    let kept = &job.callback().expect("it has one").headers;
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["authorization", "x-api-key"]);
    assert_eq!(kept["x-api-key"].expose(), "k");
    assert_eq!(world.jobs.peek(job.id()), Some(job), "as the row has it");
}

#[tokio::test]
async fn an_upload_waits_without_a_message() {
    let world = World::new();
    let granted =
        world.submitter.grant_upload("image/tiff", 100, None, Request::default()).await.expect("granted");
    assert_eq!(granted.job.status(), Status::AwaitingUpload);
    assert!(world.queue.sent().is_empty());
    let granted = world.submitter.grant_upload("IMAGE/PNG; charset=x", 1, None, Request::default()).await;
    let granted = granted.expect("the same type in other clothes");
    assert_eq!(granted.job.facts().content_type.as_deref(), Some("image/png"));
    for content_type in ["image/x-png", "application/octet-stream"] {
        let granted = world.submitter.grant_upload(content_type, 1, None, Request::default()).await;
        granted.expect("another name of what is read, and no name at all");
    }
    for (content_type, bytes, code) in [
        ("image/tiff", 101, "image_too_large"),
        ("image/tiff", 0, "empty_image"),
        ("text/html", 1, "unsupported_content_type"),
        ("image/heic", 1, "unsupported_content_type"),
        ("image/*", 1, "unsupported_content_type"),
        ("", 1, "unsupported_content_type"),
        ("image/", 1, "unsupported_content_type"),
        ("image/x\r\ny", 1, "unsupported_content_type"),
    ] {
        let outcome = world.submitter.grant_upload(content_type, bytes, None, Request::default()).await;
        assert_eq!(code_of(outcome.map(|granted| granted.job)), code);
    }
}

#[tokio::test]
async fn a_removal_leaves_nothing_wherever_it_breaks_off() {
    for moment in [Moment::Before, Moment::After] {
        for call in 0..3 {
            let world = World::new();
            let job = world.submit(b"image", Request::default()).await.expect("accepted");
            world.faults.fail_after(call, moment);
            world.submitter.delete(job.id(), &Caller::Anyone).await.expect_err("one call fails");
            if let Err(error) = world.submitter.delete(job.id(), &Caller::Anyone).await {
                assert!(matches!(error, Error::Refused(_)), "it is gone already: {error}");
            }
            let hidden = world.jobs.peek(job.id()).expect("until nobody can write to its objects");
            assert!(hidden.is_deleted());
            world.clock.advance((hidden.due().expect("owed") - world.clock.now()).try_into().expect("ahead"));
            world.recoverer().recover(job.id()).await;
            assert!(
                world.jobs.is_empty() && world.objects.all().is_empty(),
                "failing {moment:?} call {call}"
            );
        }
    }
}
