//! Compression: `cpa_dc.h`, `cpa_dc_capabilities.h`.

use qat_sys::{
    CapabilityByType, CpaDcCapabilityReq, CpaDcCapabilityResp, CpaDcInstanceCapabilities, CpaInstanceHandle,
    Symbols,
};

use crate::CpaStatus;

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
