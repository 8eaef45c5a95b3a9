//! Encryption: ciphers, keys, options, and the methods by which programs encrypt.
//!
//! Everything here describes a request or holds a secret; nothing here encrypts. [`EncryptionAccelerator`] turns each call
//! into a job for the accelerator.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, ready};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::job::{into_buffer, to_vec, to_vec_async};
use crate::key::fill_random;
use crate::{
    BoxFuture, Completion, Digest, Error, HardwareAccelerator, Job, Key, Outcome, OwnedJob, OwnedOutput,
    Result,
};

/// Names a cipher and its mode. The key's length chooses between AES-128, AES-192 and AES-256.
///
/// # Examples
/// ```
/// use accel_core::Cipher;
///
/// // The tag stands behind the ciphertext.
/// assert_eq!(Cipher::AesGcm.ciphertext_len(100), 116);
/// assert_eq!(Cipher::AesGcm.iv_len(), 12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cipher {
    /// AES-GCM (NIST SP 800-38D): 12-byte IV, 16-byte tag behind the ciphertext (RFC 5116).
    AesGcm,
    /// AES-CBC with PKCS#7 padding (NIST SP 800-38A, RFC 5652 section 6.3): 16-byte IV. **Not authenticated**:
    /// an attacker can alter the ciphertext, and a service that tells bad padding from other failures leaks
    /// plaintext.
    AesCbc,
    /// AES-CBC with PKCS#7 padding, then HMAC-SHA-256 over `associated data || IV || ciphertext || bit length of
    /// the associated data as 64-bit big-endian`, truncated to 16 bytes and placed behind the ciphertext
    /// (RFC 7518 section 5.2; with a 16-byte encryption key and a 16-byte MAC key it is A128CBC-HS256).
    AesCbcHmacSha256,
    /// AES in counter mode (NIST SP 800-38A): the 16-byte IV is the first counter block, incremented as one
    /// 128-bit big-endian number. **Not authenticated.**
    AesCtr,
    /// ChaCha20-Poly1305 (RFC 8439): 32-byte key, 12-byte IV, 16-byte tag behind the ciphertext.
    ChaCha20Poly1305,
    /// AES-XTS (IEEE 1619, NIST SP 800-38E), for sectors of storage: the key is two of AES-128 or of AES-256, which
    /// must differ; the 16-byte IV is the tweak, for sectors their number in little-endian. One call is one data
    /// unit of 16 bytes to 16 MiB, with ciphertext stealing where it is not a whole number of blocks.
    /// **Not authenticated**, and the same plaintext under the same tweak gives the same ciphertext.
    AesXts,
    /// AES-CCM (NIST SP 800-38C, RFC 3610) in the form of RFC 5116, section 5.3: 12-byte IV, 16-byte tag behind the
    /// ciphertext, fewer than 16 MiB of text.
    AesCcm,
}

impl Cipher {
    /// All ciphers, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::AesGcm,
        Self::AesCbc,
        Self::AesCbcHmacSha256,
        Self::AesCtr,
        Self::ChaCha20Poly1305,
        Self::AesXts,
        Self::AesCcm,
    ];

    /// Returns the length of the IV (also called nonce) in bytes.
    #[must_use]
    pub const fn iv_len(self) -> usize {
        match self {
            Self::AesGcm | Self::ChaCha20Poly1305 | Self::AesCcm => 12,
            Self::AesCbc | Self::AesCbcHmacSha256 | Self::AesCtr | Self::AesXts => 16,
        }
    }

    /// Returns the length of the authentication tag in bytes, which is 0 for a mode without one.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AesGcm | Self::ChaCha20Poly1305 | Self::AesCbcHmacSha256 | Self::AesCcm => 16,
            Self::AesCbc | Self::AesCtr | Self::AesXts => 0,
        }
    }

    /// Returns whether the plaintext is padded to whole 16-byte blocks.
    #[must_use]
    pub const fn is_padded(self) -> bool {
        matches!(self, Self::AesCbc | Self::AesCbcHmacSha256)
    }

    /// Returns the lengths in bytes that an encryption key may have, the shortest first.
    #[must_use]
    pub const fn key_lens(self) -> &'static [usize] {
        match self {
            Self::ChaCha20Poly1305 => &[32],
            Self::AesXts => &[32, 64],
            _ => &[16, 24, 32],
        }
    }

    /// Returns the lengths in bytes that the plaintext of one call may have.
    #[must_use]
    pub const fn plaintext_lens(self) -> RangeInclusive<usize> {
        match self {
            // SP 800-38E: a block at least, 2^20 of them at most.
            Self::AesXts => RangeInclusive::new(16, 16 << 20),
            // RFC 3610: the length is written in the 3 bytes that a 12-byte nonce leaves for it.
            Self::AesCcm => RangeInclusive::new(0, (1 << 24) - 1),
            _ => RangeInclusive::new(0, usize::MAX),
        }
    }

    /// Returns the exact length in bytes of the ciphertext of `plaintext_len` bytes, padding and tag included.
    #[must_use]
    pub const fn ciphertext_len(self, plaintext_len: usize) -> usize {
        let padded = if self.is_padded() { (plaintext_len / 16 + 1) * 16 } else { plaintext_len };
        padded + self.tag_len()
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AesGcm => "AES-GCM",
            Self::AesCbc => "AES-CBC",
            Self::AesCbcHmacSha256 => "AES-CBC-HMAC-SHA-256",
            Self::AesCtr => "AES-CTR",
            Self::ChaCha20Poly1305 => "ChaCha20-Poly1305",
            Self::AesXts => "AES-XTS",
            Self::AesCcm => "AES-CCM",
        })
    }
}

