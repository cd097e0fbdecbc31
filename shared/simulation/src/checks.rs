//! The promises that are checked at every write of a row, and at the end of a run, when nothing is owed any more.

use std::time::Duration;

use jobs::{
    callback::CallbackState,
    job::{Job, Origin, ResultSummary, Status},
    key::ObjectKey,
    limits::Limits,
    notify::BACKOFF,
    submit::sha256_hex,
};
use time::OffsetDateTime;

use crate::{
    Run,
    clients::{Client, Way},
    images::{self, Image},
    time::{MINUTE, Micros, SECOND, micros},
    world::{Book, World},
};

/// How many attempts a job gets.
const ATTEMPTS: u32 = 3;

/// How far two clocks may be apart.
const APART: Micros = 60 * SECOND;

fn place(status: Status) -> usize {
    match status {
        Status::AwaitingUpload => 0,
        Status::Queued | Status::Processing => 1,
        Status::Succeeded | Status::Failed => 2,
    }
}

/// Checks one write of a row.
pub(crate) fn change(world: &mut World, number: usize, old: Option<&Job>, new: Option<&Job>) {
    if let Some(text) = wrong_with(world, number, old, new) {
        world.breaks(number, text);
    }
}

fn wrong_with(world: &World, number: usize, old: Option<&Job>, new: Option<&Job>) -> Option<&'static str> {
    let Some(new) = new else {
        return old
            .is_some_and(|old| !old.is_deleted())
            .then_some("its row was removed and it was not deleted");
    };
    let owes = new.is_deleted() || !new.status().is_final() || new.owes_callback();
    if owes && new.due().is_none() {
        return Some("something is owed to it, and nobody will find it");
    }
    if new.attempts() > ATTEMPTS {
        return Some("it was started too often");
    }
    let Some(old) = old else {
        return world.rows[number].book.written.then_some("it was written after it was gone");
    };
    if old.is_deleted() {
        return Some("it was written after it was deleted");
    }
    if new.is_deleted() {
        return None;
    }
    if place(new.status()) < place(old.status()) {
        return Some("its status went back");
    }
    if old.status().is_final() {
        let same = old.status() == new.status()
            && old.results() == new.results()
            && old.error() == new.error()
            && old.finished_at() == new.finished_at()
            && old.facts() == new.facts();
        return (!same).then_some("it changed after it had ended");
    }
    if old.facts().etag.is_some() && new.facts().etag != old.facts().etag {
        return Some("it is about another upload");
    }
    let taken = old.status() == Status::Processing
        && new.status() == Status::Processing
        && new.attempts() > old.attempts();
    if taken && old.wake_at().is_some_and(|until| micros(until) > world.now + APART) {
        return Some("it was taken before the lease on it had ended");
    }
    if let Some(retry) = old.retry()
        && new.status() == Status::Processing
        && micros(retry.at) > world.now + APART
    {
        return Some("an attempt was made before it was due");
    }
    None
}

/// Checks the whole run once it is over.
pub(crate) fn end(world: &mut World, clients: &[Client], limits: &Limits) -> Run {
    let mut run = Run::default();
    let mut jobs_of_client = vec![0_u32; clients.len()];
    for number in 0..world.rows.len() {
        let book = world.rows[number].book.clone();
        if !book.written {
            let only_its_source =
                world.objects[number].iter().all(|object| matches!(object.key, ObjectKey::Source(_)));
            if !only_its_source {
                world.breaks(number, "there are objects of a job that never was");
            }
            run.orphans += world.objects[number].len() as u64;
            continue;
        }
        run.jobs += 1;
        run.most_messages = run.most_messages.max(book.messages);
        run.most_writes = run.most_writes.max(book.writes);
        run.most_runs = run.most_runs.max(book.runs);
        let Some(client) = book.client.and_then(|client| clients.get(client)) else {
            world.breaks(number, "nobody asked for it");
            continue;
        };
        jobs_of_client[client.number] += 1;
        if client.has_key && jobs_of_client[client.number] > 1 {
            world.breaks(number, "its request was served twice");
        }
        if book.welcome > 0 {
            run.repeated_callbacks += u64::from(book.welcome.saturating_sub(1 + book.rounds));
        }
        let wrong = match world.rows[number].job.as_ref() {
            None => gone(world, number, &book),
            Some(job) => ended(world, number, job, &book, client, limits),
        };
        for text in wrong {
            world.breaks(number, text);
        }
    }
    if world.weather.until == 0 && run.orphans > 0 {
        world.breaks(usize::MAX, "undisturbed, an image was left without a job");
    }
    run.calls = world.calls;
    run.faults = world.faults;
    run.lasted = Duration::from_micros(world.now);
    run.trace = world.trace;
    run.broken = std::mem::take(&mut world.broken);
    run
}

