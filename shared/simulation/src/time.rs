//! Virtual time. A task that waits is polled again when its time has come, and nothing else makes time pass.

use std::{
    cmp::Ordering,
    future::poll_fn,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Poll, Waker},
};

use ::time::{Duration, OffsetDateTime};
use jobs::ports::Clock;

use crate::world::{Sim, World};

/// A time or a duration in microseconds; times since [`origin`].
pub(crate) type Micros = u64;

pub(crate) const MILLISECOND: Micros = 1_000;
pub(crate) const SECOND: Micros = 1_000 * MILLISECOND;
pub(crate) const MINUTE: Micros = 60 * SECOND;
pub(crate) const HOUR: Micros = 60 * MINUTE;
pub(crate) const DAY: Micros = 24 * HOUR;

/// The date of time 0.
fn origin() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(1_800_000_000)
}

pub(crate) fn micros(time: OffsetDateTime) -> Micros {
    Micros::try_from((time - origin()).whole_microseconds()).unwrap_or(0)
}

pub(crate) fn moment(time: Micros) -> OffsetDateTime {
    origin() + Duration::microseconds(time.cast_signed())
}

pub(crate) fn micros_of(duration: std::time::Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

/// A task. Its place is used again by later tasks, so it has a number as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskId {
    pub(crate) place: usize,
    pub(crate) number: u64,
}

/// Something that happens by itself at its time.
pub(crate) enum Event {
    /// A task goes on: the part of it that waited, where it does several things side by side.
    Wake(TaskId, Waker),
    /// A message can be received, unless its visibility was changed meanwhile.
    Visible { queue: usize, message: usize, timer: u32 },
    /// The index of due jobs is updated with a row.
    Indexed { job: usize, version: u64, due: Option<Micros> },
    /// The schedule calls the recoverer.
    Minute,
    /// A call has its effect whose caller has given up on it.
    Late(Box<dyn FnOnce(&mut World) + Send>),
}

/// An event with its time; of two at one time, the one that was made first comes first.
pub(crate) struct Entry {
    pub(crate) at: Micros,
    pub(crate) order: u64,
    pub(crate) event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// Earlier is greater, because a heap gives its greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Ready once it is time.
pub(crate) struct Sleep {
    sim: Sim,
    until: Micros,
    waits: bool,
}

impl Sleep {
    pub(crate) fn until(sim: Sim, until: Micros) -> Self {
        Self { sim, until, waits: false }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (until, waits) = (self.until, self.waits);
        let is_over = self.sim.with(|world| {
            let is_over = world.now >= until;
            if !is_over && !waits {
                world.at(until, Event::Wake(world.current, context.waker().clone()));
            }
            is_over
        });
        self.waits = true;
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Runs what a process does, unless the process dies first: at `dies_at`, or as soon as `killed` is set. The future is
/// then dropped.
pub(crate) async fn mortal<T>(
    sim: &Sim,
    dies_at: Micros,
    killed: Option<&AtomicBool>,
    life: impl Future<Output = T>,
) -> Option<T> {
    let (mut life, mut death) = (pin!(life), pin!(sim.sleep_until(dies_at)));
    poll_fn(|context| {
        if let Poll::Ready(done) = life.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        if killed.is_some_and(|killed| killed.swap(false, Relaxed)) {
            return Poll::Ready(None);
        }
        death.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// Runs the futures at the same time and returns all their results.
pub(crate) async fn all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (future, done) in &mut running {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *done = Some(value),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}

/// The clock of a process, which is ahead of or behind the true time by as much as its machine's clock is.
pub(crate) struct SkewedClock {
    pub(crate) sim: Sim,
    /// In microseconds.
    pub(crate) ahead: i64,
}

impl Clock for SkewedClock {
    fn now(&self) -> OffsetDateTime {
        let now = self.sim.with(|world| world.now).saturating_add_signed(self.ahead);
        moment(now / MILLISECOND * MILLISECOND)
    }
}
