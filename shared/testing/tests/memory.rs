//! The in-memory ports keep the contracts that the real ones keep.

use testing::{
    contract,
    memory::{MemoryJobs, MemoryObjects},
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
async fn objects_are_kept_until_their_job_is_removed() {
    contract::objects_are_kept_until_their_job_is_removed(&MemoryObjects::default()).await;
}
