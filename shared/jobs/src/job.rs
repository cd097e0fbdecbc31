//! The job and its states.
//!
//! ```text
//! awaiting_upload ─┐
//!                  ├─claim─▶ processing ─succeed─▶ succeeded
//!          queued ─┘    ◀─release─ │
//!    (any of the three) ──fail─────┴─────────────▶ failed
//! ```
//!
//! `succeeded` and `failed` are final. `processing` carries a lease: until it ends, only the worker that holds it
//! may move the job; afterwards another may claim it.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

use crate::{algorithm::Run, error::Failure, id::JobId, secret::Secret};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The row exists; its pre-signed upload has not arrived.
    AwaitingUpload,
    /// The image is stored or can be fetched; no worker has it.
    Queued,
    /// A worker holds the lease.
    Processing,
    /// Every result is stored.
    Succeeded,
    /// It has ended without results; the job says why.
    Failed,
}

impl Status {
    /// Every status, in the order in which a job passes them.
    pub const ALL: [Self; 5] =
        [Self::AwaitingUpload, Self::Queued, Self::Processing, Self::Succeeded, Self::Failed];

    /// The name in JSON, in queries and in the index.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AwaitingUpload => "awaiting_upload",
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// Whether the job has ended.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.name() == text).ok_or(UnknownStatus)
    }
}

/// A text that names no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a status is awaiting_upload, queued, processing, succeeded or failed")]
pub struct UnknownStatus;

/// Where the image comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// It was in the request.
    Upload,
    /// It is fetched from this address.
    Url {
        /// The address, as the client gave it.
        url: Url,
    },
    /// Its owner puts it into the bucket.
    PresignedUpload,
}

/// What is known of the image. Sizes in bytes and in pixels of the upright image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Told by its content, or as declared for an upload that has not arrived.
    pub content_type: Option<String>,
    /// Its size, or as declared for an upload that has not arrived.
    pub bytes: Option<u64>,
    /// Width, once a worker has read it.
    pub width: Option<u32>,
    /// Height, once a worker has read it.
    pub height: Option<u32>,
    /// Frames that the file has, once a worker has read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// SHA-256 of the bytes, in lowercase hexadecimal.
    pub sha256: Option<String>,
}

/// The right to work on a job, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    holder: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
}

impl Lease {
    /// When it ends.
    #[must_use]
    pub fn until(&self) -> OffsetDateTime {
        self.until
    }
}

/// The proof that a claim succeeded; ending or releasing a job takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim(Uuid);

/// Why the last attempt stopped, and when the next one is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// What the job would have failed with, had it been its last attempt.
    pub failure: Failure,
    /// When the next attempt is due.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Whether an attempt that was given back counts towards the most that a job gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It may have been the image's fault, or its server's: why, and when the next one is due.
    Counts(Retry),
    /// It was ours: a service failed the worker.
    Forgiven,
}

/// What the row keeps of one result; the result itself is an object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResultSummary {
    /// The forms that are stored, by extension, the first being the main one; variants of a form have their name before
    /// it: `slack.gif`, `discord.gif`.
    pub forms: Vec<String>,
    /// What a client sees beside the links: `count`, or what there is to say of an image.
    pub details: Map<String, Value>,
}

impl ResultSummary {
    /// The variant that a form is of: what stands before its extension, as `slack` in `slack.gif`.
    #[must_use]
    pub fn variant(form: &str) -> Option<&str> {
        form.split_once('.').map(|(variant, _)| variant)
    }

    /// The form of that variant, where there is one.
    #[must_use]
    pub fn form_of(&self, variant: &str) -> Option<&str> {
        self.forms.iter().map(String::as_str).find(|form| Self::variant(form) == Some(variant))
    }
}

/// How far the callback has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    /// The job has not ended, or the receiver has not yet accepted.
    Pending,
    /// The receiver answered 2xx.
    Delivered,
    /// Given up: every try failed, or the receiver answered 410.
    Failed,
}

/// Whom to tell when the job ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// Where to POST.
    pub url: Url,
    /// Signs and authorises; never shown.
    pub token: Option<Secret>,
    /// Headers that its owner has sent with it, by their names in lower case; the values are never shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// How far it has got.
    pub state: CallbackState,
    /// How many tries were made.
    pub attempts: u32,
    /// The HTTP status of the last try that got an answer.
    pub last_status: Option<u16>,
    /// When the next try is due; a message that comes earlier waits.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub next_try_at: Option<OffsetDateTime>,
}

