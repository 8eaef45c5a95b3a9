//! Telling a forked child from its parent without a system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arc_swap::ArcSwapOption;

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

/// A value of which each process has its own. A forked child finds its parent's, sees by the mark that it is, and makes
/// another: locks in the old one may be held by threads that the child does not have. Values are never freed.
pub(crate) struct PerProcess<T: 'static>(ArcSwapOption<&'static Owned<T>>);

struct Owned<T> {
    process: ProcessMark,
    value: T,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(ArcSwapOption::const_empty())
    }

    /// Returns this process's value, which `make` makes on the first call.
    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> &'static T {
        let own = |held: &Option<Arc<&'static Owned<T>>>| {
            held.as_deref().copied().filter(|owned| owned.process.is_this()).map(|owned| &owned.value)
        };
        let seen = self.0.load();
        if let Some(value) = own(&seen) {
            return value;
        }
        let fresh: &'static Owned<T> =
            Box::leak(Box::new(Owned { process: ProcessMark::of_this(), value: make() }));
        // The value of whoever was first stays; a second one of the same moment is lost, unused.
        let before = self.0.compare_and_swap(&seen, Some(Arc::new(fresh)));
        own(&before).unwrap_or(&fresh.value)
    }
}