/// Checks a job that has no row any more.
fn gone(world: &World, number: usize, book: &Book) -> Vec<String> {
    let mut wrong = Vec::new();
    if book.deleted.is_none() {
        wrong.push("it is gone, and nobody deleted it".to_owned());
    }
    for object in &world.objects[number] {
        wrong.push(format!("it was deleted and left {}", name(&object.key)));
    }
    wrong
}

/// An object's key without the job's id, which differs between runs.
fn name(key: &ObjectKey) -> String {
    key.to_string().chars().skip(40).collect()
}

/// Checks a job that has a row.
fn ended(
    world: &World,
    number: usize,
    job: &Job,
    book: &Book,
    client: &Client,
    limits: &Limits,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, text: &str| {
        if !holds {
            wrong.push(text.to_owned());
        }
    };
    must(!job.is_deleted(), "it was deleted, and its row is still there");
    must(job.status().is_final(), "it never ended");
    must(job.due().is_none(), "it stays due");
    let rounds = BACKOFF.len() + 1;
    must(book.posts as usize <= rounds * (1 + book.rounds as usize), "its callback was tried too often");
    must(book.messages <= 200, "too many messages were sent for it");
    must(book.runs <= 150, "its image was worked on too often");
    if !job.status().is_final() {
        return wrong;
    }
    match job.callback() {
        None => must(book.posts == 0, "somebody was told who was not to be told"),
        Some(callback) => {
            must(callback.state != CallbackState::Pending, "its callback was never settled");
            let accepts = client.receiver.is_some_and(|(receiver, _)| receiver.accepts());
            must(!accepts || callback.state == CallbackState::Delivered, "its callback was not delivered");
            let delivered = callback.state == CallbackState::Delivered;
            must(!delivered || book.welcome > 0, "its callback counts as delivered and was not");
            must(
                book.posts <= callback.attempts,
                "a try of its callback was made before it was written down",
            );
        }
    }
    let ended = book.ended.unwrap_or_default();
    let deadline = job.deadline().map_or(Micros::MAX, micros);
    must(ended <= deadline.max(world.weather.until) + 15 * MINUTE, "it ended long after its deadline");
    must(
        client.way != Way::Upload || job.facts().etag.is_none() || book.uploaded.is_some(),
        "it has an upload that never came",
    );
    wrong.extend(results(world, number, job));
    wrong.extend(verdict(world, job, book, client, limits));
    if world.weather.until == 0 && Image::ALL.get(usize::from(client.image)) == Some(&Image::Good) {
        wrong.extend(calm(job, book, client));
    }
    wrong
}

/// Checks that a job took the shortest way if nothing went wrong.
fn calm(job: &Job, book: &Book, client: &Client) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, text: &str| {
        if !holds {
            wrong.push(format!("undisturbed, {text}"));
        }
    };
    let worked = client.way != Way::Upload || book.uploaded.is_some();
    must(!worked || job.attempts() == 1, "it was started more than once");
    must(!worked || book.runs == 1, "its image was worked on more than once");
    let told = client.receiver.is_some_and(|(receiver, well_from)| receiver.accepts() && well_from == 0);
    must(!told || book.posts == 1 + book.rounds, "its callback was posted more than once");
    let soon = |from: Option<OffsetDateTime>, to: Option<OffsetDateTime>| {
        from.zip(to).is_some_and(|(from, to)| to - from <= Duration::from_secs(60))
    };
    let waits = client.way == Way::Upload;
    must(waits || soon(Some(job.created_at()), job.started_at()), "it began late");
    let first = job.callback().and_then(|callback| callback.tries.first()).map(|first| first.at);
    must(!told || soon(job.finished_at(), first), "its owner was told late");
    wrong
}

