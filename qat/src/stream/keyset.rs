//! Keys of encrypted streams, read from and written to Tink's JSON keysets and hexadecimal text.
//!
//! [`encrypt`](super::encrypt) and [`decrypt`](super::decrypt) use a [`Keyset`]. Key bytes are zeroised on drop, and
//! never appear in an error or in `Debug` output.

mod json;

use std::fmt;
use std::io;

use aws_lc_rs::hkdf;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

use crate::software::cipher::random;

/// The type URL of the key in Tink's registry.
const TYPE_URL: &str = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey";
/// The parameters of the template AES256_GCM_HKDF_1MB.
const SEGMENT_LEN: usize = 1 << 20;
const KEY_LEN: usize = 32;
/// The longest segment in bytes that is accepted. Without a limit, a key file would determine how much memory is used.
const MAX_SEGMENT_LEN: usize = 64 << 20;

/// A hash function of HKDF, with its number in `HashType` of Tink's `common.proto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha1 = 1,
    Sha256 = 3,
    Sha512 = 4,
}

/// One key of the type `AesGcmHkdfStreamingKey`.
pub(super) struct StreamingKey {
    id: u32,
    bytes: Zeroizing<Vec<u8>>,
    hash: Hash,
    pub(super) segment_len: usize,
    pub(super) derived_len: usize,
}

impl StreamingKey {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns HKDF (RFC 5869) with the hash of the key.
    pub(super) fn hkdf(&self) -> hkdf::Algorithm {
        match self.hash {
            Hash::Sha1 => hkdf::HKDF_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hkdf::HKDF_SHA256,
            Hash::Sha512 => hkdf::HKDF_SHA512,
        }
    }

    /// Returns the length of the stream's header in bytes: the length byte, the salt and the nonce prefix.
    pub(super) fn header_len(&self) -> usize {
        1 + self.derived_len + 7
    }
}

/// The keys of encrypted streams. The primary key encrypts, and every key can decrypt.
///
/// A keyset is read from and written as Tink's cleartext JSON, with keys of the type `AesGcmHkdfStreamingKey`.
/// [`Keyset::generate`] creates one of the template AES256_GCM_HKDF_1MB. 64 hexadecimal digits are a keyset of one such
/// key. Keys are zeroised on drop and never printed.
///
/// Every form of a keyset that Tink accepts is accepted, as far as proto3's JSON mapping has it: ids as numbers or as
/// strings (`1000`, `"1000"`, `1e3`), enumerations by name or number, base64 of either alphabet with or without
/// padding, `lowerCamelCase` and `snake_case` members, and `null` and absent members as defaults. Members that Tink
/// does not know, and members that occur twice, are errors, as in Tink for C++, Go and Python. The only additional
/// restriction is that segments have at most 64 MiB.
///
/// # Examples
/// ```
/// use qat::stream::{self, Engine, Keyset, Settings};
///
/// let keyset = Keyset::parse(&Keyset::generate()?.to_json())?;
/// let engine = Engine::software(&qat::SoftwareAccelerator::new());
/// let (mut sealed, mut opened) = (Vec::new(), Vec::new());
/// stream::encrypt(&b"attack at dawn"[..], &mut sealed, &engine, &keyset, b"", &Settings::default())?;
/// stream::decrypt(&sealed[..], &mut opened, &engine, &keyset, b"", &Settings::default())?;
/// assert_eq!(opened, b"attack at dawn");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Keyset {
    keys: Vec<StreamingKey>,
    primary: usize,
}

impl fmt::Debug for Keyset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u32> = self.keys.iter().map(|key| key.id).collect();
        f.debug_struct("Keyset").field("key_ids", &ids).finish_non_exhaustive()
    }
}

