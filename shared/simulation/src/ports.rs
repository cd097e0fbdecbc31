//! The ports of one process, all on the one world.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use jobs::{
    algorithm::Run,
    error::{Failure, PortError, Refusal, WriteError},
    id::JobId,
    job::{Job, Status},
    key::ObjectKey,
    message::Message,
    once::{Earlier, RequestKey},
    ports::{
        Answer, Artifact, Attempts, CallbackRequest, CheckUrls, DueJob, DueQuery, Engine, FetchError,
        FetchImages, Fetched, ListDue, MAX_DELAY, ObjectInfo, Output, PostCallbacks, PresignUploads, Read,
        ReadJobs, ReadMethod, ReadObjects, SendMessages, UploadTerms, UploadTicket, WorkError, Worked,
        WriteJobs, WriteObjects, WriteOnce,
    },
};
use serde_json::Map;
use url::Url;

use crate::{
    images::{self, Image},
    time::{Micros, SECOND, micros, micros_of, moment},
    weather::Service,
    world::{CALLBACKS, JOBS, Sim, World},
};

/// The caller of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The API, for this client.
    Client(usize),
    Worker,
    Other,
}

/// The jobs table.
pub(crate) struct Table {
    pub(crate) sim: Sim,
    pub(crate) caller: Caller,
}

impl Table {
    fn client(&self) -> Option<usize> {
        match self.caller {
            Caller::Client(client) => Some(client),
            Caller::Worker | Caller::Other => None,
        }
    }

    /// Counts an attempt as lost if the worker's write failed, although the worker lives.
    fn count_lost<T>(&self, id: JobId, written: &Result<T, PortError>) {
        if self.caller == Caller::Worker && written.is_err() {
            self.sim.with(|world| {
                let number = world.number(id);
                world.rows[number].book.lost += 1;
            });
        }
    }
}

fn write_row(world: &mut World, mut job: Job, client: Option<usize>) -> Result<Job, WriteError> {
    let number = world.number(job.id());
    let revision = job.revision();
    job.written();
    let stored = world.rows[number].job.as_ref();
    if stored.map_or(0, Job::revision) != revision {
        return if stored == Some(&job) { Ok(job) } else { Err(WriteError::Conflict) };
    }
    world.put_row(number, Some(job.clone()), client);
    Ok(job)
}

fn earlier(world: &World, key: &str) -> Option<Earlier> {
    world.keys.get(key).filter(|(_, until)| *until > world.now).map(|(earlier, _)| earlier.clone())
}

#[async_trait]
impl ReadJobs for Table {
    async fn get(&self, id: JobId) -> Result<Option<Job>, PortError> {
        let read = move |world: &mut World| {
            let number = world.number(id);
            world.rows[number].job.clone()
        };
        self.sim.call(Service::Table, "reading a job", read).await
    }
}

#[async_trait]
impl WriteJobs for Table {
    async fn write(&self, job: &mut Job) -> Result<(), WriteError> {
        let (writing, client) = (job.clone(), self.client());
        let write = move |world: &mut World| write_row(world, writing, client);
        let written = self.sim.call(Service::Table, "writing a job", write).await;
        self.count_lost(job.id(), &written);
        *job = written??;
        Ok(())
    }

    async fn delete(&self, id: JobId) -> Result<(), PortError> {
        let delete = move |world: &mut World| {
            let number = world.number(id);
            if world.rows[number].job.is_some() {
                world.put_row(number, None, None);
            }
        };
        self.sim.call(Service::Table, "deleting a job", delete).await
    }
}

#[async_trait]
impl WriteOnce for Table {
    async fn earlier(&self, key: &RequestKey) -> Result<Option<Earlier>, PortError> {
        let key = key.key().to_owned();
        self.sim.call(Service::Table, "reading a key", move |world| earlier(world, &key)).await
    }

