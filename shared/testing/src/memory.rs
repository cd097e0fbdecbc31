//! Ports in memory.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use jobs::{
    access::{Key, KeyHash, Owner, Quota, Usage},
    error::{Failure, PortError, Reason, Refusal, WriteError},
    id::JobId,
    job::Job,
    key::{ModelKey, ObjectKey, job_prefix},
    limits::Limits,
    message::Message,
    once::{Earlier, RequestKey},
    ports::{
        Answer, Attempts, CallbackRequest, CheckUrls, Clock, CountUsage, DueJob, DueQuery, FetchError,
        FetchImages, Fetched, ListDue, ListJobs, ListQuery, ModelFile, ModelRead, ObjectInfo, PostCallbacks,
        PresignUploads, Probe, Read, ReadJobs, ReadKeys, ReadMethod, ReadModels, ReadObjects, SendMessages,
        UploadTerms, UploadTicket, WriteJobs, WriteKeys, WriteObjects, WriteOnce,
    },
    recover::Recoverer,
    submit::sha256_hex,
};
use time::{Date, OffsetDateTime};
use url::Url;

use crate::faults::Faults;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds a lock")
}

/// Jobs in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryJobs {
    rows: Arc<Mutex<BTreeMap<JobId, Job>>>,
    once: Arc<Mutex<HashMap<String, (Earlier, OffsetDateTime)>>>,
    keys: Arc<Mutex<HashMap<KeyHash, Key>>>,
    used: Arc<Mutex<BTreeMap<(Owner, Date), Usage>>>,
    faults: Faults,
}

impl MemoryJobs {
    /// An empty store whose calls `faults` may fail.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// The job, without counting as a call.
    #[must_use]
    pub fn peek(&self, id: JobId) -> Option<Job> {
        lock(&self.rows).get(&id).cloned()
    }

    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.rows).len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl MemoryJobs {
    fn earlier_of(&self, key: &RequestKey) -> Option<Earlier> {
        let once = lock(&self.once);
        once.get(key.key())
            .filter(|(_, until)| *until > OffsetDateTime::now_utc())
            .map(|(earlier, _)| earlier.clone())
    }

    fn write_row(&self, job: &mut Job) -> Result<(), WriteError> {
        let mut rows = lock(&self.rows);
        let stored = rows.get(&job.id());
        let mut written = job.clone();
        written.written();
        if stored.map_or(0, Job::revision) != job.revision() && stored != Some(&written) {
            return Err(WriteError::Conflict);
        }
        rows.insert(job.id(), written.clone());
        *job = written;
        Ok(())
    }
}

#[async_trait]
impl WriteOnce for MemoryJobs {
    async fn earlier(&self, key: &RequestKey) -> Result<Option<Earlier>, PortError> {
        self.faults.call("reading a request's key", || self.earlier_of(key))
    }

    async fn write_once(&self, job: &mut Job, key: &RequestKey) -> Result<Option<Earlier>, WriteError> {
        self.faults.call("writing a job once", || {
            if let Some(earlier) = self.earlier_of(key) {
                return Ok(Some(earlier));
            }
            self.write_row(job)?;
            let earlier = Earlier { job: job.id(), request: key.request().to_owned() };
            lock(&self.once).insert(key.key().to_owned(), (earlier, key.until()));
            Ok(None)
        })?
    }
}

#[async_trait]
impl ReadKeys for MemoryJobs {
    async fn key(&self, hash: &KeyHash) -> Result<Option<Key>, PortError> {
        self.faults.call("reading a key", || lock(&self.keys).get(hash).cloned())
    }
}

#[async_trait]
impl WriteKeys for MemoryJobs {
    async fn keys(&self) -> Result<Vec<Key>, PortError> {
        self.faults.call("listing keys", || {
            let mut keys: Vec<_> = lock(&self.keys).values().cloned().collect();
            keys.sort_by(|one, other| (one.created_at, &one.hash).cmp(&(other.created_at, &other.hash)));
            keys
        })
    }

    async fn write_key(&self, key: &Key) -> Result<(), PortError> {
        self.faults.call("writing a key", || {
            lock(&self.keys).insert(key.hash.clone(), key.clone());
        })
    }

