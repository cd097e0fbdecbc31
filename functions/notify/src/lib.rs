//! Delivering callbacks: one message, one POST.

use std::sync::Arc;

use async_trait::async_trait;
use http_api::{Links, view::JobView};
use jobs::{job::Job, message::Message, notify::Notifier, process::Outcome};
use runtime::sqs::Consume;
use serde_json::Value;
use tracing::Instrument as _;

/// Handles the callbacks queue.
pub struct Courier {
    notifier: Notifier,
}

impl Courier {
    /// A courier.
    #[must_use]
    pub fn new(notifier: Notifier) -> Self {
        Self { notifier }
    }
}

/// Describes jobs as the API does, with `links`.
#[must_use]
pub fn describe(links: Links) -> Arc<dyn Fn(&Job) -> Value + Send + Sync> {
    Arc::new(move |job| serde_json::to_value(JobView::new(job, &links)).unwrap_or_default())
}

#[async_trait]
impl Consume for Courier {
    async fn consume(&self, body: &str) -> Outcome {
        let Ok(Message::DeliverCallback { job_id }) = serde_json::from_str(body) else {
            // A newer release may have written it, so it is kept until it goes to the dead-letter queue, which raises
            // an alarm.
            tracing::error!(bytes = body.len(), "not a message of this queue");
            return Outcome::Retry(None);
        };
        self.notifier.handle(job_id).instrument(tracing::info_span!("job", %job_id)).await
    }
}
