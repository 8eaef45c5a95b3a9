//! The errors of every accelerator.

use std::borrow::Cow;
use std::sync::Arc;

use crate::{Cipher, Format};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not succeed. Cheap to clone, so that concurrent waiters can share one answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The accelerator cannot be used on this machine, in this process, or now.
    #[error("{accelerator} is not available: {reason}")]
    Unavailable {
        /// The accelerator's name.
        accelerator: &'static str,
        /// Why; downcast to the accelerator's own type for details.
        #[source]
        reason: Arc<dyn std::error::Error + Send + Sync>,
    },

    /// The accelerator is there, and this is not among the things it does.
    #[error("{accelerator} does not do {operation}: {remedy}")]
    Unsupported {
        /// The accelerator's name.
        accelerator: &'static str,
        /// What was asked.
        operation: Cow<'static, str>,
        /// What to do instead.
        remedy: Cow<'static, str>,
    },

    /// The caller passed something that cannot be meant.
    #[error("invalid {argument}: {remedy}")]
    InvalidArgument {
        /// Which argument.
        argument: &'static str,
        /// What it should be.
        remedy: Cow<'static, str>,
    },

    /// The caller's output buffer cannot hold the result.
    #[error("output buffer of {available} bytes is too small{}", match required { Some(n) => format!(": {n} bytes are needed"), None => ": try a larger one".to_owned() })]
    OutputTooSmall {
        /// Room that would have been enough, where it is known.
        required: Option<usize>,
        /// Room there was.
        available: usize,
    },

    /// Decompressed output would exceed the limit that the caller set.
    #[error("output exceeds the limit of {limit} bytes: raise the limit if the input is trusted")]
    LimitExceeded {
        /// The limit in bytes.
        limit: u64,
    },

    /// The input is not what its format demands.
    #[error("corrupt {format} data: {detail}")]
    Corrupt {
        /// The format it was read as.
        format: Format,
        /// What is wrong with it.
        detail: Cow<'static, str>,
    },

    /// The input ends before its format says it does.
    #[error("truncated {format} data: the input ends before the stream does")]
    Truncated {
        /// The format it was read as.
        format: Format,
    },

    /// The input goes on after its format says it ended.
    #[error("{format} data ends after {consumed} bytes and something else follows")]
    TrailingData {
        /// The format it was read as.
        format: Format,
        /// Bytes up to the end of the stream.
        consumed: u64,
    },

    /// A tag, or the padding of a mode without one, did not verify. No plaintext was returned.
    #[error("{cipher} decryption failed: wrong key, IV or associated data, or altered ciphertext")]
    Authentication {
        /// The cipher in use.
        cipher: Cipher,
    },

    /// The device, its driver or its library reported a failure.
    #[error("{accelerator} device error: {reason}")]
    Device {
        /// The accelerator's name.
        accelerator: &'static str,
        /// What was reported; downcast to the accelerator's own type for details.
        #[source]
        reason: Arc<dyn std::error::Error + Send + Sync>,
    },

    /// The device has no room for another request now; the same call may succeed a moment later.
    #[error("{accelerator} has no room for another request now: try again in a moment, or use the CPU")]
    Busy {
        /// The accelerator's name.
        accelerator: &'static str,
    },

    /// An engine failed in a way that neither caller nor input can explain.
    #[error("internal failure of {engine}: {detail}; please report it")]
    Internal {
        /// The engine.
        engine: &'static str,
        /// What it said.
        detail: Cow<'static, str>,
    },
}

impl Error {
    /// Whether the device, and not the request, is to blame, so that the same request may succeed on the CPU.
    #[must_use]
    pub const fn is_device_fault(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Device { .. } | Self::Busy { .. })
    }
}
