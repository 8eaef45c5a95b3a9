//! The failures of a request on the device. The module `device` creates them; nothing here touches a request.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use accel_core::Error;
use qat_sys as sys;

use crate::error::CpaStatus;

/// The status of a compression request, with the numbers of `cpa_dc.h`. The set is open: a number that only a later
/// release defines keeps its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestStatus(i32);

impl RequestStatus {
    /// The request succeeded.
    pub const OK: Self = Self(sys::CPA_DC_OK);
    /// The output did not fit into its buffer.
    pub const OVERFLOW: Self = Self(sys::CPA_DC_OVERFLOW);

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

    /// Returns what is wrong with the input data; `None` for a status that does not report bad data.
    pub(crate) const fn bad_data(self) -> Option<&'static str> {
        Some(match self.0 {
            sys::CPA_DC_INVALID_BLOCK_TYPE => "invalid block type",
            sys::CPA_DC_BAD_STORED_BLOCK_LEN => "length of a stored block does not match its complement",
            sys::CPA_DC_TOO_MANY_CODES => "too many length or distance codes",
            sys::CPA_DC_INCOMPLETE_CODE_LENS => "code lengths are incomplete",
            sys::CPA_DC_REPEATED_LENS => "a repeated length without a first one",
            sys::CPA_DC_MORE_REPEAT => "more repeated lengths than lengths",
            sys::CPA_DC_BAD_LITLEN_CODES => "invalid literal or length codes",
            sys::CPA_DC_BAD_DIST_CODES => "invalid distance codes",
            sys::CPA_DC_INVALID_CODE => "invalid code",
            sys::CPA_DC_INVALID_DIST => "a distance reaches before the start",
            sys::CPA_DC_LZ4_INVALID_COMP_LEN => "invalid block length",
            sys::CPA_DC_LZ4_MAX_BLOCK_SIZE_EXCEEDED => "a block is larger than the frame allows",
            sys::CPA_DC_LZ4_BLOCK_OVERFLOW_ERR => "a block holds more than the frame allows",
            sys::CPA_DC_LZ4_TOKEN_IS_ZERO_ERR | sys::CPA_DC_ZERO_TOKEN_OFFSET => "a match of distance 0",
            sys::CPA_DC_LZ4_DISTANCE_OUT_OF_RANGE_ERR => "a distance reaches before the start",
            _ => return None,
        })
    }

    const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            sys::CPA_DC_OK => "OK",
            sys::CPA_DC_OVERFLOW => "OVERFLOW",
            sys::CPA_DC_SOFTERR => "SOFTERR",
            sys::CPA_DC_FATALERR => "FATALERR",
            sys::CPA_DC_MAX_RESUBITERR => "MAX_RESUBITERR",
            sys::CPA_DC_INCOMPLETE_FILE_ERR => "INCOMPLETE_FILE_ERR",
            sys::CPA_DC_WDOG_TIMER_ERR => "WDOG_TIMER_ERR",
            sys::CPA_DC_EP_HARDWARE_ERR => "EP_HARDWARE_ERR",
            sys::CPA_DC_VERIFY_ERROR => "VERIFY_ERROR",
            sys::CPA_DC_EMPTY_DYM_BLK => "EMPTY_DYM_BLK",
            sys::CPA_DC_CRC_INTEG_ERR => "CRC_INTEG_ERR",
            sys::CPA_DC_REGION_OUT_OF_BOUNDS => "REGION_OUT_OF_BOUNDS",
            sys::CPA_DC_ACCEL_PARITY_ERR => "ACCEL_PARITY_ERR",
            _ => return None,
        })
    }
}

impl fmt::Display for RequestStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "status {}", self.0),
        }
    }
}

/// Why a request failed on the device. [`Error::Device`] carries it as its reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// libqat rejected the request when it was submitted.
    #[error(
        "libqat rejected the request: {status}; see standard error, where libqat may have printed the reason"
    )]
    Refused {
        /// The status that the call returned.
        status: CpaStatus,
    },
    /// The device's response reports a failure.
    #[error("the request failed on the device: {status}, {request}")]
    Failed {
        /// The status that libqat passed to the callback.
        status: CpaStatus,
        /// The status in the request's results; `OK` for requests whose results have none.
        request: RequestStatus,
    },
    /// No response arrived in time. This crate keeps the request's memory until the response arrives.
    #[error(
        "the device did not respond within {deadline:?}; check its state with `qat info`, or raise the deadline"
    )]
    TimedOut {
        /// The deadline that has passed.
        deadline: Duration,
    },
    /// The device was restarted or removed while it processed the request.
    #[error("the device was restarted or removed while it processed the request; repeat the request")]
    Gone,
    /// The device's output is inconsistent: lengths or checksums are wrong.
    #[error("the device's output is wrong: {detail}")]
    Wrong {
        /// What is inconsistent.
        detail: Cow<'static, str>,
    },
    /// libusdm could not allocate memory for the request.
    #[error(
        "libusdm could not allocate device memory; raise the limit of locked memory (ulimit -l), or submit fewer \
         requests at a time"
    )]
    NoMemory,
    /// All instances that could process the request are suspended after failures.
    #[error("all instances are suspended after repeated device failures; they are retried automatically")]
    Suspended,
}

impl From<DeviceError> for Error {
    fn from(reason: DeviceError) -> Self {
        Self::Device { accelerator: crate::error::HARDWARE, reason: Arc::new(reason) }
    }
}
