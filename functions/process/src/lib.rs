//! Working on images: one message, one job.

mod engine;
mod models;

use async_trait::async_trait;
use jobs::{
    id::JobId,
    message::{Message, ReadUploads},
    process::{Outcome, Processor},
};
use runtime::sqs::Consume;
use tokio::sync::watch;
use tracing::Instrument as _;

pub use engine::{ImageEngine, crashed};

/// Handles the jobs queue, which has Darkroom's own messages and the object store's events of uploads.
pub struct Worker {
    processor: Processor,
    uploads: ReadUploads,
    interrupt: Option<watch::Receiver<bool>>,
}

impl Worker {
    /// A worker that finishes whatever it has begun: Lambda stops a function between two jobs.
    #[must_use]
    pub fn new(processor: Processor, uploads: ReadUploads) -> Self {
        Self { processor, uploads, interrupt: None }
    }

    /// A worker that gives back its jobs as soon as `interrupt` is true.
    #[must_use]
    pub fn interruptible(
        processor: Processor,
        uploads: ReadUploads,
        interrupt: watch::Receiver<bool>,
    ) -> Self {
        Self { processor, uploads, interrupt: Some(interrupt) }
    }

    async fn interrupted(&self) {
        if let Some(interrupt) = &self.interrupt {
            // If the sender is gone, nobody can interrupt any more.
            if interrupt.clone().wait_for(|now| *now).await.is_ok() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

/// The jobs that a message is about.
fn jobs_of(body: &str, uploads: ReadUploads) -> Option<Vec<JobId>> {
    match serde_json::from_str(body) {
        Ok(Message::ProcessJob { job_id }) => Some(vec![job_id]),
        Ok(Message::DeliverCallback { .. }) => None,
        Err(_) => uploads(body),
    }
}

#[async_trait]
impl Consume for Worker {
    async fn consume(&self, body: &str) -> Outcome {
        let Some(jobs) = jobs_of(body, self.uploads) else {
            // A newer release may have written it, so it is kept until it goes to the dead-letter queue, which raises
            // an alarm.
            tracing::error!(bytes = body.len(), "not a message of this queue");
            return Outcome::Retry(None);
        };
        let mut all = Outcome::Done;
        for job_id in jobs {
            let span = tracing::info_span!("job", %job_id);
            match self.processor.handle_until(job_id, self.interrupted()).instrument(span).await {
                Outcome::Done => {}
                retry @ Outcome::Retry(_) => all = retry,
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7";

    #[test]
    fn our_messages_and_uploads_name_their_jobs() {
        let job: JobId = JOB.parse().expect("a job id");
        let ours = format!(r#"{{"type":"process_job/1","job_id":"{JOB}"}}"#);
        assert_eq!(jobs_of(&ours, |_| None), Some(vec![job]));
        let uploads: ReadUploads = |body| body.parse().ok().map(|job| vec![job]);
        assert_eq!(jobs_of(JOB, uploads), Some(vec![job]));
    }

    #[test]
    fn other_messages_are_told_apart() {
        let callback = format!(r#"{{"type":"deliver_callback/1","job_id":"{JOB}"}}"#);
        for body in ["", "not JSON", "{}", r#"{"type":"process_job/2"}"#, &callback] {
            assert_eq!(jobs_of(body, |_| None), None, "{body}");
        }
    }
}