    async fn write_once(&self, job: &mut Job, key: &RequestKey) -> Result<Option<Earlier>, WriteError> {
        let (writing, key, client) = (job.clone(), key.clone(), self.client());
        let write = move |world: &mut World| {
            if let Some(earlier) = earlier(world, key.key()) {
                return Ok((None, Some(earlier)));
            }
            let earlier = Earlier { job: writing.id(), request: key.request().to_owned() };
            let written = write_row(world, writing, client)?;
            world.keys.insert(key.key().to_owned(), (earlier, micros(key.until())));
            Ok::<_, WriteError>((Some(written), None))
        };
        let (written, earlier) = self.sim.call(Service::Table, "writing a job once", write).await??;
        if let Some(written) = written {
            *job = written;
        }
        Ok(earlier)
    }
}

#[async_trait]
impl ListDue for Table {
    async fn due(&self, query: DueQuery) -> Result<Vec<DueJob>, PortError> {
        let list = move |world: &mut World| {
            let shard = u64::from(query.shard);
            let first = query
                .after
                .map_or((shard, 0, 0), |after| (shard, micros(after.due), world.number(after.id) + 1));
            let last = (shard, micros(query.by), usize::MAX);
            if first > last {
                return Vec::new();
            }
            let due = world.index.range(first..=last).take(query.limit);
            due.map(|&(_, due, number)| DueJob { id: world.ids[number], due: moment(due) }).collect()
        };
        self.sim.call(Service::Index, "listing due jobs", list).await
    }
}

/// The bucket.
pub(crate) struct Bucket {
    pub(crate) sim: Sim,
}

fn info(body: &Bytes, content_type: &str) -> ObjectInfo {
    ObjectInfo { bytes: body.len() as u64, content_type: content_type.to_owned(), etag: images::etag(body) }
}

#[async_trait]
impl ReadObjects for Bucket {
    async fn read(&self, key: &ObjectKey, max_bytes: u64) -> Result<Read, PortError> {
        let key = key.clone();
        let read = move |world: &mut World| {
            let number = world.number(key.job());
            match world.object(number, &key) {
                None => Read::Missing,
                Some(object) if object.body.len() as u64 > max_bytes => {
                    Read::TooLarge(object.body.len() as u64)
                }
                Some(object) => Read::Found(info(&object.body, &object.content_type), object.body.clone()),
            }
        };
        self.sim.call(Service::Bucket, "reading an object", read).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, PortError> {
        let key = key.clone();
        let head = move |world: &mut World| {
            let number = world.number(key.job());
            world.object(number, &key).map(|object| info(&object.body, &object.content_type))
        };
        self.sim.call(Service::Bucket, "describing an object", head).await
    }

    async fn presign(&self, _: ReadMethod, key: &ObjectKey, _: Duration) -> Result<Url, PortError> {
        Ok(address(key))
    }
}

#[async_trait]
impl WriteObjects for Bucket {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &str) -> Result<(), PortError> {
        let (key, content_type) = (key.clone(), content_type.to_owned());
        let put = move |world: &mut World| world.put_object(key, body, &content_type);
        self.sim.call(Service::Bucket, "storing an object", put).await
    }

    async fn put_new(&self, key: &ObjectKey, body: Bytes, content_type: &str) -> Result<bool, PortError> {
        let (key, content_type) = (key.clone(), content_type.to_owned());
        let put = move |world: &mut World| {
            let number = world.number(key.job());
            let is_new = world.object(number, &key).is_none();
            if is_new {
                world.put_object(key, body, &content_type);
            }
            is_new
        };
        self.sim.call(Service::Bucket, "storing a new object", put).await
    }

    async fn delete_results(&self, job: JobId, of: Attempts) -> Result<(), PortError> {
        let delete = move |world: &mut World| {
            let number = world.number(job);
            world.objects[number].retain(|object| !of.stored(&object.key));
        };
        self.sim.call(Service::Bucket, "deleting results", delete).await
    }

    async fn delete_all(&self, job: JobId) -> Result<(), PortError> {
        let delete = move |world: &mut World| {
            let number = world.number(job);
            world.objects[number].clear();
        };
        self.sim.call(Service::Bucket, "deleting objects", delete).await
    }
}

fn address(key: &ObjectKey) -> Url {
    Url::parse(&format!("https://bucket.example/{key}")).expect("keys are made of URL characters")
}

