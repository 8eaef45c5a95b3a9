//! What can go wrong with a request on the device.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use accel_core::Error;
use qat_sys as sys;

use crate::error::CpaStatus;

/// What a compression request came to, as `cpa_dc.h` numbers it. An open set: a number that a later release brings stays
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestStatus(i32);

impl RequestStatus {
    /// It worked.
    pub const OK: Self = Self(sys::CPA_DC_OK);
    /// The output did not fit.
    pub const OVERFLOW: Self = Self(sys::CPA_DC_OVERFLOW);

    /// The status of this number.
    #[must_use]
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// Its number.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// What is wrong with the data, if the data are to blame.
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

/// Why a request failed on the device. The reason inside [`Error::Device`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// libqat did not take the request.
    #[error("libqat refused the request: {status}; it may have said more on the standard error stream")]
    Refused {
        /// What the call returned.
        status: CpaStatus,
    },
    /// The device answered with a failure.
    #[error("the request failed on the device: {status}, {request}")]
    Failed {
        /// What the callback was given.
        status: CpaStatus,
        /// What the request's results say; `OK` where they say nothing.
        request: RequestStatus,
    },
    /// No answer came in time. The request's memory stays with the driver until one comes.
    #[error(
        "the device did not answer within {deadline:?}; check its state (`qat info`), or raise the deadline"
    )]
    TimedOut {
        /// The deadline.
        deadline: Duration,
    },
    /// The device was restarted, or taken away, with the request on it.
    #[error("the device was restarted or removed while it had the request; the request can be made again")]
    Gone,
    /// The device's output does not agree with itself: lengths or checksums are wrong.
    #[error("the device's output is wrong: {detail}")]
    Wrong {
        /// What does not agree.
        detail: Cow<'static, str>,
    },
    /// libusdm has no memory for the request.
    #[error(
        "no device memory: check the limit of locked memory (ulimit -l), or lower the number of requests at a time"
    )]
    NoMemory,
    /// All instances are at rest after failures.
    #[error("all instances are in quarantine after failures of the device; they are tried again by and by")]
    Suspended,
}

impl From<DeviceError> for Error {
    fn from(reason: DeviceError) -> Self {
        Self::Device { accelerator: crate::error::HARDWARE, reason: Arc::new(reason) }
    }
}
