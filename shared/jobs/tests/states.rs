//! Every order of what can happen to one job: two workers, a notifier, a recoverer, a client who deletes it and asks
//! for its callback again, messages that are lost or come twice, processes that die. All states that can be reached
//! within bounds are visited, each once; the job itself is the real one.
//!
//! In each state the row must be sound. And from each, once nothing goes wrong any more, the job must come to its end:
//! its callback settled, its leftovers removed, and nothing due.
#![allow(clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
    time::Duration,
};

use jobs::{
    callback::{Callback, CallbackState, Outcome, TryNumber},
    error::Failure,
    id::JobId,
    job::{Attempt, Claim, Draft, Facts, Job, Origin, ResultSummary, Retry, Status, Terms},
};
use serde_json::Value;
use time::OffsetDateTime;
use url::Url;

/// Time passes in steps. One is as long as a worker that ends a job has to send the message about its callback.
const STEP: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(2 * 60);
const PATIENCE: Duration = Duration::from_secs(2 * 60);

/// How many steps a worker may outlive its lease by, because clocks differ.
const APART: u32 = 1;

/// How many attempts a job gets, and how many tries its callback.
const ATTEMPTS: u32 = 2;
const TRIES: u32 = 2;

fn at(step: u32) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + step * STEP
}

/// A row, or a copy of one in somebody's memory, with a hash of the parts that decide anything.
#[derive(Clone)]
struct Row {
    job: Job,
    hash: u64,
}

impl Row {
    fn new(job: Job) -> Rc<Self> {
        let mut value = serde_json::to_value(&job).expect("a job is JSON");
        // Random ids, and times that decide nothing, would make equal states differ.
        for unused in ["id", "updated_at", "started_at", "finished_at"] {
            value[unused].take();
        }
        for random in ["/lease/holder", "/callback/trying", "/callback/tries"] {
            value.pointer_mut(random).map(Value::take);
        }
        let mut hasher = DefaultHasher::new();
        value.to_string().hash(&mut hasher);
        Rc::new(Self { job, hash: hasher.finish() })
    }
}

#[derive(Clone)]
enum Worker {
    Idle,
    /// It has read the row.
    Read(Rc<Row>),
    /// It has claimed the job, and then perhaps stored its results.
    Works {
        row: Rc<Row>,
        claim: Claim,
        since: u32,
        stored: bool,
    },
    /// It has lost the job and has yet to remove what it stored.
    Lost {
        attempt: u64,
    },
}

#[derive(Clone)]
enum Notifier {
    Idle,
    Read(Rc<Row>),
    Posts(Rc<Row>, TryNumber),
}

/// How often each fault may still happen, and clients may still act.
#[derive(Clone, Copy, Hash)]
struct Budget {
    losses: u8,
    copies: u8,
    deaths: u8,
    deletions: u8,
    redeliveries: u8,
    /// Attempts that fail because of a service, and so are forgiven.
    failures: u8,
}

#[derive(Clone)]
struct State {
    now: u32,
    row: Option<Rc<Row>>,
    workers: [Worker; 2],
    notifier: Notifier,
    /// The row that the recoverer has read.
    recoverer: Option<Rc<Row>>,
    /// Messages on their way: for workers, for notifiers.
    work: u8,
    tell: u8,
    /// The attempts whose results are stored.
    results: BTreeSet<u64>,
    uploaded: bool,
    budget: Budget,
    /// For how many steps things go wrong and clients act.
    steps: u32,
}

/// The most messages of a kind that are counted: more make no difference.
const MESSAGES: u8 = 2;

