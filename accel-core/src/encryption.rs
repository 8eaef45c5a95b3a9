//! Encryption: ciphers, keys, options, and the trait.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{BoxFuture, Completion, Error, HardwareAccelerator, Outcome, Result};

/// A cipher and its mode. The key's length chooses between AES-128, AES-192 and AES-256.
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
}

impl Cipher {
    /// Every cipher.
    pub const ALL: [Self; 5] =
        [Self::AesGcm, Self::AesCbc, Self::AesCbcHmacSha256, Self::AesCtr, Self::ChaCha20Poly1305];

    /// Length of the IV (also called nonce) in bytes.
    #[must_use]
    pub const fn iv_len(self) -> usize {
        match self {
            Self::AesGcm | Self::ChaCha20Poly1305 => 12,
            Self::AesCbc | Self::AesCbcHmacSha256 | Self::AesCtr => 16,
        }
    }

    /// Length of the authentication tag in bytes; 0 for a mode without one.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AesGcm | Self::ChaCha20Poly1305 | Self::AesCbcHmacSha256 => 16,
            Self::AesCbc | Self::AesCtr => 0,
        }
    }

    /// Whether the plaintext is padded to whole 16-byte blocks.
    #[must_use]
    pub const fn is_padded(self) -> bool {
        matches!(self, Self::AesCbc | Self::AesCbcHmacSha256)
    }

    /// Lengths in bytes that an encryption key may have.
    #[must_use]
    pub const fn key_lens(self) -> &'static [usize] {
        match self {
            Self::ChaCha20Poly1305 => &[32],
            _ => &[16, 24, 32],
        }
    }

    /// Exact length in bytes of the ciphertext, padding and tag included, of `plaintext_len` bytes.
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
        })
    }
}

/// A secret key: zeroised when its last clone is dropped, never printed, compared in constant time.
///
/// Engines keep what they derive from a key (round keys, a session) in the key itself, so that it lives exactly
/// as long: see [`prepared`](Self::prepared). Clone a key rather than building it anew from its bytes.
#[derive(Clone)]
pub struct Key(Arc<KeyParts>);

struct KeyParts {
    encryption: Zeroizing<Vec<u8>>,
    mac: Option<Zeroizing<Vec<u8>>>,
    prepared: [[OnceLock<Prepared>; ENGINES]; Cipher::ALL.len()],
}

type Prepared = Box<dyn Any + Send + Sync>;
/// How many engines a key keeps something for, for each cipher: one on the CPU and one on a device.
const ENGINES: usize = 2;

impl Key {
    /// A key of these bytes. Its length is checked when it is used with a cipher.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self::from_parts(bytes, None)
    }

    /// A key for [`Cipher::AesCbcHmacSha256`]: one part encrypts, the other authenticates.
    #[must_use]
    pub fn with_mac(encryption: &[u8], mac: &[u8]) -> Self {
        Self::from_parts(encryption, Some(mac))
    }

    fn from_parts(encryption: &[u8], mac: Option<&[u8]>) -> Self {
        Self(Arc::new(KeyParts {
            encryption: Zeroizing::new(encryption.to_vec()),
            mac: mac.map(|bytes| Zeroizing::new(bytes.to_vec())),
            prepared: Default::default(),
        }))
    }

    /// The encryption key's bytes.
    #[must_use]
    pub fn encryption(&self) -> &[u8] {
        &self.0.encryption
    }

    /// The MAC key's bytes, where there is one.
    #[must_use]
    pub fn mac(&self) -> Option<&[u8]> {
        self.0.mac.as_ref().map(|bytes| bytes.as_slice())
    }

    /// Checks that this key fits `cipher`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] that says which lengths do.
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
        match (cipher, self.mac().map(<[u8]>::len)) {
            (Cipher::AesCbcHmacSha256, Some(16..)) | (Cipher::AesGcm | Cipher::AesCbc, None) => Ok(()),
            (Cipher::AesCtr | Cipher::ChaCha20Poly1305, None) => Ok(()),
            (Cipher::AesCbcHmacSha256, _) => Err(Error::InvalidArgument {
                argument: "key",
                remedy: Cow::Borrowed(
                    "AES-CBC-HMAC-SHA-256 takes a MAC key of 16 bytes or more as well: Key::with_mac",
                ),
            }),
            (cipher, Some(_)) => Err(Error::InvalidArgument {
                argument: "key",
                remedy: Cow::Owned(format!("{cipher} takes no MAC key: Key::new")),
            }),
        }
    }

    /// What an engine derived from this key for `cipher`, made on the first call and dropped with the key.
    /// There is room for two engines, each known by its type `T`; a third one gets `None` and keeps its own.
    ///
    /// # Errors
    /// Those of `prepare`, which is then asked again by the next call.
    pub fn prepared<T: Send + Sync + 'static>(
        &self,
        cipher: Cipher,
        prepare: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<Option<&T>> {
        let mut prepare = Some(prepare);
        let mut made: Option<Prepared> = None;
        for place in &self.0.prepared[cipher as usize] {
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

/// An initialisation vector, also called nonce, of 12 or 16 bytes. Not secret; never to be used twice with the
/// same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Iv {
    bytes: [u8; 16],
    len: u8,
}

impl Iv {
    /// An IV of these bytes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] unless they are 12 or 16.
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

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Checks that this IV fits `cipher`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] that says which length does.
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

/// How to encrypt or decrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CipherOptions<'a> {
    /// Cipher and mode.
    pub cipher: Cipher,
    /// The IV. `None` when encrypting means: draw one at random and return it. Decryption needs it.
    pub iv: Option<Iv>,
    /// Associated data: authenticated, not encrypted, not part of the output. Empty for modes without a tag.
    pub aad: Cow<'a, [u8]>,
}

