//! Symmetric encryption and digests on the device.
//!
//! A message is copied into device memory, worked on in place and copied out: one copy each way. What is authenticated
//! goes as one request; AES-CTR, and the decryption of AES-CBC, in pieces side by side.

mod digest;
mod layout;
mod open;
mod request;
mod seal;
mod session;
mod trial;

pub(crate) use digest::digest;
pub(crate) use open::decrypt;
pub(crate) use seal::encrypt;
pub(crate) use session::Digests;
pub(crate) use trial::Trials;

use accel_core::{Cipher, Error};

/// Longest associated data of AES-GCM and ChaCha20-Poly1305 that libqat takes (`cpa_cy_sym.h`).
const MAX_AAD: usize = 240;

fn unsupported(operation: String, remedy: &'static str) -> Error {
    Error::Unsupported {
        accelerator: crate::accelerator::NAME,
        operation: operation.into(),
        remedy: remedy.into(),
    }
}

fn not_offered(cipher: Cipher) -> Error {
    unsupported(cipher.to_string(), "choose a cipher that the device offers (`qat info`), or the CPU")
}
