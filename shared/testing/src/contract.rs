//! The contracts that every implementation of a port must keep. The suites may run against a store that others use at
//! the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use jobs::{
    access::{Key, KeyHash, Owner, Quota, Scope, Usage},
    error::{Failure, WriteError},
    id::{JobId, SHARDS},
    job::{Draft, Facts, Job, Status, Terms},
    key::{ModelKey, ObjectKey},
    message::Message,
    once::{Earlier, Fingerprint, RequestKey},
    ports::{
        Attempts, CountUsage, DeferMessages, DueJob, DueQuery, ListDue, ListJobs, ListQuery, ModelFile,
        ModelRead, PresignUploads, Read, ReadJobs, ReadKeys, ReadMethod, ReadModels, ReadObjects,
        ReceiveMessages, SendMessages, UploadTerms, WriteJobs, WriteKeys, WriteObjects, WriteOnce,
    },
};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use url::Url;

use crate::build;

const LEASE: Duration = Duration::from_secs(60);

/// How long an index may lag behind.
const SETTLING: Duration = Duration::from_secs(10);

/// [`ReadJobs`], [`WriteJobs`]: a job is read as it was written, and of two writers one wins.
///
/// # Panics
/// Where the store does otherwise.
pub async fn jobs_are_written_on_condition(store: &(impl ReadJobs + WriteJobs)) {
    let now = OffsetDateTime::now_utc();
    let mut job = build::queued(now);
    assert_eq!(store.get(job.id()).await.unwrap(), None, "not there before it is written");

    store.write(&mut job).await.unwrap();
    assert_eq!(job.revision(), 1);
    assert_eq!(store.get(job.id()).await.unwrap().as_ref(), Some(&job), "comes back as it was written");

    let mut twin = build::queued(now);
    store.write(&mut twin).await.unwrap();
    assert_eq!(store.get(job.id()).await.unwrap().as_ref(), Some(&job), "another job changes nothing");

    let mut first = store.get(job.id()).await.unwrap().unwrap();
    let mut second = first.clone();
    let claim = first.claim(now, LEASE).unwrap();
    store.write(&mut first).await.unwrap();
    second.claim(now, LEASE).unwrap();
    assert!(matches!(store.write(&mut second).await, Err(WriteError::Conflict)), "the second claim loses");
    assert_eq!(store.get(job.id()).await.unwrap().as_ref(), Some(&first));

    first.succeed(claim, Facts::default(), BTreeMap::new(), now).unwrap();
    store.write(&mut first).await.unwrap();
    assert_eq!(store.get(job.id()).await.unwrap().unwrap().status(), Status::Succeeded);

    let mut anew = build::queued(now);
    let (mut repeated, mut other) = (anew.clone(), anew.clone());
    other.give_up(Failure::new("corrupt_image", "The image is damaged."), now).unwrap();
    store.write(&mut anew).await.unwrap();
    store.write(&mut repeated).await.unwrap();
    assert_eq!(repeated, anew, "the same write again, its answer lost, is no conflict");
    assert!(matches!(store.write(&mut other).await, Err(WriteError::Conflict)), "an id is taken once");

    store.delete(job.id()).await.unwrap();
    assert_eq!(store.get(job.id()).await.unwrap(), None);
    store.delete(job.id()).await.unwrap();
    assert!(
        matches!(store.write(&mut first).await, Err(WriteError::Conflict)),
        "a deleted job stays deleted"
    );
    store.delete(twin.id()).await.unwrap();
    store.delete(anew.id()).await.unwrap();
}

/// A job as lists may show it: without its callback's secrets, which need not be in an index.
fn without_secrets(job: &Job) -> Job {
    let mut json = serde_json::to_value(job).unwrap();
    if let Some(callback) = json["callback"].as_object_mut() {
        callback["token"] = Value::Null;
        for header in callback.get_mut("headers").and_then(Value::as_object_mut).into_iter().flatten() {
            *header.1 = Value::from("");
        }
    }
    serde_json::from_value(json).unwrap()
}

