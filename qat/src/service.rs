//! The services that a QAT device can be configured for, in the kernel's words (`cfg_services`). The probe and the
//! reports use them; nothing here configures a device.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use accel_core::AcceleratorTypes;
use serde::{Serialize, Serializer};

/// A service that a device can be configured for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Service {
    /// Symmetric encryption, authentication and digests.
    Symmetric,
    /// Public-key arithmetic.
    Asymmetric,
    /// Compression and decompression.
    Compression,
    /// Compression chained with a digest.
    CompressionChaining,
    /// Decompression only.
    Decompression,
    /// A word of the kernel's that this crate does not know.
    Other(Box<str>),
}

impl Service {
    /// Returns the kinds of work that the service does; empty for an unknown one.
    #[must_use]
    pub const fn types(&self) -> AcceleratorTypes {
        match self {
            Self::Symmetric => AcceleratorTypes::ENCRYPTION.union(AcceleratorTypes::HASHING),
            Self::Asymmetric => AcceleratorTypes::PUBLIC_KEY,
            Self::Compression | Self::Decompression => AcceleratorTypes::COMPRESSION,
            Self::CompressionChaining => AcceleratorTypes::COMPRESSION.union(AcceleratorTypes::HASHING),
            Self::Other(_) => AcceleratorTypes::empty(),
        }
    }

    /// Parses the text of `cfg_services`: words separated by semicolons, in any order.
    #[must_use]
    pub fn parse_list(text: &str) -> Vec<Self> {
        let words = text.split(';').map(str::trim).filter(|word| !word.is_empty());
        words.map(|word| word.parse().unwrap_or_else(|never| match never {})).collect()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Symmetric => "sym",
            Self::Asymmetric => "asym",
            Self::Compression => "dc",
            Self::CompressionChaining => "dcc",
            Self::Decompression => "decomp",
            Self::Other(word) => word,
        })
    }
}

impl FromStr for Service {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(match word {
            "sym" => Self::Symmetric,
            "asym" => Self::Asymmetric,
            "dc" => Self::Compression,
            "dcc" => Self::CompressionChaining,
            "decomp" => Self::Decompression,
            other => Self::Other(other.into()),
        })
    }
}

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The serialised form is the kernel's word.
        serializer.collect_str(self)
    }
}
