//! Accepting jobs, and removing them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use url::Url;

use crate::{
    access::Caller,
    algorithm::{Parameters, Run, Specification, THUMBNAIL},
    callback::Callback,
    callback_headers::CallbackHeaders,
    error::{Chain, Error, PortError, Reason, Refusal, WriteError},
    id::JobId,
    job::{Draft, Facts, Job, Origin, Status, Terms},
    key::ObjectKey,
    limits::Limits,
    message::Message,
    notify::{KEY_BYTES, Token},
    once::{Earlier, Fingerprint, RequestKey},
    ports::{
        CheckUrls, Clock, PresignUploads, ReadJobs, SendMessages, UploadTerms, UploadTicket, WriteJobs,
        WriteObjects, WriteOnce,
    },
    quota::Meter,
    secret::Secret,
    units::{self, thousands},
};

/// The longest URL that is taken, in bytes.
const MAX_URL: usize = 2_048;

/// The longest callback token that is taken, in bytes.
const MAX_TOKEN: usize = 512;

/// The media type of a file of whatever kind.
const ANY_BYTES: &str = "application/octet-stream";

/// A client's request, of which only the form has been checked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The algorithms with their parameters; an empty list means [`THUMBNAIL`].
    pub algorithms: Vec<(String, Parameters)>,
    /// Where to POST when the job ends.
    pub callback_url: Option<String>,
    /// The callback's secret. `whsec_` with a key in Base64 signs the POST; any other text is sent with it as a bearer
    /// token.
    pub callback_token: Option<Secret>,
    /// Headers to send with that POST.
    pub callback_headers: CallbackHeaders,
    /// How long the job has to end, in seconds.
    pub deadline: Option<u64>,
    /// The idempotency key, under which the request is served once however often it is sent.
    pub idempotency_key: Option<String>,
    /// Who asks.
    pub caller: Caller,
}

/// The shortest and the longest deadline that is taken, in seconds.
pub const DEADLINES: std::ops::RangeInclusive<u64> = 10..=86_400;

/// How long an idempotency key is valid.
const KEY_VALIDITY: Duration = Duration::from_secs(24 * 3_600);

/// How often a change of a row is tried while others write it at the same time.
const WRITE_TRIES: u32 = 5;

/// A pre-signed upload that was granted.
#[derive(Clone, Debug)]
pub struct GrantedUpload {
    /// The job, `awaiting_upload`.
    pub job: Job,
    /// How to upload.
    pub ticket: UploadTicket,
    /// When the grant expires.
    pub expires_at: OffsetDateTime,
}

/// Tells an image's media type by its content, or refuses it.
pub type Identify = fn(&[u8]) -> Result<&'static str, Refusal>;

/// Accepts and removes jobs.
#[derive(Clone)]
pub struct Submitter {
    /// Reads jobs.
    pub jobs: Arc<dyn ReadJobs>,
    /// Writes jobs.
    pub writer: Arc<dyn WriteJobs>,
    /// Writes jobs whose requests have an idempotency key.
    pub once: Arc<dyn WriteOnce>,
    /// Stores images.
    pub objects: Arc<dyn WriteObjects>,
    /// Signs uploads.
    pub presigner: Arc<dyn PresignUploads>,
    /// Queues work.
    pub queue: Arc<dyn SendMessages>,
    /// Holds owners to their quotas.
    pub meter: Meter,
    /// Checks the addresses that clients name.
    pub urls: Arc<dyn CheckUrls>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Every algorithm there is.
    pub catalogue: Arc<[&'static Specification]>,
    /// Tells an image's media type by its content.
    pub identify: Identify,
    /// The media types of each format that is decoded, the usual one first.
    pub media_types: Arc<[&'static [&'static str]]>,
    /// The limits of this deployment.
    pub limits: Limits,
}

