//! The monotonic clock. The modules `device`, `routing` and `accelerator` measure with it; it never reports the time of
//! day.

/// Returns the nanoseconds since a moment that is the same for the whole process.
#[doc(alias = "clock_gettime")]
#[inline]
pub(crate) fn now() -> u64 {
    #[cfg(unix)]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: clock_gettime(2): the call writes one `timespec` to `time`, which is ours. Every Unix system has this
        // clock, so the call does not fail.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
    #[cfg(not(unix))]
    {
        static EPOCH: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        EPOCH.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
    }
}