/// The reason why a key file is invalid. No variant contains key bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysetError {
    /// The content is neither JSON nor hexadecimal.
    #[error("the key is neither a Tink JSON keyset nor 64 hexadecimal digits")]
    Unrecognised,
    /// The content is hexadecimal and has the wrong length.
    #[error("a hexadecimal key has 64 digits, not {digits}")]
    HexLength {
        /// The number of digits.
        digits: usize,
    },
    /// The JSON is malformed, or a member occurs twice in one object.
    #[error(
        "malformed Tink keyset at line {line}, column {column}: it is not JSON, or a member occurs twice"
    )]
    Json {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
    },
    /// The JSON is valid, and a member is not that of a keyset.
    #[error("malformed Tink keyset, {path}: {detail}")]
    #[non_exhaustive]
    Member {
        /// The path of the member, such as `key[0].status`.
        path: String,
        /// What is wrong with the member.
        detail: &'static str,
    },
    /// The keyset has no key that is not destroyed.
    #[error("the keyset has no keys")]
    NoKeys,
    /// The keyset is encrypted.
    #[error("the keyset is encrypted: decrypt it with the key management system it came from")]
    EncryptedKeyset,
    /// A key is not an `AesGcmHkdfStreamingKey`.
    #[error("key {id} has the type {type_url}: only AesGcmHkdfStreamingKey is supported")]
    KeyType {
        /// The id of the key.
        id: u32,
        /// The type URL of the key.
        type_url: String,
    },
    /// The content of a key is invalid.
    #[error("key {id} is malformed: {detail}")]
    KeyMaterial {
        /// The id of the key.
        id: u32,
        /// What is wrong with the key.
        detail: &'static str,
    },
    /// Several enabled keys have the id of the primary key.
    #[error("the keyset has several enabled keys with the primary id {id}")]
    #[non_exhaustive]
    SeveralPrimaries {
        /// The id.
        id: u32,
    },
    /// The primary key is missing or not enabled.
    #[error("the keyset has no enabled key with the primary id {id}")]
    NoPrimary {
        /// The id that the keyset states for its primary key.
        id: u32,
    },
    /// The system returned no random bytes.
    #[error("the system returned no random bytes")]
    NoRandom,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonKeyset {
    primary_key_id: u32,
    key: Vec<JsonKey>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonKey {
    key_data: JsonKeyData,
    status: String,
    key_id: u32,
    output_prefix_type: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonKeyData {
    type_url: String,
    value: String,
    key_material_type: String,
}

impl Drop for JsonKeyData {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl Keyset {
    /// Creates a keyset with one new random key of the template AES256_GCM_HKDF_1MB.
    ///
    /// # Errors
    /// [`KeysetError::NoRandom`] where the system returns no random bytes.
    pub fn generate() -> Result<Self, KeysetError> {
        let mut bytes = Zeroizing::new(vec![0; KEY_LEN]);
        let mut id = [0; 4];
        random(&mut bytes).map_err(|_| KeysetError::NoRandom)?;
        random(&mut id).map_err(|_| KeysetError::NoRandom)?;
        // Tink never generates the id 0.
        Ok(Self::single(u32::from_be_bytes(id).max(1), bytes))
    }

    fn single(id: u32, bytes: Zeroizing<Vec<u8>>) -> Self {
        let key =
            StreamingKey { id, bytes, hash: Hash::Sha256, segment_len: SEGMENT_LEN, derived_len: KEY_LEN };
        Self { keys: vec![key], primary: 0 }
    }

    /// Parses the content of a key file: Tink's cleartext JSON, or 64 hexadecimal digits.
    ///
    /// # Errors
    /// A [`KeysetError`] describes what is wrong, without showing any of the content.
    pub fn parse(text: &str) -> Result<Self, KeysetError> {
        let text = text.trim();
        if text.starts_with('{') {
            return Self::parse_json(text);
        }
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(KeysetError::Unrecognised);
        }
        if text.len() != 2 * KEY_LEN {
            return Err(KeysetError::HexLength { digits: text.len() });
        }
        let digit = |b: u8| (b as char).to_digit(16).unwrap_or_default() as u8;
        let bytes =
            text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
        Ok(Self::single(1, Zeroizing::new(bytes)))
    }

    /// Parses Tink's JSON. As in Tink, keys that are not enabled may have any type, and destroyed keys may have no
    /// data.
    fn parse_json(text: &str) -> Result<Self, KeysetError> {
        let message = json::parse(text)?;
        let mut keys = Vec::new();
        for key in message.key.iter().filter(|key| key.status != json::DESTROYED) {
            let malformed = |detail| KeysetError::KeyMaterial { id: key.key_id, detail };
            let data = key.key_data.as_ref().ok_or_else(|| malformed("it has no keyData"))?;
            if key.output_prefix_type == 0 {
                return Err(malformed("it has no outputPrefixType"));
            }
            if key.status == 0 {
                return Err(malformed("it has no status"));
            }
            if key.status != json::ENABLED {
                continue;
            }
            if data.type_url != TYPE_URL {
                return Err(KeysetError::KeyType { id: key.key_id, type_url: data.type_url.clone() });
            }
            // Encrypted streams have no prefix, whatever the type is. Tink requires a known type nevertheless.
            if !(1..=json::CRUNCHY).contains(&key.output_prefix_type) {
                return Err(malformed("its outputPrefixType is not TINK, LEGACY, RAW or CRUNCHY"));
            }
            keys.push(parse_key(key.key_id, &data.value).map_err(malformed)?);
        }
        if message.key.iter().all(|key| key.status == json::DESTROYED) {
            return Err(KeysetError::NoKeys);
        }
        let id = message.primary_key_id;
        let mut primaries = (0..keys.len()).filter(|&i| keys[i].id == id);
        match (primaries.next(), primaries.next()) {
            (Some(primary), None) => Ok(Self { keys, primary }),
            (Some(_), Some(_)) => Err(KeysetError::SeveralPrimaries { id }),
            (None, _) => Err(KeysetError::NoPrimary { id }),
        }
    }

    /// Returns the keyset as Tink's cleartext JSON. **It contains the secret keys.**
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        let key = self.keys.iter().map(|key| JsonKey {
            key_data: JsonKeyData {
                type_url: TYPE_URL.to_owned(),
                value: STANDARD.encode(Zeroizing::new(encode_key(key))),
                key_material_type: "SYMMETRIC".to_owned(),
            },
            status: "ENABLED".to_owned(),
            key_id: key.id,
            output_prefix_type: "RAW".to_owned(),
        });
        let json = JsonKeyset { primary_key_id: self.primary().id, key: key.collect() };
        // The buffer is allocated at its final length. Growing would leave copies of the key in freed memory.
        let mut len = Length(1);
        let _ = serde_json::to_writer_pretty(&mut len, &json);
        let mut text = Zeroizing::new(Vec::with_capacity(len.0));
        let _ = serde_json::to_writer_pretty(&mut *text, &json);
        text.push(b'\n');
        Zeroizing::new(String::from_utf8(std::mem::take(&mut *text)).unwrap_or_default())
    }

    /// Returns the key as 64 hexadecimal digits, which are **the secret key**. `None` for a keyset that this form
    /// cannot express: one with several keys, or with a key of another template.
    #[must_use]
    pub fn to_hex(&self) -> Option<Zeroizing<String>> {
        let [key] = &self.keys[..] else { return None };
        let parameters = (key.bytes.len(), key.hash, key.segment_len, key.derived_len);
        if parameters != (KEY_LEN, Hash::Sha256, SEGMENT_LEN, KEY_LEN) {
            return None;
        }
        // The buffer is allocated at its final length. Growing would leave copies of the key in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_LEN));
        for nibble in key.bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
        Some(text)
    }

    /// Returns the key that encrypts.
    pub(super) fn primary(&self) -> &StreamingKey {
        &self.keys[self.primary]
    }

    /// Returns every key, beginning with the primary one.
    pub(super) fn keys(&self) -> impl Iterator<Item = &StreamingKey> {
        let others = self.keys.iter().enumerate().filter(|(i, _)| *i != self.primary).map(|(_, key)| key);
        std::iter::once(self.primary()).chain(others)
    }
}

/// Counts the bytes that are written to it.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Encodes `AesGcmHkdfStreamingKey { version = 1; params = 2 { ciphertext_segment_size = 1; derived_key_size = 2;
/// hkdf_hash_type = 3 }; key_value = 3 }` in the wire format of protocol buffers.
fn encode_key(key: &StreamingKey) -> Vec<u8> {
    let mut params = Vec::new();
    for (field, value) in [(1, key.segment_len as u64), (2, key.derived_len as u64), (3, key.hash as u64)] {
        params.push(field << 3);
        put_varint(&mut params, value);
    }
    // The buffer is allocated at its final length. Growing would leave copies of the key in freed memory.
    let mut out = Vec::with_capacity(params.len() + key.bytes.len() + 16);
    out.push(2 << 3 | 2);
    put_varint(&mut out, params.len() as u64);
    out.extend_from_slice(&params);
    out.push(3 << 3 | 2);
    put_varint(&mut out, key.bytes.len() as u64);
    out.extend_from_slice(&key.bytes);
    out
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// One field of a protocol buffers message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A field of a wire type that these messages do not use.
    Other,
}

/// Removes the first field from `message` and returns it, or `None` when it is malformed.
fn next_field<'a>(message: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = varint(message)?;
    let field = match tag & 7 {
        0 => Field::Number(varint(message)?),
        1 => take(message, 8).map(|_| Field::Other)?,
        2 => {
            let len = usize::try_from(varint(message)?).ok()?;
            Field::Bytes(take(message, len)?)
        }
        5 => take(message, 4).map(|_| Field::Other)?,
        _ => return None,
    };
    (tag >> 3 != 0).then_some((tag >> 3, field))
}