/// An initialisation vector, also called nonce, of 12 or 16 bytes.
///
/// It is not secret, and must never be used twice with the same key, except for the tweak of [`Cipher::AesXts`], which
/// names a sector each time that it is written.
///
/// # Examples
/// ```
/// use accel_core::Iv;
/// assert_eq!(Iv::new(&[7; 12])?.as_bytes(), [7; 12]);
/// assert!(Iv::new(&[7; 13]).is_err());
/// # Ok::<(), accel_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Iv {
    bytes: [u8; 16],
    len: u8,
}

impl Iv {
    /// Makes an IV of these bytes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] unless there are 12 or 16 of them.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        if !matches!(bytes.len(), 12 | 16) {
            return Err(Error::InvalidArgument {
                argument: "IV",
                remedy: Cow::Owned(format!("12 or 16 bytes as the cipher demands, not {}", bytes.len())),
            });
        }
        let mut iv = Self { bytes: [0; 16], len: bytes.len() as u8 };
        iv.bytes[..bytes.len()].copy_from_slice(bytes);
        Ok(iv)
    }

    /// Makes a random IV for `cipher` from the operating system's random number generator.
    ///
    /// # Errors
    /// [`Error::Internal`] if the operating system gives no random numbers.
    ///
    /// # Examples
    /// ```
    /// use accel_core::{Cipher, Iv};
    /// assert_eq!(Iv::generate(Cipher::AesCtr)?.as_bytes().len(), 16);
    /// # Ok::<(), accel_core::Error>(())
    /// ```
    pub fn generate(cipher: Cipher) -> Result<Self> {
        let mut iv = Self { bytes: [0; 16], len: cipher.iv_len() as u8 };
        fill_random(&mut iv.bytes[..cipher.iv_len()]).map(|()| iv)
    }

    /// Returns the 12 or 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Checks that this IV fits `cipher`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], whose text says which length fits.
    pub fn check(&self, cipher: Cipher) -> Result<()> {
        if self.as_bytes().len() == cipher.iv_len() {
            return Ok(());
        }
        Err(Error::InvalidArgument {
            argument: "IV",
            remedy: Cow::Owned(format!("{cipher} takes {} bytes, not {}", cipher.iv_len(), self.len)),
        })
    }
}

/// Describes one encryption or decryption, except for its key.
///
/// # Examples
/// ```
/// use accel_core::{Cipher, CipherOptions};
///
/// let options = CipherOptions::new(Cipher::AesGcm).aad(b"header".as_slice());
/// assert_eq!(&*options.aad, b"header");
/// assert!(options.iv.is_none(), "the engine draws one and returns it");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CipherOptions<'a> {
    /// The cipher and its mode.
    pub cipher: Cipher,
    /// The IV. With `None` the methods that encrypt draw one at random and return it; a decryption needs one.
    pub iv: Option<Iv>,
    /// The associated data, which are authenticated, not encrypted, and not part of the output. They are empty for modes
    /// without a tag.
    pub aad: Cow<'a, [u8]>,
}

impl<'a> CipherOptions<'a> {
    /// Describes `cipher` with a random IV and no associated data.
    #[must_use]
    pub const fn new(cipher: Cipher) -> Self {
        Self { cipher, iv: None, aad: Cow::Borrowed(&[]) }
    }

    /// Returns these options with this IV.
    #[must_use]
    pub const fn iv(mut self, iv: Iv) -> Self {
        self.iv = Some(iv);
        self
    }

    /// Returns these options with these associated data.
    #[must_use]
    pub fn aad(mut self, aad: impl Into<Cow<'a, [u8]>>) -> Self {
        self.aad = aad.into();
        self
    }
}

