//! Wrappers of the traditional API for symmetric and public-key work: `cpa_cy_sym.h`, `cpa_cy_im.h`, `cpa_cy_common.h`.
//!
//! The modules `device::lifecycle` and `device::inflight` call them. Submitting with the data-plane API is in `cy_dp`.

use std::ffi::c_void;
use std::mem;
use std::ptr::NonNull;

use qat_sys::{
    CpaBoolean, CpaBufferList, CpaCyCapabilitiesInfo, CpaCyInstanceNotificationCbFunc,
    CpaCySymCapabilitiesInfo, CpaCySymCbFunc, CpaCySymOpData, CpaCySymSessionSetupData, CpaCySymStats64,
    CpaInstanceHandle, CpaInstanceInfo2, Symbols,
};

use crate::error::CpaStatus;

/// Returns the ciphers and digests that the instance supports.
///
/// # Errors
/// The status that libqat returns.
///
///
/// # Safety
/// libqat is started and `instance` is a symmetric instance of this start.
#[doc(alias = "cpaCySymQueryCapabilities")]
pub(crate) unsafe fn symmetric_capabilities(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaCySymCapabilitiesInfo, CpaStatus> {
    let mut capabilities = CpaCySymCapabilitiesInfo::default();
    // SAFETY: `cpa_cy_sym.h`: the call writes one structure to the pointer; the handle is valid by this function's
    // contract.
    let status = unsafe { (symbols.cpaCySymQueryCapabilities)(instance, &mut capabilities) };
    CpaStatus::from_raw(status).into_result().map(|()| capabilities)
}

/// Returns the families of operations that the instance supports.
///
/// # Errors
/// The status that libqat returns.
///
///
/// # Safety
/// libqat is started and `instance` is a crypto instance of this start.
#[doc(alias = "cpaCyQueryCapabilities")]
pub(crate) unsafe fn capabilities(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaCyCapabilitiesInfo, CpaStatus> {
    let mut capabilities = CpaCyCapabilitiesInfo::default();
    // SAFETY: `cpa_cy_im.h`: the call writes one structure to the pointer; the handle is valid by this function's
    // contract.
    let status = unsafe { (symbols.cpaCyQueryCapabilities)(instance, &mut capabilities) };
    CpaStatus::from_raw(status).into_result().map(|()| capabilities)
}

/// Returns the bytes of private metadata that a list of at most `buffers` buffers needs.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a crypto instance of this start.
#[doc(alias = "cpaCyBufferListGetMetaSize")]
pub(crate) unsafe fn list_meta_len(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    buffers: u32,
) -> Result<u32, CpaStatus> {
    let mut len = 0;
    // SAFETY: `cpa_cy_common.h`: the call writes one number to the pointer; the handle is valid by this function's
    // contract.
    let status = unsafe { (symbols.cpaCyBufferListGetMetaSize)(instance, buffers, &mut len) };
    CpaStatus::from_raw(status).into_result().map(|()| len)
}

/// Returns the description of the instance, with its NUMA node.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a crypto instance of this start.
#[doc(alias = "cpaCyInstanceGetInfo2")]
pub(crate) unsafe fn info(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaInstanceInfo2, CpaStatus> {
    // SAFETY: the structure of `cpa.h` has only numbers and bytes, for which zero is a valid value.
    let mut info = unsafe { mem::zeroed() };
    // SAFETY: `cpa_cy_common.h`: the call writes one structure to the pointer; the handle is valid by this function's
    // contract.
    let status = unsafe { (symbols.cpaCyInstanceGetInfo2)(instance, &mut info) };
    CpaStatus::from_raw(status).into_result().map(|()| info)
}

/// Prepares the instance for requests, with libusdm's address translation.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started, `instance` is a crypto instance of this start, and this is the only call for it in this start.
#[doc(alias = "cpaCyStartInstance")]
#[doc(alias = "cpaCySetAddressTranslation")]
pub(crate) unsafe fn start(symbols: &Symbols, instance: CpaInstanceHandle) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_im.h`: the call keeps a pointer to a function of libusdm, which stays loaded.
    let status = unsafe { (symbols.cpaCySetAddressTranslation)(instance, super::mem::translation(symbols)) };
    CpaStatus::from_raw(status).into_result()?;
    // SAFETY: `cpa_cy_im.h`: the handle is valid, and started once, by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaCyStartInstance)(instance) }).into_result()
}

/// Registers `callback`, which libqat calls with `tag` for each event of the instance's device.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a crypto instance of this start. The callback stays loaded, and may be called
/// with `tag` until libqat stops.
#[doc(alias = "cpaCyInstanceSetNotificationCb")]
pub(crate) unsafe fn notify(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    callback: CpaCyInstanceNotificationCbFunc,
    tag: *mut c_void,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_common.h`: the call keeps a pointer to a function and a tag that libqat does not dereference;
    // both are valid by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaCyInstanceSetNotificationCb)(instance, callback, tag) })
        .into_result()
}

/// Stops the instance.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a crypto instance of this start. No request is in flight on the instance, and
/// none is submitted afterwards.
#[doc(alias = "cpaCyStopInstance")]
pub(crate) unsafe fn stop(symbols: &Symbols, instance: CpaInstanceHandle) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_im.h`: the handle is valid, and no request is in flight, by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaCyStopInstance)(instance) }).into_result()
}

/// Returns the bytes of memory that a session needs.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a symmetric instance of this start. The pointers in `setup` point to keys of the
/// lengths that it states.
#[doc(alias = "cpaCySymSessionCtxGetSize")]
pub(crate) unsafe fn session_len(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    setup: &CpaCySymSessionSetupData,
) -> Result<u32, CpaStatus> {
    let mut len = 0;
    // SAFETY: `cpa_cy_sym.h`: the call reads the setup, which is valid by this function's contract, and writes one
    // number.
    let status = unsafe { (symbols.cpaCySymSessionCtxGetSize)(instance, setup, &mut len) };
    CpaStatus::from_raw(status).into_result().map(|()| len)
}

/// Creates a session for [`perform`] in `memory`. libqat copies the keys into it.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a symmetric instance of this start. The pointers in `setup` point to keys of the
/// lengths that it states. `memory` is device memory of [`session_len`] bytes that remains until [`remove_session`].
/// `callback` may be called with the tag of each request.
#[doc(alias = "cpaCySymInitSession")]
pub(crate) unsafe fn init_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
    setup: &CpaCySymSessionSetupData,
    callback: CpaCySymCbFunc,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym.h`: setup, session memory and callback are valid by this function's contract.
    let status = unsafe { (symbols.cpaCySymInitSession)(instance, callback, setup, memory.as_ptr().cast()) };
    CpaStatus::from_raw(status).into_result()
}

/// Removes a session.
///
/// # Errors
/// `RETRY` while the session has requests in flight, or another status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a symmetric instance of this start. `memory` holds a session of this instance,
/// with which no request is submitted any more.
#[doc(alias = "cpaCySymRemoveSession")]
pub(crate) unsafe fn remove_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym.h`: the session is one of this instance, and unused, by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaCySymRemoveSession)(instance, memory.as_ptr().cast()) })
        .into_result()
}

/// The arguments of a submission. What they point to belongs to libqat until the callback has run. The operation names
/// the session.
pub(crate) struct Submission {
    pub(crate) instance: CpaInstanceHandle,
    pub(crate) operation: *const CpaCySymOpData,
    pub(crate) source: *const CpaBufferList,
    pub(crate) target: *mut CpaBufferList,
    pub(crate) verified: *mut CpaBoolean,
    pub(crate) tag: *mut c_void,
}

/// Submits a symmetric operation. libqat reports a request that the device rejected as a success, with the data
/// unchanged.
///
/// # Errors
/// `RETRY` when the ring is full, or another status that libqat returns.
///
/// # Safety
/// libqat is started, and instance and session belong to this start. Buffers, IV, associated data and digest are in
/// device memory, and the lists have metadata of [`list_meta_len`] bytes. Everything stays where it is until the
/// callback has run.
#[doc(alias = "cpaCySymPerformOp")]
pub(crate) unsafe fn perform(symbols: &Symbols, it: &Submission) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym.h`: session, lists and parameters are valid until the callback by this function's contract.
    let status = unsafe {
        (symbols.cpaCySymPerformOp)(it.instance, it.tag, it.operation, it.source, it.target, it.verified)
    };
    CpaStatus::from_raw(status).into_result()
}

/// Returns libqat's own counters of the instance.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a symmetric instance of this start.
#[doc(alias = "cpaCySymQueryStats64")]
pub(crate) unsafe fn stats(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaCySymStats64, CpaStatus> {
    let mut stats = CpaCySymStats64::default();
    // SAFETY: `cpa_cy_sym.h`: the call writes one structure to the pointer; the handle is valid by this function's
    // contract.
    let status = unsafe { (symbols.cpaCySymQueryStats64)(instance, &mut stats) };
    CpaStatus::from_raw(status).into_result().map(|()| stats)
}