fn take<'a>(message: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (bytes, rest) = message.split_at_checked(len)?;
    *message = rest;
    Some(bytes)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Parses an `AesGcmHkdfStreamingKey`. As the wire format requires, unknown fields are skipped, the last of several
/// values counts, and parts of one submessage are merged. Groups are not accepted, because proto3 has none.
fn parse_key(id: u32, mut message: &[u8]) -> Result<StreamingKey, &'static str> {
    const MALFORMED: &str = "its value is not an AesGcmHkdfStreamingKey";
    let (mut version, mut bytes) = (0, &[][..]);
    let (mut segment_len, mut derived_len, mut hash) = (0, 0, 0);
    while !message.is_empty() {
        match next_field(&mut message).ok_or(MALFORMED)? {
            // Fields of 32 bits are truncated where the encoded number is longer, as the wire format requires.
            (1, Field::Number(number)) => version = number as u32,
            (2, Field::Bytes(mut params)) => {
                while !params.is_empty() {
                    match next_field(&mut params).ok_or(MALFORMED)? {
                        (1, Field::Number(number)) => segment_len = number as u32 as usize,
                        (2, Field::Number(number)) => derived_len = number as u32 as usize,
                        (3, Field::Number(number)) => hash = number as u32,
                        _ => {}
                    }
                }
            }
            (3, Field::Bytes(inner)) => bytes = inner,
            _ => {}
        }
    }
    if version != 0 {
        return Err("its version is not 0");
    }
    let hash = match hash {
        1 => Hash::Sha1,
        3 => Hash::Sha256,
        4 => Hash::Sha512,
        _ => return Err("its HKDF hash is not SHA-1, SHA-256 or SHA-512"),
    };
    if !matches!(derived_len, 16 | 32) || bytes.len() < derived_len {
        return Err("its key is shorter than the derived key, or the derived key is not 16 or 32 bytes long");
    }
    let key = StreamingKey { id, bytes: Zeroizing::new(bytes.to_vec()), hash, segment_len, derived_len };
    if segment_len <= key.header_len() + 16 || segment_len > MAX_SEGMENT_LEN {
        return Err("its segments are shorter than header and tag, or longer than 64 MiB");
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keysets_round_trip_and_never_print_keys() {
        let keyset = Keyset::generate().unwrap();
        let json = keyset.to_json();
        let again = Keyset::parse(&json).unwrap();
        assert_eq!(again.primary().bytes(), keyset.primary().bytes());
        assert_eq!(again.primary().id, keyset.primary().id);
        let hex: String = keyset.primary().bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(Keyset::parse(&format!(" {hex}\n")).unwrap().primary().bytes(), keyset.primary().bytes());
        assert_eq!(*keyset.to_hex().unwrap(), hex);
        let other = json.replace(&STANDARD.encode(encode_key(keyset.primary())), &{
            let bytes = Zeroizing::new(vec![7; KEY_LEN]);
            STANDARD.encode(encode_key(&StreamingKey {
                id: 1,
                bytes,
                hash: Hash::Sha256,
                segment_len: 4096,
                derived_len: 16,
            }))
        });
        assert!(Keyset::parse(&other).unwrap().to_hex().is_none());
        let shown = format!("{keyset:?}");
        assert!(shown.contains(&keyset.primary().id.to_string()) && !shown.contains("bytes"), "{shown}");
    }

    #[test]
    fn bad_key_files_are_named_and_not_quoted() {
        let good = Keyset::generate().unwrap().to_json();
        let bad = |text: &str| Keyset::parse(text).unwrap_err();
        assert_eq!(bad(""), KeysetError::Unrecognised);
        assert_eq!(bad("correct horse battery staple"), KeysetError::Unrecognised);
        assert_eq!(bad("abcd"), KeysetError::HexLength { digits: 4 });
        let wrong = bad("{\"primaryKeyId\": \"hunter2\"}");
        assert!(matches!(&wrong, KeysetError::Member { path, .. } if path == "primaryKeyId"), "{wrong}");
        let wrong = bad("{\"hunter2\": 1}");
        assert!(
            matches!(wrong, KeysetError::Member { .. }) && !wrong.to_string().contains("hunter2"),
            "{wrong}"
        );
        assert!(matches!(bad("{\"hunter2"), KeysetError::Json { line: 1, .. }));
        assert_eq!(bad("{}"), KeysetError::NoKeys);
        assert_eq!(bad("{\"encryptedKeyset\": \"AAAA\"}"), KeysetError::EncryptedKeyset);
        assert!(matches!(bad(&good.replace("ENABLED", "DISABLED")), KeysetError::NoPrimary { .. }));
        assert!(matches!(
            bad(&good.replace("AesGcmHkdfStreamingKey", "AesGcmKey")),
            KeysetError::KeyType { .. }
        ));
        for cut in ["\"value\": \"E", "\"value\": \"Eg"] {
            let broken = good.replacen("\"value\": \"", cut, 1);
            let error = bad(&broken);
            let is_named = matches!(error, KeysetError::Member { .. } | KeysetError::KeyMaterial { .. });
            assert!(is_named, "{cut}: {error:?}");
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        let key = |segment_len, derived_len, len| {
            let bytes = Zeroizing::new(vec![7; len]);
            parse_key(
                1,
                &encode_key(&StreamingKey { id: 1, bytes, hash: Hash::Sha256, segment_len, derived_len }),
            )
            .map(|_| ())
        };
        assert_eq!(key(4096, 16, 16), Ok(()));
        assert_eq!(key(1 << 20, 32, 32), Ok(()));
        assert!(key(40 + 16, 32, 32).is_err());
        assert!(key(MAX_SEGMENT_LEN + 1, 32, 32).is_err());
        assert!(key(4096, 24, 32).is_err());
        assert!(key(4096, 32, 16).is_err());
    }
}
