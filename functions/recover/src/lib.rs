//! Recovering overdue jobs every minute, and the jobs of dead letters at any time.

use async_trait::async_trait;
use aws_lambda_events::sqs::SqsMessage;
use jobs::{
    error::Chain,
    id::{JobId, SHARDS},
    message::{Message, ReadUploads},
    process::Outcome,
    recover::{Recoverer, Report},
};
use runtime::sqs::Consume;
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::task::JoinSet;

/// The event that the function is called with: dead letters, or the schedule, every minute.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// Messages of a dead-letter queue; `None` in the schedule's events.
    #[serde(rename = "Records")]
    pub dead_letters: Option<Vec<SqsMessage>>,
}

/// Recovers every overdue job, all shards at the same time; begins none after `until`.
pub async fn sweep(recoverer: &Recoverer, until: OffsetDateTime) -> Report {
    let mut shards = JoinSet::new();
    for shard in 0..SHARDS {
        let recoverer = recoverer.clone();
        shards.spawn(async move { recoverer.sweep(shard, until).await });
    }
    let mut report = Report::default();
    while let Some(swept) = shards.join_next().await {
        match swept {
            Ok(Ok(swept)) => report = report.and(swept),
            Ok(Err(error)) => {
                tracing::warn!(error = %Chain(&error), "a shard was not swept; the next run goes on");
                report.failed += 1;
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "a sweep panicked");
                report.failed += 1;
            }
        }
    }
    if !report.is_empty() {
        let Report { queued, ended, announced, tidied, failed } = report;
        tracing::warn!(queued, ended, announced, tidied, failed, "some jobs were overdue");
    }
    report
}

/// Handles dead letters. The job's row says what is owed, so a dead letter only means that it may be due sooner. One
/// that cannot be read is dropped.
pub struct DeadLetters {
    /// Recovers the jobs that are named.
    pub recoverer: Recoverer,
    /// Reads the object store's own messages among them.
    pub uploads: ReadUploads,
}

/// The jobs that a message of either queue is about.
fn jobs_of(body: &str, uploads: ReadUploads) -> Vec<JobId> {
    match serde_json::from_str::<Message>(body) {
        Ok(message) => vec![message.job_id()],
        Err(_) => uploads(body).unwrap_or_else(|| {
            tracing::error!(bytes = body.len(), "a dead letter is no message of ours; it is removed");
            Vec::new()
        }),
    }
}

#[async_trait]
impl Consume for DeadLetters {
    async fn consume(&self, body: &str) -> Outcome {
        let mut all = Outcome::Done;
        for job in jobs_of(body, self.uploads) {
            tracing::warn!(job_id = %job, "a message about the job was given up");
            if self.recoverer.recover_message(job).await.failed > 0 {
                all = Outcome::Retry(None);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_are_told_from_the_schedule() {
        let letters =
            r#"{"Records": [{"messageId": "1", "receiptHandle": "r", "body": "{}", "attributes": {}}]}"#;
        let read: Event = serde_json::from_str(letters).expect("letters");
        assert_eq!(read.dead_letters.map(|letters| letters.len()), Some(1));
        serde_json::from_str::<Event>(r#"{"Records": [{"body": 1}]}"#).expect_err("not what SQS sends");
        let minute =
            r#"{"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}"#;
        for text in [minute, "{}"] {
            let read: Event = serde_json::from_str(text).expect("a schedule");
            assert!(read.dead_letters.is_none(), "{text}");
        }
    }

    #[test]
    fn letters_of_either_queue_and_of_the_object_store_name_their_jobs_and_others_none() {
        let job = "01990c2f-7c1e-7d3b-8a51-3f2f6f1d2aa7";
        let uploads: ReadUploads = |body| body.parse().ok().map(|job| vec![job]);
        for body in [
            format!(r#"{{"type":"process_job/1","job_id":"{job}"}}"#),
            format!(r#"{{"type":"deliver_callback/1","job_id":"{job}"}}"#),
            job.to_owned(),
        ] {
            assert_eq!(jobs_of(&body, uploads), [job.parse().expect("a job id")], "{body}");
        }
        let long = "x".repeat(256 << 10);
        for body in ["", "not JSON", "{}", r#"{"type":"process_job/9","job_id":"x"}"#, &long] {
            assert_eq!(jobs_of(body, uploads), []);
        }
    }
}
