//! Queues with the semantics of SQS: a received message is invisible for the visibility timeout and comes again unless
//! it is removed; one that was received too often goes to the dead-letter queue.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jobs::{
    error::PortError,
    message::Message,
    ports::{
        DeferMessages, MAX_BATCH, MAX_DEFERRAL, MAX_DELAY, Probe, ReceiveMessages, Received, SendMessages,
    },
};
use rusqlite::{OptionalExtension as _, Transaction, params};
use time::OffsetDateTime;
use tokio::{sync::Notify, time::Instant};
use uuid::Uuid;

use crate::database::Database;

/// How long a message is kept, dead letters included: the longest that SQS allows.
const RETENTION: Duration = Duration::from_secs(14 * 24 * 3_600);

/// How a queue treats its messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Its name in the database and in health checks.
    pub name: &'static str,
    /// The name of its dead-letter queue.
    pub dead_letters: &'static str,
    /// The visibility timeout of a received message.
    pub visibility: Duration,
    /// How often a message is received before it goes to the dead letters.
    pub receives: u32,
}

/// One queue.
#[derive(Clone, Debug)]
pub struct Queue {
    database: Database,
    terms: Terms,
    arrived: Arc<Notify>,
}

/// Milliseconds since 1970.
fn now() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Queue {
    pub(crate) fn new(database: Database, terms: Terms) -> Self {
        Self { database, terms, arrived: Arc::default() }
    }

    /// Adds a message within the caller's transaction, to be received after `delay`. [`Queue::wake`] must be called
    /// after it.
    pub(crate) fn add(
        &self,
        transaction: &Transaction<'_>,
        body: &str,
        delay: Duration,
    ) -> rusqlite::Result<()> {
        let now = now();
        transaction
            .prepare_cached("INSERT INTO messages (queue, body, sent, visible) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![self.terms.name, body, now, now.saturating_add(span(delay))])?;
        Ok(())
    }

    /// Wakes a receiver that waits for a message.
    pub(crate) fn wake(&self) {
        self.arrived.notify_one();
    }

    async fn send(&self, message: &Message, delay: Duration) -> Result<(), PortError> {
        const OPERATION: &str = "sending a message";
        let body = body_of(message, OPERATION)?;
        let (queue, delay) = (self.clone(), delay.min(MAX_DELAY));
        self.database.write(OPERATION, move |transaction| queue.add(transaction, &body, delay)).await?;
        self.wake();
        Ok(())
    }

    /// Receives the messages that are visible now, and otherwise tells when the next one will be.
    async fn take(&self, most: usize) -> Result<(Vec<Received>, Option<i64>), PortError> {
        let terms = self.terms;
        self.database
            .write("receiving messages", move |transaction| {
                let now = now();
                transaction
                    .prepare_cached(
                        "UPDATE messages SET queue = ?1, receipt = NULL
                         WHERE queue = ?2 AND visible <= ?3 AND receives >= ?4",
                    )?
                    .execute(params![terms.dead_letters, terms.name, now, terms.receives])?;
                let mut found = transaction.prepare_cached(
                    "SELECT id, body, receives FROM messages WHERE queue = ?1 AND visible <= ?2
                     ORDER BY visible, id LIMIT ?3",
                )?;
                let limit = i64::try_from(most.clamp(1, MAX_BATCH)).unwrap_or(1);
                let found = found.query_map(params![terms.name, now, limit], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?))
                })?;
                let mut received = Vec::new();
                for row in found.collect::<rusqlite::Result<Vec<_>>>()? {
                    let (id, body, before) = row;
                    let receipt = Uuid::new_v4().to_string();
                    transaction
                        .prepare_cached(
                            "UPDATE messages SET visible = ?1, receives = receives + 1, receipt = ?2, deferred = 0
                             WHERE id = ?3",
                        )?
                        .execute(params![now + span(terms.visibility), receipt, id])?;
                    received.push(Received { id: id.to_string(), receipt, body, receive_count: before + 1 });
                }
                let next = transaction
                    .prepare_cached("SELECT min(visible) FROM messages WHERE queue = ?1")?
                    .query_row([terms.name], |row| row.get(0))?;
                Ok((received, next))
            })
            .await
    }

    /// How many messages there are that can be received, and how old the oldest of them is.
    ///
    /// # Errors
    /// [`PortError`] when the database fails.
    pub async fn backlog(&self) -> Result<(u64, Duration), PortError> {
        let name = self.terms.name;
        let (count, oldest): (u64, Option<i64>) = self
            .database
            .read("counting messages", move |ask| {
                let mut one = ask.prepare_cached(
                    "SELECT count(*), min(sent) FROM messages WHERE queue = ?1 AND visible <= ?2",
                )?;
                one.query_row(params![name, now()], |row| Ok((row.get(0)?, row.get(1)?)))
            })
            .await?;
        let age = oldest.map_or(0, |sent| now().saturating_sub(sent));
        Ok((count, Duration::from_millis(u64::try_from(age).unwrap_or_default())))
    }

    /// How many dead letters there are.
    ///
    /// # Errors
    /// [`PortError`] when the database fails.
    pub async fn dead(&self) -> Result<u64, PortError> {
        let name = self.terms.dead_letters;
        self.database
            .read("counting dead letters", move |ask| {
                ask.query_row("SELECT count(*) FROM messages WHERE queue = ?1", [name], |row| row.get(0))
            })
            .await
    }

    /// Makes messages visible that were being handled by a process that is known to be dead.
    pub(crate) async fn end_deliveries(&self) -> Result<usize, PortError> {
        let name = self.terms.name;
        self.database
            .write("ending deliveries", move |transaction| {
                // A message that was put off stays invisible until its time.
                transaction.execute(
                    "UPDATE messages SET visible = ?1, receipt = NULL
                     WHERE queue = ?2 AND receipt IS NOT NULL AND deferred = 0",
                    params![now(), name],
                )
            })
            .await
    }

    /// Removes messages that are older than [`RETENTION`].
    pub(crate) async fn sweep(&self) -> Result<(), PortError> {
        let Terms { name, dead_letters, .. } = self.terms;
        let oldest = now().saturating_sub(span(RETENTION));
        self.database
            .write("removing old messages", move |transaction| {
                transaction.execute(
                    "DELETE FROM messages WHERE queue IN (?1, ?2) AND sent < ?3",
                    params![name, dead_letters, oldest],
                )
            })
            .await?;
        Ok(())
    }
}

