//! Job ids: UUIDv7, so that their order is the order of creation.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::{NoContext, Timestamp, Uuid};

/// How many partitions each index of the jobs table is spread over.
pub const SHARDS: u8 = 8;

/// A job's id.
///
/// ```
/// use jobs::id::JobId;
/// use time::{Duration, OffsetDateTime};
///
/// let now = OffsetDateTime::now_utc();
/// let (first, second) = (JobId::new(now), JobId::new(now + Duration::MILLISECOND));
/// assert!(first < second);
/// assert_eq!(first.to_string().parse(), Ok(first));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

/// A text that is not a job id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job id is a UUID")]
pub struct NotAJobId;

impl JobId {
    /// A new id. Ids made later sort later, to the millisecond.
    #[must_use]
    pub fn new(now: OffsetDateTime) -> Self {
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        Self(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.nanosecond())))
    }

    /// Which partition of an index the job belongs to, below [`SHARDS`].
    #[must_use]
    pub fn shard(self) -> u8 {
        self.random_byte() % SHARDS
    }

    /// The last byte. UUIDv7 fills it at random, so it spreads keys as well as a hash of the whole id would.
    pub(crate) fn random_byte(self) -> u8 {
        self.0.as_bytes()[15]
    }
}

impl FromStr for JobId {
    type Err = NotAJobId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| NotAJobId)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use time::Duration;

    use super::*;

    #[test]
    fn later_ids_sort_later() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let ids: Vec<_> = (0..100).map(|ms| JobId::new(now + Duration::milliseconds(ms))).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().map(ToString::to_string).is_sorted());
    }

    #[test]
    fn one_moment_s_ids_reach_every_shard() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let shards: BTreeSet<_> = (0..1_000).map(|_| JobId::new(now).shard()).collect();
        assert_eq!(shards, (0..SHARDS).collect());
    }

    #[test]
    fn text_round_trips_and_other_text_is_refused() {
        let id = JobId::new(OffsetDateTime::UNIX_EPOCH);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("fake".parse::<JobId>(), Err(NotAJobId));
    }
}
