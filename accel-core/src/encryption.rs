//! Encryption: ciphers, keys, options, and the trait.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{BoxFuture, Completion, Digest, Error, HardwareAccelerator, Outcome, Result};

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
    /// AES-XTS (IEEE 1619, NIST SP 800-38E), for sectors of storage: the key is two of AES-128 or of AES-256, which
    /// must differ; the 16-byte IV is the tweak, for sectors their number in little-endian. One call is one data
    /// unit, of 16 bytes to 16 MiB, by ciphertext stealing where they are no whole blocks. **Not authenticated**, and
    /// the same plaintext under the same tweak is the same ciphertext.
    AesXts,
    /// AES-CCM (NIST SP 800-38C, RFC 3610) in the form of RFC 5116, section 5.3: 12-byte IV, 16-byte tag behind the
    /// ciphertext, fewer than 16 MiB of text.
    AesCcm,
}

impl Cipher {
    /// Every cipher.
    pub const ALL: [Self; 7] = [
        Self::AesGcm,
        Self::AesCbc,
        Self::AesCbcHmacSha256,
        Self::AesCtr,
        Self::ChaCha20Poly1305,
        Self::AesXts,
        Self::AesCcm,
    ];

    /// Length of the IV (also called nonce) in bytes.
    #[must_use]
    pub const fn iv_len(self) -> usize {
        match self {
            Self::AesGcm | Self::ChaCha20Poly1305 | Self::AesCcm => 12,
            Self::AesCbc | Self::AesCbcHmacSha256 | Self::AesCtr | Self::AesXts => 16,
        }
    }

    /// Length of the authentication tag in bytes; 0 for a mode without one.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AesGcm | Self::ChaCha20Poly1305 | Self::AesCbcHmacSha256 | Self::AesCcm => 16,
            Self::AesCbc | Self::AesCtr | Self::AesXts => 0,
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
            Self::AesXts => &[32, 64],
            _ => &[16, 24, 32],
        }
    }

    /// Lengths in bytes that the plaintext of one call may have.
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
            Self::AesXts => "AES-XTS",
            Self::AesCcm => "AES-CCM",
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
    ciphers: [Places; Cipher::ALL.len()],
    hmacs: [Places; Digest::ALL.len()],
}

type Prepared = Box<dyn Any + Send + Sync>;
/// What a key keeps for each cipher and HMAC: something for an engine on the CPU and one on a device.
type Places = [OnceLock<Prepared>; 2];

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
            ciphers: Default::default(),
            hmacs: Default::default(),
        }))
    }

    /// The encryption key's bytes; for [`hmac`](EncryptionAccelerator::hmac), its key.
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

    /// Checks that this key fits [`hmac`](EncryptionAccelerator::hmac): any that is not empty (RFC 2104 advises against
    /// those that are shorter than the digest), made by [`Key::new`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] that says what does.
    pub fn check_hmac(&self) -> Result<()> {
        let remedy = match (self.encryption(), self.mac()) {
            ([], _) => "an HMAC with an empty key proves nothing: take one as long as the digest",
            (_, Some(_)) => "HMAC takes a single key: Key::new",
            (_, None) => return Ok(()),
        };
        Err(Error::InvalidArgument { argument: "key", remedy: Cow::Borrowed(remedy) })
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
        self.kept(&self.0.ciphers[cipher as usize], prepare)
    }

    /// As [`prepared`](Self::prepared), for the HMAC by `digest`.
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

/// An initialisation vector, also called nonce, of 12 or 16 bytes. Not secret; never to be used twice with the
/// same key, but for the tweak of [`Cipher::AesXts`], which names a sector whenever it is written.
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
    /// [`InvalidArgument`](Error::InvalidArgument) for a key, IV, plaintext or associated data that does not fit the cipher,
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

    /// HMAC (RFC 2104, FIPS 198-1) of `input` by `digest`, of [`Digest::len`] bytes; the key is one of [`Key::new`].
    ///
    /// Compare what was received with it in constant time, never by `==`.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) for a key that [`Key::check_hmac`] refuses, and
    /// [`Unsupported`](Error::Unsupported), [`Unavailable`](Error::Unavailable) or [`Device`](Error::Device) as the
    /// accelerator has it.
    fn hmac(&self, key: &Key, digest: Digest, input: &[u8]) -> Result<(Vec<u8>, Outcome)>;

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

    /// [`hmac`](Self::hmac) as a future.
    fn hmac_async(&self, key: Key, digest: Digest, input: Vec<u8>) -> BoxFuture<Result<(Vec<u8>, Outcome)>>;
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
