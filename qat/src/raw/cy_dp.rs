//! Encryption by the data-plane calls: `cpa_cy_sym_dp.h`. They cost a third of the others, take bus addresses, want whole
//! blocks of AES-XTS, and leave it to the caller that one thread at a time is at an instance.
//!
//! A request that the device refused is answered with `UNSUPPORTED`; from 26.02 on one with parameters that it finds invalid
//! with `FAIL`, or, where it compares a digest, as one that does not match.

use std::ptr::NonNull;

use qat_sys::{
    CPA_TRUE, CpaCySymDpCbFunc, CpaCySymDpOpData, CpaCySymSessionSetupData, CpaInstanceHandle, Symbols,
};

use crate::error::CpaStatus;

/// Has `callback` called for each answer to a request of [`enqueue`].
///
/// # Safety
/// libqat is started and `instance` is a symmetric instance of this start; the callback stays loaded.
#[doc(alias = "cpaCySymDpRegCbFunc")]
pub(crate) unsafe fn register(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    callback: CpaCySymDpCbFunc,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym_dp.h`: keeps a pointer to a function.
    CpaStatus::from_raw(unsafe { (symbols.cpaCySymDpRegCbFunc)(instance, callback) }).into_result()
}

/// Makes a session for [`enqueue`] in `memory`; the keys are copied into it, and it is ended as every session is.
///
/// # Safety
/// As for [`register`]; the pointers in `setup` lead to keys of the lengths it says. `memory` is device memory of
/// [`session_len`](super::cy::session_len) bytes that stays until the session is removed.
#[doc(alias = "cpaCySymDpInitSession")]
pub(crate) unsafe fn init_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
    setup: &CpaCySymSessionSetupData,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym_dp.h`: the caller's contract.
    let status = unsafe { (symbols.cpaCySymDpInitSession)(instance, setup, memory.as_ptr().cast()) };
    CpaStatus::from_raw(status).into_result()
}

/// Submits a request.
///
/// # Safety
/// As for [`register`], which came before; no other thread submits to the instance or polls it during the call. The
/// operation is in device memory, names instance, session and itself rightly, and all else by bus addresses of device
/// memory; all of it stays where it is until the callback has run.
#[doc(alias = "cpaCySymDpEnqueueOp")]
pub(crate) unsafe fn enqueue(
    symbols: &Symbols,
    operation: NonNull<CpaCySymDpOpData>,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym_dp.h`: the caller's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaCySymDpEnqueueOp)(operation.as_ptr(), CPA_TRUE) }).into_result()
}

/// Takes all answers that are there, to requests of whichever call, and runs their callbacks. `RETRY` when there is none.
///
/// An instance has one ring for the answers to all its symmetric requests, and each answer names its request, which names
/// its session, which knows its call.
///
/// # Safety
/// libqat is started and the instance is of this start; no other thread polls it or submits to it during the call, and no
/// callback of it is running on this thread.
#[doc(alias = "icp_sal_CyPollDpInstance")]
pub(crate) unsafe fn poll(symbols: &Symbols, instance: CpaInstanceHandle) -> CpaStatus {
    // SAFETY: `icp_sal_poll.h`: quota 0 means all.
    CpaStatus::from_raw(unsafe { (symbols.icp_sal_CyPollDpInstance)(instance, 0) })
}