impl State {
    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let of = |row: &Rc<Row>| row.hash;
        (self.now, self.row.as_ref().map(of), self.recoverer.as_ref().map(of)).hash(&mut hasher);
        let mut workers = self.workers.each_ref().map(|worker| match worker {
            Worker::Idle => (0, 0, 0, false),
            Worker::Read(row) => (1, row.hash, 0, false),
            Worker::Works { row, since, stored, .. } => (2, row.hash, *since, *stored),
            Worker::Lost { attempt } => (3, *attempt, 0, false),
        });
        // The workers are interchangeable, so states that differ only in their order are one.
        workers.sort_unstable();
        let notifier = match &self.notifier {
            Notifier::Idle => (0, 0),
            Notifier::Read(row) => (1, row.hash),
            Notifier::Posts(row, _) => (2, row.hash),
        };
        (workers, notifier, self.work, self.tell, &self.results, self.uploaded, self.budget)
            .hash(&mut hasher);
        hasher.finish()
    }

    /// Writes a row on the condition that nobody else has. The row must be sound.
    fn write(&mut self, mut job: Job) -> Option<Rc<Row>> {
        let stored = &self.row.as_ref()?.job;
        if stored.revision() != job.revision() {
            return None;
        }
        job.written();
        assert!(!stored.is_deleted(), "a deleted job was written");
        if stored.status().is_final() && !job.is_deleted() {
            assert_eq!(stored.status(), job.status(), "an ended job went on");
            assert_eq!(stored.results(), job.results(), "an ended job's results changed");
        }
        assert!(job.status() != Status::AwaitingUpload, "it went back to waiting");
        assert!(job.attempts() <= ATTEMPTS, "it was started too often");
        let owed = job.is_deleted() || !job.status().is_final() || job.owes_callback();
        assert!(!owed || job.due().is_some(), "something is owed, and nobody will find it: {job:?}");
        let row = Row::new(job);
        self.row = Some(row.clone());
        Some(row)
    }

    fn check(&self) {
        let Some(job) = self.row.as_ref().map(|row| &row.job) else { return };
        let holders = self.workers.iter().filter(|worker| match worker {
            Worker::Works { row, .. } => row.job.revision() == job.revision(),
            _ => false,
        });
        assert!(holders.count() <= 1, "two workers hold it");
        if let Some(winner) = job.results().values().find_map(ResultSummary::attempt) {
            assert!(self.results.contains(&winner), "its results are gone");
        }
    }

    fn send_work(&mut self) {
        self.work = (self.work + 1).min(MESSAGES);
    }

    fn send_tell(&mut self) {
        self.tell = (self.tell + 1).min(MESSAGES);
    }

    fn is_due(&self, time: Option<OffsetDateTime>) -> bool {
        time.is_some_and(|time| time <= at(self.now))
    }
}

fn failure(code: &'static str) -> Failure {
    Failure::new(code, "A sentence.")
}

/// How an attempt ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Succeeds,
    Fails,
    CountsAndReturns,
    IsForgiven,
}

/// A worker takes a message: the first steps of `Processor::handle`.
fn take_message(state: &State, index: usize) -> Option<State> {
    let mut next = state.clone();
    let Some(row) = next.row.clone() else {
        next.results.clear();
        next.work -= 1;
        return Some(next);
    };
    if row.job.status().is_final() {
        next.work -= 1;
        if row.job.owes_callback() && row.job.callback().is_some_and(|callback| callback.tried() == 0) {
            next.send_tell();
        }
        return Some(next);
    }
    if row.job.retry().is_some_and(|retry| retry.at > at(state.now)) {
        return None;
    }
    next.work -= 1;
    next.workers[index] = Worker::Read(row);
    Some(next)
}

