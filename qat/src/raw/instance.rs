//! Instances by service: `cpa.h`.

use std::ptr;

use qat_sys::{CpaAccelerationServiceType, CpaInstanceHandle, Symbols};

use crate::error::CpaStatus;

/// Number of instances of a service that this process has. Every release leaves the number unwritten in some case (24.02
/// after a stop), so it starts as 0.
///
/// # Safety
/// The symbols are those of a real libqat or of functions that keep its contract.
#[doc(alias = "cpaGetNumInstances")]
pub(crate) unsafe fn num_instances(
    symbols: &Symbols,
    service: CpaAccelerationServiceType,
) -> Result<u16, CpaStatus> {
    let mut count = 0;
    // SAFETY: `cpa.h`: writes one number where the pointer says.
    let status = unsafe { (symbols.cpaGetNumInstances)(service, &mut count) };
    CpaStatus::from_raw(status).into_result().map(|()| count)
}

/// The first `count` instances of a service; null where the library wrote none.
///
/// # Safety
/// libqat is started, and `count` is at most what [`num_instances`] gave since. The handles end with the stop.
#[doc(alias = "cpaGetInstances")]
pub(crate) unsafe fn instances(
    symbols: &Symbols,
    service: CpaAccelerationServiceType,
    count: u16,
) -> Result<Vec<CpaInstanceHandle>, CpaStatus> {
    let mut handles = vec![ptr::null_mut(); usize::from(count)];
    // SAFETY: `cpa.h`: writes `count` handles, for which there is room.
    let status = unsafe { (symbols.cpaGetInstances)(service, count, handles.as_mut_ptr()) };
    CpaStatus::from_raw(status).into_result().map(|()| handles)
}
