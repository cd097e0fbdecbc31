//! The in-memory ports keep the contracts that the real ones keep.

use jobs::message::Message;
use testing::{
    contract,
    memory::{MemoryJobs, MemoryModels, MemoryObjects, MemoryQueue},
};

#[tokio::test]
async fn jobs_are_written_on_condition() {
    contract::jobs_are_written_on_condition(&MemoryJobs::default()).await;
}

#[tokio::test]
async fn jobs_are_listed_newest_first() {
    contract::jobs_are_listed_newest_first(&MemoryJobs::default()).await;
}

#[tokio::test]
async fn keys_and_what_is_used_are_kept_and_jobs_listed_by_their_owner() {
    let jobs = MemoryJobs::default();
    contract::keys_are_found_until_they_are_removed(&jobs).await;
    contract::usage_is_counted_up_to_the_quota(&jobs).await;
    contract::jobs_of_an_owner_are_listed_and_counted(&jobs).await;
}

#[tokio::test]
async fn due_jobs_are_found_until_nothing_is_owed() {
    contract::due_jobs_are_found_until_nothing_is_owed(&MemoryJobs::default()).await;
}

#[tokio::test]
async fn requests_with_one_key_are_served_once() {
    contract::requests_with_one_key_are_served_once(&MemoryJobs::default()).await;
}

#[tokio::test]
async fn objects_are_kept_until_their_job_is_removed() {
    contract::objects_are_kept_until_their_job_is_removed(&MemoryObjects::default()).await;
}

#[tokio::test]
async fn models_are_read_when_they_have_changed() {
    let models = MemoryModels::default();
    contract::models_are_read_when_they_have_changed(&models, async |key, body| models.put(&key, body)).await;
}

#[tokio::test]
async fn messages_arrive_in_the_queue_for_their_kind() {
    let queue = MemoryQueue::default();
    let of_kind = |is_job: bool| {
        let sent = queue.sent().into_iter();
        sent.filter(|message| matches!(message, Message::ProcessJob { .. }) == is_job).collect()
    };
    contract::messages_arrive_in_the_queue_for_their_kind(
        &queue,
        async || of_kind(true),
        async || of_kind(false),
    )
    .await;
}
