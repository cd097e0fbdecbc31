//! The real ports keep the contracts that the in-memory ones keep.

use std::time::Duration;

use aws::{API_PATIENCE, Clients};
use jobs::{
    id::JobId,
    key::ObjectKey,
    ports::{PresignUploads as _, Probe as _, ReadObjects as _, WriteObjects as _},
};
use testing::contract;
use time::OffsetDateTime;

use crate::support::{Api, variable};

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
async fn the_bucket_keeps_objects_until_their_job_is_removed() {
    let bucket = Clients::from_env(API_PATIENCE).await.bucket(variable("BUCKET"));
    contract::objects_are_kept_until_their_job_is_removed(&bucket).await;
}

#[tokio::test]
#[ignore = "needs a deployed stack"]
async fn a_signed_upload_takes_what_was_signed_and_a_signed_download_gives_it() {
    let bucket = Clients::from_env(API_PATIENCE).await.bucket(variable("BUCKET"));
    let client = Api::new().client;
    let job = JobId::new(OffsetDateTime::now_utc());
    // Not an upload's key: this object shall start no job.
    let key = ObjectKey::Source(job);
    let validity = Duration::from_secs(60);
    let ticket = bucket.presign_put(&key, "image/png", 5, validity).await.unwrap();
    let put = |body: &'static str, content_type: &'static str| {
        let request = client.put(ticket.url.clone()).header("content-type", content_type);
        request.body(body).send()
    };
    assert_eq!(put("123456", "image/png").await.unwrap().status(), 403, "another length is refused");
    assert_eq!(put("12345", "text/html").await.unwrap().status(), 403, "another type is refused");
    assert_eq!(bucket.head(&key).await.unwrap(), None);
    assert_eq!(put("12345", "image/png").await.unwrap().status(), 200);
    let download = bucket.presign_get(&key, validity).await.unwrap();
    let response = client.get(download).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "image/png");
    assert_eq!(response.text().await.unwrap(), "12345");
    bucket.delete_all(job).await.unwrap();
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