/// A worker decides by the row that it has read, and writes its decision.
fn claim(state: &State, index: usize, row: &Row) -> State {
    let (mut next, mut job, now) = (state.clone(), row.job.clone(), at(state.now));
    next.workers[index] = Worker::Idle;
    let claimed = if job.deadline().is_some_and(|deadline| deadline <= now) {
        job.give_up(failure("deadline_passed"), now).map(|()| None)
    } else if job.attempts() >= ATTEMPTS {
        job.give_up(failure("out_of_memory_or_timeout"), now).map(|()| None)
    } else if job.status() == Status::AwaitingUpload && !state.uploaded {
        return next;
    } else {
        job.claim(now, LEASE).map(Some)
    };
    let Ok(claim) = claimed else { return next };
    match (next.write(job), claim) {
        (Some(row), Some(claim)) => {
            next.workers[index] = Worker::Works { row, claim, since: state.now, stored: false };
        }
        (Some(_), None) => next.send_tell(),
        // Another was first: the message comes again.
        (None, _) => next.send_work(),
    }
    next
}

/// A worker ends its attempt.
fn end(state: &State, index: usize, row: &Row, claim: Claim, end: End) -> State {
    let (mut next, mut job, now) = (state.clone(), row.job.clone(), at(state.now));
    next.workers[index] = Worker::Idle;
    let attempt = job.revision();
    let retry = |at| Attempt::Counts(Retry { failure: failure("source_unreachable"), at });
    let changed = match end {
        End::Succeeds => {
            let summary = ResultSummary::new(attempt, Vec::new(), serde_json::Map::new());
            let results = BTreeMap::from([("thumbnail".to_owned(), summary)]);
            job.succeed(claim, job.facts().clone(), results, now)
        }
        End::CountsAndReturns if job.attempts() < ATTEMPTS => {
            job.release(claim, retry(now + STEP), now, PATIENCE)
        }
        End::Fails | End::CountsAndReturns => {
            job.fail(claim, Facts::default(), failure("corrupt_image"), now)
        }
        End::IsForgiven => job.release(claim, Attempt::Forgiven(now + STEP), now, PATIENCE),
    };
    changed.expect("its own copy says that it holds the job");
    match next.write(job) {
        Some(row) if row.job.status().is_final() => {
            if row.job.owes_callback() {
                next.send_tell();
            }
        }
        Some(_) => next.send_work(),
        None => next.workers[index] = Worker::Lost { attempt },
    }
    next
}

/// A worker that has lost its job removes what it stored.
fn remove_results(state: &State, index: usize, attempt: u64) -> State {
    let mut next = state.clone();
    next.workers[index] = Worker::Idle;
    next.results.remove(&attempt);
    if next.row.as_ref().is_none_or(|row| row.job.is_deleted()) {
        next.results.clear();
    }
    next
}

/// The recoverer decides by the row that it has read, writes its decision, and sends the message that follows.
fn recover(state: &State, row: &Row, sent: bool) -> State {
    let (mut next, mut job, now) = (state.clone(), row.job.clone(), at(state.now));
    next.recoverer = None;
    if job.is_deleted() {
        if state.is_due(job.tidy_at()) {
            next.results.clear();
            next.row = None;
        }
        return next;
    }
    if !job.status().is_final() {
        if !state.is_due(job.wake_at()) {
            return next;
        }
        let lost = if job.status() == Status::AwaitingUpload && !state.uploaded {
            Some("upload_never_came")
        } else if state.is_due(job.deadline()) {
            Some("deadline_passed")
        } else if job.attempts() >= ATTEMPTS {
            Some("out_of_memory_or_timeout")
        } else {
            None
        };
        let changed = match lost {
            Some(code) => job.give_up(failure(code), now),
            None => job.requeue(now, PATIENCE),
        };
        let ended = job.status().is_final();
        if changed.is_ok() && next.write(job).is_some() && sent {
            if ended { next.send_tell() } else { next.send_work() }
        }
        return next;
    }
    if job.owes_callback() && state.is_due(job.callback().and_then(|callback| callback.wake_at)) {
        job.announce_again(now, PATIENCE).expect("it is owed");
        if next.write(job).is_some() && sent {
            next.send_tell();
        }
    } else if state.is_due(job.tidy_at()) {
        let winner = job.results().values().find_map(ResultSummary::attempt);
        next.results.retain(|attempt| Some(*attempt) == winner);
        job.tidied(now);
        next.write(job);
    }
    next
}

