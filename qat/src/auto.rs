//! The choice between hardware and CPU, request by request.

use std::sync::Arc;

use accel_core::{
    AcceleratorTypes, BoxFuture, CipherOptions, Completion, CompressOptions, CompressionAccelerator,
    DecompressOptions, Encrypted, EncryptionAccelerator, Error, HardwareAccelerator, Key, Operation, Outcome,
    Path, Recorder, Result, SoftwareReason, Statistics,
};

use crate::QatAccelerator;
use crate::software::{self, pool, recorded};

const NAME: &str = "auto";

/// Inputs below this many bytes stay on the CPU under [`Policy::Auto`]: submitting, waiting and copying cost more than
/// the device saves on one of them.
const AUTO_THRESHOLD: usize = 4096;

/// Which requests go to the hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Policy {
    /// Those that gain from it, when the hardware is there and can do them; the CPU does the rest.
    #[default]
    Auto,
    /// All of them. What the hardware cannot do is an error.
    Always,
    /// None. The hardware is not even looked for.
    Never,
    /// Inputs of this many bytes or more, when the hardware is there and can do them; the CPU does the rest.
    Threshold(usize),
}

impl Policy {
    /// Why an input of `len` bytes stays on the CPU whatever the hardware can do.
    const fn software_reason(self, len: usize) -> Option<SoftwareReason> {
        match self {
            Self::Never => Some(SoftwareReason::Policy),
            Self::Auto if len < AUTO_THRESHOLD => Some(SoftwareReason::TooSmall),
            Self::Threshold(threshold) if len < threshold => Some(SoftwareReason::TooSmall),
            Self::Auto | Self::Always | Self::Threshold(_) => None,
        }
    }
}

/// Compression and encryption on hardware where that is possible and worth it, else on the CPU; each [`Outcome`] says
/// which, and why. Cheap to clone; clones count together.
///
/// # Examples
/// ```
/// use accel_core::{CompressOptions, CompressionAccelerator, Format};
/// use qat::{AutoAccelerator, Policy, QatAccelerator};
///
/// let auto = AutoAccelerator::new(QatAccelerator::default(), Policy::Auto);
/// let (packed, outcome) = auto.compress(&[7; 100_000], &CompressOptions::new(Format::Gzip))?;
/// println!("{} bytes, on {}", packed.len(), outcome.path);
/// # Ok::<(), accel_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct AutoAccelerator {
    qat: QatAccelerator,
    policy: Policy,
    recorder: Arc<Recorder>,
}

impl AutoAccelerator {
    /// Chooses between `qat` and the CPU by `policy`. Touches nothing.
    #[must_use]
    pub fn new(qat: QatAccelerator, policy: Policy) -> Self {
        Self { qat, policy, recorder: Arc::default() }
    }

    /// The hardware side.
    #[must_use]
    pub const fn qat(&self) -> &QatAccelerator {
        &self.qat
    }

    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Runs `attempt` where the policy says: with `None` on the hardware, with a reason on the CPU.
    fn run<T>(
        &self,
        types: AcceleratorTypes,
        len: usize,
        mut attempt: impl FnMut(Option<Path>) -> Result<T>,
        outcome: impl FnOnce(&T) -> &Outcome,
    ) -> Result<T> {
        let work = || {
            let reason = if let Some(reason) = self.policy.software_reason(len) {
                reason
            } else if self.policy == Policy::Always {
                return attempt(None);
            } else if !self.qat.is_available_for(types) {
                SoftwareReason::Unavailable
            } else {
                match attempt(None) {
                    Err(Error::Unavailable { .. }) => SoftwareReason::Unavailable,
                    Err(Error::Unsupported { .. }) => SoftwareReason::Unsupported,
                    Err(Error::Device { .. }) => SoftwareReason::DeviceError,
                    done => return done,
                }
            };
            attempt(Some(Path::Software(reason)))
        };
        recorded(&self.recorder, work, outcome)
    }
}

