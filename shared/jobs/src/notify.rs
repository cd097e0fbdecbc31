//! Telling a job's owner that it has ended: one signed POST a try, after the [Standard Webhooks] specification.
//!
//! [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

use std::{borrow::Cow, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    error::{Chain, PortError, WriteError},
    id::JobId,
    job::{Callback, CallbackState, Job, Status},
    ports::{Answer, CallbackRequest, Clock, MAX_DEFERRAL, PostCallbacks, ReadJobs, WriteJobs},
    process::Outcome,
    secret::Secret,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// How long to wait after each try that failed, in seconds: Standard Webhooks' recommendation, cut to what a message can
/// be put off. In all some three days; the try after the last wait is the last.
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

/// How often the outcome of a try is written again when others write the job at the same time.
const WRITE_TRIES: u32 = 5;

/// Delivers callbacks.
#[derive(Clone)]
pub struct Notifier {
    /// Reads jobs.
    pub jobs: Arc<dyn ReadJobs>,
    /// Notes the tries.
    pub writer: Arc<dyn WriteJobs>,
    /// Posts.
    pub poster: Arc<dyn PostCallbacks>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The job as its owner sees it, links absolute.
    pub describe: Arc<dyn Fn(&Job) -> Value + Send + Sync>,
}

impl Notifier {
    /// Makes one try, if the job still owes its callback.
    pub async fn handle(&self, id: JobId) -> Outcome {
        match self.try_handle(id).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(
                    error = %Chain(&error),
                    "a service failed; the message will come again"
                );
                Outcome::Retry(None)
            }
        }
    }

    async fn try_handle(&self, id: JobId) -> Result<Outcome, PortError> {
        let Some(job) = self.jobs.get(id).await? else {
            tracing::info!("the job is gone; nothing to deliver");
            return Ok(Outcome::Done);
        };
        let Some(callback) = job.callback().filter(|_| job.owes_callback()) else {
            tracing::info!("the callback is settled; nothing to deliver");
            return Ok(Outcome::Done);
        };
        let now = self.clock.now();
        if let Some(due) = callback.next_try_at.filter(|due| *due > now) {
            tracing::info!(%due, "a copy of the message came early");
            return Ok(Outcome::Retry(Some(Duration::try_from(due - now).unwrap_or_default())));
        }
        let tried = callback.attempts;
        let answer = self.poster.post(&self.request(&job, callback)).await;
        let (state, wait) = verdict(answer, tried);
        let status = match answer {
            Answer::Status { code, .. } => Some(code),
            Answer::None | Answer::Refused => None,
        };
        tracing::info!(attempt = tried + 1, status, ?state, "callback tried");
        self.note(job, state, status, wait).await?;
        Ok(wait.map_or(Outcome::Done, |wait| Outcome::Retry(Some(wait))))
    }

    /// Writes the outcome of a try, whoever else writes meanwhile.
    async fn note(
        &self,
        mut job: Job,
        state: CallbackState,
        status: Option<u16>,
        wait: Option<Duration>,
    ) -> Result<(), PortError> {
        for _ in 0..WRITE_TRIES {
            let now = self.clock.now();
            if job.callback_tried(state, status, wait.map(|wait| now + wait), now).is_err() {
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
        if let Some(token) = &callback.token {
            headers.push(own("webhook-signature", sign(token, &id, now, &body)));
            headers.push(own("authorization", format!("Bearer {}", token.expose())));
        }
        headers.extend(callback.headers.iter().map(|(name, value)| (name.clone().into(), value.clone())));
        CallbackRequest { url: callback.url.clone(), headers, body }
    }
}

/// What an answer means for the callback, and when to try again.
fn verdict(answer: Answer, tried: u32) -> (CallbackState, Option<Duration>) {
    let asked = match answer {
        Answer::Status { code: 200..=299, .. } => return (CallbackState::Delivered, None),
        Answer::Status { code: 410, .. } | Answer::Refused => return (CallbackState::Failed, None),
        Answer::Status { retry_after, .. } => retry_after,
        Answer::None => None,
    };
    match usize::try_from(tried).ok().and_then(|tried| BACKOFF.get(tried)) {
        Some(&seconds) => {
            let wait = Duration::from_secs(seconds).max(asked.unwrap_or_default()).min(MAX_DEFERRAL);
            (CallbackState::Pending, Some(wait))
        }
        None => (CallbackState::Failed, None),
    }
}

/// The key of a token: what `whsec_{Base64}` encodes, or any other token's own bytes. `None` for a Base64 that is none.
pub(crate) fn signing_key(token: &Secret) -> Option<Vec<u8>> {
    let text = token.expose();
    match text.strip_prefix("whsec_") {
        Some(encoded) => BASE64_STANDARD.decode(encoded).ok(),
        None => Some(text.as_bytes().to_vec()),
    }
}

/// The `webhook-signature` of a body: `v1,` and the Base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`.
fn sign(token: &Secret, id: &str, now: OffsetDateTime, body: &str) -> String {
    // A token was checked when it was accepted, and HMAC takes a key of any length: neither alternative is reached.
    let key = signing_key(token).unwrap_or_default();
    Hmac::<Sha256>::new_from_slice(&key).map_or_else(
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
        let signature = sign(&token, "msg_p5jXN8AQM9LWM0D4loKWxJek", now, r#"{"test": 2432232314}"#);
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
                    assert!(wait <= MAX_DEFERRAL);
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
    fn a_receiver_may_ask_for_a_longer_wait_but_not_for_more_than_a_queue_can_hold() {
        let asking = |seconds| Answer::Status { code: 503, retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(verdict(asking(120), 0).1, Some(Duration::from_secs(120)));
        assert_eq!(verdict(asking(1), 0).1, Some(Duration::from_secs(5)));
        assert_eq!(verdict(asking(1 << 40), 0).1, Some(MAX_DEFERRAL));
    }
}
