//! Jobs: what an accelerator is asked to do, with everything that it needs except the data.

use std::borrow::Cow;

use crate::{
    BoxFuture, Checksum, CipherOptions, Completion, CompressOptions, DecompressOptions, Digest, Error,
    HardwareAccelerator, Key, Operation, Outcome, Output, OwnedOutput, Result,
};

/// One unit of work: an operation with everything that it needs except the data.
///
/// A job borrows keys and options, so that making and copying one costs next to nothing. [`OwnedJob`] is the form that
/// outlives its caller's frame. Programs seldom name either of them: they call the methods of
/// [`CompressionAccelerator`](crate::CompressionAccelerator) and [`EncryptionAccelerator`](crate::EncryptionAccelerator).
///
/// # Examples
/// ```
/// use accel_core::{CompressOptions, Format, Job};
/// assert_eq!(Job::Compress(CompressOptions::new(Format::Gzip)).name(), "compress");
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Job<'a> {
    /// Compress the input.
    Compress(CompressOptions),
    /// Decompress all of the input.
    Decompress(DecompressOptions),
    /// Encrypt the input. The options name an IV: the methods of
    /// [`EncryptionAccelerator`](crate::EncryptionAccelerator) draw one where their caller names none. An accelerator
    /// refuses a job without an IV, because nobody could decrypt what it would write.
    Encrypt(&'a Key, &'a CipherOptions<'a>),
    /// Decrypt the input, which ends with the tag of a cipher that has one.
    Decrypt(&'a Key, &'a CipherOptions<'a>),
    /// Compute a checksum of the input; the output is its value in big-endian order.
    Checksum(Checksum),
    /// Compute a digest of the input; the output is the digest.
    Digest(Digest),
    /// Compute the HMAC of the input by this digest; the output is the HMAC.
    Hmac(&'a Key, Digest),
    /// Do what [`process`](HardwareAccelerator::process) was asked for and what is none of the above: something that
    /// an accelerator knows by name, or an operation whose key is missing. An accelerator that does not know it answers
    /// with [`unsupported`](Self::unsupported).
    Other(&'a Operation),
}

impl<'a> From<&'a Operation> for Job<'a> {
    fn from(operation: &'a Operation) -> Self {
        match operation {
            Operation::Compress(options) => Self::Compress(*options),
            Operation::Decompress(options) => Self::Decompress(*options),
            Operation::Checksum(checksum) => Self::Checksum(*checksum),
            Operation::Digest(digest) => Self::Digest(*digest),
            other => Self::Other(other),
        }
    }
}

impl Job<'_> {
    /// Returns the operation's name as it appears in errors.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Compress(_) => "compress",
            Self::Decompress(_) => "decompress",
            Self::Encrypt(..) => "encrypt",
            Self::Decrypt(..) => "decrypt",
            Self::Checksum(_) => "checksum",
            Self::Digest(_) => "digest",
            Self::Hmac(..) => "HMAC",
            Self::Other(operation) => operation.name(),
        }
    }

    /// Returns the largest number of bytes that the job may write, whatever room there is.
    #[must_use]
    pub const fn limit(&self) -> usize {
        match self {
            Self::Decompress(options) => options.limit,
            _ => usize::MAX,
        }
    }

    /// Returns the largest number of bytes that the job can write for an input of `input_len` bytes.
    ///
    /// # Examples
    /// ```
    /// use accel_core::{Digest, Job};
    /// assert_eq!(Job::Digest(Digest::Sha256).output_bound(1000), 32);
    /// ```
    #[must_use]
    #[inline]
    pub const fn output_bound(&self, input_len: usize) -> usize {
        match self {
            Self::Compress(options) => options.bound(input_len),
            Self::Encrypt(_, options) => options.cipher.ciphertext_len(input_len),
            // Padding included, of which nobody knows the length before.
            Self::Decrypt(_, options) => input_len.saturating_sub(options.cipher.tag_len()),
            Self::Checksum(Checksum::XxHash64) => 8,
            Self::Checksum(_) => 4,
            Self::Digest(digest) | Self::Hmac(_, digest) => digest.len(),
            Self::Decompress(_) | Self::Other(_) => self.limit(),
        }
    }

    /// Returns the error of the accelerator named `accelerator` for a job that it does not do. It names the call to use
    /// where [`process`](HardwareAccelerator::process) was asked for something that needs a key.
    ///
    /// # Examples
    /// ```
    /// use accel_core::{Job, Operation};
    /// let error = Job::from(&Operation::Encrypt).unsupported("mine");
    /// assert!(error.to_string().contains("call EncryptionAccelerator::encrypt"));
    /// ```
    #[must_use]
    pub fn unsupported(&self, accelerator: &'static str) -> Error {
        let unsupported = |remedy| {
            let operation = self.name().to_owned().into();
            Error::Unsupported { accelerator, operation, remedy }
        };
        let keyed =
            |call| unsupported(format!("process has no key, call EncryptionAccelerator::{call}").into());
        match self {
            Self::Other(Operation::Encrypt) => keyed("encrypt"),
            Self::Other(Operation::Decrypt) => keyed("decrypt"),
            Self::Other(Operation::Hmac(_)) => keyed("hmac"),
            Self::Other(other) => Error::InvalidArgument {
                argument: "operation",
                remedy: Cow::Owned(format!(
                    "{accelerator} knows compress, decompress, checksum and digest, not {:?}",
                    other.name()
                )),
            },
            _ => unsupported(Cow::Borrowed("use another accelerator")),
        }
    }
}