/// [`ListJobs`]: newest first, across all shards, by status, in pages without gap or overlap.
///
/// # Panics
/// Where the store does otherwise.
pub async fn jobs_are_listed_newest_first(store: &(impl ListJobs + WriteJobs)) {
    const COUNT: usize = 25;
    let now = OffsetDateTime::now_utc();
    // These jobs' ids are from long ago. All other jobs are newer, so pages that start here hold only these.
    let offset = now.unix_timestamp_nanos().unsigned_abs() % 1_000_000_000_000;
    let start =
        OffsetDateTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(offset).expect("below 10^12"));
    let mut expected = Vec::new();
    for index in 0..COUNT {
        let id = JobId::new(start + Duration::from_millis(index as u64));
        // Only the id is old: nothing is overdue that a service beside the test would see to.
        let mut job = Job::queued(id, build::draft(), now, build::TERMS);
        if index % 5 == 0 {
            job.give_up(Failure::new("corrupt_image", "The image is damaged."), now).unwrap();
        }
        store.write(&mut job).await.unwrap();
        expected.insert(0, without_secrets(&job));
    }
    let end = JobId::new(start + Duration::from_millis(COUNT as u64 + 1));
    let all = ListQuery { owner: None, status: None, before: Some(end), limit: COUNT };
    let deadline = OffsetDateTime::now_utc() + SETTLING;
    let list = async |query: ListQuery| {
        let jobs = store.list(query).await.unwrap();
        jobs.iter().map(without_secrets).collect::<Vec<_>>()
    };
    while list(all.clone()).await != expected {
        assert!(OffsetDateTime::now_utc() < deadline, "the index never showed every job, newest first");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let mut paged = Vec::new();
    let mut before = end;
    while paged.len() < COUNT {
        let limit = 7.min(COUNT - paged.len());
        let page = list(ListQuery { owner: None, status: None, before: Some(before), limit }).await;
        assert_eq!(page.len(), limit);
        before = page[limit - 1].id();
        paged.extend(page);
    }
    assert_eq!(paged, expected, "pages join without gap or overlap");

    let failed: Vec<_> = expected.iter().filter(|job| job.status() == Status::Failed).cloned().collect();
    let query =
        ListQuery { owner: None, status: Some(Status::Failed), before: Some(end), limit: failed.len() };
    assert_eq!(list(query).await, failed);

    let moved = &mut expected[0];
    let claim = moved.claim(now, LEASE).unwrap();
    moved.succeed(claim, Facts::default(), BTreeMap::new(), now).unwrap();
    store.write(moved).await.unwrap();
    let queued = ListQuery { owner: None, status: Some(Status::Queued), before: Some(end), limit: 1 };
    while list(queued.clone()).await.iter().any(|job| job.id() == moved.id()) {
        assert!(OffsetDateTime::now_utc() < deadline + SETTLING, "a job is listed under the status it left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for job in &expected {
        store.delete(job.id()).await.unwrap();
    }
}

/// [`ListDue`]: a due job is found in its shard, the longest overdue first, until nothing is owed to it; a deleted job
/// is in no list.
///
/// # Panics
/// Where the store does otherwise.
pub async fn due_jobs_are_found_until_nothing_is_owed(
    store: &(impl ListDue + ListJobs + ReadJobs + WriteJobs),
) {
    // These jobs were made long ago, so that no list begins with them, and are due in the far future, so that no
    // recovery finds them.
    const FAR: Duration = Duration::from_secs(200 * 365 * 24 * 3_600);
    let start =
        OffsetDateTime::UNIX_EPOCH + Duration::from_millis(OffsetDateTime::now_utc().microsecond().into());
    let terms = Terms { retention: 2 * FAR, deadline: 2 * FAR, patience: FAR };
    let mut made = Vec::new();
    for index in 0..40_u32 {
        let now = start + index * Duration::from_secs(60);
        let mut job = Job::queued(JobId::new(now), build::draft(), now, terms);
        store.write(&mut job).await.unwrap();
        made.push(job);
    }
    let ids: Vec<_> = made.iter().map(Job::id).collect();
    let by = made.last().and_then(Job::due).unwrap();
    let all = async |limit: usize| {
        let mut found: Vec<DueJob> = Vec::new();
        for shard in 0..SHARDS {
            let mut after = None;
            loop {
                let page = store.due(DueQuery { shard, by, after, limit }).await.unwrap();
                assert!(page.is_sorted_by_key(|job| job.due), "the longest overdue first");
                assert!(page.iter().all(|job| job.id.shard() == shard), "in its shard");
                assert!(page.len() <= limit);
                after = page.last().copied();
                found.extend(&page);
                if page.len() < limit {
                    break;
                }
            }
        }
        found.retain(|found| ids.contains(&found.id));
        found.sort_by_key(|found| found.due);
        found
    };
    let expected: Vec<_> = made.iter().map(|job| DueJob { id: job.id(), due: job.due().unwrap() }).collect();
    let deadline = OffsetDateTime::now_utc() + SETTLING;
    while all(3).await != expected {
        assert!(OffsetDateTime::now_utc() < deadline, "the index never showed every job that is due");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(all(100).await, expected, "pages join without gap or overlap");
    let shard = expected[0].id.shard();
    let earlier = DueQuery { shard, by: expected[0].due - Duration::from_millis(1), after: None, limit: 100 };
    let early = store.due(earlier).await.unwrap();
    assert!(early.iter().all(|job| job.id != expected[0].id), "not before its time");

    let [ended, deleted] = &mut made[..2] else { panic!("there are more") };
    ended.give_up(Failure::new("corrupt_image", "The image is damaged."), start).unwrap();
    ended.abandon_callback(start).unwrap();
    store.write(ended).await.unwrap();
    let later = start + FAR + Duration::from_secs(30);
    deleted.delete(start, later);
    store.write(deleted).await.unwrap();
    let (ended, deleted) = (ended.id(), deleted.clone());
    assert_eq!(store.get(deleted.id()).await.unwrap().as_ref(), Some(&deleted));
    while {
        let found = all(100).await;
        found.iter().any(|job| job.id == ended) || found[0] != DueJob { id: deleted.id(), due: later }
    } {
        assert!(
            OffsetDateTime::now_utc() < deadline + SETTLING,
            "the index never learnt of what is owed no more"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let newer = JobId::new(start + 41 * Duration::from_secs(60));
    for status in [None, Some(Status::Failed), Some(Status::Queued)] {
        let listed =
            store.list(ListQuery { owner: None, status, before: Some(newer), limit: 100 }).await.unwrap();
        assert!(listed.iter().all(|job| job.id() != deleted.id()), "a deleted job is in no list");
    }
    for job in &made {
        store.delete(job.id()).await.unwrap();
    }
}

/// [`WriteOnce`]: of two requests with one key, one is written, whichever comes first.
///
/// # Panics
/// Where the store does otherwise.
pub async fn requests_with_one_key_are_served_once(store: &(impl WriteOnce + ReadJobs + WriteJobs)) {
    let now = OffsetDateTime::now_utc();
    let key = |name: &str, request: &str, until| {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(request.as_bytes());
        RequestKey::new(&format!("{name}-{}", now.unix_timestamp_nanos()), None, &fingerprint, until).unwrap()
    };
    let until = now + Duration::from_secs(3_600);
    let first = key("a", "one", until);
    assert_eq!(store.earlier(&first).await.unwrap(), None);
    let (mut job, mut late) = (build::queued(now), build::queued(now));
    assert_eq!(store.write_once(&mut job, &first).await.unwrap(), None);
    assert_eq!(store.get(job.id()).await.unwrap(), Some(job.clone()));
    let earlier = Earlier { job: job.id(), request: first.request().to_owned() };
    assert_eq!(store.earlier(&first).await.unwrap().as_ref(), Some(&earlier));
    for again in [&first, &key("a", "another", until)] {
        assert_eq!(store.write_once(&mut late, again).await.unwrap().as_ref(), Some(&earlier));
        assert_eq!(store.get(late.id()).await.unwrap(), None, "neither is written");
    }
    assert_eq!(store.write_once(&mut late, &key("b", "one", until)).await.unwrap(), None, "another key");
    let taken =
        store.write_once(&mut build::queued(now), &key("c", "one", now - Duration::from_secs(60))).await;
    assert_eq!(taken.unwrap(), None);
    let expired = key("c", "two", until);
    assert_eq!(store.earlier(&expired).await.unwrap(), None, "its time is over");
    let mut anew = build::queued(now);
    assert_eq!(store.write_once(&mut anew, &expired).await.unwrap(), None, "and it can be used again");

    let racing = key("d", "one", until);
    let (mut one, mut other) = (build::queued(now), build::queued(now));
    let (left, right) =
        tokio::join!(store.write_once(&mut one, &racing), store.write_once(&mut other, &racing));
    let winners = [left, right].into_iter().filter(|raced| matches!(raced, Ok(None))).count();
    assert_eq!(winners, 1, "one of two at the same time");
    for job in [&job, &late, &anew, &one, &other] {
        store.delete(job.id()).await.unwrap();
    }
}

/// [`ListJobs`], [`CountUsage`]: an owner's jobs are listed, and counted until they end, apart from all others.
///
/// # Panics
/// Where the store does otherwise.
pub async fn jobs_of_an_owner_are_listed_and_counted(store: &(impl ListJobs + WriteJobs + CountUsage)) {
    let now = OffsetDateTime::now_utc();
    let [owner, other] = [(); 2].map(|()| new_owner());
    let draft = || Draft { owner: Some(owner.clone()), ..build::draft() };
    let mut mine = Vec::new();
    for index in 0..5 {
        let mut job = Job::queued(JobId::new(now + Duration::from_millis(index)), draft(), now, build::TERMS);
        store.write(&mut job).await.unwrap();
        mine.insert(0, without_secrets(&job));
    }
    let theirs = Draft { owner: Some(other.clone()), ..build::draft() };
    let mut theirs = Job::queued(JobId::new(now), theirs, now, build::TERMS);
    store.write(&mut theirs).await.unwrap();
    let list = async |owner: &Owner, status, limit| {
        let query = ListQuery { owner: Some(owner.clone()), status, before: None, limit };
        let jobs = store.list(query).await.unwrap();
        jobs.iter().map(without_secrets).collect::<Vec<_>>()
    };
    let deadline = OffsetDateTime::now_utc() + SETTLING;
    while list(&owner, None, 10).await != mine || list(&owner, Some(Status::Queued), 10).await != mine {
        assert!(OffsetDateTime::now_utc() < deadline, "the index never showed every job, newest first");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(list(&owner, None, 2).await, mine[..2]);
    assert_eq!(list(&other, None, 10).await, [without_secrets(&theirs)]);
    assert_eq!(list(&new_owner(), None, 10).await, []);
    assert_eq!(store.unended(&owner, 10).await.unwrap(), 5);
    assert_eq!(store.unended(&owner, 3).await.unwrap(), 3, "no more are counted than asked for");

    let ended = &mut mine[1];
    ended.give_up(Failure::new("corrupt_image", "The image is damaged."), now).unwrap();
    store.write(ended).await.unwrap();
    mine[2].delete(now, now + Duration::from_secs(60));
    store.write(&mut mine[2]).await.unwrap();
    let deleted = mine.remove(2);
    let deadline = OffsetDateTime::now_utc() + SETTLING;
    while list(&owner, None, 10).await != mine || store.unended(&owner, 10).await.unwrap() != 3 {
        assert!(OffsetDateTime::now_utc() < deadline, "what has ended or was deleted is still counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(list(&owner, Some(Status::Failed), 10).await, mine[1..2]);
    for job in mine.iter().chain([&deleted, &theirs]) {
        store.delete(job.id()).await.unwrap();
    }
}

/// A name that no other test has.
fn new_owner() -> Owner {
    format!("test-{}", JobId::new(OffsetDateTime::now_utc())).parse().expect("a name")
}

/// [`ReadKeys`], [`WriteKeys`]: a key is found by its hash until it is removed.
///
/// # Panics
/// Where the store does otherwise.
pub async fn keys_are_found_until_they_are_removed(store: &(impl ReadKeys + WriteKeys)) {
    let owner = new_owner();
    // To the second, as far as the order of keys goes.
    let now = OffsetDateTime::from_unix_timestamp(OffsetDateTime::now_utc().unix_timestamp()).unwrap();
    let quota = Quota { jobs_a_day: Some(7), bytes_a_day: None, jobs_at_once: Some(2) };
    let scopes = BTreeSet::from([Scope::Submit, Scope::Read]);
    let end = Some(now + Duration::from_secs(86_400));
    let (first, text) = Key::new(owner.clone(), scopes.clone(), quota, now, end);
    let (second, _) = Key::new(owner.clone(), scopes, Quota::default(), now + Duration::from_secs(1), None);
    assert_eq!(store.key(&first.hash).await.unwrap(), None, "not there before it is written");
    for key in [&second, &first] {
        store.write_key(key).await.unwrap();
    }
    let deadline = OffsetDateTime::now_utc() + SETTLING;
    while store.key(&KeyHash::of(&text)).await.unwrap().as_ref() != Some(&first) {
        assert!(OffsetDateTime::now_utc() < deadline, "the key was never found");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mine = async || {
        let keys = store.keys().await.unwrap();
        keys.into_iter().filter(|key| key.owner == owner).collect::<Vec<_>>()
    };
    while mine().await != [first.clone(), second.clone()] {
        assert!(OffsetDateTime::now_utc() < deadline, "the keys were never listed, the oldest first");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let changed = Key { quota: Quota::default(), ..first.clone() };
    store.write_key(&changed).await.unwrap();
    while store.key(&first.hash).await.unwrap().as_ref() != Some(&changed) {
        assert!(OffsetDateTime::now_utc() < deadline, "the key was never replaced");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for key in [&first, &second, &second] {
        store.remove_key(&key.hash).await.unwrap();
    }
    while store.key(&first.hash).await.unwrap().is_some() || !mine().await.is_empty() {
        assert!(OffsetDateTime::now_utc() < deadline, "the keys were never gone");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// [`CountUsage`]: what is used adds up for each owner and day, to the quota and no further, however many ask at once.
///
/// # Panics
/// Where the store does otherwise.
pub async fn usage_is_counted_up_to_the_quota(store: &(impl CountUsage + Clone + 'static)) {
    let owner = new_owner();
    let today = OffsetDateTime::now_utc().date();
    let yesterday = today.previous_day().unwrap();
    let one = |bytes| Usage { jobs: 1, bytes };
    let free = Quota::default();
    assert_eq!(store.use_up(&owner, yesterday, one(5), &free).await.unwrap(), Ok(one(5)));
    assert_eq!(store.use_up(&owner, today, one(10), &free).await.unwrap(), Ok(one(10)));
    let by_bytes = Quota { bytes_a_day: Some(30), ..free };
    let two = Usage { jobs: 2, bytes: 30 };
    assert_eq!(store.use_up(&owner, today, one(21), &by_bytes).await.unwrap(), Err(one(10)));
    assert_eq!(store.use_up(&owner, today, one(31), &by_bytes).await.unwrap(), Err(one(10)));
    assert_eq!(store.use_up(&owner, today, one(20), &by_bytes).await.unwrap(), Ok(two));
    assert_eq!(store.use_up(&owner, today, one(1), &by_bytes).await.unwrap(), Err(two));

    let by_jobs = Quota { jobs_a_day: Some(10), ..free };
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let (store, owner) = (store.clone(), owner.clone());
        asking.spawn(async move { store.use_up(&owner, today, Usage { jobs: 1, bytes: 0 }, &by_jobs).await });
    }
    let answers = asking.join_all().await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Ok(Ok(_)))).count(), 8, "of 20, 8 are within");
    let used = Usage { jobs: 10, bytes: 30 };
    let deadline = OffsetDateTime::now_utc() + SETTLING;
    while store.usage(&owner, yesterday, today).await.unwrap() != [(yesterday, one(5)), (today, used)] {
        assert!(OffsetDateTime::now_utc() < deadline, "what is used was never shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.usage(&owner, today, today).await.unwrap(), [(today, used)]);
    assert_eq!(store.usage(&new_owner(), yesterday, today).await.unwrap(), []);
}

/// The answer to an HTTP request at a signed URL.
#[derive(Debug)]
pub struct SignedAnswer {
    /// Its status.
    pub status: u16,
    /// Its header `Content-Type`.
    pub content_type: Option<String>,
    /// Its header `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// Its header `Content-Length`.
    pub content_length: Option<u64>,
    /// Its content.
    pub content: Bytes,
}

/// [`PresignUploads`], [`ReadObjects`]: a signed URL allows the one request that it was signed for, once and for its
/// time. `send` sends a method, a URL, headers and a content over HTTP. `key` names an object that is not there.
///
/// # Panics
/// Where the store does otherwise.
pub async fn signed_urls_allow_what_was_signed(
    store: &(impl PresignUploads + ReadObjects + WriteObjects),
    key: ObjectKey,
    send: impl AsyncFn(&'static str, Url, Vec<(String, String)>, &'static str) -> SignedAnswer,
) {
    const CONTENT: &str = "12345";
    /// The SHA-256 of [`CONTENT`].
    const DIGEST: [u8; 32] = [
        0x59, 0x94, 0x47, 0x1a, 0xbb, 0x01, 0x11, 0x2a, 0xfc, 0xc1, 0x81, 0x59, 0xf6, 0xcc, 0x74, 0xb4, 0xf5,
        0x11, 0xb9, 0x98, 0x06, 0xda, 0x59, 0xb3, 0xca, 0xf5, 0xa9, 0xc1, 0x73, 0xca, 0xcf, 0xc5,
    ];
    let validity = Duration::from_secs(60);
    let terms = UploadTerms { content_type: "image/png".to_owned(), bytes: 5, sha256: Some(DIGEST) };
    let ticket = store.presign_put(&key, &terms, validity).await.unwrap();
    // A client of HTTP sets the length by itself.
    let headers: Vec<_> =
        ticket.headers.iter().filter(|(name, _)| name != "content-length").cloned().collect();
    let put = async |headers: &[(String, String)], content| {
        send("PUT", ticket.url.clone(), headers.to_vec(), content).await.status
    };
    assert_eq!(put(&headers, "123456").await, 403, "another length is refused");
    for left_out in 0..headers.len() {
        let mut fewer = headers.clone();
        let (name, _) = fewer.remove(left_out);
        // MinIO says 400 where S3 says 403.
        assert!([400, 403].contains(&put(&fewer, CONTENT).await), "without {name} it is refused");
    }
    for (index, (name, _)) in headers.iter().enumerate() {
        let mut others = headers.clone();
        others[index].1 = "other".to_owned();
        assert_eq!(put(&others, CONTENT).await, 403, "with another {name} it is refused");
    }
    assert_eq!(put(&headers, "54321").await, 400, "other bytes than were declared are refused");
    let mut elsewhere = ticket.url.clone();
    elsewhere.set_path(&format!("{}s", ticket.url.path()));
    assert_eq!(send("PUT", elsewhere, headers.clone(), CONTENT).await.status, 403, "another key is refused");
    let brief = store.presign_put(&key, &terms, Duration::from_secs(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(send("PUT", brief.url, headers.clone(), CONTENT).await.status, 403, "it ends with its time");
    assert_eq!(store.head(&key).await.unwrap(), None, "nothing that was refused is kept");

    assert_eq!(put(&headers, CONTENT).await, 200);
    assert_eq!(put(&headers, CONTENT).await, 412, "a URL takes one upload");
    let info = store.head(&key).await.unwrap().expect("uploaded");
    assert_eq!((info.bytes, info.content_type.as_str()), (5, "image/png"));

    let url = store.presign(ReadMethod::Get, &key, validity).await.unwrap();
    let answer = send("GET", url.clone(), vec![], "").await;
    assert_eq!((answer.status, &answer.content[..]), (200, CONTENT.as_bytes()));
    assert_eq!(answer.content_type.as_deref(), Some("image/png"));
    assert_eq!(answer.content_disposition.as_deref(), Some("attachment"), "no browser shows it as a page");
    assert_eq!(send("PUT", url, headers.clone(), CONTENT).await.status, 403, "it allows no other method");
    let url = store.presign(ReadMethod::Head, &key, validity).await.unwrap();
    let answer = send("HEAD", url, vec![], "").await;
    assert_eq!((answer.status, answer.content_length), (200, Some(5)));
    let url = store.presign(ReadMethod::Get, &key, Duration::from_secs(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(send("GET", url, vec![], "").await.status, 403, "it ends with its time");
    store.delete_all(key.job()).await.unwrap();
}

/// [`ReadObjects`], [`WriteObjects`]: an object that was put is read, within bounds, until its job is removed.
///
/// # Panics
/// Where the store does otherwise.
pub async fn objects_are_kept_until_their_job_is_removed(store: &(impl ReadObjects + WriteObjects)) {
    let job = JobId::new(OffsetDateTime::now_utc());
    let other = JobId::new(OffsetDateTime::now_utc());
    let source = ObjectKey::Source(job);
    assert_eq!(store.read(&source, 100).await.unwrap(), Read::Missing);
    assert_eq!(store.head(&source).await.unwrap(), None);

    let body = Bytes::from_static(b"\x00\xff not text");
    store.put(&source, body.clone(), "image/png").await.unwrap();
    let Read::Found(info, read) = store.read(&source, body.len() as u64).await.unwrap() else {
        panic!("what was put is found");
    };
    assert_eq!(read, body);
    assert_eq!((info.bytes, info.content_type.as_str()), (body.len() as u64, "image/png"));
    assert_eq!(store.head(&source).await.unwrap(), Some(info.clone()));
    let small = body.len() as u64 - 1;
    assert_eq!(store.read(&source, small).await.unwrap(), Read::TooLarge(body.len() as u64));

    store.put(&source, Bytes::from_static(b"newer"), "image/gif").await.unwrap();
    let newer = store.head(&source).await.unwrap().expect("replaced, not removed");
    assert_eq!((newer.bytes, newer.content_type.as_str()), (5, "image/gif"));
    assert_ne!(newer.etag, info.etag, "the tag tells contents apart");

    let result = |job, extension: &str| ObjectKey::Result {
        job,
        attempt: Some(3),
        algorithm: "poi_detection".to_owned(),
        extension: extension.to_owned(),
    };
    for key in [result(job, "json"), result(job, "csv"), result(other, "json")] {
        store.put(&key, body.clone(), "application/json").await.unwrap();
    }
    assert!(!store.put_new(&source, Bytes::from_static(b"late"), "image/gif").await.unwrap(), "it is there");
    assert_eq!(store.head(&source).await.unwrap(), Some(newer));
    let attempt = |attempt| match result(job, "json") {
        ObjectKey::Result { job, algorithm, extension, .. } => {
            ObjectKey::Result { job, attempt, algorithm, extension }
        }
        other => other,
    };
    for number in [None, Some(4)] {
        assert!(
            store.put_new(&attempt(number), body.clone(), "application/json").await.unwrap(),
            "it is new"
        );
    }
    store.delete_results(job, Attempts::Only(4)).await.unwrap();
    let there = async |number| store.head(&attempt(number)).await.unwrap().is_some();
    assert_eq!((there(None).await, there(Some(3)).await, there(Some(4)).await), (true, true, false));
    store.delete_results(job, Attempts::AllBut(Some(3))).await.unwrap();
    assert_eq!((there(None).await, there(Some(3)).await), (true, true));
    store.delete_results(job, Attempts::AllBut(None)).await.unwrap();
    assert_eq!((there(None).await, there(Some(3)).await), (true, false), "older releases' stay");
    assert!(store.head(&source).await.unwrap().is_some(), "it is no result");

    // This comes last, because functions that listen to the bucket remove an upload without a job.
    store.put(&ObjectKey::Upload(job), body.clone(), "image/png").await.unwrap();
    store.delete_all(job).await.unwrap();
    for key in [source, ObjectKey::Upload(job), result(job, "json"), result(job, "csv")] {
        assert_eq!(store.head(&key).await.unwrap(), None, "{key} is removed");
    }
    assert!(store.head(&result(other, "json")).await.unwrap().is_some(), "another job's objects stay");
    store.delete_all(job).await.unwrap();
    store.delete_all(other).await.unwrap();
}

/// [`ReadModels`]: a file is read, within bounds, and not again as long as it is the same. `put` puts a file into the
/// store as its owner does.
///
/// # Panics
/// Where the store does otherwise.
pub async fn models_are_read_when_they_have_changed(
    store: &impl ReadModels,
    put: impl AsyncFn(String, Bytes),
) {
    let name = format!("contract/{}.onnx", JobId::new(OffsetDateTime::now_utc()));
    let model: ModelKey = name.parse().unwrap();
    for file in [ModelFile::Model, ModelFile::Description] {
        let read =
            async |known: Option<&str>, most: u64| store.read_model(&model, file, known, most).await.unwrap();
        assert_eq!(read(None, 100).await, ModelRead::Missing);
        assert_eq!(read(Some("0123"), 100).await, ModelRead::Missing, "known or not");

        let body = Bytes::from_static(b"\x08\x08 not text");
        put(file.key(&model), body.clone()).await;
        let ModelRead::Found { etag, body: found } = read(None, body.len() as u64).await else {
            panic!("what was put is found");
        };
        assert_eq!(found, body);
        let small = body.len() as u64 - 1;
        assert_eq!(read(None, small).await, ModelRead::TooLarge(body.len() as u64));
        assert_eq!(read(Some(&etag), 100).await, ModelRead::Unchanged);

        put(file.key(&model), Bytes::from_static(b"newer")).await;
        let ModelRead::Found { etag: newer, body: found } = read(Some(&etag), 100).await else {
            panic!("it has changed");
        };
        assert_eq!(&found[..], b"newer");
        assert_ne!(newer, etag, "the tag tells contents apart");
    }
}

/// [`SendMessages`]: each message arrives, as it was sent, in the queue for its kind and in no other. `jobs` and
/// `callbacks` return the messages that have arrived so far in either queue.
///
/// # Panics
/// Where the queues do otherwise.
pub async fn messages_arrive_in_the_queue_for_their_kind(
    sender: &impl SendMessages,
    jobs: impl AsyncFn() -> Vec<Message>,
    callbacks: impl AsyncFn() -> Vec<Message>,
) {
    let job_id = JobId::new(OffsetDateTime::now_utc());
    sender.send(Message::ProcessJob { job_id }, Duration::ZERO).await.unwrap();
    sender.send(Message::DeliverCallback { job_id }, Duration::ZERO).await.unwrap();
    assert_eq!(jobs().await, [Message::ProcessJob { job_id }]);
    assert_eq!(callbacks().await, [Message::DeliverCallback { job_id }]);
}

/// [`ReceiveMessages`], [`DeferMessages`]: a received message is invisible, comes again after it was put off, and is
/// gone once it is removed. `queue` is the one for callbacks, and nobody else receives from it.
///
/// # Panics
/// Where the queue does otherwise.
pub async fn messages_come_again_until_they_are_removed(
    sender: &impl SendMessages,
    queue: &(impl ReceiveMessages + DeferMessages),
) {
    const PATIENCE: Duration = Duration::from_secs(10);
    let message = Message::DeliverCallback { job_id: JobId::new(OffsetDateTime::now_utc()) };
    assert_eq!(queue.receive(10, Duration::ZERO).await.unwrap(), [], "empty at the start");
    sender.send(message.clone(), Duration::ZERO).await.unwrap();
    let receive = async || {
        let end = OffsetDateTime::now_utc() + PATIENCE;
        loop {
            let received = queue.receive(10, Duration::from_secs(1)).await.unwrap();
            if let [one] = &received[..] {
                return one.clone();
            }
            assert_eq!(received, [], "one message was sent");
            assert!(OffsetDateTime::now_utc() < end, "the message never came");
        }
    };
    let first = receive().await;
    assert_eq!(serde_json::from_str::<Message>(&first.body).unwrap(), message);
    assert_eq!(first.receive_count, 1);
    assert_eq!(queue.receive(10, Duration::ZERO).await.unwrap(), [], "invisible while it is handled");

    queue.defer(&first.receipt, Duration::from_secs(1)).await.unwrap();
    let second = receive().await;
    assert_eq!((&second.id, &second.body, second.receive_count), (&first.id, &first.body, 2));

    queue.remove(&second.receipt).await.unwrap();
    queue.remove(&second.receipt).await.unwrap();
    assert_eq!(queue.receive(10, Duration::from_secs(2)).await.unwrap(), [], "gone");

    sender.send(message.clone(), Duration::from_secs(2)).await.unwrap();
    assert_eq!(queue.receive(10, Duration::ZERO).await.unwrap(), [], "sent ahead of its time");
    let third = receive().await;
    assert_eq!((&third.body, third.receive_count), (&first.body, 1));
    queue.remove(&third.receipt).await.unwrap();
}
