//! Provenance: where a piece of work ran, and why it ran there.

use std::fmt;

/// Describes one operation that succeeded: how many bytes it read and wrote, and where it ran.
///
/// # Examples
/// ```
/// use accel_core::{Outcome, ExecutedOn, SoftwareReason};
///
/// let outcome = Outcome { bytes_in: 100, bytes_out: 40, path: ExecutedOn::Software(SoftwareReason::TooSmall) };
/// assert!(!outcome.path.is_hardware());
/// assert_eq!(outcome.path.to_string(), "software (input below the threshold)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Outcome {
    /// The number of bytes of input that were used. It is less than the input's length only where the operation says so.
    pub bytes_in: usize,
    /// The number of bytes of output that were written.
    pub bytes_out: usize,
    /// Where the work ran, and for the CPU why.
    pub path: ExecutedOn,
}

/// Says where a piece of work ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum ExecutedOn {
    /// It ran on a device.
    Hardware {
        /// The index of the device's instance among the accelerator's instances.
        instance: u16,
    },
    /// It ran on the CPU, for this reason.
    Software(SoftwareReason),
}

impl ExecutedOn {
    /// Returns whether a device did the work.
    #[must_use]
    pub const fn is_hardware(self) -> bool {
        matches!(self, Self::Hardware { .. })
    }
}

impl fmt::Display for ExecutedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hardware { instance } => write!(f, "hardware (instance {instance})"),
            Self::Software(reason) => write!(f, "software ({reason})"),
        }
    }
}

/// Says why work ran on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SoftwareReason {
    /// The caller called the software engine itself.
    Chosen,
    /// The device, its driver or its library is not there.
    Unavailable,
    /// The input is shorter than the fixed threshold from which on the device is used.
    TooSmall,
    /// The device, or this release of the hardware path, cannot do this operation.
    Unsupported,
    /// The device had no room for another request, or was busy to capacity while the CPU was not.
    Busy,
    /// The device failed at this work, or had failed shortly before and is not used for a while.
    DeviceError,
    /// The policy in force sends this work to the CPU.
    Policy,
    /// According to the measurements of both, the CPU was expected to finish sooner.
    Sooner,
    /// The CPU's speed at this work was due to be measured again.
    Measured,
}

impl SoftwareReason {
    /// All reasons, in the order in which the counters hold them.
    pub const ALL: [Self; 9] = [
        Self::Chosen,
        Self::Unavailable,
        Self::TooSmall,
        Self::Unsupported,
        Self::Busy,
        Self::DeviceError,
        Self::Policy,
        Self::Sooner,
        Self::Measured,
    ];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for SoftwareReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chosen => "chosen by the caller",
            Self::Unavailable => "hardware unavailable",
            Self::TooSmall => "input below the threshold",
            Self::Unsupported => "not supported by the hardware path",
            Self::Busy => "device busy",
            Self::DeviceError => "device error",
            Self::Policy => "policy",
            Self::Sooner => "expected to finish sooner",
            Self::Measured => "measured again",
        })
    }
}
