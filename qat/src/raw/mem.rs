//! Memory that devices reach: `qae_mem.h` of libusdm.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use qat_sys::{CpaVirtualToPhysical, Symbols};

/// Pinned, zeroed memory of `len` bytes at a multiple of `align`, on NUMA node `node`, contiguous to the device.
///
/// # Safety
/// The symbols are those of a real libusdm or of functions that keep its contract.
#[doc(alias = "qaeMemAllocNUMA")]
pub(crate) unsafe fn alloc(symbols: &Symbols, len: usize, node: c_int, align: usize) -> Option<NonNull<u8>> {
    // SAFETY: `qae_mem.h`: no pointer goes in; null comes back where there is no memory.
    NonNull::new(unsafe { (symbols.qaeMemAllocNUMA)(len, node, align) }.cast())
}

/// Gives memory back; libusdm wipes it.
///
/// # Safety
/// `memory` is what [`alloc`] returned, is freed once, and neither the program nor a device uses it any more.
#[doc(alias = "qaeMemFreeNUMA")]
pub(crate) unsafe fn free(symbols: &Symbols, memory: NonNull<u8>) {
    let mut memory: *mut c_void = memory.as_ptr().cast();
    // SAFETY: `qae_mem.h`: takes the place of a pointer that it allocated and sets it to null.
    unsafe { (symbols.qaeMemFreeNUMA)(&mut memory) }
}

/// Where a device sees memory of [`alloc`].
///
/// # Safety
/// As for [`alloc`], which returned `memory` or an address inside what it returned.
#[doc(alias = "qaeVirtToPhysNUMA")]
pub(crate) unsafe fn bus_address(symbols: &Symbols, memory: NonNull<u8>) -> Option<u64> {
    // SAFETY: `qae_mem.h`: looks the address up, and gives 0 for one that is not libusdm's.
    let address = unsafe { (symbols.qaeVirtToPhysNUMA)(memory.as_ptr().cast()) };
    (address != 0).then_some(address)
}

/// The function by which libqat finds out where a device sees an address.
#[doc(alias = "qaeVirtToPhysNUMA")]
pub(crate) fn translation(symbols: &Symbols) -> CpaVirtualToPhysical {
    Some(symbols.qaeVirtToPhysNUMA)
}
