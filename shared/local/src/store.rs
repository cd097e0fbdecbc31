//! The folder that holds the whole store.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jobs::{
    error::PortError,
    ports::{WriteJobs as _, WriteObjects as _},
};
use rusqlite::OptionalExtension as _;
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

use crate::{
    JobsTable, ModelsFolder, Objects, Queue, Queues, Signer,
    database::{DATABASE, Database},
    queue::Terms,
};

/// As in template.yaml: the visibility timeout is six times the timeout of `process`.
const JOBS: Terms = Terms {
    name: "jobs_queue",
    dead_letters: "jobs_dead_letters",
    visibility: Duration::from_secs(600),
    receives: 10,
};

/// As in template.yaml.
const CALLBACKS: Terms = Terms {
    name: "callbacks_queue",
    dead_letters: "callbacks_dead_letters",
    visibility: Duration::from_secs(540),
    receives: 10,
};

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses it.
    #[error("{} is in use by another darkroom: stop that, or name another folder in DATA_DIR", .0.display())]
    InUse(PathBuf),
    /// It cannot be made, or written to.
    #[error("{} cannot be used: {error}", .0.display(), error = .1)]
    Io(PathBuf, #[source] io::Error),
    /// The database in it cannot be used.
    #[error("the database in {} cannot be used: {error}", .0.display(), error = .1)]
    Database(PathBuf, #[source] rusqlite::Error),
    /// The key in the database cannot be used to sign.
    #[error("the database in {} holds no usable key", .0.display())]
    Key(PathBuf),
    /// The state that an earlier process left could not be put in order.
    #[error("the database in {} cannot be put in order: {error}", .0.display(), error = .1)]
    Recovery(PathBuf, #[source] PortError),
}

/// Everything that a service on one machine keeps.
#[derive(Clone)]
pub struct Store {
    /// Jobs, keys, and what the keys' owners have used.
    pub jobs: JobsTable,
    /// Images and results.
    pub objects: Objects,
    /// Both queues.
    pub queues: Queues,
    /// Models.
    pub models: ModelsFolder,
    // Held for as long as the store is used.
    _lock: std::sync::Arc<File>,
}

impl Store {
    /// Opens a folder, or makes it. Work that an earlier process had not finished when it died is due again. Signed
    /// URLs begin with `base`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(folder: &Path, base: Url) -> Result<Self, OpenError> {
        let on_disk = |error| OpenError::Io(folder.to_owned(), error);
        let in_database = |error| OpenError::Database(folder.to_owned(), error);
        for part in ["objects", "models"] {
            make_private(&folder.join(part)).map_err(on_disk)?;
        }
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))
            .map_err(on_disk)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(on_disk(error)),
        }
        let database = Database::open(&folder.join(DATABASE)).map_err(in_database)?;
        let recovery = |error| OpenError::Recovery(folder.to_owned(), error);
        let key = key_of(&database).await.map_err(recovery)?;
        let signer = Signer::new(base, &key).ok_or_else(|| OpenError::Key(folder.to_owned()))?;
        let jobs = Queue::new(database.clone(), JOBS);
        let store = Self {
            jobs: JobsTable(database.clone()),
            objects: Objects::new(database.clone(), folder.join("objects"), signer, jobs.clone()),
            queues: Queues { jobs, callbacks: Queue::new(database, CALLBACKS) },
            models: ModelsFolder(folder.join("models")),
            _lock: std::sync::Arc::new(lock),
        };
        store.resume().await.map_err(recovery)?;
        Ok(store)
    }

    /// Makes the unfinished work of an earlier process due again. That process is dead, because only one process can
    /// have the folder.
    async fn resume(&self) -> Result<(), PortError> {
        let jobs = self.jobs.end_leases(OffsetDateTime::now_utc()).await?;
        let messages =
            self.queues.jobs.end_deliveries().await? + self.queues.callbacks.end_deliveries().await?;
        if jobs + messages > 0 {
            tracing::warn!(
                jobs,
                messages,
                "an earlier process ended in the middle of these; they are due again"
            );
        }
        Ok(())
    }

    /// Removes expired jobs with everything that they own, expired keys of requests, old usage, old messages, images
    /// without a job, and files without a row.
    ///
    /// # Errors
    /// [`PortError`] when the store fails; the next sweep goes on from there.
    pub async fn sweep(&self) -> Result<(), PortError> {
        loop {
            let expired = self.jobs.expired(OffsetDateTime::now_utc()).await?;
            if expired.is_empty() {
                break;
            }
            tracing::info!(jobs = expired.len(), "removing expired jobs");
            for id in expired {
                self.objects.delete_all(id).await?;
                self.jobs.delete(id).await?;
            }
        }
        self.jobs.forget_keys(OffsetDateTime::now_utc()).await?;
        self.jobs.forget_usage(OffsetDateTime::now_utc()).await?;
        self.queues.jobs.sweep().await?;
        self.queues.callbacks.sweep().await?;
        let disowned = self.objects.disown(OffsetDateTime::now_utc()).await?;
        if disowned > 0 {
            tracing::info!(objects = disowned, "removed images whose jobs never came to be");
        }
        let files = self.objects.sweep().await?;
        if files > 0 {
            tracing::info!(files, "removed files that no job owns");
        }
        Ok(())
    }
}

/// Makes a folder that only its owner can read, because it holds images and callback tokens.
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The key that signs URLs, made when the database is new.
async fn key_of(database: &Database) -> Result<Vec<u8>, PortError> {
    // 244 random bits.
    let fresh = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
    database
        .write("reading the key", move |transaction| {
            let stored: Option<Vec<u8>> = transaction
                .query_row("SELECT secret FROM secrets WHERE name = 'urls'", [], |row| row.get(0))
                .optional()?;
            if let Some(stored) = stored {
                return Ok(stored);
            }
            transaction.execute("INSERT INTO secrets (name, secret) VALUES ('urls', ?1)", [&fresh])?;
            Ok(fresh)
        })
        .await
}
