//! Jobs, each a row with the job as JSON.

use async_trait::async_trait;
use jobs::{
    error::{PortError, WriteError},
    id::{JobId, NotAJobId},
    job::{Job, Status},
    once::{Earlier, RequestKey},
    ports::{DueJob, DueQuery, ListDue, ListJobs, ListQuery, Probe, ReadJobs, WriteJobs, WriteOnce},
};
use rusqlite::{OptionalExtension as _, ToSql, Transaction, params};
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use crate::database::{Database, failed};

/// The jobs.
#[derive(Clone, Debug)]
pub struct JobsTable(pub(crate) Database);

/// Reads what a column has as JSON.
pub(crate) fn parsed<T: DeserializeOwned>(operation: &'static str, text: &str) -> Result<T, PortError> {
    serde_json::from_str(text).map_err(|error| broken(operation, error))
}

pub(crate) fn broken(operation: &'static str, error: serde_json::Error) -> PortError {
    PortError { operation, retryable: false, cause: Box::new(error) }
}

/// The columns of a row.
struct Row {
    id: String,
    status: &'static str,
    revision: u64,
    expires: i64,
    due: Option<i64>,
    listed: bool,
    owner: Option<String>,
    job: String,
}

/// A time in milliseconds since 1970.
fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

impl Row {
    fn of(job: &Job) -> Result<Self, PortError> {
        let text = serde_json::to_string(job).map_err(|error| broken("writing a job", error))?;
        Ok(Self {
            id: job.id().to_string(),
            status: job.status().name(),
            revision: job.revision(),
            expires: job.expires_at().unix_timestamp(),
            due: job.due().map(milliseconds),
            listed: !job.is_deleted(),
            owner: job.owner().map(ToString::to_string),
            job: text,
        })
    }

    /// Writes the row if the stored one has the revision before, or equals it already.
    fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
        let stored: Option<(u64, String)> = transaction
            .prepare_cached("SELECT revision, job FROM jobs WHERE id = ?1")?
            .query_row([&self.id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if stored.as_ref().is_some_and(|(_, job)| *job == self.job) {
            return Ok(true);
        }
        if stored.map_or(0, |(revision, _)| revision) + 1 != self.revision {
            return Ok(false);
        }
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO jobs (id, status, revision, expires, due, listed, owner, job)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                self.id,
                self.status,
                self.revision,
                self.expires,
                self.due,
                self.listed,
                self.owner,
                self.job
            ])?;
        Ok(true)
    }
}

#[async_trait]
impl ReadJobs for JobsTable {
    async fn get(&self, id: JobId) -> Result<Option<Job>, PortError> {
        const OPERATION: &str = "reading a job";
        let text: Option<String> = self
            .0
            .read(OPERATION, move |ask| {
                let mut one = ask.prepare_cached("SELECT job FROM jobs WHERE id = ?1")?;
                one.query_row([id.to_string()], |row| row.get(0)).optional()
            })
            .await?;
        text.map(|text| parsed(OPERATION, &text)).transpose()
    }
}

#[async_trait]
impl ListJobs for JobsTable {
    async fn list(&self, query: ListQuery) -> Result<Vec<Job>, PortError> {
        const OPERATION: &str = "listing jobs";
        // Ids and their texts sort by the time at which they were made; every id sorts before "g".
        let before = query.before.map_or_else(|| "g".to_owned(), |id| id.to_string());
        let texts = self
            .0
            .read(OPERATION, move |ask| {
                let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
                let owner = query.owner.map(String::from);
                let status = query.status.map(Status::name);
                // Each has an index of its own.
                let condition = match (&owner, status) {
                    (None, None) => "",
                    (None, Some(_)) => "AND status = :status",
                    (Some(_), None) => "AND owner = :owner",
                    (Some(_), Some(_)) => "AND owner = :owner AND status = :status",
                };
                let mut rows = ask.prepare_cached(&format!(
                    "SELECT job FROM jobs WHERE listed = 1 {condition} AND id < :before
                     ORDER BY id DESC LIMIT :limit"
                ))?;
                let mut values: Vec<(&str, &dyn ToSql)> = vec![(":before", &before), (":limit", &limit)];
                values.extend(owner.as_ref().map(|owner| (":owner", owner as &dyn ToSql)));
                values.extend(status.as_ref().map(|status| (":status", status as &dyn ToSql)));
                let texts = rows.query_map(&*values, |row| row.get::<_, String>(0))?;
                let texts: Vec<_> = texts.collect::<rusqlite::Result<_>>()?;
                Ok(texts)
            })
            .await?;
        texts.iter().map(|text| parsed(OPERATION, text)).collect()
    }
}

#[async_trait]
impl WriteJobs for JobsTable {
    async fn write(&self, job: &mut Job) -> Result<(), WriteError> {
        let mut written = job.clone();
        written.written();
        let row = Row::of(&written)?;
        if self.0.write("writing a job", move |transaction| row.write(transaction)).await? {
            *job = written;
            Ok(())
        } else {
            Err(WriteError::Conflict)
        }
    }

    async fn delete(&self, id: JobId) -> Result<(), PortError> {
        self.0
            .write("deleting a job", move |transaction| {
                transaction.execute("DELETE FROM jobs WHERE id = ?1", [id.to_string()])
            })
            .await?;
        Ok(())
    }
}