impl Submitter {
    /// Accepts a job whose image is in the request.
    ///
    /// # Errors
    /// [`Error::Refused`] for an empty, too large or unknown image, or a request that cannot be met; [`Error::Port`].
    pub async fn submit_image(&self, image: Bytes, request: Request) -> Result<Job, Error> {
        let bytes = image.len() as u64;
        if image.is_empty() {
            return Err(
                Refusal::invalid("empty_image", "The image has no bytes: send the file's content.").into()
            );
        }
        if bytes > self.limits.inline_bytes {
            return Err(self.too_large_inline().into());
        }
        let content_type = (self.identify)(&image)?;
        let facts = Facts {
            content_type: Some(content_type.to_owned()),
            bytes: Some(bytes),
            sha256: Some(sha256_hex(&image)),
            ..Facts::default()
        };
        let (draft, terms) = self.draft(Origin::Upload, facts, &request).await?;
        let key = self.request_key(&draft, &request)?;
        if let Some(job) = self.served(key.as_ref()).await? {
            return Ok(job);
        }
        self.meter.charge(&request.caller, bytes).await?;
        let (id, now) = self.new_id();
        self.objects.put(&ObjectKey::Source(id), image, content_type).await?;
        let accepted = self.accept(Job::queued(id, draft, now, terms), key.as_ref()).await;
        if matches!(&accepted, Err(Error::Refused(_))) || accepted.as_ref().is_ok_and(|job| job.id() != id) {
            // A request with the same idempotency key was written first, so no job has this image.
            self.objects.delete_all(id).await?;
        }
        accepted
    }

    /// Accepts a job whose image is to be fetched.
    ///
    /// # Errors
    /// [`Error::Refused`] for an address that must not be fetched, or a request that cannot be met; [`Error::Port`].
    pub async fn submit_url(&self, image_url: &str, request: Request) -> Result<Job, Error> {
        let url = self.checked_url("image_url", image_url).await?;
        let (draft, terms) = self.draft(Origin::Url { url }, Facts::default(), &request).await?;
        let key = self.request_key(&draft, &request)?;
        if let Some(job) = self.served(key.as_ref()).await? {
            return Ok(job);
        }
        self.meter.charge(&request.caller, 0).await?;
        let (id, now) = self.new_id();
        self.accept(Job::queued(id, draft, now, terms), key.as_ref()).await
    }

    /// Grants a pre-signed upload; the job starts when the object arrives.
    ///
    /// # Errors
    /// [`Error::Refused`] for a size or type that is not taken, or a request that cannot be met; [`Error::Port`].
    pub async fn grant_upload(
        &self,
        content_type: &str,
        bytes: u64,
        sha256: Option<&str>,
        request: Request,
    ) -> Result<GrantedUpload, Error> {
        if bytes == 0 {
            return Err(
                Refusal::invalid("empty_image", "`bytes` must be the size of the file, at least 1.").into()
            );
        }
        if bytes > self.limits.upload_bytes {
            return Err(Refusal::new(
                Reason::TooLarge,
                "image_too_large",
                format!("An upload has at most {}.", units::bytes(self.limits.upload_bytes)),
            )
            .into());
        }
        let content_type = media_type(content_type);
        if !self.takes_type(&content_type) {
            let usual: Vec<_> = self.media_types.iter().filter_map(|types| types.first().copied()).collect();
            let text = format!(
                "`content_type` must be the type of a format that is read ({}), or {ANY_BYTES}.",
                usual.join(", ")
            );
            return Err(Refusal::new(Reason::UnsupportedType, "unsupported_content_type", text).into());
        }
        let digest = sha256.map(checked_sha256).transpose()?;
        let facts = Facts {
            content_type: Some(content_type.clone()),
            bytes: Some(bytes),
            sha256: digest.map(|digest| hexadecimal(&digest)),
            ..Facts::default()
        };
        let (draft, _) = self.draft(Origin::PresignedUpload, facts, &request).await?;
        let terms = self.limits.upload_terms(request.deadline.map(Duration::from_secs));
        let key = self.request_key(&draft, &request)?;
        let job = match self.served(key.as_ref()).await? {
            Some(job) => job,
            None => {
                self.meter.charge(&request.caller, bytes).await?;
                let (id, now) = self.new_id();
                let mut job = Job::awaiting_upload(id, draft, now, terms);
                match self.write_new(&mut job, key.as_ref()).await? {
                    None => {
                        tracing::info!(job_id = %id, bytes, "upload granted");
                        job
                    }
                    Some(earlier) => earlier,
                }
            }
        };
        let expires_at = job.created_at() + self.limits.upload_validity;
        let left = Duration::try_from(expires_at - self.clock.now()).unwrap_or_default();
        let terms = UploadTerms { content_type, bytes, sha256: digest };
        // A URL is signed for a second at least. If the grant has expired, the store refuses the upload.
        let validity = left.max(Duration::from_secs(1));
        let ticket = self.presigner.presign_put(&ObjectKey::Upload(job.id()), &terms, validity).await?;
        Ok(GrantedUpload { job, ticket, expires_at })
    }

