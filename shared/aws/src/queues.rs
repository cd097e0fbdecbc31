//! Messages in SQS.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::{Client, types::QueueAttributeName};
use jobs::{
    error::PortError,
    message::Message,
    ports::{DeferMessages, MAX_DEFERRAL, Probe, SendMessages},
};

use crate::error::{broken, port_error};

/// One queue.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    name: &'static str,
    url: String,
}

impl Queue {
    pub(crate) fn new(client: Client, name: &'static str, url: String) -> Self {
        Self { client, name, url }
    }

    async fn send(&self, message: &Message) -> Result<(), PortError> {
        const OPERATION: &str = "sending a message";
        let body = serde_json::to_string(message).map_err(|error| broken(OPERATION, error))?;
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .send()
            .await
            .map_err(port_error(OPERATION))?;
        Ok(())
    }
}

#[async_trait]
impl DeferMessages for Queue {
    async fn defer(&self, receipt: &str, wait: Duration) -> Result<(), PortError> {
        let wait = wait.min(MAX_DEFERRAL);
        // Rounded up: a message that comes early would only be put off once more.
        let seconds = i32::try_from(wait.as_secs()).unwrap_or(i32::MAX) + i32::from(wait.subsec_nanos() > 0);
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt)
            .visibility_timeout(seconds)
            .send()
            .await
            .map_err(port_error("deferring a message"))?;
        Ok(())
    }
}

/// The queues that a function sends to, each message to the queue for its kind. A function leaves out a queue that
/// it has no right to send to.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    /// Takes work.
    pub jobs: Option<Queue>,
    /// Takes callbacks.
    pub callbacks: Option<Queue>,
}

#[async_trait]
impl SendMessages for Queues {
    async fn send(&self, message: Message) -> Result<(), PortError> {
        let queue = match message {
            Message::ProcessJob { .. } => &self.jobs,
            Message::DeliverCallback { .. } => &self.callbacks,
        };
        match queue {
            Some(queue) => queue.send(&message).await,
            None => Err(broken("sending a message", "this function was given no queue for it")),
        }
    }
}

#[async_trait]
impl Probe for Queue {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn probe(&self) -> Result<(), PortError> {
        self.client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .map_err(port_error("describing a queue"))?;
        Ok(())
    }
}
