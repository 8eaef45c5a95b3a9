//! Detects that this process is a forked child of the process that created a value, without a system call.
//!
//! The modules `device` and `accelerator` use it to leave the parent's hardware alone. It never frees a value: in a
//! child, the parent's locks may be held by threads that do not exist there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arc_swap::ArcSwapOption;

/// The number of forks between the first process of this program image and this process.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Identifies a process among its forked children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessMark(u32);

impl ProcessMark {
    /// Returns the mark of this process. Forks are detected from the first call on.
    pub(crate) fn of_this() -> Self {
        #[cfg(unix)]
        {
            static WATCH: std::sync::Once = std::sync::Once::new();
            extern "C" fn in_child() {
                FORKS.fetch_add(1, Relaxed);
            }
            WATCH.call_once(|| {
                // SAFETY: pthread_atfork(3): the function stays loaded as long as the program, and only increments an
                // atomic counter, which is async-signal-safe.
                let status = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
                if status != 0 {
                    tracing::warn!(status, "pthread_atfork failed; forked processes will not be detected");
                }
            });
        }
        Self(FORKS.load(Relaxed))
    }

    /// Returns whether the mark belongs to the calling process.
    pub(crate) fn is_this(self) -> bool {
        self.0 == FORKS.load(Relaxed)
    }
}

/// A value of which each process has its own. A forked child recognises its parent's value by the mark and creates
/// another one, because locks in the old one may be held by threads that do not exist in the child. Values are never
/// freed.
pub(crate) struct PerProcess<T: 'static>(ArcSwapOption<&'static Owned<T>>);

struct Owned<T> {
    process: ProcessMark,
    value: T,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(ArcSwapOption::const_empty())
    }

    /// Returns this process's value, which `make` creates on the first call.
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
        // Only one of two threads that create the value at the same time stores it; the other's value is leaked,
        // unused.
        let before = self.0.compare_and_swap(&seen, Some(Arc::new(fresh)));
        own(&before).unwrap_or(&fresh.value)
    }
}
