//! Compression and encryption on Intel QAT, or on the CPU, behind one API that says which.

mod accelerator;
mod auto;
mod capabilities;
mod container;
mod driver;
mod info;
pub mod probe;
mod raw;
pub mod software;
mod status;
pub mod stream;
mod unavailability;

pub use accel_core;
pub use accelerator::QatAccelerator;
pub use auto::{AutoAccelerator, Policy};
pub use capabilities::{
    Capabilities, CompressionCapabilities, Directions, EncryptionCapabilities, PublicKeyCapabilities,
};
pub use driver::Instances;
pub use info::{GroupInfo, Info, LibraryInfo, ServiceInfo};
pub use software::SoftwareAccelerator;
pub use status::CpaStatus;
pub use unavailability::Unavailability;
