//! Compression by the data-plane calls: `cpa_dc_dp.h`. They cost a third of the others, take bus addresses, know one
//! buffer on each side, always end the stream, and leave it to the caller that one thread at a time is at an instance.

use std::ptr::NonNull;

use qat_sys::{
    CPA_TRUE, CpaDcDpCallbackFn, CpaDcDpOpData, CpaDcSessionSetupData, CpaInstanceHandle, Symbols,
};

use crate::error::CpaStatus;

/// Has `callback` called for each answer to a request of [`enqueue`].
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start; the callback stays loaded.
#[doc(alias = "cpaDcDpRegCbFunc")]
pub(crate) unsafe fn register(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    callback: CpaDcDpCallbackFn,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc_dp.h`: keeps a pointer to a function.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcDpRegCbFunc)(instance, callback) }).into_result()
}

/// Makes a stateless session for [`enqueue`] in `memory`; it is ended as every session is.
///
/// # Safety
/// As for [`register`]; `memory` is device memory of [`session_len`](super::dc::session_len) bytes that stays until the
/// session is removed.
#[doc(alias = "cpaDcDpInitSession")]
pub(crate) unsafe fn init_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
    setup: &CpaDcSessionSetupData,
) -> Result<(), CpaStatus> {
    let mut setup = *setup;
    // SAFETY: `cpa_dc_dp.h`: the setup is read; the memory is the caller's contract.
    let status = unsafe { (symbols.cpaDcDpInitSession)(instance, memory.as_ptr().cast(), &mut setup) };
    CpaStatus::from_raw(status).into_result()
}

/// Submits a request.
///
/// # Safety
/// As for [`register`], which came before; no other thread submits to the instance or polls it during the call. The
/// operation is in device memory, names instance, session and itself rightly, and buffers by their bus addresses; all
/// of it stays where it is until the callback has run.
#[doc(alias = "cpaDcDpEnqueueOp")]
pub(crate) unsafe fn enqueue(symbols: &Symbols, operation: NonNull<CpaDcDpOpData>) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc_dp.h`: the caller's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcDpEnqueueOp)(operation.as_ptr(), CPA_TRUE) }).into_result()
}

/// Takes all answers that are there, to requests of whichever call, and runs their callbacks. `RETRY` when there is none.
///
/// An instance has one ring for the answers to all its requests, and each answer names its request and so its callback.
/// Other than `icp_sal_DcPollInstance` this call makes no answers up after a fatal error, at which libqat 24.02 crashes
/// when the missing ones are not the last.
///
/// # Safety
/// libqat is started and the instance is of this start; no other thread polls it or submits to it during the call, and no
/// callback of it is running on this thread.
#[doc(alias = "icp_sal_DcPollDpInstance")]
pub(crate) unsafe fn poll(symbols: &Symbols, instance: CpaInstanceHandle) -> CpaStatus {
    // SAFETY: `icp_sal_poll.h`: quota 0 means all.
    CpaStatus::from_raw(unsafe { (symbols.icp_sal_DcPollDpInstance)(instance, 0) })
}
