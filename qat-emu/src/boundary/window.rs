//! The register windows of a virtual function: a sparse memory file that the library maps as the device's BARs, and
//! that the device maps as atomics.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::device::registers::{CONFIG_BYTES, MISC_BAR_BYTES, RING_BAR_BYTES, Registers};

/// The bit position of the region number in a file offset, as in `vfio-pci`.
pub(super) const REGION_SHIFT: u32 = 40;
/// The regions of the rings, of the mailbox and of the PCI configuration space.
pub(super) const RING_REGION: u32 = 0;
pub(super) const MISC_REGION: u32 = 2;
pub(super) const CONFIG_REGION: u32 = 7;

/// Returns the size of a region in bytes; 0 if there is no such region.
pub(super) fn region_bytes(region: u32) -> u64 {
    match region {
        RING_REGION => RING_BAR_BYTES as u64,
        MISC_REGION => MISC_BAR_BYTES as u64,
        CONFIG_REGION => CONFIG_BYTES as u64,
        _ => 0,
    }
}

/// The memory file of a virtual function.
pub(super) struct DeviceFile(OwnedFd);

impl DeviceFile {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: memfd_create(2) takes a NUL-terminated name.
        let fd = unsafe { libc::memfd_create(c"qat-emu".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: OwnedFd::from_raw_fd requires an open descriptor without another owner; this one was just created.
        let file = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        // SAFETY: ftruncate(2) takes no pointer.
        if unsafe { libc::ftruncate(file.0.as_raw_fd(), 9 << REGION_SHIFT) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(file)
    }

    pub(super) fn window(&self, region: u32) -> io::Result<Window> {
        Window::map(self.0.as_fd(), i64::from(region) << REGION_SHIFT, region_bytes(region) as usize)
    }

    /// Duplicates the descriptor for the library, which closes it.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }
}

/// A shared mapping of registers, which exists for the rest of the process.
pub(super) struct Window {
    start: NonNull<AtomicU32>,
    registers: usize,
}

// SAFETY: Send requires that another thread may use the mapping: it is never unmapped and only used through atomics.
unsafe impl Send for Window {}
// SAFETY: Sync requires that several threads may use the mapping: it is never unmapped and only used through atomics.
unsafe impl Sync for Window {}

impl Window {
    fn map(file: BorrowedFd<'_>, offset: i64, bytes: usize) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: mmap(2) of a file at an address that the kernel chooses changes no existing mapping.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), bytes, access, libc::MAP_SHARED, file.as_raw_fd(), offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start =
            NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned a null address"))?;
        Ok(Self { start, registers: bytes / 4 })
    }

    fn register(&self, offset: usize) -> Option<&AtomicU32> {
        let index = offset / 4;
        if !offset.is_multiple_of(4) || index >= self.registers {
            return None;
        }
        // SAFETY: NonNull::add requires a result inside the allocation: `index` is below the number of registers
        // mapped.
        let place = unsafe { self.start.add(index) };
        // SAFETY: NonNull::as_ref requires a valid, aligned value: the mapping is page-aligned and never unmapped, its
        // file is never shortened, and all bit patterns of an atomic integer are valid.
        Some(unsafe { place.as_ref() })
    }
}

impl Registers for Window {
    fn load(&self, offset: usize) -> u32 {
        self.register(offset).map_or(0, |register| register.load(Ordering::Acquire))
    }

    fn store(&self, offset: usize, value: u32) {
        if let Some(register) = self.register(offset) {
            register.store(value, Ordering::Release);
        }
    }

    fn exchange(&self, offset: usize, current: u32, new: u32) -> bool {
        self.register(offset).is_some_and(|register| {
            register.compare_exchange(current, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }
}
