//! Whether an instance can be trusted with the next request.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use once_cell::sync::Lazy;

/// Failures in a row after which an instance rests.
const TOLERATED: u32 = 3;
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(30);

static EPOCH: Lazy<Instant> = Lazy::new(Instant::now);

/// Failures of an instance, and until when it is left alone for them.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failures: AtomicU32,
    /// Milliseconds since the epoch.
    resting_until: AtomicU64,
}

impl Health {
    /// Nothing failed since the last success.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.load(Relaxed) == 0
    }

    /// Not at rest. After a rest one request tries; the next failure doubles the rest.
    pub(crate) fn may_be_used(&self) -> bool {
        self.failures.load(Relaxed) < TOLERATED || now() >= self.resting_until.load(Relaxed)
    }

    /// A request was answered as it should.
    pub(crate) fn succeeded(&self) {
        if !self.is_good() {
            self.failures.store(0, Relaxed);
        }
    }

    /// A request failed by the device's fault.
    pub(crate) fn failed(&self) {
        let failures = self.failures.fetch_add(1, Relaxed) + 1;
        if let Some(doublings) = failures.checked_sub(TOLERATED) {
            let rest = FIRST_REST.saturating_mul(1 << doublings.min(16)).min(LONGEST_REST);
            self.resting_until.store(now() + rest.as_millis() as u64, Relaxed);
            tracing::warn!(failures, ?rest, "an instance rests");
        }
    }
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
            health.failed();
            assert!(health.may_be_used() && !health.is_good());
        }
        health.failed();
        assert!(!health.may_be_used());
        health.resting_until.store(0, Relaxed);
        assert!(health.may_be_used() && !health.is_good());
        health.succeeded();
        assert!(health.may_be_used() && health.is_good());
    }
}
