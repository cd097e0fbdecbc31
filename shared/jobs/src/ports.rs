//! The ports: one small trait for each capability that the outside world must provide, so that a function is given only
//! those it uses. `testing` implements them in memory, `aws` on AWS services and `local` on one machine, and all of
//! them pass the same contract suites.

use std::{borrow::Cow, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};
use url::Url;

use crate::{
    access::{Key, KeyHash, Owner, Quota, Usage},
    algorithm::Run,
    error::{Failure, PortError, Refusal, WriteError},
    id::JobId,
    job::{Job, Status},
    key::{ModelKey, ObjectKey},
    message::Message,
    once::{Earlier, RequestKey},
    secret::Secret,
};

/// Reads keys.
#[async_trait]
pub trait ReadKeys: Send + Sync {
    /// The key that has this hash, or `None` where there is none. It may have ended, and be an older one for a moment.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn key(&self, hash: &KeyHash) -> Result<Option<Key>, PortError>;
}

/// Writes keys.
#[async_trait]
pub trait WriteKeys: Send + Sync {
    /// Every key, the oldest first. One that was just written may be missing for a moment.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn keys(&self) -> Result<Vec<Key>, PortError>;

    /// Writes a key, replacing one that has its hash.
    ///
    /// # Errors
    /// [`PortError`] when the store fails: the key may then have been written.
    async fn write_key(&self, key: &Key) -> Result<(), PortError>;

    /// Removes a key. It is not an error if there is none.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn remove_key(&self, hash: &KeyHash) -> Result<(), PortError>;
}

/// How long what an owner has used in a day can be read.
pub const USAGE_KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);

/// Counts what owners use.
#[async_trait]
pub trait CountUsage: Send + Sync {
    /// Adds to what an owner has used on a day, unless that would then be more than the quota of a day. Returns what
    /// was used with it, or, where nothing was added, what is used without it as the error within.
    ///
    /// # Errors
    /// [`PortError`] when the store fails: it may then have been added.
    async fn use_up(
        &self,
        owner: &Owner,
        day: Date,
        more: Usage,
        quota: &Quota,
    ) -> Result<Result<Usage, Usage>, PortError>;

    /// What an owner has used on each day from the first to the last on which anything was, in order.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn usage(&self, owner: &Owner, first: Date, last: Date) -> Result<Vec<(Date, Usage)>, PortError>;

    /// How many of an owner's jobs have not ended, counted up to `most` only. Jobs that have just changed may count as
    /// they were.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn unended(&self, owner: &Owner, most: usize) -> Result<usize, PortError>;
}

/// The jobs that a list asks for, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only jobs of this owner.
    pub owner: Option<Owner>,
    /// Only jobs in this status.
    pub status: Option<Status>,
    /// Only jobs made before this one.
    pub before: Option<JobId>,
    /// The most jobs to return.
    pub limit: usize,
}

/// Reads jobs.
#[async_trait]
pub trait ReadJobs: Send + Sync {
    /// The job as last written, or `None` where there is none. Reads are strongly consistent.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn get(&self, id: JobId) -> Result<Option<Job>, PortError>;
}

/// Lists jobs.
#[async_trait]
pub trait ListJobs: Send + Sync {
    /// The newest jobs that the query asks for, by id descending. A job that was just written may be missing for a
    /// moment; fewer than `limit` are returned only when there are no more. The secrets of their callbacks may be
    /// missing: the token, and the values of headers.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn list(&self, query: ListQuery) -> Result<Vec<Job>, PortError>;
}

/// A job to which something must happen, and by when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueJob {
    /// The job.
    pub id: JobId,
    /// The [`Job::due`] that was last written, to the millisecond.
    pub due: OffsetDateTime,
}

/// The overdue jobs that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueQuery {
    /// Only jobs of this shard.
    pub shard: u8,
    /// Only jobs that were due at this time or before.
    pub by: OffsetDateTime,
    /// Only jobs after this one, the last of the page before.
    pub after: Option<DueJob>,
    /// The most jobs to return.
    pub limit: usize,
}

/// Finds jobs that are due.
#[async_trait]
pub trait ListDue: Send + Sync {
    /// The jobs of a shard that are due, the longest overdue first; fewer than `limit` only when there are no more. The
    /// list is eventually consistent: read the job before acting on it.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn due(&self, query: DueQuery) -> Result<Vec<DueJob>, PortError>;
}

