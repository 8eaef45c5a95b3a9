//! The errors of this crate and what they are made of.

mod device;
mod status;
mod unavailability;

pub use device::{DeviceError, RequestStatus};
pub use status::CpaStatus;
pub use unavailability::Unavailability;