    /// Deletes a job, whatever its status, and everything that it owns. A worker or an upload may still store something
    /// for it, so the row stays, hidden, until that is no longer possible. Recovery then removes it with everything
    /// that was stored meanwhile.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is no such job; [`Error::Port`].
    pub async fn delete(&self, id: JobId, caller: &Caller) -> Result<(), Error> {
        let now = self.clock.now();
        self.change(id, caller, |job| {
            job.delete(now, now + self.limits.until_untouched());
            Ok(())
        })
        .await?;
        self.objects.delete_all(id).await?;
        tracing::info!(job_id = %id, "job deleted");
        Ok(())
    }

    /// Sends the callback of an ended job once more.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is no such job, it has no callback, or has not ended; [`Error::Port`].
    pub async fn redeliver(&self, id: JobId, caller: &Caller) -> Result<Job, Error> {
        let now = self.clock.now();
        let job = self
            .change(id, caller, |job| {
                job.redeliver_callback(now, self.limits.patience).map_err(|_| {
                    Refusal::new(
                        Reason::Conflict,
                        "no_callback",
                        "Only the callback of a job that has one, and has ended, can be sent again.",
                    )
                })
            })
            .await?;
        self.queue.send(Message::DeliverCallback { job_id: id }, Duration::ZERO).await?;
        Ok(job)
    }

    /// Changes the row of a job that the caller sees, again if others write it at the same time.
    async fn change(
        &self,
        id: JobId,
        caller: &Caller,
        change: impl Fn(&mut Job) -> Result<(), Refusal>,
    ) -> Result<Job, Error> {
        for _ in 0..WRITE_TRIES {
            let job = self.jobs.get(id).await?;
            let job = job.filter(|job| job.is_there(self.clock.now()) && caller.sees(job));
            let mut job = job.ok_or_else(Refusal::no_such_job)?;
            change(&mut job)?;
            match self.writer.write(&mut job).await {
                Ok(()) => return Ok(job),
                Err(WriteError::Conflict) => {}
                Err(WriteError::Port(error)) => return Err(error.into()),
            }
        }
        Err(PortError {
            operation: "changing a job",
            retryable: true,
            cause: "others kept writing the job".into(),
        }
        .into())
    }

    /// Whether an image of this media type, written as [`media_type`] returns it, is accepted.
    #[must_use]
    pub fn takes_type(&self, media_type: &str) -> bool {
        media_type == ANY_BYTES || self.media_types.iter().any(|types| types.contains(&media_type))
    }

    /// The refusal of an image that is too large for the request, naming the route that takes it.
    #[must_use]
    pub fn too_large_inline(&self) -> Refusal {
        Refusal::new(
            Reason::TooLarge,
            "image_too_large",
            format!(
                "An image in the request has at most {}. POST /uploads grants an upload of up to {}.",
                units::bytes(self.limits.inline_bytes),
                units::bytes(self.limits.upload_bytes)
            ),
        )
    }

    fn new_id(&self) -> (JobId, OffsetDateTime) {
        let now = self.clock.now();
        (JobId::new(now), now)
    }

