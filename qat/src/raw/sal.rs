//! Wrappers of the calls that start, stop and supervise libqat: `icp_sal_user.h`. The thread that owns libqat
//! (`device::lifecycle`) calls them.

use std::ffi::CStr;

use qat_sys::Symbols;

use crate::error::CpaStatus;

/// Returns whether libqat finds a device that it could start on. The call does not start anything.
///
/// # Safety
/// The symbols belong to libqat or to functions with the same contract.
#[doc(alias = "icp_sal_userIsQatAvailable")]
pub(crate) unsafe fn is_qat_available(symbols: &Symbols) -> bool {
    // SAFETY: `icp_sal_user.h`: the call takes no argument and is allowed at any time.
    unsafe { (symbols.icp_sal_userIsQatAvailable)() != 0 }
}

/// Starts libqat in this process with the configuration section `name`.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// The symbols belong to libqat or to functions with the same contract. The calling thread is also the one that calls
/// [`user_stop`].
#[doc(alias = "icp_sal_userStart")]
pub(crate) unsafe fn user_start(symbols: &Symbols, name: &CStr) -> Result<(), CpaStatus> {
    // SAFETY: `icp_sal_user.h`: the call reads a zero-terminated string, and does not keep it.
    CpaStatus::from_raw(unsafe { (symbols.icp_sal_userStart)(name.as_ptr()) }).into_result()
}

/// Stops libqat in this process.
///
/// # Errors
/// The status that libqat returns.
///
/// # Safety
/// The calling thread started libqat, and this is the only stop of that start. No request is in flight, and no instance
/// handle is used afterwards.
#[doc(alias = "icp_sal_userStop")]
pub(crate) unsafe fn user_stop(symbols: &Symbols) -> Result<(), CpaStatus> {
    // SAFETY: `icp_sal_user.h`: the call takes no argument; thread and order are right by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.icp_sal_userStop)() }).into_result()
}

/// Polls all devices for events, and runs the notification callbacks of their instances. The call sleeps for a second
/// when a device announces a restart.
///
/// # Errors
/// The status that libqat returns.
///
///
/// # Safety
/// libqat is started, and is not stopped before this returns.
#[doc(alias = "icp_sal_poll_device_events")]
pub(crate) unsafe fn poll_device_events(symbols: &Symbols) -> Result<(), CpaStatus> {
    // SAFETY: `icp_sal_user.h`: the call takes no argument; libqat is started by this function's contract.
    CpaStatus::from_raw(unsafe { (symbols.icp_sal_poll_device_events)() }).into_result()
}

/// Checks the heartbeat of the physical functions, and succeeds if one of them has it.
///
/// # Errors
/// The status of the last physical function when none has a heartbeat, or `UNSUPPORTED` when there is none, as in a
/// virtual machine.
///
/// # Safety
/// libqat is started, and is not stopped before this returns.
#[doc(alias = "icp_sal_check_device")]
#[doc(alias = "icp_sal_check_all_devices")]
#[doc(alias = "icp_sal_get_num_pfs")]
pub(crate) unsafe fn check_devices(symbols: &Symbols) -> Result<(), CpaStatus> {
    let Some(group) = &symbols.physical_functions else {
        // SAFETY: `icp_sal_user.h`: the call takes no argument; libqat is started by this function's contract.
        return CpaStatus::from_raw(unsafe { (symbols.icp_sal_check_all_devices)() }).into_result();
    };
    // The functions are checked one by one, because the call that checks all of them fails when the first one is dead
    // (24.02), or when the last one is (26.08).
    let mut count = 0;
    // SAFETY: `icp_sal_user.h`: the call writes one number to the pointer.
    CpaStatus::from_raw(unsafe { (group.icp_sal_get_num_pfs)(&mut count) }).into_result()?;
    let mut checked = Err(CpaStatus::UNSUPPORTED);
    for number in 0..u32::from(count) {
        // SAFETY: `icp_sal_user.h`: the argument is the number of a physical function, below the count that libqat
        // returned.
        let status = CpaStatus::from_raw(unsafe { (symbols.icp_sal_check_device)(number) });
        checked = status.into_result();
        if checked.is_ok() {
            break;
        }
    }
    checked
}
