//! Reading jobs, in pages.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    access::Caller,
    error::{Error, PortError, Refusal},
    id::JobId,
    job::{Job, Status},
    ports::{Clock, ListJobs, ListQuery, ReadJobs},
};

/// How many entries a page has when the client does not say.
pub const DEFAULT_LIMIT: usize = 20;

/// The most entries of a page.
pub const MAX_LIMIT: usize = 100;

/// How many jobs are read at a time while looking for results of one algorithm.
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
pub struct Cursor {
    /// The job after which the page starts: it has older jobs only, and what is left of this one's results.
    job: JobId,
    /// In a list of results, of which a job can have several: how many of this job's results earlier pages have shown,
    /// if some are left. 0 if none are left, so that the page starts with the next older job.
    shown: usize,
}

impl Cursor {
    /// The text form.
    #[must_use]
    pub fn encode(self) -> String {
        let Self { job, shown } = self;
        BASE64_URL_SAFE_NO_PAD.encode(if shown == 0 { job.to_string() } else { format!("{job}/{shown}") })
    }

    /// Reads a text form.
    ///
    /// # Errors
    /// [`Refusal`] for a text that no page gave out.
    pub fn decode(text: &str) -> Result<Self, Refusal> {
        Self::read(text).ok_or_else(|| {
            Refusal::invalid("invalid_cursor", "`cursor` must be the `next_cursor` of an earlier page.")
        })
    }

    fn read(text: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (job, shown) = text.split_once('/').unwrap_or((&text, "0"));
        Some(Self { job: job.parse().ok()?, shown: shown.parse().ok()? })
    }
}

/// Reads jobs.
#[derive(Clone)]
pub struct Browser {
    /// Reads one job.
    pub jobs: Arc<dyn ReadJobs>,
    /// Lists jobs.
    pub lists: Arc<dyn ListJobs>,
    /// Tells what has expired.
    pub clock: Arc<dyn Clock>,
}

impl Browser {
    /// One job that the caller sees.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is none; [`Error::Port`].
    pub async fn job(&self, caller: &Caller, id: JobId) -> Result<Job, Error> {
        let job = self.jobs.get(id).await?.filter(|job| self.shows(job, caller));
        Ok(job.ok_or_else(Refusal::no_such_job)?)
    }

    /// One page of the jobs that the caller sees.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn page(
        &self,
        caller: &Caller,
        status: Option<Status>,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Job>, PortError> {
        // Asking for one entry more tells whether there is a next page.
        let before = cursor.map(|cursor| cursor.job);
        let owner = caller.only().cloned();
        let mut items = self.lists.list(ListQuery { owner, status, before, limit: limit + 1 }).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more { items.last().map(cursor_at) } else { None };
        let now = self.clock.now();
        items.retain(|job| job.is_there(now));
        Ok(Page { items, next_cursor })
    }

    fn shows(&self, job: &Job, caller: &Caller) -> bool {
        job.is_there(self.clock.now()) && caller.sees(job)
    }

    /// One page of the results of `algorithm` in jobs that the caller sees and that succeeded. Each entry is one form
    /// of a result: the job, and the index of the form in [`ResultSummary::forms`](crate::job::ResultSummary::forms). A
    /// page may be short and yet have a next one, because one request reads a limited number of jobs.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn page_of_results(
        &self,
        caller: &Caller,
        algorithm: &str,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<(Job, usize)>, PortError> {
        let mut items = Vec::new();
        let mut cursor = cursor;
        if let Some(Cursor { job, shown: shown @ 1.. }) = cursor
            && let Some(job) = self.jobs.get(job).await?.filter(|job| self.shows(job, caller))
            && let Some(next_cursor) = take(&mut items, &job, algorithm, shown, limit)
        {
            return Ok(Page { items, next_cursor: Some(next_cursor) });
        }
        for _ in 0..MAX_BATCHES {
            let page = self.page(caller, Some(Status::Succeeded), cursor, BATCH).await?;
            for job in &page.items {
                if let Some(next_cursor) = take(&mut items, job, algorithm, 0, limit) {
                    return Ok(Page { items, next_cursor: Some(next_cursor) });
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

/// Appends a job's results of an algorithm to `items`, except the first `shown`, until there are `limit` items. Returns
/// where the next page starts if there was no room for all.
fn take(
    items: &mut Vec<(Job, usize)>,
    job: &Job,
    algorithm: &str,
    shown: usize,
    limit: usize,
) -> Option<Cursor> {
    let forms = job.results().get(algorithm).map_or(0, |summary| summary.forms.len());
    for index in shown..forms {
        if items.len() == limit {
            return Some(match (index, items.last()) {
                (0, Some((last, _))) => cursor_at(last),
                _ => Cursor { job: job.id(), shown: index },
            });
        }
        items.push((job.clone(), index));
    }
    None
}

fn cursor_at(job: &Job) -> Cursor {
    Cursor { job: job.id(), shown: 0 }
}