    /// Writes the row, then queues the work. The row is enough for the job to be worked on: if the message cannot be
    /// sent, recovery queues the job later.
    async fn accept(&self, mut job: Job, key: Option<&RequestKey>) -> Result<Job, Error> {
        if let Some(earlier) = self.write_new(&mut job, key).await? {
            return Ok(earlier);
        }
        self.announce(&job).await;
        tracing::info!(job_id = %job.id(), "job accepted");
        Ok(job)
    }

    async fn announce(&self, job: &Job) {
        if let Err(error) = self.queue.send(Message::ProcessJob { job_id: job.id() }, Duration::ZERO).await {
            tracing::warn!(job_id = %job.id(), error = %Chain(&error), "the job's message was not sent; it starts later");
        }
    }

    /// Writes a new job. If its request was served before, nothing is written and the earlier job is returned.
    async fn write_new(&self, job: &mut Job, key: Option<&RequestKey>) -> Result<Option<Job>, Error> {
        let written = match key {
            Some(key) => self.once.write_once(job, key).await,
            None => self.writer.write(job).await.map(|()| None),
        };
        match written {
            Ok(None) => Ok(None),
            Ok(Some(earlier)) if earlier.job == job.id() => Ok(None),
            Ok(Some(earlier)) => self.job_of(&earlier, key).await.map(Some),
            Err(WriteError::Port(error)) => Err(error.into()),
            Err(WriteError::Conflict) => Err(PortError {
                operation: "writing a new job",
                retryable: true,
                cause: "the id is already taken".into(),
            }
            .into()),
        }
    }

    /// The job of the same request, if that was served before.
    async fn served(&self, key: Option<&RequestKey>) -> Result<Option<Job>, Error> {
        let Some(key) = key else { return Ok(None) };
        match self.once.earlier(key).await? {
            Some(earlier) => self.job_of(&earlier, Some(key)).await.map(Some),
            None => Ok(None),
        }
    }

    /// The job that was made for a key. Refused if it was made for another request.
    async fn job_of(&self, earlier: &Earlier, key: Option<&RequestKey>) -> Result<Job, Error> {
        key.map_or(Ok(()), |key| key.check(earlier))?;
        let job = self.jobs.get(earlier.job).await?.filter(|job| job.is_there(self.clock.now()));
        let job = job.ok_or_else(Refusal::no_such_job)?;
        if job.status() == Status::Queued && job.started_at().is_none() {
            // The process that served the first request may have died before it sent the message.
            self.announce(&job).await;
        }
        tracing::info!(job_id = %job.id(), "the request was served before");
        Ok(job)
    }

    /// The idempotency key of a request, with a fingerprint of everything that the client asks for.
    fn request_key(&self, draft: &Draft, request: &Request) -> Result<Option<RequestKey>, Refusal> {
        let Some(key) = &request.idempotency_key else { return Ok(None) };
        let mut fingerprint = Fingerprint::default();
        let Draft { origin, facts, algorithms, callback, owner } = draft;
        let algorithms: Vec<_> = algorithms.iter().map(|run| (&run.name, &run.parameters)).collect();
        let told = callback.as_ref().map(|callback| (&callback.url, &callback.token, &callback.headers));
        let content = serde_json::to_vec(&(origin, facts, algorithms, told, request.deadline));
        // All of this was parsed from JSON, so it can be written as JSON.
        fingerprint.add(&content.unwrap_or_default());
        RequestKey::new(key, owner.as_ref(), &fingerprint, self.clock.now() + KEY_VALIDITY).map(Some)
    }