/// A notifier takes the right to make a try.
fn begin_try(state: &State, row: &Row) -> State {
    let (mut next, mut job, now) = (state.clone(), row.job.clone(), at(state.now));
    next.notifier = Notifier::Idle;
    if job.owes_callback() && job.callback().is_some_and(|callback| callback.tried() >= TRIES) {
        job.abandon_callback(now).expect("it is owed");
        next.write(job);
        return next;
    }
    let Ok(number) = job.begin_callback_try(now, now + STEP, PATIENCE) else { return next };
    match next.write(job) {
        Some(row) => next.notifier = Notifier::Posts(row, number),
        None => next.send_tell(),
    }
    next
}

/// A notifier writes the outcome of its try, whoever wrote the row meanwhile.
fn end_try(state: &State, number: TryNumber, delivered: bool) -> State {
    let (mut next, now) = (state.clone(), at(state.now));
    next.notifier = Notifier::Idle;
    let Some(row) = next.row.clone() else { return next };
    let mut job = row.job.clone();
    let again = !delivered && job.callback().is_some_and(|callback| callback.tried() < TRIES);
    let (callback, status) = match (delivered, again) {
        (true, _) => (CallbackState::Delivered, 204),
        (false, true) => (CallbackState::Pending, 500),
        (false, false) => (CallbackState::Failed, 500),
    };
    let next_try_at = again.then(|| now + STEP);
    let outcome = Outcome { state: callback, status: Some(status), milliseconds: 1, next_try_at };
    if job.end_callback_try(number, outcome, now, PATIENCE).is_ok() {
        next.write(job);
        if again {
            next.send_tell();
        }
    }
    next
}

/// Time passes. A worker that has had its time is ended, as Lambda ends a function.
fn pass_time(state: &State) -> State {
    let mut next = state.clone();
    next.now += 1;
    let lease = u32::try_from(LEASE.as_secs() / STEP.as_secs()).expect("few steps");
    for worker in &mut next.workers {
        if matches!(worker, Worker::Works { since, .. } if next.now > *since + lease + APART) {
            *worker = Worker::Idle;
        }
    }
    next
}

