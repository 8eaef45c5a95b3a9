//! The operations that [`HardwareAccelerator::process`](crate::HardwareAccelerator::process) takes by name.

use std::borrow::Cow;

use crate::{Checksum, CompressOptions, DecompressOptions, Digest};

/// Names an operation for [`HardwareAccelerator::process`](crate::HardwareAccelerator::process).
///
/// # Examples
/// ```
/// use accel_core::{CompressOptions, Format, Operation};
/// assert_eq!(Operation::Compress(CompressOptions::new(Format::Gzip)).name(), "compress");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Compress the input.
    Compress(CompressOptions),
    /// Decompress the input.
    Decompress(DecompressOptions),
    /// Encrypt the input. `process` has no key and refuses it: call
    /// [`EncryptionAccelerator::encrypt`](crate::EncryptionAccelerator::encrypt).
    Encrypt,
    /// Decrypt the input. `process` has no key and refuses it: call
    /// [`EncryptionAccelerator::decrypt`](crate::EncryptionAccelerator::decrypt).
    Decrypt,
    /// Compute a checksum of the input; the output is its value in big-endian order.
    Checksum(Checksum),
    /// Compute a digest of the input; the output is the digest.
    Digest(Digest),
    /// Compute an HMAC of the input. `process` has no key and refuses it: call
    /// [`EncryptionAccelerator::hmac`](crate::EncryptionAccelerator::hmac).
    Hmac(Digest),
    /// Do something that this list does not name, for accelerators that know more.
    Named(Cow<'static, str>),
}

impl Operation {
    /// Returns the operation's name as it appears in errors.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Compress(_) => "compress",
            Self::Decompress(_) => "decompress",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Checksum(_) => "checksum",
            Self::Digest(_) => "digest",
            Self::Hmac(_) => "HMAC",
            Self::Named(name) => name,
        }
    }
}
