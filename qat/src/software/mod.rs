//! The CPU engine: every operation, on every machine.
//!
//! | format | engine | named levels fast, balanced, best | integer levels |
//! |---|---|---|---|
//! | gzip, zlib, deflate | libdeflate; ISA-L for levels 1 and 2 where `libisal.so.2` is installed; zlib-rs for decompression | 1, 6, 9 | 0 to 12 |
//! | LZ4 frame and block | lz4 | 1, 1, 9 | 1 to 12 (high compression from 3) |
//! | Zstandard | zstd | 1, 3, 12 | 1 to 22 |
//!
//! AES, ChaCha20-Poly1305, HMAC, SHA-2 and SHA-3 are aws-lc's; AES-XTS and AES-CCM are on RustCrypto's AES. Contexts
//! are kept per thread, derived keys in the [`Key`], so that the `_into` calls allocate nothing in the steady state.

mod ccm;
pub(crate) mod cipher;
pub(crate) mod deflate;
mod engine;
mod hash;
pub(crate) mod hmac;
pub(crate) mod lz4;
pub(crate) mod output;
pub(crate) mod pool;
mod xts;
pub(crate) mod zstd;

use std::sync::Arc;

use accel_core::{
    AcceleratorTypes, BoxFuture, CipherOptions, Completion, CompressOptions, CompressionAccelerator,
    DecompressOptions, Digest, Encrypted, EncryptionAccelerator, HardwareAccelerator, Key, Operation,
    Outcome, Path, Recorder, Result, SoftwareReason, Statistics,
};

pub(crate) use engine::{
    authenticate, check_end, compress, compress_bound, compress_into, decompress, decompress_into, decrypt,
    decrypt_into, encrypt, encrypt_into, is_member_next, nothing_after, process, refused, size_hint,
    zlib_effort,
};
pub use hash::{checksum, digest};

use crate::raw::isal;

pub(crate) const NAME: &str = "software";

/// Returns the file of the optional engine that is loaded at run time, or why it is not used: ISA-L, which makes the
/// fast deflate levels about twice as fast. The file's name ends with the version of the library, such as
/// `libisal.so.2.0.30`; `None` where the system does not tell it.
///
/// # Errors
/// The reason, in the words of the system's loader, or what the library did wrong when it was tried or used.
pub fn isal() -> std::result::Result<Option<&'static std::path::Path>, &'static str> {
    isal::Isal::load().map(isal::Isal::path)
}

/// Compression and encryption on the CPU. Cheap to clone; clones count together.
///
/// # Examples
/// ```
/// use accel_core::{CompressOptions, CompressionAccelerator, DecompressOptions, Format};
///
/// let software = qat::SoftwareAccelerator::new();
/// let (packed, outcome) = software.compress(b"to be or not to be", &CompressOptions::new(Format::Gzip))?;
/// assert!(!outcome.path.is_hardware());
/// let (plain, _) = software.decompress(&packed, &DecompressOptions::new(Format::Gzip))?;
/// assert_eq!(plain, b"to be or not to be");
/// # Ok::<(), accel_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SoftwareAccelerator {
    recorder: Arc<Recorder>,
}

/// Where everything of this accelerator runs, and why.
const HERE: Path = Path::Software(SoftwareReason::Chosen);

impl SoftwareAccelerator {
    /// A new one, with counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Runs `work` between the recorder's start and finish.
pub(crate) fn recorded<T>(
    recorder: &Recorder,
    work: impl FnOnce() -> Result<T>,
    outcome: impl FnOnce(&T) -> &Outcome,
) -> Result<T> {
    let in_flight = recorder.start();
    let result = work();
    in_flight.finish(result.as_ref().map(outcome));
    result
}

impl HardwareAccelerator for SoftwareAccelerator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn types(&self) -> AcceleratorTypes {
        AcceleratorTypes::COMPRESSION | AcceleratorTypes::ENCRYPTION | AcceleratorTypes::HASHING
    }

    fn is_available(&self) -> bool {
        true
    }

    fn has_cpu_fallback(&self) -> bool {
        true
    }

    fn initialize(&self) -> Result<()> {
        Ok(())
    }

    fn process(&self, operation: &Operation, input: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        recorded(&self.recorder, || process(NAME, operation, input, HERE), |(_, outcome)| outcome)
    }

    fn statistics(&self) -> Statistics {
        self.recorder.statistics()
    }
}

impl CompressionAccelerator for SoftwareAccelerator {
    fn compress(&self, input: &[u8], options: &CompressOptions) -> Result<(Vec<u8>, Outcome)> {
        recorded(&self.recorder, || compress(input, options, HERE), |(_, outcome)| outcome)
    }

    fn compress_into(&self, input: &[u8], output: &mut [u8], options: &CompressOptions) -> Result<Outcome> {
        recorded(&self.recorder, || compress_into(input, output, options, HERE), |outcome| outcome)
    }

    fn compress_bound(&self, input_len: usize, options: &CompressOptions) -> usize {
        compress_bound(input_len, options)
    }

    fn decompress(&self, input: &[u8], options: &DecompressOptions) -> Result<(Vec<u8>, Outcome)> {
        recorded(&self.recorder, || decompress(input, options, HERE), |(_, outcome)| outcome)
    }

    fn decompress_into(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &DecompressOptions,
    ) -> Result<Outcome> {
        recorded(&self.recorder, || decompress_into(input, output, options, HERE), |outcome| outcome)
    }

    pool::compression_futures!();
}

impl EncryptionAccelerator for SoftwareAccelerator {
    fn encrypt(
        &self,
        key: &Key,
        plaintext: &[u8],
        options: &CipherOptions<'_>,
    ) -> Result<(Vec<u8>, Encrypted)> {
        recorded(&self.recorder, || encrypt(key, plaintext, options, HERE), |(_, done)| &done.outcome)
    }

    fn encrypt_into(
        &self,
        key: &Key,
        plaintext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Encrypted> {
        let work = || encrypt_into(key, plaintext, output, options, HERE);
        recorded(&self.recorder, work, |done| &done.outcome)
    }

    fn decrypt(
        &self,
        key: &Key,
        ciphertext: &[u8],
        options: &CipherOptions<'_>,
    ) -> Result<(Vec<u8>, Outcome)> {
        recorded(&self.recorder, || decrypt(key, ciphertext, options, HERE), |(_, outcome)| outcome)
    }

    fn decrypt_into(
        &self,
        key: &Key,
        ciphertext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Outcome> {
        let work = || decrypt_into(key, ciphertext, output, options, HERE);
        recorded(&self.recorder, work, |outcome| outcome)
    }

    fn hmac(&self, key: &Key, digest: Digest, input: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        recorded(&self.recorder, || authenticate(key, digest, input, HERE), |(_, outcome)| outcome)
    }

    pool::encryption_futures!();
}
