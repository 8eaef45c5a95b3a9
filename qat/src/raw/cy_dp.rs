//! Wrappers of the data-plane API for symmetric work: `cpa_cy_sym_dp.h`. The module `device::inflight` calls them.
//!
//! These calls take a third of the instructions of the traditional ones. They take bus addresses, accept only whole
//! blocks for AES-XTS, and require the caller to let one thread at a time use an instance.
//!
//! The response to a request that the device rejected has the status `UNSUPPORTED`. From qatlib 26.02 on, the response
//! to invalid parameters has the status `FAIL`, or, where the device compares a digest, reports a digest that does not
//! match.

use std::ptr::NonNull;

use qat_sys::{
    CPA_TRUE, CpaCySymDpCbFunc, CpaCySymDpOpData, CpaCySymSessionSetupData, CpaInstanceHandle, Symbols,
};

use crate::error::CpaStatus;

/// Registers `callback`, which libqat calls for each response to a request of [`enqueue`].
///
/// # Errors
/// The status that libqat returns.
///
///
/// # Safety
/// libqat is started and `instance` is a symmetric instance of this start; the callback stays loaded.
#[doc(alias = "cpaCySymDpRegCbFunc")]
pub(crate) unsafe fn register(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    callback: CpaCySymDpCbFunc,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym_dp.h`: the call keeps a pointer to a function, which stays loaded by this function's
    // contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaCySymDpRegCbFunc)(instance, callback) }).into_result()
}

/// Creates a session for [`enqueue`] in `memory`. libqat copies the keys into it, and
/// [`remove_session`](super::cy::remove_session) removes it.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a symmetric instance of this start. The pointers in `setup` point to keys of the
/// lengths that it states. `memory` is device memory of [`session_len`](super::cy::session_len) bytes that remains
/// until the session is removed.
#[doc(alias = "cpaCySymDpInitSession")]
pub(crate) unsafe fn init_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
    setup: &CpaCySymSessionSetupData,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym_dp.h`: setup and session memory are valid by this function's contract.
    let status = unsafe { (symbols.cpaCySymDpInitSession)(instance, setup, memory.as_ptr().cast()) };
    CpaStatus::from_raw(status).into_result()
}

/// Submits a request.
///
/// # Errors
/// `RETRY` when the ring is full, or another status that libqat returns.
///
/// # Safety
/// libqat is started, the operation's instance is a symmetric one of this start, and [`register`] was called for it. No
/// other thread submits to the instance or polls it during the call. The operation is in device memory; it states its
/// own bus address, its instance and a session of that instance, and everything else by bus addresses of device memory.
/// All of it stays where it is until the callback has run.
#[doc(alias = "cpaCySymDpEnqueueOp")]
pub(crate) unsafe fn enqueue(
    symbols: &Symbols,
    operation: NonNull<CpaCySymDpOpData>,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym_dp.h`: the operation is valid until the callback, and the instance is used by this thread
    // only, by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaCySymDpEnqueueOp)(operation.as_ptr(), CPA_TRUE) }).into_result()
}

/// Takes all responses that are available, to requests of either API, and runs their callbacks. Returns `RETRY` when
/// there is none.
///
/// An instance has one ring for the responses to all its symmetric requests. Each response names its request, and
/// through it the session, which determines the callback.
///
/// # Safety
/// libqat is started and the instance belongs to this start. No other thread polls it or submits to it during the call,
/// and this thread is not inside a callback of the instance.
#[doc(alias = "icp_sal_CyPollDpInstance")]
pub(crate) unsafe fn poll(symbols: &Symbols, instance: CpaInstanceHandle) -> CpaStatus {
    // SAFETY: `icp_sal_poll.h`: a quota of 0 means all responses; the instance is used by this thread only, by this
    // function's contract.
    CpaStatus::from_raw(unsafe { (symbols.icp_sal_CyPollDpInstance)(instance, 0) })
}
