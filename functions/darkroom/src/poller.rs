//! Feeding a handler from a queue, as Lambda's event source mapping does for the functions.

use std::{sync::Arc, time::Duration};

use jobs::{error::Chain, ports::Received, process::Outcome};
use runtime::sqs::{Consume, backoff};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::Instrument as _;

use crate::stores::Inbox;

/// How long one call waits for a message. Stopping may have to wait as long for the call.
const WAIT: Duration = Duration::from_secs(2);

/// The wait after a queue failed: the first one, doubled each time up to the second one.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// How long interrupted handlers have to give back what they hold.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// One queue, and what handles its messages.
pub(crate) struct Poller {
    pub name: &'static str,
    pub queue: Arc<dyn Inbox>,
    pub consumer: Arc<dyn Consume>,
    /// How many messages are handled at the same time.
    pub at_once: usize,
}

/// How a poller is shut down.
#[derive(Clone)]
pub(crate) struct Ending {
    /// True once no new message is to be taken.
    pub stop: watch::Receiver<bool>,
    /// Set to true when messages that are still being handled are to be given back.
    pub interrupt: watch::Sender<bool>,
    /// How long handlers may go on after `stop`.
    pub grace: Duration,
}

impl Poller {
    /// Polls until it is told to stop, and then until every message that was taken is handled or given back.
    pub(crate) async fn run(self, mut ending: Ending) {
        let slots = Arc::new(Semaphore::new(self.at_once));
        let mut handlers = JoinSet::new();
        let mut pause = PAUSE.0;
        while let Some(slot) = self.slot(&slots, &mut ending.stop).await {
            while let Some(ended) = handlers.try_join_next() {
                note(ended);
            }
            let most = 1 + slots.available_permits();
            match self.queue.receive(most, WAIT).await {
                Ok(messages) => {
                    pause = PAUSE.0;
                    let mut slot = Some(slot);
                    for message in messages {
                        // The first message has its slot already. For each other one a slot is free.
                        let slot = slot.take().or_else(|| slots.clone().try_acquire_owned().ok());
                        handlers.spawn(self.handle(message, slot));
                    }
                }
                Err(error) => {
                    tracing::warn!(queue = self.name, error = %Chain(&error), "the queue failed; trying again");
                    let _ = timeout(pause, ending.stop.wait_for(|stop| *stop)).await;
                    pause = (2 * pause).min(PAUSE.1);
                }
            }
        }
        let end = Instant::now() + ending.grace;
        while let Ok(Some(ended)) = timeout_at(end, handlers.join_next()).await {
            note(ended);
        }
        if !handlers.is_empty() {
            tracing::info!(queue = self.name, messages = handlers.len(), "giving back what is not done");
            ending.interrupt.send_replace(true);
            let end = Instant::now() + GIVING_BACK;
            while let Ok(Some(ended)) = timeout_at(end, handlers.join_next()).await {
                note(ended);
            }
        }
    }

    /// A free slot, or nothing once no new message is to be taken.
    async fn slot(
        &self,
        slots: &Arc<Semaphore>,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => None,
            slot = slots.clone().acquire_owned() => slot.ok(),
        }
    }

    fn handle(
        &self,
        message: Received,
        slot: Option<OwnedSemaphorePermit>,
    ) -> impl Future<Output = ()> + use<> {
        let (queue, consumer) = (self.queue.clone(), self.consumer.clone());
        let span =
            tracing::info_span!("message", message_id = message.id, receive_count = message.receive_count);
        let handling = async move {
            let done = match consumer.consume(&message.body).await {
                Outcome::Done => queue.remove(&message.receipt).await,
                Outcome::Retry(wait) => {
                    let wait = wait.unwrap_or_else(|| backoff(message.receive_count));
                    queue.defer(&message.receipt, wait).await
                }
            };
            if let Err(error) = done {
                // The message comes again, and has no effect the second time.
                tracing::warn!(error = %Chain(&error), "the queue was not told what became of the message");
            }
            drop(slot);
        };
        handling.instrument(span)
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = %Chain(&error), "a handler panicked; its message comes again");
    }
}

