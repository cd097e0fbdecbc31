//! Reading jobs, in pages.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    error::{Error, PortError, Refusal},
    id::JobId,
    job::{Job, Status},
    ports::{ListJobs, ListQuery, ReadJobs},
};

/// How many entries a page has when the client does not say.
pub const DEFAULT_LIMIT: usize = 20;

/// The most entries of a page.
pub const MAX_LIMIT: usize = 100;

/// How many jobs are read at a time while looking for those that fit.
const BATCH: usize = 100;

/// How many batches one request may read before it returns a short page with a cursor.
const MAX_BATCHES: usize = 10;

/// One page of something, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Where the next page starts; none on the last one.
    pub next_cursor: Option<Cursor>,
}

/// Where a page starts. Opaque to clients: its text form may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(JobId);

impl Cursor {
    /// The text form.
    #[must_use]
    pub fn encode(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0.to_string())
    }

    /// Reads a text form.
    ///
    /// # Errors
    /// [`Refusal`] for a text that no page gave out.
    pub fn decode(text: &str) -> Result<Self, Refusal> {
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|id| id.parse().ok())
            .map(Self)
            .ok_or_else(|| {
                Refusal::invalid("invalid_cursor", "`cursor` must be the `next_cursor` of an earlier page.")
            })
    }
}

/// Reads jobs.
#[derive(Clone)]
pub struct Browser {
    /// Reads one.
    pub jobs: Arc<dyn ReadJobs>,
    /// Lists many.
    pub lists: Arc<dyn ListJobs>,
}

impl Browser {
    /// One job.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is none; [`Error::Port`].
    pub async fn job(&self, id: JobId) -> Result<Job, Error> {
        Ok(self.jobs.get(id).await?.ok_or_else(Refusal::no_such_job)?)
    }

    /// One page of jobs.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn page(
        &self,
        status: Option<Status>,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Job>, PortError> {
        // One more than asked for tells whether there is a next page.
        let before = cursor.map(|Cursor(id)| id);
        let mut items = self.lists.list(ListQuery { status, before, limit: limit + 1 }).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more { items.last().map(cursor_at) } else { None };
        Ok(Page { items, next_cursor })
    }

    /// One page of the succeeded jobs that have a result of `algorithm`. A page may be short and yet have a next
    /// one, when few of many jobs fit.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn page_with_result(
        &self,
        algorithm: &str,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Job>, PortError> {
        let mut items = Vec::new();
        let mut cursor = cursor;
        for _ in 0..MAX_BATCHES {
            let page = self.page(Some(Status::Succeeded), cursor, BATCH).await?;
            for job in page.items {
                if job.results().contains_key(algorithm) {
                    if items.len() == limit {
                        return Ok(Page { next_cursor: items.last().map(cursor_at), items });
                    }
                    items.push(job);
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(Page { items, next_cursor: cursor })
    }
}

fn cursor_at(job: &Job) -> Cursor {
    Cursor(job.id())
}
