//! Parses `google.crypto.tink.Keyset` from JSON according to proto3's JSON mapping, as Tink does.
//!
//! The mapping (protobuf.dev, "ProtoJSON Format") allows several forms of one keyset: member names in `lowerCamelCase`
//! or as in the `.proto` file, numbers as JSON numbers or as strings with fraction and exponent, enumerations by name
//! or number, base64 of either alphabet with or without padding, and `null` for the default. Members that the message
//! does not have, and members that occur twice, are errors, as in Tink for C++, Go and Python.
//!
//! Only [`Keyset::parse`](super::Keyset::parse) calls this. Key bytes are zeroised on drop, and never part of an error.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::KeysetError;

/// The message `google.crypto.tink.Keyset`.
#[derive(Default)]
pub(super) struct KeysetMessage {
    pub(super) primary_key_id: u32,
    pub(super) key: Vec<KeyMessage>,
}

/// The message `google.crypto.tink.Keyset.Key`.
#[derive(Default)]
pub(super) struct KeyMessage {
    pub(super) key_data: Option<KeyData>,
    pub(super) status: i32,
    pub(super) key_id: u32,
    pub(super) output_prefix_type: i32,
}

/// The message `google.crypto.tink.KeyData`.
#[derive(Default)]
pub(super) struct KeyData {
    pub(super) type_url: String,
    pub(super) value: Zeroizing<Vec<u8>>,
}

/// The names of `KeyStatusType`, indexed by number.
const STATUS: &[&str] = &["UNKNOWN_STATUS", "ENABLED", "DISABLED", "DESTROYED"];
pub(super) const ENABLED: i32 = 1;
pub(super) const DESTROYED: i32 = 3;
/// The names of `OutputPrefixType`, indexed by number.
const PREFIX: &[&str] = &["UNKNOWN_PREFIX", "TINK", "LEGACY", "RAW", "CRUNCHY", "WITH_ID_REQUIREMENT"];
pub(super) const CRUNCHY: i32 = 4;
/// The names of `KeyMaterialType`, indexed by number.
const MATERIAL: &[&str] =
    &["UNKNOWN_KEYMATERIAL", "SYMMETRIC", "ASYMMETRIC_PRIVATE", "ASYMMETRIC_PUBLIC", "REMOTE"];

/// Base64 with or without padding. The unused bits of the last character may have any value.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Parses a keyset whose keys are in cleartext.
///
/// # Errors
/// [`KeysetError::Json`], [`KeysetError::EncryptedKeyset`] and [`KeysetError::Member`].
pub(super) fn parse(text: &str) -> Result<KeysetMessage, KeysetError> {
    let json: Json = serde_json::from_str(text).map_err(|error| {
        // The parser's own message is not kept, because it could quote the key.
        KeysetError::Json { line: error.line(), column: error.column() }
    })?;
    if let Json::Members(members) = &json
        && members.iter().any(|(name, _)| matches!(&name[..], "encryptedKeyset" | "encrypted_keyset"))
    {
        return Err(KeysetError::EncryptedKeyset);
    }
    let mut keyset = KeysetMessage::default();
    keyset.merge(json, "").map_err(|(path, detail)| KeysetError::Member {
        path: if path.is_empty() { "the keyset".to_owned() } else { path },
        detail,
    })?;
    Ok(keyset)
}

