//! The trials of the device: each cipher, digest and HMAC is tried once for each start, and its result is compared with
//! the CPU's. The operations of `device::encryption` ask for the result; `device::instances::trials` stores it.

use std::sync::atomic::Ordering::Relaxed;

use accel_core::{Cipher, CipherOptions, Digest, Error, Iv, Key, Output, Result};

use super::{digest, hmac_name, not_offered, open, seal, unsupported};
use crate::device::instances::CallContext;
use crate::device::instances::trials::{BAD, GOOD, NOT_EMPTY, key_len_index};
use crate::error::CpaStatus;
use crate::error::DeviceError;
use crate::software;

/// Returns whether the cipher's trial has succeeded already.
#[inline(always)]
pub(super) fn is_good_already(call: CallContext<'_>, cipher: Cipher, key: &Key) -> bool {
    let verdicts = &call.started.trials.ciphers[cipher as usize];
    verdicts[key_len_index(cipher, key.encryption().len())].0.load(Relaxed) == GOOD
}

/// Returns `Ok` for a cipher that the device offers and whose trial succeeded. The first call runs the trial.
///
/// # Errors
/// `Unsupported` for other ciphers, and the error of the trial when the device could not run it.
pub(super) async fn admit(call: CallContext<'_>, cipher: Cipher, key: &Key, is_empty: bool) -> Result<()> {
    if !call.started.services.capabilities.encryption.offers(cipher) {
        return Err(not_offered(cipher));
    }
    let nothing = || unsupported(format!("{cipher} of an empty message"), "use the CPU for it");
    // libqat rejects it, and prints a line for each attempt.
    if is_empty && cipher == Cipher::ChaCha20Poly1305 {
        return Err(nothing());
    }
    let trials = &call.started.trials;
    let key_len = key.encryption().len();
    let verdict = &trials.ciphers[cipher as usize][key_len_index(cipher, key_len)];
    let mut found = verdict.0.load(Relaxed);
    if found == 0 {
        // The future is boxed, because otherwise the future of each operation would be as large as it.
        let attempt = |len| Box::pin(attempt(call, cipher, key_len, len));
        found = match attempt(40).await? {
            false => BAD,
            true if takes_nothing(cipher) && !attempt(0).await? => NOT_EMPTY,
            true => GOOD,
        };
        trials.settle(verdict, found, &format_args!("{cipher} with a key of {key_len} bytes"));
    }
    match found {
        BAD => Err(not_offered(cipher)),
        NOT_EMPTY if is_empty => Err(nothing()),
        _ => Ok(()),
    }
}

/// Returns whether libqat accepts empty messages for the cipher.
const fn takes_nothing(cipher: Cipher) -> bool {
    matches!(cipher, Cipher::AesGcm | Cipher::AesCcm)
}

/// Encrypts and decrypts one message, and decrypts one whose tag was altered. Returns whether all results are right.
///
/// # Errors
/// The device cannot process requests now, which says nothing about the cipher.
async fn attempt(call: CallContext<'_>, cipher: Cipher, key_len: usize, len: usize) -> Result<bool> {
    let bytes: [u8; 64] = std::array::from_fn(|i| i as u8);
    let key = match cipher {
        Cipher::AesCbcHmacSha256 => Key::with_mac(&bytes[..key_len], &bytes[32..]),
        _ => Key::new(&bytes[..key_len]),
    };
    // The counter overflows during the message.
    let iv = Iv::new(&[0xff; 16][..cipher.iv_len()])?;
    let aad = if cipher.tag_len() > 0 { &bytes[..13] } else { &[] };
    let (plain, what) = (&bytes[..len], (cipher, &iv, aad));
    let mut expected = vec![0; cipher.ciphertext_len(len)];
    software::cipher::encrypt(&key, plain, &mut expected, &CipherOptions::new(cipher).iv(iv).aad(aad))?;

    let mut sealed = vec![0; expected.len()];
    if !is_good(seal::seal(call, &key, plain, &mut sealed, what).await)? || sealed != expected {
        return Ok(false);
    }
    let (body, tag) = sealed.split_at(sealed.len() - cipher.tag_len());
    let mut opened = vec![0; body.len()];
    if !is_good(open::open(call, &key, [body, tag], &mut opened, what).await)? || opened[..len] != *plain {
        return Ok(false);
    }
    if tag.is_empty() {
        return Ok(true);
    }
    let mut other = tag.to_vec();
    other[0] ^= 1;
    let refused = open::open(call, &key, [body, &other], &mut opened, what).await;
    Ok(matches!(refused, Err(Error::Authentication { .. })))
}

/// Returns whether the operation succeeded, or the error when it says nothing about the operation.
fn is_good<T>(result: Result<T>) -> Result<bool> {
    let error = match result {
        Ok(_) => return Ok(true),
        Err(error) => error,
    };
    let is_refusal = match &error {
        Error::Device { reason, .. } => match reason.downcast_ref::<DeviceError>() {
            Some(DeviceError::Refused { status } | DeviceError::Failed { status, .. }) => {
                matches!(*status, CpaStatus::UNSUPPORTED | CpaStatus::INVALID_PARAM)
            }
            _ => false,
        },
        Error::Authentication { .. } => true,
        _ => false,
    };
    if is_refusal { Ok(false) } else { Err(error) }
}

/// Returns `Ok` for a digest, or with `is_hmac` for HMAC with it, that the device offers and whose trial succeeded. The
/// first call runs the trial.
///
/// # Errors
/// `Unsupported` otherwise, and the error of the trial when the device could not run it.
pub(super) async fn admit_hash(call: CallContext<'_>, digest: Digest, is_hmac: bool) -> Result<()> {
    let name = || if is_hmac { hmac_name(digest) } else { format!("{digest:?}") };
    let refused = || unsupported(name(), "use the CPU");
    let capabilities = &call.started.services.capabilities.encryption;
    if !if is_hmac { capabilities.offers_hmac(digest) } else { capabilities.offers_digest(digest) } {
        return Err(refused());
    }
    let trials = &call.started.trials;
    let verdict = &if is_hmac { &trials.hmacs } else { &trials.digests }[digest as usize];
    if verdict.0.load(Relaxed) == 0 {
        let mut is_good_so_far = true;
        for input in [&b"abc"[..], b""] {
            let key = is_hmac.then(|| Key::new(b"a key for a trial"));
            let expected = match &key {
                Some(key) => software::hmac::hmac(key, digest, input, <[u8]>::to_vec)?,
                None => software::digest(digest, input)?,
            };
            let mut got = Output::growing();
            let tried = digest::hash(call, digest, key.as_ref(), input, &mut got).await;
            is_good_so_far &= is_good(tried)? && got.filled() == expected;
        }
        trials.settle(verdict, if is_good_so_far { GOOD } else { BAD }, &name());
    }
    if verdict.0.load(Relaxed) == BAD { Err(refused()) } else { Ok(()) }
}
