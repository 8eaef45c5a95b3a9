//! Encryption and public-key arithmetic: `cpa_cy_sym.h`, `cpa_cy_im.h`.

use std::ffi::c_void;
use std::mem;
use std::ptr::NonNull;

use qat_sys::{
    CpaBoolean, CpaBufferList, CpaCyCapabilitiesInfo, CpaCyInstanceNotificationCbFunc,
    CpaCySymCapabilitiesInfo, CpaCySymCbFunc, CpaCySymOpData, CpaCySymSessionSetupData, CpaCySymStats64,
    CpaInstanceHandle, CpaInstanceInfo2, Symbols,
};

use crate::error::CpaStatus;

/// Ciphers and digests.
///
/// # Safety
/// libqat is started and `instance` is a symmetric instance of this start.
#[doc(alias = "cpaCySymQueryCapabilities")]
pub(crate) unsafe fn symmetric_capabilities(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaCySymCapabilitiesInfo, CpaStatus> {
    let mut capabilities = CpaCySymCapabilitiesInfo::default();
    // SAFETY: `cpa_cy_sym.h`: writes one structure where the pointer says.
    let status = unsafe { (symbols.cpaCySymQueryCapabilities)(instance, &mut capabilities) };
    CpaStatus::from_raw(status).into_result().map(|()| capabilities)
}

/// Families of operations.
///
/// # Safety
/// libqat is started and `instance` is a crypto instance of this start.
#[doc(alias = "cpaCyQueryCapabilities")]
pub(crate) unsafe fn capabilities(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaCyCapabilitiesInfo, CpaStatus> {
    let mut capabilities = CpaCyCapabilitiesInfo::default();
    // SAFETY: `cpa_cy_im.h`: writes one structure where the pointer says.
    let status = unsafe { (symbols.cpaCyQueryCapabilities)(instance, &mut capabilities) };
    CpaStatus::from_raw(status).into_result().map(|()| capabilities)
}

/// Bytes of private metadata that a list of at most `buffers` buffers needs.
///
/// # Safety
/// As for [`capabilities`].
#[doc(alias = "cpaCyBufferListGetMetaSize")]
pub(crate) unsafe fn list_meta_len(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    buffers: u32,
) -> Result<u32, CpaStatus> {
    let mut len = 0;
    // SAFETY: `cpa_cy_common.h`: writes one number where the pointer says.
    let status = unsafe { (symbols.cpaCyBufferListGetMetaSize)(instance, buffers, &mut len) };
    CpaStatus::from_raw(status).into_result().map(|()| len)
}

/// What the instance is and where.
///
/// # Safety
/// As for [`capabilities`].
#[doc(alias = "cpaCyInstanceGetInfo2")]
pub(crate) unsafe fn info(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaInstanceInfo2, CpaStatus> {
    // SAFETY: numbers and bytes only, for which zero is a value.
    let mut info = unsafe { mem::zeroed() };
    // SAFETY: `cpa_cy_common.h`: writes one structure where the pointer says.
    let status = unsafe { (symbols.cpaCyInstanceGetInfo2)(instance, &mut info) };
    CpaStatus::from_raw(status).into_result().map(|()| info)
}

/// Makes the instance ready for requests, with libusdm's address translation.
///
/// # Safety
/// As for [`capabilities`]; once for each start.
#[doc(alias = "cpaCyStartInstance")]
#[doc(alias = "cpaCySetAddressTranslation")]
pub(crate) unsafe fn start(symbols: &Symbols, instance: CpaInstanceHandle) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_im.h`: keeps the pointer to a function that stays loaded.
    let status = unsafe { (symbols.cpaCySetAddressTranslation)(instance, super::mem::translation(symbols)) };
    CpaStatus::from_raw(status).into_result()?;
    // SAFETY: `cpa_cy_im.h`: the handle is valid by the caller's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaCyStartInstance)(instance) }).into_result()
}

/// Has `callback` called with `tag` for each event of the instance's device.
///
/// # Safety
/// As for [`capabilities`]; the callback stays loaded, and may be called with the tag until the stop.
#[doc(alias = "cpaCyInstanceSetNotificationCb")]
pub(crate) unsafe fn notify(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    callback: CpaCyInstanceNotificationCbFunc,
    tag: *mut c_void,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_common.h`: keeps a pointer to a function, and a tag that it does not look into.
    CpaStatus::from_raw(unsafe { (symbols.cpaCyInstanceSetNotificationCb)(instance, callback, tag) })
        .into_result()
}

/// Ends the instance's readiness.
///
/// # Safety
/// As for [`capabilities`]; no request is in flight and none follows.
#[doc(alias = "cpaCyStopInstance")]
pub(crate) unsafe fn stop(symbols: &Symbols, instance: CpaInstanceHandle) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_im.h`: the handle is valid by the caller's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaCyStopInstance)(instance) }).into_result()
}

/// Bytes of memory that a session needs.
///
/// # Safety
/// As for [`capabilities`]; the pointers in `setup` lead to keys of the lengths it says.
#[doc(alias = "cpaCySymSessionCtxGetSize")]
pub(crate) unsafe fn session_len(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    setup: &CpaCySymSessionSetupData,
) -> Result<u32, CpaStatus> {
    let mut len = 0;
    // SAFETY: `cpa_cy_sym.h`: reads the setup and writes one number.
    let status = unsafe { (symbols.cpaCySymSessionCtxGetSize)(instance, setup, &mut len) };
    CpaStatus::from_raw(status).into_result().map(|()| len)
}

/// Makes a session in `memory`; the keys are copied into it.
///
/// # Safety
/// As for [`session_len`]; `memory` is device memory of that many bytes that stays until [`remove_session`].
/// `callback` is called with the tag of each request.
#[doc(alias = "cpaCySymInitSession")]
pub(crate) unsafe fn init_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
    setup: &CpaCySymSessionSetupData,
    callback: CpaCySymCbFunc,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym.h`: the caller's contract.
    let status = unsafe { (symbols.cpaCySymInitSession)(instance, callback, setup, memory.as_ptr().cast()) };
    CpaStatus::from_raw(status).into_result()
}

/// Ends a session.
///
/// # Safety
/// As for [`capabilities`]; `memory` holds a session of this instance, for which no request is submitted any more.
#[doc(alias = "cpaCySymRemoveSession")]
pub(crate) unsafe fn remove_session(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
    memory: NonNull<u8>,
) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym.h`: the caller's contract.
    CpaStatus::from_raw(unsafe { (symbols.cpaCySymRemoveSession)(instance, memory.as_ptr().cast()) })
        .into_result()
}

/// What a submission names; all of it belongs to the library until the callback has run. The session is named in the
/// operation.
pub(crate) struct Submission {
    pub(crate) instance: CpaInstanceHandle,
    pub(crate) operation: *const CpaCySymOpData,
    pub(crate) source: *const CpaBufferList,
    pub(crate) target: *mut CpaBufferList,
    pub(crate) verified: *mut CpaBoolean,
    pub(crate) tag: *mut c_void,
}

/// Submits a symmetric operation. A request that the device refused is reported as a success, with all as it was.
///
/// # Safety
/// libqat is started; instance and session are of this start; lists, IV, associated data and digest are device memory
/// only, the lists carry metadata of [`list_meta_len`] bytes; everything stays where it is until the callback has run.
#[doc(alias = "cpaCySymPerformOp")]
pub(crate) unsafe fn perform(symbols: &Symbols, it: &Submission) -> Result<(), CpaStatus> {
    // SAFETY: `cpa_cy_sym.h`: the caller's contract.
    let status = unsafe {
        (symbols.cpaCySymPerformOp)(it.instance, it.tag, it.operation, it.source, it.target, it.verified)
    };
    CpaStatus::from_raw(status).into_result()
}

/// What libqat counted of the instance.
///
/// # Safety
/// As for [`symmetric_capabilities`].
#[doc(alias = "cpaCySymQueryStats64")]
pub(crate) unsafe fn stats(
    symbols: &Symbols,
    instance: CpaInstanceHandle,
) -> Result<CpaCySymStats64, CpaStatus> {
    let mut stats = CpaCySymStats64::default();
    // SAFETY: `cpa_cy_sym.h`: writes one structure where the pointer says.
    let status = unsafe { (symbols.cpaCySymQueryStats64)(instance, &mut stats) };
    CpaStatus::from_raw(status).into_result().map(|()| stats)
}
