//! The sessions of keys, which are kept in the keys, and those of digests, which are kept in the instance. `request`
//! asks for them.

use std::sync::{Arc, Mutex, PoisonError};

use accel_core::{Cipher, Digest, Key, Result};
use arc_swap::ArcSwap;
use qat_sys as sys;
use zeroize::Zeroizing;

use super::{hmac_name, not_offered, unsupported};
use crate::device::inflight::{Api, Hash, Ring, Session, SessionError, SymmetricSetup};
use crate::device::instances::Instance;
use crate::software;

/// The number of different lengths of associated data for which a key keeps sessions, on each instance and in each
/// direction. The length is part of a session; programs use one or two.
const AAD_LENS: usize = 4;

/// The purpose of a key's sessions.
#[derive(Clone, Copy)]
enum Purpose {
    Cipher(Cipher),
    Hmac(Digest),
}

/// The properties of a session beside its key and purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) is_decrypting: bool,
    pub(super) aad_len: u32,
    pub(super) api: Api,
}

/// The sessions of one key for one purpose, on all instances. They are kept in the key and dropped with it; those of an
/// ended start of libqat are replaced.
pub(super) struct Sessions {
    purpose: Purpose,
    known: ArcSwap<Vec<(Use, Arc<Session>)>>,
    adding: Mutex<()>,
}

impl Sessions {
    fn new(purpose: Purpose) -> Self {
        Self { purpose, known: ArcSwap::default(), adding: Mutex::default() }
    }

    /// Returns the sessions of `key` for `cipher`.
    pub(super) fn of(key: &Key, cipher: Cipher) -> Result<&Self> {
        // A key has space for the data of both engines of this crate, so `None` means that others have used it up.
        key.prepared(cipher, |_| Ok(Self::new(Purpose::Cipher(cipher))))?.ok_or_else(|| not_offered(cipher))
    }

    /// Returns the sessions of `key` for HMAC with `digest`.
    pub(super) fn of_hmac(key: &Key, digest: Digest) -> Result<&Self> {
        key.prepared_hmac(digest, |_| Ok(Self::new(Purpose::Hmac(digest))))?
            .ok_or_else(|| unsupported(hmac_name(digest), "use the CPU"))
    }

    #[inline(always)]
    fn find(&self, ring: &Ring, how: Use) -> Option<Arc<Session>> {
        let known = self.known.load();
        known
            .iter()
            .find(|(known, session)| *known == how && session.is_of(ring))
            .map(|(_, session)| session.clone())
    }

    /// Returns the session on `ring`, creating it if there is none.
    #[inline(always)]
    pub(super) fn get(&self, ring: &Arc<Ring>, key: &Key, how: Use) -> Result<Arc<Session>, SessionError> {
        match self.find(ring, how) {
            Some(session) => Ok(session),
            None => self.add(ring, key, how),
        }
    }

    #[cold]
    fn add(&self, ring: &Arc<Ring>, key: &Key, how: Use) -> Result<Arc<Session>, SessionError> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = self.find(ring, how) {
            return Ok(session);
        }
        let session = Arc::new(make(ring, self.purpose, key, how)?);
        let mut known: Vec<_> = self.known.load().iter().filter(|(_, it)| !it.is_stale()).cloned().collect();
        let is_alike = |(known, session): &(Use, Arc<Session>)| {
            known.is_decrypting == how.is_decrypting && session.is_of(ring)
        };
        if known.iter().filter(|it| is_alike(it)).count() >= AAD_LENS
            && let Some(oldest) = known.iter().position(is_alike)
        {
            known.remove(oldest);
        }
        known.push((how, session.clone()));
        self.known.store(Arc::new(known));
        Ok(session)
    }
}

const UNSUPPORTED: SessionError = SessionError::Refused(crate::error::CpaStatus::UNSUPPORTED);

fn make(ring: &Arc<Ring>, purpose: Purpose, key: &Key, how: Use) -> Result<Session, SessionError> {
    match purpose {
        Purpose::Cipher(cipher) => ciphering(ring, cipher, key, how),
        Purpose::Hmac(digest) => {
            let key = short_key(key.encryption(), digest)?;
            let hash = hash(digest, sys::CPA_CY_SYM_HASH_MODE_AUTH, &key)?;
            ring.symmetric_session(how.api, &SymmetricSetup { hash: Some(hash), ..Default::default() })
        }
    }
}

