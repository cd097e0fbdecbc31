//! Holding owners to their quotas, and telling them what is left.

use std::{sync::Arc, time::Duration};

use time::{Date, OffsetDateTime};

use crate::{
    access::{Caller, Key, Owner, Quota, Usage},
    error::{Error, PortError, Reason, Refusal},
    ports::{Clock, CountUsage},
    units,
};

/// How many days a report has, today included.
pub const REPORTED_DAYS: i64 = 30;

/// How soon a job may have ended.
const SOON: Duration = Duration::from_secs(10);

/// Counts what owners use.
#[derive(Clone)]
pub struct Meter {
    /// Keeps the counts.
    pub usage: Arc<dyn CountUsage>,
    /// Tells the day.
    pub clock: Arc<dyn Clock>,
}

/// What is left of a quota today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The quota.
    pub quota: Quota,
    /// What is used of it.
    pub used: Usage,
    /// How long until the day ends, and nothing is used.
    pub resets_in: Duration,
}

impl Left {
    /// The parts of the quota of a day: the name of each, how much it is, and how much of it is left.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        let Self { quota, used, .. } = *self;
        let part = |name, most: Option<u64>, used| most.map(|most| (name, most, most.saturating_sub(used)));
        [part("jobs", quota.jobs_a_day, used.jobs), part("bytes", quota.bytes_a_day, used.bytes)]
            .into_iter()
            .flatten()
    }
}

impl Meter {
    /// Counts a job that is to be accepted, with the bytes of its image, as far as they are known.
    ///
    /// # Errors
    /// [`Error::Refused`] where the owner's quota allows no more; [`Error::Port`].
    pub async fn charge(&self, caller: &Caller, bytes: u64) -> Result<(), Error> {
        let Caller::Holder(key) = caller else { return Ok(()) };
        let Key { owner, quota, .. } = &**key;
        let more = Usage { jobs: 1, bytes };
        if let Some(most) = quota.bytes_a_day.filter(|most| bytes > *most) {
            let text =
                format!("images as large as this one: {} is all that it allows in a day", units::bytes(most));
            return Err(used_up(&text, None));
        }
        if let Some(most) = quota.jobs_at_once {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            if self.usage.unended(owner, most).await? >= most {
                let most = units::thousands(most as u64);
                let text = format!("jobs that have not ended ({most} at once); wait for some to end");
                return Err(used_up(&text, Some(SOON)));
            }
        }
        let now = self.clock.now();
        let Err(used) = self.usage.use_up(owner, now.date(), more, quota).await? else { return Ok(()) };
        let all = match (quota.jobs_a_day, quota.bytes_a_day) {
            (Some(most), _) if used.jobs >= most => format!("jobs today ({})", units::thousands(most)),
            (_, Some(most)) => format!(
                "bytes today ({}, of which {} are used)",
                units::bytes(most),
                units::bytes(used.bytes)
            ),
            _ => "jobs today".to_owned(),
        };
        Err(used_up(&format!("{all}; the day ends at midnight UTC"), Some(until_midnight(now))))
    }

    /// What is left of the caller's quota of a day, if there is one.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn left(&self, caller: &Caller) -> Result<Option<Left>, PortError> {
        let Caller::Holder(key) = caller else { return Ok(None) };
        let quota = key.quota;
        if quota.jobs_a_day.is_none() && quota.bytes_a_day.is_none() {
            return Ok(None);
        }
        let now = self.clock.now();
        let today = self.usage.usage(&key.owner, now.date(), now.date()).await?;
        let used = today.first().map(|(_, used)| *used).unwrap_or_default();
        Ok(Some(Left { quota, used, resets_in: until_midnight(now) }))
    }

    /// What an owner has used on each of the last [`REPORTED_DAYS`] on which anything was.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn report(&self, owner: &Owner) -> Result<Vec<(Date, Usage)>, PortError> {
        let today = self.clock.now().date();
        let first = today.saturating_sub(time::Duration::days(REPORTED_DAYS - 1));
        self.usage.usage(owner, first, today).await
    }
}

fn used_up(what: &str, retry_after: Option<Duration>) -> Error {
    let refusal =
        Refusal::new(Reason::OverQuota, "quota_used_up", format!("Your key allows no more {what}."));
    Refusal { retry_after, ..refusal }.into()
}

fn until_midnight(now: OffsetDateTime) -> Duration {
    let midnight = now.date().saturating_add(time::Duration::DAY).midnight().assume_utc();
    Duration::try_from(midnight - now).unwrap_or_default()
}
