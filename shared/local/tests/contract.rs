//! The ports on one machine keep the contracts that the others keep, and what they keep survives.
#![allow(clippy::expect_used, clippy::panic)]

use std::{path::Path, time::Duration};

use bytes::Bytes;
use jobs::{
    id::JobId,
    job::{Status, Terms},
    key::ObjectKey,
    message::Message,
    ports::{
        DeferMessages as _, ListJobs as _, ListQuery, Read, ReadJobs as _, ReadObjects as _,
        ReceiveMessages as _, SendMessages as _, WriteJobs as _, WriteObjects as _,
    },
};
use local::Store;
use tempfile::TempDir;
use testing::{build, contract};
use time::OffsetDateTime;
use url::Url;

async fn open(folder: &Path) -> Store {
    let base = Url::parse("http://localhost:8000").expect("a URL");
    Store::open(folder, base).await.expect("a store")
}

async fn new() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    (folder, store)
}

/// The number of files below a folder.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

/// Makes every file below a folder two hours old.
fn grow_old(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            grow_old(&path);
        } else {
            let file = std::fs::File::options().write(true).open(path).expect("there");
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(7_200)).expect("set");
        }
    }
}

#[tokio::test]
async fn jobs_are_written_on_condition() {
    let (_folder, store) = new().await;
    contract::jobs_are_written_on_condition(&store.jobs).await;
}

#[tokio::test]
async fn keys_and_what_is_used_are_kept_and_jobs_listed_by_their_owner() {
    let (_folder, store) = new().await;
    contract::keys_are_found_until_they_are_removed(&store.jobs).await;
    contract::usage_is_counted_up_to_the_quota(&store.jobs).await;
    contract::jobs_of_an_owner_are_listed_and_counted(&store.jobs).await;
}

#[tokio::test]
async fn jobs_are_listed_newest_first() {
    let (_folder, store) = new().await;
    contract::jobs_are_listed_newest_first(&store.jobs).await;
}

#[tokio::test]
async fn due_jobs_are_found_until_nothing_is_owed() {
    let (_folder, store) = new().await;
    contract::due_jobs_are_found_until_nothing_is_owed(&store.jobs).await;
}

#[tokio::test]
async fn requests_with_one_key_are_served_once() {
    let (_folder, store) = new().await;
    contract::requests_with_one_key_are_served_once(&store.jobs).await;
}

#[tokio::test]
async fn objects_are_kept_until_their_job_is_removed() {
    let (folder, store) = new().await;
    contract::objects_are_kept_until_their_job_is_removed(&store.objects).await;
    assert_eq!(files(&folder.path().join("objects")), 0, "nothing of them stays on the disk");
}

#[tokio::test]
async fn models_are_read_when_they_have_changed() {
    let (folder, store) = new().await;
    let models = folder.path().join("models");
    contract::models_are_read_when_they_have_changed(&store.models, async |key: String, body: Bytes| {
        let path = models.join(key);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, body).expect("written");
    })
    .await;
}

#[tokio::test]
async fn messages_arrive_in_the_queue_for_their_kind() {
    let (_folder, store) = new().await;
    let taken = async |queue: &local::Queue| -> Vec<Message> {
        let received = queue.receive(10, Duration::ZERO).await.expect("received");
        received.iter().map(|message| serde_json::from_str(&message.body).expect("a message")).collect()
    };
    contract::messages_arrive_in_the_queue_for_their_kind(
        &store.queues,
        async || taken(&store.queues.jobs).await,
        async || taken(&store.queues.callbacks).await,
    )
    .await;
}

#[tokio::test]
async fn messages_come_again_until_they_are_removed() {
    let (_folder, store) = new().await;
    contract::messages_come_again_until_they_are_removed(&store.queues, &store.queues.callbacks).await;
}

