//! What a start has come to by now, for all who use it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::device::instances::Pool;
use crate::error::Unavailability;

/// A pool, or why there is none for the time being.
pub(crate) type StartResult = Result<Arc<Pool>, Arc<Unavailability>>;

/// The state of a start, which a recovery changes.
pub(crate) struct DriverState {
    state: Mutex<StartResult>,
    watchers: Mutex<Vec<Weak<dyn StateObserver>>>,
}

/// Somebody who wants to know.
pub(crate) trait StateObserver: Send + Sync {
    /// The state is another one. Called by the thread that owns libqat, which does nothing else meanwhile.
    fn changed(&self);
}

impl DriverState {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { state: Mutex::new(Ok(pool)), watchers: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, StartResult> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> StartResult {
        self.lock().clone()
    }

    /// Has `watcher` told of all later changes, as long as it exists.
    pub(crate) fn tell(&self, watcher: Weak<dyn StateObserver>) {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(watcher);
    }

    pub(super) fn set(&self, state: StartResult) {
        let before = std::mem::replace(&mut *self.lock(), state);
        drop(before);
        let watchers: Vec<_> = {
            let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
            watchers.retain(|watcher| watcher.strong_count() > 0);
            watchers.iter().filter_map(Weak::upgrade).collect()
        };
        watchers.iter().for_each(|watcher| watcher.changed());
    }
}