impl HardwareAccelerator for AutoAccelerator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn types(&self) -> AcceleratorTypes {
        AcceleratorTypes::COMPRESSION | AcceleratorTypes::ENCRYPTION | AcceleratorTypes::HASHING
    }

    fn is_available(&self) -> bool {
        self.has_cpu_fallback() || self.qat.is_available()
    }

    fn has_cpu_fallback(&self) -> bool {
        self.policy != Policy::Always
    }

    /// Looks for the hardware, unless the policy never uses it.
    fn initialize(&self) -> Result<()> {
        match self.policy {
            Policy::Never => Ok(()),
            Policy::Always => self.qat.initialize(),
            Policy::Auto | Policy::Threshold(_) => {
                let _ = self.qat.initialize();
                Ok(())
            }
        }
    }

    fn process(&self, operation: &Operation, input: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        let types = match operation {
            Operation::Compress(_) | Operation::Decompress(_) | Operation::Checksum(_) => {
                AcceleratorTypes::COMPRESSION
            }
            Operation::Digest(_) => AcceleratorTypes::HASHING,
            other => {
                return recorded(
                    &self.recorder,
                    || Err(software::refused(NAME, other)),
                    |(_, outcome): &(Vec<u8>, Outcome)| outcome,
                );
            }
        };
        let attempt = |path| match path {
            None => self.qat.process(operation, input),
            Some(path) => software::process(NAME, operation, input, path),
        };
        self.run(types, input.len(), attempt, |(_, outcome)| outcome)
    }

    fn statistics(&self) -> Statistics {
        self.recorder.statistics()
    }
}

impl CompressionAccelerator for AutoAccelerator {
    fn compress(&self, input: &[u8], options: &CompressOptions) -> Result<(Vec<u8>, Outcome)> {
        let attempt = |path| match path {
            None => self.qat.compress(input, options),
            Some(path) => software::compress(input, options, path),
        };
        self.run(AcceleratorTypes::COMPRESSION, input.len(), attempt, |(_, outcome)| outcome)
    }

    fn compress_into(&self, input: &[u8], output: &mut [u8], options: &CompressOptions) -> Result<Outcome> {
        let attempt = |path| match path {
            None => self.qat.compress_into(input, output, options),
            Some(path) => software::compress_into(input, output, options, path),
        };
        self.run(AcceleratorTypes::COMPRESSION, input.len(), attempt, |outcome| outcome)
    }

    fn compress_bound(&self, input_len: usize, options: &CompressOptions) -> usize {
        software::compress_bound(input_len, options).max(self.qat.compress_bound(input_len, options))
    }

    fn decompress(&self, input: &[u8], options: &DecompressOptions) -> Result<(Vec<u8>, Outcome)> {
        let attempt = |path| match path {
            None => self.qat.decompress(input, options),
            Some(path) => software::decompress(input, options, path),
        };
        self.run(AcceleratorTypes::COMPRESSION, input.len(), attempt, |(_, outcome)| outcome)
    }

    fn decompress_into(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &DecompressOptions,
    ) -> Result<Outcome> {
        let attempt = |path| match path {
            None => self.qat.decompress_into(input, output, options),
            Some(path) => software::decompress_into(input, output, options, path),
        };
        self.run(AcceleratorTypes::COMPRESSION, input.len(), attempt, |outcome| outcome)
    }

    pool::compression_futures!();
}

impl EncryptionAccelerator for AutoAccelerator {
    fn encrypt(
        &self,
        key: &Key,
        plaintext: &[u8],
        options: &CipherOptions<'_>,
    ) -> Result<(Vec<u8>, Encrypted)> {
        let attempt = |path| match path {
            None => self.qat.encrypt(key, plaintext, options),
            Some(path) => software::encrypt(key, plaintext, options, path),
        };
        self.run(AcceleratorTypes::ENCRYPTION, plaintext.len(), attempt, |(_, done)| &done.outcome)
    }

    fn encrypt_into(
        &self,
        key: &Key,
        plaintext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Encrypted> {
        let attempt = |path| match path {
            None => self.qat.encrypt_into(key, plaintext, output, options),
            Some(path) => software::encrypt_into(key, plaintext, output, options, path),
        };
        self.run(AcceleratorTypes::ENCRYPTION, plaintext.len(), attempt, |done| &done.outcome)
    }

    fn decrypt(
        &self,
        key: &Key,
        ciphertext: &[u8],
        options: &CipherOptions<'_>,
    ) -> Result<(Vec<u8>, Outcome)> {
        let attempt = |path| match path {
            None => self.qat.decrypt(key, ciphertext, options),
            Some(path) => software::decrypt(key, ciphertext, options, path),
        };
        self.run(AcceleratorTypes::ENCRYPTION, ciphertext.len(), attempt, |(_, outcome)| outcome)
    }

    fn decrypt_into(
        &self,
        key: &Key,
        ciphertext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Outcome> {
        let attempt = |path| match path {
            None => self.qat.decrypt_into(key, ciphertext, output, options),
            Some(path) => software::decrypt_into(key, ciphertext, output, options, path),
        };
        self.run(AcceleratorTypes::ENCRYPTION, ciphertext.len(), attempt, |outcome| outcome)
    }

    pool::encryption_futures!();
}

#[cfg(test)]
mod tests;
