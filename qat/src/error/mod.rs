//! The errors of this crate and what they are made of.

mod device;
mod status;
mod unavailability;

pub use device::{DeviceError, RequestStatus};
pub use status::CpaStatus;
pub use unavailability::Unavailability;

/// The name of the accelerator on QAT hardware, in errors and in the registry.
pub(crate) const HARDWARE: &str = "qat";
/// The name of the CPU engine, in errors.
pub(crate) const SOFTWARE: &str = "software";