/// Describes one encryption that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encrypted {
    /// The IV that was used, which decryption needs.
    pub iv: Iv,
    /// Where the encryption ran, and the lengths in bytes of its input and output.
    pub outcome: Outcome,
}

/// The methods by which programs encrypt and authenticate with symmetric keys. Every [`HardwareAccelerator`] has them.
///
/// The ciphertext is what the cipher's standard says, with the tag behind it. The IV is not part of it: the program stores
/// or sends it beside the ciphertext.
///
/// # Examples
/// ```
/// use accel_core::{Cipher, CipherOptions, EncryptionAccelerator, Key, Result};
///
/// fn round_trip(accelerator: &dyn EncryptionAccelerator, key: &Key, message: &[u8]) -> Result<()> {
///     let options = CipherOptions::new(Cipher::AesGcm).aad(b"header".as_slice());
///     let (ciphertext, encrypted) = accelerator.encrypt(key, message, &options)?;
///     let options = options.iv(encrypted.iv);
///     let (plaintext, _) = accelerator.decrypt(key, &ciphertext, &options)?;
///     assert_eq!(plaintext, message);
///     Ok(())
/// }
/// ```
pub trait EncryptionAccelerator: HardwareAccelerator {
    /// Encrypts `plaintext` into a new vector.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) for a key, IV, plaintext or associated data that does not fit the cipher,
    /// and [`Unsupported`](Error::Unsupported), [`Unavailable`](Error::Unavailable) or [`Device`](Error::Device)
    /// when the accelerator cannot do it.
    #[inline]
    fn encrypt(
        &self,
        key: &Key,
        plaintext: &[u8],
        options: &CipherOptions<'_>,
    ) -> Result<(Vec<u8>, Encrypted)> {
        with_iv(options, |options, iv| {
            let (output, outcome) = to_vec(self, Job::Encrypt(key, options), plaintext)?;
            Ok((output, Encrypted { iv, outcome }))
        })
    }

    /// Encrypts `plaintext` into the front of `output`, which must hold
    /// [`Cipher::ciphertext_len`] bytes.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt), and [`OutputTooSmall`](Error::OutputTooSmall).
    #[inline]
    fn encrypt_into(
        &self,
        key: &Key,
        plaintext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Encrypted> {
        with_iv(options, |options, iv| {
            let outcome = into_buffer(self, Job::Encrypt(key, options), plaintext, output)?;
            Ok(Encrypted { iv, outcome })
        })
    }

    /// Decrypts `ciphertext`, tag included, into a new vector.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt), and [`Authentication`](Error::Authentication) when anything was altered;
    /// no plaintext is returned then.
    #[inline]
    fn decrypt(
        &self,
        key: &Key,
        ciphertext: &[u8],
        options: &CipherOptions<'_>,
    ) -> Result<(Vec<u8>, Outcome)> {
        to_vec(self, Job::Decrypt(key, options), ciphertext)
    }

    /// Decrypts `ciphertext`, tag included, into the front of `output`, which must hold the ciphertext without
    /// its tag (for the padded modes: padding included). After a failure `output` holds no plaintext.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt), and [`OutputTooSmall`](Error::OutputTooSmall).
    #[inline]
    fn decrypt_into(
        &self,
        key: &Key,
        ciphertext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Outcome> {
        into_buffer(self, Job::Decrypt(key, options), ciphertext, output)
    }

    /// Returns the digest of `input`, which has [`Digest::len`] bytes.
    ///
    /// # Errors
    /// [`Unsupported`](Error::Unsupported), [`Unavailable`](Error::Unavailable) or [`Device`](Error::Device) when the
    /// accelerator cannot do it.
    ///
    /// # Examples
    /// ```
    /// use accel_core::{Digest, EncryptionAccelerator, HardwareAccelerator, Result};
    ///
    /// fn digest(accelerator: &dyn HardwareAccelerator, message: &[u8]) -> Result<Vec<u8>> {
    ///     let (digest, outcome) = accelerator.digest(Digest::Sha256, message)?;
    ///     println!("{} bytes by {}", digest.len(), outcome.path);
    ///     Ok(digest)
    /// }
    /// ```
    fn digest(&self, digest: Digest, input: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        to_vec(self, Job::Digest(digest), input)
    }

    /// Returns the HMAC (RFC 2104, FIPS 198-1) of `input` by `digest`, which has [`Digest::len`] bytes. The key is one of
    /// [`Key::new`].
    ///
    /// A received HMAC has to be compared with it in constant time, never by `==`.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) for a key that [`Key::check_hmac`] refuses, and
    /// [`Unsupported`](Error::Unsupported), [`Unavailable`](Error::Unavailable) or [`Device`](Error::Device) when the
    /// accelerator cannot do it.
    fn hmac(&self, key: &Key, digest: Digest, input: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        to_vec(self, Job::Hmac(key, digest), input)
    }

    /// Does what [`encrypt`](Self::encrypt) does, as a future.
    fn encrypt_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Result<(Vec<u8>, Encrypted)>> {
        let encrypting = submit_encryption(self, key, plaintext, OwnedOutput::New, options);
        Box::pin(async {
            let Completion { output, result, .. } = encrypting.await;
            result.map(|encrypted| (output, encrypted))
        })
    }

    /// Does what [`encrypt_into`](Self::encrypt_into) does, as a future; `output.len()` is the room in bytes.
    #[inline]
    fn encrypt_into_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> EncryptFuture {
        submit_encryption(self, key, plaintext, OwnedOutput::Buffer(output), options)
    }

    /// Does what [`decrypt`](Self::decrypt) does, as a future.
    #[inline]
    fn decrypt_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        to_vec_async(self, OwnedJob::Decrypt(key, options), ciphertext)
    }

    /// Does what [`decrypt_into`](Self::decrypt_into) does, as a future; `output.len()` is the room in bytes.
    #[inline]
    fn decrypt_into_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Completion<Outcome>> {
        self.submit(OwnedJob::Decrypt(key, options), ciphertext, OwnedOutput::Buffer(output))
    }

    /// Does what [`digest`](Self::digest) does, as a future.
    fn digest_async(&self, digest: Digest, input: Vec<u8>) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        to_vec_async(self, OwnedJob::Digest(digest), input)
    }

