//! Decides whether a waiting thread keeps polling, or sleeps between polls. `block_on` and the helper thread use it;
//! nothing here polls or sleeps.

use std::cell::Cell;
use std::time::Duration;

/// The number of polls without a response before a waiting thread reads the clock: some tens of microseconds, about the
/// time that a device takes for a small request.
pub(super) const SPINS: u32 = 400;
/// The number of polls between later readings of the clock.
pub(super) const MORE_SPINS: u32 = 50;
/// Up to this wait, a thread polls without sleeping. The kernel's timers have a slack of 50 µs, so a short sleep takes
/// twice its time.
const NEAR: Duration = Duration::from_micros(250);
/// Longer waits count as this long.
const LONG: Duration = Duration::from_millis(1);
/// With more requests in flight than this, the device stays busy while the thread sleeps.
const FEW: u32 = 32;
/// The shortest and the longest sleep between polls. In between, the sleep is a sixteenth of the time waited, so that a
/// response is taken little later than it arrives, and a slow device causes few polls.
const NAPS: (Duration, Duration) = (Duration::from_micros(50), LONG);

/// A moving average of the length of a thread's recent waits.
pub(super) struct Pace {
    /// The average in nanoseconds, at most [`LONG`].
    typical: Cell<u32>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { typical: Cell::new(0) }
    }

    /// Records a wait that was longer than the first polls.
    pub(super) fn observe(&self, waited: Duration) {
        let (typical, waited) = (self.typical.get(), waited.min(LONG).as_nanos() as u32);
        self.typical.set(typical - typical / 4 + waited / 4);
    }

    /// Records that other threads wait, too, and need the processors.
    pub(super) fn crowded(&self) {
        self.typical.set(LONG.as_nanos() as u32);
    }

    /// Returns whether the next response of `in_flight` requests, after this wait, is likely to arrive before a short
    /// sleep would end.
    pub(super) fn is_near(&self, waited: Duration, in_flight: u32) -> bool {
        in_flight <= FEW && waited < NEAR && self.typical.get() < NEAR.as_nanos() as u32
    }
}

/// Returns the time to sleep until the next poll of a thread that has `waited`.
pub(super) fn nap(waited: Duration) -> Duration {
    (waited / 16).clamp(NAPS.0, NAPS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(120);

    #[test]
    fn follows_the_waits() {
        let pace = Pace::new();
        assert!(pace.is_near(Duration::ZERO, 1), "no wait was recorded yet");
        for _ in 0..3 {
            pace.observe(Duration::from_secs(3));
        }
        assert!(!pace.is_near(Duration::ZERO, 1));
        for _ in 0..12 {
            pace.observe(SHORT);
        }
        assert!(pace.is_near(Duration::ZERO, 1));
        pace.observe(Duration::from_micros(500));
        assert!(pace.is_near(Duration::ZERO, 1), "one longer wait does not change the decision");
    }

    #[test]
    fn polling_without_sleeping_ends() {
        let pace = Pace::new();
        pace.observe(SHORT);
        assert!(pace.is_near(SHORT, FEW));
        assert!(!pace.is_near(SHORT, FEW + 1), "the device has enough requests");
        assert!(!pace.is_near(NEAR, 1), "the thread has waited long enough");
        assert_eq!(nap(Duration::ZERO), NAPS.0);
        assert_eq!(nap(Duration::from_millis(8)), Duration::from_micros(500));
        assert_eq!(nap(Duration::from_secs(8)), NAPS.1);
    }
}
