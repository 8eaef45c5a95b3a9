//! Symmetric encryption, digests and HMACs on the device. The module `accelerator` calls it; only the trials compute on
//! the CPU, to compare.
//!
//! A message is copied into device memory, processed in place and copied out: one copy each way. Authenticated
//! encryption, digests, and a unit of AES-XTS take one request. AES-CTR and the decryption of AES-CBC take several
//! requests in parallel, and the encryption of AES-CBC takes several in sequence.

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

/// Returns the maximum length of associated data for a cipher to which libqat passes them separately from the text
/// (`cpa_cy_sym.h`); `None` for other ciphers.
const fn max_aad(cipher: Cipher) -> Option<usize> {
    match cipher {
        Cipher::AesGcm | Cipher::ChaCha20Poly1305 => Some(240),
        // For AES-CCM, a block and a length precede the associated data.
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
