//! Calls in the statistics.

use std::borrow::Borrow;
use std::time::Duration;

use accel_core::{Outcome, Result};

use super::QatAccelerator;
use crate::raw::clock;

/// A call under way, of an accelerator borrowed or owned. A call that is dropped before its end counts as abandoned.
pub(super) struct Counted<A: Borrow<QatAccelerator>> {
    accelerator: A,
    started: u64,
    is_over: bool,
}

impl<A: Borrow<QatAccelerator>> Counted<A> {
    #[inline(always)]
    pub(super) fn begin(accelerator: A) -> Self {
        accelerator.borrow().0.recorder.begin();
        Self { accelerator, started: clock::now(), is_over: false }
    }

    #[inline(always)]
    pub(super) fn accelerator(&self) -> &QatAccelerator {
        self.accelerator.borrow()
    }

    /// Counts what it came to, and passes that on.
    #[inline(always)]
    pub(super) fn end(mut self, result: Result<Outcome>) -> Result<Outcome> {
        self.is_over = true;
        let took = Duration::from_nanos(clock::now().saturating_sub(self.started));
        self.accelerator().0.recorder.end(took, result.as_ref().ok());
        result
    }

    /// Counts a call that failed before it reached the hardware.
    pub(super) fn fail(mut self) {
        self.is_over = true;
        self.accelerator().0.recorder.end(Duration::ZERO, None);
    }
}

impl<A: Borrow<QatAccelerator>> Drop for Counted<A> {
    fn drop(&mut self) {
        if !self.is_over {
            self.accelerator().0.recorder.abandon();
        }
    }
}
