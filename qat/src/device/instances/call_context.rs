//! What the requests of one call have in common.

use accel_core::{Error, Recorder};

use super::{Fault, Pool, WhenFull};
use crate::device::inflight::{Abandoned, CompletedRequest, PendingRequest};
use crate::device::polling;

/// One call of a caller's, which may take many requests.
#[derive(Clone, Copy)]
pub(crate) struct CallContext<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) recorder: &'a Recorder,
    pub(crate) when_full: WhenFull,
}

impl CallContext<'_> {
    /// Waits on this thread for a request in flight on `instance`.
    #[inline(always)]
    pub(crate) fn wait(&self, flight: PendingRequest, instance: u16) -> Result<CompletedRequest, Error> {
        self.landed(polling::block_on_begun(&self.pool.rings, Some(instance.into()), flight), instance)
    }

    /// What became of a request on `instance`.
    #[inline(always)]
    pub(crate) fn landed(
        &self,
        landed: Result<CompletedRequest, Abandoned>,
        instance: u16,
    ) -> Result<CompletedRequest, Error> {
        landed.map_err(|lost| self.error(self.pool.lost(lost, instance)))
    }

    /// The caller's error for a fault.
    pub(crate) fn error(&self, fault: Fault) -> Error {
        self.pool.error(fault)
    }
}
