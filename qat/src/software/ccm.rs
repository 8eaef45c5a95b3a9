//! AES-CCM on the CPU: RustCrypto's, which aws-lc does not offer to Rust.

use accel_core::Key;
use aes::{Aes128, Aes192, Aes256};
use ccm::aead::inout::InOutBuf;
use ccm::consts::{U12, U16};
use ccm::{AeadInOut, Ccm as Generic, Error, KeyInit};

/// An expanded key, with the lengths of RFC 5116, section 5.3.
pub(super) enum Ccm {
    Aes128(Generic<Aes128, U16, U12>),
    Aes192(Generic<Aes192, U16, U12>),
    Aes256(Generic<Aes256, U16, U12>),
}

/// The same code for each length of the key.
macro_rules! each {
    ($ccm:expr, $cipher:ident => $code:expr) => {
        match $ccm {
            Self::Aes128($cipher) => $code,
            Self::Aes192($cipher) => $code,
            Self::Aes256($cipher) => $code,
        }
    };
}

impl Ccm {
    /// `None` for a key of another length than 16, 24 or 32 bytes.
    pub(super) fn new(key: &Key) -> Option<Self> {
        let bytes = key.encryption();
        match bytes.len() {
            16 => KeyInit::new_from_slice(bytes).ok().map(Self::Aes128),
            24 => KeyInit::new_from_slice(bytes).ok().map(Self::Aes192),
            _ => KeyInit::new_from_slice(bytes).ok().map(Self::Aes256),
        }
    }

    /// Encrypts `text` to `output`, which is as long; the tag.
    pub(super) fn seal(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        text: &[u8],
        output: &mut [u8],
    ) -> Result<[u8; 16], Error> {
        let text = InOutBuf::new(text, output).map_err(|_| Error)?;
        let tag = each!(self, ccm => ccm.encrypt_inout_detached(&nonce.into(), aad, text))?;
        Ok(tag.0)
    }

    /// Decrypts `text` to `output`, which is as long and holds nothing to use after an error.
    pub(super) fn open(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        text: &[u8],
        tag: [u8; 16],
        output: &mut [u8],
    ) -> Result<(), Error> {
        let text = InOutBuf::new(text, output).map_err(|_| Error)?;
        each!(self, ccm => ccm.decrypt_inout_detached(&nonce.into(), aad, text, &tag.into()))
    }
}
