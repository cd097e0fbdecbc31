//! Jobs, each a row with the job as JSON.

use async_trait::async_trait;
use jobs::{
    error::{PortError, WriteError},
    id::JobId,
    job::{Job, Status},
    ports::{ListJobs, ListQuery, Probe, ReadJobs, WriteJobs},
};
use rusqlite::{OptionalExtension as _, Transaction, params};
use time::OffsetDateTime;

use crate::database::{Database, failed};

/// The jobs.
#[derive(Clone, Debug)]
pub struct JobsTable(pub(crate) Database);

fn parsed(operation: &'static str, text: &str) -> Result<Job, PortError> {
    serde_json::from_str(text).map_err(|error| broken(operation, error))
}

fn broken(operation: &'static str, error: serde_json::Error) -> PortError {
    PortError { operation, retryable: false, cause: Box::new(error) }
}

/// What a row is made of.
struct Row {
    id: String,
    status: &'static str,
    revision: u64,
    expires: i64,
    job: String,
}

impl Row {
    fn of(job: &Job) -> Result<Self, PortError> {
        let text = serde_json::to_string(job).map_err(|error| broken("writing a job", error))?;
        Ok(Self {
            id: job.id().to_string(),
            status: job.status().name(),
            revision: job.revision(),
            expires: job.expires_at().unix_timestamp(),
            job: text,
        })
    }

    /// Writes the row if the stored one has the revision before it, or is this one already.
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
                "INSERT OR REPLACE INTO jobs (id, status, revision, expires, job) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![self.id, self.status, self.revision, self.expires, self.job])?;
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
        // Ids sort as they were made, and their texts as they do; every id sorts before "g".
        let before = query.before.map_or_else(|| "g".to_owned(), |id| id.to_string());
        let texts = self
            .0
            .read(OPERATION, move |ask| {
                let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
                let mut texts = Vec::new();
                let mut take = |row: &rusqlite::Row<'_>| row.get(0).map(|text: String| texts.push(text));
                if let Some(status) = query.status {
                    let mut rows = ask.prepare_cached(
                        "SELECT job FROM jobs WHERE status = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
                    )?;
                    rows.query_map(params![status.name(), before, limit], &mut take)?
                        .collect::<Result<(), _>>()?;
                } else {
                    let mut rows =
                        ask.prepare_cached("SELECT job FROM jobs WHERE id < ?1 ORDER BY id DESC LIMIT ?2")?;
                    rows.query_map(params![before, limit], &mut take)?.collect::<Result<(), _>>()?;
                }
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
        let held = ListQuery { status: Some(Status::Processing), before: None, limit: usize::MAX };
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

    /// Some jobs whose time is over.
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
