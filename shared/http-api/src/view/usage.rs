//! What owners of keys have used.

use jobs::access::{Caller, Owner, Quota, Usage};
use serde::Serialize;
use time::Date;
use utoipa::ToSchema;

/// What the owner of a key has used.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub struct UsageView {
    /// Whose; null where the service is open.
    #[schema(value_type = Option<String>)]
    owner: Option<String>,
    /// How much the key that was sent allows, where it is about the key's own owner.
    quota: Option<QuotaView>,
    /// The days on which anything was, in order.
    days: Vec<DayView>,
}

/// How much a key allows. What is null is not limited.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quota)]
struct QuotaView {
    /// Jobs accepted in a day (UTC).
    jobs_a_day: Option<u64>,
    /// Bytes of images in a day, those that are fetched from an address left out.
    bytes_a_day: Option<u64>,
    /// Jobs that have not ended.
    jobs_at_once: Option<u64>,
}

/// What was used on a day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageOfDay)]
struct DayView {
    /// The day (UTC).
    #[schema(format = Date)]
    day: String,
    /// Jobs accepted.
    jobs: u64,
    /// Bytes of their images, those that were fetched from an address left out.
    bytes: u64,
}

impl UsageView {
    /// What an owner has used, as a caller is shown it.
    #[must_use]
    pub fn new(owner: Option<&Owner>, caller: &Caller, days: Vec<(Date, Usage)>) -> Self {
        let quota = match caller {
            Caller::Holder(key) if Some(&key.owner) == owner => {
                let Quota { jobs_a_day, bytes_a_day, jobs_at_once } = key.quota;
                Some(QuotaView { jobs_a_day, bytes_a_day, jobs_at_once })
            }
            _ => None,
        };
        let view =
            |(day, Usage { jobs, bytes }): (Date, Usage)| DayView { day: day.to_string(), jobs, bytes };
        Self { owner: owner.map(ToString::to_string), quota, days: days.into_iter().map(view).collect() }
    }
}