/// A [`Job`] that owns its key and options, for [`submit`](HardwareAccelerator::submit).
///
/// # Examples
/// ```
/// use accel_core::{Cipher, CipherOptions, Iv, Key, OwnedJob};
/// let options = CipherOptions::new(Cipher::AesGcm).iv(Iv::generate(Cipher::AesGcm)?);
/// let job = OwnedJob::Encrypt(Key::generate(Cipher::AesGcm)?, options);
/// assert_eq!(job.as_job().name(), "encrypt");
/// # Ok::<(), accel_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum OwnedJob {
    /// See [`Job::Compress`].
    Compress(CompressOptions),
    /// See [`Job::Decompress`].
    Decompress(DecompressOptions),
    /// See [`Job::Encrypt`].
    Encrypt(Key, CipherOptions<'static>),
    /// See [`Job::Decrypt`].
    Decrypt(Key, CipherOptions<'static>),
    /// See [`Job::Checksum`].
    Checksum(Checksum),
    /// See [`Job::Digest`].
    Digest(Digest),
    /// See [`Job::Hmac`].
    Hmac(Key, Digest),
}

impl OwnedJob {
    /// Returns the job that borrows from this one.
    #[must_use]
    #[inline]
    pub const fn as_job(&self) -> Job<'_> {
        match self {
            Self::Compress(options) => Job::Compress(*options),
            Self::Decompress(options) => Job::Decompress(*options),
            Self::Encrypt(key, options) => Job::Encrypt(key, options),
            Self::Decrypt(key, options) => Job::Decrypt(key, options),
            Self::Checksum(checksum) => Job::Checksum(*checksum),
            Self::Digest(digest) => Job::Digest(*digest),
            Self::Hmac(key, digest) => Job::Hmac(key, *digest),
        }
    }
}

/// Runs a job whose output is a new vector.
#[inline]
pub(crate) fn to_vec<A: HardwareAccelerator + ?Sized>(
    accelerator: &A,
    job: Job<'_>,
    input: &[u8],
) -> Result<(Vec<u8>, Outcome)> {
    let mut output = Output::growing().with_limit(job.limit());
    let outcome = accelerator.execute(job, input, &mut output)?;
    Ok((output.into_vec(), outcome))
}

/// Runs a job whose output is the front of the caller's buffer.
#[inline]
pub(crate) fn into_buffer<A: HardwareAccelerator + ?Sized>(
    accelerator: &A,
    job: Job<'_>,
    input: &[u8],
    output: &mut [u8],
) -> Result<Outcome> {
    accelerator.execute(job, input, &mut Output::fixed(output).with_limit(job.limit()))
}

/// Submits a job whose output is a new vector.
#[inline]
pub(crate) fn to_vec_async<A: HardwareAccelerator + ?Sized>(
    accelerator: &A,
    job: OwnedJob,
    input: Vec<u8>,
) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
    let submitted = accelerator.submit(job, input, OwnedOutput::New);
    Box::pin(async {
        let Completion { output, result, .. } = submitted.await;
        result.map(|outcome| (output, outcome))
    })
}