/// Writes a new job only if its request was not served before.
#[async_trait]
pub trait WriteOnce: Send + Sync {
    /// The earlier use of the key, if it has not expired.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn earlier(&self, key: &RequestKey) -> Result<Option<Earlier>, PortError>;

    /// Writes a new job and its request's key, both or neither. If the key is there already, nothing is written and its
    /// earlier use is returned. That may be this very job, if the answer to an earlier try was lost.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] where the job's id is taken; [`WriteError::Port`] when the store fails: both may then
    /// have been written.
    async fn write_once(&self, job: &mut Job, key: &RequestKey) -> Result<Option<Earlier>, WriteError>;
}

/// Writes jobs, each write on the condition that nobody else wrote meanwhile.
#[async_trait]
pub trait WriteJobs: Send + Sync {
    /// Writes a job that was never written (revision 0), or one whose row still has the job's revision. The job's
    /// revision is then one higher, in the row and in `job`. A row that already equals the one to be written counts as
    /// written, because the answer to an earlier try may have been lost.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] where the row has another revision, exists although the job is new, or is gone;
    /// [`WriteError::Port`] when the store fails: the write may then have happened.
    async fn write(&self, job: &mut Job) -> Result<(), WriteError>;

    /// Removes the job. It is not an error if it is gone already.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn delete(&self, id: JobId) -> Result<(), PortError>;
}

/// An object's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its size.
    pub bytes: u64,
    /// The type it was stored with.
    pub content_type: String,
    /// The entity tag, which changes with the content; without quotes.
    pub etag: String,
}

/// The outcome of reading an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// There is no such object.
    Missing,
    /// It has this many bytes, more than were allowed; none of them was read.
    TooLarge(u64),
    /// The object, whole.
    Found(ObjectInfo, Bytes),
}

/// The method by which a pre-signed URL reads an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMethod {
    /// `GET`: the headers and the content.
    Get,
    /// `HEAD`: the headers only.
    Head,
}

/// Reads objects.
#[async_trait]
pub trait ReadObjects: Send + Sync {
    /// The object, if it has at most `max_bytes`.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn read(&self, key: &ObjectKey, max_bytes: u64) -> Result<Read, PortError>;

    /// The object's description, or `None` where there is none.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, PortError>;

    /// A URL at which anyone may, for `validity`, ask for the object by the method that is named, and by no other.
    ///
    /// # Errors
    /// [`PortError`] when the URL cannot be signed.
    async fn presign(
        &self,
        method: ReadMethod,
        key: &ObjectKey,
        validity: Duration,
    ) -> Result<Url, PortError>;
}

/// A choice of attempts at a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempts {
    /// This attempt.
    Only(u64),
    /// All attempts but this one, or all of them if it is `None`. Results of older releases, whose keys name no
    /// attempt, are not chosen.
    AllBut(Option<u64>),
}

impl Attempts {
    /// Whether one of them stored the object that has this key.
    #[must_use]
    pub fn stored(self, key: &ObjectKey) -> bool {
        let ObjectKey::Result { attempt: Some(attempt), .. } = key else { return false };
        match self {
            Self::Only(only) => *attempt == only,
            Self::AllBut(but) => Some(*attempt) != but,
        }
    }
}

/// Writes objects.
#[async_trait]
pub trait WriteObjects: Send + Sync {
    /// Stores an object, replacing one that has the key.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &str) -> Result<(), PortError>;

    /// Stores an object unless one has the key already, and returns whether it did.
    ///
    /// # Errors
    /// [`PortError`] when the store fails: the object may then be stored.
    async fn put_new(&self, key: &ObjectKey, body: Bytes, content_type: &str) -> Result<bool, PortError>;

    /// Removes the results that the chosen attempts at a job stored. It is not an error if there are none.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn delete_results(&self, job: JobId, of: Attempts) -> Result<(), PortError>;

    /// Removes every object of a job. It is not an error if there are none.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn delete_all(&self, job: JobId) -> Result<(), PortError>;
}

