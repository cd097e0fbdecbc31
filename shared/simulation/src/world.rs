//! Everything outside the processes: rows, objects, messages, and for each job a book of what happened to it, against
//! which the promises are checked.

use std::{
    collections::{BTreeSet, BinaryHeap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use jobs::{
    error::PortError,
    id::JobId,
    job::{Job, Status},
    key::ObjectKey,
    message::Message,
    once::Earlier,
};

use crate::{
    checks,
    random::Random,
    stage::Start,
    time::{DAY, Entry, Event, MILLISECOND, MINUTE, Micros, SECOND, Sleep, TaskId, micros},
    weather::{Service, Weather},
};

/// How long after the last thing that a client does a run may go on.
const LONGEST: Micros = 40 * DAY;

/// The world, as every port sees it.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<World>>);

impl Sim {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn sleep_until(&self, until: Micros) -> Sleep {
        Sleep::until(self.clone(), until)
    }

    pub(crate) fn sleep(&self, wait: Micros) -> Sleep {
        self.sleep_until(self.with(|world| world.now) + wait)
    }

    /// One call of a service. It takes time, may fail before or after it has its `effect`, and may have it when its
    /// caller is long gone.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        service: Service,
        operation: &'static str,
        effect: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Result<T, PortError> {
        let Plan { fate, before, after } = self.with(|world| world.plan(service, operation));
        let mut request = Request { sim: self, effect: Some(effect) };
        self.sleep(before).await;
        let error = |retryable| PortError { operation, retryable, cause: "it was to be so".into() };
        let effect = request.effect.take().expect("nobody else takes it");
        let outcome = match fate {
            Fate::Works => Ok(self.with(effect)),
            Fate::Fails { retryable } => Err(error(retryable)),
            Fate::AnswerLost => {
                self.with(effect);
                Err(error(true))
            }
            Fate::Late { by } => {
                self.with(|world| world.later(by, effect));
                Err(error(true))
            }
        };
        if after > 0 {
            self.sleep(after).await;
        }
        outcome
    }
}

/// A request on its way, which may arrive although its sender is dead.
struct Request<'a, T, E: FnOnce(&mut World) -> T + Send + 'static> {
    sim: &'a Sim,
    effect: Option<E>,
}

impl<T, E: FnOnce(&mut World) -> T + Send + 'static> Drop for Request<'_, T, E> {
    fn drop(&mut self) {
        if let Some(effect) = self.effect.take() {
            self.sim.with(|world| {
                if world.random.chance(500_000) {
                    let by = world.random.below(SECOND);
                    world.later(by, effect);
                }
            });
        }
    }
}

struct Plan {
    fate: Fate,
    before: Micros,
    after: Micros,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    Fails { retryable: bool },
    AnswerLost,
    Late { by: Micros },
}

/// One job's row and its book.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) job: Option<Job>,
    /// Counts the changes of the row, including its removal.
    version: u64,
    indexed: (u64, Option<Micros>),
    pub(crate) book: Book,
}

/// The book of a job: what happened to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// The client that submitted it.
    pub(crate) client: Option<usize>,
    /// Whether its row was ever written.
    pub(crate) written: bool,
    pub(crate) writes: u32,
    pub(crate) messages: u32,
    pub(crate) posts: u32,
    /// POSTs that were answered with 2xx.
    pub(crate) welcome: u32,
    /// How often the callback was asked for again.
    pub(crate) rounds: u32,
    /// How often its image was worked on.
    pub(crate) runs: u32,
    /// Attempts that ended in a worker's death, or in a write that failed.
    pub(crate) lost: u32,
    /// When its upload arrived.
    pub(crate) uploaded: Option<Micros>,
    pub(crate) ended: Option<Micros>,
    pub(crate) deleted: Option<Micros>,
    /// When the answer to its deletion was given.
    pub(crate) deletion_answered: Option<Micros>,
}

pub(crate) struct Object {
    pub(crate) key: ObjectKey,
    pub(crate) body: Bytes,
    pub(crate) content_type: String,
}

/// One message of a queue.
pub(crate) struct Letter {
    pub(crate) message: Message,
    sent: Micros,
    pub(crate) receives: u32,
    timer: u32,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Hidden,
    Ready,
    InFlight,
    Gone,
}

/// A message as a consumer has it.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) queue: usize,
    pub(crate) letter: usize,
    pub(crate) receives: u32,
    timer: u32,
    pub(crate) message: Message,
}

