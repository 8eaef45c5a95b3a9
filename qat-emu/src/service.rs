//! The services that a ring pair can offer: compression, symmetric and public-key crypto.

use serde::{Deserialize, Serialize};

/// What a ring pair serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Service {
    /// Data compression.
    #[serde(rename = "dc")]
    Compression,
    /// Symmetric crypto.
    #[serde(rename = "sym")]
    Symmetric,
    /// Public-key crypto.
    #[serde(rename = "asym")]
    Asymmetric,
}

impl Service {
    /// All of them, in the order of the counters.
    pub const ALL: [Self; 3] = [Self::Compression, Self::Symmetric, Self::Asymmetric];

    /// The kernel's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Compression => "dc",
            Self::Symmetric => "sym",
            Self::Asymmetric => "asym",
        }
    }

    /// Position in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}
