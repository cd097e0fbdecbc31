//! Recovering overdue jobs. A job's row says what must happen to it and by when ([`Job::due`]); a message only makes it
//! happen sooner. A job to which it has not happened by then is queued again here, or ended with a code.
//!
//! Every step is a conditional write, and after it a message. So two recoverers at the same time do no more than one
//! would, and if one dies between the two, the next run makes up for it.

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

/// How many jobs of a page are recovered at the same time, so that one that takes long does not hold up the others.
const AT_ONCE: usize = 4;

/// The most steps for one job. It takes more than one if others write the row at the same time, or if several things
/// are due.
const MOST_STEPS: u32 = 8;

/// Recovers jobs.
#[derive(Clone)]
pub struct Recoverer {
    /// Reads jobs.
    pub jobs: Arc<dyn ReadJobs>,
    /// Writes jobs.
    pub writer: Arc<dyn WriteJobs>,
    /// Finds jobs that are due.
    pub due: Arc<dyn ListDue>,
    /// Tells whether an upload has come.
    pub sources: Arc<dyn ReadObjects>,
    /// Removes leftover objects.
    pub objects: Arc<dyn WriteObjects>,
    /// Queues work and callbacks.
    pub queue: Arc<dyn SendMessages>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The limits of this deployment.
    pub limits: Limits,
}

/// The numbers of jobs that were recovered, by what was done for them.
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
    /// Jobs whose recovery failed this time.
    pub failed: u64,
}

impl Report {
    /// The sum of two reports.
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

/// The next step of a job's recovery.
enum Step {
    /// Nothing, for now.
    Nothing,
    /// The job was changed: write its row, count that, then send the message.
    Write(fn(&mut Report), Option<Message>),
    /// Remove every object and the row.
    Remove,
    /// Remove the results of these attempts, which the row does not name, then write the row.
    Tidy(Attempts),
}

impl Recoverer {
    /// Recovers every job of a shard that is overdue now; begins none after `until`.
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

    /// Does for one job whatever is overdue.
    pub async fn recover(&self, id: JobId) -> Report {
        self.recover_with(id, false).await
    }

    /// The same for a job whose message went to the dead-letter queue: anything that waits only for that message is due
    /// at once.
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
        for _ in 0..MOST_STEPS {
            let Some(mut job) = self.jobs.get(id).await? else {
                if message_died {
                    // An upload or a worker may have stored something after the job had expired.
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

    /// Decides what is overdue, changes the job accordingly, and returns the step that must follow.
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
            return Ok(self.requeue_or_give_up(job, now).await?.unwrap_or(Step::Nothing));
        }
        // A row of an older release does not say when its callback is due, so it depended on its message.
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

    /// Queues a job again that no worker has taken or ended in time, or gives it up. `None` if a worker holds it.
    async fn requeue_or_give_up(
        &self,
        job: &mut Job,
        now: OffsetDateTime,
    ) -> Result<Option<Step>, PortError> {
        let awaits_upload = job.status() == Status::AwaitingUpload;
        let failure = if awaits_upload && !self.has_upload_arrived(job).await? {
            if job.wake_at().is_some_and(|at| at > now) {
                // There is no upload yet, and still time for it.
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

    /// Whether the upload is in the bucket, although no event of it has arrived.
    async fn has_upload_arrived(&self, job: &Job) -> Result<bool, PortError> {
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

/// The reason to give a job up instead of making another attempt, if there is one.
pub(crate) fn reason_to_give_up(limits: &Limits, job: &Job, now: OffsetDateTime) -> Option<Failure> {
    if limits.deadline_of(job) <= now {
        return Some(deadline_passed());
    }
    (job.attempts() >= limits.attempts).then(|| lost_workers(job.attempts()))
}

/// The failure of a job that is given up because its workers were lost.
fn lost_workers(attempts: u32) -> Failure {
    Failure::new(
        "out_of_memory_or_timeout",
        format!(
            "The job was started {attempts} times, and in the end its worker was lost: it ran out of memory or time, or \
             was stopped. Submit a smaller or simpler image."
        ),
    )
}

/// The failure of a job that is given up because its deadline has passed.
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