    async fn remove_key(&self, hash: &KeyHash) -> Result<(), PortError> {
        self.faults.call("removing a key", || {
            lock(&self.keys).remove(hash);
        })
    }
}

#[async_trait]
impl CountUsage for MemoryJobs {
    async fn use_up(
        &self,
        owner: &Owner,
        day: Date,
        more: Usage,
        quota: &Quota,
    ) -> Result<Result<Usage, Usage>, PortError> {
        self.faults.call("counting what is used", || {
            let mut all = lock(&self.used);
            let used = all.get(&(owner.clone(), day)).copied().unwrap_or_default();
            let total = used.and(more);
            if !total.is_within(quota) {
                return Err(used);
            }
            all.insert((owner.clone(), day), total);
            Ok(total)
        })
    }

    async fn usage(&self, owner: &Owner, first: Date, last: Date) -> Result<Vec<(Date, Usage)>, PortError> {
        self.faults.call("reading what is used", || {
            let days = (owner.clone(), first)..=(owner.clone(), last);
            lock(&self.used).range(days).map(|((_, day), used)| (*day, *used)).collect()
        })
    }

    async fn unended(&self, owner: &Owner, most: usize) -> Result<usize, PortError> {
        self.faults.call("counting unended jobs", || {
            let rows = lock(&self.rows);
            let counts =
                |job: &&Job| job.owner() == Some(owner) && !job.status().is_final() && !job.is_deleted();
            rows.values().filter(counts).take(most).count()
        })
    }
}

#[async_trait]
impl ListDue for MemoryJobs {
    async fn due(&self, query: DueQuery) -> Result<Vec<DueJob>, PortError> {
        self.faults.call("listing due jobs", || {
            let rows = lock(&self.rows);
            let due = rows.values().filter(|job| job.id().shard() == query.shard);
            let mut due: Vec<_> =
                due.filter_map(|job| Some(DueJob { id: job.id(), due: job.due()? })).collect();
            due.retain(|job| job.due <= query.by);
            due.sort_by_key(|job| (job.due, job.id));
            due.retain(|job| query.after.is_none_or(|after| (after.due, after.id) < (job.due, job.id)));
            due.truncate(query.limit);
            due
        })
    }
}

#[async_trait]
impl ReadJobs for MemoryJobs {
    async fn get(&self, id: JobId) -> Result<Option<Job>, PortError> {
        self.faults.call("reading a job", || self.peek(id))
    }
}

#[async_trait]
impl ListJobs for MemoryJobs {
    async fn list(&self, query: ListQuery) -> Result<Vec<Job>, PortError> {
        self.faults.call("listing jobs", || {
            lock(&self.rows)
                .values()
                .rev()
                .filter(|job| query.owner.as_ref().is_none_or(|owner| job.owner() == Some(owner)))
                .filter(|job| query.status.is_none_or(|status| job.status() == status))
                .filter(|job| !job.is_deleted())
                .filter(|job| query.before.is_none_or(|before| job.id() < before))
                .take(query.limit)
                .cloned()
                .collect()
        })
    }
}

#[async_trait]
impl WriteJobs for MemoryJobs {
    async fn write(&self, job: &mut Job) -> Result<(), WriteError> {
        self.faults.call("writing a job", || self.write_row(job))?
    }

    async fn delete(&self, id: JobId) -> Result<(), PortError> {
        self.faults.call("deleting a job", || {
            lock(&self.rows).remove(&id);
        })
    }
}

#[async_trait]
impl Probe for MemoryJobs {
    fn name(&self) -> &'static str {
        "jobs_table"
    }

    async fn probe(&self) -> Result<(), PortError> {
        self.faults.call("probing the table", || ())
    }
}

/// Objects in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryObjects {
    objects: Arc<Mutex<BTreeMap<String, (String, Bytes)>>>,
    faults: Faults,
}

impl MemoryObjects {
    /// An empty store whose calls `faults` may fail.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self { objects: Arc::default(), faults }
    }

    /// Every object: its key, its type and its content.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, (String, Bytes)> {
        lock(&self.objects).clone()
    }

    fn info(content_type: &str, body: &Bytes) -> ObjectInfo {
        ObjectInfo { bytes: body.len() as u64, content_type: content_type.to_owned(), etag: sha256_hex(body) }
    }
}

