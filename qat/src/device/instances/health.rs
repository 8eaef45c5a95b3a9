//! The health of an instance: it is suspended after failures, and retried later. The choice of an instance asks it, and
//! those who decode responses update it; nothing here stops an instance.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use once_cell::sync::Lazy;

/// The number of consecutive failures after which an instance is suspended.
const TOLERATED: u32 = 3;
const SHORTEST_SUSPENSION: Duration = Duration::from_millis(100);
const LONGEST_SUSPENSION: Duration = Duration::from_secs(30);
/// The number of consecutive failures after which libqat has to be restarted. Some of them followed a suspension, so
/// waiting does not help.
const RESTART_NEEDED: u32 = TOLERATED + 3;

static EPOCH: Lazy<Instant> = Lazy::new(Instant::now);

/// The failures of an instance, and the end of its suspension.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// The number of consecutive failures.
    failures: AtomicU32,
    /// The end of the suspension in milliseconds since `EPOCH`; 0 when the instance is not suspended.
    suspended_until: AtomicU64,
    errors: AtomicU64,
    retries: AtomicU64,
    suspensions: AtomicU64,
}

/// How severe a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// One request failed; the instance is suspended after several in a row.
    Request,
    /// No response came in time, or the response was wrong; the instance is suspended at once.
    Trust,
}

impl Health {
    /// Returns whether no request has failed since the last success.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.load(Relaxed) == 0
    }

    /// Returns whether the instance is not suspended.
    pub(crate) fn may_be_used(&self) -> bool {
        let until = self.suspended_until.load(Relaxed);
        until == 0 || now() >= until
    }

    /// Returns whether the caller may use the instance. After a suspension, one request is allowed as a trial, and the
    /// suspension is extended for others until the trial completes or the extension ends.
    pub(crate) fn begin_use(&self) -> bool {
        let until = self.suspended_until.load(Relaxed);
        if until == 0 {
            return true;
        }
        let now = now();
        let next = now + suspension_after(self.failures.load(Relaxed)).as_millis() as u64;
        now >= until && self.suspended_until.compare_exchange(until, next, Relaxed, Relaxed).is_ok()
    }

    /// Returns whether only a restart of libqat can help.
    pub(crate) fn needs_restart(&self) -> bool {
        self.failures.load(Relaxed) >= RESTART_NEEDED
    }

    /// Records a correct response, which ends the suspension.
    pub(crate) fn succeeded(&self) {
        if !self.is_good() {
            self.failures.store(0, Relaxed);
            self.suspended_until.store(0, Relaxed);
        }
    }

    /// Records a request that failed because of the device.
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

    /// Records a request that found the instance full.
    pub(crate) fn was_full(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Returns the number of requests that failed because of the device.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Returns the number of times that a request found the instance full.
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Returns the number of suspensions.
    pub(crate) fn suspensions(&self) -> u64 {
        self.suspensions.load(Relaxed)
    }
}

/// Returns the length of a suspension, which doubles with each failure beyond the tolerated ones.
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
    fn an_instance_is_suspended_after_consecutive_failures() {
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
    fn after_a_suspension_one_request_is_a_trial() {
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
    fn suspensions_double_to_a_bound() {
        let suspensions: Vec<_> =
            (TOLERATED..TOLERATED + 3).map(|failures| suspension_after(failures).as_millis()).collect();
        assert_eq!(suspensions, [100, 200, 400]);
        assert_eq!((suspension_after(1).as_millis(), suspension_after(u32::MAX).as_secs()), (100, 30));
    }

    #[test]
    fn only_consecutive_failures_need_a_restart() {
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
