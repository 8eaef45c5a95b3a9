//! The services that one start of libqat provides. `device::lifecycle` fills them in.

use serde::Serialize;

use super::Capabilities;
use crate::service::Service;

/// The services that one start of libqat provides: the instance counts, and the capabilities of library and device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Services {
    pub(crate) instances: Instances,
    pub(crate) capabilities: Capabilities,
}

/// The number of instances that this process has, by service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Instances {
    /// Instances for compression and decompression.
    pub compression: u16,
    /// Instances for decompression only.
    pub decompression: u16,
    /// Instances for symmetric encryption, digests and HMAC.
    pub symmetric: u16,
    /// Instances for public-key arithmetic.
    pub asymmetric: u16,
}

impl Instances {
    /// Returns each service with its number of instances.
    #[must_use]
    pub const fn by_service(&self) -> [(Service, u16); 4] {
        [
            (Service::Compression, self.compression),
            (Service::Decompression, self.decompression),
            (Service::Symmetric, self.symmetric),
            (Service::Asymmetric, self.asymmetric),
        ]
    }

    /// Returns the number of instances of all services together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_service().iter().map(|(_, count)| u64::from(*count)).sum()
    }
}
