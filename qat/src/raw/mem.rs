//! Memory that devices reach: `qae_mem.h` of libusdm.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use qat_sys::{CpaVirtualToPhysical, Symbols, UsdmIova};

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

/// Maps memory that libusdm did not allocate; where devices see it. Takes whole pages, of 2 MiB where libusdm works with
/// those.
///
/// # Safety
/// As for [`alloc`]; libqat is started. The memory is readable and writable until [`unmap`], and only used by somebody who
/// accepts that a device changes it.
#[doc(alias = "qaeMemMapContiguousIova")]
pub(crate) unsafe fn map(group: &UsdmIova, memory: NonNull<u8>, len: usize) -> Option<u64> {
    // SAFETY: `qae_mem.h`: keeps the address, and gives 0 where it does not map.
    let address = unsafe { (group.qaeMemMapContiguousIova)(memory.as_ptr().cast(), len) };
    (address != 0).then_some(address)
}

/// Takes a mapping back; whether that worked.
///
/// # Safety
/// As for [`alloc`]; libqat is started, and [`map`] mapped `len` bytes at this address in this start.
#[doc(alias = "qaeMemUnmapContiguousIova")]
pub(crate) unsafe fn unmap(group: &UsdmIova, memory: usize, len: usize) -> bool {
    // SAFETY: `qae_mem.h`: looks the address up.
    unsafe { (group.qaeMemUnmapContiguousIova)(std::ptr::without_provenance_mut(memory), len) == 0 }
}

/// The function by which libqat finds out where a device sees an address.
#[doc(alias = "qaeVirtToPhysNUMA")]
pub(crate) fn translation(symbols: &Symbols) -> CpaVirtualToPhysical {
    Some(symbols.qaeVirtToPhysNUMA)
}