#[async_trait]
impl ReadObjects for MemoryObjects {
    async fn read(&self, key: &ObjectKey, max_bytes: u64) -> Result<Read, PortError> {
        self.faults.call("reading an object", || match lock(&self.objects).get(&key.to_string()) {
            None => Read::Missing,
            Some((_, body)) if body.len() as u64 > max_bytes => Read::TooLarge(body.len() as u64),
            Some((content_type, body)) => Read::Found(Self::info(content_type, body), body.clone()),
        })
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, PortError> {
        self.faults.call("describing an object", || {
            lock(&self.objects)
                .get(&key.to_string())
                .map(|(content_type, body)| Self::info(content_type, body))
        })
    }

    async fn presign(
        &self,
        method: ReadMethod,
        key: &ObjectKey,
        _validity: Duration,
    ) -> Result<Url, PortError> {
        self.faults.call("signing a download", || {
            let mut url = memory_url(key);
            url.set_query((method == ReadMethod::Head).then_some("method=HEAD"));
            url
        })
    }
}

#[async_trait]
impl WriteObjects for MemoryObjects {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &str) -> Result<(), PortError> {
        self.faults.call("storing an object", || {
            lock(&self.objects).insert(key.to_string(), (content_type.to_owned(), body));
        })
    }

    async fn put_new(&self, key: &ObjectKey, body: Bytes, content_type: &str) -> Result<bool, PortError> {
        self.faults.call("storing a new object", || match lock(&self.objects).entry(key.to_string()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert((content_type.to_owned(), body));
                true
            }
        })
    }

    async fn delete_results(&self, job: JobId, of: Attempts) -> Result<(), PortError> {
        self.faults.call("deleting results", || {
            lock(&self.objects).retain(|key, _| {
                !key.starts_with(&job_prefix(job)) || !key.parse().is_ok_and(|key| of.stored(&key))
            });
        })
    }

    async fn delete_all(&self, job: JobId) -> Result<(), PortError> {
        self.faults.call("deleting objects", || {
            lock(&self.objects).retain(|key, _| !key.starts_with(&job_prefix(job)));
        })
    }
}

#[async_trait]
impl PresignUploads for MemoryObjects {
    async fn presign_put(
        &self,
        key: &ObjectKey,
        terms: &UploadTerms,
        _validity: Duration,
    ) -> Result<UploadTicket, PortError> {
        self.faults.call("signing an upload", || UploadTicket {
            url: memory_url(key),
            headers: vec![
                ("content-type".to_owned(), terms.content_type.clone()),
                ("content-length".to_owned(), terms.bytes.to_string()),
            ],
        })
    }
}

#[async_trait]
impl Probe for MemoryObjects {
    fn name(&self) -> &'static str {
        "bucket"
    }

    async fn probe(&self) -> Result<(), PortError> {
        self.faults.call("probing the bucket", || ())
    }
}

fn memory_url(key: &ObjectKey) -> Url {
    Url::parse(&format!("https://bucket.example.com/{key}")).expect("keys are made of URL characters")
}

/// Models in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryModels {
    files: Arc<Mutex<BTreeMap<String, Bytes>>>,
    bodies: Arc<AtomicUsize>,
    faults: Faults,
}

impl MemoryModels {
    /// An empty store whose calls `faults` may fail.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self { files: Arc::default(), bodies: Arc::default(), faults }
    }

    /// The number of files that were read, without those that had not changed.
    #[must_use]
    pub fn bodies_read(&self) -> usize {
        self.bodies.load(Ordering::SeqCst)
    }

    /// Puts a file at a key, as a user does.
    pub fn put(&self, key: &str, body: impl Into<Bytes>) {
        lock(&self.files).insert(key.to_owned(), body.into());
    }
}

#[async_trait]
impl ReadModels for MemoryModels {
    async fn read_model(
        &self,
        model: &ModelKey,
        file: ModelFile,
        known: Option<&str>,
        max_bytes: u64,
    ) -> Result<ModelRead, PortError> {
        self.faults.call("reading a model", || {
            let Some(body) = lock(&self.files).get(&file.key(model)).cloned() else {
                return ModelRead::Missing;
            };
            let etag = sha256_hex(&body);
            if known == Some(etag.as_str()) {
                ModelRead::Unchanged
            } else if body.len() as u64 > max_bytes {
                ModelRead::TooLarge(body.len() as u64)
            } else {
                self.bodies.fetch_add(1, Ordering::SeqCst);
                ModelRead::Found { etag, body }
            }
        })
    }
}