#[tokio::test]
async fn whoever_waits_is_woken_by_a_message() {
    let (_folder, store) = new().await;
    let waiting = tokio::spawn({
        let queue = store.queues.jobs.clone();
        async move { queue.receive(1, Duration::from_secs(60)).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let job_id = JobId::new(OffsetDateTime::now_utc());
    store.queues.send(Message::ProcessJob { job_id }, Duration::ZERO).await.expect("sent");
    let received = tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("woken");
    assert_eq!(received.expect("no panic").expect("received").len(), 1);
}

#[tokio::test]
async fn a_message_received_too_often_becomes_a_dead_letter() {
    let (_folder, store) = new().await;
    let queue = &store.queues.jobs;
    let job_id = JobId::new(OffsetDateTime::now_utc());
    store.queues.send(Message::ProcessJob { job_id }, Duration::ZERO).await.expect("sent");
    for count in 1..=10 {
        let received = queue.receive(1, Duration::ZERO).await.expect("received");
        assert_eq!(received[0].receive_count, count);
        queue.defer(&received[0].receipt, Duration::ZERO).await.expect("deferred");
    }
    assert_eq!(queue.receive(1, Duration::ZERO).await.expect("received"), []);
    assert_eq!(queue.dead().await.expect("counted"), 1);
    assert_eq!(queue.backlog().await.expect("counted").0, 0);
}

#[tokio::test]
async fn the_work_of_a_dead_process_is_due_again_and_nothing_stored_is_lost() {
    let (folder, store) = new().await;
    let now = OffsetDateTime::now_utc();
    let mut job = build::queued(now);
    store.jobs.write(&mut job).await.expect("written");
    job.claim(now, Duration::from_secs(3_600)).expect("free");
    store.jobs.write(&mut job).await.expect("written");
    let source = ObjectKey::Source(job.id());
    store.objects.put(&source, Bytes::from_static(b"content"), "image/png").await.expect("put");
    let message = Message::ProcessJob { job_id: job.id() };
    store.queues.send(message.clone(), Duration::ZERO).await.expect("sent");
    let first = store.queues.jobs.receive(1, Duration::ZERO).await.expect("received");
    assert_eq!(first.len(), 1);
    // The process ends here, in the middle of its work.
    drop(store);

    let store = open(folder.path()).await;
    let again = store.queues.jobs.receive(1, Duration::ZERO).await.expect("received");
    assert_eq!(serde_json::from_str::<Message>(&again[0].body).expect("a message"), message);
    assert_eq!((&again[0].id, again[0].receive_count), (&first[0].id, 2));
    store.queues.jobs.remove(&first[0].receipt).await.expect("nothing to remove");
    let job = store.jobs.get(job.id()).await.expect("read").expect("there");
    assert_eq!((job.status(), job.attempts()), (Status::Queued, 1), "free, and the attempt counts");
    let Read::Found(_, body) = store.objects.read(&source, 100).await.expect("read") else {
        panic!("the object is there");
    };
    assert_eq!(&body[..], b"content");
}

#[tokio::test]
async fn one_process_at_a_time_has_the_folder() {
    let (folder, store) = new().await;
    let base = Url::parse("http://localhost:8000").expect("a URL");
    let second = Store::open(folder.path(), base.clone()).await.err().expect("refused");
    assert!(second.to_string().contains("in use by another darkroom"), "{second}");
    drop(store);
    assert!(Store::open(folder.path(), base).await.is_ok());
}

#[tokio::test]
async fn an_upload_is_kept_once_and_queues_its_job() {
    let (folder, store) = new().await;
    let job = JobId::new(OffsetDateTime::now_utc());
    let keep = async |content: &[u8]| {
        let mut incoming = store.objects.begin().await.expect("begun");
        incoming.write(content).await.expect("written");
        store.objects.keep_upload(incoming, job, "image/png").await.expect("asked")
    };
    assert!(keep(b"first").await);
    assert!(!keep(b"second").await);
    let mut broken_off = store.objects.begin().await.expect("begun");
    broken_off.write(b"half").await.expect("written");
    drop(broken_off);
    assert_eq!(files(&folder.path().join("objects")), 1, "what was not kept is gone");
    let Read::Found(info, body) = store.objects.read(&ObjectKey::Upload(job), 100).await.expect("read")
    else {
        panic!("the upload is there");
    };
    assert_eq!((&body[..], info.content_type.as_str()), (&b"first"[..], "image/png"));
    let received = store.queues.jobs.receive(10, Duration::ZERO).await.expect("received");
    assert_eq!(received.len(), 1, "the job is queued once");
}

#[tokio::test]
async fn a_sweep_removes_expired_jobs_with_all_they_own_and_nothing_else() {
    let (folder, store) = new().await;
    let now = OffsetDateTime::now_utc();
    let mut over = build::queued(now - 2 * build::TERMS.retention);
    let mut present = build::queued(now);
    for job in [&mut over, &mut present] {
        store.jobs.write(job).await.expect("written");
        let key = ObjectKey::Source(job.id());
        store.objects.put(&key, Bytes::from_static(b"content"), "image/png").await.expect("put");
    }
    let abandoned = folder.path().join("objects/00/abandoned");
    std::fs::create_dir_all(abandoned.parent().expect("a folder")).expect("made");
    let file = std::fs::File::create(&abandoned).expect("made");
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(7_200)).expect("set");

    store.sweep().await.expect("swept");
    assert_eq!(store.jobs.get(over.id()).await.expect("read"), None);
    assert_eq!(store.objects.head(&ObjectKey::Source(over.id())).await.expect("read"), None);
    assert!(store.objects.head(&ObjectKey::Source(present.id())).await.expect("read").is_some());
    assert_eq!(files(&folder.path().join("objects")), 1);
}

#[tokio::test]
async fn a_sweep_removes_the_image_of_a_submission_that_died_before_its_row_was_written() {
    let (folder, store) = new().await;
    let now = OffsetDateTime::now_utc();
    let (died, under_way) = (JobId::new(now - Duration::from_secs(7_200)), JobId::new(now));
    let terms = Terms { retention: Duration::from_secs(24 * 3_600), ..build::TERMS };
    let mut accepted = build::succeeded_in(now - Duration::from_secs(7_200), terms);
    store.jobs.write(&mut accepted).await.expect("written");
    for job in [died, under_way, accepted.id()] {
        let key = ObjectKey::Source(job);
        store.objects.put(&key, Bytes::from_static(b"content"), "image/png").await.expect("put");
    }
    grow_old(&folder.path().join("objects"));
    store.sweep().await.expect("swept");
    assert_eq!(store.objects.head(&ObjectKey::Source(died)).await.expect("read"), None);
    for job in [under_way, accepted.id()] {
        assert!(store.objects.head(&ObjectKey::Source(job)).await.expect("read").is_some(), "{job}");
    }
    assert_eq!(files(&folder.path().join("objects")), 2);
}

/// A list reads only as many rows as it shows, however many there are. SQLite's query plan says so.
#[tokio::test]
async fn lists_of_every_kind_go_by_an_index() {
    let (folder, store) = new().await;
    let mut job = build::queued(OffsetDateTime::now_utc());
    store.jobs.write(&mut job).await.expect("written");
    let query = ListQuery { owner: None, status: Some(Status::Queued), before: None, limit: 10 };
    assert_eq!(store.jobs.list(query).await.expect("listed").len(), 1);
    let database = rusqlite::Connection::open(folder.path().join("darkroom.db")).expect("opened");
    for question in [
        "SELECT job FROM jobs WHERE status = 'queued' AND id < 'g' ORDER BY id DESC LIMIT 10",
        "SELECT job FROM jobs WHERE id < 'g' ORDER BY id DESC LIMIT 10",
        "SELECT id FROM jobs WHERE expires <= 1 LIMIT 1000",
        "SELECT id FROM messages WHERE queue = 'jobs_queue' AND visible <= 1 ORDER BY visible, id LIMIT 1",
        "SELECT min(visible) FROM messages WHERE queue = 'jobs_queue'",
        "SELECT 1 FROM objects WHERE file = 'x'",
    ] {
        let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {question}")).expect("a question");
        let steps: Vec<String> =
            plan.query_map([], |row| row.get(3)).expect("a plan").map(|step| step.expect("a step")).collect();
        assert!(steps.iter().all(|step| step.starts_with("SEARCH")), "{question}: {steps:?}");
    }
}
