//! Decides when a failed start is retried. The accelerator asks it on each call while there is no hardware; nothing
//! here starts libqat.
//!
//! A daemon may be started before `qat.service` has set up the devices. Therefore later calls retry a failed start,
//! after pauses that double from [`SHORTEST`] to [`LONGEST`]. Between two retries the probe's fingerprint is compared
//! once per [`SHORTEST`]: when devices were added or removed and nothing has changed since, the next retry is
//! immediate, and the pauses begin again at [`SHORTEST`].
//!
//! No thread is needed: the call that finds a retry due makes it. Every other call takes one atomic load and reads the
//! clock. Everything but [`Retry::is_due`] is called with the driver's detection lock held.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The time between two checks for devices, and the pause after the first failure.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause between two retries while no device changes.
const LONGEST: Duration = Duration::from_secs(60);

const NEVER: u64 = u64::MAX;

/// The times of the next check and retry, in nanoseconds of the driver's clock.
pub(super) struct Retry {
    /// The time of the next check for devices, or `NEVER`.
    look_at: AtomicU64,
    /// The time of the next retry if no device changes before.
    try_at: AtomicU64,
    pause: AtomicU64,
    fingerprint: AtomicU64,
    /// 1 if the fingerprint has changed since the last retry, else 0.
    is_changed: AtomicU64,
}

impl Retry {
    pub(super) const fn new() -> Self {
        Self {
            look_at: AtomicU64::new(NEVER),
            try_at: AtomicU64::new(0),
            pause: AtomicU64::new(0),
            fingerprint: AtomicU64::new(0),
            is_changed: AtomicU64::new(0),
        }
    }

    /// Returns whether a check for devices is due. Reads the clock only after a failure.
    #[inline]
    pub(super) fn is_due(&self, now: impl FnOnce() -> u64) -> bool {
        let look_at = self.look_at.load(Relaxed);
        look_at != NEVER && now() >= look_at
    }

    /// Stops retrying, because the hardware is available or no longer wanted.
    pub(super) fn stop(&self) {
        self.look_at.store(NEVER, Relaxed);
    }

    /// Records that the first start failed at `now`, when the devices had this fingerprint.
    pub(super) fn start(&self, now: u64, fingerprint: u64) {
        self.fingerprint.store(fingerprint, Relaxed);
        self.wait(now, nanos(SHORTEST));
    }

    /// Returns whether to retry, after a check at `now` found this fingerprint. Schedules the next check.
    pub(super) fn is_to_try(&self, now: u64, fingerprint: u64) -> bool {
        let next = now.saturating_add(nanos(SHORTEST));
        if self.fingerprint.swap(fingerprint, Relaxed) != fingerprint {
            // Devices appear one after the other: a start between two of them would use only the first ones.
            self.is_changed.store(1, Relaxed);
            self.look_at.store(next, Relaxed);
            return false;
        }
        let try_at = self.try_at.load(Relaxed);
        self.look_at.store(next.min(try_at), Relaxed);
        self.is_changed.load(Relaxed) == 1 || now >= try_at
    }

    /// Records that the retry failed at `now`, and returns the pause until the next one.
    pub(super) fn failed(&self, now: u64) -> Duration {
        let pause = match self.is_changed.load(Relaxed) {
            1 => nanos(SHORTEST),
            _ => self.pause.load(Relaxed).saturating_mul(2).min(nanos(LONGEST)),
        };
        self.wait(now, pause);
        Duration::from_nanos(pause)
    }

    fn wait(&self, now: u64, pause: u64) {
        self.is_changed.store(0, Relaxed);
        self.pause.store(pause, Relaxed);
        self.try_at.store(now.saturating_add(pause), Relaxed);
        self.look_at.store(now.saturating_add(nanos(SHORTEST)), Relaxed);
    }
}

const fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Returns the seconds, of the first `until`, in which a retry is made, when each fails and a call asks ten times a
    /// second.
    fn tries(until: u64, fingerprint: impl Fn(u64) -> u64) -> Vec<u64> {
        let retry = Retry::new();
        retry.start(0, fingerprint(0));
        let mut tries = Vec::new();
        for now in (0..until * 10).map(|tenth| tenth * SECOND / 10) {
            if retry.is_due(|| now) && retry.is_to_try(now, fingerprint(now / SECOND)) {
                tries.push(now / SECOND);
                retry.failed(now);
            }
        }
        tries
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        assert_eq!(tries(250, |_| 7), [1, 3, 7, 15, 31, 63, 123, 183, 243]);
    }

    #[test]
    fn devices_that_came_are_tried_when_nothing_moves_any_more() {
        // The fingerprint changes in each of the seconds 100, 101 and 102: the retry is in 103, and the pauses begin
        // again.
        assert_eq!(
            tries(120, |second| second.clamp(99, 102)),
            [1, 3, 7, 15, 31, 63, 103, 104, 106, 110, 118]
        );
    }

    #[test]
    fn without_a_failure_the_clock_is_not_asked() {
        let retry = Retry::new();
        assert!(!retry.is_due(|| unreachable!("the clock costs something")));
        retry.start(0, 0);
        assert!(!retry.is_due(|| SECOND - 1) && retry.is_due(|| SECOND));
        retry.stop();
        assert!(!retry.is_due(|| unreachable!("the clock costs something")));
    }
}
