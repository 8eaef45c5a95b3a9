//! Encryption and public-key arithmetic: `cpa_cy_sym.h`, `cpa_cy_im.h`.

use qat_sys::{CpaCyCapabilitiesInfo, CpaCySymCapabilitiesInfo, CpaInstanceHandle, Symbols};

use crate::CpaStatus;

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