/// The path of an invalid member, and what is wrong with it.
type Wrong = (String, &'static str);

impl KeysetMessage {
    fn merge(&mut self, json: Json, path: &str) -> Result<(), Wrong> {
        for (name, value) in members(json, path)? {
            match &name[..] {
                "primaryKeyId" | "primary_key_id" => {
                    self.primary_key_id = value.number().map_err(|detail| (name, detail))?;
                }
                "key" => {
                    self.key.clear();
                    let keys = match value {
                        Json::Null => Vec::new(),
                        Json::List(keys) => keys,
                        _ => return Err((name, "it is not a list")),
                    };
                    for (i, json) in keys.into_iter().enumerate() {
                        let mut key = KeyMessage::default();
                        key.merge(json, &format!("key[{i}]"))?;
                        self.key.push(key);
                    }
                }
                _ => return Err(unknown(path)),
            }
        }
        Ok(())
    }
}

impl KeyMessage {
    fn merge(&mut self, json: Json, path: &str) -> Result<(), Wrong> {
        for (name, value) in members(json, path)? {
            let wrong = |detail| (format!("{path}.{name}"), detail);
            match &name[..] {
                "keyData" | "key_data" => match value {
                    Json::Null => self.key_data = None,
                    json => {
                        let data = self.key_data.get_or_insert_with(KeyData::default);
                        data.merge(json, &format!("{path}.{name}"))?;
                    }
                },
                "status" => self.status = value.enumerator(STATUS).map_err(wrong)?,
                "keyId" | "key_id" => self.key_id = value.number().map_err(wrong)?,
                "outputPrefixType" | "output_prefix_type" => {
                    self.output_prefix_type = value.enumerator(PREFIX).map_err(wrong)?;
                }
                _ => return Err(unknown(path)),
            }
        }
        Ok(())
    }
}

impl KeyData {
    fn merge(&mut self, json: Json, path: &str) -> Result<(), Wrong> {
        for (name, value) in members(json, path)? {
            let wrong = |detail| (format!("{path}.{name}"), detail);
            match &name[..] {
                "typeUrl" | "type_url" => self.type_url = value.text().map_err(wrong)?.to_string(),
                "value" => self.value = value.bytes().map_err(wrong)?,
                // The value is ignored, because the type URL determines it. Tink requires that it is a valid
                // enumerator.
                "keyMaterialType" | "key_material_type" => {
                    value.enumerator(MATERIAL).map_err(wrong)?;
                }
                _ => return Err(unknown(path)),
            }
        }
        Ok(())
    }
}

fn members(json: Json, path: &str) -> Result<Vec<(String, Json)>, Wrong> {
    match json {
        Json::Members(members) => Ok(members),
        _ => Err((path.to_owned(), "it is not an object")),
    }
}

/// Returns the error for an unknown member. Its name is not shown, because a member of a malformed key file may be key
/// material.
fn unknown(path: &str) -> Wrong {
    (path.to_owned(), "it has a member that Tink's keysets do not have")
}

/// A JSON value. Strings are zeroised on drop, since one of them is the key. For a string with escape sequences the
/// parser keeps a copy of its own, which this type cannot zeroise; neither Tink nor this crate writes escape sequences.
enum Json {
    Null,
    Bool,
    Number(f64),
    Text(Zeroizing<String>),
    List(Vec<Json>),
    /// The members in the order of the text, without duplicates.
    Members(Vec<(String, Json)>),
}

impl Json {
    /// Returns the value as a `uint32`.
    fn number(&self) -> Result<u32, &'static str> {
        const WRONG: &str = "it is not a whole number from 0 to 4294967295";
        let number = match self {
            Self::Null => 0.0,
            Self::Number(number) => *number,
            // The check excludes other texts that Rust parses as a number, such as "inf".
            Self::Text(text)
                if text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) =>
            {
                text.parse().map_err(|_| WRONG)?
            }
            _ => return Err(WRONG),
        };
        if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) {
            Ok(number as u32)
        } else {
            Err(WRONG)
        }
    }

    /// Returns the number of an enumerator. The enumerations of proto3 are open, so that a number need not have a name.
    fn enumerator(&self, names: &[&str]) -> Result<i32, &'static str> {
        const WRONG: &str = "it is neither the name nor the number of a value that Tink knows";
        match self {
            Self::Null => Ok(0),
            Self::Number(number) if number.fract() == 0.0 && *number == f64::from(*number as i32) => {
                Ok(*number as i32)
            }
            Self::Text(text) => match names.iter().position(|name| *name == text.as_str()) {
                Some(number) => Ok(number as i32),
                None => text.parse().map_err(|_| WRONG),
            },
            _ => Err(WRONG),
        }
    }

    fn text(&self) -> Result<&str, &'static str> {
        match self {
            Self::Null => Ok(""),
            Self::Text(text) => Ok(text),
            _ => Err("it is not a text"),
        }
    }

    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        let mut standard = Zeroizing::new(self.text()?.as_bytes().to_vec());
        for byte in standard.iter_mut() {
            *byte = match *byte {
                b'-' => b'+',
                b'_' => b'/',
                other => other,
            };
        }
        // The buffer is allocated at its final length. Growing would leave copies of the key in freed memory.
        let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(standard.len())]);
        let len = BASE64.decode_slice(&standard[..], &mut bytes).map_err(|_| "it is not base64")?;
        bytes.truncate(len);
        Ok(bytes)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some((name, value)) = map.next_entry()? {
            members.push((name, value));
        }
        let mut names: Vec<&str> = members.iter().map(|(name, _)| &name[..]).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(de::Error::custom("a member occurs twice"));
        }
        Ok(Json::Members(members))
    }
}