/// Messages in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryQueue {
    messages: Arc<Mutex<Vec<(Message, Duration)>>>,
    faults: Faults,
}

impl MemoryQueue {
    /// An empty queue whose calls `faults` may fail.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self { messages: Arc::default(), faults }
    }

    /// Every message sent so far.
    #[must_use]
    pub fn sent(&self) -> Vec<Message> {
        lock(&self.messages).iter().map(|(message, _)| message.clone()).collect()
    }

    /// The delay of each of them.
    #[must_use]
    pub fn delays(&self) -> Vec<Duration> {
        lock(&self.messages).iter().map(|(_, delay)| *delay).collect()
    }
}

#[async_trait]
impl SendMessages for MemoryQueue {
    async fn send(&self, message: Message, delay: Duration) -> Result<(), PortError> {
        self.faults.call("sending a message", || lock(&self.messages).push((message, delay)))
    }
}

/// A recoverer of jobs in memory, with the documented limits.
#[must_use]
pub fn recoverer(
    jobs: &MemoryJobs,
    objects: &MemoryObjects,
    queue: &MemoryQueue,
    clock: &ManualClock,
) -> Recoverer {
    Recoverer {
        jobs: Arc::new(jobs.clone()),
        writer: Arc::new(jobs.clone()),
        due: Arc::new(jobs.clone()),
        sources: Arc::new(objects.clone()),
        objects: Arc::new(objects.clone()),
        queue: Arc::new(queue.clone()),
        clock: Arc::new(clock.clone()),
        limits: Limits::default(),
    }
}

/// A web of images in memory; an address it does not know is not reachable.
#[derive(Clone, Debug, Default)]
pub struct MemoryWeb(Arc<Mutex<HashMap<Url, Bytes>>>);

impl MemoryWeb {
    /// Serves `body` at `url` from now on.
    pub fn serve(&self, url: &Url, body: Bytes) {
        lock(&self.0).insert(url.clone(), body);
    }
}

#[async_trait]
impl FetchImages for MemoryWeb {
    async fn fetch(&self, url: &Url) -> Result<Fetched, FetchError> {
        lock(&self.0).get(url).cloned().map(|body| Fetched { body }).ok_or_else(|| {
            let failure = Failure::new("source_unreachable", "It was not reachable.");
            FetchError::Retryable { failure, after: None }
        })
    }
}

/// Refuses every address whose host is `10.0.0.1`, in place of the real rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryUrlCheck;

#[async_trait]
impl CheckUrls for MemoryUrlCheck {
    async fn check(&self, field: &'static str, url: &Url) -> Result<(), Refusal> {
        if url.host_str() == Some("10.0.0.1") {
            return Err(Refusal::new(Reason::Forbidden, "private_address", format!("`{field}` is private.")));
        }
        Ok(())
    }
}

/// A receiver of callbacks that gives the answers it was told to, the last one for ever.
#[derive(Clone, Debug)]
pub struct MemoryReceiver {
    received: Arc<Mutex<Vec<CallbackRequest>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl MemoryReceiver {
    /// A receiver with its answers in order; there is at least one.
    #[must_use]
    pub fn new(answers: Vec<Answer>) -> Self {
        Self { received: Arc::default(), answers: Arc::new(Mutex::new(answers)) }
    }

    /// Every callback received so far.
    #[must_use]
    pub fn received(&self) -> Vec<CallbackRequest> {
        lock(&self.received).clone()
    }
}

#[async_trait]
impl PostCallbacks for MemoryReceiver {
    async fn post(&self, request: &CallbackRequest) -> Answer {
        lock(&self.received).push(request.clone());
        let mut answers = lock(&self.answers);
        if answers.len() > 1 { answers.remove(0) } else { answers[0] }
    }
}

/// A clock that moves only when told to.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<OffsetDateTime>>);

impl Default for ManualClock {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))))
    }
}

impl ManualClock {
    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        *lock(&self.0) += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *lock(&self.0)
    }
}