#[async_trait]
impl PresignUploads for Bucket {
    async fn presign_put(
        &self,
        key: &ObjectKey,
        _: &UploadTerms,
        _: Duration,
    ) -> Result<UploadTicket, PortError> {
        // Signing calls no service.
        Ok(UploadTicket { url: address(key), headers: Vec::new() })
    }
}

/// Both queues.
pub(crate) struct Queues {
    pub(crate) sim: Sim,
}

#[async_trait]
impl SendMessages for Queues {
    async fn send(&self, message: Message, delay: Duration) -> Result<(), PortError> {
        let queue = match message {
            Message::ProcessJob { .. } => JOBS,
            Message::DeliverCallback { .. } => CALLBACKS,
        };
        let send = move |world: &mut World| {
            if delay > MAX_DELAY {
                let number = world.number(message.job_id());
                world.breaks(number, format!("a message is sent {delay:?} ahead of its time"));
            }
            world.send(queue, message, micros_of(delay));
        };
        self.sim.call(Service::Queue, "sending a message", send).await
    }
}

/// Takes every address.
pub(crate) struct AnyUrl;

#[async_trait]
impl CheckUrls for AnyUrl {
    async fn check(&self, _: &'static str, _: &Url) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Fetches images from servers that begin to work at some time, if ever:
/// `https://images.example/{client}/{kind}/{when}/{asks}`.
pub(crate) struct Web {
    pub(crate) sim: Sim,
}

#[async_trait]
impl FetchImages for Web {
    async fn fetch(&self, url: &Url) -> Result<Fetched, FetchError> {
        let mut numbers =
            url.path_segments().into_iter().flatten().filter_map(|part| part.parse::<u64>().ok());
        let mut number = || numbers.next().unwrap_or_default();
        let (client, image, from, asks) = (number(), number(), number(), number());
        let (now, wait, serial) = self.sim.with(|world| {
            let most = if world.trouble(world.weather.slow) { 20 * SECOND } else { SECOND };
            (world.now, world.random.below(most), world.random.next())
        });
        self.sim.sleep(wait).await;
        if image == Micros::from(Image::GONE) {
            return Err(Failure::new("source_refused", "The server answered 404.").into());
        }
        if now < from {
            let failure = Failure::new("source_unreachable", "There is no such server yet.");
            let after = (asks > 0).then(|| Duration::from_secs(asks));
            return Err(FetchError::Retryable { failure, after });
        }
        let kind = u8::try_from(image).unwrap_or_default();
        // An address may serve another image each time.
        let serial = if client.is_multiple_of(4) { serial } else { client };
        Ok(Fetched { body: images::body(kind, serial) })
    }
}

/// Works on images as their bytes say.
pub(crate) struct Studio {
    pub(crate) sim: Sim,
    /// Set when an image exhausts the process's memory.
    pub(crate) killed: Arc<AtomicBool>,
}

#[async_trait]
impl Engine for Studio {
    async fn run(&self, image: Bytes, sha256: &str, runs: &[Run]) -> Result<Worked, WorkError> {
        let kind = Image::of(&image);
        let (wait, coin, troubled) = self.sim.with(|world| {
            let wait = match kind {
                Image::Slow => world.random.between(20 * SECOND, 59 * SECOND),
                _ => world.random.below(SECOND),
            };
            (wait, world.random.chance(500_000), world.is_troubled())
        });
        self.sim.sleep(wait).await;
        match kind {
            Image::Good | Image::Slow => {}
            Image::Bad => return Err(Failure::new("corrupt_image", "The image is damaged.").into()),
            Image::Deadly => self.die().await,
            Image::Risky if coin => self.die().await,
            Image::Stuck => std::future::pending().await,
            Image::Modelled if troubled && coin => {
                let failure = Failure::new("internal_error", "The model took too long.");
                return Err(WorkError::AttemptFailed(failure));
            }
            Image::Risky | Image::Modelled => {}
        }
        let output = |run: &Run| Output {
            algorithm: run.name.clone(),
            artifacts: images::forms(&run.name)
                .iter()
                .map(|form| Artifact {
                    extension: (*form).into(),
                    content_type: "application/json".into(),
                    body: images::result(sha256, &run.name, form),
                })
                .collect(),
            details: Map::new(),
        };
        Ok(Worked {
            content_type: "image/png".into(),
            width: 4,
            height: 3,
            frames: 1,
            outputs: runs.iter().map(output).collect(),
        })
    }
}

impl Studio {
    async fn die(&self) {
        self.killed.store(true, Relaxed);
        std::future::pending::<()>().await;
    }
}

/// Receives callbacks at `https://{host}/{kind}/{when}`. Each receiver begins to work at some time, if ever.
pub(crate) struct Receivers {
    pub(crate) sim: Sim,
}

/// How a receiver behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiver {
    /// Answers 5xx until it works.
    Failing,
    /// Does not answer until it works.
    Silent,
    /// Takes its time.
    Slow,
    /// Asks to be left alone until it works.
    Busy,
    /// Answers 410.
    Gone,
    /// Has an address that must not be connected to.
    Refused,
    /// Never accepts.
    Hopeless,
    /// Never answers.
    Dead,
}

impl Receiver {
    pub(crate) const ALL: [Self; 8] = [
        Self::Failing,
        Self::Silent,
        Self::Slow,
        Self::Busy,
        Self::Gone,
        Self::Refused,
        Self::Hopeless,
        Self::Dead,
    ];