/// A message as it is stored.
pub(crate) fn body_of(message: &Message, operation: &'static str) -> Result<String, PortError> {
    serde_json::to_string(message).map_err(|error| PortError {
        operation,
        retryable: false,
        cause: Box::new(error),
    })
}

#[async_trait]
impl ReceiveMessages for Queue {
    async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Received>, PortError> {
        let end = Instant::now() + wait;
        loop {
            // Registered before the queue is read, so that a message that is added in between is not missed.
            let arrived = self.arrived.notified();
            let (received, next) = self.take(most).await?;
            if !received.is_empty() || Instant::now() >= end {
                if received.len() == most {
                    // There may be more messages, for another receiver that waits.
                    self.wake();
                }
                return Ok(received);
            }
            let due = next.map_or(wait, |next| {
                Duration::from_millis(u64::try_from(next.saturating_sub(now())).unwrap_or_default())
            });
            let until = end.min(Instant::now() + due.max(Duration::from_millis(1)));
            // After a message or the time-out alike, the queue is read again.
            let _ = tokio::time::timeout_at(until, arrived).await;
        }
    }

    async fn remove(&self, receipt: &str) -> Result<(), PortError> {
        let receipt = receipt.to_owned();
        self.database
            .write("removing a message", move |transaction| {
                transaction.prepare_cached("DELETE FROM messages WHERE receipt = ?1")?.execute([receipt])
            })
            .await?;
        Ok(())
    }
}

#[async_trait]
impl DeferMessages for Queue {
    async fn defer(&self, receipt: &str, wait: Duration) -> Result<(), PortError> {
        let (receipt, wait) = (receipt.to_owned(), span(wait.min(MAX_DEFERRAL)));
        self.database
            .write("deferring a message", move |transaction| {
                transaction
                    .prepare_cached("UPDATE messages SET visible = ?1, deferred = 1 WHERE receipt = ?2")?
                    .execute(params![now().saturating_add(wait), receipt])
            })
            .await?;
        // Receivers that wait find out the new time.
        self.wake();
        Ok(())
    }
}

#[async_trait]
impl Probe for Queue {
    fn name(&self) -> &'static str {
        self.terms.name
    }

    async fn probe(&self) -> Result<(), PortError> {
        self.database
            .read("probing a queue", |ask| {
                ask.query_row("SELECT id FROM messages LIMIT 1", [], |_| Ok(())).optional()
            })
            .await?;
        Ok(())
    }
}

/// The dead letters of a queue.
#[derive(Clone, Debug)]
pub struct DeadLetters(Queue);

impl DeadLetters {
    /// Those of this queue.
    #[must_use]
    pub fn of(queue: &Queue) -> Self {
        let Queue { database, terms, .. } = queue;
        // A dead letter can be received any number of times: there is no further queue for it.
        let terms = Terms { name: terms.dead_letters, receives: u32::MAX, ..*terms };
        Self(Queue::new(database.clone(), terms))
    }
}

#[async_trait]
impl ReceiveMessages for DeadLetters {
    async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Received>, PortError> {
        self.0.receive(most, wait).await
    }

    async fn remove(&self, receipt: &str) -> Result<(), PortError> {
        self.0.remove(receipt).await
    }
}

#[async_trait]
impl DeferMessages for DeadLetters {
    async fn defer(&self, receipt: &str, wait: Duration) -> Result<(), PortError> {
        self.0.defer(receipt, wait).await
    }
}

#[async_trait]
impl Probe for DeadLetters {
    fn name(&self) -> &'static str {
        self.0.terms.name
    }

    async fn probe(&self) -> Result<(), PortError> {
        self.0.probe().await
    }
}

/// Both queues, each message to the one for its kind.
#[derive(Clone, Debug)]
pub struct Queues {
    /// The jobs queue.
    pub jobs: Queue,
    /// The callbacks queue.
    pub callbacks: Queue,
}

#[async_trait]
impl SendMessages for Queues {
    async fn send(&self, message: Message, delay: Duration) -> Result<(), PortError> {
        match message {
            Message::ProcessJob { .. } => self.jobs.send(&message, delay).await,
            Message::DeliverCallback { .. } => self.callbacks.send(&message, delay).await,
        }
    }
}
