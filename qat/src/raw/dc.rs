//! Compression: `cpa_dc.h`, `cpa_dc_capabilities.h`.

use std::ffi::c_void;
use std::mem;
use std::ptr::{self, NonNull};

use qat_sys::{
    CapabilityByType, CpaBufferList, CpaDcCallbackFn, CpaDcCapabilityReq, CpaDcCapabilityResp,
    CpaDcInstanceCapabilities, CpaDcInstanceNotificationCbFunc, CpaDcOpData, CpaDcRqResults,
    CpaDcSessionSetupData, CpaDcStats, CpaInstanceHandle, CpaInstanceInfo2, Symbols,
};

use crate::error::CpaStatus;

/// All capabilities that the first form of the query knows.
///
/// # Safety
/// libqat is started and `instance` is a compression instance of this start.
#[doc(alias = "cpaDcQueryCapabilities")]
pub(crate) unsafe fn capabilities(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaDcInstanceCapabilities, CpaStatus> {
    let mut capabilities = CpaDcInstanceCapabilities::default();
    // SAFETY: `cpa_dc.h`: writes one structure where the pointer says.
    let status = unsafe { (symbols.cpaDcQueryCapabilities)(instance, &mut capabilities) };
    CpaStatus::from_raw(status).into_result().map(|()| capabilities)
}

/// One capability that is either there or not.
///
/// # Safety
/// As for [`capabilities`], and `request` names a capability whose type is Boolean.
#[doc(alias = "cpaDcQueryCapabilityByType")]
pub(crate) unsafe fn has_capability(
    group: &CapabilityByType,
    instance: CpaInstanceHandle,
    request: CpaDcCapabilityReq,
) -> Result<bool, CpaStatus> {
    let mut response = CpaDcCapabilityResp { u64Status: 0 };
    // SAFETY: `cpa_dc_capabilities.h`: the request goes by value, the response is one union where the pointer says.
    let status = unsafe { (group.cpaDcQueryCapabilityByType)(instance, request, &mut response) };
    CpaStatus::from_raw(status).into_result()?;
    // SAFETY: all fields are integers, and the widest was initialised.
    Ok(unsafe { response.boolStatus } != 0)
}

/// Bytes of private metadata that a list of at most `buffers` buffers needs.
///
/// # Safety
/// As for [`capabilities`].
#[doc(alias = "cpaDcBufferListGetMetaSize")]
pub(crate) unsafe fn list_meta_len(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    buffers: u32,
) -> Result<u32, CpaStatus> {
    let mut len = 0;
    // SAFETY: `cpa_dc.h`: writes one number where the pointer says.
    let status = unsafe { (symbols.cpaDcBufferListGetMetaSize)(instance, buffers, &mut len) };
    CpaStatus::from_raw(status).into_result().map(|()| len)
}

/// What the instance is and where.
///
/// # Safety
/// As for [`capabilities`].
#[doc(alias = "cpaDcInstanceGetInfo2")]
pub(crate) unsafe fn info(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaInstanceInfo2, CpaStatus> {
    // SAFETY: numbers and bytes only, for which zero is a value.
    let mut info = unsafe { mem::zeroed() };
    // SAFETY: `cpa_dc.h`: writes one structure where the pointer says.
    let status = unsafe { (symbols.cpaDcInstanceGetInfo2)(instance, &mut info) };
    CpaStatus::from_raw(status).into_result().map(|()| info)
}

/// Makes the instance ready for requests, with libusdm's address translation and without intermediate buffers, which
/// generation 4 does not use.
///
/// # Safety
/// As for [`capabilities`]; once for each start.
#[doc(alias = "cpaDcStartInstance")]
#[doc(alias = "cpaDcSetAddressTranslation")]
pub(crate) unsafe fn start(symbols: &Symbols, instance: CpaInstanceHandle) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: keeps the pointer to a function that stays loaded.
    let status = unsafe { (symbols.cpaDcSetAddressTranslation)(instance, super::mem::translation(symbols)) };
    CpaStatus::from_raw(status).into_result()?;
    // SAFETY: `cpa_dc.h`: no buffers, so no list of them.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcStartInstance)(instance, 0, ptr::null_mut()) }).into_result()
}

/// Has `callback` called with `tag` for each event of the instance's device.
///
/// # Safety
/// As for [`capabilities`]; the callback stays loaded, and may be called with the tag until the stop.
#[doc(alias = "cpaDcInstanceSetNotificationCb")]
pub(crate) unsafe fn notify(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    callback: CpaDcInstanceNotificationCbFunc,
    tag: *mut c_void,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: keeps a pointer to a function, and a tag that it does not look into.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcInstanceSetNotificationCb)(instance, callback, tag) })
        .into_result()
}

