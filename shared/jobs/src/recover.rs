//! Seeing to whatever is overdue. A row says what is owed to its job and by when ([`Job::due`]); a message only makes it
//! happen sooner. What has not happened by then is put into motion again here, or ended with a code.
//!
//! Every step is a conditional write first and a message after it, so two recoverers at a time do no more than one, and
//! one that dies in between is made up for by the next.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use time::OffsetDateTime;

use crate::{
    callback::Callback,
    error::{Chain, Failure, PortError, WriteError},
    id::{JobId, SHARDS},
    job::{Job, Origin, ResultSummary, Status},
    key::ObjectKey,
    limits::Limits,
    message::Message,
    ports::{
        Attempts, Clock, DueJob, DueQuery, ListDue, ReadJobs, ReadObjects, SendMessages, WriteJobs,
        WriteObjects,
    },
};

/// How many overdue jobs are read at a time.
const PAGE: usize = 100;

/// How many jobs of a page are seen to at the same time, so that one that takes long does not hold up the others.
const AT_ONCE: usize = 4;

/// How often a job is read anew when others write it at the same time, or when more than one thing is owed to it.
const STEPS: u32 = 8;

/// Recovers jobs.
#[derive(Clone)]
pub struct Recoverer {
    /// Reads jobs.
    pub jobs: Arc<dyn ReadJobs>,
    /// Writes jobs.
    pub writer: Arc<dyn WriteJobs>,
    /// Finds what is due.
    pub due: Arc<dyn ListDue>,
    /// Tells whether an upload has come.
    pub sources: Arc<dyn ReadObjects>,
    /// Removes what is left over.
    pub objects: Arc<dyn WriteObjects>,
    /// Queues work and callbacks.
    pub queue: Arc<dyn SendMessages>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// How long everything has.
    pub limits: Limits,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Jobs that were queued again.
    pub queued: u64,
    /// Jobs that were ended.
    pub ended: u64,
    /// Callbacks that were queued again.
    pub announced: u64,
    /// Jobs whose leftovers were removed.
    pub tidied: u64,
    /// Jobs that something could not be done for this time.
    pub failed: u64,
}

impl Report {
    /// The sum of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            queued: self.queued + other.queued,
            ended: self.ended + other.ended,
            announced: self.announced + other.announced,
            tidied: self.tidied + other.tidied,
            failed: self.failed + other.failed,
        }
    }

    /// Whether nothing was overdue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a job needs next.
enum Step {
    /// Nothing, for now.
    Nothing,
    /// The row changed: write it, then send this.
    Write(fn(&mut Report), Option<Message>),
    /// Remove every object and the row.
    Remove,
    /// Remove the results of attempts that did not count, then write the row.
    Tidy(Attempts),
}

impl Recoverer {
    /// Sees to every job of a shard that is overdue now, until it is `until`.
    ///
    /// # Errors
    /// [`PortError`] when the overdue jobs cannot be listed.
    pub async fn sweep(&self, shard: u8, until: OffsetDateTime) -> Result<Report, PortError> {
        debug_assert!(shard < SHARDS);
        let (by, mut after, mut report) = (self.clock.now(), None, Report::default());
        loop {
            let page = self.due.due(DueQuery { shard, by, after, limit: PAGE }).await?;
            let recover = async |job: &DueJob| {
                let is_time_left = self.clock.now() < until;
                if is_time_left { Some(self.recover(job.id).await) } else { None }
            };
            let mut recovered = pin!(stream::iter(&page).map(recover).buffer_unordered(AT_ONCE));
            let mut was_time = true;
            while let Some(one) = recovered.next().await {
                match one {
                    Some(one) => report = report.and(one),
                    None => was_time = false,
                }
            }
            if !was_time {
                tracing::warn!(
                    shard,
                    "there is more to recover than there is time for; the next run goes on"
                );
            }
            if !was_time || page.len() < PAGE {
                return Ok(report);
            }
            after = page.last().copied();
        }
    }

    /// Does for a job whatever is overdue.
    pub async fn recover(&self, id: JobId) -> Report {
        self.recover_with(id, false).await
    }

    /// The same, where a message about the job was given up: what waits for nothing but that message is due at once.
    pub async fn recover_message(&self, id: JobId) -> Report {
        self.recover_with(id, true).await
    }

    async fn recover_with(&self, id: JobId, message_died: bool) -> Report {
        let mut report = Report::default();
        if let Err(error) = self.try_recover(id, message_died, &mut report).await {
            report.failed += 1;
            tracing::warn!(job_id = %id, error = %Chain(&error), "not recovered this time");
        }
        report
    }