    async fn draft(&self, origin: Origin, facts: Facts, request: &Request) -> Result<(Draft, Terms), Error> {
        let algorithms = resolve(&self.catalogue, request.algorithms.clone())?;
        let (token, headers) = (request.callback_token.clone(), request.callback_headers.clone());
        let callback = match &request.callback_url {
            Some(url) => {
                let url = self.checked_url("callback_url", url).await?;
                token.as_ref().map_or(Ok(()), check_token)?;
                let headers = headers.checked(token.as_ref().is_some_and(Token::is_bearer))?;
                Some(Callback { headers, ..Callback::new(url, token) })
            }
            None if token.is_some() || !headers.0.is_empty() => {
                return Err(Refusal::invalid(
                    "missing_callback_url",
                    "`callback_token` and `callback_headers` are sent with the callback: name a `callback_url` too.",
                )
                .into());
            }
            None => None,
        };
        if let Some(deadline) = request.deadline.filter(|seconds| !DEADLINES.contains(seconds)) {
            let (least, most) = (DEADLINES.start(), thousands(*DEADLINES.end()));
            return Err(Refusal::invalid(
                "invalid_deadline",
                format!("`deadline` must be {least} to {most} seconds; it is {deadline}."),
            )
            .into());
        }
        let terms = self.limits.terms(request.deadline.map(Duration::from_secs));
        let owner = request.caller.owner().cloned();
        Ok((Draft { origin, facts, algorithms, callback, owner }, terms))
    }

    async fn checked_url(&self, field: &'static str, text: &str) -> Result<Url, Refusal> {
        let url = Url::parse(text).ok().filter(|url| url.as_str().len() <= MAX_URL).ok_or_else(|| {
            let most = thousands(MAX_URL as u64);
            let text = format!("`{field}` must be an absolute http or https URL of at most {most} bytes.");
            Refusal::invalid("invalid_url", text)
        })?;
        self.urls.check(field, &url).await?;
        Ok(url)
    }
}

/// Refuses a token that cannot be sent in a header, or that begins as a key and is none.
fn check_token(token: &Secret) -> Result<(), Refusal> {
    let text = token.expose();
    let sendable = (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if sendable && Token::is_acceptable(token) {
        return Ok(());
    }
    let (least, most) = (KEY_BYTES.start(), KEY_BYTES.end());
    Err(Refusal::invalid(
        "invalid_callback_token",
        format!(
            "`callback_token` must be 1 to {MAX_TOKEN} visible ASCII characters without blanks; what follows `whsec_` \
             must be the Base64 of {least} to {most} bytes."
        ),
    ))
}

/// Reads a SHA-256 in hexadecimal.
fn checked_sha256(text: &str) -> Result<[u8; 32], Refusal> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        u8::try_from(16 * digit(pair[0])? + digit(pair[1])?).ok()
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).filter(|pair| pair.len() == 2).map(byte).collect();
    let digest = bytes.filter(|_| digits.len() == 64).and_then(|bytes| bytes.try_into().ok());
    digest.ok_or_else(|| {
        Refusal::invalid("invalid_sha256", "`sha256` must be the SHA-256 of the file, 64 hexadecimal digits.")
    })
}

/// The SHA-256 of some bytes, in lowercase hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Some bytes in lowercase hexadecimal.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The media type of a `Content-Type`: without its parameters, in lower case.
#[must_use]
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The algorithm of that name.
///
/// # Errors
/// [`Refusal`] where there is none.
pub fn specification(
    catalogue: &[&'static Specification],
    name: &str,
) -> Result<&'static Specification, Refusal> {
    catalogue.iter().copied().find(|specification| specification.name == name).ok_or_else(|| {
        let known: Vec<_> = catalogue.iter().map(|specification| specification.name).collect();
        Refusal::invalid(
            "unknown_algorithm",
            format!("There is no algorithm of that name; there are {}.", known.join(", ")),
        )
    })
}

/// Checks the requested algorithms against the catalogue. If there are none, the default one is run.
fn resolve(
    catalogue: &[&'static Specification],
    asked: Vec<(String, Parameters)>,
) -> Result<Vec<Run>, Refusal> {
    let asked = if asked.is_empty() { vec![(THUMBNAIL.to_owned(), Parameters::default())] } else { asked };
    let mut runs: Vec<Run> = Vec::with_capacity(asked.len());
    for (name, parameters) in asked {
        let specification = specification(catalogue, &name)?;
        if runs.iter().any(|run| run.name == name) {
            return Err(Refusal::invalid(
                "duplicate_algorithm",
                format!("{} is asked for twice; a job runs each algorithm once.", specification.name),
            ));
        }
        runs.push(specification.resolve(&parameters)?);
    }
    Ok(runs)
}
