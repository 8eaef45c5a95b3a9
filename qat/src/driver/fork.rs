//! Telling a forked child from its parent without a system call.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Forks on the way from the first process of this program image to this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A process, as far as it can be told from its forked children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessMark(u32);

impl ProcessMark {
    /// This process. Forks from now on are noticed.
    pub(crate) fn of_this() -> Self {
        #[cfg(unix)]
        {
            static WATCH: std::sync::Once = std::sync::Once::new();
            extern "C" fn in_child() {
                FORKS.fetch_add(1, Relaxed);
            }
            WATCH.call_once(|| {
                // SAFETY: pthread_atfork(3): the function stays loaded as long as the program, and does nothing but
                // count, which it may between fork and exec.
                let status = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
                if status != 0 {
                    tracing::warn!(status, "forks go unnoticed");
                }
            });
        }
        Self(FORKS.load(Relaxed))
    }

    /// Whether it is the calling one.
    pub(crate) fn is_this(self) -> bool {
        self.0 == FORKS.load(Relaxed)
    }
}
