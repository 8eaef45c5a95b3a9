//! Whether a thread that waits goes on looking, or naps between looks.

use std::cell::Cell;
use std::time::Duration;

/// Polls without an answer before a waiting thread reads the clock: some tens of microseconds, about what a device takes
/// for a small request.
pub(super) const SPINS: u32 = 400;
/// Polls between later looks at the clock.
pub(super) const MORE_SPINS: u32 = 50;
/// Answers that come sooner are looked for without naps: one takes twice its time, for the kernel's timers have a slack
/// of 50 µs.
const NEAR: Duration = Duration::from_micros(250);
/// Beyond, waits are all the same: very long ones.
const LONG: Duration = Duration::from_millis(1);
/// More requests in flight than this keep the device busy while their thread naps.
const FEW: u32 = 32;
/// Shortest and longest nap; in between a sixteenth of the time waited, so that an answer comes little later than it
/// could, and a slow device costs few looks.
const NAPS: (Duration, Duration) = (Duration::from_micros(50), LONG);

/// How long a thread's waits have been of late.
pub(super) struct Pace {
    /// In nanoseconds, at most [`LONG`].
    typical: Cell<u32>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { typical: Cell::new(0) }
    }

    /// A wait is over that went beyond the first looks.
    pub(super) fn observe(&self, waited: Duration) {
        let (typical, waited) = (self.typical.get(), waited.min(LONG).as_nanos() as u32);
        self.typical.set(typical - typical / 4 + waited / 4);
    }

    /// Others wait, too, and need the processors.
    pub(super) fn crowded(&self) {
        self.typical.set(LONG.as_nanos() as u32);
    }

    /// Whether an answer that was `waited` for, one of `flying`, is likely to come before a nap would be over.
    pub(super) fn is_near(&self, waited: Duration, in_flight: u32) -> bool {
        in_flight <= FEW && waited < NEAR && self.typical.get() < NEAR.as_nanos() as u32
    }
}

/// Until the next look of a thread that has `waited`.
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
        assert!(pace.is_near(Duration::ZERO, 1), "nothing is known yet");
        for _ in 0..3 {
            pace.observe(Duration::from_secs(3));
        }
        assert!(!pace.is_near(Duration::ZERO, 1));
        for _ in 0..12 {
            pace.observe(SHORT);
        }
        assert!(pace.is_near(Duration::ZERO, 1));
        pace.observe(Duration::from_micros(500));
        assert!(pace.is_near(Duration::ZERO, 1), "one longer wait is no habit");
    }

    #[test]
    fn looking_has_an_end() {
        let pace = Pace::new();
        pace.observe(SHORT);
        assert!(pace.is_near(SHORT, FEW));
        assert!(!pace.is_near(SHORT, FEW + 1), "the device has enough to do");
        assert!(!pace.is_near(NEAR, 1), "it was waited for long enough");
        assert_eq!(nap(Duration::ZERO), NAPS.0);
        assert_eq!(nap(Duration::from_millis(8)), Duration::from_micros(500));
        assert_eq!(nap(Duration::from_secs(8)), NAPS.1);
    }
}
