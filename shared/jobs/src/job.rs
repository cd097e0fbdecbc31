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
//!
//! A row says by itself what is still owed: [`Job::due`] is the time by which something must have happened to it. A
//! message only makes that happen sooner, so it may be lost, come twice, late or never; [`recover`](crate::recover)
//! does whatever is overdue.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

use crate::{
    access::Owner,
    algorithm::Run,
    callback::{Callback, CallbackState, Outcome, TryNumber, is_zero},
    error::Failure,
    id::JobId,
};

/// The status of a job.
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
    /// The client uploads it to a pre-signed URL.
    PresignedUpload,
}

/// The facts that are known about the image. Sizes are in bytes and in pixels of the upright image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its media type, told by its content. Of a pre-signed upload, the declared one until a worker has read the file;
    /// of an image at an address, `None` until then.
    pub content_type: Option<String>,
    /// Its size; as declared, for an upload that has not arrived.
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
    /// The entity tag of the upload that the first worker found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// A worker's exclusive right to work on a job, for a while.
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

/// How long the worker that ends a job has to send the message about its callback.
const TIME_TO_ANNOUNCE: Duration = Duration::from_secs(60);

/// How long after its lease has ended a worker may still store something, because its clock is slow or a request of it
/// is still on its way.
const LATE_WRITES: Duration = Duration::from_secs(300);

/// The proof that a claim succeeded; ending or releasing a job takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim(Uuid);

/// Why the last attempt stopped, and when the next one is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The failure that the job would have ended with if this had been its last attempt.
    pub failure: Failure,
    /// When the next attempt is due.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Why an attempt was given back. This decides whether it counts towards the most attempts that a job gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The image or its server may be at fault, so the attempt counts. Holds the failure, and when the next attempt is
    /// due.
    Counts(Retry),
    /// A service failed the worker, so the attempt does not count. The next one is due at this time.
    Forgiven(OffsetDateTime),
    /// The worker was told to stop, so the attempt does not count. The next one is due at once.
    Interrupted,
}

/// The part of a result that is in the row; its files are objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResultSummary {
    /// The forms that are stored, by extension, the first being the main one; variants of a form have their name before
    /// it: `slack.gif`, `discord.gif`.
    pub forms: Vec<String>,
    /// The details that a client sees beside the links: `count`, or facts about an image. They include `attempt`, which
    /// [`ResultSummary::shown`] leaves out.
    pub details: Map<String, Value>,
}

/// The member of the details that says which attempt stored a result. It is not a field of its own, because an older
/// release drops fields that it does not know when it writes the row, but keeps the details as they are.
const ATTEMPT: &str = "attempt";

impl ResultSummary {
    /// The summary of a result that an attempt stored.
    #[must_use]
    pub fn new(attempt: u64, forms: Vec<String>, mut details: Map<String, Value>) -> Self {
        details.insert(ATTEMPT.to_owned(), attempt.into());
        Self { forms, details }
    }

    /// The attempt that stored it, which its objects have in their keys. `None` in rows of older releases.
    #[must_use]
    pub fn attempt(&self) -> Option<u64> {
        self.details.get(ATTEMPT).and_then(Value::as_u64)
    }

    /// The details that a client sees beside the links.
    #[must_use]
    pub fn shown(&self) -> Map<String, Value> {
        let mut details = self.details.clone();
        details.remove(ATTEMPT);
        details
    }

    /// The variant in the name of a form: the part before the extension, as `slack` in `slack.gif`.
    #[must_use]
    pub fn variant(form: &str) -> Option<&str> {
        form.split_once('.').map(|(variant, _)| variant)
    }

    /// The form of a variant, if there is one.
    #[must_use]
    pub fn form_of(&self, variant: &str) -> Option<&str> {
        self.forms.iter().map(String::as_str).find(|form| Self::variant(form) == Some(variant))
    }
}

/// The time limits of a new job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long it and its objects are kept.
    pub retention: Duration,
    /// How long it has to end.
    pub deadline: Duration,
    /// How long its first message, or its upload, has to arrive.
    pub patience: Duration,
}

