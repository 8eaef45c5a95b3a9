//! The reasons that the errors of this crate carry: statuses of libqat, failures of the device, and causes of
//! unavailability.
//!
//! The modules `device` and `accelerator` create them; callers see them inside [`accel_core::Error`]. Nothing here
//! calls libqat or looks at the machine.

mod device;
mod status;
mod unavailability;

pub use device::{DeviceError, RequestStatus};
pub use status::CpaStatus;
pub use unavailability::Unavailability;

/// The name of the accelerator on QAT hardware, as errors and the capability registry state it.
pub(crate) const HARDWARE: &str = "qat";
/// The name of the CPU engine, as errors state it.
pub(crate) const SOFTWARE: &str = "software";