impl Callback {
    /// A callback of which nothing has been tried.
    #[must_use]
    pub fn new(url: Url, token: Option<Secret>) -> Self {
        Self {
            url,
            token,
            headers: BTreeMap::new(),
            state: CallbackState::Pending,
            attempts: 0,
            last_status: None,
            next_try_at: None,
        }
    }
}

/// What a submission fixes about its job.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where the image comes from.
    pub origin: Origin,
    /// What is known of it.
    pub facts: Facts,
    /// What to run, in order.
    pub algorithms: Vec<Run>,
    /// Whom to tell.
    pub callback: Option<Callback>,
}

/// A job. Its fields are read by anyone and changed only by the methods below; a store writes it whole, on the
/// condition that [`Job::revision`] is still the one that was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    id: JobId,
    status: Status,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    attempts: u32,
    origin: Origin,
    facts: Facts,
    algorithms: Vec<Run>,
    results: BTreeMap<String, ResultSummary>,
    callback: Option<Callback>,
    error: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<Retry>,
    lease: Option<Lease>,
    revision: u64,
}

/// Why a state change is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalChange {
    /// The job has ended, and stays ended.
    #[error("the job has ended")]
    Ended,
    /// Another worker holds the lease.
    #[error("another worker holds the job until {until}")]
    Leased {
        /// When its lease ends.
        until: OffsetDateTime,
    },
    /// The claim is not, or no longer, the one that holds the job.
    #[error("the claim does not hold the job")]
    ClaimLost,
    /// The change needs a job that has ended, or that has a callback.
    #[error("there is no callback to deliver yet")]
    NoCallback,
}

impl Job {
    /// A job whose image is at hand: `queued`.
    #[must_use]
    pub fn queued(id: JobId, draft: Draft, now: OffsetDateTime, retention: Duration) -> Self {
        Self::new(id, Status::Queued, draft, now, retention)
    }

    /// A job whose image is yet to be uploaded: `awaiting_upload`.
    #[must_use]
    pub fn awaiting_upload(id: JobId, draft: Draft, now: OffsetDateTime, retention: Duration) -> Self {
        Self::new(id, Status::AwaitingUpload, draft, now, retention)
    }

    fn new(id: JobId, status: Status, draft: Draft, now: OffsetDateTime, retention: Duration) -> Self {
        let Draft { origin, facts, algorithms, callback } = draft;
        Self {
            id,
            status,
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: None,
            expires_at: now + retention,
            attempts: 0,
            origin,
            facts,
            algorithms,
            results: BTreeMap::new(),
            callback,
            error: None,
            retry: None,
            lease: None,
            revision: 0,
        }
    }

    /// Takes the job for `lease`. Legal from `awaiting_upload`, `queued`, and `processing` once the other worker's
    /// lease has ended.
    ///
    /// # Errors
    /// [`IllegalChange::Ended`] or [`IllegalChange::Leased`].
    pub fn claim(&mut self, now: OffsetDateTime, lease: Duration) -> Result<Claim, IllegalChange> {
        self.require_unended()?;
        if let Some(Lease { until, .. }) = self.lease
            && until > now
        {
            return Err(IllegalChange::Leased { until });
        }
        let holder = Uuid::new_v4();
        self.status = Status::Processing;
        self.attempts += 1;
        self.retry = None;
        self.started_at.get_or_insert(now);
        self.updated_at = now;
        self.lease = Some(Lease { holder, until: now + lease });
        Ok(Claim(holder))
    }

    /// Gives the job back, so that the next delivery may claim it: `processing` to `queued`. [`Job::retry`] says when
    /// that is due, if the attempt counts.
    ///
    /// # Errors
    /// [`IllegalChange::Ended`] or [`IllegalChange::ClaimLost`].
    pub fn release(
        &mut self,
        claim: Claim,
        attempt: Attempt,
        now: OffsetDateTime,
    ) -> Result<(), IllegalChange> {
        self.require_claim(claim)?;
        self.status = Status::Queued;
        match attempt {
            Attempt::Counts(retry) => self.retry = Some(retry),
            Attempt::Forgiven => self.attempts -= 1,
        }
        self.updated_at = now;
        self.lease = None;
        Ok(())
    }

    /// Ends the lease of a worker that is known to be dead: `processing` to `queued`. The attempt counts: the job may
    /// be what killed it.
    ///
    /// # Errors
    /// [`IllegalChange::Ended`], or [`IllegalChange::ClaimLost`] where no worker holds the job.
    pub fn end_lease(&mut self, now: OffsetDateTime) -> Result<(), IllegalChange> {
        self.require_unended()?;
        self.lease.take().ok_or(IllegalChange::ClaimLost)?;
        self.status = Status::Queued;
        self.updated_at = now;
        Ok(())
    }

