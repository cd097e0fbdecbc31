//! Images and results. Each content has a file of its own, written before the row that names it and removed after that
//! row, so that a row always leads to a whole file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jobs::{
    error::PortError,
    id::JobId,
    key::{ObjectKey, job_prefix},
    message::Message,
    ports::{
        Attempts, ObjectInfo, PresignUploads, Probe, Read, ReadMethod, ReadObjects, UploadTerms,
        UploadTicket, WriteObjects,
    },
    submit::hexadecimal,
};
use rusqlite::{OptionalExtension as _, Transaction, params};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Url;
use uuid::Uuid;

use crate::{
    database::{Database, failed},
    queue::{Queue, body_of},
    signature::{self, Signer, Terms},
};

/// How old a file without a row, or an image without a job, must be before it is taken for the leftover of a dead
/// process. A younger one may be about to get its row.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// How many files a sweep asks about at a time, while other readers wait.
const SWEPT: usize = 1_000;

/// How often an object is read again because its file was gone: it may be replaced between the row and the file.
const READS: usize = 3;

/// The header that says which SHA-256 an upload must have; its name is S3's.
pub const CHECKSUM: &str = "x-amz-checksum-sha256";

/// The objects.
#[derive(Clone)]
pub struct Objects {
    database: Database,
    folder: PathBuf,
    signer: Signer,
    jobs: Queue,
}

/// An object's row.
struct Row {
    content_type: String,
    bytes: u64,
    etag: String,
    file: String,
}

impl Row {
    fn find(ask: &rusqlite::Connection, key: &str) -> rusqlite::Result<Option<Self>> {
        let mut one =
            ask.prepare_cached("SELECT content_type, bytes, etag, file FROM objects WHERE key = ?1")?;
        one.query_row([key], |row| {
            Ok(Self { content_type: row.get(0)?, bytes: row.get(1)?, etag: row.get(2)?, file: row.get(3)? })
        })
        .optional()
    }

    fn write(&self, transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<()> {
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO objects (key, content_type, bytes, etag, file) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![key, self.content_type, self.bytes, self.etag, self.file])?;
        Ok(())
    }

    fn info(&self) -> ObjectInfo {
        ObjectInfo { bytes: self.bytes, content_type: self.content_type.clone(), etag: self.etag.clone() }
    }
}

/// A name that no file has, below one of 256 folders.
fn new_name() -> String {
    let name = Uuid::new_v4().simple().to_string();
    format!("{}/{name}", &name[..2])
}

/// A content that is arriving. If it is dropped before it was kept, its file is removed.
pub struct Incoming {
    file: tokio::fs::File,
    name: String,
    path: PathBuf,
    digest: Sha256,
    bytes: u64,
    settled: bool,
}

impl Incoming {
    /// How many bytes have arrived.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256 of the bytes that have arrived, in Base64, as in the header [`CHECKSUM`].
    #[must_use]
    pub fn checksum(&self) -> String {
        BASE64_STANDARD.encode(self.digest.clone().finalize())
    }

