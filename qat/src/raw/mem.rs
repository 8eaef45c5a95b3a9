//! Wrappers of libusdm's calls for memory that devices access: `qae_mem.h`. The module `device::memory` calls them;
//! nothing here keeps track of allocations.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use qat_sys::{CpaVirtualToPhysical, Symbols, UsdmIova};

/// Allocates `len` bytes of pinned, zeroed memory at a multiple of `align` on NUMA node `node`, contiguous for the
/// device. Returns `None` when libusdm has no memory.
///
/// # Safety
/// The symbols belong to libusdm or to functions with the same contract.
#[doc(alias = "qaeMemAllocNUMA")]
pub(crate) unsafe fn alloc(symbols: &Symbols, len: usize, node: c_int, align: usize) -> Option<NonNull<u8>> {
    // SAFETY: `qae_mem.h`: the call takes no pointer, and returns null when there is no memory.
    NonNull::new(unsafe { (symbols.qaeMemAllocNUMA)(len, node, align) }.cast())
}

/// Frees memory of [`alloc`]. libusdm wipes it.
///
/// # Safety
/// [`alloc`] returned `memory`, it is freed once, and neither the program nor a device uses it any more.
#[doc(alias = "qaeMemFreeNUMA")]
pub(crate) unsafe fn free(symbols: &Symbols, memory: NonNull<u8>) {
    let mut memory: *mut c_void = memory.as_ptr().cast();
    // SAFETY: `qae_mem.h`: the call takes the address of a pointer that libusdm allocated, and sets that pointer to
    // null.
    unsafe { (symbols.qaeMemFreeNUMA)(&mut memory) }
}

/// Returns the bus address of memory of [`alloc`]; `None` when libusdm does not know the address.
///
/// # Safety
/// The symbols belong to libusdm or to functions with the same contract. [`alloc`] returned `memory`, or `memory` is
/// inside an allocation of it.
#[doc(alias = "qaeVirtToPhysNUMA")]
pub(crate) unsafe fn bus_address(symbols: &Symbols, memory: NonNull<u8>) -> Option<u64> {
    // SAFETY: `qae_mem.h`: the call only looks the address up, and returns 0 for an address that is not libusdm's.
    let address = unsafe { (symbols.qaeVirtToPhysNUMA)(memory.as_ptr().cast()) };
    (address != 0).then_some(address)
}

/// Maps memory that libusdm did not allocate, and returns its bus address. Returns `None` when the memory is not whole
/// pages, which are of 2 MiB where libusdm uses huge pages, or when the system does not map it.
///
/// # Safety
/// The symbols belong to libusdm or to functions with the same contract, and libqat is started. The memory is readable
/// and writable until [`unmap`], and every user of it expects that a device changes it.
#[doc(alias = "qaeMemMapContiguousIova")]
pub(crate) unsafe fn map(group: &UsdmIova, memory: NonNull<u8>, len: usize) -> Option<u64> {
    // SAFETY: `qae_mem.h`: the call keeps the address, which is valid until `unmap` by this function's contract, and
    // returns 0 when it does not map it.
    let address = unsafe { (group.qaeMemMapContiguousIova)(memory.as_ptr().cast(), len) };
    (address != 0).then_some(address)
}

/// Unmaps memory of [`map`], and returns whether that succeeded.
///
/// # Safety
/// The symbols belong to libusdm or to functions with the same contract. libqat is started, and [`map`] mapped `len`
/// bytes at this address in this start.
#[doc(alias = "qaeMemUnmapContiguousIova")]
pub(crate) unsafe fn unmap(group: &UsdmIova, memory: usize, len: usize) -> bool {
    // SAFETY: `qae_mem.h`: the call looks the address up among its mappings, and does not dereference it.
    unsafe { (group.qaeMemUnmapContiguousIova)(std::ptr::without_provenance_mut(memory), len) == 0 }
}

/// Returns the function with which libqat translates an address of the process to a bus address.
#[doc(alias = "qaeVirtToPhysNUMA")]
pub(crate) fn translation(symbols: &Symbols) -> CpaVirtualToPhysical {
    Some(symbols.qaeVirtToPhysNUMA)
}
