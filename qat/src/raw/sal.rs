//! Start and stop of libqat: `icp_sal_user.h`.

use std::ffi::CStr;

use qat_sys::Symbols;

use crate::error::CpaStatus;

/// Whether libqat sees a device that it could start on. Starts nothing.
///
/// # Safety
/// The symbols are those of a real libqat or of functions that keep its contract.
#[doc(alias = "icp_sal_userIsQatAvailable")]
pub(crate) unsafe fn is_qat_available(symbols: &Symbols) -> bool {
    // SAFETY: `icp_sal_user.h`: no argument, callable at any time.
    unsafe { (symbols.icp_sal_userIsQatAvailable)() != 0 }
}

/// Starts libqat in this process under the section `name`.
///
/// # Safety
/// As for [`is_qat_available`]; [`user_stop`] is called by this very thread.
#[doc(alias = "icp_sal_userStart")]
pub(crate) unsafe fn user_start(symbols: &Symbols, name: &CStr) -> Result<(), CpaStatus> {
    // SAFETY: `icp_sal_user.h`: reads a string that ends in zero, which it does not keep.
    CpaStatus::from_raw(unsafe { (symbols.icp_sal_userStart)(name.as_ptr()) }).into_result()
}

/// Stops libqat in this process.
///
/// # Safety
/// Called by the thread that started it, once for each start; no request is in flight, and no instance handle is used
/// afterwards.
#[doc(alias = "icp_sal_userStop")]
pub(crate) unsafe fn user_stop(symbols: &Symbols) -> Result<(), CpaStatus> {
    // SAFETY: `icp_sal_user.h`: no argument; the order of calls is the caller's contract.
    CpaStatus::from_raw(unsafe { (symbols.icp_sal_userStop)() }).into_result()
}

/// Asks all devices for events, and runs the notification callbacks of instances for them. Sleeps for a second when one
/// announces a restart.
///
/// # Safety
/// libqat is started, and is not stopped before this returns.
#[doc(alias = "icp_sal_poll_device_events")]
pub(crate) unsafe fn poll_device_events(symbols: &Symbols) -> Result<(), CpaStatus> {
    // SAFETY: `icp_sal_user.h`: no argument.
    CpaStatus::from_raw(unsafe { (symbols.icp_sal_poll_device_events)() }).into_result()
}

/// Asks for the heartbeat of the physical functions. Fails when all of them are dead, and in virtual machines, which see
/// none.
///
/// # Safety
/// As for [`poll_device_events`].
#[doc(alias = "icp_sal_check_device")]
#[doc(alias = "icp_sal_check_all_devices")]
#[doc(alias = "icp_sal_get_num_pfs")]
pub(crate) unsafe fn check_devices(symbols: &Symbols) -> Result<(), CpaStatus> {
    let Some(group) = &symbols.physical_functions else {
        // SAFETY: `icp_sal_user.h`: no argument.
        return CpaStatus::from_raw(unsafe { (symbols.icp_sal_check_all_devices)() }).into_result();
    };
    // One by one: the function for all of them fails with the first dead one in 24.02, and with the last in 26.08.
    let mut count = 0;
    // SAFETY: `icp_sal_user.h`: writes one number.
    CpaStatus::from_raw(unsafe { (group.icp_sal_get_num_pfs)(&mut count) }).into_result()?;
    let mut checked = Err(CpaStatus::UNSUPPORTED);
    for number in 0..u32::from(count) {
        // SAFETY: `icp_sal_user.h`: the number of a physical function.
        let status = CpaStatus::from_raw(unsafe { (symbols.icp_sal_check_device)(number) });
        checked = status.into_result();
        if checked.is_ok() {
            break;
        }
    }
    checked
}
