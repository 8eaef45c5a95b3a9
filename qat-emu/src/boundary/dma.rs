//! The memory of this process that the device can access: what the library mapped through a container, and nothing
//! else. The VFIO calls map and unmap it, and the device accesses it through [`AddressSpace`].

use std::{
    collections::{BTreeMap, VecDeque},
    ptr,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    counters::Counters,
    device::bank::{AddressSpace, RingMemory},
    memory::{Access, DeviceMemory, DmaFault},
};

/// The number of address bits of a device of this generation.
const IOVA_BITS: u32 = 48;
/// The number of removed ranges that are remembered, to distinguish a late access from an arbitrary one.
const MAX_UNMAPPED_RANGES: usize = 1024;

/// The mappings of one container, by IO virtual address.
pub(super) struct ContainerMemory {
    mappings: RwLock<BTreeMap<u64, Mapping>>,
    unmapped: Mutex<VecDeque<(u64, u64)>>,
    counters: &'static Counters,
}

#[derive(Debug, Clone, Copy)]
struct Mapping {
    /// The address in this process.
    start: usize,
    bytes: usize,
    access: DmaAccess,
}

impl Mapping {
    fn allows(&self, access: Access) -> bool {
        match access {
            Access::Read => self.access.read,
            Access::Write => self.access.write,
        }
    }
}

/// The accesses that a mapping allows to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DmaAccess {
    pub(super) read: bool,
    pub(super) write: bool,
}

/// The reason why a mapping was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MapError {
    Invalid,
    Overlaps,
}

impl ContainerMemory {
    pub(super) fn new(counters: &'static Counters) -> Self {
        Self { mappings: RwLock::new(BTreeMap::new()), unmapped: Mutex::new(VecDeque::new()), counters }
    }

    /// Maps `bytes` at `start` to `iova`, for the accesses in `access`.
    ///
    /// # Safety
    /// This is the contract of `VFIO_IOMMU_MAP_DMA` (`vfio.h`): until the memory is unmapped here, this process may
    /// access it as `access` allows, and whoever maps it accepts that the device does so at any time.
    pub(super) unsafe fn map(
        &self,
        start: u64,
        iova: u64,
        bytes: u64,
        access: DmaAccess,
    ) -> Result<(), MapError> {
        let end = iova.checked_add(bytes).filter(|end| *end <= 1 << IOVA_BITS).ok_or(MapError::Invalid)?;
        let wraps = start.checked_add(bytes).is_none();
        if bytes == 0 || wraps || start == 0 || (start | iova | bytes) & 0xFFF != 0 {
            return Err(MapError::Invalid);
        }
        let mut mappings = self.mappings.write().unwrap_or_else(PoisonError::into_inner);
        let before = mappings.range(..end).next_back();
        if before.is_some_and(|(at, mapping)| at + mapping.bytes as u64 > iova) {
            return Err(MapError::Overlaps);
        }
        mappings.insert(iova, Mapping { start: start as usize, bytes: bytes as usize, access });
        self.counters.maps.fetch_add(1, Ordering::Relaxed);
        self.counters.mapped.fetch_add(1, Ordering::Relaxed);
        self.counters.mapped_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Removes all mappings that lie in the range, and returns their size in bytes. Waits until the device has finished
    /// the request that it executes.
    pub(super) fn unmap(&self, iova: u64, bytes: u64) -> u64 {
        let end = iova.saturating_add(bytes);
        let mut mappings = self.mappings.write().unwrap_or_else(PoisonError::into_inner);
        let inside: Vec<_> = mappings
            .range(iova..end)
            .map(|(at, mapping)| (*at, mapping.bytes as u64))
            .filter(|(at, bytes)| at + bytes <= end)
            .collect();
        let mut unmapped = self.unmapped.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = 0;
        for (at, bytes) in inside {
            mappings.remove(&at);
            if unmapped.len() == MAX_UNMAPPED_RANGES {
                unmapped.pop_front();
            }
            unmapped.push_back((at, bytes));
            total += bytes;
            self.counters.unmaps.fetch_add(1, Ordering::Relaxed);
            self.counters.mapped.fetch_sub(1, Ordering::Relaxed);
        }
        self.counters.mapped_bytes.fetch_sub(total, Ordering::Relaxed);
        total
    }
}

/// Removes the remaining mappings, as the kernel does when a container is closed, so that the counters are correct.
impl Drop for ContainerMemory {
    fn drop(&mut self) {
        self.unmap(0, u64::MAX);
    }
}

impl AddressSpace for ContainerMemory {
    fn with_memory(&self, act: &mut dyn FnMut(&dyn RingMemory)) {
        let mappings = self.mappings.read().unwrap_or_else(PoisonError::into_inner);
        act(&LockedMappings { mappings: &mappings, space: self });
    }
}

/// The mappings while a lock prevents that one is removed.
struct LockedMappings<'a> {
    mappings: &'a BTreeMap<u64, Mapping>,
    space: &'a ContainerMemory,
}

