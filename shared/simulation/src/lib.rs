//! The whole service in virtual time: the real use cases of `jobs` on a table, a bucket and queues that do what
//! DynamoDB, S3 and SQS may do, with processes that die, clocks that differ and clients that repeat themselves.
//!
//! One seed is one run. It decides what goes wrong, which clients come and what they want, and the run ends when
//! nothing is owed any more. The promises are checked at every write and at the end. The same seed gives the same run.
//!
//! | module | holds |
//! |---|---|
//! | `random`, `time` | chance and time, both from the seed alone |
//! | `weather` | what goes wrong in a run, and how often |
//! | `world` | rows, objects, messages, and what is known of each job |
//! | `ports` | the ports of `jobs` on that world |
//! | `images` | what working on an image does |
//! | `stage` | the processes, and when they run |
//! | `clients` | what clients do |
//! | `checks` | what must hold |
//!
//! It is only ever a dev-dependency, so it asserts as a test does.
#![allow(clippy::expect_used)]

mod checks;
mod clients;
mod images;
mod ports;
mod random;
mod stage;
mod time;
mod weather;
mod world;

use std::time::Duration;

use jobs::limits::Limits;

use crate::{
    clients::Client,
    ports::Receiver,
    random::Random,
    stage::Stage,
    time::SECOND,
    world::{Sim, World},
};

/// The outcome of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Jobs that were accepted.
    pub jobs: u64,
    /// Calls of stores and queues.
    pub calls: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Images whose submission died before there was a row: they stay until the bucket's rule removes them.
    pub orphans: u64,
    /// The most messages that were sent for one job.
    pub most_messages: u32,
    /// The most writes of one row.
    pub most_writes: u32,
    /// The most times that one image was worked on.
    pub most_runs: u32,
    /// POSTs beyond the first that a receiver accepted, redeliveries excluded.
    pub repeated_callbacks: u64,
    /// How long it took in virtual time.
    pub lasted: Duration,
    /// A hash of all that happened.
    pub trace: u64,
    /// Promises that were not kept, in words.
    pub broken: Vec<String>,
}

impl Run {
    /// The sum of two runs, without their traces and times.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.jobs += other.jobs;
        self.calls += other.calls;
        self.faults += other.faults;
        self.orphans += other.orphans;
        self.repeated_callbacks += other.repeated_callbacks;
        self.most_messages = self.most_messages.max(other.most_messages);
        self.most_writes = self.most_writes.max(other.most_writes);
        self.most_runs = self.most_runs.max(other.most_runs);
        self
    }
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64) -> Run {
    run_logging(seed, None)
}

/// The same, and prints what happens to the job with this number.
#[must_use]
pub fn run_logging(seed: u64, log: Option<usize>) -> Run {
    let sim = Sim::new(World::new(seed, log));
    // A run of few clients is easy to understand; many fill more than one page of due jobs.
    let clients = sim.with(|world| world.random.of(&[20, 100, 100, 100, 300]));
    let days = sim.with(|world| world.random.of(&[1, 3, 30]));
    let limits = Limits { retention: Duration::from_secs(days * 86_400), ..Limits::default() };
    let mut stage = Stage::new(sim.clone(), &limits);
    let hosts: Vec<_> = (0..clients / 6 + 4)
        .map(|_| sim.with(|world| draw_host(&mut world.random, world.weather.until)))
        .collect();
    let clients: Vec<_> =
        (0..clients).map(|number| sim.with(|world| Client::draw(world, number, &hosts))).collect();
    for client in &clients {
        stage.enter(client.clone());
    }
    stage.run();
    sim.with(|world| checks::end(world, &clients, &limits))
}

/// A receiver of callbacks, and when it begins to work.
fn draw_host(random: &mut Random, until: time::Micros) -> (Receiver, time::Micros) {
    let kind = match random.below(100) {
        0..85 => random.of(&Receiver::ALL[..4]),
        _ => random.of(&Receiver::ALL[4..]),
    };
    let well_from = if random.chance(600_000) { 0 } else { random.below(until + SECOND) };
    (kind, well_from)
}
