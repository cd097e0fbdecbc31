//! A job's callback: where the end of the job is announced, and how far its delivery has got.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

use crate::secret::Secret;

/// How many tries a callback keeps in its history: more than it gets unless a client asks for redelivery.
const MOST_TRIES_KEPT: usize = 20;

/// The state of a callback's delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackState {
    /// The job has not ended, or the receiver has not yet accepted.
    Pending,
    /// The receiver answered 2xx.
    Delivered,
    /// Given up: every try failed, or the receiver answered 410.
    Failed,
}

/// One try of a callback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The HTTP status of the answer; `None` if there was no answer, or if the outcome could not be written.
    pub status: Option<u16>,
    /// How long it took, in milliseconds; `None` if the outcome could not be written.
    pub milliseconds: Option<u32>,
}

/// The number of a try among all tries of its callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryNumber(u32);

/// The outcome of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The state of the callback after it.
    pub state: CallbackState,
    /// The HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    /// How long that took, in milliseconds.
    pub milliseconds: u32,
    /// When the next try is due, if there is to be one.
    pub next_try_at: Option<OffsetDateTime>,
}

/// A receiver that is told when the job ends, and the state of that delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The address to POST to.
    pub url: Url,
    /// The key that signs callbacks, or a bearer token that is sent with them; never shown.
    pub token: Option<Secret>,
    /// Headers that the client asked to be sent with it, by their names in lower case; the values are never shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// The state of its delivery.
    pub state: CallbackState,
    /// How many tries were begun.
    pub attempts: u32,
    /// The HTTP status of the last try that got an answer.
    pub last_status: Option<u16>,
    /// When the next try is due; a message that comes earlier waits.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub next_try_at: Option<OffsetDateTime>,
    /// The last tries, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
    /// How many tries had been begun when a client last asked for redelivery; the waits between tries start again
    /// there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before: u32,
    /// When recovery sends its message again, unless that has had its effect before.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub wake_at: Option<OffsetDateTime>,
    /// A random id of the last try. Without it, two processes that begin a try at the same moment would write equal
    /// rows, and the store would take the second write for a repetition of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trying: Option<Uuid>,
    /// How often its message was sent again, or the callback put off, since the last try.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub announced: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Callback {
    /// A callback that has not been tried.
    #[must_use]
    pub fn new(url: Url, token: Option<Secret>) -> Self {
        Self {
            url,
            token,
            headers: BTreeMap::new(),
            state: CallbackState::Pending,
            attempts: 0,
            last_status: None,
            next_try_at: None,
            tries: Vec::new(),
            before: 0,
            wake_at: None,
            trying: None,
            announced: 0,
        }
    }

    /// How many tries were begun since a client last asked for redelivery.
    #[must_use]
    pub fn tried(&self) -> u32 {
        self.attempts.saturating_sub(self.before)
    }

    pub(crate) fn begin(
        &mut self,
        now: OffsetDateTime,
        next: OffsetDateTime,
        wake_at: OffsetDateTime,
    ) -> TryNumber {
        self.attempts = self.attempts.saturating_add(1);
        self.next_try_at = Some(next);
        self.wake_at = Some(wake_at);
        self.trying = Some(Uuid::new_v4());
        self.announced = 0;
        if self.tries.len() == MOST_TRIES_KEPT {
            self.tries.remove(0);
        }
        self.tries.push(Try { at: now, status: None, milliseconds: None });
        TryNumber(self.attempts)
    }

    pub(crate) fn end(&mut self, number: TryNumber, outcome: Outcome, patience: Duration) {
        // Tries are numbered from 1, and the newest is last in the list.
        let ago = usize::try_from(self.attempts.saturating_sub(number.0)).unwrap_or(usize::MAX);
        let index = self.tries.len().checked_sub(1).and_then(|last| last.checked_sub(ago));
        if let Some(noted) = index.and_then(|index| self.tries.get_mut(index)) {
            noted.status = outcome.status;
            noted.milliseconds = Some(outcome.milliseconds);
        }
        self.last_status = outcome.status.or(self.last_status);
        if number.0 <= self.before {
            // This try was begun before a client asked for redelivery, so it decides nothing any more.
            return;
        }
        let arrived_late = self.state == CallbackState::Failed && outcome.state == CallbackState::Delivered;
        if self.state != CallbackState::Pending && !arrived_late {
            return;
        }
        if outcome.state == CallbackState::Pending && ago > 0 {
            // A later try has begun, and that one decides when the next is due.
            return;
        }
        self.state = outcome.state;
        self.next_try_at = outcome.next_try_at;
        self.wake_at = outcome.next_try_at.map(|at| at + patience);
    }

    pub(crate) fn start_anew(&mut self, wake_at: OffsetDateTime) {
        self.state = CallbackState::Pending;
        self.before = self.attempts;
        self.next_try_at = None;
        self.wake_at = Some(wake_at);
        self.announced = 0;
    }
}