impl LockedMappings<'_> {
    /// Calls `visit` with the address in this process and the length of each part of the range.
    fn runs(
        &self,
        iova: u64,
        len: usize,
        access: Access,
        mut visit: impl FnMut(usize, usize),
    ) -> Result<(), DmaFault> {
        let fault = DmaFault { iova, len, access };
        // The whole range is checked first, so that a refused access changes nothing.
        let mut runs = [(0, 0); 2];
        let mut more = Vec::new();
        let (mut at, mut left, mut count) = (iova, len, 0);
        while left > 0 {
            let (base, mapping) = self.mappings.range(..=at).next_back().ok_or(fault)?;
            if !mapping.allows(access) {
                return Err(fault);
            }
            let offset = usize::try_from(at - base).map_err(|_| fault)?;
            let run = mapping.bytes.checked_sub(offset).filter(|room| *room > 0).ok_or(fault)?.min(left);
            match runs.get_mut(count) {
                Some(place) => *place = (mapping.start + offset, run),
                None => more.push((mapping.start + offset, run)),
            }
            count += 1;
            at = at.checked_add(run as u64).ok_or(fault)?;
            left -= run;
        }
        for (start, run) in runs[..count.min(2)].iter().chain(&more) {
            visit(*start, *run);
        }
        Ok(())
    }

    /// Returns the aligned word at `iova`, which the caller may use only for `access`.
    fn word(&self, iova: u64, access: Access) -> Result<&AtomicU32, DmaFault> {
        let mut address = 0;
        if iova.is_multiple_of(4) {
            self.runs(iova, 4, access, |start, _| address = start)?;
        }
        if address == 0 {
            return Err(DmaFault { iova, len: 4, access });
        }
        // SAFETY: AtomicU32::from_ptr requires an aligned word that stays valid and is accessed atomically. By the
        // contract of `ContainerMemory::map`, `access` is possible until the memory is unmapped, which the borrowed
        // table prevents, and callers do only what `access` says. Mappings are page-aligned, so that a multiple of 4 is
        // aligned. The other side changes the word with single stores of a word.
        Ok(unsafe { AtomicU32::from_ptr(ptr::with_exposed_provenance_mut(address)) })
    }
}

impl DeviceMemory for LockedMappings<'_> {
    fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        let mut done = 0;
        let len = into.len();
        self.runs(iova, len, Access::Read, |start, run| {
            let place = into[done..done + run].as_mut_ptr();
            // SAFETY: copy_nonoverlapping requires `run` readable bytes, by the contract of `ContainerMemory::map`, and
            // `run` writable bytes, which the slice has. They do not overlap: the slice is the device's memory, which
            // nobody maps.
            unsafe { ptr::copy_nonoverlapping(ptr::with_exposed_provenance::<u8>(start), place, run) };
            done += run;
        })
    }

    fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault> {
        let mut done = 0;
        self.runs(iova, from.len(), Access::Write, |start, run| {
            let bytes = from[done..done + run].as_ptr();
            // SAFETY: copy_nonoverlapping requires `run` readable bytes, which the slice has, and `run` writable bytes,
            // by the contract of `ContainerMemory::map`. They do not overlap: the slice is the device's memory, which
            // nobody maps.
            unsafe { ptr::copy_nonoverlapping(bytes, ptr::with_exposed_provenance_mut::<u8>(start), run) };
            done += run;
        })
    }
}

