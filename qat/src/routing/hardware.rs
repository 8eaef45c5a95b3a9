//! What the policy needs of the hardware, and the QAT that gives it.

use std::fmt::Debug;

use accel_core::{
    AcceleratorTypes, BoxFuture, CipherOptions, Completion, CompressOptions, DecompressOptions, Digest,
    Encrypted, HardwareAccelerator, Key, Operation, Outcome, Result,
};

use crate::accelerator::QatAccelerator;
use crate::device::instances::WhenFull;

/// A device behind the policy. Futures own their buffers and hand both back, whatever comes of the call: the same
/// request can then go to the CPU. The output of the forms without `into` is what they made, no longer than that.
pub(crate) trait Hardware: Debug + Send + Sync {
    /// Whether all of `types` can be expected to work now. May block on the first call, and when a look is due.
    fn is_available_for(&self, types: AcceleratorTypes) -> bool;

    /// Whether hardware that was not there is looked for by the next question.
    fn is_look_due(&self) -> bool {
        false
    }

    /// Requests on it now, anybody's.
    fn in_flight(&self) -> u64;

    fn process(&self, operation: &Operation, input: &[u8], when_full: WhenFull)
    -> Result<(Vec<u8>, Outcome)>;

    fn compress(
        &self,
        input: &[u8],
        options: &CompressOptions,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)>;

    fn compress_into(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &CompressOptions,
        when_full: WhenFull,
    ) -> Result<Outcome>;

    fn decompress(
        &self,
        input: &[u8],
        options: &DecompressOptions,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)>;

    fn decompress_into(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &DecompressOptions,
        when_full: WhenFull,
    ) -> Result<Outcome>;

    fn encrypt(
        &self,
        key: &Key,
        plaintext: &[u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Encrypted)>;

    fn encrypt_into(
        &self,
        key: &Key,
        plaintext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<Encrypted>;

    fn decrypt(
        &self,
        key: &Key,
        ciphertext: &[u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)>;

    fn decrypt_into(
        &self,
        key: &Key,
        ciphertext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<Outcome>;

    fn compress_async(
        &self,
        input: Vec<u8>,
        options: CompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>>;

    fn compress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: CompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>>;

    fn decompress_async(
        &self,
        input: Vec<u8>,
        options: DecompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>>;

    fn decompress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: DecompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>>;

    fn encrypt_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Encrypted>>;

    fn encrypt_into_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Encrypted>>;

    fn decrypt_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>>;

    fn decrypt_into_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>>;

    fn hmac(
        &self,
        key: &Key,
        digest: Digest,
        input: &[u8],
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)>;

    fn hmac_async(
        &self,
        key: Key,
        digest: Digest,
        input: Vec<u8>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>>;
}

impl Hardware for QatAccelerator {
    fn is_available_for(&self, types: AcceleratorTypes) -> bool {
        Self::is_available_for(self, types)
    }

    fn is_look_due(&self) -> bool {
        Self::is_look_due(self)
    }

    fn in_flight(&self) -> u64 {
        Self::in_flight(self)
    }

    fn process(
        &self,
        operation: &Operation,
        input: &[u8],
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        match operation {
            Operation::Digest(digest) => self.digest_with(*digest, input, when_full),
            other => HardwareAccelerator::process(self, other, input),
        }
    }

    fn compress(
        &self,
        input: &[u8],
        options: &CompressOptions,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        self.compress_with(input, options, when_full)
    }

    fn compress_into(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &CompressOptions,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        self.compress_into_with(input, output, options, when_full)
    }

    fn decompress(
        &self,
        input: &[u8],
        options: &DecompressOptions,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        self.decompress_with(input, options, when_full)
    }

    fn decompress_into(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &DecompressOptions,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        self.decompress_into_with(input, output, options, when_full)
    }

    fn encrypt(
        &self,
        key: &Key,
        plaintext: &[u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Encrypted)> {
        self.encrypt_with(key, plaintext, options, when_full)
    }

    fn encrypt_into(
        &self,
        key: &Key,
        plaintext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<Encrypted> {
        self.encrypt_into_with(key, plaintext, output, options, when_full)
    }

    fn decrypt(
        &self,
        key: &Key,
        ciphertext: &[u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        self.decrypt_with(key, ciphertext, options, when_full)
    }

    fn decrypt_into(
        &self,
        key: &Key,
        ciphertext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        self.decrypt_into_with(key, ciphertext, output, options, when_full)
    }

    fn compress_async(
        &self,
        input: Vec<u8>,
        options: CompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.compress_anew(input, options, when_full)
    }

    fn compress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: CompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.compress_owned(input, output, options, when_full)
    }

    fn decompress_async(
        &self,
        input: Vec<u8>,
        options: DecompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.decompress_anew(input, options, when_full)
    }

    fn decompress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: DecompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.decompress_owned(input, output, options, when_full)
    }

    fn encrypt_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Encrypted>> {
        self.encrypt_anew(key, plaintext, options, when_full)
    }

    fn encrypt_into_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Encrypted>> {
        self.encrypt_owned(key, plaintext, output, options, when_full)
    }

    fn decrypt_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.decrypt_anew(key, ciphertext, options, when_full)
    }

    fn decrypt_into_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.decrypt_owned(key, ciphertext, output, options, when_full)
    }

    fn hmac(
        &self,
        key: &Key,
        digest: Digest,
        input: &[u8],
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        self.hmac_with(key, digest, input, when_full)
    }

    fn hmac_async(
        &self,
        key: Key,
        digest: Digest,
        input: Vec<u8>,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        self.hmac_owned(key, digest, input, when_full)
    }
}
