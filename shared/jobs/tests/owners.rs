//! The promises of keys: an owner's jobs are its own, and its quota holds.
#![allow(clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use jobs::{
    access::{Caller, Key, Quota, Scope, Usage},
    browse::Browser,
    error::{Error, Failure, Reason},
    job::Job,
    limits::Limits,
    ports::{Clock as _, ReadJobs as _, WriteJobs as _},
    quota::Meter,
    submit::{Request, Submitter},
};
use testing::memory::{ManualClock, MemoryJobs, MemoryObjects, MemoryQueue, MemoryUrlCheck};

const IMAGE: &[u8] = b"0123456789";

struct World {
    jobs: MemoryJobs,
    clock: ManualClock,
    submitter: Submitter,
    browser: Browser,
}

impl World {
    fn new() -> Self {
        let (jobs, clock) = (MemoryJobs::default(), ManualClock::default());
        let objects = MemoryObjects::default();
        let submitter = Submitter {
            jobs: Arc::new(jobs.clone()),
            writer: Arc::new(jobs.clone()),
            once: Arc::new(jobs.clone()),
            objects: Arc::new(objects.clone()),
            presigner: Arc::new(objects),
            queue: Arc::new(MemoryQueue::default()),
            meter: Meter { usage: Arc::new(jobs.clone()), clock: Arc::new(clock.clone()) },
            urls: Arc::new(MemoryUrlCheck),
            clock: Arc::new(clock.clone()),
            catalogue: Arc::new([&THUMBNAIL]),
            identify: |_| Ok("image/png"),
            media_types: Arc::new([&["image/png"]]),
            limits: Limits::default(),
        };
        let browser = Browser {
            jobs: Arc::new(jobs.clone()),
            lists: Arc::new(jobs.clone()),
            clock: Arc::new(clock.clone()),
        };
        Self { jobs, clock, submitter, browser }
    }

    async fn submit(&self, caller: &Caller) -> Result<Job, Error> {
        let request = Request { caller: caller.clone(), ..Request::default() };
        self.submitter.submit_image(Bytes::from_static(IMAGE), request).await
    }

    async fn used(&self, caller: &Caller) -> Usage {
        let days = self.submitter.meter.report(caller.owner().expect("a key")).await.expect("a report");
        days.last().map(|(_, used)| *used).unwrap_or_default()
    }
}

static THUMBNAIL: jobs::algorithm::Specification = jobs::algorithm::Specification {
    name: "thumbnail",
    version: "1",
    summary: "Shrinks.",
    references: &[],
    ordered: &[],
    dependent: None,
    list: None,
    parameters: &[],
};

fn caller(owner: &str, scopes: &[Scope], quota: Quota) -> Caller {
    let scopes: BTreeSet<_> = scopes.iter().copied().collect();
    let now = ManualClock::default().now();
    Caller::Holder(Arc::new(Key::new(owner.parse().expect("a name"), scopes, quota, now, None).0))
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>) -> (Reason, &'static str) {
    match outcome.expect_err("must be refused") {
        Error::Refused(refusal) => (refusal.reason, refusal.code),
        Error::Port(error) => panic!("not a refusal: {error}"),
    }
}

#[tokio::test]
async fn a_job_is_there_for_its_owner_and_for_admins_and_for_nobody_else() {
    let world = World::new();
    let all = [Scope::Submit, Scope::Read, Scope::Delete];
    let mine = caller("a", &all, Quota::default());
    let same_owner = caller("a", &all, Quota::default());
    let theirs = caller("b", &all, Quota::default());
    let admin = caller("root", &[Scope::Admin], Quota::default());
    let job = world.submit(&mine).await.expect("accepted");
    let other = world.submit(&theirs).await.expect("accepted");
    let nobody_s = world.submit(&Caller::Anyone).await.expect("accepted");

    let mut ended = world.jobs.get(job.id()).await.expect("read").expect("there");
    ended.give_up(Failure::new("corrupt_image", "The image is damaged."), world.clock.now()).expect("free");
    world.jobs.write(&mut ended).await.expect("written");
    for id in [other.id(), nobody_s.id()] {
        assert_eq!(refused(world.browser.job(&mine, id).await).1, "job_not_found");
        assert_eq!(refused(world.submitter.redeliver(id, &mine).await).1, "job_not_found");
        assert_eq!(refused(world.submitter.delete(id, &mine).await).1, "job_not_found");
        world.browser.job(&admin, id).await.expect("an admin sees it");
    }
    for caller in [&mine, &same_owner, &admin, &Caller::Anyone] {
        world.browser.job(caller, job.id()).await.expect("seen");
    }
    for (caller, count) in [(&mine, 1), (&same_owner, 1), (&theirs, 1), (&admin, 3), (&Caller::Anyone, 3)] {
        assert_eq!(world.browser.page(caller, None, None, 10).await.expect("a page").items.len(), count);
    }
    world.submitter.delete(job.id(), &same_owner).await.expect("deleted");
}