/// Everything that can happen next.
fn successors(state: &State) -> Vec<State> {
    let mut all = Vec::new();
    let spend = |count: fn(&mut Budget) -> &mut u8, change: &dyn Fn(&mut State)| {
        let mut next = state.clone();
        let left = count(&mut next.budget);
        *left = left.checked_sub(1)?;
        change(&mut next);
        Some(next)
    };
    let deaths = |change: &dyn Fn(&mut State)| spend(|budget| &mut budget.deaths, change);
    let losses = |change: &dyn Fn(&mut State)| spend(|budget| &mut budget.losses, change);
    if state.now < state.steps {
        all.push(pass_time(state));
    }
    for (index, worker) in state.workers.iter().enumerate() {
        let dies = deaths(&|next| {
            next.workers[index] = Worker::Idle;
            next.send_work();
        });
        match worker {
            Worker::Idle => {
                if state.work > 0 {
                    all.extend(take_message(state, index));
                    // The same message is there once more.
                    let copied = spend(|budget| &mut budget.copies, &|next| next.send_work());
                    all.extend(copied.and_then(|copied| take_message(&copied, index)));
                }
            }
            Worker::Read(row) => all.push(claim(state, index, row)),
            Worker::Works { row, claim, stored, .. } => {
                all.extend(dies);
                if *stored {
                    all.push(end(state, index, row, *claim, End::Succeeds));
                } else {
                    let mut next = state.clone();
                    next.results.insert(row.job.revision());
                    if let Worker::Works { stored, .. } = &mut next.workers[index] {
                        *stored = true;
                    }
                    all.push(next);
                    // The work fails, if it does, before there is a result.
                    all.push(end(state, index, row, *claim, End::Fails));
                }
                all.push(end(state, index, row, *claim, End::CountsAndReturns));
                all.extend(spend(|budget| &mut budget.failures, &|next| {
                    *next = end(next, index, row, *claim, End::IsForgiven);
                }));
            }
            Worker::Lost { attempt } => {
                all.push(remove_results(state, index, *attempt));
                all.extend(dies);
            }
        }
    }
    match &state.notifier {
        Notifier::Idle => {
            if state.tell > 0 {
                all.push(take_callback_message(state));
            }
        }
        Notifier::Read(row) => all.push(begin_try(state, row)),
        Notifier::Posts(_, number) => {
            all.push(end_try(state, *number, true));
            all.push(end_try(state, *number, false));
            all.extend(deaths(&|next| {
                next.notifier = Notifier::Idle;
                next.send_tell();
            }));
        }
    }
    match &state.recoverer {
        None => all.extend(read_due_row(state)),
        Some(row) => {
            all.push(recover(state, row, true));
            all.extend(losses(&|next| *next = recover(next, row, false)));
        }
    }
    if state.work > 0 {
        all.extend(losses(&|next| next.work -= 1));
    }
    if state.tell > 0 {
        all.extend(losses(&|next| next.tell -= 1));
    }
    let Some(job) = state.row.as_ref().map(|row| &row.job) else { return all };
    if !state.uploaded && state.now < 3 {
        let mut next = state.clone();
        next.uploaded = true;
        all.extend(losses(&|next| next.uploaded = true));
        next.send_work();
        all.push(next);
    }
    if !job.is_deleted() {
        let until = at(state.now) + 2 * LEASE;
        for cleared in [true, false] {
            all.extend(spend(|budget| &mut budget.deletions, &|next| {
                let mut job = job.clone();
                job.delete(at(state.now), until);
                next.write(job);
                if cleared {
                    next.results.clear();
                }
            }));
        }
        all.extend(spend(|budget| &mut budget.redeliveries, &|next| {
            let mut job = job.clone();
            if job.redeliver_callback(at(state.now), PATIENCE).is_ok() {
                next.write(job);
                next.send_tell();
            }
        }));
    }
    all
}

/// A notifier takes a message.
fn take_callback_message(state: &State) -> State {
    let mut next = state.clone();
    next.tell -= 1;
    if let Some(row) = next.row.clone().filter(|row| row.job.owes_callback()) {
        next.notifier = Notifier::Read(row);
    }
    next
}

/// The recoverer reads a job that is due.
fn read_due_row(state: &State) -> Option<State> {
    let row = state.row.clone().filter(|row| state.is_due(row.job.due()))?;
    let mut next = state.clone();
    next.recoverer = Some(row);
    Some(next)
}

/// The next state if nothing goes wrong: everybody finishes what they have begun, then messages are taken, then what is
/// due is recovered, then time passes. `None` once there is nothing more to do.
fn next_without_faults(state: &State) -> Option<State> {
    for (index, worker) in state.workers.iter().enumerate() {
        match worker {
            Worker::Idle => {}
            Worker::Read(row) => return Some(claim(state, index, row)),
            Worker::Works { row, claim, stored, .. } => {
                let mut next = state.clone();
                if !stored {
                    next.results.insert(row.job.revision());
                }
                return Some(end(&next, index, row, *claim, End::Succeeds));
            }
            Worker::Lost { attempt } => return Some(remove_results(state, index, *attempt)),
        }
    }
    match &state.notifier {
        Notifier::Idle => {}
        Notifier::Read(row) => return Some(begin_try(state, row)),
        Notifier::Posts(_, number) => return Some(end_try(state, *number, true)),
    }
    if let Some(row) = &state.recoverer {
        return Some(recover(state, row, true));
    }
    let taken = if state.work > 0 { take_message(state, 0) } else { None };
    let heard = || (state.tell > 0).then(|| take_callback_message(state));
    let due = state.row.as_ref().and_then(|row| row.job.due());
    let waits = due.is_some() || state.work > 0;
    taken.or_else(heard).or_else(|| read_due_row(state)).or_else(|| waits.then(|| pass_time(state)))
}

