//! Symmetric encryption, digests and HMACs on the device.
//!
//! A message is copied into device memory, worked on in place and copied out: one copy each way. What is authenticated
//! goes as one request, and a unit of AES-XTS; AES-CTR, and the decryption of AES-CBC, in pieces side by side; the
//! encryption of AES-CBC in pieces one after the other.

mod digest;
mod layout;
mod open;
mod request;
mod seal;
mod session;
mod single;
mod trial;

pub(crate) use digest::{digest, hmac};
pub(crate) use open::decrypt;
pub(crate) use seal::encrypt;
pub(crate) use session::SESSIONS;
pub(crate) use single::{Opening, Sealing};

use accel_core::{Cipher, Digest, Error};

/// Longest associated data that libqat takes of a cipher for which it wants them apart from the text (`cpa_cy_sym.h`).
const fn max_aad(cipher: Cipher) -> Option<usize> {
    match cipher {
        Cipher::AesGcm | Cipher::ChaCha20Poly1305 => Some(240),
        // There, a block and a length stand before them.
        Cipher::AesCcm => Some(240 - layout::CCM_AAD_AT),
        _ => None,
    }
}

fn unsupported(operation: String, remedy: &'static str) -> Error {
    Error::Unsupported {
        accelerator: crate::error::HARDWARE,
        operation: operation.into(),
        remedy: remedy.into(),
    }
}

fn hmac_name(digest: Digest) -> String {
    format!("HMAC by {digest:?}")
}

fn not_offered(cipher: Cipher) -> Error {
    unsupported(cipher.to_string(), "choose a cipher that the device offers (`qat info`), or the CPU")
}
