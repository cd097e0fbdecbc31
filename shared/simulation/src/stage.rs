//! The processes: the real use cases on the simulated world, called as Lambda calls the functions.

use std::{
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Waker},
    time::Duration,
};

use jobs::{
    algorithm::Specification,
    error::{Reason, Refusal},
    hosts::Hosts,
    limits::Limits,
    notify::Notifier,
    process::{Outcome, Processor},
    quota::Meter,
    recover::Recoverer,
    submit::Submitter,
};
use serde_json::json;
use testing::memory::MemoryJobs;

use crate::{
    clients::{self, Client},
    ports::{AnyUrl, Bucket, Caller, Queues, Receivers, Studio, Table, Web},
    time::{Event, Micros, SECOND, SkewedClock, TaskId, all, micros_of, moment, mortal},
    weather::Service,
    world::{CALLBACKS, Delivery, JOBS, Sim, World},
};

/// The functions' timeouts, as in template.yaml.
const WORKER_TIMEOUT: Micros = 100 * SECOND;
const NOTIFIER_TIMEOUT: Micros = 90 * SECOND;
const RECOVERER_TIMEOUT: Micros = 60 * SECOND;
pub(crate) const API_TIMEOUT: Micros = 29 * SECOND;

/// How long before its end the recoverer stops by itself.
const MARGIN: Micros = 10 * SECOND;

/// How many processes answer the API, and how many recoverers there are.
pub(crate) const APIS: usize = 4;
const RECOVERERS: usize = 3;

/// An invocation that is about to begin.
pub(crate) enum Start {
    /// Some messages of a queue are handed to one of its consumers.
    Deliver { queue: usize, slot: usize, deliveries: Vec<Delivery> },
    /// The recoverer looks for overdue jobs.
    Sweep,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Worker {
    processor: Processor,
    killed: Arc<AtomicBool>,
}

/// All processes of a run, and their tasks.
pub(crate) struct Stage {
    sim: Sim,
    workers: Vec<Arc<Worker>>,
    notifiers: Vec<Notifier>,
    recoverers: Vec<Recoverer>,
    pub(crate) apis: Vec<Submitter>,
    tasks: Vec<(u64, Option<Task>)>,
    places: Vec<usize>,
    begun: u64,
}

static THUMBNAIL: Specification = specification("thumbnail");
static POINTS: Specification = specification("poi_detection");

const fn specification(name: &'static str) -> Specification {
    Specification {
        name,
        version: "1",
        summary: "",
        references: &[],
        parameters: &[],
        ordered: &[],
        dependent: None,
        list: None,
    }
}

fn identify(bytes: &[u8]) -> Result<&'static str, Refusal> {
    let is_image = bytes.starts_with(b"img");
    is_image
        .then_some("image/png")
        .ok_or_else(|| Refusal::new(Reason::UnsupportedType, "unknown_format", "It is no image."))
}

impl Stage {
    pub(crate) fn new(sim: Sim, limits: &Limits) -> Self {
        let clock = || {
            let ahead = sim.with(|world| {
                let most = world.weather.skew;
                world.random.below(2 * most + 1).cast_signed() - most.cast_signed()
            });
            Arc::new(SkewedClock { sim: sim.clone(), ahead })
        };
        let table = |caller| Arc::new(Table { sim: sim.clone(), caller });
        let (bucket, queue) = (Arc::new(Bucket { sim: sim.clone() }), Arc::new(Queues { sim: sim.clone() }));
        let workers = (0..10).map(|_| {
            let killed = Arc::new(AtomicBool::new(false));
            let processor = Processor {
                jobs: table(Caller::Worker),
                writer: table(Caller::Worker),
                sources: bucket.clone(),
                objects: bucket.clone(),
                queue: queue.clone(),
                fetcher: Arc::new(Web { sim: sim.clone() }),
                engine: Arc::new(Studio { sim: sim.clone(), killed: killed.clone() }),
                clock: clock(),
                limits: limits.clone(),
            };
            Arc::new(Worker { processor, killed })
        });
        let notifiers = (0..5).map(|_| Notifier {
            jobs: table(Caller::Other),
            writer: table(Caller::Other),
            poster: Arc::new(Receivers { sim: sim.clone() }),
            queue: queue.clone(),
            hosts: Hosts::default(),
            clock: clock(),
            limits: limits.clone(),
            describe: Arc::new(|job| json!({"status": job.status()})),
        });
        let recoverers = (0..RECOVERERS).map(|_| Recoverer {
            jobs: table(Caller::Other),
            writer: table(Caller::Other),
            due: table(Caller::Other),
            sources: bucket.clone(),
            objects: bucket.clone(),
            queue: queue.clone(),
            clock: clock(),
            limits: limits.clone(),
        });
        let apis = (0..APIS).map(|_| Submitter {
            jobs: table(Caller::Other),
            writer: table(Caller::Other),
            once: table(Caller::Other),
            objects: bucket.clone(),
            presigner: bucket.clone(),
            queue: queue.clone(),
            // No client has a key, so that nothing is counted.
            meter: Meter { usage: Arc::new(MemoryJobs::default()), clock: clock() },
            urls: Arc::new(AnyUrl),
            clock: clock(),
            catalogue: Arc::new([&THUMBNAIL, &POINTS]),
            identify,
            media_types: Arc::new([&["image/png"]]),
            limits: limits.clone(),
        });
        let (workers, notifiers, recoverers, apis) =
            (workers.collect(), notifiers.collect(), recoverers.collect(), apis.collect());
        let (tasks, places) = (Vec::new(), Vec::new());
        Self { sim, workers, notifiers, recoverers, apis, tasks, places, begun: 0 }
    }

