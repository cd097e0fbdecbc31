//! SQS batches: each message is handled by itself, and only those that must come again are reported as failed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::future::join_all;
use jobs::{error::Chain, limits::doubled, ports::DeferMessages, process::Outcome};
use lambda_runtime::{LambdaEvent, service_fn};
use tracing::Instrument as _;

/// The wait of a message that was received for the n-th time and has no wait of its own: 10 s, doubled each time, at
/// most ten minutes. A message becomes a dead letter after ten deliveries, which take 40 minutes.
#[must_use]
pub fn backoff(receive_count: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(10);
    const MOST: Duration = Duration::from_secs(600);
    doubled(FIRST, receive_count.saturating_sub(1), MOST)
}

/// Handles the messages of one queue.
#[async_trait]
pub trait Consume: Send + Sync {
    /// Handles one message's body. One that cannot be read is retried until it goes to the dead-letter queue.
    async fn consume(&self, body: &str) -> Outcome;
}

/// Handles batches for as long as Lambda keeps the process. `queue` puts off the messages that must come again.
///
/// # Errors
/// When the runtime API cannot be reached.
pub async fn run(
    consumer: Arc<dyn Consume>,
    queue: Arc<dyn DeferMessages>,
) -> Result<(), lambda_runtime::Error> {
    lambda_runtime::run(service_fn(move |event: LambdaEvent<SqsEvent>| {
        let (consumer, queue) = (consumer.clone(), queue.clone());
        async move {
            let span = tracing::info_span!("batch", request_id = event.context.request_id);
            let response = batch(&*consumer, Some(&*queue), event.payload.records).instrument(span).await;
            Ok::<_, lambda_runtime::Error>(response)
        }
    }))
    .await
}

/// Handles the messages of one batch at the same time, so that none waits for another. Without a `queue`, a message
/// that must come again does so after the queue's visibility timeout.
pub async fn batch(
    consumer: &dyn Consume,
    queue: Option<&dyn DeferMessages>,
    messages: Vec<SqsMessage>,
) -> SqsBatchResponse {
    let handled = join_all(messages.into_iter().map(|message| one(consumer, queue, message))).await;
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = handled.into_iter().flatten().collect();
    response
}

/// Handles one message. One that must come again is put off, and is a failure.
async fn one(
    consumer: &dyn Consume,
    queue: Option<&dyn DeferMessages>,
    message: SqsMessage,
) -> Option<BatchItemFailure> {
    let id = message.message_id.unwrap_or_default();
    let receive_count =
        message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
    let span = tracing::info_span!("message", message_id = id, receive_count);
    async {
        let Outcome::Retry(wait) = consumer.consume(&message.body.unwrap_or_default()).await else {
            return None;
        };
        let wait = wait.unwrap_or_else(|| backoff(receive_count));
        if let (Some(queue), Some(receipt)) = (queue, message.receipt_handle)
            && let Err(error) = queue.defer(&receipt, wait).await
        {
            tracing::warn!(error = %Chain(&error), "the wait stays the queue's own");
        }
        Some(failure(id.clone()))
    }
    .instrument(span)
    .await
}

fn failure(id: String) -> BatchItemFailure {
    let mut failure = BatchItemFailure::default();
    failure.item_identifier = id;
    failure
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jobs::error::PortError;

    use super::*;

    struct ByBody;

    #[async_trait]
    impl Consume for ByBody {
        async fn consume(&self, body: &str) -> Outcome {
            match body {
                "later" => Outcome::Retry(Some(Duration::from_secs(7))),
                "again" => Outcome::Retry(None),
                _ => Outcome::Done,
            }
        }
    }

    #[derive(Default)]
    struct Deferred(Mutex<Vec<(String, Duration)>>);

    #[async_trait]
    impl DeferMessages for Deferred {
        async fn defer(&self, receipt: &str, wait: Duration) -> Result<(), PortError> {
            self.0.lock().expect("not poisoned").push((receipt.to_owned(), wait));
            Ok(())
        }
    }

    #[tokio::test]
    async fn only_what_must_come_again_is_reported_and_put_off() {
        let event: SqsEvent = serde_json::from_str(
            r#"{"Records": [
                {"messageId": "1", "receiptHandle": "r1", "body": "done", "attributes": {}},
                {"messageId": "2", "receiptHandle": "r2", "body": "later", "attributes": {}},
                {"messageId": "3", "receiptHandle": "r3", "body": "again",
                 "attributes": {"ApproximateReceiveCount": "3"}},
                {"messageId": "4", "receiptHandle": "r4"}
            ]}"#,
        )
        .expect("an event");
        let deferred = Deferred::default();
        let response = batch(&ByBody, Some(&deferred), event.records).await;
        let failed: Vec<_> =
            response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        assert_eq!(failed, ["2", "3"]);
        let put_off = deferred.0.into_inner().expect("not poisoned");
        let expected = [("r2", 7), ("r3", 40)];
        assert_eq!(put_off, expected.map(|(receipt, wait)| (receipt.to_owned(), Duration::from_secs(wait))));
    }

    #[test]
    fn waits_grow_to_ten_minutes() {
        let waits: Vec<_> = (1..=9).map(|count| backoff(count).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(backoff(u32::MAX), Duration::from_secs(600));
    }
}
