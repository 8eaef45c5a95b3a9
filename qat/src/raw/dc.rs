//! Wrappers of the traditional API for compression: `cpa_dc.h`, `cpa_dc_capabilities.h`.
//!
//! The modules `device::lifecycle` and `device::inflight` call them. Submitting with the data-plane API is in `dc_dp`.

use std::ffi::c_void;
use std::mem;
use std::ptr::{self, NonNull};

use qat_sys::{
    CapabilityByType, CpaBufferList, CpaDcCallbackFn, CpaDcCapabilityReq, CpaDcCapabilityResp,
    CpaDcInstanceCapabilities, CpaDcInstanceNotificationCbFunc, CpaDcOpData, CpaDcRqResults,
    CpaDcSessionSetupData, CpaDcStats, CpaInstanceHandle, CpaInstanceInfo2, Symbols,
};

use crate::error::CpaStatus;

/// Returns the capabilities that the oldest query of libqat reports.
///
/// # Errors
/// The status that libqat returns.
///
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start.
#[doc(alias = "cpaDcQueryCapabilities")]
pub(crate) unsafe fn capabilities(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaDcInstanceCapabilities, CpaStatus> {
    let mut capabilities = CpaDcInstanceCapabilities::default();
    // SAFETY: `cpa_dc.h`: the call writes one structure to the pointer; the handle is valid by this function's
    // contract.
    let status = unsafe { (symbols.cpaDcQueryCapabilities)(instance, &mut capabilities) };
    CpaStatus::from_raw(status).into_result().map(|()| capabilities)
}

/// Returns whether the instance has a capability that is either present or absent.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start. The type of the capability that `request`
/// names is Boolean.
#[doc(alias = "cpaDcQueryCapabilityByType")]
pub(crate) unsafe fn has_capability(
    group: &CapabilityByType,
    instance: CpaInstanceHandle,
    request: CpaDcCapabilityReq,
) -> Result<bool, CpaStatus> {
    let mut response = CpaDcCapabilityResp { u64Status: 0 };
    // SAFETY: `cpa_dc_capabilities.h`: the request is passed by value, and the call writes one union to the pointer.
    let status = unsafe { (group.cpaDcQueryCapabilityByType)(instance, request, &mut response) };
    CpaStatus::from_raw(status).into_result()?;
    // SAFETY: all fields of the union are integers, and the widest one was initialised above.
    Ok(unsafe { response.boolStatus } != 0)
}

/// Returns the bytes of private metadata that a list of at most `buffers` buffers needs.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start.
#[doc(alias = "cpaDcBufferListGetMetaSize")]
pub(crate) unsafe fn list_meta_len(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    buffers: u32,
) -> Result<u32, CpaStatus> {
    let mut len = 0;
    // SAFETY: `cpa_dc.h`: the call writes one number to the pointer; the handle is valid by this function's contract.
    let status = unsafe { (symbols.cpaDcBufferListGetMetaSize)(instance, buffers, &mut len) };
    CpaStatus::from_raw(status).into_result().map(|()| len)
}

/// Returns the description of the instance, with its NUMA node.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start.
#[doc(alias = "cpaDcInstanceGetInfo2")]
pub(crate) unsafe fn info(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaInstanceInfo2, CpaStatus> {
    // SAFETY: the structure of `cpa.h` has only numbers and bytes, for which zero is a valid value.
    let mut info = unsafe { mem::zeroed() };
    // SAFETY: `cpa_dc.h`: the call writes one structure to the pointer; the handle is valid by this function's
    // contract.
    let status = unsafe { (symbols.cpaDcInstanceGetInfo2)(instance, &mut info) };
    CpaStatus::from_raw(status).into_result().map(|()| info)
}

/// Prepares the instance for requests, with libusdm's address translation and without intermediate buffers, which
/// generation 4 does not use.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started, `instance` is a compression instance of this start, and this is the only call for it in this
/// start.
#[doc(alias = "cpaDcStartInstance")]
#[doc(alias = "cpaDcSetAddressTranslation")]
pub(crate) unsafe fn start(symbols: &Symbols, instance: CpaInstanceHandle) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: the call keeps a pointer to a function of libusdm, which stays loaded.
    let status = unsafe { (symbols.cpaDcSetAddressTranslation)(instance, super::mem::translation(symbols)) };
    CpaStatus::from_raw(status).into_result()?;
    // SAFETY: `cpa_dc.h`: without intermediate buffers their list may be null; the handle is valid by this function's
    // contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcStartInstance)(instance, 0, ptr::null_mut()) }).into_result()
}

/// Registers `callback`, which libqat calls with `tag` for each event of the instance's device.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start. The callback stays loaded, and may be
/// called with `tag` until libqat stops.
#[doc(alias = "cpaDcInstanceSetNotificationCb")]
pub(crate) unsafe fn notify(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    callback: CpaDcInstanceNotificationCbFunc,
    tag: *mut c_void,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: the call keeps a pointer to a function and a tag that libqat does not dereference; both are
    // valid by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcInstanceSetNotificationCb)(instance, callback, tag) })
        .into_result()
}

/// Stops the instance.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start. No request is in flight on the instance,
/// and none is submitted afterwards.
#[doc(alias = "cpaDcStopInstance")]
pub(crate) unsafe fn stop(symbols: &Symbols, instance: CpaInstanceHandle) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: the handle is valid, and no request is in flight, by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcStopInstance)(instance) }).into_result()
}

