//! Wrappers of the data-plane API for compression: `cpa_dc_dp.h`. The module `device::inflight` calls them.
//!
//! These calls take a third of the instructions of the traditional ones. They take bus addresses and one buffer on each
//! side, always end the stream, and require the caller to let one thread at a time use an instance.

use std::ptr::NonNull;

use qat_sys::{
    CPA_TRUE, CpaDcDpCallbackFn, CpaDcDpOpData, CpaDcSessionSetupData, CpaInstanceHandle, Symbols,
};

use crate::error::CpaStatus;

/// Registers `callback`, which libqat calls for each response to a request of [`enqueue`].
///
/// # Errors
/// The status that libqat returns.
///
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start; the callback stays loaded.
#[doc(alias = "cpaDcDpRegCbFunc")]
pub(crate) unsafe fn register(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    callback: CpaDcDpCallbackFn,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc_dp.h`: the call keeps a pointer to a function, which stays loaded by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcDpRegCbFunc)(instance, callback) }).into_result()
}

/// Creates a stateless session for [`enqueue`] in `memory`. [`remove_session`](super::dc::remove_session) removes it.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start. `memory` is device memory of
/// [`session_len`](super::dc::session_len) bytes that remains until the session is removed.
#[doc(alias = "cpaDcDpInitSession")]
pub(crate) unsafe fn init_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
    setup: &CpaDcSessionSetupData,
) -> Result<(), CpaStatus> {
    let mut setup = *setup;
    // SAFETY: `cpa_dc_dp.h`: the call reads the setup; the session memory is valid by this function's contract.
    let status = unsafe { (symbols.cpaDcDpInitSession)(instance, memory.as_ptr().cast(), &mut setup) };
    CpaStatus::from_raw(status).into_result()
}

/// Submits a request.
///
/// # Errors
/// `RETRY` when the ring is full, or another status that libqat returns.
///
/// # Safety
/// libqat is started, the operation's instance is a compression one of this start, and [`register`] was called for it.
/// No other thread submits to the instance or polls it during the call. The operation is in device memory; it states
/// its own bus address, its instance and a session of that instance, and buffers by bus addresses of device memory. All
/// of it stays where it is until the callback has run.
#[doc(alias = "cpaDcDpEnqueueOp")]
pub(crate) unsafe fn enqueue(symbols: &Symbols, operation: NonNull<CpaDcDpOpData>) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc_dp.h`: the operation is valid until the callback, and the instance is used by this thread only,
    // by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcDpEnqueueOp)(operation.as_ptr(), CPA_TRUE) }).into_result()
}

/// Takes all responses that are available, to requests of either API, and runs their callbacks. Returns `RETRY` when
/// there is none.
///
/// An instance has one ring for the responses to all its requests, and each response names its request and so its
/// callback. Unlike `icp_sal_DcPollInstance`, this call does not fabricate responses after a fatal error; libqat 24.02
/// crashes when it does so and the missing responses are not the last ones.
///
/// # Safety
/// libqat is started and the instance belongs to this start. No other thread polls it or submits to it during the call,
/// and this thread is not inside a callback of the instance.
#[doc(alias = "icp_sal_DcPollDpInstance")]
pub(crate) unsafe fn poll(symbols: &Symbols, instance: CpaInstanceHandle) -> CpaStatus {
    // SAFETY: `icp_sal_poll.h`: a quota of 0 means all responses; the instance is used by this thread only, by this
    // function's contract.
    CpaStatus::from_raw(unsafe { (symbols.icp_sal_DcPollDpInstance)(instance, 0) })
}
