//! Keeps one slow receiver of callbacks from holding up all others: a process posts only a few callbacks to a host at a
//! time, and leaves a host that did not answer alone for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;

/// The most callbacks that are on their way to one host at a time.
const MOST_AT_ONCE: usize = 2;

/// How long a host that did not answer is left alone.
const REST_AFTER_SILENCE: Duration = Duration::from_secs(30);

/// How many hosts are remembered at most.
const MOST_HOSTS: usize = 1_000;

/// The hosts that a process posts callbacks to, and the state of each.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Arc<Mutex<HashMap<String, Host>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Host {
    posting: usize,
    resting_until: Option<OffsetDateTime>,
}

impl Host {
    fn is_resting(self, now: OffsetDateTime) -> bool {
        self.resting_until.is_some_and(|until| until > now)
    }
}

/// The right to post to a host, which ends when this is dropped.
#[derive(Debug)]
pub struct Visit {
    hosts: Hosts,
    host: String,
}

impl Hosts {
    /// Takes the right to post to a host. `None` if enough callbacks are on their way there, or if it is being left
    /// alone.
    #[must_use]
    pub fn visit(&self, host: &str, now: OffsetDateTime) -> Option<Visit> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MOST_HOSTS {
            hosts.retain(|_, host| host.posting > 0 || host.is_resting(now));
        }
        let known = hosts.entry(host.to_owned()).or_default();
        if known.posting >= MOST_AT_ONCE || known.is_resting(now) {
            return None;
        }
        known.posting += 1;
        Some(Visit { hosts: self.clone(), host: host.to_owned() })
    }

    fn change(&self, host: &str, change: impl FnOnce(&mut Host)) {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(host) {
            change(known);
        }
    }
}

impl Visit {
    /// Notes whether the host answered; one that did not is left alone for a while.
    pub fn note(&self, answered: bool, now: OffsetDateTime) {
        self.hosts
            .change(&self.host, |host| host.resting_until = (!answered).then(|| now + REST_AFTER_SILENCE));
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.hosts.change(&self.host, |host| host.posting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn only_a_few_callbacks_are_on_their_way_to_one_host() {
        let hosts = Hosts::default();
        let visits: Vec<_> = (0..MOST_AT_ONCE).map(|_| hosts.visit("a", NOW).expect("free")).collect();
        assert!(hosts.visit("a", NOW).is_none());
        assert!(hosts.visit("b", NOW).is_some(), "another host is another matter");
        drop(visits);
        assert!(hosts.visit("a", NOW).is_some());
    }

    #[test]
    fn a_host_that_does_not_answer_is_left_alone_for_a_while() {
        let hosts = Hosts::default();
        hosts.visit("a", NOW).expect("free").note(false, NOW);
        assert!(hosts.visit("a", NOW + REST_AFTER_SILENCE - Duration::from_secs(1)).is_none());
        let visit = hosts.visit("a", NOW + REST_AFTER_SILENCE).expect("rested");
        visit.note(true, NOW + REST_AFTER_SILENCE);
        assert!(hosts.visit("a", NOW + REST_AFTER_SILENCE).is_some());
    }

    #[test]
    fn the_number_of_remembered_hosts_is_bounded() {
        let hosts = Hosts::default();
        for number in 0..10 * MOST_HOSTS {
            drop(hosts.visit(&number.to_string(), NOW));
        }
        assert!(hosts.0.lock().expect("not poisoned").len() <= MOST_HOSTS);
    }
}
