//! The verdicts on what the device was tried with: each cipher, digest and HMAC once for each start. The module of
//! encryption makes the trials.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use accel_core::{Cipher, Digest};

use crate::report::EncryptionCapabilities;

const KEY_LENS: usize = 3;

/// What came of the trials of one start.
#[derive(Default)]
pub(crate) struct Trials {
    pub(in crate::device) ciphers: [[Verdict; KEY_LENS]; Cipher::ALL.len()],
    pub(in crate::device) digests: [Verdict; Digest::ALL.len()],
    pub(in crate::device) hmacs: [Verdict; Digest::ALL.len()],
    failures: AtomicU32,
}

#[derive(Default)]
pub(in crate::device) struct Verdict(pub(in crate::device) AtomicU8);

pub(in crate::device) const GOOD: u8 = 1;
/// Good, but for messages without text.
pub(in crate::device) const NOT_EMPTY: u8 = 2;
pub(in crate::device) const BAD: u8 = 3;

impl Trials {
    /// Trials that something failed. A larger number than before means that [`offered`](Self::offered) is less.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    /// Takes what failed away. A cipher is there as long as one of its key lengths may be good.
    pub(crate) fn offered(&self, mut of: EncryptionCapabilities) -> EncryptionCapabilities {
        for cipher in Cipher::ALL {
            let verdicts = &self.ciphers[cipher as usize];
            let tried = || verdicts[..cipher.key_lens().len()].iter().map(|verdict| verdict.0.load(Relaxed));
            if tried().any(|verdict| verdict == BAD)
                && !tried().any(|verdict| matches!(verdict, GOOD | NOT_EMPTY))
            {
                of.withdraw(cipher);
            }
        }
        for digest in Digest::ALL {
            if self.hmacs[digest as usize].0.load(Relaxed) == BAD {
                of.withdraw_hmac(digest);
            }
        }
        of
    }

    pub(in crate::device) fn settle(&self, verdict: &Verdict, found: u8, what: &dyn std::fmt::Display) {
        verdict.0.store(found, Relaxed);
        if found == BAD {
            self.failures.fetch_add(1, Relaxed);
            tracing::warn!(%what, "the device does not do this as it should, so it is not used for it");
        }
    }
}

/// Returns where the verdict on `cipher` with a key of `key_len` bytes stands among those on the cipher.
pub(in crate::device) fn key_len_index(cipher: Cipher, key_len: usize) -> usize {
    cipher.key_lens().iter().position(|len| *len == key_len).unwrap_or_default()
}
