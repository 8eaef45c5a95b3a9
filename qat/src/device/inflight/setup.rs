//! The setup of a symmetric session, with keys as slices. `device::encryption` describes a session with it; the
//! pointers that libqat needs are created here only.

use std::ptr;
use std::sync::Arc;

use qat_sys as sys;

use super::ring::{Ring, SessionError};
use super::session::{Api, Session};

/// The setup of a symmetric session.
#[derive(Default)]
pub(crate) struct SymmetricSetup<'a> {
    /// The algorithm, as numbered by `cpa_cy_sym.h`, and the key; `None` for a digest or HMAC.
    pub(crate) cipher: Option<(sys::CpaCySymCipherAlgorithm, &'a [u8])>,
    /// The digest, HMAC or MAC; `None` for a cipher without authentication.
    pub(crate) hash: Option<Hash<'a>>,
    /// Whether the session decrypts. It then hashes before it decrypts.
    pub(crate) is_decrypting: bool,
    /// Whether the device compares the digest instead of writing it.
    pub(crate) is_verifying: bool,
}

/// The hash part of a session's setup.
pub(crate) struct Hash<'a> {
    pub(crate) algorithm: sys::CpaCySymHashAlgorithm,
    pub(crate) mode: sys::CpaCySymHashMode,
    /// The key of an HMAC or of AES-CCM; empty otherwise.
    pub(crate) key: &'a [u8],
    pub(crate) aad_len: u32,
    pub(crate) digest_len: u32,
    /// Whether the digest follows the data instead of being among the parameters.
    pub(crate) is_appended: bool,
}

impl Ring {
    /// Creates a session for symmetric operations. libqat copies the keys.
    ///
    /// # Errors
    /// The status of libqat, `RESTARTING` when the ring is closed, or the lack of device memory.
    pub(crate) fn symmetric_session(
        self: &Arc<Self>,
        api: Api,
        setup: &SymmetricSetup<'_>,
    ) -> Result<Session, SessionError> {
        let mut raw = sys::CpaCySymSessionSetupData {
            sessionPriority: sys::CPA_CY_PRIORITY_NORMAL,
            symOperation: match (&setup.cipher, &setup.hash) {
                (Some(_), Some(_)) => sys::CPA_CY_SYM_OP_ALGORITHM_CHAINING,
                (Some(_), None) => sys::CPA_CY_SYM_OP_CIPHER,
                (None, _) => sys::CPA_CY_SYM_OP_HASH,
            },
            algChainOrder: if setup.is_decrypting {
                sys::CPA_CY_SYM_ALG_CHAIN_ORDER_HASH_THEN_CIPHER
            } else {
                sys::CPA_CY_SYM_ALG_CHAIN_ORDER_CIPHER_THEN_HASH
            },
            verifyDigest: setup.is_verifying.into(),
            partialsNotRequired: sys::CPA_TRUE,
            ..Default::default()
        };
        if let Some((algorithm, key)) = setup.cipher {
            raw.cipherSetupData = sys::CpaCySymCipherSetupData {
                cipherAlgorithm: algorithm,
                cipherKeyLenInBytes: key.len() as u32,
                pCipherKey: key.as_ptr().cast_mut(),
                cipherDirection: if setup.is_decrypting {
                    sys::CPA_CY_SYM_CIPHER_DIRECTION_DECRYPT
                } else {
                    sys::CPA_CY_SYM_CIPHER_DIRECTION_ENCRYPT
                },
            };
        }
        if let Some(hash) = &setup.hash {
            raw.hashSetupData.hashAlgorithm = hash.algorithm;
            raw.hashSetupData.hashMode = hash.mode;
            raw.hashSetupData.digestResultLenInBytes = hash.digest_len;
            raw.digestIsAppended = hash.is_appended.into();
            raw.hashSetupData.authModeSetupData = sys::CpaCySymHashAuthModeSetupData {
                authKey: if hash.key.is_empty() { ptr::null_mut() } else { hash.key.as_ptr().cast_mut() },
                authKeyLenInBytes: hash.key.len() as u32,
                aadLenInBytes: hash.aad_len,
            };
        }
        // SAFETY: `symmetric_session_raw`: both keys are slices that outlive the call, and the setup states their
        // lengths.
        unsafe { self.symmetric_session_raw(api, &raw) }
    }
}