fn ciphering(ring: &Arc<Ring>, cipher: Cipher, key: &Key, how: Use) -> Result<Session, SessionError> {
    let mac = key.mac().map(|mac| short_key(mac, Digest::Sha256)).transpose()?;
    let hash = |algorithm, key, aad_len| {
        let (mode, digest_len) = (sys::CPA_CY_SYM_HASH_MODE_AUTH, cipher.tag_len() as u32);
        Some(Hash { algorithm, mode, key, aad_len, digest_len, is_appended: cipher == Cipher::AesCcm })
    };
    let (algorithm, hash) = match cipher {
        Cipher::AesGcm => {
            (sys::CPA_CY_SYM_CIPHER_AES_GCM, hash(sys::CPA_CY_SYM_HASH_AES_GCM, &[][..], how.aad_len))
        }
        Cipher::ChaCha20Poly1305 => {
            (sys::CPA_CY_SYM_CIPHER_CHACHA, hash(sys::CPA_CY_SYM_HASH_POLY, &[][..], how.aad_len))
        }
        Cipher::AesCbcHmacSha256 => {
            let mac = mac.as_ref().map_or(&[][..], |mac| mac.as_slice());
            (sys::CPA_CY_SYM_CIPHER_AES_CBC, hash(sys::CPA_CY_SYM_HASH_SHA256, mac, 0))
        }
        Cipher::AesCbc => (sys::CPA_CY_SYM_CIPHER_AES_CBC, None),
        Cipher::AesCtr => (sys::CPA_CY_SYM_CIPHER_AES_CTR, None),
        Cipher::AesXts => (sys::CPA_CY_SYM_CIPHER_AES_XTS, None),
        Cipher::AesCcm => {
            let hash = hash(sys::CPA_CY_SYM_HASH_AES_CCM, key.encryption(), how.aad_len);
            (sys::CPA_CY_SYM_CIPHER_AES_CCM, hash)
        }
        _ => return Err(UNSUPPORTED),
    };
    let is_verifying = how.is_decrypting && hash.is_some();
    let cipher = Some((algorithm, key.encryption()));
    let setup = SymmetricSetup { cipher, hash, is_decrypting: how.is_decrypting, is_verifying };
    ring.symmetric_session(how.api, &setup)
}

/// Returns the key that HMAC uses. libqat does not accept keys that are longer than a block of the digest, so these are
/// hashed first.
fn short_key(key: &[u8], digest: Digest) -> Result<Zeroizing<Vec<u8>>, SessionError> {
    software::hmac::short_key(key, digest).map_err(|_| UNSUPPORTED)
}

/// Returns the setup of a hash without a cipher.
fn hash(digest: Digest, mode: sys::CpaCySymHashMode, key: &[u8]) -> Result<Hash<'_>, SessionError> {
    let algorithm = number_of(digest).ok_or(UNSUPPORTED)?;
    Ok(Hash { algorithm, mode, key, aad_len: 0, digest_len: digest.len() as u32, is_appended: false })
}

/// The number of sessions that an instance for symmetric work keeps: one for each digest. The sessions of keys are kept
/// in the keys.
pub(crate) const SESSIONS: usize = Digest::ALL.len();

fn number_of(digest: Digest) -> Option<sys::CpaCySymHashAlgorithm> {
    Some(match digest {
        Digest::Sha224 => sys::CPA_CY_SYM_HASH_SHA224,
        Digest::Sha256 => sys::CPA_CY_SYM_HASH_SHA256,
        Digest::Sha384 => sys::CPA_CY_SYM_HASH_SHA384,
        Digest::Sha512 => sys::CPA_CY_SYM_HASH_SHA512,
        Digest::Sha3_256 => sys::CPA_CY_SYM_HASH_SHA3_256,
        Digest::Sha3_384 => sys::CPA_CY_SYM_HASH_SHA3_384,
        Digest::Sha3_512 => sys::CPA_CY_SYM_HASH_SHA3_512,
        _ => return None,
    })
}

/// Returns the session of `instance` for `digest`, which the first request creates.
pub(super) fn of_digest(instance: &Instance, digest: Digest) -> Result<&Arc<Session>, SessionError> {
    instance.sessions.get(digest as usize, || {
        let hash = hash(digest, sys::CPA_CY_SYM_HASH_MODE_PLAIN, &[])?;
        instance
            .ring
            .symmetric_session(Api::DataPlane, &SymmetricSetup { hash: Some(hash), ..Default::default() })
    })
}