/// The outcome of reading a file of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelRead {
    /// There is no such file.
    Missing,
    /// It has this many bytes, more than were allowed; none of them was read.
    TooLarge(u64),
    /// It still has the known tag; nothing was read.
    Unchanged,
    /// The whole file.
    Found {
        /// The entity tag, which changes with the content; without quotes.
        etag: String,
        /// The content.
        body: Bytes,
    },
}

/// The two files that make a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ModelFile {
    /// The ONNX file.
    Model,
    /// The JSON beside it.
    Description,
}

impl ModelFile {
    /// The file's own key.
    #[must_use]
    pub fn key(self, model: &ModelKey) -> String {
        match self {
            Self::Model => model.as_str().to_owned(),
            Self::Description => model.description(),
        }
    }
}

/// Reads the models that users put into their bucket.
#[async_trait]
pub trait ReadModels: Send + Sync {
    /// A file of a model, if it has at most `max_bytes` and another tag than the `known` one.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    async fn read_model(
        &self,
        model: &ModelKey,
        file: ModelFile,
        known: Option<&str>,
        max_bytes: u64,
    ) -> Result<ModelRead, PortError>;
}

/// A pre-signed upload: all that is needed to PUT one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadTicket {
    /// Where to PUT.
    pub url: Url,
    /// The headers that the request must carry, as signed.
    pub headers: Vec<(String, String)>,
}

/// The exact properties that an upload must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadTerms {
    /// Its media type.
    pub content_type: String,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its bytes, if the client declared it.
    pub sha256: Option<[u8; 32]>,
}

/// Signs uploads.
#[async_trait]
pub trait PresignUploads: Send + Sync {
    /// Grants one PUT at `key`, for `validity`, of exactly what the terms say, and only while there is no such object.
    ///
    /// # Errors
    /// [`PortError`] when it cannot be signed.
    async fn presign_put(
        &self,
        key: &ObjectKey,
        terms: &UploadTerms,
        validity: Duration,
    ) -> Result<UploadTicket, PortError>;
}

/// Sends messages, each to the queue for its kind.
#[async_trait]
pub trait SendMessages: Send + Sync {
    /// Sends a message, to be delivered once or more often after `delay`, which is at most [`MAX_DELAY`].
    ///
    /// # Errors
    /// [`PortError`] when the queue fails: the message may then have been sent.
    async fn send(&self, message: Message, delay: Duration) -> Result<(), PortError>;
}

/// The longest delay that a message can be sent with; SQS's own limit.
pub const MAX_DELAY: Duration = Duration::from_secs(15 * 60);

/// The longest that a received message can be put off. SQS ends its invisibility 12 h after it was received, and some
/// minutes have passed by the time a function asks.
pub const MAX_DEFERRAL: Duration = Duration::from_secs(11 * 3_600 + 45 * 60);

/// Puts off messages that were received.
#[async_trait]
pub trait DeferMessages: Send + Sync {
    /// Lets a received message come again after `wait`, at most [`MAX_DEFERRAL`].
    ///
    /// # Errors
    /// [`PortError`]; the message then comes again after the queue's own visibility timeout.
    async fn defer(&self, receipt: &str, wait: Duration) -> Result<(), PortError>;
}

/// A message as a queue hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its id, the same at every delivery.
    pub id: String,
    /// The receipt handle, which names this delivery of it.
    pub receipt: String,
    /// The body, as it was sent.
    pub body: String,
    /// How often it has been received, this time included.
    pub receive_count: u32,
}

/// The most messages that are received at once; SQS's own limit.
pub const MAX_BATCH: usize = 10;

/// Receives messages, for processes that no Lambda event source feeds.
#[async_trait]
pub trait ReceiveMessages: Send + Sync {
    /// Up to `most` messages, and never more than [`MAX_BATCH`]. Waits for the first one, for `wait` at the longest. A
    /// received message is invisible to others for the queue's visibility timeout. One that has been received too often
    /// goes to the dead-letter queue instead.
    ///
    /// # Errors
    /// [`PortError`] when the queue fails.
    async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<Received>, PortError>;

    /// Removes a received message that has had its effect. It is not an error if it is gone already.
    ///
    /// # Errors
    /// [`PortError`] when the queue fails; the message may then come again.
    async fn remove(&self, receipt: &str) -> Result<(), PortError>;
}

/// An image that was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its bytes, within the limit.
    pub body: Bytes,
}