impl RingMemory for LockedMappings<'_> {
    fn load_word(&self, iova: u64) -> Result<u32, DmaFault> {
        Ok(self.word(iova, Access::Read)?.load(Ordering::Acquire))
    }

    fn store_word(&self, iova: u64, value: u32) -> Result<(), DmaFault> {
        self.word(iova, Access::Write)?.store(value, Ordering::Release);
        Ok(())
    }

    fn was_mapped(&self, iova: u64) -> bool {
        let unmapped = self.space.unmapped.lock().unwrap_or_else(PoisonError::into_inner);
        unmapped.iter().any(|(at, bytes)| (*at..at + bytes).contains(&iova))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: DmaAccess = DmaAccess { read: true, write: true };

    /// Leaks two pages, so that their addresses stay valid.
    fn pages() -> &'static mut [[u8; 4096]] {
        #[repr(align(4096))]
        struct Pages([[u8; 4096]; 2]);
        &mut Box::leak(Box::new(Pages([[0; 4096]; 2]))).0
    }

    fn with_memory(space: &ContainerMemory, mut f: impl FnMut(&dyn RingMemory)) {
        space.with_memory(&mut |memory| f(memory));
    }

    #[test]
    fn accesses_stay_inside_mappings() {
        let space = ContainerMemory::new(Box::leak(Box::default()));
        let start = pages().as_mut_ptr().expose_provenance() as u64;
        // SAFETY: `ContainerMemory::map` requires memory that stays valid; the pages are leaked and used only through
        // it.
        unsafe { space.map(start, 0x10_0000, 4096, BOTH) }.unwrap();
        // SAFETY: `ContainerMemory::map` requires memory that stays valid; the pages are leaked and used only through
        // it.
        unsafe { space.map(start + 4096, 0x10_1000, 4096, BOTH) }.unwrap();
        // SAFETY: `ContainerMemory::map` requires memory that stays valid; this mapping is refused, so none is
        // accessed.
        assert_eq!(unsafe { space.map(start, 0x10_1000, 4096, BOTH) }, Err(MapError::Overlaps));
        // SAFETY: `ContainerMemory::map` requires memory that stays valid; this mapping is refused, so none is
        // accessed.
        assert_eq!(unsafe { space.map(start, u64::MAX - 4095, 4096, BOTH) }, Err(MapError::Invalid));
        with_memory(&space, |memory| {
            memory.write(0x10_0FFE, &[1, 2, 3, 4]).unwrap();
            let mut read = [0; 4];
            memory.read(0x10_0FFE, &mut read).unwrap();
            assert_eq!(read, [1, 2, 3, 4]);
            assert_eq!(memory.load_word(0x10_1000).unwrap(), u32::from_le_bytes([3, 4, 0, 0]));
            for (iova, len) in [(0x0F_FFFF, 1), (0x10_1FFF, 2), (0x10_2000, 1), (u64::MAX, 2), (0, 1)] {
                assert!(memory.read(iova, &mut vec![0; len]).is_err(), "{iova:#x}");
                assert!(memory.write(iova, &vec![0; len]).is_err(), "{iova:#x}");
            }
            assert!(memory.load_word(0x10_0001).is_err());
            assert!(!memory.was_mapped(0x10_0000));
        });
        assert_eq!(space.unmap(0x10_0000, 4096), 4096);
        with_memory(&space, |memory| {
            assert!(memory.read(0x10_0000, &mut [0]).is_err());
            assert!(memory.read(0x10_1000, &mut [0]).is_ok());
            assert!(memory.was_mapped(0x10_0FFF) && !memory.was_mapped(0x10_1000));
        });
    }

    /// `vfio.h` describes `VFIO_DMA_MAP_FLAG_READ` and `_WRITE` as "readable from device" and "writable from device".
    #[test]
    fn the_device_does_what_the_mapping_allows() {
        let counters: &Counters = Box::leak(Box::default());
        let start = pages().as_mut_ptr().expose_provenance() as u64;
        for (read, write) in [(true, false), (false, true)] {
            let space = ContainerMemory::new(counters);
            // SAFETY: `ContainerMemory::map` requires memory that stays valid; the pages are leaked and used only
            // through it.
            unsafe { space.map(start, 0x1000, 4096, DmaAccess { read, write }) }.unwrap();
            with_memory(&space, |memory| {
                assert_eq!(memory.read(0x1000, &mut [0]).is_ok(), read);
                assert_eq!(memory.write(0x1000, &[1]).is_ok(), write);
                assert_eq!(memory.load_word(0x1000).is_ok(), read);
                assert_eq!(memory.store_word(0x1000, 0).is_ok(), write);
            });
        }
    }
}