    /// Does what [`hmac`](Self::hmac) does, as a future.
    fn hmac_async(&self, key: Key, digest: Digest, input: Vec<u8>) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        to_vec_async(self, OwnedJob::Hmac(key, digest), input)
    }
}

impl<A: HardwareAccelerator + ?Sized> EncryptionAccelerator for A {}

/// Runs `work` with options that name an IV: the caller's, or one that is drawn here.
#[inline]
fn with_iv<T>(
    options: &CipherOptions<'_>,
    work: impl FnOnce(&CipherOptions<'_>, Iv) -> Result<T>,
) -> Result<T> {
    if let Some(iv) = options.iv {
        return work(options, iv);
    }
    let iv = Iv::generate(options.cipher)?;
    work(&CipherOptions { cipher: options.cipher, iv: Some(iv), aad: Cow::Borrowed(&options.aad) }, iv)
}

fn submit_encryption<A: HardwareAccelerator + ?Sized>(
    accelerator: &A,
    key: Key,
    plaintext: Vec<u8>,
    output: OwnedOutput,
    mut options: CipherOptions<'static>,
) -> EncryptFuture {
    let iv = match options.iv.map_or_else(|| Iv::generate(options.cipher), Ok) {
        Ok(iv) => iv,
        Err(error) => {
            let iv = Iv { bytes: [0; 16], len: 0 };
            let done = Completion { input: plaintext, output: output.close(Vec::new()), result: Err(error) };
            return EncryptFuture { iv, submitted: Box::pin(ready(done)) };
        }
    };
    options.iv = Some(iv);
    let submitted = accelerator.submit(OwnedJob::Encrypt(key, options), plaintext, output);
    EncryptFuture { iv, submitted }
}

/// The future of [`encrypt_into_async`](EncryptionAccelerator::encrypt_into_async).
#[must_use = "a future that is dropped abandons its encryption"]
pub struct EncryptFuture {
    /// The IV that is used. After a failure nobody reads it.
    iv: Iv,
    submitted: BoxFuture<Completion<Outcome>>,
}

impl Future for EncryptFuture {
    type Output = Completion<Encrypted>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let iv = self.iv;
        self.submitted.as_mut().poll(context).map(|Completion { input, output, result }| Completion {
            input,
            output,
            result: result.map(|outcome| Encrypted { iv, outcome }),
        })
    }
}

impl fmt::Debug for EncryptFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptFuture").field("iv", &self.iv).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ciphertext_lengths() {
        assert_eq!(Cipher::AesGcm.ciphertext_len(0), 16);
        assert_eq!(Cipher::AesCbc.ciphertext_len(0), 16);
        assert_eq!(Cipher::AesCbc.ciphertext_len(15), 16);
        assert_eq!(Cipher::AesCbc.ciphertext_len(16), 32);
        assert_eq!(Cipher::AesCbcHmacSha256.ciphertext_len(16), 48);
        assert_eq!(Cipher::AesCtr.ciphertext_len(5), 5);
        assert_eq!(Cipher::AesXts.ciphertext_len(17), 17);
        assert_eq!(Cipher::AesCcm.ciphertext_len(17), 33);
    }
}
