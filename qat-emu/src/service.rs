//! The services that a ring pair can offer. Configuration, faults, counters, engines and the device all refer to them.

use serde::{Deserialize, Serialize};

/// Names the service of a ring pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Service {
    /// The ring pair serves data compression.
    #[serde(rename = "dc")]
    Compression,
    /// The ring pair serves symmetric cryptography.
    #[serde(rename = "sym")]
    Symmetric,
    /// The ring pair serves public-key cryptography.
    #[serde(rename = "asym")]
    Asymmetric,
}

impl Service {
    /// Lists all services in the order of the counters.
    pub const ALL: [Self; 3] = [Self::Compression, Self::Symmetric, Self::Asymmetric];

    /// Returns the kernel's name of the service.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Compression => "dc",
            Self::Symmetric => "sym",
            Self::Asymmetric => "asym",
        }
    }

    /// Returns the position in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}