    async fn try_recover(
        &self,
        id: JobId,
        mut message_died: bool,
        report: &mut Report,
    ) -> Result<(), PortError> {
        for _ in 0..STEPS {
            let Some(mut job) = self.jobs.get(id).await? else {
                if message_died {
                    // What an upload or a worker left behind after the job had gone goes too.
                    self.objects.delete_all(id).await?;
                }
                return Ok(());
            };
            let (counts, message) = match self.next_step(&mut job, message_died).await? {
                Step::Nothing => return Ok(()),
                Step::Remove => {
                    self.objects.delete_all(id).await?;
                    self.writer.delete(id).await?;
                    report.tidied += 1;
                    return Ok(());
                }
                Step::Tidy(losers) => {
                    self.objects.delete_results(id, losers).await?;
                    job.tidied(self.clock.now());
                    (count_tidied as fn(&mut Report), None)
                }
                Step::Write(counts, message) => (counts, message),
            };
            match self.writer.write(&mut job).await {
                Ok(()) => {}
                Err(WriteError::Conflict) => continue,
                Err(WriteError::Port(error)) => return Err(error),
            }
            message_died = false;
            counts(report);
            tracing::info!(job_id = %id, status = %job.status(), "recovered");
            if let Some(message) = message {
                self.queue.send(message, Duration::ZERO).await?;
            }
        }
        Ok(())
    }

    /// Changes the job as what is overdue asks for, and says what follows from that.
    async fn next_step(&self, job: &mut Job, message_died: bool) -> Result<Step, PortError> {
        let now = self.clock.now();
        let is_due = |at: Option<OffsetDateTime>| at.is_some_and(|at| at <= now);
        if job.is_deleted() {
            return Ok(if is_due(job.tidy_at()) { Step::Remove } else { Step::Nothing });
        }
        if !job.status().is_final() {
            let is_ahead = |at: Option<OffsetDateTime>| at.is_some_and(|at| at > now);
            let waits = is_ahead(job.leased_until()) || is_ahead(job.retry().map(|retry| retry.at));
            let is_wanted = message_died && !waits;
            if !is_wanted && !is_due(job.wake_at()) {
                return Ok(Step::Nothing);
            }
            return Ok(self.wake(job, now).await?.unwrap_or(Step::Nothing));
        }
        // A row of an older release does not say when its callback is due: its message was all there was.
        let is_wanted =
            |callback: &Callback| is_due(callback.wake_at) || message_died && callback.wake_at.is_none();
        if job.owes_callback() && job.callback().is_some_and(is_wanted) {
            let times = job.callback().map_or(0, |callback| callback.announced);
            let patience = self.limits.patience_after(times);
            let message = Message::DeliverCallback { job_id: job.id() };
            let noted = job.announce_again(now, patience);
            return Ok(noted.map_or(Step::Nothing, |()| Step::Write(count_announced, Some(message))));
        }
        if is_due(job.tidy_at()) {
            let winner = job.results().values().find_map(ResultSummary::attempt);
            return Ok(Step::Tidy(Attempts::AllBut(winner)));
        }
        Ok(Step::Nothing)
    }

    /// Queues a job again that should have been taken or ended by now, or ends it. Nothing where a worker holds it.
    async fn wake(&self, job: &mut Job, now: OffsetDateTime) -> Result<Option<Step>, PortError> {
        let awaits_upload = job.status() == Status::AwaitingUpload;
        let failure = if awaits_upload && !self.has_come(job).await? {
            if job.wake_at().is_some_and(|at| at > now) {
                // The message was about something else than an upload that came.
                return Ok(None);
            }
            Some(upload_never_came())
        } else {
            reason_to_give_up(&self.limits, job, now)
        };
        let id = job.id();
        if let Some(failure) = failure {
            tracing::warn!(job_id = %id, code = %failure.code, "given up");
            let ended = job.give_up(failure, now);
            let told = job.owes_callback().then_some(Message::DeliverCallback { job_id: id });
            return Ok(ended.ok().map(|()| Step::Write(count_ended, told)));
        }
        let queued = job.requeue(now, self.limits.patience_after(job.requeued()));
        Ok(queued.ok().map(|()| Step::Write(count_queued, Some(Message::ProcessJob { job_id: id }))))
    }

    /// Whether an upload has come without anybody having been told.
    async fn has_come(&self, job: &Job) -> Result<bool, PortError> {
        debug_assert_eq!(job.origin(), &Origin::PresignedUpload);
        Ok(self.sources.head(&ObjectKey::Upload(job.id())).await?.is_some())
    }
}

fn count_queued(report: &mut Report) {
    report.queued += 1;
}

fn count_ended(report: &mut Report) {
    report.ended += 1;
}

fn count_announced(report: &mut Report) {
    report.announced += 1;
}

fn count_tidied(report: &mut Report) {
    report.tidied += 1;
}

/// Why no other attempt at a job is made, if none is.
pub(crate) fn reason_to_give_up(limits: &Limits, job: &Job, now: OffsetDateTime) -> Option<Failure> {
    if limits.deadline_of(job) <= now {
        return Some(deadline_passed());
    }
    (job.attempts() >= limits.attempts).then(|| lost_workers(job.attempts()))
}

/// Why a job is given up whose workers were all lost.
fn lost_workers(attempts: u32) -> Failure {
    Failure::new(
        "out_of_memory_or_timeout",
        format!(
            "The job was started {attempts} times, and in the end its worker was lost: it ran out of memory or time, or \
             was stopped. Submit a smaller or simpler image."
        ),
    )
}

/// Why a job is given up whose time is over.
fn deadline_passed() -> Failure {
    Failure::new(
        "deadline_passed",
        "The job had not ended by its deadline: submit it again, or with a later one.",
    )
}

fn upload_never_came() -> Failure {
    Failure::new(
        "upload_never_came",
        "Nothing was uploaded while the address was valid: ask for another upload, and use it in time.",
    )
}