    /// Adds some bytes.
    ///
    /// # Errors
    /// [`PortError`] when the disk fails.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        self.file.write_all(bytes).await.map_err(|error| failed("storing an upload", error))?;
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Puts the content on the disk and returns the row that names it. From here on the row may be written even if the
    /// caller is dropped, so the file is removed only with its row, or by a sweep.
    async fn settle(mut self, content_type: &str) -> Result<Row, PortError> {
        let on_disk = |error| failed("storing an object", error);
        self.file.flush().await.map_err(on_disk)?;
        self.file.sync_all().await.map_err(on_disk)?;
        if let Some(folder) = self.path.parent() {
            tokio::fs::File::open(folder).await.map_err(on_disk)?.sync_all().await.map_err(on_disk)?;
        }
        self.settled = true;
        Ok(Row {
            content_type: content_type.to_owned(),
            bytes: self.bytes,
            etag: hexadecimal(&self.digest.clone().finalize()),
            file: self.name.clone(),
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.settled {
            // If this fails, the next sweep removes the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Objects {
    pub(crate) fn new(database: Database, folder: PathBuf, signer: Signer, jobs: Queue) -> Self {
        Self { database, folder, signer, jobs }
    }

    /// The signer that checks signed URLs.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    async fn row(&self, operation: &'static str, key: &ObjectKey) -> Result<Option<Row>, PortError> {
        let key = key.to_string();
        self.database.read(operation, move |ask| Row::find(ask, &key)).await
    }

    /// Opens an object to be read piece by piece.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    pub async fn open(&self, key: &ObjectKey) -> Result<Option<(ObjectInfo, tokio::fs::File)>, PortError> {
        const OPERATION: &str = "opening an object";
        for _ in 0..READS {
            let Some(row) = self.row(OPERATION, key).await? else {
                return Ok(None);
            };
            match tokio::fs::File::open(self.folder.join(&row.file)).await {
                Ok(file) => return Ok(Some((row.info(), file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(OPERATION, error)),
            }
        }
        Err(failed(OPERATION, io::Error::from(io::ErrorKind::NotFound)))
    }

    /// Begins to receive a content.
    ///
    /// # Errors
    /// [`PortError`] when the disk fails.
    pub async fn begin(&self) -> Result<Incoming, PortError> {
        const OPERATION: &str = "storing an upload";
        let name = new_name();
        let path = self.folder.join(&name);
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(|error| failed(OPERATION, error))?;
        }
        let file = tokio::fs::File::create_new(&path).await.map_err(|error| failed(OPERATION, error))?;
        Ok(Incoming { file, name, path, digest: Sha256::new(), bytes: 0, settled: false })
    }

    /// Keeps a content that has arrived as the upload of a job, and queues the job. Returns false, and changes nothing,
    /// if the job has an upload already.
    ///
    /// # Errors
    /// [`PortError`] when the store fails.
    pub async fn keep_upload(
        &self,
        incoming: Incoming,
        job: JobId,
        content_type: &str,
    ) -> Result<bool, PortError> {
        const OPERATION: &str = "keeping an upload";
        let row = incoming.settle(content_type).await?;
        let (key, file) = (ObjectKey::Upload(job).to_string(), row.file.clone());
        let message = body_of(&Message::ProcessJob { job_id: job }, OPERATION)?;
        let queue = self.jobs.clone();
        let kept = self
            .database
            .write(OPERATION, move |transaction| {
                if Row::find(transaction, &key)?.is_some() {
                    return Ok(false);
                }
                row.write(transaction, &key)?;
                queue.add(transaction, &message, Duration::ZERO)?;
                Ok(true)
            })
            .await?;
        if kept {
            self.jobs.wake();
        } else {
            remove(&self.folder, &file).await;
        }
        Ok(kept)
    }

    /// Removes objects whose jobs were never written: an image is stored before its job's row, and a process may die in
    /// between. Their files are then removed as those that no row names.
    pub(crate) async fn disown(&self, now: OffsetDateTime) -> Result<usize, PortError> {
        // Ids sort by the time at which they were made, and follow two digits and a slash in a key.
        let oldest = JobId::new(now - ABANDONED).to_string();
        self.database
            .write("removing objects without a job", move |transaction| {
                transaction.execute(
                    "DELETE FROM objects WHERE substr(key, 4, 36) < ?1
                     AND NOT EXISTS (SELECT 1 FROM jobs WHERE id = substr(key, 4, 36))",
                    params![oldest],
                )
            })
            .await
    }

    /// Removes files that no row names.
    pub(crate) async fn sweep(&self) -> Result<usize, PortError> {
        const OPERATION: &str = "looking for abandoned files";
        let folder = self.folder.clone();
        let found = tokio::task::spawn_blocking(move || abandoned(&folder))
            .await
            .map_err(|error| failed(OPERATION, error))?
            .map_err(|error| failed(OPERATION, error))?;
        let mut removed = 0;
        for names in found.chunks(SWEPT) {
            let names = names.to_vec();
            let nameless = self
                .database
                .read(OPERATION, move |ask| {
                    let mut one = ask.prepare_cached("SELECT 1 FROM objects WHERE file = ?1")?;
                    let mut nameless = Vec::new();
                    for name in names {
                        if !one.exists([&name])? {
                            nameless.push(name);
                        }
                    }
                    Ok(nameless)
                })
                .await?;
            for name in &nameless {
                remove(&self.folder, name).await;
            }
            removed += nameless.len();
        }
        Ok(removed)
    }
}

/// Files that are so old that their rows, if they have any, were written.
fn abandoned(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for group in fs::read_dir(folder)? {
        let group = group?;
        if !group.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(group.path())? {
            let file = file?;
            // A file that was removed in the meantime is not abandoned.
            let age = file
                .metadata()
                .ok()
                .and_then(|metadata| SystemTime::now().duration_since(metadata.modified().ok()?).ok());
            if age.is_some_and(|age| age >= ABANDONED)
                && let (Some(group), Some(name)) = (group.file_name().to_str(), file.file_name().to_str())
            {
                names.push(format!("{group}/{name}"));
            }
        }
    }
    Ok(names)
}

/// Removes the file of a content whose row is gone. If that fails, a sweep removes it.
async fn remove(folder: &Path, name: &str) {
    if let Err(error) = tokio::fs::remove_file(folder.join(name)).await
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "a file is left to the next sweep");
    }
}

#[async_trait]
impl ReadObjects for Objects {
    async fn read(&self, key: &ObjectKey, max_bytes: u64) -> Result<Read, PortError> {
        let Some((info, mut file)) = self.open(key).await? else {
            return Ok(Read::Missing);
        };
        if info.bytes > max_bytes {
            return Ok(Read::TooLarge(info.bytes));
        }
        let mut body = Vec::with_capacity(usize::try_from(info.bytes).unwrap_or_default());
        file.read_to_end(&mut body).await.map_err(|error| failed("reading an object", error))?;
        Ok(Read::Found(info, body.into()))
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, PortError> {
        Ok(self.row("describing an object", key).await?.map(|row| row.info()))
    }

    async fn presign(
        &self,
        method: ReadMethod,
        key: &ObjectKey,
        validity: Duration,
    ) -> Result<Url, PortError> {
        Ok(self.signer.sign(signature::name(method), key, validity, None))
    }
}

#[async_trait]
impl WriteObjects for Objects {
    async fn put(&self, key: &ObjectKey, body: Bytes, content_type: &str) -> Result<(), PortError> {
        let row = self.settled(&body, content_type).await?;
        let key = key.to_string();
        let write = move |transaction: &Transaction<'_>| {
            let replaced = Row::find(transaction, &key)?.map(|row| row.file);
            row.write(transaction, &key)?;
            Ok(replaced)
        };
        if let Some(replaced) = self.database.write("storing an object", write).await? {
            remove(&self.folder, &replaced).await;
        }
        Ok(())
    }