    /// Ends the job with its results: `processing` to `succeeded`.
    ///
    /// # Errors
    /// [`IllegalChange::Ended`] or [`IllegalChange::ClaimLost`].
    pub fn succeed(
        &mut self,
        claim: Claim,
        facts: Facts,
        results: BTreeMap<String, ResultSummary>,
        now: OffsetDateTime,
    ) -> Result<(), IllegalChange> {
        self.require_claim(claim)?;
        self.facts = facts;
        self.results = results;
        self.end(Status::Succeeded, now);
        Ok(())
    }

    /// Ends the job without results, by the worker that holds it: `processing` to `failed`.
    ///
    /// # Errors
    /// [`IllegalChange::Ended`] or [`IllegalChange::ClaimLost`].
    pub fn fail(
        &mut self,
        claim: Claim,
        facts: Facts,
        error: Failure,
        now: OffsetDateTime,
    ) -> Result<(), IllegalChange> {
        self.require_claim(claim)?;
        self.facts = facts;
        self.error = Some(error);
        self.end(Status::Failed, now);
        Ok(())
    }

    /// Ends a job that no worker holds: from `awaiting_upload`, `queued`, or `processing` whose lease has ended.
    ///
    /// # Errors
    /// [`IllegalChange::Ended`] or [`IllegalChange::Leased`].
    pub fn give_up(&mut self, error: Failure, now: OffsetDateTime) -> Result<(), IllegalChange> {
        self.require_unended()?;
        if let Some(Lease { until, .. }) = self.lease
            && until > now
        {
            return Err(IllegalChange::Leased { until });
        }
        self.error = Some(error);
        self.end(Status::Failed, now);
        Ok(())
    }

