//! The current state of a started libqat, shared by all accelerators that use it. Only the thread that owns libqat
//! changes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::device::instances::Started;
use crate::error::Unavailability;

/// The instances of the running libqat, or why there are none at present.
pub(crate) type StartResult = Result<Arc<Started>, Arc<Unavailability>>;

/// The state of libqat, which a recovery changes, and the observers of its changes.
pub(crate) struct DriverState {
    state: Mutex<StartResult>,
    observers: Mutex<Vec<Weak<dyn StateObserver>>>,
}

/// An observer of state changes.
pub(crate) trait StateObserver: Send + Sync {
    /// Reports that the state has changed. The thread that owns libqat makes the call, and supervises nothing until it
    /// returns.
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

    /// Registers `observer`, which is notified of all later changes as long as it exists.
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