/// Why an image was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Trying again will not help: refused, not found, too large.
    #[error(transparent)]
    Permanent(#[from] Failure),
    /// Trying again may help: not reachable, 5xx, too slow.
    #[error("fetching may be tried again: {failure}")]
    Retryable {
        /// The failure that the client sees while the next try is awaited, and after the last one.
        failure: Failure,
        /// How long the server asks to wait.
        after: Option<Duration>,
    },
}

/// Fetches images from addresses that clients name.
#[async_trait]
pub trait FetchImages: Send + Sync {
    /// The bytes behind `url`, redirects followed, every address checked as it is connected to.
    ///
    /// # Errors
    /// [`FetchError`].
    async fn fetch(&self, url: &Url) -> Result<Fetched, FetchError>;
}

/// Checks early for addresses that a client must not make us connect to.
#[async_trait]
pub trait CheckUrls: Send + Sync {
    /// Checks whether a submission may name `url`. A host name that does not resolve passes with `https` and a port of
    /// the web, because every address is checked again on connecting.
    ///
    /// # Errors
    /// [`Refusal`] for another scheme than `http` and `https`, user information, an address out of bounds, or, where
    /// the deployment has not named the host's network, a port that is none of the web, or a callback by `http`.
    async fn check(&self, field: &'static str, url: &Url) -> Result<(), Refusal>;
}

/// A callback as it goes over the wire.
#[derive(Clone, Debug)]
pub struct CallbackRequest {
    /// Where to POST.
    pub url: Url,
    /// The headers, with their names in lower case. Some values are secrets, so all are kept as such.
    pub headers: Vec<(Cow<'static, str>, Secret)>,
    /// JSON.
    pub body: String,
}

/// The answer of a callback's receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP status; redirects are not followed.
    Status {
        /// The status code.
        code: u16,
        /// How long its `Retry-After` asks to wait, in whole seconds, where it has one that can be read.
        retry_after: Option<Duration>,
    },
    /// No answer: no connection, or too slow.
    None,
    /// The address must not be connected to.
    Refused,
}

/// Posts callbacks to addresses that clients name.
#[async_trait]
pub trait PostCallbacks: Send + Sync {
    /// Posts once, every address checked as it is connected to.
    async fn post(&self, request: &CallbackRequest) -> Answer;
}

/// A file of a job's results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The extension: `json`, `png`, `slack.gif`, …
    pub extension: Cow<'static, str>,
    /// Its media type.
    pub content_type: Cow<'static, str>,
    /// Its content.
    pub body: Bytes,
}

/// The result of one algorithm.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The algorithm.
    pub algorithm: String,
    /// Its forms, the main one first.
    pub artifacts: Vec<Artifact>,
    /// The details that the job shows beside the links.
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// The result of the work on an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Worked {
    /// The image's media type, told by its content.
    pub content_type: Cow<'static, str>,
    /// Width of the upright image, in pixels.
    pub width: u32,
    /// Height of the upright image, in pixels.
    pub height: u32,
    /// The number of frames in the file; 1 for a still image.
    pub frames: u32,
    /// One output for each algorithm, in the order asked for.
    pub outputs: Vec<Output>,
}

/// Why the work on an image gave no result.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// A retry would not help.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// Something that the work needs took too long to get, or the process that did the work was lost. This costs an
    /// attempt, and after the last one the job fails with this failure.
    #[error("{0}")]
    AttemptFailed(#[source] Failure),
    /// A service that the work needs failed, which is not the job's fault.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Works on images. The same bytes and runs, and the same models, give the same outputs.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Runs the algorithms on an image, whose SHA-256 in hexadecimal the results name.
    ///
    /// # Errors
    /// [`WorkError`].
    async fn run(&self, image: Bytes, sha256: &str, runs: &[Run]) -> Result<Worked, WorkError>;
}

/// Something whose health can be checked.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Its name in the answer of the health check.
    fn name(&self) -> &'static str;

    /// Checks it by a cheap request.
    ///
    /// # Errors
    /// [`PortError`] when it does not answer.
    async fn probe(&self) -> Result<(), PortError>;
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> OffsetDateTime;
}

/// The machine's clock, to the millisecond.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc();
        now.replace_millisecond(now.millisecond()).unwrap_or(now)
    }
}
