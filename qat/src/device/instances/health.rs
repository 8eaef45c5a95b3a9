//! Whether an instance can be trusted with the next request.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use once_cell::sync::Lazy;

/// Failures in a row after which an instance rests.
const TOLERATED: u32 = 3;
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Failures in a row after which nothing but a new start helps: some tries after rests were among them.
const HOPELESS: u32 = TOLERATED + 3;

static EPOCH: Lazy<Instant> = Lazy::new(Instant::now);

/// Failures of an instance, and until when it is left alone for them.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// In a row.
    failures: AtomicU32,
    /// Milliseconds since the epoch; 0 while it does not rest.
    resting_until: AtomicU64,
    errors: AtomicU64,
    retries: AtomicU64,
    rests: AtomicU64,
}

/// How grave a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// One request failed.
    Request,
    /// Nothing came in time, or what came was wrong.
    Trust,
}

impl Health {
    /// Nothing failed since the last success.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.load(Relaxed) == 0
    }

    /// Not at rest.
    pub(crate) fn may_be_used(&self) -> bool {
        let until = self.resting_until.load(Relaxed);
        until == 0 || now() >= until
    }

    /// Takes leave to use it: after a rest one request tries, and the others stay away until that one was answered or
    /// has taken as long as the rest.
    pub(crate) fn begin_use(&self) -> bool {
        let until = self.resting_until.load(Relaxed);
        if until == 0 {
            return true;
        }
        let now = now();
        let next = now + rest_after(self.failures.load(Relaxed)).as_millis() as u64;
        now >= until && self.resting_until.compare_exchange(until, next, Relaxed, Relaxed).is_ok()
    }

    /// Only a new start can help.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.failures.load(Relaxed) >= HOPELESS
    }

    /// A request was answered as it should.
    pub(crate) fn succeeded(&self) {
        if !self.is_good() {
            self.failures.store(0, Relaxed);
            self.resting_until.store(0, Relaxed);
        }
    }

    /// A request failed by the device's fault.
    pub(crate) fn failed(&self, failure: Failure) {
        self.errors.fetch_add(1, Relaxed);
        let failures = self.failures.fetch_add(1, Relaxed) + 1;
        if failures >= TOLERATED || failure == Failure::Trust {
            let rest = rest_after(failures);
            let was_resting =
                self.resting_until.swap(now() + rest.as_millis() as u64, Relaxed).saturating_sub(now()) > 0;
            if !was_resting {
                self.rests.fetch_add(1, Relaxed);
                tracing::warn!(failures, ?rest, "an instance rests");
            }
        }
    }

    /// There was no room for a request.
    pub(crate) fn was_full(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Requests that failed by the device's fault, ever.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Requests for which there was no room at first, ever.
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Rests, ever.
    pub(crate) fn rests(&self) -> u64 {
        self.rests.load(Relaxed)
    }
}

/// Doubles with each failure beyond what is tolerated.
fn rest_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(TOLERATED).min(16);
    FIRST_REST.saturating_mul(1 << doublings).min(LONGEST_REST)
}

fn now() -> u64 {
    EPOCH.elapsed().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_rests_after_failures_in_a_row() {
        let health = Health::default();
        for _ in 1..TOLERATED {
            health.failed(Failure::Request);
            assert!(health.may_be_used() && health.begin_use() && !health.is_good());
        }
        health.failed(Failure::Request);
        assert!(!health.may_be_used() && !health.begin_use());
        assert_eq!((health.errors(), health.rests()), (3, 1));
        health.succeeded();
        assert!(health.may_be_used() && health.begin_use() && health.is_good());
    }

    #[test]
    fn after_a_rest_one_request_tries() {
        let health = Health::default();
        health.failed(Failure::Trust);
        assert!(!health.may_be_used());
        Lazy::force(&EPOCH);
        health.resting_until.store(1, Relaxed);
        while now() < 1 {
            std::thread::yield_now();
        }
        assert!(health.may_be_used() && health.begin_use());
        assert!(!health.begin_use() && !health.may_be_used());
    }

    #[test]
    fn rests_double_to_a_bound() {
        let rests: Vec<_> =
            (TOLERATED..TOLERATED + 3).map(|failures| rest_after(failures).as_millis()).collect();
        assert_eq!(rests, [100, 200, 400]);
        assert_eq!((rest_after(1).as_millis(), rest_after(u32::MAX).as_secs()), (100, 30));
    }

    #[test]
    fn only_failures_in_a_row_are_hopeless() {
        let health = Health::default();
        (1..HOPELESS).for_each(|_| health.failed(Failure::Request));
        assert!(!health.is_hopeless());
        health.succeeded();
        (1..HOPELESS).for_each(|_| health.failed(Failure::Trust));
        assert!(!health.is_hopeless());
        health.failed(Failure::Request);
        assert!(health.is_hopeless());
    }
}