/// The part of a job that its submission decides.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where the image comes from.
    pub origin: Origin,
    /// The facts that are known about it.
    pub facts: Facts,
    /// The algorithms to run, in order.
    pub algorithms: Vec<Run>,
    /// The callback, if the client asked for one.
    pub callback: Option<Callback>,
    /// Whose it is, where the service asks for keys.
    pub owner: Option<Owner>,
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
    /// When it is given up. Rows of older releases have none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    deadline: Option<OffsetDateTime>,
    /// By when a worker must have taken or ended it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    wake_at: Option<OffsetDateTime>,
    /// How often it was queued again since a worker last had it.
    #[serde(default, skip_serializing_if = "is_zero")]
    requeued: u32,
    /// How many attempts were given back because a service failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    forgiven: u32,
    /// When the objects that attempts without a result may have left in the bucket can be removed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    tidy_at: Option<OffsetDateTime>,
    /// Whether its owner deleted it: the row stays until nobody can write to its objects any more.
    #[serde(default, skip_serializing_if = "is_false")]
    deleted: bool,
    /// Whose it is. Jobs of a service that asks for no keys are nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
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
    /// The change needs a job that has ended, and whose callback is owed.
    #[error("there is no callback to deliver")]
    NoCallback,
    /// A try of the callback is being made, or the next one is not due yet.
    #[error("the callback's next try is due at {until}")]
    TooEarly {
        /// When it is due.
        until: OffsetDateTime,
    },
}

impl Job {
    /// A job whose image is at hand: `queued`.
    #[must_use]
    pub fn queued(id: JobId, draft: Draft, now: OffsetDateTime, terms: Terms) -> Self {
        Self::new(id, Status::Queued, draft, now, terms)
    }

    /// A job whose image is yet to be uploaded: `awaiting_upload`.
    #[must_use]
    pub fn awaiting_upload(id: JobId, draft: Draft, now: OffsetDateTime, terms: Terms) -> Self {
        Self::new(id, Status::AwaitingUpload, draft, now, terms)
    }

    fn new(id: JobId, status: Status, draft: Draft, now: OffsetDateTime, terms: Terms) -> Self {
        let Draft { origin, facts, algorithms, callback, owner } = draft;
        let mut job = Self {
            id,
            status,
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: None,
            expires_at: now + terms.retention,
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
            deadline: Some(now + terms.deadline),
            wake_at: None,
            requeued: 0,
            forgiven: 0,
            tidy_at: None,
            deleted: false,
            owner,
        };
        job.wake_by(now + terms.patience);
        job
    }

    /// Sets the time by which a worker must have taken or ended the job: at the latest its deadline, when it is given
    /// up.
    fn wake_by(&mut self, at: OffsetDateTime) {
        self.wake_at = Some(self.deadline.map_or(at, |deadline| at.min(deadline)));
    }

    /// Takes the job for `lease`. Legal from `awaiting_upload`, `queued`, and `processing` once the other worker's
    /// lease has ended.
    ///
    /// # Errors
    /// [`IllegalChange::Ended`] or [`IllegalChange::Leased`].
    pub fn claim(&mut self, now: OffsetDateTime, lease: Duration) -> Result<Claim, IllegalChange> {
        self.require_free(now)?;
        let holder = Uuid::new_v4();
        let until = now + lease;
        if self.started_at.is_some() {
            // Earlier attempts may have stored something, and one that was taken for dead still may.
            self.tidy_at = Some(until + LATE_WRITES);
        }
        self.status = Status::Processing;
        self.attempts += 1;
        self.requeued = 0;
        self.retry = None;
        self.started_at.get_or_insert(now);
        self.updated_at = now;
        self.lease = Some(Lease { holder, until });
        self.wake_at = Some(until);
        Ok(Claim(holder))
    }

    /// Pins the upload that the job is about, so that another one under the same key is noticed.
    pub fn pin_upload(&mut self, etag: String) {
        self.facts.etag.get_or_insert(etag);
    }

    /// Gives the job back, so that another worker may claim it when the next attempt is due: `processing` to `queued`.
    /// The message for that has `patience` to arrive.
    ///
    /// # Errors
    /// [`IllegalChange::Ended`] or [`IllegalChange::ClaimLost`].
    pub fn release(
        &mut self,
        claim: Claim,
        attempt: Attempt,
        now: OffsetDateTime,
        patience: Duration,
    ) -> Result<(), IllegalChange> {
        self.require_claim(claim)?;
        self.status = Status::Queued;
        self.updated_at = now;
        self.lease = None;
        let next = match attempt {
            Attempt::Counts(retry) => {
                let at = retry.at;
                self.retry = Some(retry);
                at
            }
            Attempt::Forgiven(at) => {
                self.attempts -= 1;
                self.forgiven += 1;
                at
            }
            Attempt::Interrupted => {
                self.attempts -= 1;
                now
            }
        };
        self.wake_by(next + patience);
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
        self.wake_by(now);
        Ok(())
    }

