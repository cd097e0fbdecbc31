//! Keys, and what their owners have used.

use std::path::Path;

use async_trait::async_trait;
use jobs::{
    access::{Key, KeyHash, Owner, Quota, Usage},
    error::PortError,
    ports::{CountUsage, ReadKeys, USAGE_KEPT, WriteKeys},
};
use rusqlite::{OptionalExtension as _, params};
use time::{Date, OffsetDateTime, format_description::well_known::Iso8601};

use crate::{
    JobsTable,
    database::{DATABASE, Database, failed},
    jobs_table::parsed,
    store::{OpenError, make_private},
};

impl JobsTable {
    /// The jobs table of the store in a folder alone, which is made where there is none. A service may use it at the
    /// same time: this is how keys are made and revoked while it runs.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        make_private(folder).map_err(|error| OpenError::Io(folder.to_owned(), error))?;
        let database = Database::open(&folder.join(DATABASE));
        database.map(Self).map_err(|error| OpenError::Database(folder.to_owned(), error))
    }

    /// Removes what was used so long ago that nobody is told of it.
    pub(crate) async fn forget_usage(&self, now: OffsetDateTime) -> Result<(), PortError> {
        let first = (now - USAGE_KEPT).date();
        self.0
            .write("forgetting what was used", move |transaction| {
                transaction.execute("DELETE FROM used WHERE day < ?1", [text_of(first)])
            })
            .await?;
        Ok(())
    }
}

/// A day as text, which sorts as days pass.
fn text_of(day: Date) -> String {
    day.to_string()
}

fn day_of(text: &str) -> Result<Date, time::error::Parse> {
    Date::parse(text, &Iso8601::DATE)
}

#[async_trait]
impl ReadKeys for JobsTable {
    async fn key(&self, hash: &KeyHash) -> Result<Option<Key>, PortError> {
        const OPERATION: &str = "reading a key";
        let hash = hash.as_str().to_owned();
        let text: Option<String> = self
            .0
            .read(OPERATION, move |ask| {
                let mut one = ask.prepare_cached("SELECT key FROM keys WHERE hash = ?1")?;
                one.query_row([hash], |row| row.get(0)).optional()
            })
            .await?;
        text.map(|text| parsed(OPERATION, &text)).transpose()
    }
}

#[async_trait]
impl WriteKeys for JobsTable {
    async fn keys(&self) -> Result<Vec<Key>, PortError> {
        const OPERATION: &str = "listing keys";
        let texts = self
            .0
            .read(OPERATION, move |ask| {
                let mut all = ask.prepare_cached("SELECT key FROM keys ORDER BY created, hash")?;
                let all = all.query_map([], |row| row.get::<_, String>(0))?;
                all.collect::<rusqlite::Result<Vec<_>>>()
            })
            .await?;
        texts.iter().map(|text| parsed(OPERATION, text)).collect()
    }

    async fn write_key(&self, key: &Key) -> Result<(), PortError> {
        const OPERATION: &str = "writing a key";
        let text = serde_json::to_string(key).map_err(|error| failed(OPERATION, error))?;
        let (hash, created) = (key.hash.as_str().to_owned(), key.created_at.unix_timestamp());
        self.0
            .write(OPERATION, move |transaction| {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO keys (hash, created, key) VALUES (?1, ?2, ?3)")?
                    .execute(params![hash, created, text])
            })
            .await?;
        Ok(())
    }

    async fn remove_key(&self, hash: &KeyHash) -> Result<(), PortError> {
        let hash = hash.as_str().to_owned();
        self.0
            .write("removing a key", move |transaction| {
                transaction.execute("DELETE FROM keys WHERE hash = ?1", [hash])
            })
            .await?;
        Ok(())
    }
}

#[async_trait]
impl CountUsage for JobsTable {
    async fn use_up(
        &self,
        owner: &Owner,
        day: Date,
        more: Usage,
        quota: &Quota,
    ) -> Result<Result<Usage, Usage>, PortError> {
        let (owner, quota) = (owner.to_string(), *quota);
        self.0
            .write("counting what is used", move |transaction| {
                let used: Option<(i64, i64)> = transaction
                    .prepare_cached("SELECT jobs, bytes FROM used WHERE owner = ?1 AND day = ?2")?
                    .query_row(params![owner, text_of(day)], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                let used = used.map(usage_of).unwrap_or_default();
                let total = used.and(more);
                if !total.is_within(&quota) {
                    return Ok(Err(used));
                }
                let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO used (owner, day, jobs, bytes) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![owner, text_of(day), number(total.jobs), number(total.bytes)])?;
                Ok(Ok(total))
            })
            .await
    }

    async fn usage(&self, owner: &Owner, first: Date, last: Date) -> Result<Vec<(Date, Usage)>, PortError> {
        const OPERATION: &str = "reading what is used";
        let owner = owner.to_string();
        let days = self
            .0
            .read(OPERATION, move |ask| {
                let mut days = ask.prepare_cached(
                    "SELECT day, jobs, bytes FROM used WHERE owner = ?1 AND day BETWEEN ?2 AND ?3 ORDER BY day",
                )?;
                let days = days.query_map(params![owner, text_of(first), text_of(last)], |row| {
                    Ok((row.get::<_, String>(0)?, usage_of((row.get(1)?, row.get(2)?))))
                })?;
                days.collect::<rusqlite::Result<Vec<_>>>()
            })
            .await?;
        let days = days.into_iter().map(|(day, used)| Ok((day_of(&day)?, used)));
        days.collect::<Result<_, time::error::Parse>>().map_err(|error| failed(OPERATION, error))
    }

    async fn unended(&self, owner: &Owner, most: usize) -> Result<usize, PortError> {
        let owner = owner.to_string();
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.0
            .read("counting unended jobs", move |ask| {
                ask.prepare_cached(
                    "SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE listed = 1 AND owner = ?1
                     AND status IN ('awaiting_upload', 'queued', 'processing') LIMIT ?2)",
                )?
                .query_row(params![owner, most], |row| row.get(0))
            })
            .await
    }
}

fn usage_of((jobs, bytes): (i64, i64)) -> Usage {
    Usage { jobs: u64::try_from(jobs).unwrap_or(0), bytes: u64::try_from(bytes).unwrap_or(0) }
}
