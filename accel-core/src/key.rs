//! Secret keys, and what engines keep in them.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{Cipher, Digest, Error, Result};

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

    /// Returns the bytes of the encryption key, or of the single key of [`hmac`](crate::EncryptionAccelerator::hmac).
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

    /// Checks that this key fits [`hmac`](crate::EncryptionAccelerator::hmac). Every key of [`Key::new`] fits that is not empty;
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
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Error::Internal {
        engine: "random number generator",
        detail: error.to_string().into(),
    })
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
}
