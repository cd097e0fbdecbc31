//! Clients: they submit, upload, delete, ask for callbacks again, and repeat requests that got no answer.

use std::sync::Arc;

use bytes::Bytes;
use jobs::{
    access,
    error::{Error, Reason},
    id::JobId,
    job::Job,
    key::ObjectKey,
    message::Message,
    submit::{Request, Submitter},
};
use time::OffsetDateTime;

use crate::{
    images::{self, Image},
    ports::{Caller, Receiver, Table},
    stage::{API_TIMEOUT, APIS},
    time::{HOUR, MINUTE, Micros, SECOND, all, micros, mortal},
    world::{JOBS, Sim, World},
};

/// How a client hands its image in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Inline,
    Url,
    Upload,
}

/// The plan of a client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) api: usize,
    arrives: Micros,
    pub(crate) way: Way,
    pub(crate) image: u8,
    /// When its server begins to serve the image, and the `Retry-After` that it sends until then, in seconds.
    pub(crate) served: (Micros, u64),
    pub(crate) has_key: bool,
    /// How many times it sends the same request at the same time.
    at_once: usize,
    /// How often it sends a request that got no answer.
    sends: usize,
    pub(crate) receiver: Option<(Receiver, Micros)>,
    pub(crate) deadline: Option<u64>,
    /// How long after the grant it uploads, and how long that takes; a second time, perhaps.
    uploads: Vec<(Micros, Micros)>,
    deletes_after: Option<Micros>,
    asks_again_after: Option<Micros>,
}

impl Client {
    pub(crate) fn draw(world: &mut World, number: usize, hosts: &[(Receiver, Micros)]) -> Self {
        let calm = world.weather.until == 0;
        let until = world.weather.until;
        let random = &mut world.random;
        let (good, slow) = world.weather.images;
        let drawn = random.below(100);
        let image = if drawn < good {
            Image::Good
        } else if drawn < good + slow {
            Image::Slow
        } else {
            random.of(&Image::ALL[2..])
        };
        let place = Image::ALL.iter().position(|kind| *kind == image);
        let mut kind = place.and_then(|place| u8::try_from(place).ok()).unwrap_or_default();
        let way = random.of(&[Way::Inline, Way::Inline, Way::Url, Way::Upload]);
        if way == Way::Url && random.chance(50_000) {
            kind = Image::GONE;
        }
        let from = if random.chance(200_000) { random.below(2 * until + 1) } else { 0 };
        let served = (from, random.of(&[0, 30, 3_600]));
        let has_key = random.chance(400_000);
        let at_once = if has_key && random.chance(200_000) { 2 } else { 1 };
        let mut uploads = Vec::new();
        if way == Way::Upload && (calm || random.chance(900_000)) {
            // Most come at once, some when their address is about to expire.
            for _ in 0..random.of(&[1, 1, 1, 2]) {
                let waits =
                    if random.chance(800_000) { random.below(MINUTE) } else { random.below(61 * MINUTE) };
                uploads.push((waits, random.below(200 * SECOND)));
            }
        }
        Self {
            number,
            api: random.index(APIS),
            arrives: 20 * MINUTE + random.below(HOUR),
            way,
            image: kind,
            served,
            has_key,
            at_once,
            sends: 1 + random.index(5),
            receiver: random.chance(600_000).then(|| random.of(hosts)),
            deadline: random.chance(100_000).then(|| random.between(10, 7_200)),
            uploads,
            deletes_after: random.chance(150_000).then(|| {
                let most = random.of(&[2 * SECOND, MINUTE, 3 * HOUR]);
                random.below(most)
            }),
            asks_again_after: random.chance(50_000).then(|| random.below(8 * HOUR)),
        }
    }

    fn request(&self) -> Request {
        let receiver = self.receiver.map(|(kind, well_from)| {
            let kind = Receiver::ALL.iter().position(|other| *other == kind).unwrap_or_default();
            format!("https://host-{kind}-{well_from}.example/{kind}/{well_from}")
        });
        let algorithms = match self.number % 3 {
            0 => Vec::new(),
            1 => vec!["poi_detection"],
            _ => vec!["thumbnail", "poi_detection"],
        };
        Request {
            algorithms: algorithms.into_iter().map(|name| (name.to_owned(), Default::default())).collect(),
            callback_url: receiver,
            deadline: self.deadline,
            idempotency_key: self.has_key.then(|| format!("key-{}", self.number)),
            ..Request::default()
        }
    }

    fn image(&self) -> Bytes {
        images::body(self.image, self.number as u64)
    }

    async fn submit(&self, api: &Submitter) -> Result<(Job, Option<OffsetDateTime>), Error> {
        match self.way {
            Way::Inline => api.submit_image(self.image(), self.request()).await.map(|job| (job, None)),
            Way::Url => {
                let (from, asks) = self.served;
                let url = format!("https://images.example/{}/{}/{from}/{asks}", self.number, self.image);
                api.submit_url(&url, self.request()).await.map(|job| (job, None))
            }
            Way::Upload => {
                let bytes = self.image().len() as u64;
                let granted = api.grant_upload("image/png", bytes, None, self.request()).await?;
                Ok((granted.job, Some(granted.expires_at)))
            }
        }
    }
}

