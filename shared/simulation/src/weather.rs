//! The faults of a run, and how often they happen. Each run draws its own rates, because a run where everything fails a
//! little finds other mistakes than one where a single service fails for an hour.

use crate::{
    random::Random,
    time::{HOUR, MILLISECOND, MINUTE, Micros, SECOND},
};

/// The services, each of which can fail by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Table,
    Index,
    Bucket,
    Queue,
}

impl Service {
    pub(crate) const ALL: [Self; 4] = [Self::Table, Self::Index, Self::Bucket, Self::Queue];
}

/// A time in which every call of a service fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) service: Service,
    pub(crate) from: Micros,
    pub(crate) until: Micros,
    /// Whether the service says that asking again may help.
    pub(crate) retryable: bool,
}

/// Chances are in a million.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// When the faults end.
    pub(crate) until: Micros,
    /// A call fails before it had any effect, by service.
    pub(crate) failures: [u32; 4],
    /// A call has its effect, and its answer is lost.
    pub(crate) lost_answers: u32,
    /// A call fails, and has its effect some time afterwards.
    pub(crate) late_effects: u32,
    /// How much later that is, at most.
    pub(crate) latest: Micros,
    pub(crate) outages: Vec<Outage>,
    /// A call takes seconds.
    pub(crate) slow: u32,
    /// An invocation dies at some moment.
    pub(crate) deaths: u32,
    /// A worker is told to stop while it works.
    pub(crate) interruptions: u32,
    /// A message is delivered twice.
    pub(crate) duplicates: u32,
    /// A message is lost without a trace, as one that nobody could receive for 14 days is.
    pub(crate) losses: u32,
    /// A message takes minutes.
    pub(crate) delays: u32,
    /// How long the index of due jobs lags behind, at most.
    pub(crate) lag: Micros,
    /// How far a clock is ahead of or behind the true time, at most.
    pub(crate) skew: Micros,
    /// A schedule's call does not happen, or happens twice.
    pub(crate) schedule: u32,
    /// The event of an upload is lost.
    pub(crate) lost_events: u32,
    /// How many messages of a queue can be in flight.
    pub(crate) in_flight: usize,
    /// How many of a hundred images are good, and how many slow; the rest is of all other kinds.
    pub(crate) images: (u64, u64),
    /// Whether the bucket refuses a second upload to the same address.
    pub(crate) uploads_once: bool,
}

impl Weather {
    /// Nothing goes wrong.
    pub(crate) fn calm() -> Self {
        Self {
            until: 0,
            failures: [0; 4],
            lost_answers: 0,
            late_effects: 0,
            latest: 0,
            outages: Vec::new(),
            slow: 0,
            deaths: 0,
            interruptions: 0,
            duplicates: 0,
            losses: 0,
            delays: 0,
            lag: 0,
            skew: 0,
            schedule: 0,
            lost_events: 0,
            in_flight: 1_000,
            images: (90, 0),
            uploads_once: true,
        }
    }

    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut weather = Self::calm();
        weather.until = random.between(2 * HOUR, 6 * HOUR);
        // Each kind of fault is in about half of the runs.
        let mut perhaps = |rates: &[u32]| if random.chance(500_000) { random.of(rates) } else { 0 };
        weather.failures = [(); 4].map(|()| perhaps(&[2_000, 20_000, 100_000, 300_000]));
        weather.lost_answers = perhaps(&[2_000, 20_000, 100_000]);
        weather.late_effects = perhaps(&[2_000, 20_000, 50_000]);
        weather.slow = perhaps(&[2_000, 20_000, 200_000, 500_000]);
        weather.deaths = perhaps(&[10_000, 50_000, 200_000, 500_000]);
        weather.interruptions = perhaps(&[10_000, 100_000]);
        weather.duplicates = perhaps(&[10_000, 100_000, 500_000]);
        weather.losses = perhaps(&[10_000, 100_000, 500_000]);
        weather.delays = perhaps(&[10_000, 100_000]);
        weather.schedule = perhaps(&[100_000, 300_000]);
        weather.lost_events = perhaps(&[50_000, 300_000]);
        weather.latest = random.of(&[SECOND, 5 * SECOND, 15 * SECOND]);
        weather.lag = random.of(&[0, 0, 200 * MILLISECOND, 5 * SECOND, 2 * MINUTE]);
        weather.skew = random.of(&[0, 0, SECOND, 30 * SECOND]);
        weather.in_flight = random.of(&[20, 1_000]);
        weather.images = random.of(&[(70, 10), (70, 10), (100, 0), (10, 80), (0, 0)]);
        weather.uploads_once = random.chance(700_000);
        for service in Service::ALL {
            if random.chance(300_000) {
                let from = HOUR + random.below(weather.until - HOUR);
                let until = (from + random.between(MINUTE, HOUR)).min(weather.until);
                weather.outages.push(Outage { service, from, until, retryable: random.chance(700_000) });
            }
        }
        weather
    }
}
