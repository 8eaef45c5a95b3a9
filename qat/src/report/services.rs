//! What one start of libqat gave.

use serde::Serialize;

use super::Capabilities;
use crate::service::Service;

/// What one start of libqat gave: its instances, and what library and device can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Services {
    pub(crate) instances: Instances,
    pub(crate) capabilities: Capabilities,
}

/// Instances of this process by service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Instances {
    /// Compression and decompression.
    pub compression: u16,
    /// Decompression alone.
    pub decompression: u16,
    /// Symmetric encryption.
    pub symmetric: u16,
    /// Public-key arithmetic.
    pub asymmetric: u16,
}

impl Instances {
    /// The count of each service.
    #[must_use]
    pub const fn by_service(&self) -> [(Service, u16); 4] {
        [
            (Service::Compression, self.compression),
            (Service::Decompression, self.decompression),
            (Service::Symmetric, self.symmetric),
            (Service::Asymmetric, self.asymmetric),
        ]
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_service().iter().map(|(_, count)| u64::from(*count)).sum()
    }
}
