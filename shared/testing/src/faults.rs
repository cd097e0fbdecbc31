//! Making one call of a whole run fail.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use jobs::error::PortError;

/// Counts the calls of every port that shares it, and fails one of them. The failing call may have had its effect or
/// not: both happen with real services.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Plan>);

#[derive(Debug)]
struct Plan {
    calls: AtomicUsize,
    failing: AtomicUsize,
    effect: AtomicUsize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { calls: 0.into(), failing: usize::MAX.into(), effect: 0.into() }
    }
}

/// When a failing call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before it had any effect.
    Before,
    /// After it had its effect, but before the caller learnt of it.
    After,
}

impl Faults {
    /// From now on, lets `calls` calls pass and fails the next one.
    pub fn fail_after(&self, calls: usize, moment: Moment) {
        self.0.calls.store(0, Ordering::SeqCst);
        self.0.failing.store(calls, Ordering::SeqCst);
        self.0.effect.store(usize::from(moment == Moment::After), Ordering::SeqCst);
    }

    /// Whether the planned failure has happened.
    #[must_use]
    pub fn happened(&self) -> bool {
        self.0.calls.load(Ordering::SeqCst) > self.0.failing.load(Ordering::SeqCst)
    }

    /// One call of a port: `effect` is what it does.
    ///
    /// # Errors
    /// The planned [`PortError`].
    pub fn call<T>(&self, operation: &'static str, effect: impl FnOnce() -> T) -> Result<T, PortError> {
        let fails = self.0.calls.fetch_add(1, Ordering::SeqCst) == self.0.failing.load(Ordering::SeqCst);
        if !fails {
            return Ok(effect());
        }
        if self.0.effect.load(Ordering::SeqCst) == 1 {
            effect();
        }
        Err(PortError { operation, retryable: true, cause: "a planned failure".into() })
    }
}
