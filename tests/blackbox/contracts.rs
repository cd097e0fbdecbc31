//! The real ports keep the contracts that the in-memory ones keep.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use aws::{API_PATIENCE, Clients, Queues, WORKER_PATIENCE};
use jobs::{
    algorithm::{Parameters, THUMBNAIL},
    id::JobId,
    job::{Draft, Facts, Job, Origin, Status},
    key::ObjectKey,
    limits::Limits,
    message::Message,
    ports::{
        DeferMessages as _, Probe as _, ReadJobs as _, SendMessages as _, WriteJobs as _, WriteObjects as _,
    },
};
use testing::contract::{self, SignedAnswer};
use time::OffsetDateTime;

use crate::support::{Api, Receiver, delete_model, id, json, png, put_model, queue_is_empty, sqs, variable};

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn the_table_writes_on_condition() {
    let table = Clients::from_env(API_PATIENCE).await.table(variable("JOBS_TABLE"));
    contract::jobs_are_written_on_condition(&table).await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn the_table_lists_newest_first() {
    let table = Clients::from_env(API_PATIENCE).await.table(variable("JOBS_TABLE"));
    contract::jobs_are_listed_newest_first(&table).await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn the_table_keeps_keys_and_what_is_used_and_lists_by_owner() {
    let table = Clients::from_env(API_PATIENCE).await.table(variable("JOBS_TABLE"));
    contract::keys_are_found_until_they_are_removed(&table).await;
    contract::usage_is_counted_up_to_the_quota(&table).await;
    contract::jobs_of_an_owner_are_listed_and_counted(&table).await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn the_table_finds_what_is_due() {
    let table = Clients::from_env(API_PATIENCE).await.table(variable("JOBS_TABLE"));
    contract::due_jobs_are_found_until_nothing_is_owed(&table).await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn the_table_writes_requests_with_one_key_once() {
    let table = Clients::from_env(API_PATIENCE).await.table(variable("JOBS_TABLE"));
    contract::requests_with_one_key_are_served_once(&table).await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn the_bucket_keeps_objects_until_their_job_is_removed() {
    let bucket = Clients::from_env(API_PATIENCE).await.bucket(variable("BUCKET"));
    contract::objects_are_kept_until_their_job_is_removed(&bucket).await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn the_bucket_of_models_reads_what_has_changed() {
    let bucket = Clients::from_env(API_PATIENCE).await.bucket(variable("MODELS_BUCKET"));
    let keys = Mutex::new(BTreeSet::new());
    let put = async |key: String, body| {
        put_model(&key, body).await;
        keys.lock().unwrap().insert(key);
    };
    contract::models_are_read_when_they_have_changed(&bucket, put).await;
    for key in keys.into_inner().unwrap() {
        delete_model(&key).await;
    }
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn signed_urls_allow_what_was_signed() {
    let bucket = Clients::from_env(API_PATIENCE).await.bucket(variable("BUCKET"));
    let client = Api::new().client;
    // The key is not that of an upload, so that this object starts no job.
    let key = ObjectKey::Source(JobId::new(OffsetDateTime::now_utc()));
    contract::signed_urls_allow_what_was_signed(&bucket, key, async |method, url, headers, content| {
        let mut request = client.request(method.parse().unwrap(), url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.body(content).send().await.unwrap();
        let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        SignedAnswer {
            status: answer.status().as_u16(),
            content_type: text("content-type").map(str::to_owned),
            content_disposition: text("content-disposition").map(str::to_owned),
            content_length: text("content-length").and_then(|length| length.parse().ok()),
            content: answer.bytes().await.unwrap(),
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_probe_tells_what_is_there_from_what_is_not() {
    let clients = Clients::from_env(API_PATIENCE).await;
    clients.table(variable("JOBS_TABLE")).probe().await.unwrap();
    clients.bucket(variable("BUCKET")).probe().await.unwrap();
    clients.jobs_queue(variable("JOBS_QUEUE_URL")).probe().await.unwrap();
    let error = clients.table("no-such-table").probe().await.unwrap_err();
    assert!(!error.retryable, "a missing table is the deployment's fault: {error:?}");
    clients.bucket("no-such-bucket").probe().await.unwrap_err();
    clients.jobs_queue(format!("{}-not", variable("JOBS_QUEUE_URL"))).probe().await.unwrap_err();
}

/// A queue of the test's own, which no function reads.
async fn own_queue(name: &str) -> String {
    let name = format!("{name}-{}", JobId::new(OffsetDateTime::now_utc()));
    let created = sqs().await.create_queue().queue_name(name).send().await.unwrap();
    created.queue_url.unwrap()
}

/// Receives the visible messages of a queue: bodies and receipts.
async fn receive(url: &str) -> Vec<(String, String)> {
    let received =
        sqs().await.receive_message().queue_url(url).max_number_of_messages(10).send().await.unwrap();
    let messages = received.messages.unwrap_or_default().into_iter();
    messages.map(|message| (message.body.unwrap(), message.receipt_handle.unwrap())).collect()
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn messages_arrive_in_the_queue_for_their_kind() {
    let clients = Clients::from_env(API_PATIENCE).await;
    let (jobs, callbacks) = (own_queue("jobs").await, own_queue("callbacks").await);
    let queues = Queues {
        jobs: Some(clients.jobs_queue(&jobs)),
        callbacks: Some(clients.callbacks_queue(&callbacks)),
    };
    let arrived = async |url: &str| -> Vec<Message> {
        receive(url).await.iter().map(|(body, _)| serde_json::from_str(body).unwrap()).collect()
    };
    contract::messages_arrive_in_the_queue_for_their_kind(
        &queues,
        async || arrived(&jobs).await,
        async || arrived(&callbacks).await,
    )
    .await;
    for url in [jobs, callbacks] {
        sqs().await.delete_queue().queue_url(url).send().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_message_that_was_put_off_comes_again_when_it_is_due() {
    let clients = Clients::from_env(API_PATIENCE).await;
    let url = own_queue("deferred").await;
    let queue = clients.jobs_queue(&url);
    let queues = Queues { jobs: Some(queue.clone()), callbacks: None };
    let job_id = JobId::new(OffsetDateTime::now_utc());
    queues.send(Message::ProcessJob { job_id }, Duration::ZERO).await.unwrap();
    let (_, receipt) = receive(&url).await.remove(0);
    queue.defer(&receipt, Duration::from_secs(3_600)).await.unwrap();
    assert!(receive(&url).await.is_empty(), "not before it is due");
    queue.defer(&receipt, Duration::ZERO).await.unwrap();
    assert_eq!(receive(&url).await.len(), 1);
    let unknown = queues.send(Message::DeliverCallback { job_id }, Duration::ZERO).await.unwrap_err();
    assert!(!unknown.retryable, "a queue that was not given is the deployment's fault");
    sqs().await.delete_queue().queue_url(url).send().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_message_delivered_twice_changes_nothing() {
    let api = Api::new();
    let receiver = Receiver::answering(&[204]).await;
    let query = format!("callback_url={}", receiver.url);
    let job = api.submit(&query, png(60, 60)).await;
    receiver.wait_for(1).await;
    let job = api.settled(&job).await;
    let clients = Clients::from_env(API_PATIENCE).await;
    let queue = clients.jobs_queue(variable("JOBS_QUEUE_URL"));
    let queues = Queues { jobs: Some(queue), callbacks: None };
    let job_id = id(&job).parse().unwrap();
    for _ in 0..3 {
        queues.send(Message::ProcessJob { job_id }, Duration::ZERO).await.unwrap();
    }
    queue_is_empty("JOBS_QUEUE_URL").await;
    queue_is_empty("CALLBACKS_QUEUE_URL").await;
    let route = format!("/jobs/{}", id(&job));
    assert_eq!(json(api.get(&route).send().await.unwrap()).await, job);
    assert_eq!(receiver.received().len(), 1, "its owner is told once");
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn messages_come_again_until_they_are_removed() {
    let clients = Clients::from_env(WORKER_PATIENCE).await;
    let url = own_queue("received").await;
    let queue = clients.callbacks_queue(&url);
    let queues = Queues { jobs: None, callbacks: Some(queue.clone()) };
    contract::messages_come_again_until_they_are_removed(&queues, &queue).await;
    sqs().await.delete_queue().queue_url(url).send().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_job_whose_message_was_never_sent_is_worked_on_all_the_same() {
    let clients = Clients::from_env(API_PATIENCE).await;
    let (table, bucket) = (clients.table(variable("JOBS_TABLE")), clients.bucket(variable("BUCKET")));
    // The row of a submission that died five minutes ago, before it sent the message.
    let now = OffsetDateTime::now_utc();
    let sent = now - Limits::default().patience;
    let catalogue = detection::catalogue();
    let thumbnail = catalogue.iter().find(|known| known.name == THUMBNAIL).unwrap();
    let thumbnail = thumbnail.resolve(&Parameters::default()).unwrap();
    let draft = Draft {
        origin: Origin::Upload,
        facts: Facts::default(),
        algorithms: vec![thumbnail],
        callback: None,
        owner: None,
    };
    let mut job = Job::queued(JobId::new(now), draft, sent, Limits::default().terms(None));
    bucket.put(&ObjectKey::Source(job.id()), png(20, 20).into(), "image/png").await.unwrap();
    table.write(&mut job).await.unwrap();
    let deadline = OffsetDateTime::now_utc() + Duration::from_secs(150);
    loop {
        let found = table.get(job.id()).await.unwrap().expect("it is not removed");
        if found.status().is_final() {
            assert_eq!((found.status(), found.attempts()), (Status::Succeeded, 1));
            break;
        }
        assert!(OffsetDateTime::now_utc() < deadline, "nobody recovered it: {:?}", found.status());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    bucket.delete_all(job.id()).await.unwrap();
    table.delete(job.id()).await.unwrap();
}