    /// Lets a client come.
    pub(crate) fn enter(&mut self, client: Client) {
        let api = self.apis[client.api].clone();
        let task = clients::live(self.sim.clone(), api, client);
        self.begin(Box::pin(task));
    }

    /// Lets everything happen until nothing more does.
    pub(crate) fn run(&mut self) {
        loop {
            loop {
                let starts = self.sim.with(|world| std::mem::take(&mut world.starts));
                if starts.is_empty() {
                    break;
                }
                for start in starts {
                    let task = self.task(start);
                    self.begin(task);
                }
            }
            match self.sim.with(World::next_event) {
                None => break,
                Some(Event::Wake(task, part)) => {
                    part.wake();
                    self.poll(task);
                }
                Some(other) => self.sim.with(|world| world.happen(other)),
            }
        }
    }

    fn begin(&mut self, task: Task) {
        self.begun += 1;
        let place = self.places.pop().unwrap_or_else(|| {
            self.tasks.push((0, None));
            self.tasks.len() - 1
        });
        self.tasks[place] = (self.begun, Some(task));
        self.sim.with(|world| world.tasks += 1);
        self.poll(TaskId { place, number: self.begun });
    }

    fn poll(&mut self, id: TaskId) {
        let (number, task) = &mut self.tasks[id.place];
        let Some(running) = task.as_mut().filter(|_| *number == id.number) else { return };
        self.sim.with(|world| world.current = id);
        if running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            *task = None;
            self.places.push(id.place);
            self.sim.with(|world| world.tasks -= 1);
        }
    }

    fn task(&self, start: Start) -> Task {
        let sim = self.sim.clone();
        match start {
            Start::Deliver { queue: JOBS, slot, mut deliveries } => {
                let (worker, delivery) = (self.workers[slot].clone(), deliveries.remove(0));
                Box::pin(work(sim, worker, slot, delivery))
            }
            Start::Deliver { queue: CALLBACKS, slot, deliveries } => {
                Box::pin(notify(sim, self.notifiers[slot].clone(), slot, deliveries))
            }
            Start::Deliver { queue, slot, deliveries } => {
                let recoverer = self.recoverers[slot % RECOVERERS].clone();
                Box::pin(bury(sim, recoverer, (queue, slot), deliveries))
            }
            Start::Sweep => {
                let which = self.sim.with(|world| world.random.index(RECOVERERS));
                Box::pin(sweep(sim, self.recoverers[which].clone()))
            }
        }
    }
}