/// Returns the bytes of memory that a session needs.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start.
#[doc(alias = "cpaDcGetSessionSize")]
pub(crate) unsafe fn session_len(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    setup: &CpaDcSessionSetupData,
) -> Result<u32, CpaStatus> {
    let (mut setup, mut len, mut context_len) = (*setup, 0, 0);
    // SAFETY: `cpa_dc.h`: the call reads the setup and writes two numbers; the handle is valid by this function's
    // contract.
    let status = unsafe { (symbols.cpaDcGetSessionSize)(instance, &mut setup, &mut len, &mut context_len) };
    CpaStatus::from_raw(status).into_result().map(|()| len)
}

/// Creates a stateless session for [`compress`] or [`decompress`] in `memory`.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start. `memory` is device memory of
/// [`session_len`] bytes that remains until [`remove_session`]. `callback` may be called with the tag of each request.
#[doc(alias = "cpaDcInitSession")]
pub(crate) unsafe fn init_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
    setup: &CpaDcSessionSetupData,
    callback: CpaDcCallbackFn,
) -> Result<(), CpaStatus> {
    let mut setup = *setup;
    // SAFETY: `cpa_dc.h`: the call reads the setup; memory and callback are valid by this function's contract; the
    // context of a stateless session may be null.
    let status = unsafe {
        (symbols.cpaDcInitSession)(instance, memory.as_ptr().cast(), &mut setup, ptr::null_mut(), callback)
    };
    CpaStatus::from_raw(status).into_result()
}

/// Removes a session.
///
/// # Errors
/// `RETRY` while the session has requests in flight, or another status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start. `memory` holds a session of this instance,
/// with which no request is submitted any more.
#[doc(alias = "cpaDcRemoveSession")]
pub(crate) unsafe fn remove_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: the session is one of this instance, and unused, by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcRemoveSession)(instance, memory.as_ptr().cast()) })
        .into_result()
}

/// The arguments of a submission. What they point to belongs to libqat until the callback has run.
pub(crate) struct Submission {
    pub(crate) instance: CpaInstanceHandle,
    pub(crate) session: NonNull<u8>,
    pub(crate) source: *mut CpaBufferList,
    pub(crate) target: *mut CpaBufferList,
    pub(crate) operation: *mut CpaDcOpData,
    pub(crate) results: *mut CpaDcRqResults,
    pub(crate) tag: *mut c_void,
}

/// Submits a compression.
///
/// # Errors
/// `RETRY` when the ring is full, or another status that libqat returns.
///
/// # Safety
/// libqat is started, and instance and session belong to this start. The two lists are different ones, all their
/// buffers are device memory, and they have metadata of [`list_meta_len`] bytes. Everything stays where it is until the
/// callback has run.
#[doc(alias = "cpaDcCompressData2")]
pub(crate) unsafe fn compress(symbols: &Symbols, it: &Submission) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: session, lists, operation and results are valid until the callback by this function's
    // contract.
    let status = unsafe {
        (symbols.cpaDcCompressData2)(
            it.instance,
            it.session.as_ptr().cast(),
            it.source,
            it.target,
            it.operation,
            it.results,
            it.tag,
        )
    };
    CpaStatus::from_raw(status).into_result()
}

/// Submits a decompression.
///
/// # Errors
/// `RETRY` when the ring is full, or another status that libqat returns.
///
/// # Safety
/// The contract of [`compress`] holds.
#[doc(alias = "cpaDcDecompressData2")]
pub(crate) unsafe fn decompress(symbols: &Symbols, it: &Submission) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: session, lists, operation and results are valid until the callback by this function's
    // contract.
    let status = unsafe {
        (symbols.cpaDcDecompressData2)(
            it.instance,
            it.session.as_ptr().cast(),
            it.source,
            it.target,
            it.operation,
            it.results,
            it.tag,
        )
    };
    CpaStatus::from_raw(status).into_result()
}

/// Returns libqat's own counters of the instance.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start.
#[doc(alias = "cpaDcGetStats")]
pub(crate) unsafe fn stats(symbols: &Symbols, instance: CpaInstanceHandle) -> Result<CpaDcStats, CpaStatus> {
    let mut stats = CpaDcStats::default();
    // SAFETY: `cpa_dc.h`: the call writes one structure to the pointer; the handle is valid by this function's
    // contract.
    let status = unsafe { (symbols.cpaDcGetStats)(instance, &mut stats) };
    CpaStatus::from_raw(status).into_result().map(|()| stats)
}