    /// Notes one try of the callback, and when the next is due. A callback that was delivered or given up stays so.
    ///
    /// # Errors
    /// [`IllegalChange::NoCallback`] while the job has not ended, or where nobody is to be told.
    pub fn callback_tried(
        &mut self,
        state: CallbackState,
        status: Option<u16>,
        next_try_at: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Result<(), IllegalChange> {
        let ended = self.status.is_final();
        let callback = self.callback.as_mut().filter(|_| ended).ok_or(IllegalChange::NoCallback)?;
        callback.attempts += 1;
        callback.last_status = status.or(callback.last_status);
        callback.next_try_at = next_try_at;
        if callback.state == CallbackState::Pending {
            callback.state = state;
        }
        self.updated_at = now;
        Ok(())
    }

    /// A store calls this once it has written the job.
    pub fn written(&mut self) {
        self.revision += 1;
    }

    fn end(&mut self, status: Status, now: OffsetDateTime) {
        self.status = status;
        self.updated_at = now;
        self.finished_at = Some(now);
        self.retry = None;
        self.lease = None;
    }

    fn require_unended(&self) -> Result<(), IllegalChange> {
        if self.status.is_final() { Err(IllegalChange::Ended) } else { Ok(()) }
    }

    fn require_claim(&self, claim: Claim) -> Result<(), IllegalChange> {
        self.require_unended()?;
        match &self.lease {
            Some(lease) if lease.holder == claim.0 => Ok(()),
            _ => Err(IllegalChange::ClaimLost),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// When it was accepted.
    #[must_use]
    pub fn created_at(&self) -> OffsetDateTime {
        self.created_at
    }

    /// When it last changed.
    #[must_use]
    pub fn updated_at(&self) -> OffsetDateTime {
        self.updated_at
    }

    /// When a worker first took it.
    #[must_use]
    pub fn started_at(&self) -> Option<OffsetDateTime> {
        self.started_at
    }

    /// When it ended.
    #[must_use]
    pub fn finished_at(&self) -> Option<OffsetDateTime> {
        self.finished_at
    }

    /// When it and its objects are removed.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }

    /// How often a worker has taken it.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Where its image comes from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What is known of its image.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What it runs, in order.
    #[must_use]
    pub fn algorithms(&self) -> &[Run] {
        &self.algorithms
    }

    /// Its results by algorithm; empty until it has succeeded.
    #[must_use]
    pub fn results(&self) -> &BTreeMap<String, ResultSummary> {
        &self.results
    }

    /// Whom it tells.
    #[must_use]
    pub fn callback(&self) -> Option<&Callback> {
        self.callback.as_ref()
    }

    /// Whether its end is still to be told to somebody.
    #[must_use]
    pub fn owes_callback(&self) -> bool {
        self.status.is_final()
            && self.callback.as_ref().is_some_and(|callback| callback.state == CallbackState::Pending)
    }

    /// Why it failed.
    #[must_use]
    pub fn error(&self) -> Option<&Failure> {
        self.error.as_ref()
    }

    /// Why the last attempt stopped and when the next one is due, while it waits for that.
    #[must_use]
    pub fn retry(&self) -> Option<&Retry> {
        self.retry.as_ref()
    }

    /// How often it has been written; 0 when it never was.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(60);

    fn now() -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn draft() -> Draft {
        Draft {
            origin: Origin::Upload,
            facts: Facts::default(),
            algorithms: Vec::new(),
            callback: Some(Callback::new(Url::parse("https://example.com/").expect("a URL"), None)),
        }
    }

    fn failure() -> Failure {
        Failure::new("corrupt_image", "The image is damaged.")
    }

    fn counts() -> Attempt {
        let failure = Failure::new("source_unavailable", "The server of `image_url` answered 503.");
        Attempt::Counts(Retry { failure, at: now() + Duration::from_secs(10) })
    }

    /// A job in the given status; in `processing`, with the claim that holds it.
    fn job_in(status: Status) -> (Job, Claim) {
        let foreign = Claim(Uuid::nil());
        let mut job = Job::queued(JobId::new(now()), draft(), now(), LEASE);
        match status {
            Status::AwaitingUpload => {
                (Job::awaiting_upload(JobId::new(now()), draft(), now(), LEASE), foreign)
            }
            Status::Queued => (job, foreign),
            Status::Processing => {
                let claim = job.claim(now(), LEASE).expect("free");
                (job, claim)
            }
            Status::Succeeded => {
                let claim = job.claim(now(), LEASE).expect("free");
                job.succeed(claim, Facts::default(), BTreeMap::new(), now()).expect("held");
                (job, claim)
            }
            Status::Failed => {
                let claim = job.claim(now(), LEASE).expect("free");
                job.fail(claim, Facts::default(), failure(), now()).expect("held");
                (job, claim)
            }
        }
    }

    /// Every pair of a status and a change: where it leads, or why it is illegal.
    #[test]
    fn every_change_from_every_status_is_legal_or_refused_as_documented() {
        use IllegalChange::{ClaimLost, Ended};
        use Status::{AwaitingUpload, Failed, Processing, Queued, Succeeded};
        let leased = IllegalChange::Leased { until: now() + LEASE };
        type Change = fn(&mut Job, Claim) -> Result<(), IllegalChange>;
        type FromEach = [Result<Status, IllegalChange>; 5];
        let changes: [(&str, Change, FromEach); 6] = [
            (
                "claim",
                |job, _| job.claim(now(), LEASE).map(drop),
                [Ok(Processing), Ok(Processing), Err(leased.clone()), Err(Ended), Err(Ended)],
            ),
            (
                "release",
                |job, claim| job.release(claim, counts(), now()),
                [Err(ClaimLost), Err(ClaimLost), Ok(Queued), Err(Ended), Err(Ended)],
            ),
            (
                "succeed",
                |job, claim| job.succeed(claim, Facts::default(), BTreeMap::new(), now()),
                [Err(ClaimLost), Err(ClaimLost), Ok(Succeeded), Err(Ended), Err(Ended)],
            ),
            (
                "fail",
                |job, claim| job.fail(claim, Facts::default(), failure(), now()),
                [Err(ClaimLost), Err(ClaimLost), Ok(Failed), Err(Ended), Err(Ended)],
            ),
            (
                "give_up",
                |job, _| job.give_up(failure(), now()),
                [Ok(Failed), Ok(Failed), Err(leased), Err(Ended), Err(Ended)],
            ),
            (
                "end_lease",
                |job, _| job.end_lease(now()),
                [Err(ClaimLost), Err(ClaimLost), Ok(Queued), Err(Ended), Err(Ended)],
            ),
        ];
        for (name, change, expected) in changes {
            for (from, expected) in
                [AwaitingUpload, Queued, Processing, Succeeded, Failed].into_iter().zip(expected)
            {
                let (mut job, claim) = job_in(from);
                let before = job.clone();
                let outcome = change(&mut job, claim).map(|()| job.status());
                assert_eq!(outcome, expected, "{name} from {from}");
                if outcome.is_err() {
                    assert_eq!(job, before, "a refused {name} from {from} changes nothing");
                }
            }
        }
    }

    #[test]
    fn a_lease_that_has_ended_can_be_claimed_and_the_first_worker_has_lost_it() {
        let (mut job, first) = job_in(Status::Processing);
        let later = now() + LEASE;
        let second = job.claim(later, LEASE).expect("the lease has ended");
        assert_eq!(job.attempts(), 2);
        assert_eq!(job.started_at(), Some(now()), "the first start stays");
        assert_eq!(
            job.succeed(first, Facts::default(), BTreeMap::new(), later),
            Err(IllegalChange::ClaimLost)
        );
        job.succeed(second, Facts::default(), BTreeMap::new(), later).expect("held");
        assert_eq!((job.status(), job.finished_at()), (Status::Succeeded, Some(later)));
    }

    #[test]
    fn a_released_job_can_be_claimed_at_once_and_an_attempt_that_was_not_its_fault_is_forgiven() {
        for (attempt, attempts) in [(counts(), 2), (Attempt::Forgiven, 1)] {
            let (mut job, claim) = job_in(Status::Processing);
            job.release(claim, attempt, now()).expect("held");
            job.claim(now(), LEASE).expect("free again");
            assert_eq!(job.attempts(), attempts);
        }
    }

    #[test]
    fn a_job_says_why_and_when_it_is_tried_again_only_while_it_waits_for_that() {
        let (mut job, claim) = job_in(Status::Processing);
        job.release(claim, counts(), now()).expect("held");
        let retry = job.retry().expect("it waits");
        assert_eq!((&*retry.failure.code, retry.at), ("source_unavailable", now() + Duration::from_secs(10)));
        assert_eq!((job.status(), job.error()), (Status::Queued, None), "it has not failed");
        let mut given_up = job.clone();
        given_up.give_up(failure(), now()).expect("free");
        assert_eq!(given_up.retry(), None);
        let claim = job.claim(now(), LEASE).expect("free");
        assert_eq!(job.retry(), None, "it is being tried");
        job.release(claim, Attempt::Forgiven, now()).expect("held");
        assert_eq!(job.retry(), None);
    }

    #[test]
    fn a_callback_is_owed_from_the_end_of_the_job_until_it_is_settled() {
        let (mut job, claim) = job_in(Status::Processing);
        assert!(!job.owes_callback());
        assert_eq!(
            job.callback_tried(CallbackState::Delivered, Some(204), None, now()),
            Err(IllegalChange::NoCallback)
        );
        job.fail(claim, Facts::default(), failure(), now()).expect("held");
        assert!(job.owes_callback());
        job.callback_tried(CallbackState::Pending, Some(503), Some(now()), now()).expect("ended");
        assert!(job.owes_callback());
        job.callback_tried(CallbackState::Delivered, Some(204), None, now()).expect("ended");
        assert!(!job.owes_callback());
        job.callback_tried(CallbackState::Failed, None, None, now()).expect("ended");
        let callback = job.callback().expect("there is one");
        assert_eq!(
            (callback.state, callback.attempts, callback.last_status),
            (CallbackState::Delivered, 3, Some(204))
        );
    }

    /// Rows as they were written: 1 by the first version, 2 since a job can have several thumbnails, 3 since it says
    /// why it is tried again and a callback can have headers. Another is added when the form changes; these are never
    /// changed.
    #[test]
    fn every_row_ever_written_still_parses() {
        for (row, status) in [
            (include_str!("../tests/fixtures/job_row_1.json"), Status::Succeeded),
            (include_str!("../tests/fixtures/job_row_2.json"), Status::Succeeded),
            (include_str!("../tests/fixtures/job_row_3.json"), Status::Queued),
        ] {
            let job: Job = serde_json::from_str(row).expect("an old row");
            assert_eq!(job.status(), status);
            assert_eq!(
                serde_json::to_value(&job).expect("serialises"),
                serde_json::from_str::<Value>(row).expect("JSON")
            );
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let token = Some(Secret::new("hunter2".to_owned()));
        let headers = BTreeMap::from([("x-api-key".to_owned(), Secret::new("hunter2".to_owned()))]);
        let url = Url::parse("https://example.com/").expect("a URL");
        let callback = Callback { headers, ..Callback::new(url, token) };
        let draft = Draft { callback: Some(callback), ..draft() };
        let job = Job::queued(JobId::new(now()), draft, now(), LEASE);
        assert!(!format!("{job:?}").contains("hunter2"));
    }
}