/// A worker's invocation.
async fn work(sim: Sim, worker: Arc<Worker>, slot: usize, delivery: Delivery) {
    let (dies_at, stops_after) = sim.with(|world| {
        let stops = world.trouble(world.weather.interruptions);
        (world.end_of(WORKER_TIMEOUT), stops.then(|| world.random.below(20 * SECOND)))
    });
    let interrupted = {
        let sim = sim.clone();
        async move {
            match stops_after {
                Some(after) => sim.sleep(after).await,
                None => std::future::pending().await,
            }
        }
    };
    let id = delivery.message.job_id();
    let working = worker.processor.handle_until(id, interrupted);
    let outcome = mortal(&sim, dies_at, Some(&worker.killed), working).await;
    if outcome.is_none() {
        sim.with(|world| {
            let number = world.number(id);
            world.note("a worker died", number, 0);
            // The attempt counts as lost, because a claim that the dead process had sent may still arrive.
            world.rows[number].book.lost += 1;
        });
    }
    leave(&sim, JOBS, slot, vec![(delivery, outcome)]).await;
}

/// A notifier's invocation.
async fn notify(sim: Sim, notifier: Notifier, slot: usize, deliveries: Vec<Delivery>) {
    let dies_at = sim.with(|world| world.end_of(NOTIFIER_TIMEOUT));
    let handling = deliveries.iter().map(|delivery| notifier.handle(delivery.message.job_id())).collect();
    let outcomes = mortal(&sim, dies_at, None, all(handling)).await;
    settle_batch(&sim, CALLBACKS, slot, deliveries, outcomes).await;
}

/// The recoverer's invocation with dead letters.
async fn bury(sim: Sim, recoverer: Recoverer, (queue, slot): (usize, usize), deliveries: Vec<Delivery>) {
    let dies_at = sim.with(|world| world.end_of(RECOVERER_TIMEOUT));
    let recover = async |delivery: &Delivery| {
        let report = recoverer.recover_message(delivery.message.job_id()).await;
        if report.failed > 0 { Outcome::Retry(None) } else { Outcome::Done }
    };
    let handling = deliveries.iter().map(recover).collect();
    let outcomes = mortal(&sim, dies_at, None, all(handling)).await;
    settle_batch(&sim, queue, slot, deliveries, outcomes).await;
}

async fn settle_batch(
    sim: &Sim,
    queue: usize,
    slot: usize,
    deliveries: Vec<Delivery>,
    outcomes: Option<Vec<Outcome>>,
) {
    let outcomes = outcomes
        .map_or_else(|| vec![None; deliveries.len()], |outcomes| outcomes.into_iter().map(Some).collect());
    leave(sim, queue, slot, deliveries.into_iter().zip(outcomes).collect()).await;
}

/// Deletes or puts off the messages after their invocation, and frees the process.
async fn leave(sim: &Sim, queue: usize, slot: usize, handled: Vec<(Delivery, Option<Outcome>)>) {
    let died = handled.iter().any(|(_, outcome)| outcome.is_none());
    for (delivery, outcome) in handled {
        match outcome {
            None => {}
            Some(Outcome::Done) => {
                let gone = delivery.clone();
                // Where this fails, the message comes again.
                let _ =
                    sim.call(Service::Queue, "removing a message", move |world| world.remove(&gone)).await;
            }
            Some(Outcome::Retry(wait)) if matches!(queue, JOBS | CALLBACKS) => {
                let wait = wait.map_or_else(|| backoff(delivery.receives), micros_of);
                let put_off = delivery.clone();
                let defer = move |world: &mut World| world.defer(&put_off, wait);
                // Where this fails, the wait is the queue's own.
                let _ = sim.call(Service::Queue, "putting a message off", defer).await;
            }
            Some(Outcome::Retry(_)) => {}
        }
    }
    if died {
        sim.sleep(sim.with(|world| world.random.below(5 * SECOND))).await;
    }
    sim.with(|world| world.free(queue, slot));
}

/// As `runtime::sqs::backoff` has it.
fn backoff(receives: u32) -> Micros {
    (10 * SECOND).saturating_mul(2_u64.saturating_pow(receives.saturating_sub(1))).min(600 * SECOND)
}

/// The recoverer's invocation by the schedule.
async fn sweep(sim: Sim, recoverer: Recoverer) {
    let (dies_at, until, shards) = sim.with(|world| {
        let until = moment(world.now + RECOVERER_TIMEOUT - MARGIN);
        (world.end_of(RECOVERER_TIMEOUT), until, world.shards)
    });
    let until = until.max(recoverer.clock.now() + Duration::from_secs(1));
    let shards = (0..shards).map(|shard| recoverer.sweep(u8::try_from(shard).unwrap_or_default(), until));
    let _ = mortal(&sim, dies_at, None, all(shards.collect())).await;
}
