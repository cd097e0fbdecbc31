//! Messages in SQS.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    operation::delete_message::DeleteMessageError,
    types::{MessageSystemAttributeName, QueueAttributeName},
};
use jobs::{
    error::PortError,
    message::Message,
    ports::{
        DeferMessages, MAX_BATCH, MAX_DEFERRAL, MAX_DELAY, Probe, ReceiveMessages, Received, SendMessages,
    },
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

    async fn send(&self, message: &Message, delay: Duration) -> Result<(), PortError> {
        const OPERATION: &str = "sending a message";
        let body = serde_json::to_string(message).map_err(|error| broken(OPERATION, error))?;
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .delay_seconds(whole_seconds(delay.min(MAX_DELAY)))
            .send()
            .await
            .map_err(port_error(OPERATION))?;
        Ok(())
    }
}

/// A wait in whole seconds, as SQS takes it. It is rounded up, because a message that came early would be put off
/// again.
fn whole_seconds(wait: Duration) -> i32 {
    i32::try_from(wait.as_secs()).unwrap_or(i32::MAX).saturating_add(i32::from(wait.subsec_nanos() > 0))
}

#[async_trait]
impl DeferMessages for Queue {
    async fn defer(&self, receipt: &str, wait: Duration) -> Result<(), PortError> {
        let seconds = whole_seconds(wait.min(MAX_DEFERRAL));
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

/// The longest that one call waits for a message: SQS allows 20 s, and a call is given [`crate::WORKER_PATIENCE`].
const MAX_WAIT: Duration = Duration::from_secs(5);

#[async_trait]
impl ReceiveMessages for Queue {
    async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Received>, PortError> {
        let (most, wait) = (most.clamp(1, MAX_BATCH), wait.min(MAX_WAIT));
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(most).unwrap_or(1))
            .wait_time_seconds(i32::try_from(wait.as_secs()).unwrap_or_default())
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(port_error("receiving messages"))?;
        let received = answer.messages.unwrap_or_default().into_iter().map(|message| Received {
            receive_count: message
                .attributes
                .as_ref()
                .and_then(|attributes| attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount))
                .and_then(|count| count.parse().ok())
                .unwrap_or(1),
            id: message.message_id.unwrap_or_default(),
            receipt: message.receipt_handle.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
        });
        Ok(received.collect())
    }

    async fn remove(&self, receipt: &str) -> Result<(), PortError> {
        match self.client.delete_message().queue_url(&self.url).receipt_handle(receipt).send().await {
            Ok(_) => Ok(()),
            // Some services that speak SQS's API no longer know the receipt of a message that is gone.
            Err(error)
                if error.as_service_error().is_some_and(DeleteMessageError::is_receipt_handle_is_invalid) =>
            {
                Ok(())
            }
            Err(error) => Err(port_error("removing a message")(error)),
        }
    }
}

/// The queues that a function sends to, each message to the queue for its kind. A function leaves out a queue that
/// it has no right to send to.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    /// The jobs queue.
    pub jobs: Option<Queue>,
    /// The callbacks queue.
    pub callbacks: Option<Queue>,
}

#[async_trait]
impl SendMessages for Queues {
    async fn send(&self, message: Message, delay: Duration) -> Result<(), PortError> {
        let queue = match message {
            Message::ProcessJob { .. } => &self.jobs,
            Message::DeliverCallback { .. } => &self.callbacks,
        };
        match queue {
            Some(queue) => queue.send(&message, delay).await,
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
