//! Delivering callbacks: one POST a try, after the [Standard Webhooks] specification, and signed if the client gave a
//! key.
//!
//! [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

use std::{borrow::Cow, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    callback::{self, Callback, CallbackState, TryNumber},
    error::{Chain, PortError, WriteError},
    hosts::Hosts,
    id::JobId,
    job::{IllegalChange, Job, Status},
    limits::{Limits, doubled},
    message::Message,
    ports::{Answer, CallbackRequest, Clock, MAX_DELAY, PostCallbacks, ReadJobs, SendMessages, WriteJobs},
    process::{Outcome, after_failure, outcome_of_early},
    secret::Secret,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The wait after each failed try, in seconds, as Standard Webhooks recommends. Together they are some three days; the
/// try after the last wait is the last.
pub const BACKOFF: [u64; 11] = [
    5,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    10 * HOUR,
    10 * HOUR,
    10 * HOUR,
    11 * HOUR,
    11 * HOUR,
];

/// The longest that a receiver may ask us to wait.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(12 * HOUR);

/// The longest that one try may take, reading and writing the row included.
const LONGEST_TRY: Duration = Duration::from_secs(30);

/// How often the outcome of a try is written again when others write the job at the same time.
const WRITE_TRIES: u32 = 5;

/// Delivers callbacks.
#[derive(Clone)]
pub struct Notifier {
    /// Reads jobs.
    pub jobs: Arc<dyn ReadJobs>,
    /// Writes the tries into the rows.
    pub writer: Arc<dyn WriteJobs>,
    /// Posts callbacks.
    pub poster: Arc<dyn PostCallbacks>,
    /// Sends the message for the next try.
    pub queue: Arc<dyn SendMessages>,
    /// Keeps slow receivers from holding up others.
    pub hosts: Hosts,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The limits of this deployment.
    pub limits: Limits,
    /// Describes a job as its owner sees it, with absolute links.
    pub describe: Arc<dyn Fn(&Job) -> Value + Send + Sync>,
}

impl Notifier {
    /// Makes one try, if the job still owes its callback.
    pub async fn handle(&self, id: JobId) -> Outcome {
        self.try_handle(id).await.unwrap_or_else(|error| after_failure(&error))
    }

    async fn try_handle(&self, id: JobId) -> Result<Outcome, PortError> {
        let Some(mut job) = self.jobs.get(id).await? else {
            tracing::info!("the job is gone; nothing to deliver");
            return Ok(Outcome::Done);
        };
        let Some(callback) = job.callback().filter(|_| job.owes_callback()).cloned() else {
            tracing::info!("the callback is settled; nothing to deliver");
            return Ok(Outcome::Done);
        };
        let (now, tried) = (self.clock.now(), callback.tried());
        if let Some(due) = callback.next_try_at.filter(|due| *due > now) {
            tracing::info!(%due, "a copy of the message came early");
            return Ok(outcome_of_early(due, now, callback.wake_at.is_some()));
        }
        let Some(visit) = self.hosts.visit(callback.url.host_str().unwrap_or_default(), now) else {
            return self.put_off(job, &callback, now).await;
        };
        let Ok(number) = self.begin(&mut job, tried, now) else { return Ok(Outcome::Done) };
        match self.writer.write(&mut job).await {
            Ok(()) => {}
            Err(WriteError::Conflict) => return Ok(Outcome::Retry(Some(Duration::from_secs(1)))),
            Err(WriteError::Port(error)) => return Err(error),
        }
        let Some(number) = number else {
            tracing::warn!("the last try's outcome was never written; the callback is given up");
            return Ok(Outcome::Done);
        };
        let answer = self.poster.post(&self.request(&job, &callback)).await;
        let answered = self.clock.now();
        visit.note(answer != Answer::None, answered);
        drop(visit);
        let (state, wait) = verdict(answer, tried);
        let wait = wait.map(|wait| wait + jitter(&job, tried, wait));
        let next_try_at = wait.map(|wait| answered + wait).filter(|next| *next < job.expires_at());
        let state = if wait.is_some() && next_try_at.is_none() { CallbackState::Failed } else { state };
        let status = match answer {
            Answer::Status { code, .. } => Some(code),
            Answer::None | Answer::Refused => None,
        };
        let milliseconds = u32::try_from((answered - now).whole_milliseconds()).unwrap_or_default();
        tracing::info!(attempt = tried + 1, status, ?state, milliseconds, "callback tried");
        let outcome = callback::Outcome { state, status, milliseconds, next_try_at };
        if let Err(error) = self.note(job, number, outcome).await {
            tracing::warn!(error = %Chain(&error), "a try's outcome was not written; the next one is made all the same");
        }
        if let Some(wait) = next_try_at.map(|next| Duration::try_from(next - answered).unwrap_or_default())
            && wait <= MAX_DELAY
            && let Err(error) = self.queue.send(Message::DeliverCallback { job_id: id }, wait).await
        {
            tracing::warn!(error = %Chain(&error), "the next try's message was not sent; it is made later");
        }
        Ok(Outcome::Done)
    }

    /// Puts off a callback whose receiver is busy or does not answer. The time is written into the row, so that copies
    /// of its message do not each try on their own.
    async fn put_off(
        &self,
        mut job: Job,
        callback: &Callback,
        now: OffsetDateTime,
    ) -> Result<Outcome, PortError> {
        let wait = put_off_wait(&job, callback.announced);
        tracing::info!(?wait, "the receiver is busy or does not answer; put off");
        if job.put_callback_off(now, now + wait, self.limits.patience).is_err() {
            return Ok(Outcome::Done);
        }
        match self.writer.write(&mut job).await {
            Ok(()) => {}
            // Another copy of the message was quicker.
            Err(WriteError::Conflict) => return Ok(Outcome::Done),
            Err(WriteError::Port(error)) => return Err(error),
        }
        self.queue.send(Message::DeliverCallback { job_id: job.id() }, wait).await?;
        Ok(Outcome::Done)
    }

    /// Takes the right to make one try and returns its number. A callback that has had all its tries is given up
    /// instead, and `None` is returned.
    fn begin(
        &self,
        job: &mut Job,
        tried: u32,
        now: OffsetDateTime,
    ) -> Result<Option<TryNumber>, IllegalChange> {
        if usize::try_from(tried).is_ok_and(|tried| tried > BACKOFF.len()) {
            return job.abandon_callback(now).map(|()| None);
        }
        let wait = LONGEST_TRY + backoff(tried).unwrap_or_default();
        job.begin_callback_try(now, now + wait, self.patience_for(wait)).map(Some)
    }

    /// How long the message of a try that is due after `wait` has to arrive. No message can be delayed for longer than
    /// [`MAX_DELAY`], so for such a wait recovery sends one as soon as the row is due.
    fn patience_for(&self, wait: Duration) -> Duration {
        if wait <= MAX_DELAY { self.limits.patience } else { Duration::ZERO }
    }

    /// Writes the outcome of a try, again if others write the row at the same time.
    async fn note(
        &self,
        mut job: Job,
        number: TryNumber,
        outcome: callback::Outcome,
    ) -> Result<(), PortError> {
        for _ in 0..WRITE_TRIES {
            let now = self.clock.now();
            let wait = outcome
                .next_try_at
                .map_or(Duration::ZERO, |next| Duration::try_from(next - now).unwrap_or_default());
            if job.end_callback_try(number, outcome, now, self.patience_for(wait)).is_err() {
                return Ok(());
            }
            match self.writer.write(&mut job).await {
                Ok(()) => return Ok(()),
                Err(WriteError::Port(error)) => return Err(error),
                Err(WriteError::Conflict) => match self.jobs.get(job.id()).await? {
                    Some(newer) => job = newer,
                    None => return Ok(()),
                },
            }
        }
        Err(PortError {
            operation: "noting a callback's outcome",
            retryable: true,
            cause: "others kept writing the job".into(),
        })
    }

    fn request(&self, job: &Job, callback: &Callback) -> CallbackRequest {
        let now = self.clock.now();
        let kind = if job.status() == Status::Succeeded { "job.succeeded" } else { "job.failed" };
        let ended = job.finished_at().unwrap_or(now).format(&Rfc3339).unwrap_or_default();
        let body = json!({"type": kind, "timestamp": ended, "data": (self.describe)(job)}).to_string();
        let id = format!("msg_{}", job.id());
        let own = |name: &'static str, value: String| (Cow::Borrowed(name), Secret::new(value));
        let mut headers = vec![
            own("content-type", "application/json".to_owned()),
            own("webhook-id", id.clone()),
            own("webhook-timestamp", now.unix_timestamp().to_string()),
        ];
        match callback.token.as_ref().and_then(Token::of) {
            Some(Token::Key(key)) => headers.push(own("webhook-signature", sign(&key, &id, now, &body))),
            Some(Token::Bearer(token)) => headers.push(own("authorization", format!("Bearer {token}"))),
            None => {}
        }
        headers.extend(callback.headers.iter().map(|(name, value)| (name.clone().into(), value.clone())));
        CallbackRequest { url: callback.url.clone(), headers, body }
    }
}

/// The state of a callback after an answer, and the wait before the next try.
fn verdict(answer: Answer, tried: u32) -> (CallbackState, Option<Duration>) {
    let asked = match answer {
        Answer::Status { code: 200..=299, .. } => return (CallbackState::Delivered, None),
        Answer::Status { code: 410, .. } | Answer::Refused => return (CallbackState::Failed, None),
        Answer::Status { retry_after, .. } => retry_after,
        Answer::None => None,
    };
    backoff(tried).map_or((CallbackState::Failed, None), |wait| {
        (CallbackState::Pending, Some(wait.max(asked.unwrap_or_default().min(LONGEST_RETRY_AFTER))))
    })
}

/// The wait after a try that follows `tried` others; `None` if it is the last.
fn backoff(tried: u32) -> Option<Duration> {
    let seconds = usize::try_from(tried).ok().and_then(|tried| BACKOFF.get(tried));
    seconds.map(|&seconds| Duration::from_secs(seconds))
}

/// How long to put off a callback whose receiver is busy, if it was put off `times` times before: longer each time, and
/// spread so that not all callbacks come back at the same time.
fn put_off_wait(job: &Job, times: u32) -> Duration {
    const MOST: Duration = Duration::from_secs(600);
    let spread = job.finished_at().map_or(0, |ended| u64::from(ended.millisecond()) % 25);
    doubled(Duration::from_secs(5 + spread), times, MOST)
}

/// The jitter that is added to `wait`, at most a tenth of it, so that the callbacks of jobs that ended within the same
/// minutes do not all come back at once to a receiver that was down. It is derived from the millisecond at which the
/// job ended, so every process computes the same.
fn jitter(job: &Job, tried: u32, wait: Duration) -> Duration {
    let ended = job.finished_at().map_or(0, |ended| ended.unix_timestamp_nanos() / 1_000_000);
    let digest = Sha256::digest(format!("{ended}.{tried}"));
    let part = u32::from(u16::from_be_bytes([digest[0], digest[1]]));
    // Queues count in whole seconds.
    Duration::from_secs((wait / 10 * part / u32::from(u16::MAX)).as_secs())
}

/// The two kinds of `callback_token`.
pub(crate) enum Token<'a> {
    /// The key that callbacks are signed with; it is never sent. The token is `whsec_` and the key in Base64.
    Key(Vec<u8>),
    /// A text that is sent with each callback. Whoever sees one callback knows it, so it signs nothing.
    Bearer(&'a str),
}

impl<'a> Token<'a> {
    const PREFIX: &'static str = "whsec_";

    /// The kind of a stored job's token. None for a key that is not Base64, which no release has accepted: it signs
    /// nothing, because with an empty key anybody could.
    fn of(token: &'a Secret) -> Option<Self> {
        let text = token.expose();
        match text.strip_prefix(Self::PREFIX) {
            Some(encoded) => BASE64_STANDARD.decode(encoded).ok().map(Self::Key),
            None => Some(Self::Bearer(text)),
        }
    }

    /// Whether a token can be accepted. A bearer token always can; a key must be the Base64 of as many bytes as
    /// Standard Webhooks asks for.
    pub(crate) fn is_acceptable(token: &'a Secret) -> bool {
        let key = token.expose().strip_prefix(Self::PREFIX);
        key.is_none_or(|key| BASE64_STANDARD.decode(key).is_ok_and(|key| KEY_BYTES.contains(&key.len())))
    }

    /// Whether the token is sent in `Authorization`.
    pub(crate) fn is_bearer(token: &'a Secret) -> bool {
        matches!(Self::of(token), Some(Self::Bearer(_)))
    }
}

/// How many bytes a key may have.
pub(crate) const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The `webhook-signature` of a body: `v1,` and the Base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`.
fn sign(key: &[u8], id: &str, now: OffsetDateTime, body: &str) -> String {
    // HMAC takes a key of any length, so the alternative is not reached.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(format!("{id}.{}.{body}", now.unix_timestamp()).as_bytes());
            format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> Answer {
        Answer::Status { code, retry_after: None }
    }

    /// The example of the specification's own reference implementations.
    #[test]
    fn the_signature_is_standard_webhooks_own() {
        let token = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_614_265_330);
        let Some(Token::Key(key)) = Token::of(&token) else { panic!("a key") };
        let signature = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", now, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn only_2xx_delivers_and_410_or_a_private_address_stops() {
        for code in [200, 202, 204] {
            assert_eq!(verdict(status(code), 0), (CallbackState::Delivered, None));
        }
        for answer in [status(410), Answer::Refused] {
            assert_eq!(verdict(answer, 0), (CallbackState::Failed, None));
        }
        for answer in [status(301), status(307), status(400), status(404), status(500), Answer::None] {
            assert_eq!(verdict(answer, 0), (CallbackState::Pending, Some(Duration::from_secs(5))));
        }
    }

    #[test]
    fn tries_back_off_over_days_and_end() {
        let mut total = Duration::ZERO;
        for tried in 0.. {
            match verdict(Answer::None, tried) {
                (CallbackState::Pending, Some(wait)) => {
                    total += wait;
                }
                (state, wait) => {
                    assert_eq!((state, wait), (CallbackState::Failed, None));
                    assert_eq!(tried as usize, BACKOFF.len());
                    break;
                }
            }
        }
        assert!(total > Duration::from_secs(48 * HOUR), "{total:?}");
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_wait_but_not_for_more_than_half_a_day() {
        let asking = |seconds| Answer::Status { code: 503, retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(verdict(asking(120), 0).1, Some(Duration::from_secs(120)));
        assert_eq!(verdict(asking(1), 0).1, Some(Duration::from_secs(5)));
        assert_eq!(verdict(asking(1 << 40), 0).1, Some(LONGEST_RETRY_AFTER));
    }
}
