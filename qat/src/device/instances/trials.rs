//! The results of trials: each cipher, digest and HMAC is tried once for each start. `device::encryption::trial` runs
//! the trials; this module only stores their results.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use accel_core::{Cipher, Digest};

use crate::report::EncryptionCapabilities;

const KEY_LENS: usize = 3;

/// The results of the trials of one start.
#[derive(Default)]
pub(crate) struct Trials {
    pub(in crate::device) ciphers: [[Verdict; KEY_LENS]; Cipher::ALL.len()],
    pub(in crate::device) digests: [Verdict; Digest::ALL.len()],
    pub(in crate::device) hmacs: [Verdict; Digest::ALL.len()],
    failures: AtomicU32,
}

/// The result of one trial; 0 before it.
#[derive(Default)]
pub(in crate::device) struct Verdict(pub(in crate::device) AtomicU8);

/// The trial succeeded.
pub(in crate::device) const GOOD: u8 = 1;
/// The trial succeeded, except for empty messages.
pub(in crate::device) const NOT_EMPTY: u8 = 2;
/// The trial failed.
pub(in crate::device) const BAD: u8 = 3;

impl Trials {
    /// Returns the number of failed trials. When it has increased, [`offered`](Self::offered) returns less than before.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    /// Clears the capabilities that failed their trial. A cipher is offered as long as one of its key lengths has not
    /// failed.
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

    /// Stores the result of a trial, and logs a failure.
    pub(in crate::device) fn settle(&self, verdict: &Verdict, found: u8, what: &dyn std::fmt::Display) {
        verdict.0.store(found, Relaxed);
        if found == BAD {
            self.failures.fetch_add(1, Relaxed);
            tracing::warn!(%what, "the device computes this wrongly, so the device is not used for it");
        }
    }
}

/// Returns the index of the result for a key of `key_len` bytes among the results for `cipher`.
pub(in crate::device) fn key_len_index(cipher: Cipher, key_len: usize) -> usize {
    cipher.key_lens().iter().position(|len| *len == key_len).unwrap_or_default()
}