    /// Whether it accepts callbacks once it works.
    pub(crate) fn accepts(self) -> bool {
        !matches!(self, Self::Gone | Self::Refused | Self::Hopeless | Self::Dead)
    }
}

#[async_trait]
impl PostCallbacks for Receivers {
    async fn post(&self, request: &CallbackRequest) -> Answer {
        let mut numbers =
            request.url.path_segments().into_iter().flatten().filter_map(|part| part.parse::<u64>().ok());
        let mut number = || numbers.next().unwrap_or_default();
        let (kind, well_from) = (Receiver::ALL[usize::try_from(number()).unwrap_or_default()], number());
        let header = |wanted: &str| {
            let found = request.headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.expose().to_owned()).unwrap_or_default()
        };
        let id: JobId = header("webhook-id").trim_start_matches("msg_").parse().expect("a job's id");
        let (is_well, wait, lost) = self.sim.with(|world| {
            let number = world.number(id);
            world.note("POST", number, 0);
            world.rows[number].book.posts += 1;
            let expected = match world.status(number) {
                Some(Status::Succeeded) => r#""type":"job.succeeded""#,
                _ => r#""type":"job.failed""#,
            };
            let deleted = world.rows[number].book.deleted;
            if deleted.is_none() && !request.body.contains(expected) {
                world.breaks(number, "a callback says something else than the row");
            }
            if deleted.is_some_and(|deleted| world.now > deleted + 30 * SECOND) {
                world.breaks(number, "a callback of a deleted job");
            }
            let is_well = world.now >= well_from;
            let wait = match kind {
                Receiver::Silent if !is_well => 10 * SECOND,
                Receiver::Dead => 10 * SECOND,
                Receiver::Slow => world.random.below(9 * SECOND),
                _ => world.random.below(SECOND),
            };
            (is_well, wait, world.trouble(world.weather.lost_answers))
        });
        self.sim.sleep(wait).await;
        let status = |code| Answer::Status { code, retry_after: None };
        match kind {
            Receiver::Gone => status(410),
            Receiver::Refused => Answer::Refused,
            Receiver::Dead => Answer::None,
            Receiver::Hopeless => status(500),
            Receiver::Failing if !is_well => status(503),
            Receiver::Silent if !is_well => Answer::None,
            Receiver::Busy if !is_well => {
                Answer::Status { code: 429, retry_after: Some(Duration::from_secs(600)) }
            }
            _ => {
                self.sim.with(|world| {
                    let number = world.number(id);
                    world.note("accepted", number, 0);
                    world.rows[number].book.welcome += 1;
                });
                if lost { Answer::None } else { status(204) }
            }
        }
    }
}
