//! The types in which the accelerator reports about itself: the library, its services and instances, and their
//! capabilities.
//!
//! The modules `accelerator` and `device` fill them in; nothing here calls libqat.

mod capabilities;
mod info;
mod services;

pub use capabilities::{
    Capabilities, CompressionCapabilities, Directions, EncryptionCapabilities, PublicKeyCapabilities,
};
pub use info::{GroupInfo, Info, InstanceInfo, LibraryCounts, LibraryInfo, MemoryInfo, ServiceInfo};
pub use services::Instances;
pub(crate) use services::Services;
