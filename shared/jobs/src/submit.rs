//! Accepting jobs, and removing them.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use url::Url;

use crate::{
    algorithm::{Parameters, Run, Specification, THUMBNAIL},
    callback_headers::CallbackHeaders,
    error::{Error, PortError, Reason, Refusal, WriteError},
    id::JobId,
    job::{Callback, Draft, Facts, Job, Origin},
    key::ObjectKey,
    limits::Limits,
    message::Message,
    notify::signing_key,
    ports::{
        CheckUrls, Clock, PresignUploads, ReadJobs, SendMessages, UploadTicket, WriteJobs, WriteObjects,
    },
    secret::Secret,
    units::{self, thousands},
};

/// The longest URL that is taken, in bytes.
const MAX_URL: usize = 2_048;

/// The longest callback token that is taken, in bytes.
const MAX_TOKEN: usize = 512;

/// The media type of a file of whatever kind.
const ANY_BYTES: &str = "application/octet-stream";

/// What a client wants done, checked for form only.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Names and parameters; none means [`THUMBNAIL`].
    pub algorithms: Vec<(String, Parameters)>,
    /// Where to POST when the job ends.
    pub callback_url: Option<String>,
    /// Signs and authorises that POST.
    pub callback_token: Option<Secret>,
    /// Sent with that POST.
    pub callback_headers: CallbackHeaders,
}

/// A pre-signed upload that was granted.
#[derive(Clone, Debug)]
pub struct GrantedUpload {
    /// The job, `awaiting_upload`.
    pub job: Job,
    /// How to upload.
    pub ticket: UploadTicket,
    /// Until when.
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
    /// Stores images.
    pub objects: Arc<dyn WriteObjects>,
    /// Grants uploads.
    pub presigner: Arc<dyn PresignUploads>,
    /// Queues work.
    pub queue: Arc<dyn SendMessages>,
    /// Refuses addresses.
    pub urls: Arc<dyn CheckUrls>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Every algorithm there is.
    pub catalogue: Arc<[&'static Specification]>,
    /// Tells what an image is.
    pub identify: Identify,
    /// The media types of each format that is decoded, the usual one first.
    pub media_types: Arc<[&'static [&'static str]]>,
    /// What is accepted.
    pub limits: Limits,
}

impl Submitter {
    /// Accepts an image that is in the request.
    ///
    /// # Errors
    /// [`Error::Refused`] for an empty, too large or unknown image, or wishes that cannot be met; [`Error::Port`].
    pub async fn submit_image(&self, image: Bytes, wishes: Wishes) -> Result<Job, Error> {
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
        let draft = self.draft(Origin::Upload, facts, wishes).await?;
        let (id, now) = self.new_id();
        self.objects.put(&ObjectKey::Source(id), image, content_type).await?;
        self.accept(Job::queued(id, draft, now, self.limits.retention)).await
    }

    /// Accepts an image to be fetched.
    ///
    /// # Errors
    /// [`Error::Refused`] for an address that must not be fetched, or wishes that cannot be met; [`Error::Port`].
    pub async fn submit_url(&self, image_url: &str, wishes: Wishes) -> Result<Job, Error> {
        let url = self.checked_url("image_url", image_url).await?;
        let draft = self.draft(Origin::Url { url }, Facts::default(), wishes).await?;
        let (id, now) = self.new_id();
        self.accept(Job::queued(id, draft, now, self.limits.retention)).await
    }

    /// Grants a pre-signed upload; the job starts when the object arrives.
    ///
    /// # Errors
    /// [`Error::Refused`] for a size or type that is not taken, or wishes that cannot be met; [`Error::Port`].
    pub async fn grant_upload(
        &self,
        content_type: &str,
        bytes: u64,
        wishes: Wishes,
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
        let facts =
            Facts { content_type: Some(content_type.clone()), bytes: Some(bytes), ..Facts::default() };
        let draft = self.draft(Origin::PresignedUpload, facts, wishes).await?;
        let (id, now) = self.new_id();
        let validity = self.limits.upload_validity;
        let ticket =
            self.presigner.presign_put(&ObjectKey::Upload(id), &content_type, bytes, validity).await?;
        let mut job = Job::awaiting_upload(id, draft, now, self.limits.retention);
        self.write_new(&mut job).await?;
        tracing::info!(job_id = %id, bytes, "upload granted");
        Ok(GrantedUpload { job, ticket, expires_at: now + validity })
    }

    /// Removes a job and everything that it owns. The objects go first, so that a removal that breaks off can be
    /// repeated, and once more at the end: a worker may have stored results in between.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is no such job; [`Error::Port`].
    pub async fn delete(&self, id: JobId) -> Result<(), Error> {
        self.jobs.get(id).await?.ok_or_else(Refusal::no_such_job)?;
        self.objects.delete_all(id).await?;
        self.writer.delete(id).await?;
        self.objects.delete_all(id).await?;
        tracing::info!(job_id = %id, "job deleted");
        Ok(())
    }

    /// Whether a media type, as [`media_type`] gives it, can be that of an image which is read.
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

    /// Writes the row, then queues the work: a message never speaks of a job that is not there.
    async fn accept(&self, mut job: Job) -> Result<Job, Error> {
        self.write_new(&mut job).await?;
        self.queue.send(Message::ProcessJob { job_id: job.id() }).await?;
        tracing::info!(job_id = %job.id(), "job accepted");
        Ok(job)
    }

    async fn write_new(&self, job: &mut Job) -> Result<(), PortError> {
        self.writer.write(job).await.map_err(|error| match error {
            WriteError::Port(error) => error,
            WriteError::Conflict => PortError {
                operation: "writing a new job",
                retryable: true,
                cause: "the id is already taken".into(),
            },
        })
    }

    async fn draft(&self, origin: Origin, facts: Facts, wishes: Wishes) -> Result<Draft, Error> {
        let algorithms = resolve(&self.catalogue, wishes.algorithms)?;
        let (token, headers) = (wishes.callback_token, wishes.callback_headers);
        let callback = match wishes.callback_url {
            Some(url) => {
                let url = self.checked_url("callback_url", &url).await?;
                token.as_ref().map_or(Ok(()), check_token)?;
                let headers = headers.checked(token.is_some())?;
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
        Ok(Draft { origin, facts, algorithms, callback })
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

/// Refuses a token that could not be sent in a header, or that says it is Base64 and is not.
fn check_token(token: &Secret) -> Result<(), Refusal> {
    let text = token.expose();
    let sendable = (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if sendable && signing_key(token).is_some_and(|key| !key.is_empty()) {
        return Ok(());
    }
    Err(Refusal::invalid(
        "invalid_callback_token",
        format!(
            "`callback_token` must be 1 to {MAX_TOKEN} visible ASCII characters without blanks; what follows `whsec_` \
             must be Base64."
        ),
    ))
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

/// Checks the algorithms asked for against the catalogue; none asked for means the default one.
fn resolve(
    catalogue: &[&'static Specification],
    asked: Vec<(String, Parameters)>,
) -> Result<Vec<Run>, Refusal> {
    let asked = if asked.is_empty() { vec![(THUMBNAIL.to_owned(), Parameters::default())] } else { asked };
    let mut runs: Vec<Run> = Vec::with_capacity(asked.len());
    for (name, parameters) in asked {
        let Some(specification) = catalogue.iter().find(|s| s.name == name) else {
            let known: Vec<_> = catalogue.iter().map(|s| s.name).collect();
            return Err(Refusal::invalid(
                "unknown_algorithm",
                format!("There is no algorithm of that name; there are {}.", known.join(", ")),
            ));
        };
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
