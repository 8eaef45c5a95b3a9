//! Wrappers of the calls that list instances by service: `cpa.h`. The module `device::lifecycle` calls them; nothing
//! here starts an instance.

use std::ptr;

use qat_sys::{CpaAccelerationServiceType, CpaInstanceHandle, Symbols};

use crate::error::CpaStatus;

/// Returns the number of instances of a service that this process has. Every release leaves the number unwritten in
/// some case (24.02 after a stop), so it is initialised to 0.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// The symbols belong to libqat or to functions with the same contract.
#[doc(alias = "cpaGetNumInstances")]
pub(crate) unsafe fn num_instances(
    symbols: &Symbols,
    service: CpaAccelerationServiceType,
) -> Result<u16, CpaStatus> {
    let mut count = 0;
    // SAFETY: `cpa.h`: the call writes at most one number to the pointer.
    let status = unsafe { (symbols.cpaGetNumInstances)(service, &mut count) };
    CpaStatus::from_raw(status).into_result().map(|()| count)
}

/// Returns the first `count` instances of a service, with null where libqat wrote no handle.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// libqat is started, and `count` is at most what [`num_instances`] returned in this start. The handles are valid until
/// libqat stops.
#[doc(alias = "cpaGetInstances")]
pub(crate) unsafe fn instances(
    symbols: &Symbols,
    service: CpaAccelerationServiceType,
    count: u16,
) -> Result<Vec<CpaInstanceHandle>, CpaStatus> {
    let mut handles = vec![ptr::null_mut(); usize::from(count)];
    // SAFETY: `cpa.h`: the call writes `count` handles, which the vector has space for.
    let status = unsafe { (symbols.cpaGetInstances)(service, count, handles.as_mut_ptr()) };
    CpaStatus::from_raw(status).into_result().map(|()| handles)
}