/// Checks that the results that a job names, and no others, are in the bucket, made from the image that it names.
fn results(world: &World, number: usize, job: &Job) -> Vec<String> {
    let mut wrong = Vec::new();
    let sha256 = job.facts().sha256.clone().unwrap_or_default();
    let mut expected = Vec::new();
    for (algorithm, summary) in job.results() {
        for form in &summary.forms {
            let key = ObjectKey::Result {
                job: job.id(),
                attempt: summary.attempt(),
                algorithm: algorithm.clone(),
                extension: form.clone(),
            };
            let found = world.object(number, &key).map(|object| &object.body);
            if found != Some(&images::result(&sha256, algorithm, form)) {
                wrong.push(format!("its result {} is missing, or another image's", name(&key)));
            }
            expected.push(key);
        }
        if summary.forms != images::forms(algorithm) {
            wrong.push(format!("its result of {algorithm} is not whole"));
        }
    }
    let mut attempts: Vec<_> = job.results().values().map(ResultSummary::attempt).collect();
    attempts.dedup();
    if attempts.len() > 1 {
        wrong.push("its results are of several attempts".to_owned());
    }
    let succeeded = job.status() == Status::Succeeded;
    if succeeded != (job.results().len() == job.algorithms().len()) {
        wrong.push("it has too few results, or any although it failed".to_owned());
    }
    for object in &world.objects[number] {
        let source = match job.origin() {
            Origin::PresignedUpload => ObjectKey::Upload(job.id()),
            Origin::Upload | Origin::Url { .. } => ObjectKey::Source(job.id()),
        };
        if object.key != source && !expected.contains(&object.key) {
            wrong.push(format!("{} was left over", name(&object.key)));
        }
        if object.key == source && succeeded {
            let same = match job.origin() {
                Origin::PresignedUpload if !world.weather.uploads_once => true,
                _ => sha256_hex(&object.body) == sha256,
            };
            if !same {
                wrong.push("its image is another one than the one that was worked on".to_owned());
            }
        }
    }
    if succeeded && *job.origin() == Origin::PresignedUpload && job.facts().etag.is_none() {
        wrong.push("it does not say which upload it is about".to_owned());
    }
    wrong
}

/// Checks that a job ended as its image and its events require.
fn verdict(world: &World, job: &Job, book: &Book, client: &Client, limits: &Limits) -> Option<String> {
    let image = Image::ALL.get(usize::from(client.image)).copied();
    let code = job.error().map(|error| error.code.as_ref());
    let ended = book.ended.unwrap_or_default();
    let refused = world.weather.outages.iter().any(|outage| !outage.retryable);
    let fits = match code {
        None => matches!(image, Some(Image::Good | Image::Slow | Image::Risky | Image::Modelled)),
        Some("corrupt_image") => image == Some(Image::Bad),
        Some("source_refused") => image.is_none(),
        Some("source_unreachable") => client.way == Way::Url && client.served.0 > 0,
        Some("upload_never_came") => {
            client.way == Way::Upload && book.uploaded.is_none_or(|uploaded| uploaded > ended)
        }
        Some("upload_changed") => client.way == Way::Upload && !world.weather.uploads_once,
        Some("deadline_passed") => {
            let passed = job.deadline().is_some_and(|deadline| micros(deadline) <= ended + APART);
            passed && (client.deadline.is_some() || client.way == Way::Url)
        }
        Some("out_of_memory_or_timeout") => {
            let stolen = world.weather.skew > 0 && image == Some(Image::Slow);
            book.lost >= 1 && job.attempts() >= limits.attempts || stolen
        }
        Some("internal_error") => image == Some(Image::Modelled) || refused,
        Some(_) => false,
    };
    (!fits).then(|| {
        format!("it ended with {} (image {image:?}, {} attempts lost)", code.unwrap_or("success"), book.lost)
    })
}