impl<'a> CipherOptions<'a> {
    /// `cipher` with a random IV and no associated data.
    #[must_use]
    pub const fn new(cipher: Cipher) -> Self {
        Self { cipher, iv: None, aad: Cow::Borrowed(&[]) }
    }

    /// The same with this IV.
    #[must_use]
    pub const fn iv(mut self, iv: Iv) -> Self {
        self.iv = Some(iv);
        self
    }

    /// The same with this associated data.
    #[must_use]
    pub fn aad(mut self, aad: impl Into<Cow<'a, [u8]>>) -> Self {
        self.aad = aad.into();
        self
    }
}

/// What one encryption came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encrypted {
    /// The IV that was used; decryption needs it.
    pub iv: Iv,
    /// Where it ran, and lengths.
    pub outcome: Outcome,
}

/// An accelerator of symmetric encryption.
///
/// The ciphertext is what the cipher's standard says, the tag behind it; the IV travels beside it.
pub trait EncryptionAccelerator: HardwareAccelerator {
    /// Encrypts `plaintext` into a new vector.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) for a key, IV or associated data that does not fit the cipher,
    /// and [`Unsupported`](Error::Unsupported), [`Unavailable`](Error::Unavailable) or [`Device`](Error::Device)
    /// as the accelerator has it.
    fn encrypt(
        &self,
        key: &Key,
        plaintext: &[u8],
        options: &CipherOptions<'_>,
    ) -> Result<(Vec<u8>, Encrypted)>;

    /// Encrypts `plaintext` into the front of `output`, which must hold
    /// [`Cipher::ciphertext_len`] bytes.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt), and [`OutputTooSmall`](Error::OutputTooSmall).
    fn encrypt_into(
        &self,
        key: &Key,
        plaintext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Encrypted>;

    /// Decrypts `ciphertext`, tag included, into a new vector.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt), and [`Authentication`](Error::Authentication) when anything was altered;
    /// no plaintext is returned then.
    fn decrypt(
        &self,
        key: &Key,
        ciphertext: &[u8],
        options: &CipherOptions<'_>,
    ) -> Result<(Vec<u8>, Outcome)>;

    /// Decrypts `ciphertext`, tag included, into the front of `output`, which must hold the ciphertext without
    /// its tag (for the padded modes: padding included). After a failure `output` holds no plaintext.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt), and [`OutputTooSmall`](Error::OutputTooSmall).
    fn decrypt_into(
        &self,
        key: &Key,
        ciphertext: &[u8],
        output: &mut [u8],
        options: &CipherOptions<'_>,
    ) -> Result<Outcome>;

    /// [`encrypt`](Self::encrypt) as a future.
    fn encrypt_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Result<(Vec<u8>, Encrypted)>>;

    /// [`encrypt_into`](Self::encrypt_into) as a future; `output.len()` is the room.
    fn encrypt_into_async(
        &self,
        key: Key,
        plaintext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Completion<Encrypted>>;

    /// [`decrypt`](Self::decrypt) as a future.
    fn decrypt_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Result<(Vec<u8>, Outcome)>>;

    /// [`decrypt_into`](Self::decrypt_into) as a future; `output.len()` is the room.
    fn decrypt_into_async(
        &self,
        key: Key,
        ciphertext: Vec<u8>,
        output: Vec<u8>,
        options: CipherOptions<'static>,
    ) -> BoxFuture<Completion<Outcome>>;
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
            assert_eq!(Key::new(&[0; 32]).check(cipher).is_ok(), !mac, "{cipher}");
            assert_eq!(Key::with_mac(&[0; 32], &[0; 32]).check(cipher).is_ok(), mac, "{cipher}");
        }
        assert!(Key::new(&[0; 16]).check(Cipher::ChaCha20Poly1305).is_err());
        assert!(Key::with_mac(&[0; 16], &[]).check(Cipher::AesCbcHmacSha256).is_err());
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
    }
}
