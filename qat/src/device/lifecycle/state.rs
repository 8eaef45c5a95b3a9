//! What a start has come to by now, for all who use it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::device::instances::Started;
use crate::error::Unavailability;

/// A pool, or why there is none for the time being.
pub(crate) type StartResult = Result<Arc<Started>, Arc<Unavailability>>;

/// The state of a start, which a recovery changes.
pub(crate) struct DriverState {
    state: Mutex<StartResult>,
    observers: Mutex<Vec<Weak<dyn StateObserver>>>,
}

/// Somebody who wants to know.
pub(crate) trait StateObserver: Send + Sync {
    /// The state is another one. Called by the thread that owns libqat, which does nothing else meanwhile.
    fn changed(&self);
}

impl DriverState {
    pub(super) fn new(started: Arc<Started>) -> Self {
        Self { state: Mutex::new(Ok(started)), observers: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, StartResult> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> StartResult {
        self.lock().clone()
    }

    /// Has `observer` told of all later changes, as long as it exists.
    pub(crate) fn subscribe(&self, observer: Weak<dyn StateObserver>) {
        self.observers.lock().unwrap_or_else(PoisonError::into_inner).push(observer);
    }

    pub(super) fn set(&self, state: StartResult) {
        let before = std::mem::replace(&mut *self.lock(), state);
        drop(before);
        let observers: Vec<_> = {
            let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
            observers.retain(|observer| observer.strong_count() > 0);
            observers.iter().filter_map(Weak::upgrade).collect()
        };
        observers.iter().for_each(|observer| observer.changed());
    }
}