    async fn put_new(&self, key: &ObjectKey, body: Bytes, content_type: &str) -> Result<bool, PortError> {
        let row = self.settled(&body, content_type).await?;
        let (key, file) = (key.to_string(), row.file.clone());
        let write = move |transaction: &Transaction<'_>| {
            let free = Row::find(transaction, &key)?.is_none();
            if free {
                row.write(transaction, &key)?;
            }
            Ok(free)
        };
        let stored = self.database.write("storing a new object", write).await?;
        if !stored {
            remove(&self.folder, &file).await;
        }
        Ok(stored)
    }

    async fn delete_results(&self, job: JobId, of: Attempts) -> Result<(), PortError> {
        self.delete_those(job, move |key| key.parse().is_ok_and(|key| of.stored(&key))).await
    }

    async fn delete_all(&self, job: JobId) -> Result<(), PortError> {
        self.delete_those(job, |_| true).await
    }
}

impl Objects {
    /// Puts a content on the disk and returns the row that names it.
    async fn settled(&self, body: &[u8], content_type: &str) -> Result<Row, PortError> {
        let mut incoming = self.begin().await?;
        incoming.write(body).await?;
        incoming.settle(content_type).await
    }

    /// Removes those of a job's objects whose keys fit.
    async fn delete_those(
        &self,
        job: JobId,
        fits: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<(), PortError> {
        let prefix = job_prefix(job);
        let files = self
            .database
            .write("deleting a job's objects", move |transaction| {
                // A prefix ends in a slash, and `0` is the character after it.
                let end = format!("{}0", prefix.trim_end_matches('/'));
                let mut owned = transaction
                    .prepare_cached("SELECT key, file FROM objects WHERE key >= ?1 AND key < ?2")?;
                let owned = owned.query_map(params![prefix, end], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
                })?;
                let mut files = Vec::new();
                for row in owned.collect::<rusqlite::Result<Vec<_>>>()? {
                    let (key, file) = row;
                    if fits(&key) {
                        transaction.prepare_cached("DELETE FROM objects WHERE key = ?1")?.execute([key])?;
                        files.push(file);
                    }
                }
                Ok(files)
            })
            .await?;
        for file in files {
            remove(&self.folder, &file).await;
        }
        Ok(())
    }
}

#[async_trait]
impl PresignUploads for Objects {
    async fn presign_put(
        &self,
        key: &ObjectKey,
        terms: &UploadTerms,
        validity: Duration,
    ) -> Result<UploadTicket, PortError> {
        let checksum = terms.sha256.map(|digest| BASE64_STANDARD.encode(digest));
        let UploadTerms { content_type, bytes, .. } = terms;
        let signed = Terms { content_type, bytes: *bytes, checksum: checksum.as_deref() };
        let url = self.signer.sign("PUT", key, validity, Some(signed));
        let mut headers = vec![
            ("content-length".to_owned(), bytes.to_string()),
            ("content-type".to_owned(), content_type.clone()),
        ];
        headers.extend(checksum.map(|checksum| (CHECKSUM.to_owned(), checksum)));
        Ok(UploadTicket { url, headers })
    }
}

#[async_trait]
impl Probe for Objects {
    fn name(&self) -> &'static str {
        "bucket"
    }

    async fn probe(&self) -> Result<(), PortError> {
        tokio::fs::metadata(&self.folder).await.map_err(|error| failed("probing the objects", error))?;
        Ok(())
    }
}