    /// Notes that the job is queued once more, because its message, its upload's event or its worker was lost: to
    /// `queued` from `awaiting_upload`, `queued`, and `processing` whose lease has ended. The new message has
    /// `patience` to arrive.
    ///
    /// # Errors
    /// [`IllegalChange::Ended`] or [`IllegalChange::Leased`].
    pub fn requeue(&mut self, now: OffsetDateTime, patience: Duration) -> Result<(), IllegalChange> {
        self.require_free(now)?;
        self.status = Status::Queued;
        self.requeued = self.requeued.saturating_add(1);
        self.updated_at = now;
        self.lease = None;
        self.wake_by(now + patience);
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
        self.require_free(now)?;
        if self.started_at.is_some() {
            self.tidy_at = self.tidy_at.max(Some(now + LATE_WRITES));
        }
        self.error = Some(error);
        self.end(Status::Failed, now);
        Ok(())
    }

    /// Deletes the job, whatever it is doing: it is no longer shown, its worker loses its claim, and no callback is
    /// sent. The row stays until `until`, when nobody can write to its objects any more.
    pub fn delete(&mut self, now: OffsetDateTime, until: OffsetDateTime) {
        if !self.status.is_final() {
            self.status = Status::Failed;
            self.finished_at = Some(now);
        }
        // An older release, which does not know of deletion, shows a failed job with this error.
        self.error = Some(Failure::new("job_not_found", "The job was deleted."));
        self.facts = Facts::default();
        self.results = BTreeMap::new();
        self.callback = None;
        self.retry = None;
        self.lease = None;
        self.wake_at = None;
        self.updated_at = now;
        self.deleted = true;
        self.tidy_at = Some(until);
    }

    /// Notes that the leftovers of attempts without a result are removed.
    pub fn tidied(&mut self, now: OffsetDateTime) {
        self.tidy_at = None;
        self.updated_at = now;
    }

    /// Takes the right to make one try of the callback. This is written before the try is made, and with `next`, when
    /// the next try is due if this one fails. So the next try waits even if the outcome of this one is never written.
    /// Its message has `patience` to arrive.
    ///
    /// # Errors
    /// [`IllegalChange::NoCallback`] where none is owed, [`IllegalChange::TooEarly`] while a try is being made, or the
    /// next one waits.
    pub fn begin_callback_try(
        &mut self,
        now: OffsetDateTime,
        next: OffsetDateTime,
        patience: Duration,
    ) -> Result<TryNumber, IllegalChange> {
        let callback = self.owed_callback()?;
        if let Some(until) = callback.next_try_at.filter(|until| *until > now) {
            return Err(IllegalChange::TooEarly { until });
        }
        let number = callback.begin(now, next, next + patience);
        self.updated_at = now;
        Ok(number)
    }

    /// Puts the callback off until `next`, because its receiver is busy. The message for that has `patience` to arrive.
    ///
    /// # Errors
    /// [`IllegalChange::NoCallback`] where none is owed.
    pub fn put_callback_off(
        &mut self,
        now: OffsetDateTime,
        next: OffsetDateTime,
        patience: Duration,
    ) -> Result<(), IllegalChange> {
        let callback = self.owed_callback()?;
        callback.announced = callback.announced.saturating_add(1);
        callback.next_try_at = Some(next);
        callback.wake_at = Some(next + patience);
        self.updated_at = now;
        Ok(())
    }

    /// Notes how a try of the callback went, and when the next is due, if any. A callback that was delivered meanwhile
    /// stays so; so does one that was given up, unless this try has delivered it.
    ///
    /// # Errors
    /// [`IllegalChange::NoCallback`] where there is none.
    pub fn end_callback_try(
        &mut self,
        number: TryNumber,
        outcome: Outcome,
        now: OffsetDateTime,
        patience: Duration,
    ) -> Result<(), IllegalChange> {
        let callback = self.callback.as_mut().ok_or(IllegalChange::NoCallback)?;
        callback.end(number, outcome, patience);
        self.updated_at = now;
        Ok(())
    }

    /// Gives a callback up that has had all its tries.
    ///
    /// # Errors
    /// [`IllegalChange::NoCallback`] where none is owed.
    pub fn abandon_callback(&mut self, now: OffsetDateTime) -> Result<(), IllegalChange> {
        let callback = self.owed_callback()?;
        callback.state = CallbackState::Failed;
        callback.next_try_at = None;
        callback.wake_at = None;
        self.updated_at = now;
        Ok(())
    }

