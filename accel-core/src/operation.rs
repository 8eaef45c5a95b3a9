//! Operations that can be asked of any accelerator through one call.

use std::borrow::Cow;

use crate::{Checksum, CompressOptions, DecompressOptions, Digest};

/// An operation for [`HardwareAccelerator::process`](crate::HardwareAccelerator::process).
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
    /// A checksum of the input; the output is its value, big-endian.
    Checksum(Checksum),
    /// A digest of the input; the output is the digest.
    Digest(Digest),
    /// An HMAC of the input. `process` has no key and refuses it: call
    /// [`EncryptionAccelerator::hmac`](crate::EncryptionAccelerator::hmac).
    Hmac(Digest),
    /// An operation by name, for accelerators that know more than this list.
    Named(Cow<'static, str>),
}

impl Operation {
    /// The operation's name as it appears in errors.
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
