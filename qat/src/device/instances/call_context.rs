//! The data that the requests of one operation share. The module `accelerator` creates it, and `device::compression`
//! and `device::encryption` use it.

use accel_core::{Error, Recorder};

use super::{RequestError, Started, WhenFull};
use crate::device::inflight::{Abandoned, CompletedRequest, PendingRequest};
use crate::device::polling;

/// The context of one operation of a caller, which may take many requests.
#[derive(Clone, Copy)]
pub(crate) struct CallContext<'a> {
    pub(crate) started: &'a Started,
    pub(crate) recorder: &'a Recorder,
    pub(crate) when_full: WhenFull,
}

impl CallContext<'_> {
    /// Waits on this thread for a request that is in flight on `instance`.
    #[inline(always)]
    pub(crate) fn wait(&self, pending: PendingRequest, instance: u16) -> Result<CompletedRequest, Error> {
        self.completed(polling::block_on_begun(&self.started.rings, Some(instance.into()), pending), instance)
    }

    /// Converts the end of a request on `instance`. An abandoned request suspends the instance.
    #[inline(always)]
    pub(crate) fn completed(
        &self,
        completed: Result<CompletedRequest, Abandoned>,
        instance: u16,
    ) -> Result<CompletedRequest, Error> {
        completed.map_err(|reason| self.error(self.started.record_abandoned(reason, instance)))
    }

    /// Converts a failure to the error that the caller sees.
    pub(crate) fn error(&self, error: RequestError) -> Error {
        self.started.error(error)
    }
}