/// Repeats something until told to stop, first at once and then after each `pause`.
pub(crate) async fn repeat<F: Future<Output = ()>>(
    pause: Duration,
    mut stop: watch::Receiver<bool>,
    mut work: impl FnMut() -> F,
) {
    loop {
        work().await;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use jobs::{
        error::PortError,
        ports::{DeferMessages, ReceiveMessages},
    };

    use super::*;

    /// A queue that hands out given messages and notes what becomes of them. Its first call fails.
    #[derive(Default)]
    struct Script {
        messages: Mutex<Vec<Received>>,
        noted: Mutex<Vec<String>>,
        failed: Mutex<bool>,
    }

    impl Script {
        fn of(bodies: &[&str]) -> Arc<Self> {
            let message = |body: &&str| Received {
                id: (*body).to_owned(),
                receipt: format!("receipt of {body}"),
                body: (*body).to_owned(),
                receive_count: 3,
            };
            Arc::new(Self { messages: Mutex::new(bodies.iter().map(message).collect()), ..Self::default() })
        }

        fn noted(&self) -> Vec<String> {
            let mut noted = self.noted.lock().expect("not poisoned").clone();
            noted.sort();
            noted
        }
    }

    #[async_trait]
    impl ReceiveMessages for Script {
        async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Received>, PortError> {
            if !std::mem::replace(&mut *self.failed.lock().expect("not poisoned"), true) {
                return Err(PortError { operation: "receiving", retryable: true, cause: "throttled".into() });
            }
            let received: Vec<_> = {
                let mut messages = self.messages.lock().expect("not poisoned");
                let taken = most.min(messages.len());
                messages.drain(..taken).collect()
            };
            if received.is_empty() {
                sleep(wait).await;
            }
            Ok(received)
        }

        async fn remove(&self, receipt: &str) -> Result<(), PortError> {
            self.noted.lock().expect("not poisoned").push(format!("removed {receipt}"));
            Ok(())
        }
    }

    #[async_trait]
    impl DeferMessages for Script {
        async fn defer(&self, receipt: &str, wait: Duration) -> Result<(), PortError> {
            let text = format!("deferred {receipt} by {} s", wait.as_secs());
            self.noted.lock().expect("not poisoned").push(text);
            Ok(())
        }
    }

    struct ByBody {
        interrupt: watch::Receiver<bool>,
        at_once: Mutex<(usize, usize)>,
    }

    #[async_trait]
    impl Consume for ByBody {
        async fn consume(&self, body: &str) -> Outcome {
            {
                let mut at_once = self.at_once.lock().expect("not poisoned");
                at_once.0 += 1;
                at_once.1 = at_once.1.max(at_once.0);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.at_once.lock().expect("not poisoned").0 -= 1;
            match body {
                "again" => Outcome::Retry(None),
                "later" => Outcome::Retry(Some(Duration::from_secs(7))),
                "panics" => panic!("as a broken handler does"),
                "endless" => {
                    self.interrupt.clone().wait_for(|now| *now).await.expect("a sender");
                    Outcome::Retry(Some(Duration::ZERO))
                }
                _ => Outcome::Done,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_message_is_handled_and_told_of_and_what_is_not_done_is_given_back_at_the_end() {
        let script = Script::of(&["a", "again", "later", "panics", "endless", "b", "c"]);
        let (stop, stopped) = watch::channel(false);
        let (interrupt, interrupted) = watch::channel(false);
        let consumer = Arc::new(ByBody { interrupt: interrupted, at_once: Mutex::default() });
        let poller = Poller { name: "test", queue: script.clone(), consumer: consumer.clone(), at_once: 2 };
        let grace = Duration::from_secs(20);
        let running = tokio::spawn(poller.run(Ending { stop: stopped, interrupt, grace }));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(
            script.noted(),
            [
                "deferred receipt of again by 40 s",
                "deferred receipt of later by 7 s",
                "removed receipt of a",
                "removed receipt of b",
                "removed receipt of c",
            ]
        );
        assert_eq!(consumer.at_once.lock().expect("not poisoned").1, 2, "two at a time, and no more");
        let started = Instant::now();
        stop.send_replace(true);
        running.await.expect("ends");
        assert!(started.elapsed() >= grace);
        assert!(script.noted().contains(&"deferred receipt of endless by 0 s".to_owned()));
    }
}