/// Checks that the job comes to its end if nothing goes wrong any more; `sure` holds the states of which that is known.
fn comes_to_an_end(state: &State, sure: &mut HashSet<u64>) {
    let (mut state, mut passed) = (state.clone(), Vec::new());
    loop {
        let key = state.key();
        if sure.contains(&key) {
            break;
        }
        passed.push(key);
        assert!(passed.len() < 1_000, "it never comes to an end: {:?}", state.row.map(|row| row.job.clone()));
        let Some(next) = next_without_faults(&state) else {
            finished(&state);
            break;
        };
        next.check();
        state = next;
    }
    sure.extend(passed);
}

/// Checks that a job to which nothing more happens has kept every promise.
fn finished(state: &State) {
    let Some(job) = state.row.as_ref().map(|row| &row.job) else {
        assert!(state.results.is_empty(), "a deleted job left results");
        return;
    };
    assert!(job.status().is_final() && !job.is_deleted() && !job.owes_callback(), "{job:?}");
    let winner: BTreeSet<u64> = job.results().values().filter_map(ResultSummary::attempt).collect();
    assert_eq!(state.results, winner, "what is stored is what it names: {job:?}");
}

fn explore(origin: &Origin, steps: u32, budget: Budget) -> usize {
    let callback = Url::parse("https://example.com/").expect("a URL");
    let draft = Draft {
        origin: origin.clone(),
        facts: Facts::default(),
        algorithms: Vec::new(),
        callback: Some(Callback::new(callback, None)),
        owner: None,
    };
    let terms = Terms { retention: 1_000 * STEP, deadline: 10 * STEP, patience: PATIENCE };
    let (id, is_there) = (JobId::new(at(0)), *origin == Origin::Upload);
    let mut job = if is_there {
        Job::queued(id, draft, at(0), terms)
    } else {
        Job::awaiting_upload(id, draft, at(0), Terms { patience: 4 * STEP, ..terms })
    };
    job.written();
    let first = State {
        now: 0,
        row: Some(Row::new(job)),
        workers: [Worker::Idle, Worker::Idle],
        notifier: Notifier::Idle,
        recoverer: None,
        work: u8::from(is_there),
        tell: 0,
        results: BTreeSet::new(),
        uploaded: is_there,
        budget,
        steps,
    };
    let (mut seen, mut sure) = (HashSet::from([first.key()]), HashSet::new());
    let mut open = VecDeque::from([first]);
    while let Some(state) = open.pop_front() {
        state.check();
        comes_to_an_end(&state, &mut sure);
        open.extend(successors(&state).into_iter().filter(|next| seen.insert(next.key())));
    }
    seen.len()
}

#[test]
fn every_order_of_what_can_happen_to_a_job_leads_to_its_end() {
    let none = Budget { losses: 0, copies: 0, deaths: 0, deletions: 0, redeliveries: 0, failures: 0 };
    let mut visited = 0;
    for (origin, steps, budget) in [
        (Origin::Upload, 4, Budget { losses: 1, deaths: 1, ..none }),
        (Origin::Upload, 3, Budget { copies: 1, deletions: 1, ..none }),
        (Origin::Upload, 3, Budget { losses: 1, failures: 1, ..none }),
        (Origin::Upload, 3, Budget { redeliveries: 1, ..none }),
        (Origin::PresignedUpload, 4, Budget { losses: 1, ..none }),
    ] {
        let states = explore(&origin, steps, budget);
        println!("{states} states of {origin:?}");
        assert!(states > 1_000, "the bounds let too little happen");
        visited += states;
    }
    println!("{visited} states visited");
}
