//! Jobs that a single request on the device completes. Blocking calls and futures run them without the large futures that
//! jobs of several requests need.

use accel_core::{AcceleratorTypes, Job, Outcome, Result};

use crate::device::inflight::{CompletedRequest, PendingRequest};
use crate::device::instances::CallContext;
use crate::device::{compression, encryption};

/// A request that was submitted and is the whole of its job.
pub(super) trait SingleRequest: Sized + Send + 'static {
    /// The services that the device must offer for the request.
    const TYPES: AcceleratorTypes;

    /// Submits the request of a job whose output buffer has `available` bytes, and returns it with its instance. Returns
    /// `None` when one request is not enough, or when the device is full.
    fn begin(
        call: CallContext<'_>,
        job: Job<'_>,
        input: &[u8],
        available: usize,
    ) -> Result<Option<(Self, PendingRequest, u16)>>;

    /// Writes the result of the request to the front of `output`. Returns `None` when other requests have to do the whole
    /// job again.
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
    fn begin(
        call: CallContext<'_>,
        job: Job<'_>,
        input: &[u8],
        _: usize,
    ) -> Result<Option<(Self, PendingRequest, u16)>> {
        let Job::Compress(options) = job else { return Ok(None) };
        Self::begin(call, input, &options)
    }

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
    fn begin(
        call: CallContext<'_>,
        job: Job<'_>,
        input: &[u8],
        available: usize,
    ) -> Result<Option<(Self, PendingRequest, u16)>> {
        let Job::Encrypt(key, options) = job else { return Ok(None) };
        Self::begin(call, key, input, available, options)
    }

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
    fn begin(
        call: CallContext<'_>,
        job: Job<'_>,
        input: &[u8],
        available: usize,
    ) -> Result<Option<(Self, PendingRequest, u16)>> {
        let Job::Decrypt(key, options) = job else { return Ok(None) };
        Self::begin(call, key, input, available, options)
    }

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