/// Ends the instance's readiness.
///
/// # Safety
/// As for [`capabilities`]; no request is in flight and none follows.
#[doc(alias = "cpaDcStopInstance")]
pub(crate) unsafe fn stop(symbols: &Symbols, instance: CpaInstanceHandle) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: the handle is valid by the caller's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcStopInstance)(instance) }).into_result()
}

/// Bytes of memory that a session needs.
///
/// # Safety
/// As for [`capabilities`].
#[doc(alias = "cpaDcGetSessionSize")]
pub(crate) unsafe fn session_len(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    setup: &CpaDcSessionSetupData,
) -> Result<u32, CpaStatus> {
    let (mut setup, mut len, mut context_len) = (*setup, 0, 0);
    // SAFETY: `cpa_dc.h`: reads the setup and writes two numbers.
    let status = unsafe { (symbols.cpaDcGetSessionSize)(instance, &mut setup, &mut len, &mut context_len) };
    CpaStatus::from_raw(status).into_result().map(|()| len)
}

/// Makes a stateless session in `memory`.
///
/// # Safety
/// As for [`capabilities`]; `memory` is device memory of [`session_len`] bytes that stays until [`remove_session`].
/// `callback` is called with the tag of each request.
#[doc(alias = "cpaDcInitSession")]
pub(crate) unsafe fn init_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
    setup: &CpaDcSessionSetupData,
    callback: CpaDcCallbackFn,
) -> Result<(), CpaStatus> {
    let mut setup = *setup;
    // SAFETY: `cpa_dc.h`: the setup is read; the memory is the caller's contract; a stateless session has no context.
    let status = unsafe {
        (symbols.cpaDcInitSession)(instance, memory.as_ptr().cast(), &mut setup, ptr::null_mut(), callback)
    };
    CpaStatus::from_raw(status).into_result()
}

/// Ends a session.
///
/// # Safety
/// As for [`capabilities`]; `memory` holds a session of this instance, for which no request is submitted any more.
#[doc(alias = "cpaDcRemoveSession")]
pub(crate) unsafe fn remove_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: the caller's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaDcRemoveSession)(instance, memory.as_ptr().cast()) })
        .into_result()
}

/// What a submission names; all of it belongs to the library until the callback has run.
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
/// # Safety
/// libqat is started; instance and session are of this start; the lists name device memory only, carry metadata of
/// [`list_meta_len`] bytes, and differ; everything stays where it is until the callback has run.
#[doc(alias = "cpaDcCompressData2")]
pub(crate) unsafe fn compress(symbols: &Symbols, it: &Submission) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: the caller's contract.
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
/// # Safety
/// As for [`compress`].
#[doc(alias = "cpaDcDecompressData2")]
pub(crate) unsafe fn decompress(symbols: &Symbols, it: &Submission) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_dc.h`: the caller's contract.
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

/// What libqat counted of the instance.
///
/// # Safety
/// As for [`capabilities`].
#[doc(alias = "cpaDcGetStats")]
pub(crate) unsafe fn stats(symbols: &Symbols, instance: CpaInstanceHandle) -> Result<CpaDcStats, CpaStatus> {
    let mut stats = CpaDcStats::default();
    // SAFETY: `cpa_dc.h`: writes one structure where the pointer says.
    let status = unsafe { (symbols.cpaDcGetStats)(instance, &mut stats) };
    CpaStatus::from_raw(status).into_result().map(|()| stats)
}
