//! Encryption: ciphers, keys, options, and the methods by which programs encrypt.
//!
//! Everything here describes a request or holds a secret; nothing here encrypts. [`EncryptionAccelerator`] turns each call
//! into a job for the accelerator.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::{Future, ready};
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::job::{into_buffer, to_vec, to_vec_async};
use crate::{
    BoxFuture, Completion, Digest, Error, HardwareAccelerator, Job, Outcome, OwnedJob, OwnedOutput, Result,
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

/// A secret key, which is zeroised when its last clone is dropped, never printed, and compared in constant time.
///
/// Engines keep what they derive from a key (round keys, a session) in the key itself, so that it lives exactly
/// as long as the key: see [`prepared`](Self::prepared). A program should clone a key rather than make it again from its
/// bytes, because a clone shares what was derived.
///
/// # Examples
/// ```
/// use accel_core::{Cipher, Key};
///
/// // A new random key of the cipher's greatest strength.
/// let key = Key::generate(Cipher::AesGcm)?;
/// assert_eq!(key.encryption().len(), 32);
/// // A key from stored bytes, whose length is checked here and not when it is first used.
/// assert!(Key::for_cipher(Cipher::AesGcm, &[7; 32]).is_ok());
/// assert!(Key::for_cipher(Cipher::AesGcm, b"too short").is_err());
/// # Ok::<(), accel_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Key(Arc<KeyParts>);

struct KeyParts {
    encryption: Zeroizing<Vec<u8>>,
    mac: Option<Zeroizing<Vec<u8>>>,
    ciphers: [Places; Cipher::ALL.len()],
    hmacs: [Places; Digest::ALL.len()],
}

type Prepared = Box<dyn Any + Send + Sync>;
/// What a key keeps for each cipher and HMAC: something for an engine on the CPU and one on a device.
type Places = [OnceLock<Prepared>; 2];

impl Key {
    /// Makes a new random key for `cipher`, of the greatest length that the cipher takes, from the operating system's
    /// random number generator. For [`Cipher::AesCbcHmacSha256`] the MAC key has the same length.
    ///
    /// # Errors
    /// [`Error::Internal`] if the operating system gives no random numbers.
    ///
    /// # Examples
    /// ```
    /// use accel_core::{Cipher, Key};
    /// assert_ne!(Key::generate(Cipher::AesXts)?, Key::generate(Cipher::AesXts)?);
    /// # Ok::<(), accel_core::Error>(())
    /// ```
    pub fn generate(cipher: Cipher) -> Result<Self> {
        let len = cipher.key_lens().iter().copied().max().unwrap_or_default();
        let random = || {
            let mut bytes = Zeroizing::new(vec![0; len]);
            fill_random(&mut bytes).map(|()| bytes)
        };
        let key = match cipher {
            Cipher::AesCbcHmacSha256 => Self::with_mac(&random()?, &random()?),
            _ => Self::new(&random()?),
        };
        key.check(cipher).map(|()| key)
    }

    /// Makes a key of these bytes for `cipher` and checks that they fit it. A key for [`Cipher::AesCbcHmacSha256`] has two
    /// parts: make it by [`with_mac`](Self::with_mac) and ask [`check`](Self::check).
    ///
    /// # Errors
    /// Those of [`check`](Self::check).
    ///
    /// # Examples
    /// ```
    /// use accel_core::{Cipher, Key};
    /// let error = Key::for_cipher(Cipher::ChaCha20Poly1305, &[0; 16]).unwrap_err();
    /// assert!(error.to_string().contains("32"), "{error}");
    /// ```
    pub fn for_cipher(cipher: Cipher, bytes: &[u8]) -> Result<Self> {
        let key = Self::new(bytes);
        key.check(cipher).map(|()| key)
    }

    /// Makes a key of these bytes. Its length is checked when it is used with a cipher: 16 bytes mean AES-128, 24 bytes
    /// AES-192, 32 bytes AES-256. [`for_cipher`](Self::for_cipher) checks the length at once.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self::from_parts(bytes, None)
    }

    /// Makes a key for [`Cipher::AesCbcHmacSha256`], of which one part encrypts and the other authenticates.
    #[must_use]
    pub fn with_mac(encryption: &[u8], mac: &[u8]) -> Self {
        Self::from_parts(encryption, Some(mac))
    }

    fn from_parts(encryption: &[u8], mac: Option<&[u8]>) -> Self {
        Self(Arc::new(KeyParts {
            encryption: Zeroizing::new(encryption.to_vec()),
            mac: mac.map(|bytes| Zeroizing::new(bytes.to_vec())),
            ciphers: Default::default(),
            hmacs: Default::default(),
        }))
    }

    /// Returns the bytes of the encryption key, or of the single key of [`hmac`](EncryptionAccelerator::hmac).
    #[must_use]
    pub fn encryption(&self) -> &[u8] {
        &self.0.encryption
    }

    /// Returns the bytes of the MAC key, or `None` if the key was made without one.
    #[must_use]
    pub fn mac(&self) -> Option<&[u8]> {
        self.0.mac.as_ref().map(|bytes| bytes.as_slice())
    }

    /// Checks that this key fits `cipher`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], whose text says which lengths fit.
    pub fn check(&self, cipher: Cipher) -> Result<()> {
        if !cipher.key_lens().contains(&self.encryption().len()) {
            return Err(Error::InvalidArgument {
                argument: "key",
                remedy: Cow::Owned(format!(
                    "{cipher} takes an encryption key of {:?} bytes, not {}",
                    cipher.key_lens(),
                    self.encryption().len()
                )),
            });
        }
        if cipher == Cipher::AesXts {
            let (data, tweak) = self.encryption().split_at(self.encryption().len() / 2);
            if bool::from(data.ct_eq(tweak)) {
                return Err(Error::InvalidArgument {
                    argument: "key",
                    remedy: Cow::Borrowed("AES-XTS takes two keys that differ, one behind the other"),
                });
            }
        }
        match (cipher, self.mac().map(<[u8]>::len)) {
            (Cipher::AesCbcHmacSha256, Some(16..)) => Ok(()),
            (Cipher::AesCbcHmacSha256, _) => Err(Error::InvalidArgument {
                argument: "key",
                remedy: Cow::Borrowed(
                    "AES-CBC-HMAC-SHA-256 takes a MAC key of 16 bytes or more as well: Key::with_mac",
                ),
            }),
            (_, None) => Ok(()),
            (cipher, Some(_)) => Err(Error::InvalidArgument {
                argument: "key",
                remedy: Cow::Owned(format!("{cipher} takes no MAC key: Key::new")),
            }),
        }
    }

    /// Checks that this key fits [`hmac`](EncryptionAccelerator::hmac). Every key of [`Key::new`] fits that is not empty;
    /// RFC 2104 advises against keys that are shorter than the digest.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], whose text says what fits.
    pub fn check_hmac(&self) -> Result<()> {
        let remedy = match (self.encryption(), self.mac()) {
            ([], _) => "an HMAC with an empty key proves nothing: take one as long as the digest",
            (_, Some(_)) => "HMAC takes a single key: Key::new",
            (_, None) => return Ok(()),
        };
        Err(Error::InvalidArgument { argument: "key", remedy: Cow::Borrowed(remedy) })
    }

    /// Returns what an engine derived from this key for `cipher`. It is made by `prepare` on the first call and dropped with
    /// the key. A key has room for two engines, each known by its type `T`; a third one gets `None` and has to keep its own.
    ///
    /// # Errors
    /// Those of `prepare`, which the next call then calls again.
    pub fn prepared<T: Send + Sync + 'static>(
        &self,
        cipher: Cipher,
        prepare: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<Option<&T>> {
        self.kept(&self.0.ciphers[cipher as usize], prepare)
    }

    /// Does what [`prepared`](Self::prepared) does, for the HMAC by `digest`.
    ///
    /// # Errors
    /// As [`prepared`](Self::prepared).
    pub fn prepared_hmac<T: Send + Sync + 'static>(
        &self,
        digest: Digest,
        prepare: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<Option<&T>> {
        self.kept(&self.0.hmacs[digest as usize], prepare)
    }

    fn kept<'a, T: Send + Sync + 'static>(
        &self,
        places: &'a Places,
        prepare: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<Option<&'a T>> {
        let mut prepare = Some(prepare);
        let mut made: Option<Prepared> = None;
        for place in places {
            if place.get().is_none() {
                if let Some(prepare) = prepare.take() {
                    made = Some(Box::new(prepare(self)?));
                }
                // Another engine may have been faster; then this one's goes to the next place.
                made = made.take().and_then(|made| place.set(made).err());
            }
            if let Some(found) = place.get().and_then(|any| any.downcast_ref()) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let mac = |key: &Self| Zeroizing::new(key.mac().unwrap_or_default().to_vec());
        bool::from(self.encryption().ct_eq(other.encryption()) & mac(self).ct_eq(&mac(other)))
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

/// Fills `bytes` from the operating system's random number generator.
fn fill_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Error::Internal {
        engine: "random number generator",
        detail: error.to_string().into(),
    })
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
    fn keys_are_redacted_and_compared_by_content() {
        let key = Key::with_mac(b"0123456789abcdef", b"fedcba9876543210");
        assert_eq!(format!("{key:?}"), "Key(redacted)");
        assert_eq!(key, Key::with_mac(b"0123456789abcdef", b"fedcba9876543210"));
        assert_ne!(key, Key::new(b"0123456789abcdef"));
        assert_ne!(key, Key::with_mac(b"0123456789abcdeF", b"fedcba9876543210"));
    }

    #[test]
    fn a_key_must_fit_its_cipher() {
        for cipher in Cipher::ALL {
            assert!(Key::new(&[0; 15]).check(cipher).is_err(), "{cipher}");
            let mac = cipher == Cipher::AesCbcHmacSha256;
            let bytes: [u8; 32] = std::array::from_fn(|i| i as u8);
            assert_eq!(Key::new(&bytes).check(cipher).is_ok(), !mac, "{cipher}");
            assert_eq!(Key::with_mac(&bytes, &[0; 32]).check(cipher).is_ok(), mac, "{cipher}");
        }
        assert!(Key::new(&[0; 16]).check(Cipher::ChaCha20Poly1305).is_err());
        assert!(Key::with_mac(&[0; 16], &[]).check(Cipher::AesCbcHmacSha256).is_err());
        for len in [16, 24, 48, 128] {
            assert!(Key::new(&(0..len).collect::<Vec<u8>>()).check(Cipher::AesXts).is_err(), "{len}");
        }
        // Two keys of one.
        assert!(Key::new(&[7; 64]).check(Cipher::AesXts).is_err());
        assert!(Key::new(&[0]).check_hmac().is_ok() && Key::new(&[0; 1000]).check_hmac().is_ok());
        assert!(
            Key::new(&[]).check_hmac().is_err() && Key::with_mac(&[0; 16], &[0; 16]).check_hmac().is_err()
        );
    }

    #[test]
    fn generated_keys_fit_their_cipher_and_differ() {
        for cipher in Cipher::ALL {
            let (one, other) = (Key::generate(cipher).unwrap(), Key::generate(cipher).unwrap());
            assert!(one.check(cipher).is_ok(), "{cipher}");
            assert_ne!(one, other, "{cipher}");
            let longest = cipher.key_lens().iter().max().unwrap();
            assert_eq!(one.encryption().len(), *longest, "{cipher}");
        }
        assert!(Key::for_cipher(Cipher::AesXts, &[7; 64]).is_err(), "both halves are the same");
        assert!(Key::for_cipher(Cipher::AesCbcHmacSha256, &[7; 32]).is_err(), "the MAC key is missing");
    }

    #[test]
    fn prepared_state_belongs_to_the_first_two_types_and_is_shared_by_clones() {
        let key = Key::new(&[0; 16]);
        let clone = key.clone();
        assert_eq!(key.prepared(Cipher::AesGcm, |_| Ok(7_u32)).unwrap(), Some(&7));
        assert_eq!(clone.prepared(Cipher::AesGcm, |_| Ok(8_u32)).unwrap(), Some(&7));
        assert_eq!(clone.prepared(Cipher::AesGcm, |_| Ok("other")).unwrap(), Some(&"other"));
        assert_eq!(key.prepared(Cipher::AesGcm, |_| Ok("again")).unwrap(), Some(&"other"));
        assert_eq!(key.prepared(Cipher::AesGcm, |_| Ok(7_u32)).unwrap(), Some(&7));
        assert_eq!(key.prepared(Cipher::AesGcm, |_| Ok('3')).unwrap(), None);
        assert_eq!(clone.prepared(Cipher::AesCtr, |_| Ok("other")).unwrap(), Some(&"other"));
        let failed = || Error::Internal { engine: "test", detail: "not now".into() };
        assert_eq!(key.prepared_hmac(Digest::Sha256, |_| Ok(1_u32)).unwrap(), Some(&1));
        assert_eq!(clone.prepared_hmac(Digest::Sha256, |_| Ok(2_u32)).unwrap(), Some(&1));
        assert_eq!(clone.prepared_hmac(Digest::Sha512, |_| Ok(2_u32)).unwrap(), Some(&2));
        assert!(key.prepared(Cipher::AesCbc, |_| Err::<u32, _>(failed())).is_err());
        assert_eq!(key.prepared(Cipher::AesCbc, |_| Ok(9_u32)).unwrap(), Some(&9));
    }

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
