//! What the policy needs of the hardware, and the QAT that gives it.

use std::fmt::Debug;

use accel_core::{
    AcceleratorTypes, BoxFuture, Completion, Job, Outcome, Output, OwnedJob, OwnedOutput, Result,
};

use crate::accelerator::QatAccelerator;
use crate::device::instances::WhenFull;

/// A device behind the policy: an accelerator whose caller decides what happens when it is full, and that answers two
/// questions besides.
pub(crate) trait Hardware: Debug + Send + Sync {
    /// Returns whether all of `types` can be expected to work now. May block on the first call, and when a look is due.
    fn is_available_for(&self, types: AcceleratorTypes) -> bool;

    /// Returns whether hardware that was not there is looked for by the next question.
    fn is_look_due(&self) -> bool {
        false
    }

    /// Returns the number of requests on it now, anybody's.
    fn in_flight(&self) -> u64;

    /// Does what [`execute`](accel_core::HardwareAccelerator::execute) does. `output` may hold something after a failure.
    fn execute(
        &self,
        job: Job<'_>,
        input: &[u8],
        output: &mut Output<'_>,
        when_full: WhenFull,
    ) -> Result<Outcome>;

    /// Does what [`submit`](accel_core::HardwareAccelerator::submit) does. Both buffers come back whatever comes of the
    /// call, so that the same job can then go to the CPU.
    fn submit(
        &self,
        job: OwnedJob,
        input: Vec<u8>,
        output: OwnedOutput,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>>;
}

impl Hardware for QatAccelerator {
    fn is_available_for(&self, types: AcceleratorTypes) -> bool {
        Self::is_available_for(self, types)
    }

    fn is_look_due(&self) -> bool {
        Self::is_look_due(self)
    }

    fn in_flight(&self) -> u64 {
        Self::in_flight(self)
    }

    fn execute(
        &self,
        job: Job<'_>,
        input: &[u8],
        output: &mut Output<'_>,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        self.execute_when(job, input, output, when_full)
    }

    fn submit(
        &self,
        job: OwnedJob,
        input: Vec<u8>,
        output: OwnedOutput,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.submit_when(job, input, output, when_full)
    }
}