pub(crate) const JOBS: usize = 0;
pub(crate) const CALLBACKS: usize = 1;
pub(crate) const DEAD_JOBS: usize = 2;
pub(crate) const DEAD_CALLBACKS: usize = 3;

/// How often a message is received before it is a dead letter.
const MAX_RECEIVES: u32 = 10;

/// How long a queue keeps a message.
const KEPT: Micros = 14 * DAY;

pub(crate) struct Queue {
    letters: Vec<Letter>,
    ready: Vec<usize>,
    in_flight: usize,
    live: usize,
    visibility: Micros,
    batch: usize,
    dead_letters: Option<usize>,
    free: Vec<usize>,
}

impl Queue {
    fn new(visibility: Micros, batch: usize, dead_letters: Option<usize>, consumers: usize) -> Self {
        Self {
            letters: Vec::new(),
            ready: Vec::new(),
            in_flight: 0,
            live: 0,
            visibility,
            batch,
            dead_letters,
            free: (0..consumers).rev().collect(),
        }
    }
}

/// The whole world of one run.
pub(crate) struct World {
    pub(crate) now: Micros,
    pub(crate) current: TaskId,
    pub(crate) random: Random,
    pub(crate) weather: Weather,
    pub(crate) starts: Vec<Start>,
    pub(crate) rows: Vec<Row>,
    pub(crate) objects: Vec<Vec<Object>>,
    pub(crate) keys: HashMap<String, (Earlier, Micros)>,
    pub(crate) index: BTreeSet<(u64, Micros, usize)>,
    pub(crate) shards: u64,
    pub(crate) ids: Vec<JobId>,
    numbers: HashMap<JobId, usize>,
    queues: [Queue; 4],
    events: BinaryHeap<Entry>,
    order: u64,
    /// How many tasks there are, the clients' among them.
    pub(crate) tasks: usize,
    owing: usize,
    late: usize,
    /// The promises that were broken.
    pub(crate) broken: Vec<String>,
    /// A hash of all that happened.
    pub(crate) trace: u64,
    pub(crate) calls: u64,
    pub(crate) faults: u64,
    log: Option<usize>,
}

impl World {
    pub(crate) fn new(seed: u64, log: Option<usize>) -> Self {
        let mut random = Random::new(seed);
        let weather = if random.chance(50_000) { Weather::calm() } else { Weather::draw(&mut random) };
        // Each shard is swept by itself, so more shards would cost much and find no more.
        let shards = random.of(&[1, 2]);
        let mut world = Self {
            now: 10 * MINUTE,
            current: TaskId::default(),
            random,
            weather,
            starts: Vec::new(),
            rows: Vec::new(),
            objects: Vec::new(),
            keys: HashMap::new(),
            index: BTreeSet::new(),
            shards,
            ids: Vec::new(),
            numbers: HashMap::new(),
            // As in template.yaml: visibility timeouts, batches, and how many invocations there are at a time.
            queues: [
                Queue::new(600 * SECOND, 1, Some(DEAD_JOBS), 10),
                Queue::new(540 * SECOND, 10, Some(DEAD_CALLBACKS), 5),
                Queue::new(360 * SECOND, 10, None, 2),
                Queue::new(360 * SECOND, 10, None, 2),
            ],
            events: BinaryHeap::new(),
            order: 0,
            tasks: 0,
            owing: 0,
            late: 0,
            broken: Vec::new(),
            trace: seed,
            calls: 0,
            faults: 0,
            log,
        };
        world.at(world.now, Event::Minute);
        world
    }

    /// Adds an event to the trace.
    pub(crate) fn note(&mut self, what: &str, number: usize, value: u64) {
        let mut hash = self.trace ^ self.now;
        for byte in what.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.trace = (hash ^ (number as u64).rotate_left(32) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if self.log == Some(number) {
            println!("{:>14.3} s  {what} {value}", Duration(self.now).seconds());
        }
    }

    /// Notes a promise that was not kept.
    pub(crate) fn breaks(&mut self, number: usize, text: impl AsRef<str>) {
        if self.broken.len() < 20 {
            let seconds = Duration(self.now).seconds();
            self.broken.push(format!("job {number} at {seconds:.3} s: {}", text.as_ref()));
        }
    }

    pub(crate) fn at(&mut self, at: Micros, event: Event) {
        self.order += 1;
        self.events.push(Entry { at, order: self.order, event });
    }

    fn later<T>(&mut self, by: Micros, effect: impl FnOnce(&mut Self) -> T + Send + 'static) {
        self.late += 1;
        let late = Box::new(move |world: &mut Self| {
            world.late -= 1;
            drop(effect(world));
        });
        self.at(self.now + by, Event::Late(late));
    }

    /// Moves time to the next event and returns it.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let Entry { at, event, .. } = self.events.pop()?;
        self.now = self.now.max(at);
        Some(event)
    }