/// Sends a request; `None` if the client gets no answer.
async fn ask<T>(sim: &Sim, request: impl Future<Output = Result<T, Error>>) -> Option<Result<T, Error>> {
    let dies_at = sim.with(|world| world.end_of(API_TIMEOUT));
    let answer = mortal(sim, dies_at, None, request).await;
    answer.filter(|_| !sim.with(|world| world.trouble(world.weather.lost_answers)))
}

/// Everything that one client does.
pub(crate) async fn live(sim: Sim, mut api: Submitter, client: Client) {
    sim.sleep_until(client.arrives).await;
    let table = Arc::new(Table { sim: sim.clone(), caller: Caller::Client(client.number) });
    api.writer = table.clone();
    api.once = table;
    let copies = (0..client.at_once).map(|_| submit(&sim, &api, &client)).collect();
    let mut answers = all(copies).await.into_iter().flatten();
    let Some((job, upload_until)) = answers.next() else { return };
    sim.with(|world| {
        let number = world.number(job);
        world.note("accepted", number, 0);
        if !world.rows[number].book.written {
            world.breaks(number, "it was accepted and never written");
        }
    });
    let mut doings: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
    if let Some(until) = upload_until {
        for (index, &(waits, takes)) in client.uploads.iter().enumerate() {
            doings.push(Box::pin(upload(&sim, job, &client, index, (waits, takes), until)));
        }
    }
    if let Some(after) = client.deletes_after {
        doings.push(Box::pin(delete(&sim, &api, job, after)));
    }
    if let Some(after) = client.asks_again_after {
        doings.push(Box::pin(ask_again(&sim, &api, job, after)));
    }
    all(doings).await;
}

async fn submit(sim: &Sim, api: &Submitter, client: &Client) -> Option<(JobId, Option<OffsetDateTime>)> {
    for _ in 0..client.sends {
        match ask(sim, client.submit(api)).await {
            Some(Ok((job, until))) => return Some((job.id(), until)),
            Some(Err(Error::Refused(refusal))) => {
                if refusal.reason != Reason::NotFound {
                    sim.with(|world| world.breaks(usize::MAX, format!("a request was refused: {refusal}")));
                }
                return None;
            }
            Some(Err(Error::Port(_))) | None => {
                let wait = sim.with(|world| world.random.below(MINUTE));
                sim.sleep(wait).await;
            }
        }
    }
    None
}

async fn upload(
    sim: &Sim,
    job: JobId,
    client: &Client,
    index: usize,
    (waits, takes): (Micros, Micros),
    until: OffsetDateTime,
) {
    sim.sleep(waits).await;
    if sim.with(|world| world.now >= micros(until)) {
        return;
    }
    sim.sleep(takes).await;
    // A client that uploads twice sends another image the second time.
    let body = images::body(client.image, client.number as u64 + 1_000_000 * index as u64);
    let key = ObjectKey::Upload(job);
    sim.with(|world| {
        let number = world.number(job);
        if world.weather.uploads_once && world.object(number, &key).is_some() {
            return;
        }
        world.put_object(key, body, "image/png");
        let now = world.now;
        world.rows[number].book.uploaded.get_or_insert(now);
        if !world.trouble(world.weather.lost_events) {
            let late = if world.trouble(world.weather.delays) { world.random.below(10 * MINUTE) } else { 0 };
            world.tell_of_upload(JOBS, Message::ProcessJob { job_id: job }, SECOND + late);
        }
    });
}

async fn delete(sim: &Sim, api: &Submitter, job: JobId, after: Micros) {
    sim.sleep(after).await;
    for _ in 0..5 {
        match ask(sim, api.delete(job, &access::Caller::Anyone)).await {
            Some(Ok(())) => {
                sim.with(|world| {
                    let number = world.number(job);
                    world.note("deleted", number, 0);
                    let now = world.now;
                    let book = &mut world.rows[number].book;
                    book.deletion_answered.get_or_insert(now);
                    if book.deleted.is_none() {
                        world.breaks(number, "its deletion was answered and not made");
                    }
                });
                return;
            }
            Some(Err(Error::Refused(_))) => return,
            Some(Err(Error::Port(_))) | None => sim.sleep(10 * SECOND).await,
        }
    }
}

async fn ask_again(sim: &Sim, api: &Submitter, job: JobId, after: Micros) {
    sim.sleep(after).await;
    for _ in 0..3 {
        match ask(sim, api.redeliver(job, &access::Caller::Anyone)).await {
            Some(Ok(_) | Err(Error::Refused(_))) => return,
            Some(Err(Error::Port(_))) | None => sim.sleep(10 * SECOND).await,
        }
    }
}
