//! The status that a call into libqat returns. Every wrapper in the module `raw` returns it; nothing here calls libqat.

use std::fmt;

use qat_sys as sys;
use serde::{Serialize, Serializer};

/// The status of a libqat call, with the numbers of `cpa.h`. The set is open: a number that only a later release
/// defines keeps its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CpaStatus(i32);

impl CpaStatus {
    /// The call succeeded.
    pub const SUCCESS: Self = Self(sys::CPA_STATUS_SUCCESS);
    /// The call failed, and the library does not report why; it may have printed a reason to standard error.
    pub const FAIL: Self = Self(sys::CPA_STATUS_FAIL);
    /// The device's queue is full; the same call may succeed later.
    pub const RETRY: Self = Self(sys::CPA_STATUS_RETRY);
    /// A resource is missing: memory, an instance, or the started library.
    pub const RESOURCE: Self = Self(sys::CPA_STATUS_RESOURCE);
    /// The library rejected an argument.
    pub const INVALID_PARAM: Self = Self(sys::CPA_STATUS_INVALID_PARAM);
    /// The device or the library failed in a way that only a restart can repair.
    pub const FATAL: Self = Self(sys::CPA_STATUS_FATAL);
    /// This library or this device does not support the operation.
    pub const UNSUPPORTED: Self = Self(sys::CPA_STATUS_UNSUPPORTED);
    /// The device is being restarted.
    pub const RESTARTING: Self = Self(sys::CPA_STATUS_RESTARTING);

    /// Returns the status with this number.
    #[must_use]
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// Returns the number of the status.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// Returns the name of the status; `None` for a number that `cpa.h` of qatlib 26.08 does not define.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::SUCCESS => "SUCCESS",
            Self::FAIL => "FAIL",
            Self::RETRY => "RETRY",
            Self::RESOURCE => "RESOURCE",
            Self::INVALID_PARAM => "INVALID_PARAM",
            Self::FATAL => "FATAL",
            Self::UNSUPPORTED => "UNSUPPORTED",
            Self::RESTARTING => "RESTARTING",
            _ => return None,
        })
    }

    /// Returns `Ok` for [`SUCCESS`](Self::SUCCESS), and otherwise the status as the error.
    pub(crate) fn into_result(self) -> Result<(), Self> {
        if self == Self::SUCCESS { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for CpaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "status {}", self.0),
        }
    }
}

impl Serialize for CpaStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected numbers are typed from `cpa.h`, not taken from the bindings.
    #[test]
    fn known_statuses_have_names_and_unknown_ones_keep_their_number() {
        let names =
            ["SUCCESS", "FAIL", "RETRY", "RESOURCE", "INVALID_PARAM", "FATAL", "UNSUPPORTED", "RESTARTING"];
        for (raw, name) in (0..).map(|i: i32| -i).zip(names) {
            assert_eq!(CpaStatus::from_raw(raw).to_string(), format!("{name} ({raw})"));
        }
        for raw in [1, -8, i32::MIN, i32::MAX] {
            let status = CpaStatus::from_raw(raw);
            assert_eq!(
                (status.name(), status.raw(), status.to_string()),
                (None, raw, format!("status {raw}"))
            );
            assert_eq!(status.into_result(), Err(status));
        }
    }
}