    /// Lets an event happen.
    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(..) => {}
            Event::Visible { queue, message, timer } => self.visible(queue, message, timer),
            Event::Indexed { job, version, due } => {
                self.late -= 1;
                self.indexed(job, version, due);
            }
            Event::Minute => self.minute(),
            Event::Late(effect) => effect(self),
        }
    }

    pub(crate) fn is_troubled(&self) -> bool {
        self.now < self.weather.until
    }

    /// Draws whether a fault of this chance happens.
    pub(crate) fn trouble(&mut self, in_a_million: u32) -> bool {
        let happens = self.is_troubled() && self.random.chance(in_a_million);
        self.faults += u64::from(happens);
        happens
    }

    fn plan(&mut self, service: Service, operation: &'static str) -> Plan {
        self.calls += 1;
        let mut before = self.random.between(MILLISECOND, 20 * MILLISECOND);
        let mut after = 0;
        if !self.is_troubled() {
            return Plan { fate: Fate::Works, before, after };
        }
        if self.random.chance(500_000) {
            after = self.random.between(1, 10 * MILLISECOND);
        }
        if self.random.chance(self.weather.slow) {
            before += self.random.below(8 * SECOND);
        }
        let now = self.now;
        let outage = self
            .weather
            .outages
            .iter()
            .find(|outage| outage.service == service && (outage.from..outage.until).contains(&now));
        let fate = if let Some(outage) = outage {
            Fate::Fails { retryable: outage.retryable }
        } else if self.random.chance(self.weather.failures[service as usize]) {
            Fate::Fails { retryable: true }
        } else if self.random.chance(self.weather.lost_answers) {
            Fate::AnswerLost
        } else if self.random.chance(self.weather.late_effects) {
            Fate::Late { by: self.random.below(self.weather.latest) }
        } else {
            Fate::Works
        };
        if fate != Fate::Works {
            self.faults += 1;
            self.note(operation, usize::MAX, 1);
        }
        Plan { fate, before, after }
    }

    /// When an invocation that begins now ends: after its timeout, or earlier if it is to die.
    pub(crate) fn end_of(&mut self, timeout: Micros) -> Micros {
        if !self.trouble(self.weather.deaths) {
            return self.now + timeout;
        }
        // An invocation does most of its work in its first moments, so most deaths are drawn there.
        let most = self.random.of(&[100 * MILLISECOND, SECOND, timeout]);
        self.now + self.random.below(most)
    }

    /// The job's number: they are counted in the order in which the world learns of them, because ids are random.
    pub(crate) fn number(&mut self, id: JobId) -> usize {
        let next = self.ids.len();
        let number = *self.numbers.entry(id).or_insert(next);
        if number == next {
            self.ids.push(id);
            self.rows.push(Row::default());
            self.objects.push(Vec::new());
        }
        number
    }

    pub(crate) fn shard(&self, number: usize) -> u64 {
        number as u64 % self.shards
    }

    /// Puts a row in the place of another one, or removes it.
    pub(crate) fn put_row(&mut self, number: usize, job: Option<Job>, client: Option<usize>) {
        let old = self.rows[number].job.take();
        checks::change(self, number, old.as_ref(), job.as_ref());
        let due = job.as_ref().and_then(Job::due).map(|due| micros(due) / MILLISECOND * MILLISECOND);
        let status = job.as_ref().map_or(9, |job| job.status() as u64);
        self.note(
            "row",
            number,
            status << 56 | job.as_ref().map_or(0, Job::revision) << 48 | due.unwrap_or(0),
        );
        self.owing += usize::from(due.is_some());
        self.owing -= usize::from(old.as_ref().and_then(Job::due).is_some());
        let now = self.now;
        let row = &mut self.rows[number];
        let book = &mut row.book;
        book.written = true;
        book.writes += 1;
        if let Some(client) = client {
            book.client.get_or_insert(client);
        }
        if let Some(job) = &job {
            if job.status().is_final() {
                book.ended.get_or_insert(now);
            }
            let (started, is_working) =
                (old.as_ref().map_or(0, Job::attempts), job.status() == Status::Processing);
            book.runs += u32::from(is_working && job.attempts() > started);
            if job.is_deleted() {
                book.deleted.get_or_insert(now);
            }
            let before = |job: &Job| job.callback().map_or(0, |callback| callback.before);
            if old.as_ref().is_some_and(|old| before(old) < before(job)) {
                book.rounds += 1;
            }
        }
        row.job = job;
        row.version += 1;
        let version = row.version;
        let lag = if self.weather.lag == 0 { 0 } else { self.random.below(self.weather.lag) };
        if lag == 0 || !self.is_troubled() {
            self.indexed(number, version, due);
        } else {
            self.late += 1;
            self.at(self.now + lag, Event::Indexed { job: number, version, due });
        }
    }

    fn indexed(&mut self, number: usize, version: u64, due: Option<Micros>) {
        let shard = self.shard(number);
        let row = &mut self.rows[number];
        if row.indexed.0 > version {
            return;
        }
        if let Some(old) = row.indexed.1 {
            self.index.remove(&(shard, old, number));
        }
        row.indexed = (version, due);
        if let Some(due) = due {
            self.index.insert((shard, due, number));
        }
    }

    fn minute(&mut self) {
        let over = self.tasks == 0
            && self.owing == 0
            && self.late == 0
            && self.starts.is_empty()
            && self.queues.iter().all(|queue| queue.live == 0);
        if over {
            return;
        }
        if self.now > LONGEST {
            let owing =
                self.rows.iter().position(|row| row.job.as_ref().is_some_and(|job| job.due().is_some()));
            self.breaks(owing.unwrap_or(usize::MAX), "something is still owed");
            return;
        }
        self.at(self.now + MINUTE, Event::Minute);
        // No recoverer's clock is further ahead than this. If nothing is due by then, the recoverer is not called.
        let soon = self.now + self.weather.skew;
        let due = (0..self.shards)
            .any(|shard| self.index.range((shard, 0, 0)..=(shard, soon, usize::MAX)).next().is_some());
        if !due {
            return;
        }
        if !self.trouble(self.weather.schedule) {
            self.starts.push(Start::Sweep);
        } else if self.random.chance(500_000) {
            self.starts.push(Start::Sweep);
            self.starts.push(Start::Sweep);
        }
    }

    /// Sends a message, which is there after a moment and the delay.
    pub(crate) fn send(&mut self, queue: usize, message: Message, delay: Micros) {
        let number = self.number(message.job_id());
        self.rows[number].book.messages += 1;
        self.note("message", number, delay << 2 | queue as u64);
        if self.trouble(self.weather.losses) {
            return;
        }
        let mut transit = self.random.between(MILLISECOND, 100 * MILLISECOND);
        if self.trouble(self.weather.delays) {
            transit += self.random.below(10 * MINUTE);
        }
        self.post(queue, message.clone(), self.now, transit + delay);
        if self.trouble(self.weather.duplicates) {
            let again = self.random.below(10 * MINUTE);
            self.post(queue, message, self.now, transit + delay + again);
        }
    }

    /// Sends the bucket's event of an upload, once or twice.
    pub(crate) fn tell_of_upload(&mut self, queue: usize, message: Message, delay: Micros) {
        self.post(queue, message.clone(), self.now, delay);
        if self.trouble(self.weather.duplicates) {
            let again = self.random.below(10 * MINUTE);
            self.post(queue, message, self.now, delay + again);
        }
    }

    fn post(&mut self, queue: usize, message: Message, sent: Micros, delay: Micros) {
        let letters = &mut self.queues[queue];
        let letter = letters.letters.len();
        letters.letters.push(Letter { message, sent, receives: 0, timer: 0, place: Place::Hidden });
        letters.live += 1;
        self.at(self.now + delay, Event::Visible { queue, message: letter, timer: 0 });
    }

    fn visible(&mut self, queue: usize, letter: usize, timer: u32) {
        let (now, letters) = (self.now, &mut self.queues[queue]);
        let found = &mut letters.letters[letter];
        if found.timer != timer || matches!(found.place, Place::Gone | Place::Ready) {
            return;
        }
        letters.in_flight -= usize::from(found.place == Place::InFlight);
        if now.saturating_sub(found.sent) > KEPT {
            found.place = Place::Gone;
            letters.live -= 1;
            return;
        }
        found.place = Place::Ready;
        letters.ready.push(letter);
        self.dispatch(queue);
    }

    /// Delivers visible messages to free consumers, in random order.
    fn dispatch(&mut self, queue: usize) {
        let most = self.weather.in_flight;
        let troubled = self.is_troubled();
        loop {
            let letters = &mut self.queues[queue];
            if letters.ready.is_empty() || letters.free.is_empty() || letters.in_flight >= most {
                return;
            }
            let mut deliveries = Vec::new();
            while deliveries.len() < self.queues[queue].batch && !self.queues[queue].ready.is_empty() {
                let letters = &mut self.queues[queue];
                let pick = if troubled { self.random.index(letters.ready.len()) } else { 0 };
                let letter = letters.ready.swap_remove(pick);
                let found = &mut letters.letters[letter];
                if found.place != Place::Ready {
                    continue;
                }
                if let Some(dead) = letters.dead_letters.filter(|_| found.receives >= MAX_RECEIVES) {
                    found.place = Place::Gone;
                    letters.live -= 1;
                    let (message, sent) = (found.message.clone(), found.sent);
                    let number = self.number(message.job_id());
                    self.note("dead letter", number, queue as u64);
                    self.post(dead, message, sent, SECOND);
                    continue;
                }
                found.receives += 1;
                found.timer += 1;
                found.place = Place::InFlight;
                letters.in_flight += 1;
                let (timer, receives, message) = (found.timer, found.receives, found.message.clone());
                let until = self.now + letters.visibility;
                let number = self.number(message.job_id());
                self.note("received", number, u64::from(receives) << 2 | queue as u64);
                self.at(until, Event::Visible { queue, message: letter, timer });
                deliveries.push(Delivery { queue, letter, receives, timer, message });
            }
            if !deliveries.is_empty() {
                let slot = self.queues[queue].free.pop().expect("it was looked at above");
                self.starts.push(Start::Deliver { queue, slot, deliveries });
            }
        }
    }

    /// A consumer is free again.
    pub(crate) fn free(&mut self, queue: usize, slot: usize) {
        self.queues[queue].free.push(slot);
        self.dispatch(queue);
    }

    /// Deletes a message. With the receipt of an earlier delivery this may or may not work.
    pub(crate) fn remove(&mut self, delivery: &Delivery) {
        let stale = self.queues[delivery.queue].letters[delivery.letter].timer != delivery.timer;
        if stale && self.random.chance(500_000) {
            return;
        }
        let letters = &mut self.queues[delivery.queue];
        let found = &mut letters.letters[delivery.letter];
        if found.place != Place::Gone {
            letters.in_flight -= usize::from(found.place == Place::InFlight);
            found.place = Place::Gone;
            letters.live -= 1;
        }
        self.dispatch(delivery.queue);
    }

    /// Lets a message come again after `wait`.
    pub(crate) fn defer(&mut self, delivery: &Delivery, wait: Micros) {
        let found = &mut self.queues[delivery.queue].letters[delivery.letter];
        if found.timer != delivery.timer || found.place != Place::InFlight {
            return;
        }
        found.timer += 1;
        let timer = found.timer;
        self.at(self.now + wait, Event::Visible { queue: delivery.queue, message: delivery.letter, timer });
    }

    /// A job's object.
    pub(crate) fn object(&self, number: usize, key: &ObjectKey) -> Option<&Object> {
        self.objects[number].iter().find(|object| object.key == *key)
    }

    /// Stores an object, replacing one that has its key.
    pub(crate) fn put_object(&mut self, key: ObjectKey, body: Bytes, content_type: &str) {
        let number = self.number(key.job());
        self.note("stored", number, body.len() as u64);
        let objects = &mut self.objects[number];
        let object = Object { key, body, content_type: content_type.to_owned() };
        match objects.iter_mut().find(|other| other.key == object.key) {
            Some(other) => *other = object,
            None => objects.push(object),
        }
    }

    /// Whether the job has ended, and how, at this moment.
    pub(crate) fn status(&self, number: usize) -> Option<Status> {
        self.rows[number].job.as_ref().map(Job::status)
    }
}

/// A duration, for messages.
struct Duration(Micros);

impl Duration {
    #[expect(clippy::cast_precision_loss, reason = "it is shown with three places")]
    fn seconds(&self) -> f64 {
        self.0 as f64 / SECOND as f64
    }
}
