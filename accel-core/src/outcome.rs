//! Provenance: where a piece of work ran, and why there.

use std::fmt;

/// What one operation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Outcome {
    /// Bytes of input that were used. Less than the input's length only where the operation says so.
    pub bytes_in: usize,
    /// Bytes of output that were written.
    pub bytes_out: usize,
    /// Where the work ran.
    pub path: Path,
}

/// Where a piece of work ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Path {
    /// On a device, on this instance of it (an index into the accelerator's instances).
    Hardware {
        /// Index of the instance.
        instance: u16,
    },
    /// On the CPU, and why.
    Software(SoftwareReason),
}

impl Path {
    /// Whether a device did the work.
    #[must_use]
    pub const fn is_hardware(self) -> bool {
        matches!(self, Self::Hardware { .. })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hardware { instance } => write!(f, "hardware (instance {instance})"),
            Self::Software(reason) => write!(f, "software ({reason})"),
        }
    }
}

/// Why work ran on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SoftwareReason {
    /// The caller asked the software engine itself.
    Chosen,
    /// The device, its driver or its library is not there.
    Unavailable,
    /// The input is shorter than the fixed threshold from which on the device is used.
    TooSmall,
    /// The device, or this release of the hardware path, cannot do this operation.
    Unsupported,
    /// The device had no room, or as much to do as it can do at once, and the CPU had time.
    Busy,
    /// The device failed at it, or failed just before and is left alone for a while.
    DeviceError,
    /// The policy in force sends this work to the CPU.
    Policy,
    /// By what was measured of both, the CPU is done sooner.
    Sooner,
    /// The CPU's speed at this work was measured again, to choose by current figures.
    Measured,
}

impl SoftwareReason {
    /// Every reason, in the order in which the counters hold them.
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
            Self::Sooner => "sooner done there",
            Self::Measured => "measured again",
        })
    }
}