#[tokio::test]
async fn an_idempotency_key_is_its_owner_s() {
    let world = World::new();
    let request = |caller: &Caller| Request {
        caller: caller.clone(),
        idempotency_key: Some("k".to_owned()),
        ..Request::default()
    };
    let (mine, theirs) =
        (caller("a", &[Scope::Submit], Quota::default()), caller("b", &[Scope::Submit], Quota::default()));
    let url = "https://example.com/a.png";
    let first = world.submitter.submit_url(url, request(&mine)).await.expect("accepted");
    let again = world.submitter.submit_url(url, request(&mine)).await.expect("served before");
    let other = world.submitter.submit_url(url, request(&theirs)).await.expect("accepted");
    assert_eq!(first.id(), again.id());
    assert_ne!(first.id(), other.id());
    assert_eq!(world.used(&mine).await, Usage { jobs: 1, bytes: 0 }, "the same request counts once");
}

#[tokio::test]
async fn a_quota_of_a_day_holds_for_all_keys_of_an_owner_until_midnight() {
    let world = World::new();
    let quota = Quota { jobs_a_day: Some(2), ..Quota::default() };
    let (one, two) = (caller("a", &[Scope::Submit], quota), caller("a", &[Scope::Submit], quota));
    world.submit(&one).await.expect("accepted");
    world.submit(&two).await.expect("accepted");
    assert_eq!(refused(world.submit(&one).await), (Reason::OverQuota, "quota_used_up"));
    assert_eq!(world.used(&one).await, Usage { jobs: 2, bytes: 20 }, "what was refused does not count");
    assert_eq!(world.jobs.len(), 2);
    let left = world.submitter.meter.left(&one).await.expect("read").expect("a quota");
    assert_eq!(left.parts().collect::<Vec<_>>(), [("jobs", 2, 0)]);
    assert!(left.resets_in <= Duration::from_secs(86_400));
    world.submit(&caller("b", &[Scope::Submit], quota)).await.expect("another owner has a quota of its own");
    world.clock.advance(left.resets_in);
    world.submit(&one).await.expect("a new day");
}

#[tokio::test]
async fn bytes_count_as_they_are_sent_or_announced() {
    let world = World::new();
    let quota = Quota { bytes_a_day: Some(25), ..Quota::default() };
    let caller = caller("a", &[Scope::Submit], quota);
    let upload = async |bytes| {
        let request = Request { caller: caller.clone(), ..Request::default() };
        world.submitter.grant_upload("image/png", bytes, None, request).await
    };
    world.submit(&caller).await.expect("accepted");
    assert_eq!(refused(upload(16).await), (Reason::OverQuota, "quota_used_up"));
    upload(15).await.expect("granted");
    assert_eq!(refused(world.submit(&caller).await), (Reason::OverQuota, "quota_used_up"));
    assert_eq!(world.used(&caller).await, Usage { jobs: 2, bytes: 25 });
}

#[tokio::test]
async fn jobs_at_once_are_those_that_have_not_ended() {
    let world = World::new();
    let quota = Quota { jobs_at_once: Some(1), ..Quota::default() };
    let caller = caller("a", &[Scope::Submit], quota);
    let mut job = world.submit(&caller).await.expect("accepted");
    assert_eq!(refused(world.submit(&caller).await), (Reason::OverQuota, "quota_used_up"));
    job.give_up(Failure::new("corrupt_image", "The image is damaged."), world.clock.now()).expect("free");
    world.jobs.write(&mut job).await.expect("written");
    world.submit(&caller).await.expect("one has ended");
}

#[tokio::test]
async fn what_has_expired_is_not_there_although_its_row_still_is() {
    let world = World::new();
    let caller = caller("a", &[Scope::Submit, Scope::Read, Scope::Delete], Quota::default());
    let job = world.submit(&caller).await.expect("accepted");
    world.clock.advance(Limits::default().retention - Duration::from_secs(1));
    world.browser.job(&caller, job.id()).await.expect("still there");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(refused(world.browser.job(&caller, job.id()).await).1, "job_not_found");
    assert_eq!(refused(world.submitter.delete(job.id(), &caller).await).1, "job_not_found");
    assert!(world.browser.page(&caller, None, None, 10).await.expect("a page").items.is_empty());
    assert_eq!(world.jobs.len(), 1);
}
