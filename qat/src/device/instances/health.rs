//! Whether an instance can be trusted with the next request.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use once_cell::sync::Lazy;

/// Failures in a row after which an instance rests.
const TOLERATED: u32 = 3;
const SHORTEST_SUSPENSION: Duration = Duration::from_millis(100);
const LONGEST_SUSPENSION: Duration = Duration::from_secs(30);
/// Failures in a row after which nothing but a new start helps: some tries after rests were among them.
const RESTART_NEEDED: u32 = TOLERATED + 3;

static EPOCH: Lazy<Instant> = Lazy::new(Instant::now);

/// Failures of an instance, and until when it is left alone for them.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// In a row.
    failures: AtomicU32,
    /// Milliseconds since the epoch; 0 while it does not rest.
    suspended_until: AtomicU64,
    errors: AtomicU64,
    retries: AtomicU64,
    suspensions: AtomicU64,
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
        let until = self.suspended_until.load(Relaxed);
        until == 0 || now() >= until
    }

    /// Takes leave to use it: after a rest one request tries, and the others stay away until that one was answered or
    /// has taken as long as the rest.
    pub(crate) fn begin_use(&self) -> bool {
        let until = self.suspended_until.load(Relaxed);
        if until == 0 {
            return true;
        }
        let now = now();
        let next = now + suspension_after(self.failures.load(Relaxed)).as_millis() as u64;
        now >= until && self.suspended_until.compare_exchange(until, next, Relaxed, Relaxed).is_ok()
    }

    /// Only a new start can help.
    pub(crate) fn needs_restart(&self) -> bool {
        self.failures.load(Relaxed) >= RESTART_NEEDED
    }

    /// A request was answered as it should.
    pub(crate) fn succeeded(&self) {
        if !self.is_good() {
            self.failures.store(0, Relaxed);
            self.suspended_until.store(0, Relaxed);
        }
    }

    /// A request failed by the device's fault.
    pub(crate) fn failed(&self, failure: Failure) {
        self.errors.fetch_add(1, Relaxed);
        let failures = self.failures.fetch_add(1, Relaxed) + 1;
        if failures >= TOLERATED || failure == Failure::Trust {
            let suspension = suspension_after(failures);
            let was_suspended = self
                .suspended_until
                .swap(now() + suspension.as_millis() as u64, Relaxed)
                .saturating_sub(now())
                > 0;
            if !was_suspended {
                self.suspensions.fetch_add(1, Relaxed);
                tracing::warn!(
                    failures,
                    ?suspension,
                    "an instance is suspended after failures of the device"
                );
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
    pub(crate) fn suspensions(&self) -> u64 {
        self.suspensions.load(Relaxed)
    }
}

/// Doubles with each failure beyond what is tolerated.
fn suspension_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(TOLERATED).min(16);
    SHORTEST_SUSPENSION.saturating_mul(1 << doublings).min(LONGEST_SUSPENSION)
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
        assert_eq!((health.errors(), health.suspensions()), (3, 1));
        health.succeeded();
        assert!(health.may_be_used() && health.begin_use() && health.is_good());
    }

    #[test]
    fn after_a_rest_one_request_tries() {
        let health = Health::default();
        health.failed(Failure::Trust);
        assert!(!health.may_be_used());
        Lazy::force(&EPOCH);
        health.suspended_until.store(1, Relaxed);
        while now() < 1 {
            std::thread::yield_now();
        }
        assert!(health.may_be_used() && health.begin_use());
        assert!(!health.begin_use() && !health.may_be_used());
    }

    #[test]
    fn rests_double_to_a_bound() {
        let suspensions: Vec<_> =
            (TOLERATED..TOLERATED + 3).map(|failures| suspension_after(failures).as_millis()).collect();
        assert_eq!(suspensions, [100, 200, 400]);
        assert_eq!((suspension_after(1).as_millis(), suspension_after(u32::MAX).as_secs()), (100, 30));
    }

    #[test]
    fn only_failures_in_a_row_are_hopeless() {
        let health = Health::default();
        (1..RESTART_NEEDED).for_each(|_| health.failed(Failure::Request));
        assert!(!health.needs_restart());
        health.succeeded();
        (1..RESTART_NEEDED).for_each(|_| health.failed(Failure::Trust));
        assert!(!health.needs_restart());
        health.failed(Failure::Request);
        assert!(health.needs_restart());
    }
}