    /// Notes that the message about the callback is sent once more; it has `patience` to arrive.
    ///
    /// # Errors
    /// [`IllegalChange::NoCallback`] where none is owed.
    pub fn announce_again(&mut self, now: OffsetDateTime, patience: Duration) -> Result<(), IllegalChange> {
        let callback = self.owed_callback()?;
        callback.announced = callback.announced.saturating_add(1);
        callback.wake_at = Some(now + patience);
        self.updated_at = now;
        Ok(())
    }

    /// Lets the callback be delivered once more, as if it had never been tried; the tries stay in its history. Its
    /// message has `patience` to arrive.
    ///
    /// # Errors
    /// [`IllegalChange::NoCallback`] while the job has not ended, or if it has no callback.
    pub fn redeliver_callback(
        &mut self,
        now: OffsetDateTime,
        patience: Duration,
    ) -> Result<(), IllegalChange> {
        let ended = self.status.is_final();
        let callback = self.callback.as_mut().filter(|_| ended).ok_or(IllegalChange::NoCallback)?;
        callback.start_anew(now + patience);
        self.updated_at = now;
        Ok(())
    }

    fn owed_callback(&mut self) -> Result<&mut Callback, IllegalChange> {
        let ended = self.status.is_final();
        let owed =
            self.callback.as_mut().filter(|callback| ended && callback.state == CallbackState::Pending);
        owed.ok_or(IllegalChange::NoCallback)
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
        self.wake_at = None;
        if let Some(callback) = &mut self.callback {
            // The process that ends the job sends the message next. If it dies before that, recovery sends it.
            callback.wake_at = Some(now + TIME_TO_ANNOUNCE);
        }
    }

    fn require_free(&self, now: OffsetDateTime) -> Result<(), IllegalChange> {
        self.require_unended()?;
        match self.lease {
            Some(Lease { until, .. }) if until > now => Err(IllegalChange::Leased { until }),
            _ => Ok(()),
        }
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

    /// Its status.
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

    /// The facts that are known about its image.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The algorithms that it runs, in order.
    #[must_use]
    pub fn algorithms(&self) -> &[Run] {
        &self.algorithms
    }

    /// Its results by algorithm; empty until it has succeeded.
    #[must_use]
    pub fn results(&self) -> &BTreeMap<String, ResultSummary> {
        &self.results
    }

    /// Its callback, if it has one.
    #[must_use]
    pub fn callback(&self) -> Option<&Callback> {
        self.callback.as_ref()
    }

    /// Whether it has ended and its callback is neither delivered nor given up.
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

    /// The time by which something must have happened to it: a worker has taken or ended it, its upload has arrived,
    /// its callback has been sent, or its leftovers have been removed. `None` if nothing is owed.
    #[must_use]
    pub fn due(&self) -> Option<OffsetDateTime> {
        let callback = self.callback.as_ref().filter(|_| self.owes_callback());
        // Before its end a worker may still store something, so leftovers are not removed until then.
        let tidy_at = self.tidy_at.filter(|_| self.status.is_final());
        [self.wake_at, callback.and_then(|callback| callback.wake_at), tidy_at].into_iter().flatten().min()
    }

    /// When the objects that attempts without a result may have left can be removed; for a deleted job, when its row
    /// can be.
    #[must_use]
    pub fn tidy_at(&self) -> Option<OffsetDateTime> {
        self.tidy_at
    }

    /// By when a worker must have taken or ended it.
    #[must_use]
    pub fn wake_at(&self) -> Option<OffsetDateTime> {
        self.wake_at
    }

    /// When the lease of its worker ends, if one holds it.
    #[must_use]
    pub fn leased_until(&self) -> Option<OffsetDateTime> {
        self.lease.as_ref().map(Lease::until)
    }

    /// When it is given up.
    #[must_use]
    pub fn deadline(&self) -> Option<OffsetDateTime> {
        self.deadline
    }

    /// How often it was queued again since a worker last had it.
    #[must_use]
    pub fn requeued(&self) -> u32 {
        self.requeued
    }

    /// How many attempts were given back because a service failed.
    #[must_use]
    pub fn forgiven(&self) -> u32 {
        self.forgiven
    }

    /// Whether it is there for clients: it was not deleted, and has not expired. The store removes what has expired
    /// some time later.
    #[must_use]
    pub fn is_there(&self, now: OffsetDateTime) -> bool {
        !self.deleted && now < self.expires_at
    }

    /// Whose it is, if the service asked for a key.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// Whether its owner deleted it.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// How often it has been written; 0 when it never was.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

#[cfg(test)]
mod tests;
