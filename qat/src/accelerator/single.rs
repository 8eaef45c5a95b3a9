//! Jobs that are a single request on the device, which blocking calls and futures run without the futures that longer ones
//! need.

use accel_core::{AcceleratorTypes, Outcome, Result};

use crate::device::inflight::CompletedRequest;
use crate::device::instances::CallContext;
use crate::device::{compression, encryption};

/// A single request that was submitted, and how its answer becomes the output of its job.
pub(super) trait SingleRequest: Send + 'static {
    /// What the accelerator has to work on for it.
    const TYPES: AcceleratorTypes;

    /// Writes what the request came to to the front of `output`. `None` when the job has to be done again by other requests.
    fn finish(
        self,
        call: CallContext<'_>,
        completed: CompletedRequest,
        instance: u16,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<Option<Outcome>>;
}

impl SingleRequest for compression::Single {
    const TYPES: AcceleratorTypes = AcceleratorTypes::COMPRESSION;

    #[inline(always)]
    fn finish(
        self,
        call: CallContext<'_>,
        completed: CompletedRequest,
        instance: u16,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<Option<Outcome>> {
        Self::finish(&self, call, &completed, instance, input, output)
    }
}

impl SingleRequest for encryption::Sealing {
    const TYPES: AcceleratorTypes = AcceleratorTypes::ENCRYPTION;

    #[inline(always)]
    fn finish(
        self,
        call: CallContext<'_>,
        completed: CompletedRequest,
        instance: u16,
        _: &[u8],
        output: &mut [u8],
    ) -> Result<Option<Outcome>> {
        Self::finish(self, call, completed, instance, output).map(Some)
    }
}

impl SingleRequest for encryption::Opening {
    const TYPES: AcceleratorTypes = AcceleratorTypes::ENCRYPTION;

    #[inline(always)]
    fn finish(
        self,
        call: CallContext<'_>,
        completed: CompletedRequest,
        instance: u16,
        _: &[u8],
        output: &mut [u8],
    ) -> Result<Option<Outcome>> {
        Self::finish(self, call, &completed, instance, output).map(Some)
    }
}