#[async_trait]
impl ListDue for JobsTable {
    async fn due(&self, query: DueQuery) -> Result<Vec<DueJob>, PortError> {
        const OPERATION: &str = "listing due jobs";
        let found = self
            .0
            .read(OPERATION, move |ask| {
                let mut due = ask.prepare_cached(
                    "SELECT id, due FROM jobs WHERE due IS NOT NULL AND due <= ?1 AND (due, id) > (?2, ?3)
                     ORDER BY due, id",
                )?;
                let (at, id) = query.after.map_or((i64::MIN, String::new()), |after| {
                    (milliseconds(after.due), after.id.to_string())
                });
                let mut rows = due.query(params![milliseconds(query.by), at, id])?;
                let mut found = Vec::new();
                while found.len() < query.limit
                    && let Some(row) = rows.next()?
                {
                    let id: String = row.get(0)?;
                    if let Ok(id) = id.parse::<JobId>()
                        && id.shard() == query.shard
                    {
                        found.push((id, row.get::<_, i64>(1)?));
                    }
                }
                Ok(found)
            })
            .await?;
        let time = |due: i64| OffsetDateTime::from_unix_timestamp_nanos(i128::from(due) * 1_000_000);
        let found = found.into_iter().map(|(id, due)| Ok(DueJob { id, due: time(due)? }));
        found.collect::<Result<_, time::error::ComponentRange>>().map_err(|error| failed(OPERATION, error))
    }
}

/// The earlier use of a request's key, if it has not expired.
fn earlier(ask: &rusqlite::Connection, key: &RequestKey) -> rusqlite::Result<Option<(String, String)>> {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    ask.prepare_cached("SELECT job, request FROM once WHERE key = ?1 AND expires > ?2")?
        .query_row(params![key.key(), now], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn earlier_of(
    operation: &'static str,
    found: Option<(String, String)>,
) -> Result<Option<Earlier>, PortError> {
    let found = found.map(|(job, request)| Ok(Earlier { job: job.parse()?, request }));
    found.transpose().map_err(|error: NotAJobId| failed(operation, error))
}

#[async_trait]
impl WriteOnce for JobsTable {
    async fn earlier(&self, key: &RequestKey) -> Result<Option<Earlier>, PortError> {
        const OPERATION: &str = "reading a request's key";
        let key = key.clone();
        earlier_of(OPERATION, self.0.read(OPERATION, move |ask| earlier(ask, &key)).await?)
    }

    async fn write_once(&self, job: &mut Job, key: &RequestKey) -> Result<Option<Earlier>, WriteError> {
        const OPERATION: &str = "writing a job once";
        let mut written = job.clone();
        written.written();
        let (row, key, id) = (Row::of(&written)?, key.clone(), job.id().to_string());
        let (found, wrote) = self
            .0
            .write(OPERATION, move |transaction| {
                if let Some(found) = earlier(transaction, &key)? {
                    return Ok((Some(found), false));
                }
                let wrote = row.write(transaction)?;
                if wrote {
                    transaction
                        .prepare_cached(
                            "INSERT OR REPLACE INTO once (key, job, request, expires) VALUES (?1, ?2, ?3, ?4)",
                        )?
                        .execute(params![key.key(), id, key.request(), key.until().unix_timestamp()])?;
                }
                Ok((None, wrote))
            })
            .await?;
        if wrote {
            *job = written;
        } else if found.is_none() {
            return Err(WriteError::Conflict);
        }
        Ok(earlier_of(OPERATION, found)?)
    }
}

#[async_trait]
impl Probe for JobsTable {
    fn name(&self) -> &'static str {
        "jobs_table"
    }

    async fn probe(&self) -> Result<(), PortError> {
        self.0
            .read("probing the table", |ask| ask.prepare_cached("SELECT 1 FROM jobs LIMIT 1")?.exists([]))
            .await?;
        Ok(())
    }
}

impl JobsTable {
    /// Ends the leases of workers that died with an earlier process, so that their jobs are taken up at once.
    pub(crate) async fn end_leases(&self, now: OffsetDateTime) -> Result<usize, PortError> {
        let held =
            ListQuery { owner: None, status: Some(Status::Processing), before: None, limit: usize::MAX };
        let mut ended = 0;
        for mut job in self.list(held).await? {
            if job.end_lease(now).is_ok() {
                match self.write(&mut job).await {
                    Ok(()) => ended += 1,
                    Err(WriteError::Conflict) => {}
                    Err(WriteError::Port(error)) => return Err(error),
                }
            }
        }
        Ok(ended)
    }

    /// Removes the keys of requests that have expired.
    pub(crate) async fn forget_keys(&self, now: OffsetDateTime) -> Result<(), PortError> {
        self.0
            .write("forgetting keys", move |transaction| {
                transaction.execute("DELETE FROM once WHERE expires <= ?1", [now.unix_timestamp()])
            })
            .await?;
        Ok(())
    }

    /// Some of the jobs that have expired.
    pub(crate) async fn expired(&self, now: OffsetDateTime) -> Result<Vec<JobId>, PortError> {
        const OPERATION: &str = "looking for expired jobs";
        let ids = self
            .0
            .read(OPERATION, move |ask| {
                let mut ids = ask.prepare_cached("SELECT id FROM jobs WHERE expires <= ?1 LIMIT 1000")?;
                let ids = ids.query_map([now.unix_timestamp()], |row| row.get::<_, String>(0))?;
                ids.collect::<rusqlite::Result<Vec<_>>>()
            })
            .await?;
        ids.iter().map(|id| id.parse().map_err(|error| failed(OPERATION, error))).collect()
    }
}
