//! What the requests of one call have in common.

use accel_core::{Error, Recorder};

use super::{Fault, Patience, Pool};

/// One call of a caller's, which may take many requests.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) recorder: &'a Recorder,
    pub(crate) patience: Patience,
}

impl Call<'_> {
    /// The caller's error for a fault.
    pub(crate) fn error(&self, fault: Fault) -> Error {
        self.pool.error(fault)
    }
}
